//! Status of a report, of an app apart from its reports, and of a followed file, with the labels under which they are
//! shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::exposition::{Sample, Update, text};
use crate::metrics::catalog::Family;
use crate::model::advice::Advice;
use crate::model::message_source::MessageSource;
use crate::status::bell::Bell;

/// Identity of a report: its provider, its app and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ReportId {
    /// Name of the provider.
    pub provider: &'static str,
    /// Name of the app.
    pub app: String,
    /// Name of the report.
    pub report: &'static str,
}

impl ReportId {
    /// Returns the labels provider and app, the owner of a series.
    pub fn app_labels(&self) -> Arc<str> {
        app_labels(self.provider, &self.app)
    }

    pub(super) fn labels(&self, more: &[(&str, &str)]) -> String {
        let pairs: Vec<(&str, &str)> = [("report", self.report)].into_iter().chain(more.iter().copied()).collect();
        text::labels(&pairs)
    }

    /// Returns a sample with the labels of this report and those in `more`.
    pub fn sample(&self, family: Family, more: &[(&str, &str)], value: i64) -> Sample {
        Sample { family, app_labels: self.app_labels(), labels: self.labels(more), value, created: None }
    }

    pub(super) fn set(&self, family: Family, more: &[(&str, &str)], value: i64) -> Update {
        Update::Set(self.sample(family, more, value))
    }

    pub(super) fn set_due(&self, due: Option<Timestamp>) -> Update {
        Update::show(Family::PollDue, self.app_labels(), self.labels(&[]), due.map(Timestamp::as_millisecond))
    }

    /// Returns the updates that show a failure instead of the previous one.
    pub(super) fn replace_failing(&self, before: Option<PollFailure>, failure: &PollFailure) -> Vec<Update> {
        let gone = before.filter(|before| before.labels() != failure.labels());
        let mut updates: Vec<Update> = gone.map(|gone| self.not_failing(&gone)).into_iter().collect();
        updates.push(self.set(Family::PollFailing, &failure.labels(), 1));
        updates
    }

    pub(super) fn not_failing(&self, failure: &PollFailure) -> Update {
        self.remove(Family::PollFailing, &failure.labels())
    }

    /// Returns the removal of a series of this report.
    pub fn remove(&self, family: Family, more: &[(&str, &str)]) -> Update {
        Update::remove(self.sample(family, more, 0))
    }
}

/// Returns the labels provider and app.
pub fn app_labels(provider: &str, app: &str) -> Arc<str> {
    text::labels(&[("provider", provider), ("app", app)]).into()
}

/// Health of a report, by its last poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The report has not been polled since the start.
    #[default]
    Waiting,
    /// The last poll succeeded.
    Up,
    /// The last poll failed.
    Failing,
}

/// Status of a report, as the status page lists it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReportStatus {
    /// Health of the report.
    pub state: Health,
    /// Time of the last poll that succeeded.
    pub last_success: Option<Timestamp>,
    /// Time of the last poll that brought a new number.
    pub last_change: Option<Timestamp>,
    /// Time of the next poll.
    pub next_poll: Option<Timestamp>,
    /// Current failure, if the report is failing.
    pub error: Option<PollFailure>,
    /// Last failures since the start, the newest first; one that repeats in a row is listed once. They stay after the
    /// report works again.
    pub last_errors: VecDeque<PastFailure>,
    /// Number of messages that should have been polled a whole interval ago, as the last poll found them.
    pub late_messages: i64,
    /// Signal that makes the report poll out of turn.
    #[serde(skip)]
    pub bell: Arc<Bell>,
    /// Health before the current failure.
    #[serde(skip)]
    pub before_outage: Health,
    /// Number of failed polls in a row.
    #[serde(skip)]
    pub failures: u32,
    /// Number of failed polls since the start, by reason.
    #[serde(skip)]
    pub errors: Errors,
}

/// Number of failed polls by reason.
pub(super) type Errors = BTreeMap<&'static str, i64>;

/// Failure of a report, in a text without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PollFailure {
    /// Value of the label `reason`.
    pub reason: &'static str,
    /// True if a part of the report fails (a window, a batch of messages, a department) while others work.
    pub is_part: bool,
    /// True if no poll has failed but one waits for the end of a rate limit.
    #[serde(skip)]
    pub is_wait: bool,
    /// Code that distinguishes the failure from another with the same reason.
    #[serde(skip)]
    pub code: String,
    /// Message of the error.
    pub message: String,
    /// The provider's id of the last request that failed, for its support.
    pub log_id: Option<String>,
    /// Advice to the operator.
    #[serde(flatten)]
    pub advice: Advice,
    /// Time at which the failure began.
    pub since: Timestamp,
}

impl PollFailure {
    /// Returns the labels after those of the report.
    pub(super) fn labels(&self) -> Vec<(&'static str, &'static str)> {
        let scope = self.is_part.then_some(("scope", "part"));
        [("reason", self.reason)].into_iter().chain(scope).collect()
    }
}

/// A failed poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastFailure {
    /// Time of the failure.
    pub at: Timestamp,
    /// Value of the label `reason`.
    pub reason: &'static str,
    /// Message of the error.
    pub message: String,
    /// Advice to the operator.
    #[serde(flatten)]
    pub advice: Advice,
}

/// Status of an app apart from its reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AppStatus {
    /// Number of its messages, if it takes any.
    #[serde(rename = "tracked_messages")]
    pub tracked: Option<MessageCounts>,
    /// True if messages may be registered for it.
    #[serde(skip)]
    pub takes_messages: bool,
    /// Time at which the newest of its messages was sent.
    pub newest_message: Option<Timestamp>,
    /// Sources of its message ids.
    #[serde(rename = "message_id_sources")]
    pub id_sources: Vec<MessageSource>,
    /// Time at which each source last brought a new id.
    #[serde(rename = "last_new_message_ids")]
    pub last_new_ids: BTreeMap<MessageSource, Timestamp>,
    /// Quotas by API, as the provider reports them.
    pub quotas: BTreeMap<&'static str, Quota>,
    /// Time at which the token expires.
    pub token_expiry: Option<Timestamp>,
    /// Lead of the local clock over the provider's in seconds, computed from its answers.
    pub clock_skew_seconds: Option<f64>,
    /// True if the app has had so many unknown names that further ones are not counted.
    pub unknown_fields_full: bool,
    /// Time zone of the app's days, as its provider counts them.
    pub timezone: Option<String>,
    /// Comparisons with the provider's own totals by unit: day, week, month.
    #[serde(rename = "reconciliation")]
    pub reconciled: BTreeMap<&'static str, Reconciled>,
}

/// Comparison of a settled window with the provider's own totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// End of the window.
    pub end: Timestamp,
    /// The provider's total less what was read, by metric.
    pub unaccounted: BTreeMap<String, i64>,
}

/// Number of messages that are polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// Messages without a number.
    pub waiting: i64,
    /// Messages with a number.
    pub live: i64,
}

/// A quota, as the provider's headers report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Requests that are allowed in a window.
    pub limit: Option<u64>,
    /// Requests that are left in the window.
    pub remaining: Option<u64>,
}

/// A line that is no message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// Reason, without any text of the line, which may be a secret.
    pub reason: String,
    /// Time at which the line was read.
    pub at: Timestamp,
}

/// Status of a followed file of message ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Number of lines read.
    pub lines: u64,
    /// Number of lines since the start that were no ids.
    pub bad_lines: i64,
    /// Last of these lines.
    pub last_bad_line: Option<BadLine>,
    /// Reason if the file cannot be read.
    pub trouble: Option<String>,
}

/// End of a poll, as far as it concerns the health of its report.
#[derive(Clone, Copy, Debug)]
pub struct PollTiming {
    /// Time of the end.
    pub now: Timestamp,
    /// True if a number was new.
    pub has_new_numbers: bool,
    /// Duration of the poll; `None` if it was not made or not finished.
    pub took: Option<Duration>,
}
