//! Wren Push, an invented provider: deliveries by day and vendor channel. Its document is `DOCUMENT.md` beside this
//! file. This is the worked example of `docs/adding-a-provider.md`.

mod client;
pub mod config;
mod documents;
mod errors;
pub mod fields;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use config::Settings;
use push_exporter::config::{secret::Secret, section::Section};
use push_exporter::metrics::catalog::Family;
use push_exporter::metrics::help::HelpFragment;
use push_exporter::model::window::Unit;
use push_exporter::provider::client::Client;
use push_exporter::provider::rolling_days::RollingDays;
use push_exporter::provider::{
    Account, CounterSource, EarlierQueries, Example, Provider, ReportContext, ReportSpec, ReportState, WindowAnswer,
    WindowQuery, WindowReport, WindowUpdate,
};
use push_exporter::provider::{error::ProviderError, rate_limit::Limit};
use push_exporter::util::clock_guard::ClockReading;
use push_exporter::util::future::BoxFuture;

/// The provider Wren Push.
pub struct Wren;

/// Name of the only report: a value of the label `report`, and a key of `intervals`.
pub const STATISTICS_DAILY: &str = "statistics_daily";

/// Default interval: the numbers change every ten minutes.
const INTERVAL: Duration = Duration::from_secs(600);

/// Documented rate limit: 30 requests a minute for each app (Limits). The client enforces it.
const LIMIT: Limit = Limit { api: STATISTICS_DAILY, requests: 30, window: Duration::from_secs(60) };

impl Provider for Wren {
    fn name(&self) -> &'static str {
        "wren"
    }

    fn title(&self) -> &'static str {
        "Wren Push"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[STATISTICS_DAILY]
    }

    fn help(&self) -> &'static [HelpFragment] {
        &[(Family::Sent, "Wren sent"), (Family::Failed, "Wren failed"), (Family::Received, "Wren received")]
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: false }
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        Settings::read(section).map(|settings| Box::new(WrenAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct WrenAccount(Arc<Settings>);

impl Account for WrenAccount {
    fn id(&self) -> String {
        self.0.app_id.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.api_secret.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        CounterSource::Windows(Box::new(StatisticsDaily {
            spec: context.spec(STATISTICS_DAILY, INTERVAL, LIMIT),
            settings: Arc::clone(&self.0),
            // A day is final three days later, and Wren keeps statistics for 30 days.
            days: RollingDays { zone: context.zone.clone(), settles_after: 3, days_a_query: 31, longest_downtime: 30 },
        }))
    }
}

struct StatisticsDaily {
    spec: ReportSpec,
    settings: Arc<Settings>,
    days: RollingDays,
}

impl WindowReport for StatisticsDaily {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && unit == Unit::Day
    }

    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        self.days.next(now, state, earlier)
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::fetch_statistics_daily(&self.settings, query, client))
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
