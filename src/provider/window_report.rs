//! Reports by window: numbers of hours, days, weeks or months of the whole account or of a scope.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::report::ReportSpec;
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;

/// One statistics endpoint of one app.
pub trait WindowReport: Send + Sync {
    /// Name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Label name of a scope: a part of the account that is queried by itself.
    fn scope_label(&self) -> &'static str {
        "scope"
    }
    /// Advice for a scope that the provider does not accept.
    fn scope_advice(&self) -> &'static str {
        "Check the id in the configuration."
    }
    /// Returns true if the gauges of a window are still wanted: the ledger keeps those of earlier configurations.
    fn shows(&self, scope: &str, unit: Unit) -> bool;
    /// The next question of a poll that began at `now` and has asked `earlier`; `None` ends the poll.
    /// Pure.
    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery>;
    /// Returns true if a question that is refused as a bad one may be for windows that the provider does not answer for
    /// any more: those are then narrowed down and lost.
    fn may_be_out_of_reach(&self, _now: Timestamp, _ask: &WindowQuery) -> bool {
        false
    }
    /// Asks the provider, once.
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>>;
    /// Interprets an answer: counts, windows that close, and what is remembered. Nothing settles by a time
    /// that is not sure. Pure.
    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate;
    /// Returns when the next poll is due after one at `now` that succeeded: an interval later, unless the report says
    /// otherwise. Pure.
    fn next_due(&self, now: Timestamp, _state: &ReportState) -> Timestamp {
        now.saturating_add(self.spec().interval).unwrap_or(now)
    }
}

/// One question: windows of one unit from `first` to `last`, of the whole account or one department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowQuery {
    /// The first window.
    pub first: Window,
    /// The last window; the same as the first where an API takes one at a time.
    pub last: Window,
    /// A department's id, where the provider has them.
    pub scope: Option<String>,
}

/// Questions of a poll so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierQueries {
    /// The questions.
    pub queries: Vec<WindowQuery>,
    /// True if one of them has failed, in this poll or in those before: the newest windows go first then.
    pub has_failed: bool,
}

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowAnswer {
    /// Numbers. A window in the asked range that is not here had nothing.
    Numbers(WindowNumbers),
    /// "No data": there is nothing, or not yet.
    NoData,
    /// The window is out of the provider's reach for good.
    Lost,
}

/// The numbers of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowNumbers {
    /// By window.
    pub windows: Vec<WindowReadings>,
    /// Which fields were asked for, by the beginnings of their paths; all of them if empty.
    pub covers: Vec<String>,
    /// Names in the answer that the exporter does not know, or values it cannot read.
    pub unknown: Vec<String>,
}

/// What is made of an answer, in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowUpdate {
    /// Windows whose readings feed counters, and which the answer covers even if empty.
    pub counted: Vec<WindowReadings>,
    /// Which fields were asked for, as in [`WindowNumbers::covers`].
    pub covers: Vec<String>,
    /// Window gauges to put in the place of those of an older window.
    pub gauges: Vec<WindowGauges>,
    /// Names not known.
    pub unknown: Vec<String>,
    /// What the report remembers from now on.
    pub state: ReportState,
}

/// The gauges of the newest closed window of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGauges {
    /// A department's id, or `None` for the whole account.
    pub scope: Option<String>,
    /// When the window ended.
    pub end: Timestamp,
    /// Its numbers; empty if it closed empty.
    pub numbers: WindowReadings,
}

/// What a report remembers between polls and over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportState {
    /// Every day before this one is settled.
    pub settled_before: Option<Date>,
    /// Windows looked at lately.
    #[serde(with = "as_list", skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<WindowKey, WindowState>,
}

/// A window of the whole account (`""`) or of a department.
pub type WindowKey = (String, Window);

/// A map whose keys are no texts, as a list of pairs.
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

/// What is known of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowState {
    /// When it was last answered, with numbers or without.
    pub answered: Option<Timestamp>,
    /// Whether an answer held numbers.
    pub has_numbers: bool,
    /// Whether it has ended as settled without numbers.
    pub empty: bool,
    /// Whether it was answered after it had closed.
    pub closed: bool,
    /// True if the provider does not answer for it any more.
    #[serde(skip_serializing_if = "is_false")]
    pub lost: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}
