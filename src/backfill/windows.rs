//! Queries of a history by window to one report, kept in its journal. A window that the provider refuses is no failure; after
//! some of them in a row, older ones are not asked any more.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::backfill::access::{Access, NoAnswer, Outcome, counters, name, number};
use crate::backfill::journal::{Answer, AnswerKind, Asked, Record, WindowNumbers};
use crate::backfill::plan::{WindowGroup, days_of, next, windows_of};
use crate::backfill::types::{BackfillError, Progress, RefusedWindows};
use crate::model::reading::WindowReadings;
use crate::model::window::Window;
use crate::poll::window_gauges::gauge_readings;
use crate::provider::error::Reason;
use crate::provider::{WindowAnswer, WindowGauges, WindowQuery, WindowReport};
use crate::status::ReportId;

/// Number of windows refused in a row after which older ones are not asked any more.
const REFUSALS: usize = 3;

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
    /// Sends the queries until all are answered, one fails, or `stop` is cancelled.
    pub(super) async fn run(mut self, progress: &Progress, stop: &CancellationToken) -> Result<Outcome, BackfillError> {
        let mut outcome = Outcome::default();
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
        outcome.requests = self.access.client.requests().total();
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
                Answer::Windows(numbers.windows.into_iter().map(|window| kept(query, report.of_past(window))).collect())
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
    let gauges = gauge_readings(WindowGauges { scope: query.scope.clone(), end: Timestamp::UNIX_EPOCH, numbers });
    WindowNumbers { window, counters, gauges: gauges.values.iter().map(number).collect() }
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
