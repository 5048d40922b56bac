//! Wren Push, which is invented: deliveries by day and vendor channel. Document: `DOCUMENT.md` beside
//! this file. The worked example of CONTRIBUTING, "How to add a provider".

mod client;
pub mod config;
mod documents;
mod errors;
pub mod fields;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use push_exporter::config::{secret::Secret, section::Section};
use push_exporter::model::window::Unit;
use push_exporter::provider::{
    Account, EarlierQueries, Provider, Report, ReportContext, ReportState, WindowAnswer, WindowQuery, WindowUpdate,
};
use push_exporter::provider::{error::ProviderError, http::Client, rate_limit::Limit};
use push_exporter::util::clock_guard::ClockReading;
use push_exporter::util::future::BoxFuture;
use {config::Settings, schedule::Schedule};

/// The provider.
pub struct Wren;

/// The one report: a value of the label `report`, and a key of `intervals`.
pub const STATISTICS_DAILY: &str = "statistics_daily";

/// 30 requests a minute for each app (Limits); the client keeps it.
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

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        Settings::read(section).map(|settings| Box::new(WrenAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

/// The account of one app.
struct WrenAccount(Arc<Settings>);

impl Account for WrenAccount {
    fn id(&self) -> String {
        self.0.app_id.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.api_secret.clone()]
    }

    fn open(&self, context: &ReportContext) -> Vec<Box<dyn Report>> {
        let interval = context.intervals.get(STATISTICS_DAILY).copied().unwrap_or(schedule::INTERVAL);
        let schedule = Schedule { zone: context.zone.clone(), interval };
        vec![Box::new(StatisticsDaily { settings: Arc::clone(&self.0), schedule })]
    }
}

struct StatisticsDaily {
    settings: Arc<Settings>,
    schedule: Schedule,
}

impl Report for StatisticsDaily {
    fn name(&self) -> &'static str {
        STATISTICS_DAILY
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

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::statistics_daily(&self.settings, query, client))
    }

    fn interpret(
        &self,
        reading: ClockReading,
        _ask: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        self.schedule.interpret(reading.now, answer, state)
    }

    fn next_due(&self, now: Timestamp, _memory: &ReportState) -> Timestamp {
        now.saturating_add(self.schedule.interval).unwrap_or(now)
    }
}
