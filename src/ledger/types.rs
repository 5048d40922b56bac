//! Inputs and outputs of the ledger: apps, answers, messages, totals. Plain data.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::message_source::MessageSource;
use crate::model::reading::{GaugeReading, Metric, Reading, SeriesId};
use crate::model::window::Unit;

/// Id of an app: the number of its row.
pub type AppId = i64;

/// An app of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// Name of the provider.
    pub provider: &'static str,
    /// Name in the configuration.
    pub name: String,
    /// Identity of the account at the provider.
    pub account: String,
    /// Report that polls its new messages, if it accepts message ids.
    pub delivery: Option<&'static str>,
    /// Counters that exist from the start, with their labels without provider and app.
    pub counters: Vec<(Family, Labels)>,
    /// True if this replica is to own the app, where replicas share the ledger.
    pub is_claimed: bool,
}

/// Stored state of an app at the start.
#[derive(Clone, Debug, Default)]
pub struct StoredApp {
    /// Id of the app.
    pub id: AppId,
    /// True if this process polls and shows the app. Otherwise only the id, the files and the last time are set.
    pub is_owned: bool,
    /// True if another replica owned it last.
    pub is_taken_over: bool,
    /// Time at which the app was first known.
    pub created: Timestamp,
    /// True if the app was not known before, or another account was known under its name.
    pub is_new: bool,
    /// Latest certain time of any app before the start; `None` in a new ledger.
    pub last_seen: Option<Timestamp>,
    /// Stored reports of the app.
    pub reports: Vec<StoredReport>,
    /// Counters of the app.
    pub series: Vec<SeriesTotal>,
    /// Window gauges of the app.
    pub gauges: Vec<StoredGauges>,
    /// Number of unknown names seen, by report.
    pub unknown: Vec<(String, i64)>,
    /// True if the app has reached the limit of unknown names: further ones are not counted.
    pub is_full: bool,
    /// Numbers of the app's messages.
    pub messages: MessageState,
    /// Time at which each source last brought a new message id.
    pub last_new_ids: Vec<(MessageSource, Timestamp)>,
    /// Read positions in its files of message ids, by followed path.
    pub files: Vec<(String, FileMark)>,
}

/// Numbers of the messages of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageState {
    /// Tracked messages that have no number yet.
    pub waiting: i64,
    /// Tracked messages that have a number.
    pub live: i64,
    /// Send time of the newest message ever registered.
    pub newest: Option<Timestamp>,
    /// Sequence number of the request in this process: of two states, the one with the higher number is later.
    pub version: u64,
}

/// Stored state of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredReport {
    /// Name of the report.
    pub report: String,
    /// Due time of the next poll.
    pub due: Option<Timestamp>,
    /// Time of the last successful poll.
    pub last_success: Option<Timestamp>,
    /// Time of the last poll that returned a new number.
    pub last_change: Option<Timestamp>,
    /// State of the provider's report, in its own encoding.
    pub state: String,
    /// Newest messages of the report.
    pub newest: Vec<NewestMessage>,
    /// True if messages of the report are failing.
    pub is_failing: bool,
}

/// A committed counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTotal {
    /// Id of the series.
    pub id: SeriesId,
    /// Metric family.
    pub family: Family,
    /// Labels without provider and app.
    pub labels: Labels,
    /// Committed total.
    pub total: i64,
    /// True if the series has never shown its total: it first shows 0 for a while.
    pub is_held: bool,
    /// Creation time of the series.
    pub created: Timestamp,
}

/// Committed gauges of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGauges {
    /// Report of the gauges.
    pub report: String,
    /// Id of a department; `""` for the whole account.
    pub scope: String,
    /// Unit of the window: day, week or month.
    pub unit: Unit,
    /// End of the window.
    pub end: Timestamp,
    /// Family, labels without provider and app, and value.
    pub values: Vec<(Family, Labels, i64)>,
}

/// One answer of a provider: all of it is committed, or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// App of the answer.
    pub app: AppId,
    /// Report of the answer.
    pub report: &'static str,
    /// Time of the answer.
    pub now: Timestamp,
    /// The latest time that is certain: [`crate::util::clock_guard::ClockReading::sure`].
    pub sure: Timestamp,
    /// Correction of times that were written before a provider's clock was known.
    pub confirmation: Option<Confirmation>,
    /// Time for which a new series stays at 0.
    pub hold: Duration,
    /// Content of the answer.
    pub content: CommitContent,
    /// Unknown names in the answer.
    pub unknown: Vec<String>,
    /// New state of the provider's report; `None` keeps the stored one.
    pub state: Option<String>,
    /// True if this answer completes a successful poll.
    pub succeeded: bool,
    /// Due time of the next poll, if the report's messages have no due times of their own.
    pub due: Option<Timestamp>,
}

/// Confirmation or correction of the local clock by a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Correction of times of the local clock.
    pub correction: SignedDuration,
    /// Time at which the app was first known, if it was in this process.
    pub first_known: Option<Timestamp>,
}

impl Confirmation {
    /// Corrects a send time of the local clock. The result is not before the app was first known, and not after `now`.
    pub fn correct(&self, sent_at: Timestamp, now: Timestamp) -> Timestamp {
        let moved = sent_at.saturating_add(self.correction).unwrap_or(sent_at).min(now);
        self.first_known.map_or(moved, |known| moved.max(known))
    }
}

/// Content of an answer by its subject.
#[derive(Clone, Debug)]
pub enum CommitContent {
    /// An answer about windows.
    Windows {
        /// Readings that feed counters.
        subjects: Vec<SubjectReadings>,
        /// Prefixes of the field paths that the answer covers; all fields if empty.
        covers: Vec<String>,
        /// Window gauges to replace.
        gauges: Vec<GaugeReadings>,
        /// The provider's totals of settled windows, to compare with what was read of them.
        totals: Option<SubjectTotals>,
    },
    /// An answer about messages.
    Messages {
        /// Messages that were answered.
        polled: Vec<PolledMessage>,
        /// Messages for which a call failed.
        failed: Vec<FailedMessage>,
        /// Changes of the newest messages.
        newest: NewestMessages,
    },
    /// Numbers of this moment, which are not stored.
    Moment {
        /// Gauges of this moment.
        gauges: Vec<GaugeReading>,
        /// True if the numbers differ from the last ones.
        is_new: bool,
    },
}

/// Scope under which the window gauges of a reconciliation are kept: no department has this id.
pub const RECONCILED: &str = "=reconciled";

/// The provider's totals of some settled windows, together.
#[derive(Clone, Debug)]
pub struct SubjectTotals {
    /// Unit of the window of the totals.
    pub unit: Unit,
    /// End of the window of the totals.
    pub end: Timestamp,
    /// Keys of the windows that are compared.
    pub subjects: Vec<String>,
    /// Total of each metric.
    pub totals: BTreeMap<Metric, i64>,
}

/// Messages to track, unless they are already known.
#[derive(Clone, Debug)]
pub struct NewMessages {
    /// App of the messages.
    pub app: AppId,
    /// Report that polls them.
    pub report: &'static str,
    /// Source of their ids.
    pub source: MessageSource,
    /// Time of the registration.
    pub now: Timestamp,
    /// Messages to register.
    pub messages: Vec<NewMessage>,
    /// Ids of messages that were pushed before their source was used: they are remembered and not counted.
    pub earlier: Vec<String>,
    /// File that they were read from; its new position is stored together with them.
    pub read: Option<ReadFile>,
}

/// Identity of a file, until its inode is reused. The default stands for no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// Read position in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    /// Identity of the file.
    pub file: FileId,
    /// Number of bytes read.
    pub offset: u64,
    /// Number of lines read.
    pub lines: u64,
    /// Bytes just before the offset, at most 64.
    pub before: Vec<u8>,
    /// True if the file was at the followed path when it was last checked.
    pub is_at_path: bool,
    /// True if the file is at the path, or has left it with unread content.
    pub is_awaited: bool,
}

/// Progress of reading a followed file.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// Followed path.
    pub path: String,
    /// New position, with other marks that have changed.
    pub marks: Vec<FileMark>,
    /// Files whose marks are deleted.
    pub gone: Vec<FileId>,
    /// Number of lines read that were not message ids.
    pub bad_lines: i64,
}

/// A message to register.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Message id as the provider writes it.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
    /// True if `sent_at` is a time of the local clock that no provider has confirmed.
    pub is_guessed: bool,
    /// Due time of the first poll.
    pub due: Timestamp,
    /// Time from now to the first poll; lateness is measured in this unit.
    pub pace: Duration,
    /// Category of the sender, which becomes a label: `[a-z0-9_]{1,32}`.
    pub category: Option<String>,
}

/// Result of registering [`NewMessages`].
#[derive(Clone, Debug)]
pub struct AddedMessages {
    /// Number of messages that were not known.
    pub new: i64,
    /// Counters that are new or have increased.
    pub series: Vec<SeriesTotal>,
    /// Numbers of the app's messages after the registration.
    pub state: MessageState,
    /// Time at which each source that is named last brought a new id.
    pub last_new_ids: Vec<(MessageSource, Timestamp)>,
}

/// Query for the messages of the next calls.
#[derive(Clone, Debug)]
pub struct DueQuery {
    /// App of the messages.
    pub app: AppId,
    /// Report that polls them.
    pub report: &'static str,
    /// Current time.
    pub now: Timestamp,
    /// Number of messages in a call.
    pub batch: usize,
    /// Maximum number of calls.
    pub calls: usize,
    /// Rows of the messages that have a call under way.
    pub under_way: HashSet<i64>,
}

/// Messages to poll, the latest first. The last call is filled up with nearly due messages.
#[derive(Clone, Debug, Default)]
pub struct DueMessages {
    /// Messages to poll; empty if none is due.
    pub batch: Vec<TrackedMessage>,
    /// Due time of the first message that has no call under way, if there is any.
    pub next: Option<Timestamp>,
    /// Number of messages that are late by more than a whole interval.
    pub late: i64,
}

/// Query for the newest messages of an app.
#[derive(Clone, Copy, Debug)]
pub struct NewestQuery {
    /// App of the messages.
    pub app: AppId,
    /// Earliest send time.
    pub since: Timestamp,
    /// Maximum number of messages.
    pub count: usize,
}

/// Query for the tracked messages among some ids.
#[derive(Clone, Debug)]
pub struct TrackedQuery {
    /// App of the messages.
    pub app: AppId,
    /// Message ids as the provider writes them.
    pub ids: Vec<String>,
}

/// A message to poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedMessage {
    /// Row of the message.
    pub row: i64,
    /// Message id as the provider writes it.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
    /// True if `sent_at` is a time of the local clock that no provider had confirmed.
    pub is_guessed: bool,
    /// True if an answer has contained numbers of it.
    pub is_live: bool,
    /// State for reading its answers, in the provider's own encoding.
    pub shape: String,
    /// True if its numbers after ten minutes are counted.
    pub has_10m: bool,
    /// Number of consecutive failed calls.
    pub failures: u32,
    /// Maximum number of messages in a call that names it; 0 for the provider's limit.
    pub call_limit: u32,
    /// Number of polls that rejected only this message while others passed.
    pub refusals: u32,
    /// True if it is set aside because of that.
    pub is_aside: bool,
}

/// A message that was polled.
#[derive(Clone, Debug)]
pub struct PolledMessage {
    /// Row of the message.
    pub row: i64,
    /// Readings; empty if the answer had nothing for it.
    pub readings: Vec<Reading>,
    /// New state for reading its answers.
    pub shape: String,
    /// True if these readings are its numbers after ten minutes.
    pub is_at_10m: bool,
    /// Totals that differ from the sum of their parts, which are counted when it retires; `None` if there are none to compare.
    pub unaccounted: Option<Vec<(Metric, i64)>>,
    /// Next due time and interval; `None` retires it.
    pub next: Option<(Timestamp, Duration)>,
}

/// Changes of the newest messages of a report, which are shown individually.
#[derive(Clone, Debug, Default)]
pub struct NewestMessages {
    /// Messages that are new among them, or whose numbers changed.
    pub set: Vec<NewestMessage>,
    /// Ids of messages that are no longer among them.
    pub gone: Vec<String>,
}

/// One of the newest messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestMessage {
    /// Message id as the provider writes it.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
    /// Numbers of the message, in the poller's own encoding.
    pub numbers: String,
}

/// A message for which a call failed. None of its numbers is lost.
#[derive(Clone, Debug)]
pub struct FailedMessage {
    /// Row of the message.
    pub row: i64,
    /// Number of consecutive failed calls.
    pub failures: u32,
    /// New maximum number of messages in a call that names it.
    pub call_limit: u32,
    /// Number of polls that rejected only this message while others passed.
    pub refusals: u32,
    /// True if it is set aside because of that.
    pub is_aside: bool,
    /// Next due time and interval; `None` retires it.
    pub next: Option<(Timestamp, Duration)>,
}

/// Limitation of due times to a schedule.
#[derive(Clone, Debug)]
pub struct Reschedule {
    /// App of the messages.
    pub app: AppId,
    /// Report that polls them.
    pub report: &'static str,
    /// Current time.
    pub now: Timestamp,
    /// Age limit and polling interval of each step.
    pub steps: Vec<(Duration, Duration)>,
    /// New state of the report; `None` keeps the stored one.
    pub state: Option<String>,
    /// Messages that become due immediately.
    pub hurry: Option<Hurry>,
}

/// Selection of what is polled immediately, ahead of its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hurry {
    /// Failing reports, and failing parts of reports.
    Failing,
    /// Everything that can be polled.
    All,
}

/// Families whose totals are noted by hour.
pub const NOTED: [Family; 4] = [Family::Targeted, Family::Sent, Family::Failed, Family::Received];

/// Totals of an app's deliveries at the beginning of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourTotals {
    /// Id of the app.
    pub app: AppId,
    /// The hour, in Unix hours.
    pub hour: i64,
    /// Totals by series; a series that is missing was 0.
    pub totals: Vec<(SeriesId, i64)>,
}

/// Readings of a subject that an answer covers.
#[derive(Clone, Debug)]
pub struct SubjectReadings {
    /// Key of the subject: unit and first day.
    pub subject: String,
    /// Begin of the subject, which decides whether it was before the ledger knew the app.
    pub began: Timestamp,
    /// Readings; empty if the answer had nothing for it.
    pub readings: Vec<Reading>,
}

/// Gauges of a closed window.
#[derive(Clone, Debug)]
pub struct GaugeReadings {
    /// Id of a department; `""` for the whole account.
    pub scope: String,
    /// Unit of the window: day, week or month.
    pub unit: Unit,
    /// End of the window.
    pub end: Timestamp,
    /// Values; those of one series are added.
    pub values: Vec<GaugeReading>,
}

/// Changes made by a commit.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// Counters that are new or have increased.
    pub series: Vec<SeriesTotal>,
    /// Window gauges after the commit.
    pub gauges: Vec<StoredGauges>,
    /// Gauges of this moment: family, labels without provider and app, and value.
    pub moment: Vec<(Family, Labels, i64)>,
    /// True if any number was new.
    pub has_new_numbers: bool,
    /// Names that the app had never had before.
    pub new_names: Vec<String>,
    /// True if the app has reached the limit of unknown names: further ones are not counted.
    pub is_full: bool,
    /// Subjects whose watermarks were unreadable: they are counted from a new baseline.
    pub unreadable: Vec<String>,
    /// Numbers of the app's messages, after a commit about messages.
    pub messages: Option<MessageState>,
    /// Due time of the report's next message, after a commit about messages.
    pub next_due: Option<Timestamp>,
    /// Number of failing messages of the report, after a commit about messages.
    pub failing: i64,
}
