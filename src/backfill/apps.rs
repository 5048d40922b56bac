//! An app of a history: what to ask each of its reports, and where the answers are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::backfill::access::{Access, Outcome, name};
use crate::backfill::journal::{Journal, PlannedApp, RunPlan, WorkFolder};
use crate::backfill::messages::{MessageJob, MessageList};
use crate::backfill::plan::{Span, WindowGroup, days_of, groups};
use crate::backfill::timeline::{Content, Source};
use crate::backfill::types::{BackfillError, Progress, ReportEstimate};
use crate::backfill::windows::WindowJob;
use crate::config::postgres_address::LedgerAddress;
use crate::provider::client::{AccountClient, Client};
use crate::provider::config::App;
use crate::provider::rate_limit::{Limit, Priority};
use crate::provider::transport::Transport;
use crate::provider::{CounterSource, GaugeReport, MessageReport, ReportSpec, WindowReport};
use crate::status::ReportId;
use crate::util::clock::Clock;

/// Queries to a report that remain to be sent.
pub(super) enum Job {
    Windows(WindowJob),
    Messages(MessageJob),
}

impl Job {
    /// Returns the number of days, or messages, that it asks for.
    pub(super) fn size(&self) -> u64 {
        match self {
            Job::Windows(job) => job.groups.iter().flat_map(|group| &group.queries).map(days_of).sum(),
            Job::Messages(job) => job.messages.len() as u64,
        }
    }

    /// Sends the queries until all are answered, one fails, or `stop` is cancelled.
    pub(super) async fn run(self, progress: &Progress, stop: &CancellationToken) -> Result<Outcome, BackfillError> {
        match self {
            Job::Windows(job) => job.run(progress, stop).await,
            Job::Messages(job) => job.run(progress, stop).await,
        }
    }
}

/// An app and its reports.
pub(super) struct AppRun {
    span: Span,
    zone: TimeZone,
    account: Arc<AccountClient>,
    account_id: String,
    windows: Vec<WindowRun>,
    messages: Option<MessageRun>,
}

struct WindowRun {
    id: ReportId,
    report: Arc<dyn WindowReport>,
    counts: bool,
    groups: Vec<WindowGroup>,
    path: PathBuf,
    journal: Option<Journal>,
}

struct MessageRun {
    id: ReportId,
    report: Arc<dyn MessageReport>,
    list: MessageList,
    path: PathBuf,
    journal: Option<Journal>,
}

/// Returns the part of a rate limit that a history uses: the other half is left to a running exporter.
fn share(limit: Limit) -> Limit {
    Limit { requests: (limit.requests / 2).max(1), ..limit }
}

impl AppRun {
    /// Decides what to ask, and reads the files of message ids.
    pub(super) async fn new(
        index: usize,
        app: &App,
        planned: &PlannedApp,
        plan: &RunPlan,
        folder: &WorkFolder,
        ledger: &LedgerAddress,
        clock: &Clock,
    ) -> Result<AppRun, BackfillError> {
        let span = Span { from: planned.from, to: planned.to };
        let account = Arc::new(AccountClient::new(clock));
        for secret in app.account.secrets() {
            account.scrubber().learn(&secret.current());
        }
        let context = app.report_context(clock);
        let id = |report: &ReportSpec| ReportId {
            provider: app.provider.name(),
            app: app.name.clone(),
            report: report.name,
        };
        let mut windows = Vec::new();
        let mut add = |report: Box<dyn WindowReport>, counts: bool| {
            let report: Arc<dyn WindowReport> = report.into();
            let groups = groups(&*report, counts, &app.zone, span, plan.made);
            let id = id(report.spec());
            let path = folder.file(index, &format!("{}.jsonl", id.report));
            windows.push(WindowRun { id, report, counts, groups, path, journal: None });
        };
        let mut delivery = None;
        match app.account.counter_source(&context) {
            CounterSource::Windows(report) => add(report, true),
            CounterSource::Messages(messages) => delivery = Some(messages),
            CounterSource::List(_) => {
                tracing::info!(app = app.name, "the messages that {} lists have no history", app.provider.title());
            }
        }
        for report in app.account.gauge_reports(&context) {
            if let GaugeReport::Windows(report) = report {
                add(report, false);
            }
        }
        windows
            .retain(|run| run.groups.iter().any(|group| !group.queries.is_empty() || !group.out_of_reach.is_empty()));
        let mut messages = None;
        if let Some(delivery) = delivery
            && let Some(position) =
                delivery.reports.iter().position(|report| Some(report.spec().name) == delivery.delivery)
        {
            let list = MessageList::new(folder.file(index, "messages.jsonl"), app, &delivery, planned, ledger).await?;
            let report = delivery.reports.into_iter().nth(position).filter(|_| !list.messages.is_empty());
            messages = report.map(|report| {
                let id = id(report.spec());
                let path = folder.file(index, &format!("{}.jsonl", id.report));
                MessageRun { id, report: report.into(), list, path, journal: None }
            });
        }
        Ok(AppRun { span, zone: app.zone.clone(), account, account_id: app.account.id(), windows, messages })
    }

    /// Returns the requests that its reports take.
    pub(super) fn estimate(&self) -> Vec<ReportEstimate> {
        let estimate = |id: &ReportId, spec: &ReportSpec, what: String, requests: u64| {
            let limit = share(spec.limit);
            let each = limit.window / u32::try_from(limit.requests).unwrap_or(u32::MAX);
            ReportEstimate {
                report: name(id),
                from: self.span.from,
                to: self.span.to,
                what,
                requests,
                time: each.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX)),
                limit: format!("{} {} {}", id.provider, self.account_id, spec.limit.api),
            }
        };
        let mut estimates = Vec::new();
        for run in &self.windows {
            let asked = |group: &WindowGroup| group.queries.len() as u64 * group.past.requests_a_query;
            let days: u64 = run.groups.iter().flat_map(|group| &group.queries).map(days_of).sum();
            let requests = run.groups.iter().map(asked).sum();
            estimates.push(estimate(&run.id, run.report.spec(), format!("{days} days"), requests));
        }
        if let Some(run) = &self.messages {
            let (count, batch) = (run.list.messages.len(), run.report.batch().max(1));
            let requests = count.div_ceil(batch) as u64;
            estimates.push(estimate(&run.id, run.report.spec(), format!("{count} messages"), requests));
        }
        estimates
    }

    /// Opens the journals, and keeps the list of messages.
    pub(super) async fn open(&mut self) -> Result<(), BackfillError> {
        for run in &mut self.windows {
            run.journal = Some(Journal::open(run.path.clone()).await?);
        }
        if let Some(run) = &mut self.messages {
            run.list.keep().await?;
            run.journal = Some(Journal::open(run.path.clone()).await?);
        }
        Ok(())
    }

    /// Returns the queries to its reports.
    pub(super) fn jobs(&mut self, for_messages: bool, transport: &Arc<dyn Transport>) -> Vec<Job> {
        let account = &self.account;
        let access = |id: &ReportId, spec: &ReportSpec, journal: Journal| {
            let client = Client::new(Arc::clone(transport), account, id.report, share(spec.limit), Priority::First);
            Access { id: id.clone(), account: Arc::clone(account), client, journal }
        };
        if for_messages {
            let job = |run: &mut MessageRun| {
                let access = access(&run.id, run.report.spec(), run.journal.take()?);
                let messages = run.list.messages.clone();
                Some(Job::Messages(MessageJob { access, report: Arc::clone(&run.report), messages }))
            };
            return self.messages.iter_mut().filter_map(job).collect();
        }
        let job = |run: &mut WindowRun| {
            let access = access(&run.id, run.report.spec(), run.journal.take()?);
            Some(Job::Windows(WindowJob { access, report: Arc::clone(&run.report), groups: run.groups.clone() }))
        };
        self.windows.iter_mut().filter_map(job).collect()
    }

    /// Returns what the output is made of.
    pub(super) fn sources(&self, max_age: Duration) -> Vec<Source> {
        let windows = self.windows.iter().map(|run| {
            let content = Content::Windows {
                report: Arc::clone(&run.report),
                counts: run.counts,
                zone: self.zone.clone(),
                max_age,
            };
            Source { id: run.id.clone(), path: run.path.clone(), span: self.span, content }
        });
        let messages = self.messages.iter().map(|run| Source {
            id: run.id.clone(),
            path: run.path.clone(),
            span: self.span,
            content: Content::Messages,
        });
        windows.chain(messages).collect()
    }
}
