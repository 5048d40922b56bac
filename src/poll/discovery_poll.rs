//! Polling of a discovery report: every page of what pushes messages, then the messages of each, which are registered as they
//! are found. What is no longer listed is asked for a while, since its last message may have come after the last poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{CommitContent, Hurry, StoredReport};
use crate::messages::registry::MessageRegistry;
use crate::poll::error::PollError;
use crate::poll::poller::{AnswerCommit, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask, TRIES};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::{DiscoveryReport, FoundMessage, Origin};
use crate::util::clock::Clock;

/// Number of polls in which an origin that is no longer listed is still asked for its messages.
const AFTER_ITS_END: u32 = 3;
/// Maximum number of pages of a poll; each has some dozens of origins.
const MAX_PAGES: u32 = 200;
/// Maximum number of origins that are remembered, more than any account has.
const MAX_ORIGINS: usize = 10_000;
/// Maximum number of earlier messages that are remembered of an origin.
const MAX_EARLIER: usize = 1000;

/// Polling of a report that finds message ids.
pub(crate) struct DiscoveryPoll {
    report: Arc<dyn DiscoveryReport>,
    registry: Arc<MessageRegistry>,
    state: DiscoveryState,
    /// True until a poll has succeeded: messages that are listed then may be of any age.
    is_first: bool,
}

/// Origins that are known, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DiscoveryState(BTreeMap<String, KnownOrigin>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KnownOrigin {
    category: Option<String>,
    /// Number of polls since it was last listed.
    missing: u32,
    /// True if the first poll found it, and it has not been asked yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_earlier: bool,
    /// Messages without a send time that it had then: they were pushed before, and must not count as new.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    earlier: BTreeSet<String>,
    /// True if there were too many of them to remember: no message without a send time is registered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    needs_time: bool,
}

impl KnownOrigin {
    /// Notes the messages that the first poll finds.
    fn note_earlier(&mut self, messages: &[FoundMessage]) {
        if !std::mem::take(&mut self.is_earlier) {
            return;
        }
        let untimed = messages.iter().filter(|message| message.sent_at.is_none());
        self.earlier = untimed.map(|message| message.id.clone()).collect();
        if self.earlier.len() > MAX_EARLIER {
            self.needs_time = true;
            self.earlier.clear();
        }
    }

    /// Returns true if a message is to be registered.
    fn admits(&self, message: &FoundMessage) -> bool {
        message.sent_at.is_some() || !(self.needs_time || self.earlier.contains(&message.id))
    }
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
        let (state, is_first) = (poller.restored(&stored), stored.last_success.is_none());
        let work = DiscoveryPoll { report: report.into(), registry, state, is_first };
        ReportTask::new(poller, work, &stored, Some(next)).await
    }
}

impl PollKind for DiscoveryPoll {
    type Outcome = Option<DiscoveryState>;

    fn interval(&self) -> Duration {
        self.report.spec().interval
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<Option<DiscoveryState>> {
        let (report, registry) = (Arc::clone(&self.report), Arc::clone(&self.registry));
        let mut run = DiscoveryRun { poller, report, registry, retries: RETRIES, is_first: self.is_first, new: 0 };
        let mut state = self.state.clone();
        let result = run.run(&mut state).await;
        PollResult { outcome: result.is_ok().then_some(state), has_new_numbers: run.new > 0, result }
    }

    // Every poll queries everything.
    fn hurry(&mut self, _hurry: Hurry) {}

    async fn finish(&mut self, outcome: Option<DiscoveryState>, _is_ok: bool, _now: Timestamp) {
        if let Some(state) = outcome {
            self.state = state;
            self.is_first = false;
        }
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
    /// True if no poll has succeeded before.
    is_first: bool,
    /// Number of ids that are new.
    new: i64,
}

impl DiscoveryRun {
    async fn run(&mut self, state: &mut DiscoveryState) -> Result<PollOutcome, PollError> {
        let before = state.clone();
        self.list(state).await?;
        let error = self.ask(state).await?;
        let now = self.poller.services.clock.now();
        let due = Some(now.saturating_add(self.report.spec().interval).unwrap_or(now));
        let answered = AnswerCommit {
            content: CommitContent::Moment { gauges: Vec::new(), is_new: self.new > 0 },
            unknown: Vec::new(),
            state: if *state == before { None } else { self.poller.stored(&*state) },
            succeeded: error.is_none(),
            due,
            sure: now,
        };
        self.poller.commit(answered).await?;
        Ok(if error.is_some() { PollOutcome::Partly(error, due) } else { PollOutcome::Succeeded(due) })
    }

    /// Adds what is listed now, and forgets what has not been listed for long.
    async fn list(&mut self, state: &mut DiscoveryState) -> Result<(), ProviderError> {
        for known in state.0.values_mut() {
            known.missing = known.missing.saturating_add(1);
        }
        let mut page = 1;
        loop {
            let (report, client) = (&self.report, &self.poller.client);
            let listing = self.poller.query(&mut self.retries, || report.list(page, client)).await?;
            let is_last = listing.origins.is_empty() || page >= listing.pages.min(MAX_PAGES);
            for Origin { id, category } in listing.origins {
                if state.0.len() < MAX_ORIGINS || state.0.contains_key(&id) {
                    let new = || KnownOrigin { is_earlier: self.is_first, ..KnownOrigin::default() };
                    let known = state.0.entry(id).or_insert_with(new);
                    (known.category, known.missing) = (category, 0);
                }
            }
            if is_last {
                break;
            }
            page += 1;
        }
        state.0.retain(|_, known| known.missing <= AFTER_ITS_END);
        Ok(())
    }

    /// Asks each origin for its messages, and registers them. A failure of one does not affect the others; its error is
    /// returned, unless the origin is no longer listed and the provider has forgotten it.
    async fn ask(&mut self, state: &mut DiscoveryState) -> Result<Option<ProviderError>, PollError> {
        let mut error = None;
        let (mut failed, mut passed) = (0, 0);
        let ids: Vec<String> = state.0.keys().cloned().collect();
        for id in ids {
            let Some(known) = state.0.get_mut(&id) else { continue };
            let missing = known.missing;
            let origin = Origin { id, category: known.category.clone() };
            let (report, client) = (&self.report, &self.poller.client);
            match self.poller.query(&mut self.retries, || report.messages(&origin, client)).await {
                Ok(mut messages) => {
                    passed += 1;
                    known.note_earlier(&messages);
                    messages.retain(|message| known.admits(message));
                    if !messages.is_empty() {
                        self.new += self.registry.register_discovered(&self.poller.id.app, &messages).await?;
                    }
                }
                Err(failure) if failure.ends_the_poll() => return Err(failure.into()),
                Err(failure) if missing > 0 && is_gone(&failure) => drop(state.0.remove(&origin.id)),
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
}

/// Returns true if the provider does not know what it was asked for.
fn is_gone(error: &ProviderError) -> bool {
    matches!(error.reason(), Reason::NotFound | Reason::BadRequest)
}
