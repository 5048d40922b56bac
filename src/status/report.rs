//! What is known of a report, of an app besides its reports, and of a followed file; the labels that they are shown with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::exposition::{Sample, Update, text};
use crate::metrics::catalog::Family;
use crate::status::bell::Bell;

/// Which report of which app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ReportId {
    /// The provider.
    pub provider: &'static str,
    /// The app.
    pub app: String,
    /// The report.
    pub report: &'static str,
}

impl ReportId {
    /// The labels provider and app, the owner of a series.
    pub fn app_labels(&self) -> Arc<str> {
        app_labels(self.provider, &self.app)
    }

    pub(super) fn labels(&self, more: &[(&str, &str)]) -> String {
        let pairs: Vec<(&str, &str)> = [("report", self.report)].into_iter().chain(more.iter().copied()).collect();
        text::labels(&pairs)
    }

    /// A sample with the labels of this report and perhaps more.
    pub fn sample(&self, family: Family, more: &[(&str, &str)], value: i64) -> Sample {
        Sample { family, app_labels: self.app_labels(), labels: self.labels(more), value, created: None }
    }

    pub(super) fn set(&self, family: Family, more: &[(&str, &str)], value: i64) -> Update {
        Update::Set(self.sample(family, more, value))
    }

    pub(super) fn set_due(&self, due: Option<Timestamp>) -> Update {
        Update::show(Family::PollDue, self.app_labels(), self.labels(&[]), due.map(Timestamp::as_millisecond))
    }

    /// Shows a failure instead of the one before.
    pub(super) fn replace_failing(&self, before: Option<PollFailure>, failure: &PollFailure) -> Vec<Update> {
        let gone = before.filter(|before| before.labels() != failure.labels());
        let mut updates: Vec<Update> = gone.map(|gone| self.not_failing(&gone)).into_iter().collect();
        updates.push(self.set(Family::PollFailing, &failure.labels(), 1));
        updates
    }

    pub(super) fn not_failing(&self, failure: &PollFailure) -> Update {
        self.remove(Family::PollFailing, &failure.labels())
    }

    /// The removal of such a series.
    pub fn remove(&self, family: Family, more: &[(&str, &str)]) -> Update {
        Update::remove(self.sample(family, more, 0))
    }
}

/// The labels provider and app.
pub fn app_labels(provider: &str, app: &str) -> Arc<str> {
    text::labels(&[("provider", provider), ("app", app)]).into()
}

/// How a report is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not polled since the start.
    #[default]
    Waiting,
    /// The last poll succeeded.
    Up,
    /// The last poll failed.
    Failing,
}

/// What is known of a report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReportStatus {
    /// How it is.
    pub state: Health,
    /// When a poll last succeeded.
    pub last_success: Option<Timestamp>,
    /// When a poll last brought a new number.
    pub last_change: Option<Timestamp>,
    /// When it is polled next.
    pub next_poll: Option<Timestamp>,
    /// The failure that lasts.
    pub error: Option<PollFailure>,
    /// The last failures since the start, the newest first, each once in a row; also after it works again.
    pub last_errors: VecDeque<PastFailure>,
    /// Messages that should have been polled a whole interval ago, as the last poll found them.
    pub late_messages: i64,
    /// Has it polled out of turn.
    #[serde(skip)]
    pub bell: Arc<Bell>,
    /// How it was before it failed.
    #[serde(skip)]
    pub before_outage: Health,
    /// Failed polls in a row.
    #[serde(skip)]
    pub failures: u32,
    /// Failed polls since the start, by reason.
    #[serde(skip)]
    pub errors: Errors,
}

/// Failed polls by reason.
pub(super) type Errors = BTreeMap<&'static str, i64>;

/// Why a report is failing, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PollFailure {
    /// The label value.
    pub reason: &'static str,
    /// True if a part of the report fails (a window, a batch of messages, a department) while others work.
    pub is_part: bool,
    /// True if no poll has failed: one waits for the end of a rate limit.
    #[serde(skip)]
    pub is_wait: bool,
    /// Code that tells it from another failure with the same reason.
    #[serde(skip)]
    pub code: String,
    /// What happened.
    pub message: String,
    /// The provider's id of the last request that failed, for its support.
    pub log_id: Option<String>,
    /// What to do.
    pub advice: &'static str,
    /// Since when.
    pub since: Timestamp,
}

impl PollFailure {
    /// Its labels behind those of the report.
    pub(super) fn labels(&self) -> Vec<(&'static str, &'static str)> {
        let scope = self.is_part.then_some(("scope", "part"));
        [("reason", self.reason)].into_iter().chain(scope).collect()
    }
}

/// A failed poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastFailure {
    /// When.
    pub at: Timestamp,
    /// The label value.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub advice: &'static str,
}

/// What is known of an app besides its reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AppStatus {
    /// Its messages, if it takes any.
    #[serde(rename = "tracked_messages")]
    pub tracked: Option<MessageCounts>,
    /// True if messages may be registered for it.
    #[serde(skip)]
    pub takes_messages: bool,
    /// When the newest of them was sent.
    pub newest_message: Option<Timestamp>,
    /// What the provider says of its quotas, by API.
    pub quotas: BTreeMap<&'static str, Quota>,
    /// When its token expires.
    pub token_expiry: Option<Timestamp>,
    /// Seconds by which our clock is ahead of the provider's, by its answers.
    pub clock_skew_seconds: Option<f64>,
    /// True if it has had so many unknown names that further ones are not counted.
    pub unknown_fields_full: bool,
}

/// Messages that are polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// Those without a number.
    pub waiting: i64,
    /// Those with one.
    pub live: i64,
}

/// A quota as the provider's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Requests in a window.
    pub limit: Option<u64>,
    /// What is left of them.
    pub remaining: Option<u64>,
}

/// A line that is no message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it; nothing of what it says, which may be a secret.
    pub reason: String,
    /// When it was read.
    pub at: Timestamp,
}

/// How a followed file of message ids is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Lines read.
    pub lines: u64,
    /// Lines since the start that were no ids.
    pub bad_lines: i64,
    /// The last of them.
    pub last_bad_line: Option<BadLine>,
    /// Why it cannot be read, if it cannot.
    pub trouble: Option<String>,
}

/// A poll that has ended, as far as its health goes.
#[derive(Clone, Copy, Debug)]
pub struct PollTiming {
    /// Time of its end.
    pub now: Timestamp,
    /// True if a number was new.
    pub has_new_numbers: bool,
    /// Duration; `None` if it was not made or not finished.
    pub took: Option<Duration>,
}
