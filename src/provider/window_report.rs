//! Reports by window: numbers of hours, days, weeks or months, for the whole account or a scope.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::model::advice::Advice;
use crate::model::reading::{Metric, Reading, WindowReadings};
use crate::model::window::{Unit, Window, plus_days};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::report::ReportSpec;
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;

/// A statistics endpoint that is queried by window.
pub trait WindowReport: Send + Sync {
    /// Returns the name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Returns the label name of a scope: a part of the account that is queried separately.
    fn scope_label(&self) -> &'static str {
        "scope"
    }
    /// Returns the advice for a scope that the provider does not accept.
    fn scope_advice(&self) -> Advice {
        Advice { en: "Check the id in the configuration.", zh: "请检查配置中的这个 ID。" }
    }
    /// Returns true if the gauges of a window are still shown: the ledger keeps those of earlier configurations.
    fn shows(&self, scope: &str, unit: Unit) -> bool;
    /// Returns the next query of a poll that began at `now` and has sent `earlier`; `None` ends the poll. Pure.
    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery>;
    /// Returns true if a query that is refused as a bad request may cover windows that the provider no longer answers
    /// for: those are then narrowed down and settled as lost.
    fn may_be_out_of_reach(&self, _now: Timestamp, _ask: &WindowQuery) -> bool {
        false
    }
    /// Returns the windows that the provider still answers for long after their end, for a history; empty if there are
    /// none.
    fn past_windows(&self) -> Vec<PastWindows> {
        Vec::new()
    }
    /// Returns the numbers of a past window that count: an answer may have totals beside their parts, of which the state
    /// of a window that was polled before chooses. Pure.
    fn of_past(&self, numbers: WindowReadings) -> WindowReadings {
        numbers
    }
    /// Returns the time from which on a window that has closed, with or without numbers, is the newest closed one; `None` if
    /// the report has no past windows.
    fn shown_from(&self, _window: Window, _has_numbers: bool) -> Option<Timestamp> {
        None
    }
    /// Queries the provider once.
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>>;
    /// Interprets an answer: counts, windows that close, and the new state. Nothing settles by an unconfirmed time.
    /// Pure.
    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate;
    /// Returns the time of the next poll after a successful one at `now`: an interval later, unless the report decides
    /// otherwise. Pure.
    fn next_due(&self, now: Timestamp, _state: &ReportState) -> Timestamp {
        now.saturating_add(self.spec().interval).unwrap_or(now)
    }
}

/// A query for the windows of one unit from `first` to `last`, of the whole account or one department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowQuery {
    /// First window.
    pub first: Window,
    /// Last window; the same as the first where an API takes one at a time.
    pub last: Window,
    /// Id of a department, if the provider has departments; `None` for the whole account.
    pub scope: Option<String>,
}

impl WindowQuery {
    /// Creates the query for one window.
    pub fn of_one(window: Window, scope: Option<&str>) -> WindowQuery {
        WindowQuery { first: window, last: window, scope: scope.map(str::to_owned) }
    }

    /// Creates the query for one day of the whole account.
    pub fn of_day(day: Date) -> WindowQuery {
        WindowQuery::of_one(Window::day(day), None)
    }
}

/// Windows of one unit that a report can be queried for long after their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastWindows {
    /// Id of a department, if the provider has departments; `None` for the whole account.
    pub scope: Option<String>,
    /// Unit of the windows.
    pub unit: Unit,
    /// True if they feed counters, provided that the report is the source of the account's counters.
    pub counts: bool,
    /// Maximum number of windows in a query.
    pub windows_a_query: usize,
    /// Number of requests that a query takes.
    pub requests_a_query: u64,
    /// Documented number of days after which the provider no longer answers for a window that begins before them.
    pub reach: Option<i32>,
}

/// Queries of a poll so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierQueries {
    /// Queries in the order in which they were sent.
    pub queries: Vec<WindowQuery>,
    /// True if one of them failed, in this poll or in earlier ones: the newest windows are then queried first.
    pub has_failed: bool,
}

/// A provider's answer to a query by window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowAnswer {
    /// Numbers. A window in the queried range that is missing here had none.
    Numbers(WindowNumbers),
    /// "No data": there are no numbers, or none yet.
    NoData,
    /// The provider will never answer for the window again.
    Lost,
}

/// Numbers of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowNumbers {
    /// Readings by window.
    pub windows: Vec<WindowReadings>,
    /// Prefixes of the paths of the queried fields; empty if all fields were queried.
    pub covers: Vec<String>,
    /// Names in the answer that the exporter does not know, or values that it cannot read.
    pub unknown: Vec<String>,
}

/// Changes that follow from an answer, made in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowUpdate {
    /// Windows whose readings feed counters; the answer covers them even if they are empty.
    pub counted: Vec<WindowReadings>,
    /// Prefixes of the queried fields, as in [`WindowNumbers::covers`].
    pub covers: Vec<String>,
    /// Window gauges that replace those of an older window.
    pub gauges: Vec<WindowGauges>,
    /// The provider's own totals of settled days, to be compared with what was read of these days.
    pub totals: Option<WindowTotals>,
    /// Unknown names and unreadable values, as in [`WindowNumbers::unknown`].
    pub unknown: Vec<String>,
    /// State of the report from now on.
    pub state: ReportState,
}

/// Gauges of the newest closed window of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGauges {
    /// Id of a department, or `None` for the whole account.
    pub scope: Option<String>,
    /// End of the window.
    pub end: Timestamp,
    /// Numbers of the window; empty if it closed empty.
    pub numbers: WindowReadings,
}

/// Totals that a provider gives of settled days, which the exporter has read day by day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowTotals {
    /// Window of the totals: a day that was read once more, or a week or month.
    pub window: Window,
    /// End of the window.
    pub end: Timestamp,
    /// Total of each metric that the answer has.
    pub totals: BTreeMap<Metric, i64>,
}

impl WindowTotals {
    /// Adds up the numbers of a window.
    pub fn new(numbers: &WindowReadings, end: Timestamp) -> WindowTotals {
        let mut totals = BTreeMap::new();
        for Reading { series, value, .. } in &numbers.readings {
            let total: &mut i64 = totals.entry(series.metric).or_default();
            *total = total.saturating_add(*value);
        }
        WindowTotals { window: numbers.window, end, totals }
    }
}

/// State that a report keeps between polls and across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportState {
    /// Day before which every day is settled.
    pub settled_before: Option<Date>,
    /// First day from which on every day was read, or will be before it settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_since: Option<Date>,
    /// Newest window of each unit whose totals were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reconciled: Vec<Window>,
    /// Recently queried windows.
    #[serde(with = "as_list", skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<WindowKey, WindowState>,
    /// Time since which the report feeds counters, if another report of the app may have counted before: windows that
    /// began earlier are the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts_since: Option<Timestamp>,
}

impl ReportState {
    /// Returns the state of a window.
    pub fn of(&self, scope: Option<&str>, window: Window) -> WindowState {
        self.windows.get(&(scope.unwrap_or_default().to_owned(), window)).copied().unwrap_or_default()
    }

    /// Returns true if all days of a window were read and are settled, and its totals were not compared yet.
    pub fn awaits_reconciliation(&self, window: Window) -> bool {
        let is_read = self.read_since.is_some_and(|day| day <= window.first);
        let is_settled = self.settled_before.is_some_and(|day| window.last() < day);
        is_read && is_settled && !self.reconciled.iter().any(|other| other.unit == window.unit && *other >= window)
    }

    /// Notes that the totals of a window were compared, or are not told.
    pub fn note_reconciled(&mut self, window: Window) {
        self.reconciled.retain(|other| other.unit != window.unit);
        self.reconciled.push(window);
    }

    /// Notes that days are lost, the last of which is `day`.
    pub fn note_lost(&mut self, day: Date) {
        self.read_since = self.read_since.max(Some(plus_days(day, 1)));
    }
}

/// Department, or `""` for the whole account, and window.
pub type WindowKey = (String, Window);

/// Serialization of a map as a list of pairs, since its keys are not strings.
mod as_list {
    use super::{BTreeMap, WindowKey, WindowState};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<WindowKey, WindowState>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<WindowKey, WindowState>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().collect())
    }
}

/// State of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowState {
    /// Time of the last answer, with or without numbers.
    pub answered: Option<Timestamp>,
    /// True if an answer contained numbers.
    pub has_numbers: bool,
    /// True if the window is settled without numbers.
    pub empty: bool,
    /// True if it was answered after it had closed.
    pub closed: bool,
    /// True if the provider no longer answers for it.
    #[serde(skip_serializing_if = "is_false")]
    pub lost: bool,
    /// True if its totals are counted, false if the parts of them are; `None` before the first number, and for providers
    /// whose answers have only one of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_totals: Option<bool>,
}

fn is_false(value: &bool) -> bool {
    !value
}
