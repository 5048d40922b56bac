//! Polling by message. Calls are independent: a few are in progress at once, each is committed when its answer
//! arrives, and a free slot takes the next due messages. A call that fails while others pass is retried in smaller
//! groups, until the message that spoils it is alone and delays only itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::{CommitContent, DueQuery, FailedMessage, Hurry, Receipt, Reschedule, StoredReport, TrackedMessage};
use crate::messages::registry::Board;
use crate::poll::answered_messages::AnsweredMessages;
use crate::poll::backoff;
use crate::poll::error::PollError;
use crate::poll::message_calls::{Answers, CallResult, Calls, PARTS, companies};
use crate::poll::newest_messages::NewestList;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, ReportTask};
use crate::provider::MessageReport;
use crate::provider::error::ProviderError;
use crate::provider::message_schedule::{DAY, MessageSchedule, message_age};
use crate::status::ReportId;
use crate::util::clock::Clock;
use crate::util::clock_guard::{ClockGuard, ClockReading};

/// Maximum number of concurrent calls: if answers are slow, sequential calls would not use the rate limit.
const CALLS_AT_ONCE: usize = 8;

/// Number of polls that must refuse a message alone, while others pass, before it is set aside.
const REFUSALS: u32 = 3;

/// Interval between two queries for a message that is set aside, and the time that a message has after its end to be
/// answered.
const A_DAY: Duration = Duration::from_secs(DAY);

/// Polling of a report by message.
pub(crate) struct MessagePoll {
    report: Arc<dyn MessageReport>,
    board: Arc<Board>,
    /// True if new messages are assigned to this report.
    is_current: bool,
    guard: ClockGuard,
    state: MessageReportState,
    /// The newest messages, which are shown one by one.
    newest: NewestList,
    /// True if due times may differ from the schedule.
    is_out_of_step: bool,
    /// Messages that the next poll queries before they are due.
    hurry: Option<Hurry>,
    calls: Calls,
    /// Number of polls in a row in which no call passed: calls are divided that often, until one passes.
    divided: u32,
    /// Time at which a call last passed.
    passed_at: Option<Instant>,
    /// Time at which a call last failed for a message, by the row of the message.
    failed_at: HashMap<i64, Instant>,
}

/// State that is kept between polls and across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MessageReportState {
    /// Schedule by which the due times were computed.
    pace: Option<MessageSchedule>,
}

/// Assignment of an app's messages to a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assignment {
    /// True if new messages are assigned to the report.
    pub is_current: bool,
    /// Number of the newest messages that are shown.
    pub newest: usize,
    /// Due time of the first message, if any is due.
    pub next: Option<Timestamp>,
    /// True if messages were registered by a clock ahead of this one.
    pub was_ahead: bool,
    /// Last time that is known for certain.
    pub last_seen: Option<Timestamp>,
}

impl MessagePoll {
    /// Shows the state that the ledger has stored for the report, and prepares the report for polling.
    pub(crate) async fn ready(
        poller: Poller,
        report: Box<dyn MessageReport>,
        board: Arc<Board>,
        standing: Assignment,
        stored: StoredReport,
    ) -> ReportTask<MessagePoll> {
        let Assignment { is_current, newest, next, was_ahead, last_seen } = standing;
        let state: MessageReportState = poller.restored(&stored);
        let newest = NewestList::new(newest, &stored.newest, |id, error| poller.unreadable_message(id, &error));
        let clock = &poller.services.clock;
        let now = clock.now();
        let is_out_of_step = state.pace.as_ref() != Some(report.schedule())
            || was_ahead
            || stored.last_success.is_some_and(|last| last > now);
        let guard = ClockGuard::new(clock, last_seen);
        poller.services.exposition.update(newest.show(&board)).await;
        let work = MessagePoll {
            report: report.into(),
            board,
            is_current,
            guard,
            state,
            newest,
            is_out_of_step,
            hurry: None,
            calls: Calls::default(),
            divided: 0,
            passed_at: None,
            failed_at: HashMap::new(),
        };
        // If due times are out of step, any message may be due.
        let next = next.map(|next| if is_out_of_step { next.min(now) } else { next });
        ReportTask::new(poller, work, &stored, next).await
    }
}

impl PollKind for MessagePoll {
    type Outcome = ();

    fn interval(&self) -> Duration {
        self.report.schedule().fastest()
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        self.is_current.then(|| self.board.wake())
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<()> {
        let mut poll = MessagePollRun { poller, work: self, round: Round::default() };
        let result = poll.run().await;
        let has_new_numbers = poll.round.has_new_numbers;
        PollResult { outcome: (), has_new_numbers, result }
    }

    fn is_under_way(&self) -> bool {
        self.calls.len() > 0
    }

    fn hurry(&mut self, hurry: Hurry) {
        self.hurry = Some(hurry);
    }

    async fn finish(&mut self, (): (), _is_ok: bool, _now: Timestamp) {}

    async fn tick(&mut self, clock: &Clock) -> bool {
        self.is_out_of_step |= self.guard.read(clock).was_set_back;
        self.is_out_of_step
    }
}

/// One poll: queries due messages until there are none, or until a polling interval has passed. Calls that have not
/// ended by then carry over into the next poll.
struct MessagePollRun<'a> {
    poller: Arc<Poller>,
    work: &'a mut MessagePoll,
    round: Round,
}

/// Results of the calls that ended in a poll.
#[derive(Default)]
struct Round {
    has_asked: bool,
    has_passed: bool,
    has_new_numbers: bool,
    /// Answers that are not committed yet: those of the last call are committed together with the end of the poll.
    last: Option<Answers>,
    /// Calls that failed, which are judged once it is known whether others passed.
    failed: Vec<FailedCall>,
    /// Ids of messages that end although calls for them failed.
    ended: Vec<String>,
    /// Error that ends the poll: any other query would fail in the same way.
    end: Option<ProviderError>,
    /// Due time of the first message.
    next_due: Option<Timestamp>,
    /// Number of failing messages.
    failing: i64,
}

/// Messages of a failed call, with its error.
struct FailedCall {
    messages: Vec<TrackedMessage>,
    error: ProviderError,
    began: Instant,
}

impl MessagePollRun<'_> {
    async fn run(&mut self) -> Result<PollOutcome, PollError> {
        let reading = self.work.guard.read(&self.poller.services.clock);
        if self.work.is_out_of_step || self.work.hurry.is_some() || reading.was_set_back {
            self.reschedule(reading.now).await?;
        }
        let interval = self.work.interval();
        let over = Instant::now() + interval;
        loop {
            // If calls take longer than an interval, a poll ends with the first that passes. Before that, it waits
            // for the answers in progress, since the next poll may be far away.
            let is_late = Instant::now() >= over;
            let may_end = self.round.has_passed && self.round.end.is_none();
            let next = if is_late && !may_end { None } else { self.fill().await? };
            if self.work.calls.len() == 0 {
                break;
            }
            if let Some(answers) = self.round.last.take() {
                self.commit(answers, Vec::new(), false).await?;
            }
            if is_late && may_end {
                break;
            }
            let has_room = self.work.calls.len() < CALLS_AT_ONCE && self.round.end.is_none() && !is_late;
            let left = next.filter(|_| has_room).map(|next| {
                let left = next.duration_since(self.poller.services.clock.now());
                Duration::try_from(left).unwrap_or_default().max(Duration::from_millis(1))
            });
            let wake = self.work.wake().filter(|_| has_room);
            tokio::select! {
                called = self.work.calls.next() => self.take(called).await?,
                () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => {}
                () = woken(wake.as_deref()) => {}
                () = tokio::time::sleep_until(over), if !is_late => {}
            }
        }
        self.conclude().await
    }

    async fn reschedule(&mut self, now: Timestamp) -> Result<(), PollError> {
        let pace = self.work.report.schedule();
        self.work.state.pace = Some(pace.clone());
        let steps = pace.steps().iter().map(|step| (step.until, step.every)).collect();
        let (app, report) = (self.poller.app, self.work.report.spec().name);
        let change =
            Reschedule { app, report, now, steps, state: self.poller.stored(&self.work.state), hurry: self.work.hurry };
        self.poller.services.ledger.reschedule(change).await?;
        (self.work.is_out_of_step, self.work.hurry) = (false, None);
        Ok(())
    }

    /// Starts calls for due messages while there is room for more. Returns the due time of the next message.
    async fn fill(&mut self) -> Result<Option<Timestamp>, PollError> {
        let room = CALLS_AT_ONCE.saturating_sub(self.work.calls.len());
        if room == 0 || self.round.end.is_some() {
            return Ok(None);
        }
        let services = &self.poller.services;
        let (batch, now) = (self.work.report.batch(), services.clock.now());
        // Messages that have failed in this poll are not queried again in it.
        let answered = self.round.last.iter().flat_map(|answers| answers.messages.iter().map(|(one, ..)| one.row));
        let failed = self.round.failed.iter().flat_map(|call| call.messages.iter().map(|one| one.row));
        let called = self.work.calls.rows();
        let under_way = called.chain(answered).chain(failed).collect();
        let (app, report) = (self.poller.app, self.work.report.spec().name);
        let query = DueQuery { app, report, now, batch, calls: room, under_way };
        let due = services.ledger.due_messages(query).await?;
        services.status.late(&self.poller.id, due.late);
        self.round.next_due = due.next;
        // While no call passes, one attempt is enough for a poll: more would be in vain.
        if due.batch.is_empty() || (self.work.divided > 0 && self.round.has_asked && !self.round.has_passed) {
            return Ok(due.next.filter(|next| *next > now));
        }
        for messages in companies(due.batch, batch, room, self.work.divided) {
            self.round.has_asked = true;
            self.work.calls.begin(&self.poller, &self.work.report, messages, self.work.divided > 0);
        }
        Ok(due.next.filter(|next| *next > now))
    }

    /// Takes the result of a call: answers are committed at once, failures are judged at the end of the poll.
    async fn take(&mut self, called: CallResult) -> Result<(), PollError> {
        let CallResult { began, answers, failed } = called;
        if let Some(answers) = self.round.last.take() {
            self.commit(answers, Vec::new(), false).await?;
        }
        if !answers.messages.is_empty() {
            self.work.passed_at = Some(Instant::now());
            self.work.divided = 0;
            self.round.has_passed = true;
            self.round.last = Some(answers);
        }
        for (messages, error) in failed {
            if error.ends_the_poll() {
                self.round.end.get_or_insert(error);
            } else {
                self.round.failed.push(FailedCall { messages, error, began });
            }
        }
        Ok(())
    }

    /// Decides the outcome of the poll, and what happens to the messages for which calls failed.
    async fn conclude(&mut self) -> Result<PollOutcome, PollError> {
        let failed = std::mem::take(&mut self.round.failed);
        let passed_at = self.work.passed_at;
        // If other calls have passed since a call began, or all of its messages have failed before, its failure
        // concerns only that call.
        let is_part = |call: &FailedCall| {
            passed_at.is_some_and(|at| at >= call.began) || call.messages.iter().all(|one| one.failures > 0)
        };
        if !self.round.has_passed && (self.round.end.is_some() || failed.iter().any(|call| !is_part(call))) {
            if self.round.end.is_none() {
                self.work.divided = self.work.divided.saturating_add(1);
            }
            let error = self.fail(failed).await?;
            return Err(self.round.end.take().unwrap_or(error).into());
        }
        let reading = self.work.guard.read(&self.poller.services.clock);
        let mut error = None;
        let mut messages = Vec::new();
        for call in failed {
            messages.extend(self.judge(&call, reading));
            error.get_or_insert(call.error);
        }
        let answers = self.round.last.take();
        let is_success = self.round.end.is_none() && error.is_none();
        // The success is recorded even if all answers are committed, and only calls of the next poll are in progress.
        if !messages.is_empty() || answers.is_some() || (is_success && self.round.has_passed) {
            self.commit(answers.unwrap_or_default(), messages, is_success).await?;
        }
        let due = self.round.next_due;
        if let Some(end) = self.round.end.take() {
            return Err(end.into());
        }
        match error {
            Some(_) if self.round.failing > 0 => Ok(PollOutcome::Partly(error, due)),
            // The failed messages are set aside or retired.
            Some(_) if self.round.has_passed => Ok(PollOutcome::Succeeded(due)),
            Some(_) => Ok(PollOutcome::Dropped(due)),
            None if self.round.failing > 0 => Ok(PollOutcome::Partly(None, due)),
            None if self.round.has_passed => Ok(PollOutcome::Succeeded(due)),
            None => Ok(PollOutcome::NothingDue(due)),
        }
    }

    /// Ends a poll in which no call passed, which says nothing about the messages. Those that never had a number end
    /// with their time; the others wait for their last numbers.
    async fn fail(&mut self, failed: Vec<FailedCall>) -> Result<ProviderError, PollError> {
        let reading = self.work.guard.read(&self.poller.services.clock);
        let ends = self.work.report.schedule().end() + A_DAY;
        let is_over =
            |message: &&TrackedMessage| !message.is_live && message_age(message.sent_at, reading.sure) >= ends;
        let retire = |message: &TrackedMessage| {
            let TrackedMessage { row, failures, call_limit, refusals, is_aside, .. } = *message;
            FailedMessage { row, failures, call_limit, refusals, is_aside, next: None }
        };
        let messages = || failed.iter().flat_map(|call| &call.messages);
        let retired: Vec<FailedMessage> = messages().filter(is_over).map(retire).collect();
        if !retired.is_empty() {
            self.commit(Answers::default(), retired, false).await?;
        }
        let first = failed.into_iter().next();
        Ok(first.map_or_else(|| ProviderError::Decode("no answer".to_owned()), |call| call.error))
    }

    /// Decides when the messages of a failed call are queried again, in how large groups, and whether one is to
    /// blame.
    fn judge(&mut self, call: &FailedCall, reading: ClockReading) -> Vec<FailedMessage> {
        let FailedCall { messages, error, .. } = call;
        let is_alone = messages.len() == 1;
        let is_refused = is_alone && self.work.report.blames_an_id(error);
        let call_limit = u32::try_from(messages.len().div_ceil(PARTS)).unwrap_or(u32::MAX);
        let pace = self.work.report.schedule().clone();
        let judged = |message: &TrackedMessage| {
            let TrackedMessage { row, sent_at, .. } = *message;
            let every = pace.at(message_age(sent_at, reading.now));
            let failures = message.failures.saturating_add(1);
            let mut refusals = message.refusals;
            if is_refused && self.has_passed_since(row, call.began) {
                refusals = refusals.saturating_add(1);
            }
            let is_aside = message.is_aside || refusals >= REFUSALS;
            let wait = if is_aside {
                A_DAY
            } else if is_refused {
                every
            } else if is_alone {
                backoff::back_off(every, failures)
            } else {
                backoff::back_off(pace.fastest(), failures).min(every)
            };
            let ends = pace.end() + if is_aside { Duration::ZERO } else { A_DAY };
            let is_over = message_age(sent_at, reading.sure) >= ends;
            let due = reading.now.saturating_add(wait).unwrap_or(reading.now);
            // The interval is that of the message's age, so that lateness is measured by the schedule.
            let next = (!is_over).then_some((due, if is_aside { A_DAY } else { every }));
            FailedMessage { row, failures, call_limit, refusals, is_aside, next }
        };
        let judged: Vec<FailedMessage> = messages.iter().map(judged).collect();
        for (message, failed) in messages.iter().zip(&judged) {
            self.work.failed_at.insert(message.row, Instant::now());
            if failed.is_aside {
                self.work.failed_at.remove(&message.row);
            }
            if failed.next.is_none() {
                self.round.ended.push(message.id.clone());
            }
            if failed.is_aside && !message.is_aside {
                let ReportId { provider, app, report } = &self.poller.id;
                let error = self.poller.account.in_words(error);
                tracing::warn!(
                    provider,
                    app,
                    report,
                    msg_id = message.id,
                    error,
                    "the provider refuses this message; it is set aside and queried once a day"
                );
            }
        }
        judged
    }

    /// Returns true if another call has passed since the last call that failed for this message or, if this is the
    /// first, since that call `began`: then the provider works, and the refusal concerns the message.
    fn has_passed_since(&self, row: i64, began: Instant) -> bool {
        let Some(passed_at) = self.work.passed_at else { return false };
        self.work.failed_at.get(&row).map_or(passed_at >= began, |failed_at| passed_at > *failed_at)
    }

    /// Commits answers and failures, and shows the changes.
    async fn commit(&mut self, answers: Answers, failed: Vec<FailedMessage>, succeeded: bool) -> Result<(), PollError> {
        let Answers { messages, unknown } = answers;
        let reading = self.work.guard.read(&self.poller.services.clock);
        let confirmation = self.poller.confirmation(reading.now);
        for over in failed.iter().filter(|message| message.next.is_none()) {
            self.work.failed_at.remove(&over.row);
        }
        let mut answers =
            AnsweredMessages { ended: std::mem::take(&mut self.round.ended), ..AnsweredMessages::default() };
        for (message, numbers, at) in messages {
            let corrected = confirmation.filter(|_| message.is_guessed);
            let sent_at = corrected.map_or(message.sent_at, |confirmed| confirmed.correct(message.sent_at, at));
            let next = self.work.report.schedule().next(sent_at, at, reading.sure.min(at));
            self.work.failed_at.remove(&message.row);
            answers.take(TrackedMessage { sent_at, ..message }, numbers, at, next);
        }
        let AnsweredMessages { polled, fresh, ended } = answers;
        let plan = self.work.newest.plan(fresh, &ended);
        let answered = AnswerCommit {
            content: CommitContent::Messages { polled, failed, newest: plan.stored() },
            unknown,
            state: None,
            succeeded,
            due: None,
            sure: reading.sure,
        };
        let Receipt { has_new_numbers, messages, next_due, failing, .. } = self.poller.commit(answered).await?;
        let updates = self.work.newest.take(plan, &self.work.board);
        self.round.has_new_numbers |= has_new_numbers;
        (self.round.next_due, self.round.failing) = (next_due, failing);
        self.poller.services.status.backlog(&self.poller.id, next_due).await;
        self.poller.services.exposition.update(updates).await;
        if let Some(state) = messages {
            self.work.board.show(state).await;
        }
        Ok(())
    }
}

async fn woken(wake: Option<&Notify>) {
    match wake {
        Some(wake) => wake.notified().await,
        None => std::future::pending().await,
    }
}
