//! Delivery report by day (`report/push/date`), which needs no ids.

use jiff::Timestamp;

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::getui::client::GetuiApi;
use crate::provider::getui::fields;
use crate::provider::getui::schedule::{self, PushDays};
use crate::provider::message_schedule::spread;
use crate::provider::{
    EarlierQueries, PastWindows, ReportContext, ReportSpec, ReportState, WindowAnswer, WindowQuery, WindowReport,
    WindowUpdate,
};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const PUSH_DATE: &str = "push_date";

/// Report of the days of one app.
pub(super) struct PushDate {
    spec: ReportSpec,
    api: GetuiApi,
    days: PushDays,
}

impl PushDate {
    pub(super) fn new(api: GetuiApi, context: &ReportContext) -> PushDate {
        let spec = context.spec(PUSH_DATE, schedule::HOURLY, api.settings.limit());
        let days = PushDays {
            zone: context.zone.clone(),
            interval: spec.is_explicit.then_some(spec.interval),
            jitter: spread(&api.settings.app_id, schedule::SPREAD),
        };
        PushDate { spec, api, days }
    }
}

impl WindowReport for PushDate {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && unit == Unit::Day
    }

    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        self.days.next(now, state, earlier)
    }

    /// Returns true for days that are caught up: the document does not say how far back the API answers.
    fn may_be_out_of_reach(&self, now: Timestamp, query: &WindowQuery) -> bool {
        self.days.is_past(now, query)
    }

    fn past_windows(&self) -> Vec<PastWindows> {
        vec![self.days.past()]
    }

    fn of_past(&self, mut numbers: WindowReadings) -> WindowReadings {
        fields::select(&mut numbers, None);
        numbers
    }

    fn shown_from(&self, window: Window, has_numbers: bool) -> Option<Timestamp> {
        Some(self.days.shown_from(window, has_numbers))
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(async move {
            let day = query.first.first.to_string();
            let window = query.first;
            self.api.fetch(&["push", "date", &day], client, move |data| fields::day(data, window)).await
        })
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

    fn next_due(&self, now: Timestamp, state: &ReportState) -> Timestamp {
        self.days.next_due(now, state)
    }
}
