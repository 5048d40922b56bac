//! Queries of a history to one report: within the rate limit, retried while that may help, and kept in the journal. A window
//! that the provider refuses is no failure; after some of them in a row, older ones are not asked any more.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backfill::journal::{Answer, AnswerKind, Asked, Journal, Number, Record, WindowNumbers};
use crate::backfill::messages::MessageJob;
use crate::backfill::plan::{WindowGroup, days_of, next, windows_of};
use crate::backfill::{BackfillError, Progress, RefusedWindows};
use crate::model::advice::Advice;
use crate::model::reading::{GaugeReading, Label, Reading, WindowReadings};
use crate::model::window::Window;
use crate::poll::backoff;
use crate::poll::window_gauges::gauge_readings;
use crate::provider::client::{AccountClient, Client};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::{WindowAnswer, WindowGauges, WindowQuery, WindowReport};
use crate::status::ReportId;
use crate::util::future::BoxFuture;

/// Number of windows refused in a row after which older ones are not asked any more.
const REFUSALS: usize = 3;
/// Number of requests for an answer.
const TRIES: u32 = 6;
/// Wait before a retry, besides the jitter.
const RETRY: Duration = Duration::from_secs(1);

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

/// Result of asking a report.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) refused: Vec<RefusedWindows>,
    pub(super) refused_messages: u64,
    pub(super) failed: Option<FailedReport>,
}

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

/// Access to one report.
pub(super) struct Access {
    pub(super) id: ReportId,
    pub(super) account: Arc<AccountClient>,
    pub(super) client: Client,
    pub(super) journal: Journal,
    /// Number of requests so far.
    pub(super) requests: u64,
}

/// Reason for which a query has no answer.
pub(super) enum NoAnswer {
    Stopped,
    Failed(ProviderError),
}

impl Access {
    /// Sends a query, which takes this many requests, and repeats it while that may help.
    pub(super) async fn ask<'a, T>(
        client: &Client,
        stop: &CancellationToken,
        query: impl Fn() -> BoxFuture<'a, Result<T, ProviderError>>,
    ) -> Result<T, NoAnswer> {
        let mut attempt = 0;
        loop {
            let Some(answer) = stop.run_until_cancelled(query()).await else { return Err(NoAnswer::Stopped) };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempt += 1;
            if attempt >= TRIES || !error.reason().is_transient() {
                return Err(NoAnswer::Failed(error));
            }
            if error.reason() == Reason::RateLimited {
                client.rate_limiter().block(error.reset());
            }
            let wait = RETRY + backoff::retry_delay(attempt);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(NoAnswer::Stopped);
            }
        }
    }

    /// Returns the failure of the report.
    pub(super) fn failed(&self, error: &ProviderError) -> FailedReport {
        FailedReport { report: name(&self.id), error: self.account.in_words(error), advice: error.advice() }
    }

    /// Records the requests that were sent since `before`.
    pub(super) fn count(&mut self, before: u64) {
        self.requests += self.client.requests().total().saturating_sub(before);
    }
}

/// Returns provider, app and report in words.
pub(super) fn name(id: &ReportId) -> String {
    format!("{} {} {}", id.provider, id.app, id.report)
}

/// Queries by window to one report.
pub(super) struct WindowJob {
    pub(super) access: Access,
    pub(super) report: Arc<dyn WindowReport>,
    pub(super) groups: Vec<WindowGroup>,
}

/// Windows that were refused, the newest first, and the number of the last ones in a row.
#[derive(Default)]
struct Refusals {
    windows: Vec<Window>,
    in_a_row: usize,
}

impl Refusals {
    fn note(&mut self, windows: impl IntoIterator<Item = Window>) {
        for window in windows {
            self.windows.push(window);
            self.in_a_row += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.in_a_row >= REFUSALS
    }
}

impl WindowJob {
    async fn run(mut self, progress: &Progress, stop: &CancellationToken) -> Result<Outcome, BackfillError> {
        let mut outcome = Outcome::default();
        let before = self.access.client.requests().total();
        for group in std::mem::take(&mut self.groups) {
            let mut refusals = Refusals::default();
            match self.ask_group(&group, &mut refusals, progress, stop).await? {
                Ok(()) => {}
                Err(NoAnswer::Stopped) => break,
                Err(NoAnswer::Failed(error)) => {
                    outcome.failed = Some(self.access.failed(&error));
                    break;
                }
            }
            refusals.windows.reverse();
            let windows = group.out_of_reach.iter().chain(&refusals.windows);
            outcome.refused.extend(refused(&self.access.id, &group, self.report.scope_label(), windows));
        }
        self.access.count(before);
        outcome.requests = self.access.requests;
        Ok(outcome)
    }

    async fn ask_group(
        &mut self,
        group: &WindowGroup,
        refusals: &mut Refusals,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<Result<(), NoAnswer>, BackfillError> {
        for query in &group.queries {
            if refusals.is_over() {
                refusals.note(windows_of(query).into_iter().rev());
                progress.add(days_of(query));
                continue;
            }
            let kind = match self.answer(query, stop).await? {
                Ok(kind) => kind,
                Err(none) => return Ok(Err(none)),
            };
            match kind {
                AnswerKind::Refused => refusals.note([query.first]),
                AnswerKind::Divided => {
                    for window in windows_of(query).into_iter().rev() {
                        let single = WindowQuery { first: window, last: window, scope: query.scope.clone() };
                        if refusals.is_over() {
                            refusals.note([window]);
                            continue;
                        }
                        match self.answer(&single, stop).await? {
                            Ok(AnswerKind::Refused | AnswerKind::Divided) => refusals.note([window]),
                            Ok(_) => refusals.in_a_row = 0,
                            Err(none) => return Ok(Err(none)),
                        }
                    }
                }
                AnswerKind::Answered | AnswerKind::Messages { .. } => refusals.in_a_row = 0,
            }
            progress.add(days_of(query));
        }
        Ok(Ok(()))
    }

    /// Returns the kept answer to a query, or asks for it.
    async fn answer(
        &mut self,
        query: &WindowQuery,
        stop: &CancellationToken,
    ) -> Result<Result<AnswerKind, NoAnswer>, BackfillError> {
        let asked = Asked::from(query);
        if let Some(kind) = self.access.journal.answer(&asked) {
            return Ok(Ok(kind));
        }
        let (report, client) = (Arc::clone(&self.report), &self.access.client);
        let answer = match Access::ask(client, stop, || report.query(query, client)).await {
            Ok(WindowAnswer::Numbers(numbers)) => {
                Answer::Windows(numbers.windows.into_iter().map(|window| kept(query, window)).collect())
            }
            Ok(WindowAnswer::NoData) => Answer::NoData,
            Ok(WindowAnswer::Lost) => refusal(query),
            Err(NoAnswer::Failed(error)) if error.reason() == Reason::BadRequest => refusal(query),
            Err(none) => return Ok(Err(none)),
        };
        self.access.journal.keep(Record { asked, answer }).await.map(Ok)
    }
}

/// Returns the answer that a refused query has.
fn refusal(query: &WindowQuery) -> Answer {
    if query.first == query.last { Answer::Refused } else { Answer::Divided }
}

/// Returns the numbers of a window as they are kept.
fn kept(query: &WindowQuery, numbers: WindowReadings) -> WindowNumbers {
    let window = numbers.window;
    let counters = counters(&numbers.readings);
    // The end is known from the window.
    let gauges = gauge_readings(WindowGauges { scope: query.scope.clone(), end: jiff::Timestamp::UNIX_EPOCH, numbers });
    WindowNumbers { window, counters, gauges: gauges.values.iter().map(number).collect() }
}

/// Returns the numbers of readings that feed counters.
pub(super) fn counters(readings: &[Reading]) -> Vec<Number> {
    let counter = |reading: &Reading| {
        let series = reading.series.clone();
        let labels = vec![("platform", series.platform), ("channel", series.channel), ("kind", series.kind)];
        number(&GaugeReading { family: series.metric.counter(), labels, value: reading.value })
    };
    readings.iter().map(counter).collect()
}

fn number(reading: &GaugeReading) -> Number {
    let label =
        |(name, label): &(&'static str, Label)| ((*name).to_owned(), label.as_str().to_owned(), label.is_known());
    let labels = reading.labels.iter().map(label).collect();
    Number { metric: reading.family.name().to_owned(), labels, value: reading.value }
}

/// Returns the refused windows of a group, which are given from the oldest to the newest, as ranges of days.
fn refused<'a>(
    id: &ReportId,
    group: &WindowGroup,
    scope_label: &str,
    windows: impl Iterator<Item = &'a Window>,
) -> Option<RefusedWindows> {
    let mut ranges: Vec<(Window, Window)> = Vec::new();
    for window in windows {
        match ranges.last_mut() {
            Some((_, last)) if next(*last) == *window => *last = *window,
            _ => ranges.push((*window, *window)),
        }
    }
    let scope = group.past.scope.as_ref().map(|scope| format!(" ({scope_label} {scope})")).unwrap_or_default();
    let ranges: Vec<_> = ranges.into_iter().map(|(first, last)| (first.first, last.last())).collect();
    (!ranges.is_empty()).then(|| RefusedWindows {
        part: format!("{}{scope}", name(id)),
        unit: group.past.unit.name(),
        ranges,
    })
}
