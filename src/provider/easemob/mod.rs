//! Easemob (环信): offline push results by day and vendor platform.
//!
//! Document: 查询离线推送结果统计数据 (`offline-push` under `/push/data`).

mod client;
pub mod config;
mod errors;
pub mod fields;
pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{secret::Secret, section::Section};
use crate::model::window::Unit;
use crate::provider::rate_limit::Limit;
use crate::provider::token::TokenCache;
use crate::provider::{
    Account, EarlierQueries, Provider, Report, ReportContext, ReportState, WindowAnswer, WindowQuery, WindowUpdate,
};
use crate::provider::{error::ProviderError, http::Client};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;
use config::EasemobSettings;
use schedule::Schedule;

/// The provider.
pub struct Easemob;

/// The one report.
pub const OFFLINE_PUSH: &str = "offline_push";

/// 10 requests in 10 seconds for each App Key (调用频率上限).
const LIMIT: Limit = Limit { api: OFFLINE_PUSH, requests: 10, window: Duration::from_secs(10) };

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

    fn open(&self, context: &ReportContext) -> Vec<Box<dyn Report>> {
        vec![Box::new(OfflinePush {
            settings: Arc::clone(&self.0),
            token: TokenCache::new(context.clock.clone()),
            clock: context.clock.clone(),
            schedule: Schedule {
                zone: context.zone.clone(),
                interval: context.intervals.get(OFFLINE_PUSH).copied().unwrap_or(schedule::INTERVAL),
            },
        })]
    }
}

struct OfflinePush {
    settings: Arc<EasemobSettings>,
    token: TokenCache,
    clock: crate::util::clock::Clock,
    schedule: Schedule,
}

impl Report for OfflinePush {
    fn name(&self) -> &'static str {
        OFFLINE_PUSH
    }

    fn interval(&self) -> Duration {
        self.schedule.interval
    }

    fn limit(&self) -> Limit {
        LIMIT
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && unit == Unit::Day
    }

    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        self.schedule.next(now, state, earlier)
    }

    /// The document does not say how far back it answers.
    fn may_be_out_of_reach(&self, now: Timestamp, query: &WindowQuery) -> bool {
        self.schedule.is_past(now, query)
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::offline_push(&self.settings, &self.token, &self.clock, query, client))
    }

    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        self.schedule.interpret(reading, query, answer, state)
    }

    fn next_due(&self, now: Timestamp, _memory: &ReportState) -> Timestamp {
        now.saturating_add(self.schedule.interval).unwrap_or(now)
    }
}
