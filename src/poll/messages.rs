//! What is polled by message: the messages that are due go out in one call, filled up with some that are
//! nearly due; what comes back is committed in one transaction with the time each is due again. A call
//! that the provider refuses is cut in two until the id it does not like is alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::feed::Board;
use super::runner::{Answered, Done, Polled, Poller, RETRIES, Ready, Work};
use crate::clock::{Clock, Look, Steady};
use crate::ledger::{Content, DueQuery, PolledMessage, Reschedule, StoredReport, TrackedMessage};
use crate::page::{Sample, Update, text};
use crate::provider::error::{PollError, Reason};
use crate::provider::pace::{Pace, age};
use crate::provider::{AskedMessage, MessageReadings, MessageReport};
use crate::reading::{Metric, Reading};

/// The ages between which a message is read for its first ten minutes.
const AT_10M: std::ops::Range<Duration> = Duration::from_secs(600)..Duration::from_secs(1200);

/// A report by message.
pub struct MessageWork {
    report: Arc<dyn MessageReport>,
    board: Arc<Board>,
    /// Whether new messages come to this report.
    is_current: bool,
    steady: Steady,
    memory: MessageMemory,
    /// How many of the newest messages are shown.
    newest: usize,
    /// Whether due times may not be what the schedule says.
    is_out_of_step: bool,
}

/// What is remembered between polls and over restarts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageMemory {
    /// The schedule that due times were made by.
    pace: Option<Pace>,
    /// The newest messages with a number, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    newest: Vec<Newest>,
}

/// One of the newest messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Newest {
    id: String,
    sent_at: Timestamp,
    /// By the metrics of [`SHOWN`].
    values: [Option<i64>; SHOWN.len()],
}

/// What is shown of each of the newest messages.
const SHOWN: [Metric; 5] = [Metric::Targeted, Metric::Sent, Metric::Received, Metric::Displayed, Metric::Clicked];

impl MessageWork {
    /// Shows what the ledger remembers of the report, and makes it ready to be polled. New messages come to
    /// the one `is_current`; `next` is when its first message is due, if any is.
    pub async fn ready(
        poller: Poller,
        report: Box<dyn MessageReport>,
        board: Arc<Board>,
        is_current: bool,
        newest: usize,
        stored: StoredReport,
        next: Option<Timestamp>,
    ) -> Ready<MessageWork> {
        let mut memory: MessageMemory = serde_json::from_str(&stored.memory).unwrap_or_default();
        memory.newest.truncate(newest);
        let clock = &poller.services.clock;
        let now = clock.now();
        let is_out_of_step =
            memory.pace.as_ref() != Some(report.pace()) || stored.last_success.is_some_and(|last| last > now);
        let steady = Steady::new(clock);
        let updates = memory.newest.iter().flat_map(|one| samples(&board, one)).map(Update::Set).collect();
        poller.services.page.update(updates).await;
        let work = MessageWork { report: report.into(), board, is_current, steady, memory, newest, is_out_of_step };
        // Out of step, any message may be due.
        let next = next.map(|next| if is_out_of_step { next.min(now) } else { next });
        Ready::new(poller, work, &stored, next).await
    }
}

impl Work for MessageWork {
    type Outcome = MessageMemory;

    fn interval(&self) -> Duration {
        self.report.pace().fastest()
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        self.is_current.then(|| self.board.wake())
    }

    fn poll(&mut self, poller: Arc<Poller>) -> impl Future<Output = Polled<MessageMemory>> + Send + 'static {
        let look = self.steady.look(&poller.services.clock);
        let mut poll = Poll {
            poller,
            report: Arc::clone(&self.report),
            board: Arc::clone(&self.board),
            look,
            newest: self.newest,
            memory: self.memory.clone(),
            has_new_numbers: false,
        };
        self.is_out_of_step |= look.was_set_back;
        let is_out_of_step = self.is_out_of_step;
        async move {
            let result = poll.run(is_out_of_step).await;
            Polled { outcome: poll.memory, has_new_numbers: poll.has_new_numbers, result }
        }
    }

    async fn finish(&mut self, outcome: MessageMemory, is_ok: bool, _now: Timestamp) {
        self.is_out_of_step &= !is_ok;
        self.memory = outcome;
    }

    async fn tick(&mut self, clock: &Clock) -> bool {
        self.is_out_of_step |= self.steady.look(clock).was_set_back;
        self.is_out_of_step
    }
}

/// One poll.
struct Poll {
    poller: Arc<Poller>,
    report: Arc<dyn MessageReport>,
    board: Arc<Board>,
    look: Look,
    newest: usize,
    memory: MessageMemory,
    has_new_numbers: bool,
}

/// What the parts of a call have brought.
#[derive(Default)]
struct Gathered {
    /// Messages that were asked for, each with what the answer says about it.
    answered: Vec<(TrackedMessage, Option<MessageReadings>)>,
    unknown: Vec<String>,
    /// Messages that were refused when they were asked for alone.
    refused: Vec<(TrackedMessage, PollError)>,
    failure: Option<PollError>,
}

impl Poll {
    async fn run(&mut self, is_out_of_step: bool) -> Result<Done, PollError> {
        let Poller { app, services, .. } = &*self.poller;
        let (app, report, now) = (*app, self.report.name(), self.look.now);
        if is_out_of_step {
            let steps = self.report.pace().steps().iter().map(|step| (step.until, step.every)).collect();
            let change = Reschedule { app, report, now, steps };
            services.ledger.reschedule(change).await.map_err(PollError::Ledger)?;
        }
        self.memory.pace = Some(self.report.pace().clone());
        let limit = i64::try_from(self.report.batch()).unwrap_or(i64::MAX);
        let query = DueQuery { app, report, now, limit };
        let due = services.ledger.due_messages(query).await.map_err(PollError::Ledger)?;
        if due.batch.is_empty() {
            return Ok(Done::NothingDue(due.next));
        }
        let gathered = self.ask(due.batch).await;
        self.commit(gathered).await
    }

    /// Asks for all of them, in as few calls as the provider takes.
    async fn ask(&self, batch: Vec<TrackedMessage>) -> Gathered {
        let mut gathered = Gathered::default();
        let mut retries = RETRIES;
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let asked: Vec<AskedMessage> = part
                .iter()
                .map(|message| AskedMessage { id: message.id.clone(), shape: message.shape.clone() })
                .collect();
            match self.poller.ask(&mut retries, || self.report.ask(&asked, &self.poller.client)).await {
                Ok(numbers) => {
                    let mut by_id: HashMap<String, MessageReadings> =
                        numbers.messages.into_iter().map(|message| (message.id.clone(), message)).collect();
                    gathered.unknown.extend(numbers.unknown);
                    gathered.answered.extend(part.into_iter().map(|message| {
                        let readings = by_id.remove(&message.id);
                        (message, readings)
                    }));
                }
                Err(error) if error.reason() == Reason::BadRequest && part.len() > 1 => {
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(error) if error.reason() == Reason::BadRequest => {
                    gathered.refused.extend(part.pop().map(|message| (message, error)));
                }
                Err(error) => {
                    gathered.failure = Some(error);
                    break;
                }
            }
        }
        gathered
    }

    async fn commit(&mut self, gathered: Gathered) -> Result<Done, PollError> {
        let Gathered { answered, unknown, mut refused, mut failure } = gathered;
        // An id is to blame if it was named, or if others pass; else something is wrong with the question.
        let are_to_blame = !answered.is_empty() || refused.iter().all(|(_, error)| self.report.blames_the_id(error));
        if !are_to_blame {
            failure = failure.or(refused.pop().map(|(_, error)| error));
            refused.clear();
        }
        if answered.is_empty() && refused.is_empty() {
            return failure.map_or(Ok(Done::NothingDue(None)), Err);
        }
        let now = self.poller.services.clock.now();
        for (message, error) in &refused {
            let crate::poll::health::ReportId { provider, app, report } = &self.poller.id;
            let error = self.poller.in_words(error);
            tracing::warn!(
                provider,
                app,
                report,
                msg_id = message.id,
                error,
                "the provider refuses this message; it is set aside"
            );
        }
        let mut ended: Vec<String> = refused.iter().map(|(message, _)| message.id.clone()).collect();
        let mut shown = Vec::new();
        let mut polled = Vec::with_capacity(answered.len());
        for (message, numbers) in answered {
            let TrackedMessage { row, id, sent_at, shape, has_10m } = message;
            let sure = self.look.sure.saturating_add(age(self.look.now, now)).unwrap_or(now).min(now);
            let next = self.report.pace().next(sent_at, now, sure);
            let MessageReadings { readings, shape, .. } =
                numbers.unwrap_or_else(|| MessageReadings { shape, ..MessageReadings::default() });
            let counts = readings.iter().any(|reading| reading.series.metric.at_10m().is_some());
            let is_at_10m = !has_10m && counts && AT_10M.contains(&age(sent_at, now));
            if next.is_none() {
                ended.push(id);
            } else if !readings.is_empty() {
                shown.push(Newest { id, sent_at, values: sums(&readings) });
            }
            polled.push(PolledMessage { row, readings, shape, is_at_10m, next });
        }
        let updates = self.show(shown, &ended);
        let answered = Answered {
            content: Content::Messages { polled, rejected: refused.iter().map(|(message, _)| message.row).collect() },
            unknown,
            memory: Some(serde_json::to_string(&self.memory).unwrap_or_default()),
            succeeded: failure.is_none(),
            due: None,
        };
        let receipt = self.poller.commit(answered).await?;
        self.has_new_numbers |= receipt.has_new_numbers;
        self.poller.services.page.update(updates).await;
        if let Some(state) = receipt.messages {
            self.board.show(state).await;
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(Done::Succeeded(receipt.next_due)),
        }
    }

    /// Takes what the newest messages have now, and tells what that changes on the page.
    fn show(&mut self, fresh: Vec<Newest>, ended: &[String]) -> Vec<Update> {
        if self.newest == 0 {
            return Vec::new();
        }
        let before = std::mem::take(&mut self.memory.newest);
        let is_over = |one: &&Newest| ended.contains(&one.id) || fresh.iter().any(|fresh| fresh.id == one.id);
        let mut newest: Vec<Newest> = before.iter().filter(|one| !is_over(one)).cloned().collect();
        newest.extend(fresh);
        newest.sort_by(|a, b| (b.sent_at, &b.id).cmp(&(a.sent_at, &a.id)));
        newest.truncate(self.newest);
        let now: Vec<Sample> = newest.iter().flat_map(|one| samples(&self.board, one)).collect();
        let is_gone = |old: &Sample| !now.iter().any(|new| (new.family, &new.rest) == (old.family, &old.rest));
        let gone = before.iter().flat_map(|one| samples(&self.board, one)).filter(is_gone).map(Update::remove);
        let mut updates: Vec<Update> = gone.collect();
        updates.extend(now.into_iter().map(Update::Set));
        self.memory.newest = newest;
        updates
    }
}

/// The numbers of one message by metric.
fn sums(readings: &[Reading]) -> [Option<i64>; SHOWN.len()] {
    SHOWN.map(|metric| {
        let values = readings.iter().filter(|reading| reading.series.metric == metric).map(|reading| reading.value);
        values.reduce(i64::saturating_add)
    })
}

fn samples(board: &Board, newest: &Newest) -> Vec<Sample> {
    let rest = text::labels(&[("msg_id", &newest.id)]);
    SHOWN
        .iter()
        .zip(newest.values)
        .filter_map(|(metric, value)| {
            Some(Sample { family: metric.newest_gauge()?, owner: board.owner(), rest: rest.clone(), value: value? })
        })
        .collect()
}
