//! Polling by window: the queries of a poll, the interpretation of the answers, and the gauges of closed windows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::ledger::{CommitContent, Hurry, RECONCILED, StoredGauges, StoredReport, SubjectReadings, SubjectTotals};
use crate::model::window::Window;
use crate::poll::backoff;
use crate::poll::error::PollError;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask, TRIES};
use crate::poll::window_gauges::{ShownWindows, gauge_readings};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::{
    EarlierQueries, ReportState, WindowAnswer, WindowQuery, WindowReport, WindowTotals, WindowUpdate,
};
use crate::status::ReportId;
use crate::util::clock::Clock;
use crate::util::clock_guard::{ClockGuard, ClockReading};

/// Polling of a report by window.
pub(crate) struct WindowPoll {
    report: Arc<dyn WindowReport>,
    /// False if its numbers are gauges alone.
    counts: bool,
    zone: TimeZone,
    state: ReportState,
    gauges: ShownWindows,
    guard: ClockGuard,
    parts: FailingParts,
}

/// Settings and stored parts of a report by window.
pub(crate) struct WindowSetup {
    /// True if the report is the source of the account's delivery counters.
    pub counts: bool,
    /// Calendar of the app.
    pub zone: TimeZone,
    /// Time that gauges stay without a successful poll.
    pub max_age: Duration,
    /// Report as the ledger keeps it.
    pub stored: StoredReport,
    /// Gauges that the ledger keeps.
    pub gauges: Vec<StoredGauges>,
    /// Last time that is known for sure.
    pub last_seen: Option<Timestamp>,
}

/// Outcome of a poll by window: the new state and the changed gauges.
pub(crate) struct WindowOutcome {
    state: ReportState,
    gauges: Vec<StoredGauges>,
}

impl WindowPoll {
    /// Shows what the ledger keeps of the report, and makes it ready to be polled.
    pub(crate) async fn ready(
        poller: Poller,
        report: Box<dyn WindowReport>,
        setup: WindowSetup,
    ) -> ReportTask<WindowPoll> {
        let WindowSetup { counts, zone, max_age, stored, gauges, last_seen } = setup;
        let state: ReportState = poller.restored(&stored);
        let now = poller.services.clock.now();
        let next = backoff::due_at_start(stored.due, report.next_due(now, &state), now);
        let is_shown = |window: &StoredGauges| window.scope == RECONCILED || report.shows(&window.scope, window.unit);
        let wanted = gauges.into_iter().filter(is_shown);
        let fresh = stored.last_success.max(stored.last_change);
        let mut gauges = ShownWindows::new(&poller, report.scope_label(), max_age, wanted, fresh);
        let guard = ClockGuard::new(&poller.services.clock, last_seen);
        gauges.expire(now).await;
        let work =
            WindowPoll { report: report.into(), counts, zone, state, gauges, guard, parts: FailingParts::default() };
        ReportTask::new(poller, work, &stored, Some(next)).await
    }
}

impl PollKind for WindowPoll {
    type Outcome = WindowOutcome;

    fn interval(&self) -> Duration {
        self.report.spec().interval
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<WindowOutcome> {
        let reading = self.guard.read(&poller.services.clock);
        let outcome = WindowOutcome { state: self.state.clone(), gauges: Vec::new() };
        let mut poll = WindowPollRun {
            counts: self.counts,
            poller,
            report: Arc::clone(&self.report),
            zone: self.zone.clone(),
            guard: &mut self.guard,
            parts: &mut self.parts,
            began: Instant::now(),
            reading,
            outcome,
            has_new_numbers: false,
        };
        let result = poll.query_all().await;
        PollResult { outcome: poll.outcome, has_new_numbers: poll.has_new_numbers, result }
    }

    fn hurry(&mut self, _hurry: Hurry) {
        self.parts.hurry();
    }

    async fn finish(&mut self, outcome: WindowOutcome, is_ok: bool, now: Timestamp) {
        self.state = outcome.state;
        if is_ok || !outcome.gauges.is_empty() {
            self.gauges.confirm(now).await;
        }
        for window in outcome.gauges {
            self.gauges.replace(window).await;
        }
    }

    async fn tick(&mut self, clock: &Clock) -> bool {
        self.guard.read(clock);
        // Gauges that are too old by any clock are removed: they return if it was wrong.
        self.gauges.expire(clock.now()).await;
        false
    }
}

/// State of one poll.
struct WindowPollRun<'a> {
    counts: bool,
    poller: Arc<Poller>,
    report: Arc<dyn WindowReport>,
    zone: TimeZone,
    guard: &'a mut ClockGuard,
    parts: &'a mut FailingParts,
    began: Instant,
    reading: ClockReading,
    outcome: WindowOutcome,
    has_new_numbers: bool,
}

/// A part of a report: a department, if it concerns one, and the first window of a query.
type Part = (Option<String>, Window);

/// Failures that a report remembers between polls.
#[derive(Default)]
struct FailingParts {
    /// Parts, each with its number of failures in a row and the time at which it is queried again.
    failing: HashMap<Part, (u32, Instant)>,
    /// True if the report as a whole is failing.
    is_whole: bool,
}

impl FailingParts {
    fn has_failed(&self, part: &Part) -> bool {
        self.failing.contains_key(part)
    }

    fn waits(&self, part: &Part) -> bool {
        self.failing.get(part).is_some_and(|(_, next)| *next > Instant::now())
    }

    fn failures(&self, part: &Part) -> u32 {
        self.failing.get(part).map_or(0, |(failures, _)| *failures)
    }

    /// Records another failure, in a poll that `began` then: parts that fail in the same poll are queried again
    /// together.
    fn fail(&mut self, part: Part, interval: Duration, began: Instant) {
        let (failures, next) = self.failing.entry(part).or_insert((0, began));
        *failures = failures.saturating_add(1);
        *next = began + backoff::back_off(interval, *failures);
    }

    /// Makes the next poll query all failing parts.
    fn hurry(&mut self) {
        self.failing.values_mut().for_each(|(_, next)| *next = Instant::now());
    }

    /// Returns the time until the first failing part is queried again.
    fn wait(&self) -> Option<Duration> {
        let next = self.failing.values().map(|(_, next)| *next).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

#[derive(Default)]
struct Progress {
    earlier: EarlierQueries,
    retries: u32,
    has_passed: bool,
    has_asked: bool,
    /// True once the poll started over because the clock turned out to be wrong.
    has_begun_again: bool,
    /// Number of queries that failed, retries included.
    failed: usize,
    /// True if a failed query is for a part that had not failed before.
    fails_anew: bool,
    /// Error of the first failed query.
    error: Option<ProviderError>,
}

/// Clock deviation, shown by an answer, above which the wrong windows were queried.
const OTHER_TIME: SignedDuration = SignedDuration::from_mins(4);
/// Number of polls in which a day must be refused, while later ones pass, before a refusal without a reason is
/// believed.
const REFUSALS: u32 = 3;

impl WindowPollRun<'_> {
    async fn query_all(&mut self) -> Result<PollOutcome, PollError> {
        let mut progress = Progress { retries: RETRIES, ..Progress::default() };
        progress.earlier.has_failed = !self.parts.failing.is_empty();
        // Parts that have failed before come last, or they would use up the attempts.
        let mut again = Vec::new();
        loop {
            let next = self.report.next(self.reading.now, &self.outcome.state, &progress.earlier);
            if let Some(query) = next {
                progress.earlier.queries.push(query.clone());
                match self.parts.has_failed(&part_of(&query)) {
                    true => again.push(query),
                    false => self.query(query, &mut progress).await?,
                }
            } else if again.is_empty() {
                break;
            } else {
                let query = again.remove(0);
                if !self.is_wanted(&query, &progress.earlier) {
                    // Other queries have settled it in the meantime.
                    self.parts.failing.remove(&part_of(&query));
                } else if !self.parts.waits(&part_of(&query)) {
                    self.query(query, &mut progress).await?;
                }
            }
            if !progress.has_passed && progress.failed >= TRIES {
                break;
            }
        }
        let Progress { earlier, has_passed, has_asked, fails_anew, error, .. } = progress;
        let error = match error {
            // If only parts were queried that had failed while others passed, the failure still concerns those parts.
            Some(error) if !has_passed && (fails_anew || self.parts.is_whole) => {
                self.parts.is_whole = true;
                // The report as a whole backs off; its parts are queried together with it.
                self.parts.hurry();
                return Err(error.into());
            }
            error => error,
        };
        self.parts.is_whole = false;
        // Parts that are no longer queried are no longer failing.
        let is_wanted = |part: &Part| {
            earlier.queries.iter().any(|query| part_of(query) == *part && self.is_wanted(query, &earlier))
        };
        let over: Vec<Part> = self.parts.failing.keys().filter(|part| !is_wanted(part)).cloned().collect();
        self.parts.failing.retain(|part, _| !over.contains(part));
        let now = self.reading.now;
        let due = self.report.next_due(now, &self.outcome.state);
        let retry = self.parts.wait().map(|wait| now.saturating_add(wait).unwrap_or(due));
        let due = Some(retry.map_or(due, |retry| retry.min(due)));
        Ok(if !self.parts.failing.is_empty() {
            PollOutcome::Partly(error, due)
        } else if has_asked {
            PollOutcome::Succeeded(due)
        } else {
            PollOutcome::Dropped(due)
        })
    }

    /// Returns true if a query would still be made if it had not been made yet.
    fn is_wanted(&self, query: &WindowQuery, earlier: &EarlierQueries) -> bool {
        let others = earlier.queries.iter().filter(|other| *other != query).cloned().collect();
        let earlier = EarlierQueries { queries: others, has_failed: earlier.has_failed };
        self.report.next(self.reading.now, &self.outcome.state, &earlier).as_ref() == Some(query)
    }

    /// Sends one query. A failure that would affect any other query too ends the poll.
    async fn query(&mut self, query: WindowQuery, progress: &mut Progress) -> Result<(), PollError> {
        let part = part_of(&query);
        progress.has_asked = true;
        let error = match self.answer(&query, progress).await {
            Ok(Some(answer)) => {
                self.parts.failing.remove(&part);
                return self.take(query, answer, progress).await;
            }
            // The clock was wrong: the poll starts over.
            Ok(None) => return Ok(()),
            Err(error) if error.ends_the_poll() => return Err(self.of_scope(&query, error).into()),
            Err(error) => error,
        };
        let is_worth_it = progress.has_passed || self.parts.has_failed(&part);
        if error.reason() == Reason::BadRequest
            && is_worth_it
            && self.report.may_be_out_of_reach(self.reading.now, &query)
        {
            return self.narrow(query, error, progress).await;
        }
        self.fail(&query, error, progress);
        Ok(())
    }

    fn fail(&mut self, query: &WindowQuery, error: ProviderError, progress: &mut Progress) {
        progress.failed += 1;
        progress.error.get_or_insert(self.of_scope(query, error));
        progress.earlier.has_failed = true;
        let part = part_of(query);
        progress.fails_anew |= !self.parts.has_failed(&part);
        self.parts.fail(part, self.report.spec().interval, self.began);
    }

    /// Adds the scope of the query to a failure.
    fn of_scope(&self, query: &WindowQuery, error: ProviderError) -> ProviderError {
        match query.scope.clone() {
            Some(scope) => ProviderError::Scope {
                label: self.report.scope_label(),
                scope,
                advice: self.report.scope_advice(),
                error: Box::new(error),
            },
            None => error,
        }
    }

    /// Finds the day from which on a range that is refused as a whole is answered, and takes the answered part. The
    /// days before are lost: at once if the provider itself refuses them, otherwise after some polls.
    async fn narrow(
        &mut self,
        query: WindowQuery,
        refusal: ProviderError,
        progress: &mut Progress,
    ) -> Result<(), PollError> {
        let days = Window::days_between(query.first, query.last);
        let range = |first: usize| WindowQuery { first: days[first], ..query.clone() };
        // Ranges that begin at `refused` or earlier are refused, ranges that begin at `reached` or later are
        // answered.
        let (mut refused, mut reached) = (0, days.len());
        let mut last_refusal = refusal;
        while reached - refused > 1 {
            let middle = refused + (reached - refused) / 2;
            match self.answer(&range(middle), progress).await {
                Ok(Some(answer)) => {
                    self.take(range(middle), answer, progress).await?;
                    reached = middle;
                }
                Ok(None) => return Ok(()),
                Err(error) if error.ends_the_poll() => return Err(error.into()),
                Err(error) if error.reason() == Reason::BadRequest => (refused, last_refusal) = (middle, error),
                Err(error) => {
                    self.fail(&query, error, progress);
                    return Ok(());
                }
            }
        }
        let is_believed =
            last_refusal.is_in_the_providers_words() || self.parts.failures(&part_of(&query)) + 1 >= REFUSALS;
        if !progress.has_passed || !is_believed {
            self.fail(&query, last_refusal, progress);
            return Ok(());
        }
        let ReportId { provider, app, report } = &self.poller.id;
        // Older ranges are not queried any more.
        let oldest = progress.earlier.queries.iter().map(|query| query.first.first).min().unwrap_or(query.first.first);
        let (from, to) = (oldest.to_string(), days[refused].first.to_string());
        tracing::warn!(
            provider,
            app,
            report,
            from,
            to,
            "the provider does not answer for these days any more; they are lost"
        );
        self.parts.failing.remove(&part_of(&query));
        self.take(WindowQuery { last: days[refused], ..query }, WindowAnswer::Lost, progress).await
    }

    /// Sends a query. Returns `None` if the answer shows that the clock was wrong: the poll then starts over.
    async fn answer(
        &mut self,
        query: &WindowQuery,
        progress: &mut Progress,
    ) -> Result<Option<WindowAnswer>, ProviderError> {
        let asked_at = Instant::now();
        let report = Arc::clone(&self.report);
        let answer = self.poller.query(&mut progress.retries, || report.query(query, &self.poller.client)).await;
        let reading = self.guard.read(&self.poller.services.clock);
        let expected = self.reading.now.saturating_add(asked_at.elapsed()).unwrap_or(reading.now);
        let is_other = reading.now.duration_since(expected).abs() > OTHER_TIME;
        self.reading = reading;
        if is_other && !progress.has_passed && !progress.has_begun_again && answer.is_ok() {
            progress.has_begun_again = true;
            progress.earlier.queries.clear();
            return Ok(None);
        }
        answer.map(Some)
    }

    /// Interprets an answer and commits the result.
    async fn take(
        &mut self,
        query: WindowQuery,
        answer: WindowAnswer,
        progress: &mut Progress,
    ) -> Result<(), PollError> {
        progress.has_passed |= answer != WindowAnswer::Lost;
        let ledger = self.poller.services.ledger.clone();
        let _turn = ledger.turn().await;
        let update = self.report.interpret(self.reading, &query, answer, &self.outcome.state);
        let next = self.report.next(self.reading.now, &update.state, &progress.earlier);
        let is_last = next.is_none() && progress.error.is_none() && self.parts.failing.is_empty();
        let due = is_last.then(|| self.report.next_due(self.reading.now, &update.state));
        // Answers for departments are queried again after a crash; only counts must be remembered.
        let is_remembered = query.scope.is_none() || next.is_none();
        self.commit(update, is_remembered, due).await
    }

    /// Commits an interpreted answer; `due` is set if it completes a successful poll.
    async fn commit(
        &mut self,
        update: WindowUpdate,
        is_remembered: bool,
        due: Option<Timestamp>,
    ) -> Result<(), PollError> {
        let WindowUpdate { counted, covers, gauges, totals, unknown, state } = update;
        let counted = if self.counts { counted } else { Vec::new() };
        let subjects = counted
            .into_iter()
            .map(|numbers| {
                let began = numbers.window.begin(&self.zone);
                let is_before = state.counts_since.is_some_and(|since| began < since);
                let began = if is_before { Timestamp::MIN } else { began };
                SubjectReadings { subject: numbers.window.key(), began, readings: numbers.readings }
            })
            .collect();
        let gauges = gauges.into_iter().map(gauge_readings).collect();
        let answered = AnswerCommit {
            content: CommitContent::Windows { subjects, covers, gauges, totals: totals.map(subject_totals) },
            unknown,
            state: if is_remembered { self.poller.stored(&state) } else { None },
            succeeded: due.is_some(),
            due,
            sure: self.reading.sure,
        };
        let receipt = self.poller.commit(answered).await?;
        self.outcome.state = state;
        self.outcome.gauges.extend(receipt.gauges);
        self.has_new_numbers |= receipt.has_new_numbers;
        Ok(())
    }
}

/// Returns the totals of a window with the keys of its days.
fn subject_totals(totals: WindowTotals) -> SubjectTotals {
    let WindowTotals { window, end, totals } = totals;
    let days = Window::days_between(Window::day(window.first), Window::day(window.last()));
    SubjectTotals { unit: window.unit, end, subjects: days.into_iter().map(Window::key).collect(), totals }
}

fn part_of(query: &WindowQuery) -> Part {
    (query.scope.clone(), query.first)
}
