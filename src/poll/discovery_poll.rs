//! Polling of a discovery report: every page of what pushes messages, then the messages of each, which are registered as they
//! are found. What is no longer listed is asked for a while, since its last message may have come after the last poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::{CommitContent, Hurry, StoredReport};
use crate::messages::registry::MessageRegistry;
use crate::poll::error::PollError;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask, TRIES};
use crate::provider::error::ProviderError;
use crate::provider::{DiscoveryReport, FoundMessages, Origin};
use crate::util::clock::Clock;

/// Time for which an origin that is no longer listed is still asked for its messages.
const AFTER_ITS_END: SignedDuration = SignedDuration::from_mins(30);
/// Time after which an origin that is no longer listed is forgotten, even if it could not be asked.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);
/// Time by which a message may have been sent before the first list and still counts in full, as when a sender registers it.
const BEFORE: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of pages of a poll; each has some dozens of origins.
const MAX_PAGES: u32 = 200;
/// Maximum number of origins that are remembered, more than any account has.
const MAX_ORIGINS: usize = 10_000;
/// Polling of a report that finds message ids.
pub(crate) struct DiscoveryPoll {
    report: Arc<dyn DiscoveryReport>,
    registry: Arc<MessageRegistry>,
    state: DiscoveryState,
}

/// Knowledge of what pushes messages, which the ledger keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscoveryState {
    /// Time of the first complete list: what was pushed before is no news.
    began: Option<Timestamp>,
    /// Origins by id.
    origins: BTreeMap<String, KnownOrigin>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KnownOrigin {
    category: Option<String>,
    /// Time at which it was first missing from the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Timestamp>,
    /// True if the first list had it, and it has not been asked yet: its messages without a send time may be of any age.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_earlier: bool,
}

impl DiscoveryPoll {
    /// Prepares the report for polling.
    pub(crate) async fn ready(
        poller: Poller,
        report: Box<dyn DiscoveryReport>,
        registry: Arc<MessageRegistry>,
        stored: StoredReport,
    ) -> ReportTask<DiscoveryPoll> {
        let now = poller.services.clock.now();
        let latest = now.saturating_add(report.spec().interval).unwrap_or(now);
        let next = stored.due.unwrap_or(now).min(latest);
        let mut state: DiscoveryState = poller.restored(&stored);
        // If the state cannot be read, discovery has begun all the same.
        state.began = state.began.or(stored.last_success);
        let work = DiscoveryPoll { report: report.into(), registry, state };
        ReportTask::new(poller, work, &stored, Some(next)).await
    }
}

impl PollKind for DiscoveryPoll {
    type Outcome = DiscoveryState;

    fn interval(&self) -> Duration {
        self.report.spec().interval
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<DiscoveryState> {
        let started = poller.services.clock.now();
        let due = Some(started.saturating_add(self.interval()).unwrap_or(started));
        let mut run = DiscoveryRun {
            poller,
            report: Arc::clone(&self.report),
            registry: Arc::clone(&self.registry),
            retries: RETRIES,
            due,
            state: self.state.clone(),
            kept: self.state.clone(),
            unknown: Vec::new(),
            new: 0,
        };
        let result = run.run().await;
        PollResult { outcome: run.kept, has_new_numbers: run.new > 0, result }
    }

    // Every poll queries everything.
    fn hurry(&mut self, _hurry: Hurry) {}

    async fn finish(&mut self, outcome: DiscoveryState, _is_ok: bool, _now: Timestamp) {
        self.state = outcome;
    }

    async fn tick(&mut self, _clock: &Clock) -> bool {
        false
    }
}

/// One poll.
struct DiscoveryRun {
    poller: Arc<Poller>,
    report: Arc<dyn DiscoveryReport>,
    registry: Arc<MessageRegistry>,
    retries: u32,
    /// Due time of the next poll, an interval after the start of this one: many origins take longer than the interval.
    due: Option<Timestamp>,
    state: DiscoveryState,
    /// The state that the ledger has.
    kept: DiscoveryState,
    /// Names of elements that cannot be read.
    unknown: Vec<String>,
    /// Number of ids that are new.
    new: i64,
}

impl DiscoveryRun {
    async fn run(&mut self) -> Result<PollOutcome, PollError> {
        let listed = self.list().await;
        // What is listed now may have ended before the next poll, whatever becomes of this one.
        self.keep().await?;
        listed?;
        let error = self.ask().await?;
        self.commit(error.is_none()).await?;
        Ok(if error.is_some() { PollOutcome::Partly(error, self.due) } else { PollOutcome::Succeeded(self.due) })
    }

    /// Stores the state if it has changed.
    async fn keep(&mut self) -> Result<(), PollError> {
        if self.state == self.kept { Ok(()) } else { self.commit(false).await }
    }

    async fn commit(&mut self, succeeded: bool) -> Result<(), PollError> {
        let answered = AnswerCommit {
            content: CommitContent::Moment { gauges: Vec::new(), is_new: self.new > 0 },
            unknown: std::mem::take(&mut self.unknown),
            state: if self.state == self.kept { None } else { self.poller.stored(&self.state) },
            succeeded,
            due: self.due,
            sure: self.poller.services.clock.now(),
        };
        self.poller.commit(answered).await?;
        self.kept.clone_from(&self.state);
        Ok(())
    }

    /// Adds what is listed now, and notes what is not listed any more if the list is complete.
    async fn list(&mut self) -> Result<(), ProviderError> {
        let mut listed = BTreeSet::new();
        let is_first = self.state.began.is_none();
        let mut page = 1;
        loop {
            let (report, client) = (&self.report, &self.poller.client);
            let listing = self.poller.query(&mut self.retries, || report.list(page, client)).await?;
            let is_last = listing.origins.is_empty() || page >= listing.pages.min(MAX_PAGES);
            for Origin { id, category } in listing.origins {
                let origins = &mut self.state.origins;
                if origins.len() < MAX_ORIGINS || origins.contains_key(&id) {
                    let new = || KnownOrigin { is_earlier: is_first, ..KnownOrigin::default() };
                    let known = origins.entry(id.clone()).or_insert_with(new);
                    (known.category, known.left) = (category, None);
                    listed.insert(id);
                }
            }
            if is_last {
                break;
            }
            page += 1;
        }
        let now = self.poller.services.clock.now();
        self.state.began.get_or_insert(now);
        for (id, known) in &mut self.state.origins {
            if !listed.contains(id) {
                known.left.get_or_insert(now);
            }
        }
        self.state.origins.retain(|_, known| known.left.is_none_or(|left| now.duration_since(left) < FORGOTTEN));
        Ok(())
    }

    /// Asks each origin for its messages, and registers them. A failure of one does not affect the others; its error is
    /// returned.
    async fn ask(&mut self) -> Result<Option<ProviderError>, PollError> {
        let mut error = None;
        let (mut failed, mut passed) = (0, 0);
        let ids: Vec<String> = self.state.origins.keys().cloned().collect();
        for id in ids {
            let Some(known) = self.state.origins.get(&id).cloned() else { continue };
            let origin = Origin { id, category: known.category.clone() };
            let (report, client) = (&self.report, &self.poller.client);
            match self.poller.query(&mut self.retries, || report.messages(&origin, client)).await {
                Ok(found) => {
                    passed += 1;
                    self.take(&origin.id, &known, found).await?;
                }
                Err(failure) if failure.ends_the_poll() => return Err(failure.into()),
                // It was deleted after it had been listed.
                Err(failure) if self.report.is_gone(&failure) => {
                    passed += 1;
                    self.gone(&origin.id);
                }
                Err(failure) => {
                    failed += 1;
                    error.get_or_insert(failure);
                    if failed >= TRIES && passed == 0 {
                        break;
                    }
                }
            }
        }
        match error {
            Some(error) if passed == 0 => Err(error.into()),
            error => Ok(error),
        }
    }

    /// Forgets an origin that the provider does not know any more. One that has not been asked yet is remembered for a while:
    /// if it is listed again, what it pushed before discovery began is still no news.
    fn gone(&mut self, id: &str) {
        let now = self.poller.services.clock.now();
        match self.state.origins.get_mut(id) {
            Some(known) if known.is_earlier => drop(known.left.get_or_insert(now)),
            _ => drop(self.state.origins.remove(id)),
        }
    }

    /// Registers the messages of an origin, apart from those that were pushed before discovery began.
    async fn take(&mut self, id: &str, known: &KnownOrigin, found: FoundMessages) -> Result<(), PollError> {
        let FoundMessages { messages, unknown } = found;
        self.unknown.extend(unknown);
        let began = self.state.began;
        let is_news = |sent_at: Timestamp| began.is_none_or(|began| began.duration_since(sent_at) < BEFORE);
        let (mut new, mut earlier) = (Vec::new(), Vec::new());
        for message in messages {
            match message.sent_at {
                Some(sent_at) if is_news(sent_at) => new.push(message),
                Some(_) => {}
                None if known.is_earlier => earlier.push(message),
                None => new.push(message),
            }
        }
        if !(new.is_empty() && earlier.is_empty()) {
            self.new += self.registry.register_discovered(&self.poller.id.app, &new, &earlier).await?;
        }
        let now = self.poller.services.clock.now();
        if known.left.is_some_and(|left| now.duration_since(left) >= AFTER_ITS_END) {
            self.state.origins.remove(id);
        } else if known.is_earlier {
            if let Some(known) = self.state.origins.get_mut(id) {
                known.is_earlier = false;
            }
            // From now on a message without a send time is new, also after a crash.
            self.keep().await?;
        }
        Ok(())
    }
}
