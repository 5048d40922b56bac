//! What is polled by window: every question of a poll, what the answers mean, and the gauges of closed
//! windows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::gauges::{Gauges, gauge_readings};
use super::runner::{Answered, Done, Polled, Poller, RETRIES, Ready, Work};
use super::schedule;
use crate::clock::Clock;
use crate::ledger::{Content, StoredGauges, StoredReport, SubjectReadings};
use crate::provider::error::PollError;
use crate::provider::{Ask, Digest, Memory, Report};

/// A report by window.
pub struct WindowWork {
    report: Arc<dyn Report>,
    zone: TimeZone,
    memory: Memory,
    gauges: Gauges,
}

/// What a poll by window brings.
pub struct Outcome {
    memory: Memory,
    gauges: Vec<StoredGauges>,
}

impl WindowWork {
    /// Shows what the ledger remembers of the report, and makes it ready to be polled. `max_age` is how long
    /// its gauges stay without a successful poll.
    pub async fn ready(
        poller: Poller,
        report: Box<dyn Report>,
        zone: TimeZone,
        max_age: Duration,
        stored: StoredReport,
        gauges: Vec<StoredGauges>,
    ) -> Ready<WindowWork> {
        let memory: Memory = serde_json::from_str(&stored.memory).unwrap_or_default();
        let now = poller.services.clock.now();
        let next = schedule::due_at_start(stored.due, report.next_due(now, &memory), now);
        let wanted = gauges.into_iter().filter(|window| report.shows(&window.department, window.unit));
        let fresh = stored.last_success.max(stored.last_change);
        let page = poller.services.page.clone();
        let mut gauges = Gauges::new(poller.id.clone(), page, max_age, wanted, fresh);
        gauges.age(now).await;
        let work = WindowWork { report: report.into(), zone, memory, gauges };
        Ready::new(poller, work, &stored, Some(next)).await
    }
}

impl Work for WindowWork {
    type Outcome = Outcome;

    fn interval(&self) -> Duration {
        self.report.interval()
    }

    fn poll(&mut self, poller: Arc<Poller>) -> impl Future<Output = Polled<Outcome>> + Send + 'static {
        let now = poller.services.clock.now();
        let outcome = Outcome { memory: self.memory.clone(), gauges: Vec::new() };
        let mut poll = Poll {
            poller,
            report: Arc::clone(&self.report),
            zone: self.zone.clone(),
            now,
            outcome,
            has_new_numbers: false,
        };
        async move {
            let result = poll.ask_everything().await;
            Polled { outcome: poll.outcome, has_new_numbers: poll.has_new_numbers, result }
        }
    }

    async fn finish(&mut self, outcome: Outcome, is_ok: bool, now: Timestamp) {
        self.memory = outcome.memory;
        if is_ok || !outcome.gauges.is_empty() {
            self.gauges.confirm(now).await;
        }
        for window in outcome.gauges {
            self.gauges.replace(window).await;
        }
    }

    async fn tick(&mut self, clock: &Clock) -> bool {
        self.gauges.age(clock.now()).await;
        false
    }
}

/// One poll.
struct Poll {
    poller: Arc<Poller>,
    report: Arc<dyn Report>,
    zone: TimeZone,
    now: Timestamp,
    outcome: Outcome,
    has_new_numbers: bool,
}

impl Poll {
    async fn ask_everything(&mut self) -> Result<Done, PollError> {
        let report = Arc::clone(&self.report);
        let now = self.now;
        let mut asked: Vec<Ask> = Vec::new();
        let mut retries = RETRIES;
        let mut failure = None;
        let mut next = report.next(now, &self.outcome.memory, &asked);
        while let Some(ask) = next {
            asked.push(ask.clone());
            let answer = self.poller.ask(&mut retries, || report.ask(&ask, &self.poller.client)).await;
            match answer.map_err(|error| of_department(&ask, error)) {
                Ok(answer) => {
                    let digest = report.digest(now, &ask, answer, &self.outcome.memory);
                    next = report.next(now, &digest.memory, &asked);
                    let is_last = next.is_none();
                    let due = (is_last && failure.is_none()).then(|| report.next_due(now, &digest.memory));
                    // What departments were told is asked again after a crash; only counts must be remembered.
                    let is_remembered = ask.department.is_none() || is_last;
                    self.commit(digest, is_remembered, due).await?;
                }
                Err(error) if error.is_about_the_question() => {
                    failure.get_or_insert(error);
                    next = report.next(now, &self.outcome.memory, &asked);
                }
                Err(error) => return Err(failure.unwrap_or(error)),
            }
        }
        let due = Some(report.next_due(now, &self.outcome.memory));
        match failure {
            Some(error) => Err(error),
            None if asked.is_empty() => Ok(Done::NothingDue(due)),
            None => Ok(Done::Succeeded(due)),
        }
    }

    /// Commits what was made of an answer; `due` if it completes a successful poll.
    async fn commit(&mut self, digest: Digest, is_remembered: bool, due: Option<Timestamp>) -> Result<(), PollError> {
        let Digest { counted, covers, gauges, unknown, memory } = digest;
        let subjects = counted
            .into_iter()
            .map(|numbers| SubjectReadings {
                subject: numbers.window.key(),
                began: numbers.window.begin(&self.zone),
                readings: numbers.readings,
            })
            .collect();
        let gauges = gauges.into_iter().map(gauge_readings).collect();
        let answered = Answered {
            content: Content::Windows { subjects, covers, gauges },
            unknown,
            memory: is_remembered.then(|| serde_json::to_string(&memory).unwrap_or_default()),
            succeeded: due.is_some(),
            due,
        };
        let receipt = self.poller.commit(answered).await?;
        self.outcome.memory = memory;
        self.outcome.gauges.extend(receipt.gauges);
        self.has_new_numbers |= receipt.has_new_numbers;
        Ok(())
    }
}

fn of_department(ask: &Ask, error: PollError) -> PollError {
    match ask.department.clone() {
        Some(department) => PollError::Department { department, error: Box::new(error) },
        None => error,
    }
}
