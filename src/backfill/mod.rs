//! History of before the ledger first knew an app: asks the reports for windows of the past, and messages with a known send
//! time, keeps the answers in a work folder, and writes series over time from them. Nothing is written to the ledger.
//!
//! [`plan`] decides what to ask, [`fetch`] asks windows and [`messages`] asks messages, [`journal`] keeps the answers,
//! [`timeline`] turns them into series and [`output`] writes the file. The output is a function of the plan and the journals
//! alone, so that a run that was interrupted gives the same bytes.

mod apps;
mod fetch;
mod journal;
mod messages;
mod output;
mod plan;
mod timeline;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::LedgerError;
use crate::metrics::help::HelpTexts;
use crate::provider::config::Config;
use crate::provider::transport::Transport;
use crate::util::clock::Clock;
use crate::util::supervise::joined;
use apps::AppRun;
pub use fetch::FailedReport;
use journal::{RunPlan, WorkFolder};
use messages::PlannedMessage;

/// Maximum number of reports that are asked concurrently.
const AT_ONCE: usize = 256;

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
    pub has_messages: std::sync::atomic::AtomicBool,
}

impl Progress {
    fn add(&self, count: u64) {
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
    limit: String,
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
        let mut by_limit = std::collections::BTreeMap::<&str, Duration>::new();
        for report in &self.reports {
            *by_limit.entry(&report.limit).or_default() += report.time;
        }
        by_limit.into_values().max().unwrap_or_default()
    }
}

/// A prepared history.
pub struct Backfill {
    settings: Settings,
    plan: RunPlan,
    folder: WorkFolder,
    apps: Vec<AppRun>,
    max_age: Duration,
    instance: Option<String>,
    help: HelpTexts,
}

impl Backfill {
    /// Decides what to ask: reads the ledger and the files of message ids, and the plan of an interrupted run. Nothing is
    /// written.
    ///
    /// # Errors
    /// Fails if the ledger or a file cannot be read, or if an interrupted run has other settings.
    pub async fn prepare(
        config: &Config,
        help: HelpTexts,
        settings: Settings,
        clock: &Clock,
    ) -> Result<Backfill, BackfillError> {
        let folder = WorkFolder::beside(&settings.output);
        let earlier = folder.plan().await?;
        let plan = match earlier {
            Some(_) if !settings.resume => return Err(BackfillError::Interrupted(folder.path().to_owned())),
            Some(plan) => {
                if let Some(what) = plan.difference(&settings) {
                    return Err(BackfillError::OtherSettings { folder: folder.path().to_owned(), what });
                }
                plan
            }
            None => RunPlan::new(config, &settings, clock).await?,
        };
        let mut apps = Vec::new();
        for (index, planned) in plan.apps.iter().enumerate() {
            // An app that left the configuration since the plan was made is left out.
            let found = config.apps.iter().find(|app| planned.is_of(app));
            if let Some(app) = found {
                apps.push(AppRun::new(index, app, planned, &plan, &folder, &config.ledger, clock).await?);
            }
        }
        if let Some(new) = config.apps.iter().find(|app| !plan.apps.iter().any(|planned| planned.is_of(app))) {
            tracing::warn!(
                provider = new.provider.name(),
                app = new.name,
                "the app is new in the configuration since the run began; its history is not written"
            );
        }
        let instance = config.ledger.instance().map(str::to_owned);
        Ok(Backfill { settings, plan, folder, apps, max_age: config.max_age, instance, help })
    }

    /// Returns the requests that the run takes if it starts now.
    pub fn estimate(&self) -> Estimate {
        Estimate { reports: self.apps.iter().flat_map(AppRun::estimate).collect() }
    }

    /// Asks the providers and writes the output.
    ///
    /// # Errors
    /// Fails if it is stopped, if a report fails, or if a file cannot be written. The answers are kept in the first two
    /// cases.
    pub async fn run(
        self,
        transport: Arc<dyn Transport>,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Result<Summary, BackfillError> {
        let Backfill { settings, plan, folder, mut apps, max_age, instance, help } = self;
        let _lock = folder.open(&plan).await?;
        for app in &mut apps {
            app.open().await?;
        }
        let mut summary = Summary::default();
        let mut failed = Vec::new();
        for for_messages in [false, true] {
            let mut tasks = JoinSet::new();
            let places = Arc::new(Semaphore::new(AT_ONCE));
            let jobs: Vec<_> = apps.iter_mut().flat_map(|app| app.jobs(for_messages, &transport)).collect();
            progress.all.store(jobs.iter().map(fetch::Job::size).sum(), Ordering::Relaxed);
            progress.done.store(0, Ordering::Relaxed);
            progress.has_messages.store(for_messages, Ordering::Relaxed);
            for (index, job) in jobs.into_iter().enumerate() {
                let (places, progress, stop) = (Arc::clone(&places), Arc::clone(&progress), stop.clone());
                tasks.spawn(async move {
                    let _place = places.acquire().await;
                    (index, job.run(&progress, &stop).await)
                });
            }
            let mut results = Vec::new();
            while let Some(result) = tasks.join_next().await {
                results.extend(joined(result));
            }
            results.sort_by_key(|(index, _)| *index);
            for (_, result) in results {
                let outcome = result?;
                summary.requests += outcome.requests;
                summary.refused.extend(outcome.refused);
                summary.refused_messages += outcome.refused_messages;
                failed.extend(outcome.failed);
            }
            if stop.is_cancelled() {
                return Err(BackfillError::Stopped);
            }
        }
        if !failed.is_empty() {
            return Err(BackfillError::Failed(failed));
        }
        let sources = apps.iter().flat_map(|app| app.sources(max_age)).collect();
        let writer = output::Writer {
            file: settings.output,
            work: folder.path().to_owned(),
            sources,
            help,
            labels: common_labels(instance, settings.labels),
            step: plan.step,
            stop,
        };
        let written = tokio::task::spawn_blocking(move || writer.write()).await;
        let written = joined(written).unwrap_or(Err(BackfillError::Stopped))?;
        summary.written = written;
        folder.remove().await?;
        Ok(summary)
    }
}

/// Returns the labels of all series: the configured `instance` unless another one is given, and the given ones.
fn common_labels(instance: Option<String>, given: Vec<(String, String)>) -> Vec<(String, String)> {
    let instance = instance.filter(|_| !given.iter().any(|(name, _)| name == "instance"));
    instance.map(|instance| ("instance".to_owned(), instance)).into_iter().chain(given).collect()
}

/// Returns the error of a file.
fn file_error(path: &std::path::Path) -> impl Fn(std::io::Error) -> BackfillError {
    let path = path.to_owned();
    move |cause| BackfillError::File { path: path.clone(), cause }
}
