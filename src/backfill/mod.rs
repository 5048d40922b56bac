//! History of before the ledger first knew an app: asks the reports for windows of the past, and messages with a known send
//! time, keeps the answers in a work folder, and writes series over time from them. Nothing is written to the ledger.
//!
//! [`plan`] decides what to ask, [`windows`] asks windows and [`messages`] asks messages, [`journal`] keeps the answers,
//! [`timeline`] turns them into series and [`output`] writes the file. The output is a function of the plan and the journals
//! alone, so that a run that was interrupted gives the same bytes.

mod access;
mod apps;
mod journal;
mod messages;
mod output;
mod plan;
mod timeline;
mod types;
mod windows;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::help::HelpTexts;
use crate::provider::config::Config;
use crate::provider::transport::Transport;
use crate::util::clock::Clock;
use crate::util::supervise::joined;
use apps::{AppRun, Job};
use journal::{RunPlan, WorkFolder};
pub use types::{
    BackfillError, Estimate, FailedReport, Progress, RefusedWindows, ReportEstimate, Settings, Summary, Written,
};

/// Maximum number of reports that are asked concurrently.
const AT_ONCE: usize = 256;

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

    /// Returns the requests that the whole run takes, unless days are refused.
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
            progress.all.store(jobs.iter().map(Job::size).sum(), Ordering::Relaxed);
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
