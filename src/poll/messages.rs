//! What is polled by message: the messages that are due go out in a few calls, the last filled up with some
//! that are nearly due; what comes back is committed in one transaction with the time each is due again. A
//! call that the provider refuses is cut in two until the id it does not like is alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::feed::Board;
use super::health::ReportId;
use super::runner::{Answered, Done, Polled, Poller, RETRIES, Ready, Work};
use crate::clock::{Clock, Look, Steady};
use crate::contain::joined;
use crate::ledger::{Content, DueQuery, PolledMessage, Reschedule, StoredReport, TrackedMessage};
use crate::page::{Sample, Update, text};
use crate::provider::error::{PollError, Reason};
use crate::provider::pace::{Pace, age};
use crate::provider::{AskedMessage, Blame, MessageReadings, MessageReport};
use crate::reading::{Metric, Reading};

/// The ages between which a message is read for its first ten minutes.
const AT_10M: std::ops::Range<Duration> = Duration::from_secs(600)..Duration::from_secs(1200);

/// Polls in which a provider may refuse every id before the ids are to blame: an hour at the slowest pace.
const MAX_REFUSALS: u32 = 6;

/// Calls of a poll that are under way at once: where answers take their time, one after the other would
/// not use the budget.
const CALLS_AT_ONCE: usize = 8;

/// How often calls are halved after failures: to an eighth, of which eight are still as many messages.
const SMALLEST: u32 = 3;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageMemory {
    /// The schedule that due times were made by.
    pace: Option<Pace>,
    /// The newest messages with a number, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    newest: Vec<Newest>,
    /// Polls in a row in which every id was refused.
    #[serde(skip)]
    refusals: u32,
    /// Polls in a row in which a call had no answer that can be read.
    #[serde(skip)]
    failures: u32,
}

impl MessageMemory {
    fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
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

/// How a report stands with the messages of its app.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether new messages come to it.
    pub is_current: bool,
    /// How many of the newest messages are shown.
    pub newest: usize,
    /// When its first message is due, if any is.
    pub next: Option<Timestamp>,
    /// Whether messages were registered by a clock ahead of this one.
    pub was_ahead: bool,
}

impl MessageWork {
    /// Shows what the ledger remembers of the report, and makes it ready to be polled.
    pub async fn ready(
        poller: Poller,
        report: Box<dyn MessageReport>,
        board: Arc<Board>,
        standing: Standing,
        stored: StoredReport,
    ) -> Ready<MessageWork> {
        let Standing { is_current, newest, next, was_ahead } = standing;
        let mut memory: MessageMemory = serde_json::from_str(&stored.memory).unwrap_or_default();
        memory.newest.truncate(newest);
        let clock = &poller.services.clock;
        let now = clock.now();
        let is_out_of_step = memory.pace.as_ref() != Some(report.pace())
            || was_ahead
            || stored.last_success.is_some_and(|last| last > now);
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
            limit: self.newest,
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
    /// How many of the newest messages are shown.
    limit: usize,
    memory: MessageMemory,
    has_new_numbers: bool,
}

/// What the parts of a call have brought.
#[derive(Default)]
struct Gathered {
    /// Messages that were asked for, each with what the answer said about it and when it came.
    answered: Vec<(TrackedMessage, Option<MessageReadings>, Timestamp)>,
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
            self.memory.pace = Some(self.report.pace().clone());
            let steps = self.report.pace().steps().iter().map(|step| (step.until, step.every)).collect();
            let change = Reschedule { app, report, now, steps, memory: self.memory.write() };
            services.ledger.reschedule(change).await.map_err(PollError::Ledger)?;
        }
        // Smaller calls after each failure: a message that no call gets past must not hold up the others.
        let batch = (self.report.batch() >> self.memory.failures.min(SMALLEST)).max(1);
        let query = DueQuery { app, report, now, batch, calls: CALLS_AT_ONCE };
        let due = services.ledger.due_messages(query).await.map_err(PollError::Ledger)?;
        services.health.late(&self.poller.id, due.late);
        if due.batch.is_empty() {
            return Ok(Done::NothingDue(due.next));
        }
        // The only one, which never had a number.
        let is_alone = matches!(due.batch.as_slice(), [only] if !only.is_live);
        let mut gathered = self.ask(due.batch, batch).await;
        self.judge(&mut gathered, is_alone);
        self.memory.failures = match &gathered.failure {
            None => 0,
            Some(error) if matches!(error.reason(), Reason::Server | Reason::Decode | Reason::Timeout) => {
                self.memory.failures.saturating_add(1)
            }
            Some(_) => self.memory.failures,
        };
        self.commit(gathered).await
    }

    /// Asks for all of them, in as few calls as the provider takes, several at once.
    async fn ask(&self, mut messages: Vec<TrackedMessage>, batch: usize) -> Gathered {
        let mut calls = JoinSet::new();
        if self.memory.failures > 0 {
            // In other company each time.
            fastrand::shuffle(&mut messages);
        }
        for batch in messages.chunks(batch) {
            let (poller, report) = (Arc::clone(&self.poller), Arc::clone(&self.report));
            let tasks = poller.services.tasks.clone();
            calls.spawn(tasks.track_future(ask(poller, report, batch.to_vec())));
        }
        let mut gathered = Gathered::default();
        while let Some(call) = calls.join_next().await {
            // A panic is the poll's own.
            match joined(call) {
                Some(call) => gathered.add(call),
                None => gathered.failure = Some(PollError::Decode("a call was cancelled".to_owned())),
            }
        }
        gathered
    }

    /// Decides whether ids that were refused are to blame: if others pass, or if a new one alone was named.
    /// A provider that refuses all of them has trouble of its own, until it has done so for an hour.
    fn judge(&mut self, gathered: &mut Gathered, is_alone: bool) {
        let Gathered { answered, refused, failure, .. } = gathered;
        let is_named = refused.iter().all(|(_, error)| self.report.blames(error) == Blame::AnId);
        if !answered.is_empty() || (is_alone && is_named) || self.memory.refusals >= MAX_REFUSALS {
            return;
        }
        if let Some((_, error)) = refused.pop() {
            self.memory.refusals += 1;
            failure.get_or_insert(error);
            refused.clear();
        }
    }

    async fn commit(&mut self, gathered: Gathered) -> Result<Done, PollError> {
        let Gathered { answered, unknown, refused, failure } = gathered;
        let failure = match failure {
            Some(failure) if answered.is_empty() && refused.is_empty() => return Err(failure),
            failure => failure,
        };
        for (message, error) in &refused {
            let ReportId { provider, app, report } = &self.poller.id;
            let error = self.poller.account.in_words(error);
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
        let mut fresh = Vec::new();
        let mut polled = Vec::with_capacity(answered.len());
        for (message, numbers, at) in answered {
            let TrackedMessage { row, id, sent_at, shape, has_10m, .. } = message;
            let sure = self.look.sure.saturating_add(age(self.look.now, at)).unwrap_or(at).min(at);
            let next = self.report.pace().next(sent_at, at, sure);
            let MessageReadings { readings, shape, .. } =
                numbers.unwrap_or_else(|| MessageReadings { shape, ..MessageReadings::default() });
            let counts = readings.iter().any(|reading| reading.series.metric.at_10m().is_some());
            let is_at_10m = !has_10m && counts && AT_10M.contains(&age(sent_at, at));
            if next.is_none() {
                ended.push(id);
            } else if !readings.is_empty() {
                fresh.push(Newest { id, sent_at, values: sums(&readings) });
            }
            polled.push(PolledMessage { row, readings, shape, is_at_10m, next });
        }
        let (newest, updates) = self.newest(fresh, &ended);
        let memory = MessageMemory { newest, refusals: 0, ..self.memory.clone() };
        let answered = Answered {
            content: Content::Messages { polled, rejected: refused.iter().map(|(message, _)| message.row).collect() },
            unknown,
            memory: (memory != self.memory).then(|| memory.write()),
            succeeded: failure.is_none(),
            due: None,
        };
        let receipt = self.poller.commit(answered).await?;
        self.memory = memory;
        self.has_new_numbers |= receipt.has_new_numbers;
        self.poller.services.page.update(updates).await;
        if let Some(state) = receipt.messages {
            self.board.show(state).await;
        }
        match failure {
            Some(error) => {
                self.poller.services.health.backlog(&self.poller.id, receipt.next_due).await;
                Err(error)
            }
            None => Ok(Done::Succeeded(receipt.next_due)),
        }
    }

    /// The newest messages with what they have now, and what that changes on the page.
    fn newest(&self, fresh: Vec<Newest>, ended: &[String]) -> (Vec<Newest>, Vec<Update>) {
        let before = &self.memory.newest;
        let is_over = |one: &Newest| ended.contains(&one.id) || fresh.iter().any(|fresh| fresh.id == one.id);
        let mut newest: Vec<Newest> = before.iter().filter(|one| !is_over(one)).cloned().collect();
        newest.extend(fresh);
        newest.sort_by(|a, b| (b.sent_at, &b.id).cmp(&(a.sent_at, &a.id)));
        newest.truncate(self.limit);
        let of = |newest: &[Newest]| newest.iter().flat_map(|one| samples(&self.board, one)).collect::<Vec<Sample>>();
        let updates = Update::replace(of(before), of(&newest));
        (newest, updates)
    }
}

impl Gathered {
    fn add(&mut self, other: Gathered) {
        self.answered.extend(other.answered);
        self.unknown.extend(other.unknown);
        self.refused.extend(other.refused);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// Asks for the messages of one call, and where it is refused for the parts of it.
async fn ask(poller: Arc<Poller>, report: Arc<dyn MessageReport>, batch: Vec<TrackedMessage>) -> Gathered {
    let mut gathered = Gathered::default();
    let mut retries = RETRIES;
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        let asked: Vec<AskedMessage> =
            part.iter().map(|message| AskedMessage { id: message.id.clone(), shape: message.shape.clone() }).collect();
        match poller.ask(&mut retries, || report.ask(&asked, &poller.client)).await {
            Ok(numbers) => {
                let now = poller.services.clock.now();
                let mut by_id: HashMap<String, MessageReadings> =
                    numbers.messages.into_iter().map(|message| (message.id.clone(), message)).collect();
                gathered.unknown.extend(numbers.unknown);
                gathered.answered.extend(part.into_iter().map(|message| {
                    let readings = by_id.remove(&message.id);
                    (message, readings, now)
                }));
            }
            Err(error) if report.blames(&error) == Blame::Question => {
                gathered.failure = Some(error);
                break;
            }
            Err(_) if part.len() > 1 => {
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
            }
            Err(error) => gathered.refused.extend(part.pop().map(|message| (message, error))),
        }
    }
    gathered
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
            Some(Sample {
                family: metric.newest_gauge()?,
                owner: board.owner(),
                rest: rest.clone(),
                value: value?,
                created: None,
            })
        })
        .collect()
}
