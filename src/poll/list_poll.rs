//! Polling by list: the provider lists its messages with their numbers. Each page registers the messages that are new and
//! then counts the numbers of all, in the same tables and by the same rules as polling by message. A page that is lost
//! between the two is read again, and a page that fails delays only its band of the list.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::ledger::{
    CommitContent, DueQuery, FailedMessage, Hurry, NewMessage, NewMessages, Receipt, StoredReport, TrackedMessage,
    TrackedQuery,
};
use crate::messages::registry::Board;
use crate::model::message_source::MessageSource;
use crate::poll::answered_messages::{AnsweredMessages, message_query, new_message_query};
use crate::poll::backoff;
use crate::poll::error::PollError;
use crate::poll::list_walk::{Band, ListState, Walk, bands};
use crate::poll::newest_messages::NewestList;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::message_schedule::{DAY, message_age};
use crate::provider::{ListPage, ListReport, ListedMessage, MessageNumbers, MessageQuery, MessageReadings};
use crate::util::clock::Clock;
use crate::util::clock_guard::{ClockGuard, ClockReading};

/// Time that a message has after its end to be listed once more.
const A_DAY: Duration = Duration::from_secs(DAY);
/// Maximum number of messages without an answer that retire with a page.
const RETIRED_AT_ONCE: usize = 1000;

/// Polling of a report whose list brings messages with their numbers.
pub(super) struct ListPoll {
    report: Arc<dyn ListReport>,
    board: Arc<Board>,
    guard: ClockGuard,
    /// Bands of the list, the youngest first.
    bands: Vec<Band>,
    state: ListState,
    /// Bands that are failing, by their place.
    failing: BTreeMap<usize, FailingBand>,
    newest: NewestList,
}

/// A band whose last page failed.
struct FailingBand {
    /// Number of failures in a row.
    failures: u32,
    /// Time of the next attempt.
    retry_at: Timestamp,
}

impl ListPoll {
    /// Shows the state that the ledger has stored for the report, and prepares the report for polling.
    pub(super) async fn ready(
        poller: Poller,
        report: Box<dyn ListReport>,
        board: Arc<Board>,
        stored: StoredReport,
        last_seen: Option<Timestamp>,
    ) -> ReportTask<ListPoll> {
        let bands = bands(report.schedule());
        let mut state: ListState = poller.restored(&stored);
        state.keep(&bands);
        let newest =
            NewestList::new(report.newest(), &stored.newest, |id, error| poller.unreadable_message(id, &error));
        poller.services.exposition.update(newest.show(&board)).await;
        let clock = &poller.services.clock;
        let (guard, now) = (ClockGuard::new(clock, last_seen), clock.now());
        let (report, failing) = (report.into(), BTreeMap::new());
        let work = ListPoll { report, board, guard, bands, state, failing, newest };
        let next = work.next_due(&work.state, now);
        ReportTask::new(poller, work, &stored, next).await
    }

    /// Returns the due time of a band in this state, or the time of its next attempt if it is failing.
    fn due(&self, state: &ListState, place: usize, now: Timestamp) -> Timestamp {
        let due = self.bands.get(place).map_or(now, |band| state.due(band, now));
        self.failing.get(&place).map_or(due, |failing| due.max(failing.retry_at))
    }

    /// Returns the due time of the next walk.
    fn next_due(&self, state: &ListState, now: Timestamp) -> Option<Timestamp> {
        (0..self.bands.len()).map(|place| self.due(state, place, now)).min()
    }

    fn is_oldest(&self, place: usize) -> bool {
        place + 1 == self.bands.len()
    }
}

impl PollKind for ListPoll {
    type Outcome = ();

    fn interval(&self) -> Duration {
        self.report.schedule().fastest()
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<()> {
        let mut run = ListPollRun { poller, work: self, round: Round::default() };
        let result = run.run().await;
        PollResult { outcome: (), has_new_numbers: run.round.has_new_numbers, result }
    }

    fn hurry(&mut self, hurry: Hurry) {
        self.failing.values_mut().for_each(|failing| failing.retry_at = Timestamp::MIN);
        if hurry == Hurry::All {
            self.state.hurry();
        }
    }

    async fn finish(&mut self, (): (), _is_ok: bool, _now: Timestamp) {}

    async fn tick(&mut self, clock: &Clock) -> bool {
        self.guard.read(clock).was_set_back
    }
}

/// One poll: reads pages of the bands that are due, the youngest band first, until none is due or an interval has passed.
/// The rest of a walk that takes longer carries over into the next poll, which is due at once.
struct ListPollRun<'a> {
    poller: Arc<Poller>,
    work: &'a mut ListPoll,
    round: Round,
}

/// Results of the pages of a poll.
#[derive(Default)]
struct Round {
    has_passed: bool,
    has_new_numbers: bool,
    /// True if the last commit recorded the success of the poll.
    is_recorded: bool,
    /// Places of the bands that failed in this poll.
    failed: Vec<usize>,
    /// Error of the first of them.
    error: Option<ProviderError>,
}

impl ListPollRun<'_> {
    async fn run(&mut self) -> Result<PollOutcome, PollError> {
        let over = Instant::now() + self.work.interval();
        loop {
            let now = self.work.guard.read(&self.poller.services.clock).now;
            let Some(place) = self.choose(now) else { break };
            match self.page(place).await {
                Ok(()) => {}
                Err(PollError::Provider(error)) if !error.ends_the_poll() => self.fail(place, error),
                Err(error) => return Err(error),
            }
            if Instant::now() >= over {
                break;
            }
        }
        self.conclude().await
    }

    /// Returns the place of the band whose next page is to be read.
    fn choose(&self, now: Timestamp) -> Option<usize> {
        let mut places = 0..self.work.bands.len();
        let is_untried = |place: &usize| !self.round.failed.contains(place);
        let due = places.find(|place| is_untried(place) && self.work.due(&self.work.state, *place, now) <= now);
        // If only an older band was due, the youngest shows whether the provider fails as a whole.
        let is_doubtful = !self.round.failed.is_empty() && !self.round.has_passed && is_untried(&0);
        due.or(is_doubtful.then_some(0))
    }

    /// Makes a band wait after a failed page; the other bands go on.
    fn fail(&mut self, place: usize, error: ProviderError) {
        let now = self.poller.services.clock.now();
        let every = self.work.bands.get(place).map_or(self.work.interval(), |band| band.every);
        let failing = self.work.failing.entry(place).or_insert(FailingBand { failures: 0, retry_at: now });
        failing.failures = failing.failures.saturating_add(1);
        let wait = backoff::back_off(self.work.report.schedule().fastest(), failing.failures).min(every);
        failing.retry_at = now.saturating_add(wait).unwrap_or(now);
        self.round.failed.push(place);
        self.round.error.get_or_insert(error);
    }

    async fn conclude(&mut self) -> Result<PollOutcome, PollError> {
        let now = self.poller.services.clock.now();
        if let Some(error) = self.round.error.take_if(|_| !self.round.has_passed) {
            // The back-off of the report is enough.
            for place in &self.round.failed {
                self.work.failing.remove(place);
            }
            return Err(error.into());
        }
        let due = self.work.next_due(&self.work.state, now);
        if !self.work.failing.is_empty() {
            return Ok(PollOutcome::Partly(self.round.error.take(), due));
        }
        if !self.round.has_passed {
            return Ok(PollOutcome::NothingDue(due));
        }
        if !self.round.is_recorded {
            let reading = self.work.guard.read(&self.poller.services.clock);
            self.commit(self.work.state.clone(), PageAnswer::default(), reading, true).await?;
        }
        Ok(PollOutcome::Succeeded(due))
    }

    /// Reads the next page of a band.
    async fn page(&mut self, place: usize) -> Result<(), PollError> {
        let Some(band) = self.work.bands.get(place).copied() else { return Ok(()) };
        let (report, is_oldest) = (Arc::clone(&self.work.report), self.work.is_oldest(place));
        let now = self.work.guard.read(&self.poller.services.clock).now;
        let walk = self.work.state.walk(&band, is_oldest, report.listed_for(), now);
        let began = walk.began;
        let start = walk.start();
        // Each page has its retries: a poll may read dozens of them, and other clients use up the rate limit now and then.
        let mut retries = RETRIES;
        let answer = self.poller.query(&mut retries, || report.query(&start, &self.poller.client)).await;
        let page = match (answer, walk.without_cursor()) {
            // The cursor may have expired; the next page of this band is queried by time.
            (Err(error), Some(again)) if error.reason() == Reason::BadRequest => {
                self.work.state.take(&band, is_oldest, began, Some(again));
                return Ok(());
            }
            (answer, _) => answer?,
        };
        let reading = self.work.guard.read(&self.poller.services.clock);
        let mut state = self.work.state.clone();
        if walk.is_invalid(reading.now) {
            // The answer has shown that the clock was ahead; the walk begins again at the right time.
            return Ok(());
        }
        let walk: Option<Walk> = walk.advance(&page).map_err(|error| ProviderError::Decode(error.to_owned()))?;
        let is_complete = walk.is_none();
        state.take(&band, is_oldest, began, walk);
        let mut answer = self.take(page, reading, &mut state).await?;
        if is_oldest && is_complete {
            answer.retired = self.unanswered(reading).await?;
        }
        self.work.failing.remove(&place);
        self.round.has_passed = true;
        let is_last = self.work.next_due(&state, reading.now).is_none_or(|due| due > reading.now);
        let succeeded = is_last && self.work.failing.is_empty();
        self.commit(state, answer, reading, succeeded).await
    }

    /// Reads the numbers of a page, and registers the messages that are new and have some. One without any may be no push at
    /// all: it is left alone until it has.
    async fn take(
        &mut self,
        page: ListPage,
        reading: ClockReading,
        state: &mut ListState,
    ) -> Result<PageAnswer, PollError> {
        let ListPage { messages, unknown, .. } = page;
        // A scheduled message exists from its send time on.
        let sent: Vec<ListedMessage> = messages.into_iter().filter(|message| message.sent_at <= reading.now).collect();
        let mut tracked = self.tracked(sent.iter().map(|message| message.id.clone()).collect()).await?;
        let asked = |listed: ListedMessage| {
            let query = match tracked.get(&listed.id) {
                Some(message) => message_query(message, reading.now),
                None => new_message_query(&listed.id, listed.sent_at, reading.now),
            };
            (listed, query)
        };
        let listed: Vec<(ListedMessage, MessageQuery)> = sent.into_iter().map(asked).collect();
        let MessageNumbers { messages, unknown: odd } = self.work.report.read(&listed, &mut state.memory);
        let mut numbers: HashMap<String, MessageReadings> =
            messages.into_iter().map(|message| (message.id.clone(), message)).collect();
        let has_numbers = |id: &str| numbers.get(id).is_some_and(|message| !message.readings.is_empty());
        let is_new = |(message, _): &&(ListedMessage, MessageQuery)| {
            !tracked.contains_key(&message.id) && !message.is_called_off && has_numbers(&message.id)
        };
        let new: Vec<NewMessage> = listed.iter().filter(is_new).map(|(message, _)| self.new_message(message)).collect();
        if !new.is_empty() {
            let ids = new.iter().map(|message| message.id.clone()).collect();
            if self.register(new, reading.now).await? > 0 {
                tracked.extend(self.tracked(ids).await?);
            }
        }
        let mut answered = AnsweredMessages::default();
        for (listed, _) in listed {
            let Some(message) = tracked.remove(&listed.id) else { continue };
            let is_over =
                listed.is_called_off || message_age(message.sent_at, reading.sure) >= self.work.report.schedule().end();
            let next = (!is_over).then(|| (self.expiry(message.sent_at), A_DAY));
            answered.take(message, numbers.remove(&listed.id), reading.now, next);
        }
        Ok(PageAnswer { answered, retired: Vec::new(), unknown: unknown.into_iter().chain(odd).collect() })
    }

    /// Returns the time at which a message retires even if it is not listed any more. Messages have no other due time, since
    /// they are read by page.
    fn expiry(&self, sent_at: Timestamp) -> Timestamp {
        sent_at.saturating_add(self.work.report.schedule().end() + A_DAY).unwrap_or(Timestamp::MAX)
    }

    fn new_message(&self, message: &ListedMessage) -> NewMessage {
        let ListedMessage { id, sent_at, .. } = message;
        let due = self.expiry(*sent_at);
        NewMessage { id: id.clone(), sent_at: *sent_at, is_guessed: false, due, pace: A_DAY, category: None }
    }

    async fn tracked(&self, ids: Vec<String>) -> Result<HashMap<String, TrackedMessage>, PollError> {
        let query = TrackedQuery { app: self.poller.app, ids };
        let tracked = self.poller.services.ledger.tracked_messages(query).await?;
        Ok(tracked.into_iter().map(|message| (message.id.clone(), message)).collect())
    }

    /// Registers messages, and returns the number of those that are new. Retired ones are remembered for longer.
    async fn register(&self, messages: Vec<NewMessage>, now: Timestamp) -> Result<i64, PollError> {
        let (app, report, source) = (self.poller.app, self.work.report.spec().name, MessageSource::Discovery);
        let new = NewMessages { app, report, source, now, messages, earlier: Vec::new(), read: None };
        let mut count = 0;
        for added in self.poller.services.ledger.add_messages(vec![new]).await? {
            count += added.new;
            self.work.board.registered(added).await;
        }
        self.poller.services.status.activity().registered(count);
        Ok(count)
    }

    /// Returns the messages that retire because they are not listed any more: a day after their end at the earliest.
    async fn unanswered(&self, reading: ClockReading) -> Result<Vec<TrackedMessage>, PollError> {
        let (app, report) = (self.poller.app, self.work.report.spec().name);
        let query = DueQuery {
            app,
            report,
            now: reading.sure,
            batch: 1,
            calls: RETIRED_AT_ONCE,
            under_way: Default::default(),
        };
        let due = self.poller.services.ledger.due_messages(query).await?.batch;
        let ends = self.work.report.schedule().end() + A_DAY;
        Ok(due.into_iter().filter(|message| message_age(message.sent_at, reading.sure) >= ends).collect())
    }

    /// Commits a page with the state of the walks after it, and shows the changes.
    async fn commit(
        &mut self,
        state: ListState,
        answer: PageAnswer,
        reading: ClockReading,
        succeeded: bool,
    ) -> Result<(), PollError> {
        let PageAnswer { answered: AnsweredMessages { polled, fresh, mut ended }, retired, unknown } = answer;
        let is_answered = |row: i64| polled.iter().any(|message| message.row == row);
        let retired: Vec<TrackedMessage> = retired.into_iter().filter(|message| !is_answered(message.row)).collect();
        ended.extend(retired.iter().map(|message| message.id.clone()));
        let failed = retired.iter().map(|message| {
            let TrackedMessage { row, failures, call_limit, refusals, is_aside, .. } = *message;
            FailedMessage { row, failures, call_limit, refusals, is_aside, next: None }
        });
        let plan = self.work.newest.plan(fresh, &ended);
        let due = self.work.next_due(&state, reading.now);
        let answered = AnswerCommit {
            content: CommitContent::Messages { polled, failed: failed.collect(), newest: plan.stored() },
            unknown,
            state: self.poller.stored(&state),
            succeeded,
            due,
            sure: reading.sure,
        };
        let Receipt { has_new_numbers, messages, .. } = self.poller.commit(answered).await?;
        self.work.state = state;
        self.round.has_new_numbers |= has_new_numbers;
        self.round.is_recorded = succeeded;
        let updates = self.work.newest.take(plan, &self.work.board);
        self.poller.services.status.backlog(&self.poller.id, due).await;
        self.poller.services.exposition.update(updates).await;
        if let Some(state) = messages {
            self.work.board.show(state).await;
        }
        Ok(())
    }
}

/// Content of a page that is to be committed.
#[derive(Default)]
struct PageAnswer {
    answered: AnsweredMessages,
    /// Messages that retire without an answer.
    retired: Vec<TrackedMessage>,
    unknown: Vec<String>,
}
