//! What goes into the ledger and comes out of it: apps, answers, messages, totals. Plain data.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::{GaugeReading, Reading, SeriesId};
use crate::model::window::Unit;

/// The number of an app's row.
pub type AppId = i64;

/// An app of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// The provider's name.
    pub provider: &'static str,
    /// The configured name.
    pub name: String,
    /// What makes it the same account at the provider.
    pub account: String,
    /// The report that its new messages are polled with, if it takes any.
    pub delivery: Option<&'static str>,
    /// Counters that are there from the beginning, by their labels behind provider and app.
    pub counters: Vec<(Family, Labels)>,
}

/// What the ledger knows of an app at start.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Its number.
    pub id: AppId,
    /// When it was first known.
    pub created: Timestamp,
    /// True if it was not known before, or another account was known under its name.
    pub is_new: bool,
    /// The last time that is known for sure, of any app; `None` in a new ledger.
    pub last_seen: Option<Timestamp>,
    /// Its reports.
    pub reports: Vec<StoredReport>,
    /// Its counters.
    pub series: Vec<SeriesTotal>,
    /// Its window gauges.
    pub gauges: Vec<StoredGauges>,
    /// How many unknown names were seen, by report.
    pub unknown: Vec<(String, i64)>,
    /// True if it has had as many unknown names as are remembered: further ones are not counted.
    pub is_full: bool,
    /// Its messages.
    pub messages: MessageState,
    /// How far its files of message ids have been read, by the path that is followed.
    pub files: Vec<(String, FileMark)>,
}

/// The messages of an app, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageState {
    /// Those without a number yet.
    pub waiting: i64,
    /// Those with one.
    pub live: i64,
    /// When the newest that was ever registered was sent.
    pub newest: Option<Timestamp>,
    /// Counts the writes of this process: of two states, the one with the higher number is the later.
    pub version: u64,
}

/// What is kept of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredReport {
    /// Its name.
    pub report: String,
    /// When its next poll is due.
    pub due: Option<Timestamp>,
    /// When a poll last succeeded.
    pub last_success: Option<Timestamp>,
    /// When a poll last brought a new number.
    pub last_change: Option<Timestamp>,
    /// What the provider remembers.
    pub state: String,
    /// Its newest messages.
    pub newest: Vec<NewestMessage>,
    /// True if messages of it are failing.
    pub is_failing: bool,
}

/// A counter as committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTotal {
    /// Its number.
    pub id: SeriesId,
    /// Its family.
    pub family: Family,
    /// Its labels behind provider and app.
    pub labels: Labels,
    /// Its total.
    pub total: i64,
    /// True if it has never shown its total: it shows 0 for a while first.
    pub is_held: bool,
    /// Since when it is there.
    pub created: Timestamp,
}

/// The gauges of a window as committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGauges {
    /// Its report.
    pub report: String,
    /// A department's id, `""` for the whole account.
    pub scope: String,
    /// day, week, month.
    pub unit: Unit,
    /// When the window ended.
    pub end: Timestamp,
    /// Family, labels behind provider and app, value.
    pub values: Vec<(Family, Labels, i64)>,
}

/// One answer of a provider: all of it is committed, or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Whose.
    pub app: AppId,
    /// Which report's.
    pub report: &'static str,
    /// When.
    pub now: Timestamp,
    /// The latest time that is certain: [`crate::util::clock_guard::ClockReading::sure`].
    pub sure: Timestamp,
    /// Correction of times that were written before a provider's clock was known.
    pub confirmation: Option<Confirmation>,
    /// How long a series that is new stays at 0.
    pub hold: Duration,
    /// What it says.
    pub content: CommitContent,
    /// Names that were not known.
    pub unknown: Vec<String>,
    /// What the provider remembers from now on, if it is worth writing.
    pub state: Option<String>,
    /// Whether this answer completes a successful poll.
    pub succeeded: bool,
    /// When the next poll is due, where messages have no due times of their own.
    pub due: Option<Timestamp>,
}

/// A clock that a provider has confirmed or corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Correction of times that our clock told.
    pub correction: SignedDuration,
    /// Time at which the app was first known, if that was in this process.
    pub first_known: Option<Timestamp>,
}

impl Confirmation {
    /// Corrects the send time of a message that only our clock told: not before the app was known, not after now.
    pub fn correct(&self, sent_at: Timestamp, now: Timestamp) -> Timestamp {
        let moved = sent_at.saturating_add(self.correction).unwrap_or(sent_at).min(now);
        self.first_known.map_or(moved, |known| moved.max(known))
    }
}

/// What an answer is about.
#[derive(Clone, Debug)]
pub enum CommitContent {
    /// Windows.
    Windows {
        /// Readings that feed counters.
        subjects: Vec<SubjectReadings>,
        /// Which of their fields the answer covers, by the beginnings of their paths; all of them if empty.
        covers: Vec<String>,
        /// Window gauges to replace.
        gauges: Vec<GaugeReadings>,
    },
    /// Messages.
    Messages {
        /// Those that were answered.
        polled: Vec<PolledMessage>,
        /// Those that a call failed for.
        failed: Vec<FailedMessage>,
        /// Changes of the newest ones.
        newest: NewestMessages,
    },
    /// Numbers of this moment, which are not kept.
    Moment {
        /// The numbers.
        gauges: Vec<GaugeReading>,
        /// Whether they are others than before.
        is_new: bool,
    },
}

/// Where a message id came from, which is the label `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageSource {
    /// The configuration.
    Config,
    /// A followed file.
    File,
    /// `POST /api/v1/messages`.
    Api,
}

impl MessageSource {
    /// All of them, each of which starts at 0.
    pub const ALL: [MessageSource; 3] = [MessageSource::Config, MessageSource::File, MessageSource::Api];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            MessageSource::Config => "config",
            MessageSource::File => "file",
            MessageSource::Api => "api",
        }
    }
}

/// Messages to be tracked, if they are not known already.
#[derive(Clone, Debug)]
pub struct NewMessages {
    /// Whose.
    pub app: AppId,
    /// The report they are polled with.
    pub report: &'static str,
    /// Where they came from.
    pub source: MessageSource,
    /// When.
    pub now: Timestamp,
    /// The messages.
    pub messages: Vec<NewMessage>,
    /// The file they were read from, which is read up to there once they are known.
    pub read: Option<ReadFile>,
}

/// What names a file, until its inode is used again. The default stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// How far a file has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    /// Which file.
    pub file: FileId,
    /// Bytes read.
    pub offset: u64,
    /// Lines read.
    pub lines: u64,
    /// The bytes just before the offset, at most 64.
    pub before: Vec<u8>,
    /// Whether it was at the path that is followed, when it was last looked at.
    pub is_at_path: bool,
    /// Whether it is there, or has left it with something unread.
    pub is_awaited: bool,
}

/// What has been read of a file.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// Its path.
    pub path: String,
    /// Up to where, with other marks that have changed.
    pub marks: Vec<FileMark>,
    /// Files of which the marks are to be forgotten.
    pub gone: Vec<FileId>,
    /// Lines among it that were no ids.
    pub bad_lines: i64,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id as the provider writes it.
    pub id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// True if `sent_at` is our own clock's time, which no provider has confirmed.
    pub is_guessed: bool,
    /// When it is polled first.
    pub due: Timestamp,
    /// How long that is from now: what it is late by is reckoned from this.
    pub pace: Duration,
}

/// What has become of [`NewMessages`].
#[derive(Clone, Debug)]
pub struct AddedMessages {
    /// How many were not known.
    pub new: i64,
    /// Counters that are new or have grown.
    pub series: Vec<SeriesTotal>,
    /// The app's messages now.
    pub state: MessageState,
}

/// Asks for the messages of the next calls.
#[derive(Clone, Debug)]
pub struct DueQuery {
    /// Whose.
    pub app: AppId,
    /// Of which report.
    pub report: &'static str,
    /// The time.
    pub now: Timestamp,
    /// How many a call names.
    pub batch: usize,
    /// How many calls at most.
    pub calls: usize,
    /// The rows of those that calls are under way for.
    pub under_way: HashSet<i64>,
}

/// Messages to ask for, the latest first; the last call is filled up with some that are nearly due.
#[derive(Clone, Debug, Default)]
pub struct DueMessages {
    /// Empty if none is due.
    pub batch: Vec<TrackedMessage>,
    /// Due time of the first message that no call is under way for, if there is any.
    pub next: Option<Timestamp>,
    /// How many should have been asked for a whole interval ago.
    pub late: i64,
}

/// Asks for the newest messages of an app.
#[derive(Clone, Copy, Debug)]
pub struct NewestQuery {
    /// Whose.
    pub app: AppId,
    /// None that was sent before.
    pub since: Timestamp,
    /// At most so many.
    pub count: usize,
}

/// A message on its way to the provider and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedMessage {
    /// Its row.
    pub row: i64,
    /// Its id as the provider writes it.
    pub id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// True if `sent_at` is our own clock's time, which no provider had confirmed.
    pub is_guessed: bool,
    /// True if an answer has had numbers of it.
    pub is_live: bool,
    /// How its answers are read: the provider's own.
    pub shape: String,
    /// Whether its first ten minutes are counted.
    pub has_10m: bool,
    /// Number of calls in a row that failed for it.
    pub failures: u32,
    /// Largest call that may name it; 0 for as many messages as the provider takes.
    pub call_limit: u32,
    /// Number of polls that refused it alone while others passed.
    pub refusals: u32,
    /// True if it is set aside for that.
    pub is_aside: bool,
}

/// A message that was asked for.
#[derive(Clone, Debug)]
pub struct PolledMessage {
    /// Its row.
    pub row: i64,
    /// Its readings; none if the answer had nothing for it.
    pub readings: Vec<Reading>,
    /// How its answers are read from now on.
    pub shape: String,
    /// Whether these readings are what it had after ten minutes.
    pub is_at_10m: bool,
    /// When it is due again and how often; `None` retires it.
    pub next: Option<(Timestamp, Duration)>,
}

/// Changes of the newest messages of a report, which are shown one by one.
#[derive(Clone, Debug, Default)]
pub struct NewestMessages {
    /// Messages that are new among them, or have other numbers.
    pub set: Vec<NewestMessage>,
    /// Ids of those that leave.
    pub gone: Vec<String>,
}

/// One of the newest messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestMessage {
    /// Its id as the provider writes it.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
    /// Its numbers: the poller's own text.
    pub numbers: String,
}

/// A message that a call failed for. None of its numbers is lost by that.
#[derive(Clone, Debug)]
pub struct FailedMessage {
    /// Its row.
    pub row: i64,
    /// Number of such calls in a row.
    pub failures: u32,
    /// Largest call that may name it from now on.
    pub call_limit: u32,
    /// Number of polls that refused it alone while others passed.
    pub refusals: u32,
    /// True if it is set aside for that.
    pub is_aside: bool,
    /// Next due time and interval; `None` retires it.
    pub next: Option<(Timestamp, Duration)>,
}

/// Brings due times back to what a schedule allows.
#[derive(Clone, Debug)]
pub struct Reschedule {
    /// Whose.
    pub app: AppId,
    /// Of which report.
    pub report: &'static str,
    /// The time.
    pub now: Timestamp,
    /// Until which age, how often.
    pub steps: Vec<(Duration, Duration)>,
    /// State of the report from now on; `None` leaves it as it is.
    pub state: Option<String>,
    /// Messages that become due at once.
    pub hurry: Option<Hurry>,
}

/// Choice of what is polled out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hurry {
    /// Failing reports, and failing parts of reports.
    Failing,
    /// Everything that can be asked for.
    All,
}

/// The readings of a subject that an answer covers.
#[derive(Clone, Debug)]
pub struct SubjectReadings {
    /// Its key: unit and first day.
    pub subject: String,
    /// When it began, to tell what was before the ledger knew the app.
    pub began: Timestamp,
    /// Its readings; none if the answer had nothing for it.
    pub readings: Vec<Reading>,
}

/// The gauges of a window that has closed.
#[derive(Clone, Debug)]
pub struct GaugeReadings {
    /// A department's id, `""` for the whole account.
    pub scope: String,
    /// day, week, month.
    pub unit: Unit,
    /// When the window ended.
    pub end: Timestamp,
    /// Its numbers; those of one series are added.
    pub values: Vec<GaugeReading>,
}

/// What a commit has changed.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// Counters that are new or have grown.
    pub series: Vec<SeriesTotal>,
    /// Window gauges as they are now.
    pub gauges: Vec<StoredGauges>,
    /// Gauges of this moment: family, labels behind provider and app, value.
    pub moment: Vec<(Family, Labels, i64)>,
    /// Whether any number was new.
    pub has_new_numbers: bool,
    /// Names that were never seen before in this app.
    pub new_names: Vec<String>,
    /// True if the app has had as many unknown names as are remembered: further ones are not counted.
    pub is_full: bool,
    /// Subjects whose watermarks could not be read: they are counted from a new baseline.
    pub unreadable: Vec<String>,
    /// The app's messages, after a commit about messages.
    pub messages: Option<MessageState>,
    /// When the report's next message is due, after a commit about messages.
    pub next_due: Option<Timestamp>,
    /// Number of failing messages of the report, after a commit about messages.
    pub failing: i64,
}
