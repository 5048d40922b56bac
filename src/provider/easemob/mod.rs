//! Easemob (环信): offline push results by day and vendor platform.
//!
//! Document: 查询离线推送结果统计数据 (`offline-push` under `/push/data`).

mod client;
pub mod config;
mod errors;
pub mod fields;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::model::window::{Unit, Window};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::rate_limit::Limit;
use crate::provider::rolling_days::RollingDays;
use crate::provider::token::TokenCache;
use crate::provider::{
    Account, CounterSource, EarlierQueries, Example, PastWindows, Provider, ReportContext, ReportSpec, ReportState,
    WindowAnswer, WindowQuery, WindowReport, WindowUpdate,
};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;
use config::EasemobSettings;

/// The provider Easemob.
pub struct Easemob;

/// Name of the only report.
pub const OFFLINE_PUSH: &str = "offline_push";

/// Default interval of `offline_push`.
const INTERVAL: Duration = Duration::from_secs(300);

/// Documented rate limit: 10 requests in 10 seconds for each App Key (调用频率上限).
const LIMIT: Limit = Limit { api: OFFLINE_PUSH, requests: 10, window: Duration::from_secs(10) };

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 6] = [
    (Family::Sent, "Easemob successCount"),
    (Family::Failed, "Easemob failCount"),
    (Family::Received, "Easemob arriveCount, which only some vendors report"),
    (Family::WindowSent, "Easemob successCount of a day"),
    (Family::WindowFailed, "Easemob failCount of a day"),
    (Family::WindowReceived, "Easemob arriveCount of a day"),
];

impl Provider for Easemob {
    fn name(&self) -> &'static str {
        "easemob"
    }

    fn title(&self) -> &'static str {
        "Easemob 环信"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[OFFLINE_PUSH]
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: false }
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        EasemobSettings::read(section).map(|settings| Box::new(EasemobAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct EasemobAccount(Arc<EasemobSettings>);

impl Account for EasemobAccount {
    fn id(&self) -> String {
        format!("{}#{}", self.0.org_name, self.0.app_name)
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.credentials.secret().clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        CounterSource::Windows(Box::new(OfflinePush {
            spec: context.spec(OFFLINE_PUSH, INTERVAL, LIMIT),
            settings: Arc::clone(&self.0),
            token: Arc::clone(&context.token),
            days: RollingDays {
                zone: context.zone.clone(),
                settles_after: 3,
                // The document gives no maximum range.
                days_a_query: 7,
                longest_downtime: 366,
            },
        }))
    }
}

struct OfflinePush {
    spec: ReportSpec,
    settings: Arc<EasemobSettings>,
    token: Arc<TokenCache>,
    days: RollingDays,
}

impl WindowReport for OfflinePush {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && unit == Unit::Day
    }

    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        self.days.next(now, state, earlier)
    }

    /// Returns true for past days: the document does not say how far back the API answers.
    fn may_be_out_of_reach(&self, now: Timestamp, query: &WindowQuery) -> bool {
        self.days.is_past(now, query)
    }

    fn past_windows(&self) -> Vec<PastWindows> {
        vec![self.days.past(self.settings.platforms.len() as u64)]
    }

    fn shown_from(&self, window: Window, _has_numbers: bool) -> Option<Timestamp> {
        Some(window.end(&self.days.zone))
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::fetch_offline_push(&self.settings, &self.token, query, client))
    }

    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        self.days.interpret(reading, query, answer, state)
    }
}
