//! Settings, progress, results and errors of a history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::ledger::LedgerError;
use crate::model::advice::Advice;

/// Settings of a history.
#[derive(Clone, Debug)]
pub struct Settings {
    /// First day.
    pub from: Date,
    /// Day before which the history ends; `None` for the time at which the ledger first knew each app.
    pub to: Option<Date>,
    /// Interval between samples.
    pub step: Duration,
    /// Labels that are added to all series.
    pub labels: Vec<(String, String)>,
    /// File to write; compressed if its name ends in `.gz`.
    pub output: PathBuf,
    /// True if an interrupted run goes on.
    pub resume: bool,
}

/// Error of a history.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// An interrupted run, which would be lost.
    #[error("an interrupted run is in {0}; go on with it with --resume, or remove that folder")]
    Interrupted(PathBuf),
    /// An interrupted run with other settings.
    #[error("the run in {folder} has another {what}; repeat its command line, or remove that folder")]
    OtherSettings {
        /// Work folder of the run.
        folder: PathBuf,
        /// Setting that differs.
        what: &'static str,
    },
    /// Another process works on the same output.
    #[error("another push-exporter writes the same history: {0} is locked")]
    InUse(PathBuf),
    /// The ledger cannot be read.
    #[error(
        "cannot read from the ledger when each app was first known; give --to, and check ledger in the configuration"
    )]
    Ledger(#[from] LedgerError),
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// A file of the work folder is damaged.
    #[error("{0} is damaged; remove the folder and start anew")]
    Damaged(PathBuf),
    /// A signal stopped the run.
    #[error("stopped; the answers so far are kept, so that the same command goes on with --resume")]
    Stopped,
    /// Reports that failed.
    #[error("some reports failed; the answers so far are kept, so that the same command goes on with --resume")]
    Failed(Vec<FailedReport>),
}

/// Progress of a run, for a progress bar.
#[derive(Debug, Default)]
pub struct Progress {
    /// Number of days, or messages, to ask for.
    pub all: AtomicU64,
    /// Number of those that are answered.
    pub done: AtomicU64,
    /// True once messages are asked for instead of days.
    pub has_messages: AtomicBool,
}

impl Progress {
    pub(super) fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }
}

/// Windows that a provider refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedWindows {
    /// Provider, app and report, and the scope if it is about one.
    pub part: String,
    /// Name of the unit.
    pub unit: &'static str,
    /// First day and last day of each range.
    pub ranges: Vec<(Date, Date)>,
}

/// Size of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// Result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Size of the output.
    pub written: Written,
    /// Number of requests for statistics.
    pub requests: u64,
    /// Windows that the providers refused.
    pub refused: Vec<RefusedWindows>,
    /// Number of messages that the providers refused.
    pub refused_messages: u64,
}

/// Requests that a report takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportEstimate {
    /// Provider, app and report.
    pub report: String,
    /// Time at which the history of the app begins.
    pub from: Timestamp,
    /// Time at which the history of the app ends.
    pub to: Timestamp,
    /// Windows or messages to ask for, in words.
    pub what: String,
    /// Number of requests.
    pub requests: u64,
    /// Time that they take within the rate limit.
    pub time: Duration,
    /// Name of the account and API whose rate limit they share.
    pub(super) limit: String,
}

/// Estimate of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Estimates by report.
    pub reports: Vec<ReportEstimate>,
}

impl Estimate {
    /// Returns the number of requests of all reports.
    pub fn requests(&self) -> u64 {
        self.reports.iter().map(|report| report.requests).sum()
    }

    /// Returns the time that the run takes: apps are asked at the same time, reports that share a rate limit one after
    /// another.
    pub fn time(&self) -> Duration {
        let mut by_limit = BTreeMap::<&str, Duration>::new();
        for report in &self.reports {
            *by_limit.entry(&report.limit).or_default() += report.time;
        }
        by_limit.into_values().max().unwrap_or_default()
    }
}

/// A report that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedReport {
    /// Provider, app and report.
    pub report: String,
    /// Error without secrets.
    pub error: String,
    /// Advice for the operator.
    pub advice: Advice,
}

/// Returns the error of a file.
pub(super) fn file_error(path: &Path) -> impl Fn(std::io::Error) -> BackfillError {
    let path = path.to_owned();
    move |cause| BackfillError::File { path: path.clone(), cause }
}
