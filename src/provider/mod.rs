//! What a provider is to the rest of the exporter, and what the two exchange.
//!
//! # How to add a provider
//!
//! 1. A folder beside `easemob/` with `config.rs` (its keys), `api.rs` (wire types and HTTP),
//!    `readings.rs` (a pure function from an answer to readings: the field map), `schedule.rs` (pure
//!    functions that say what to ask and when) and `errors.rs` (its error table: reason and advice). What
//!    is asked by window is a [`Report`], what is asked by message id a [`MessageReport`], and what is only
//!    shown as it stands a [`SnapshotReport`].
//! 2. Its `pub mod` below, and a line in [`registry::PROVIDERS`].
//! 3. The documents, and a simulator: CONTRIBUTING.md has the whole list and a worked example.
//!
//! A provider knows neither the ledger nor the page. Retries, quotas, counting of requests, measuring
//! and back-off are the runner's ([`crate::poll`]), so that no provider can forget them.

pub mod config;
mod dns;
pub mod easemob;
pub mod error;
pub mod feishu;
pub mod http;
pub mod jpush;
pub mod message_schedule;
mod proxy;
pub mod rate_limit;
pub mod registry;
pub mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::model::reading::{GaugeReading, Reading, SentMessage, WindowReadings};
use crate::model::window::{Unit, Window};
use crate::util::clock::Clock;
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;
use error::ProviderError;
use http::Client;
use message_schedule::MessageSchedule;

/// A kind of account: its name, its reports and its configuration keys.
pub trait Provider: Send + Sync {
    /// The label `provider` and the section of the configuration.
    fn name(&self) -> &'static str;
    /// What people call it.
    fn title(&self) -> &'static str;
    /// Its reports, which are label values and the keys of `intervals`.
    fn reports(&self) -> &'static [&'static str];
    /// Reads its own keys of an app's section; `None` after an error was noted.
    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>>;
}

/// Providers that can be configured, in the order of the status page.
pub type Providers = &'static [&'static dyn Provider];

/// The credentials and settings of one app.
pub trait Account: Send + Sync {
    /// What makes two accounts the same at the provider.
    fn id(&self) -> String;
    /// Every secret of the account, to be kept out of texts and watched for changes.
    fn secrets(&self) -> Vec<Secret>;
    /// Its reports by window, ready to be polled.
    fn open(&self, context: &ReportContext) -> Vec<Box<dyn Report>>;
    /// Its reports of this moment, where it has any.
    fn moments(&self, _surroundings: &ReportContext) -> Vec<Box<dyn SnapshotReport>> {
        Vec::new()
    }
    /// Its reports by message, where it has any.
    fn messages(&self, _surroundings: &ReportContext) -> Option<Messages> {
        None
    }
}

/// What an account polls by message.
pub struct Messages {
    /// The report that new messages are polled with; `None` if it takes none.
    pub delivery: Option<&'static str>,
    /// All its message reports: messages of an earlier configuration may still be with another.
    pub reports: Vec<Box<dyn MessageReport>>,
    /// Ids of the configuration, as the provider writes them.
    pub ids: Vec<String>,
    /// Files of ids to follow.
    pub files: Vec<PathBuf>,
    /// How many of the newest messages are shown one by one.
    pub newest: usize,
    /// Reads an id: as the provider writes it, or `None` if it can be none.
    pub read_id: fn(&str) -> Option<String>,
}

impl Messages {
    /// Returns true if it asks by message and the configuration names none.
    pub fn lacks_ids(&self) -> bool {
        self.delivery.is_some() && self.ids.is_empty() && self.files.is_empty()
    }
}

/// One statistics endpoint that is asked by message.
pub trait MessageReport: Send + Sync {
    /// The label `report`.
    fn name(&self) -> &'static str;
    /// How often messages are polled.
    fn pace(&self) -> &MessageSchedule;
    /// The request limit of its API.
    fn limit(&self) -> rate_limit::Limit;
    /// How many messages a request may name.
    fn batch(&self) -> usize;
    /// Returns true if a refusal blames a message id: the provider says so itself, in its own envelope and with its code for
    /// that. A gateway's does not.
    fn blames_an_id(&self, error: &ProviderError) -> bool;
    /// Asks the provider, once, for at most [`MessageReport::batch`] messages.
    fn query<'a>(
        &'a self,
        messages: &'a [MessageQuery],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, ProviderError>>;
}

/// A message to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageQuery {
    /// Its id.
    pub id: String,
    /// How its answers are read, as the report said when it first had a number; else empty.
    pub shape: String,
    /// True if it is less than ten minutes old: parts of its numbers may still come.
    pub is_young: bool,
}

/// What an answer says about messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNumbers {
    /// Those that it says something about, each once.
    pub messages: Vec<MessageReadings>,
    /// Names in the answer that the exporter does not know, or values it cannot read.
    pub unknown: Vec<String>,
}

/// What an answer says about one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageReadings {
    /// Its id.
    pub id: String,
    /// Its numbers.
    pub readings: Vec<Reading>,
    /// How its answers are to be read from now on.
    pub shape: String,
}

/// One statistics endpoint that is asked how things stand at this moment. What it says is shown, not kept.
pub trait SnapshotReport: Send + Sync {
    /// The label `report`.
    fn name(&self) -> &'static str;
    /// From poll to poll.
    fn interval(&self) -> Duration;
    /// The request limit of its API.
    fn limit(&self) -> rate_limit::Limit;
    /// Which of the app's messages it asks about, if it does.
    fn choice(&self) -> Option<Choice> {
        None
    }
    /// The questions of a poll; none if there is nothing to ask. Pure.
    fn queries(&self, messages: &[SentMessage]) -> Vec<SnapshotQuery>;
    /// What is shown of a question that the provider does not accept while it answers others; `None` if that
    /// fails the poll.
    fn if_refused(&self, _ask: &SnapshotQuery) -> Option<SnapshotNumbers> {
        None
    }
    /// Asks the provider, once.
    fn query<'a>(
        &'a self,
        query: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>>;
}

/// The newest messages of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// At most so many.
    pub count: usize,
    /// None that was sent longer ago.
    pub max_age: Duration,
}

/// One question of a [`SnapshotReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// The message it is about, if it is about one.
    pub message: Option<SentMessage>,
    /// Which part of what a call has no room for, from 0.
    pub part: usize,
}

/// What an answer says about this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotNumbers {
    /// Its numbers; those of one series are added.
    pub gauges: Vec<GaugeReading>,
    /// Names in the answer that the exporter does not know, or values it cannot read.
    pub unknown: Vec<String>,
}

/// What a report may use of the world outside.
pub struct ReportContext {
    /// The time.
    pub clock: Clock,
    /// The app's calendar.
    pub zone: TimeZone,
    /// Explicit intervals by report.
    pub intervals: std::collections::HashMap<&'static str, Duration>,
}

/// One statistics endpoint of one app.
pub trait Report: Send + Sync {
    /// The label `report`.
    fn name(&self) -> &'static str;
    /// The pace of polling while all is well, from which back-off is reckoned.
    fn interval(&self) -> Duration;
    /// The request limit of its API.
    fn limit(&self) -> rate_limit::Limit;
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
    /// When the next poll is due after one at `now` that succeeded. Pure.
    fn next_due(&self, now: Timestamp, state: &ReportState) -> Timestamp;
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
