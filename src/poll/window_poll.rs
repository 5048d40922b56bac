//! What is polled by window: every question of a poll, what the answers mean, and the gauges of closed
//! windows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::ledger::{CommitContent, Hurry, StoredGauges, StoredReport, SubjectReadings};
use crate::model::window::Window;
use crate::poll::backoff;
use crate::poll::error::PollError;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask, TRIES};
use crate::poll::window_gauges::{ShownWindows, gauge_readings};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::{EarlierQueries, ReportState, WindowAnswer, WindowQuery, WindowReport, WindowUpdate};
use crate::status::ReportId;
use crate::util::clock::Clock;
use crate::util::clock_guard::{ClockGuard, ClockReading};

/// A report by window.
pub struct WindowPoll {
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
pub struct WindowSetup {
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

/// What a poll by window brings.
pub struct WindowOutcome {
    state: ReportState,
    gauges: Vec<StoredGauges>,
}

impl WindowPoll {
    /// Shows what the ledger keeps of the report, and makes it ready to be polled.
    pub async fn ready(poller: Poller, report: Box<dyn WindowReport>, setup: WindowSetup) -> ReportTask<WindowPoll> {
        let WindowSetup { counts, zone, max_age, stored, gauges, last_seen } = setup;
        let state: ReportState = poller.restored(&stored);
        let now = poller.services.clock.now();
        let next = backoff::due_at_start(stored.due, report.next_due(now, &state), now);
        let wanted = gauges.into_iter().filter(|window| report.shows(&window.scope, window.unit));
        let fresh = stored.last_success.max(stored.last_change);
        let exposition = poller.services.exposition.clone();
        let mut gauges = ShownWindows::new(poller.id.clone(), report.scope_label(), exposition, max_age, wanted, fresh);
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
        let result = poll.ask_everything().await;
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
        // Too old by any clock: they come back if it was wrong.
        self.gauges.expire(clock.now()).await;
        false
    }
}

/// One poll.
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

/// A part of a report: a department, if it is about one, and the first window of a question.
type Part = (Option<String>, Window);

/// Failures that a report remembers between polls.
#[derive(Default)]
struct FailingParts {
    /// Parts, each with how often in a row it has failed and when it is asked for again.
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

    /// Notes another failure, in a poll that `began` then: what fails in the same poll is asked for again together.
    fn fail(&mut self, part: Part, interval: Duration, began: Instant) {
        let (failures, next) = self.failing.entry(part).or_insert((0, began));
        *failures = failures.saturating_add(1);
        *next = began + backoff::back_off(interval, *failures);
    }

    /// All of them are asked for in the next poll.
    fn hurry(&mut self) {
        self.failing.values_mut().for_each(|(_, next)| *next = Instant::now());
    }

    /// Time until the first of them is asked for again.
    fn wait(&self) -> Option<Duration> {
        let next = self.failing.values().map(|(_, next)| *next).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

/// Progress of a poll.
#[derive(Default)]
struct Progress {
    earlier: EarlierQueries,
    retries: u32,
    has_passed: bool,
    has_asked: bool,
    /// True once it began again because the clock turned out to be wrong.
    has_begun_again: bool,
    /// Questions that failed, none of which passed.
    failed: usize,
    /// True if one of them is a part that had not failed before.
    fails_anew: bool,
    /// Error of the first of them.
    error: Option<ProviderError>,
}

/// An answer that shows the time to be another by more than this was asked for the wrong windows.
const OTHER_TIME: SignedDuration = SignedDuration::from_mins(4);
/// Polls in which a day must be refused, while later ones pass, before an answer that does not say why is believed.
const REFUSALS: u32 = 3;

impl WindowPollRun<'_> {
    async fn ask_everything(&mut self) -> Result<PollOutcome, PollError> {
        let mut progress = Progress { retries: RETRIES, ..Progress::default() };
        progress.earlier.has_failed = !self.parts.failing.is_empty();
        // What has failed before comes last, or it would use up what tries there are.
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
                    // It settled with what was asked meanwhile.
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
            // Where only parts were asked that have failed beside others that passed, they are parts still.
            Some(error) if !has_passed && (fails_anew || self.parts.is_whole) => {
                self.parts.is_whole = true;
                // The report as a whole backs off; its parts are tried when it is.
                self.parts.hurry();
                return Err(error.into());
            }
            error => error,
        };
        self.parts.is_whole = false;
        // What is not asked for any more fails no more.
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

    /// Returns true if a question would still be asked if it had not been.
    fn is_wanted(&self, query: &WindowQuery, earlier: &EarlierQueries) -> bool {
        let others = earlier.queries.iter().filter(|other| *other != query).cloned().collect();
        let earlier = EarlierQueries { queries: others, has_failed: earlier.has_failed };
        self.report.next(self.reading.now, &self.outcome.state, &earlier).as_ref() == Some(query)
    }

    /// Asks one question. A failure that would meet any other question too ends the poll.
    async fn query(&mut self, query: WindowQuery, progress: &mut Progress) -> Result<(), PollError> {
        let part = part_of(&query);
        progress.has_asked = true;
        let error = match self.answer(&query, progress).await {
            Ok(Some(answer)) => {
                self.parts.failing.remove(&part);
                return self.take(query, answer, progress).await;
            }
            // The clock was wrong: the poll begins again.
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

    /// Tells which scope a failure is about.
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

    /// Finds from which day on a range is answered that is refused as a whole, and takes what is. What lies before is
    /// lost: at once if the provider's own words refuse it, else after some polls.
    async fn narrow(
        &mut self,
        query: WindowQuery,
        refusal: ProviderError,
        progress: &mut Progress,
    ) -> Result<(), PollError> {
        let days = Window::days_between(query.first, query.last);
        let range = |first: usize| WindowQuery { first: days[first], ..query.clone() };
        // Every range that begins before `reached` is refused, from there on they are answered.
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
        // Older ranges are not asked for any more.
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

    /// Sends a question. `None` if the answer shows that the clock was wrong: then the poll begins again.
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

    /// Commits what an answer means.
    async fn take(
        &mut self,
        query: WindowQuery,
        answer: WindowAnswer,
        progress: &mut Progress,
    ) -> Result<(), PollError> {
        progress.has_passed |= answer != WindowAnswer::Lost;
        let update = self.report.interpret(self.reading, &query, answer, &self.outcome.state);
        let next = self.report.next(self.reading.now, &update.state, &progress.earlier);
        let is_last = next.is_none() && progress.error.is_none() && self.parts.failing.is_empty();
        let due = is_last.then(|| self.report.next_due(self.reading.now, &update.state));
        // What departments were told is asked again after a crash; only counts must be remembered.
        let is_remembered = query.scope.is_none() || next.is_none();
        self.commit(update, is_remembered, due).await
    }

    /// Commits what was made of an answer; `due` if it completes a successful poll.
    async fn commit(
        &mut self,
        update: WindowUpdate,
        is_remembered: bool,
        due: Option<Timestamp>,
    ) -> Result<(), PollError> {
        let WindowUpdate { counted, covers, gauges, unknown, state } = update;
        let counted = if self.counts { counted } else { Vec::new() };
        let subjects = counted
            .into_iter()
            .map(|numbers| SubjectReadings {
                subject: numbers.window.key(),
                began: numbers.window.begin(&self.zone),
                readings: numbers.readings,
            })
            .collect();
        let gauges = gauges.into_iter().map(gauge_readings).collect();
        let answered = AnswerCommit {
            content: CommitContent::Windows { subjects, covers, gauges },
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

fn part_of(query: &WindowQuery) -> Part {
    (query.scope.clone(), query.first)
}
