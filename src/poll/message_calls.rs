//! Calls for messages: the grouping of messages, one call with its retries, and the calls in progress.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::ledger::TrackedMessage;
use crate::poll::answered_messages::message_query;
use crate::poll::poller::{Poller, RETRIES};
use crate::provider::error::ProviderError;
use crate::provider::{MessageNumbers, MessageQuery, MessageReadings, MessageReport};

/// Number of parts into which a failed call is divided. As parts have no retries of their own, that is two more
/// requests.
pub(super) const PARTS: usize = 3;

/// Calls in progress.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<CallResult>,
    /// Rows of the messages of each call.
    rows: HashMap<Id, Vec<i64>>,
}

/// Answers of a call.
#[derive(Default)]
pub(super) struct Answers {
    /// Answered messages, each with its readings, if any, and the time of the answer.
    pub(super) messages: Vec<(TrackedMessage, Option<MessageReadings>, Timestamp)>,
    pub(super) unknown: Vec<String>,
}

/// Result of a call, which may have been divided.
pub(super) struct CallResult {
    pub(super) began: Instant,
    pub(super) answers: Answers,
    pub(super) failed: Vec<(Vec<TrackedMessage>, ProviderError)>,
}

/// Divides messages that are due into calls, at most `room` of them. A message for which calls have failed is grouped
/// with few others, one that is set aside is alone. `divided` is the number of polls in a row in which no call
/// passed: the calls are then smaller, at most three times as many, and shuffled, so that each poll groups messages
/// differently.
pub(super) fn companies(
    mut due: Vec<TrackedMessage>,
    batch: usize,
    room: usize,
    divided: u32,
) -> Vec<Vec<TrackedMessage>> {
    let count = due.len().div_ceil(batch.max(1));
    let size = if divided == 0 {
        batch
    } else {
        fastrand::shuffle(&mut due);
        due.len().min(batch).div_ceil(PARTS.saturating_pow(divided.min(8)))
    };
    let room = if divided == 0 { room } else { room.min(count * PARTS) };
    let mut companies: Vec<(usize, Vec<TrackedMessage>)> = Vec::new();
    for message in due {
        let limit = match message.call_limit {
            _ if message.is_aside => 1,
            0 => size,
            limit => size.min(limit as usize),
        };
        match companies.iter_mut().find(|(of, company)| *of == limit && company.len() < limit && limit > 1) {
            Some((_, company)) => company.push(message),
            None => companies.push((limit, vec![message])),
        }
    }
    companies.truncate(room);
    companies.into_iter().map(|(_, company)| company).collect()
}

impl Calls {
    /// Returns the number of calls in progress.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the rows of the messages of calls in progress.
    pub(super) fn rows(&self) -> impl Iterator<Item = i64> + '_ {
        self.rows.values().flatten().copied()
    }

    /// Starts a call for these messages.
    pub(super) fn begin(
        &mut self,
        poller: &Arc<Poller>,
        report: &Arc<dyn MessageReport>,
        messages: Vec<TrackedMessage>,
        is_divided: bool,
    ) {
        let rows = messages.iter().map(|message| message.row).collect();
        let call = call(Arc::clone(poller), Arc::clone(report), messages, is_divided);
        let task = self.tasks.spawn(poller.services.tasks.track_future(call));
        self.rows.insert(task.id(), rows);
    }

    /// Waits for the next call to end, endlessly if none is in progress. A panic of the call is resumed here.
    pub(super) async fn next(&mut self) -> CallResult {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, called))) => {
                self.rows.remove(&id);
                called
            }
            Some(Err(error)) => {
                self.rows.remove(&error.id());
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Calls are cancelled only together with everything that waits for them.
                    Err(_) => std::future::pending().await,
                }
            }
        }
    }
}

/// Queries the messages of one call, with at most two more requests: retries, or the halves of a call in which the
/// provider blames an id. If calls are divided because none passes, neither is made.
async fn call(
    poller: Arc<Poller>,
    report: Arc<dyn MessageReport>,
    mut messages: Vec<TrackedMessage>,
    is_divided: bool,
) -> CallResult {
    let mut called = CallResult { began: Instant::now(), answers: Answers::default(), failed: Vec::new() };
    // Messages that have failed before are divided from poll to poll instead.
    let has_failed = is_divided || messages.iter().any(|message| message.failures > 0);
    let mut retries = if has_failed { 0 } else { RETRIES };
    let before = retries;
    match query(&poller, &*report, &messages, &mut retries).await {
        Ok(numbers) => called.add(messages, numbers, poller.services.clock.now()),
        Err(error) if messages.len() > 1 && !is_divided && retries == before && report.blames_an_id(&error) => {
            let other = messages.split_off(messages.len() / 2);
            for half in [messages, other] {
                match query(&poller, &*report, &half, &mut 0).await {
                    Ok(numbers) => called.add(half, numbers, poller.services.clock.now()),
                    Err(error) => called.failed.push((half, error)),
                }
            }
        }
        Err(error) => called.failed.push((messages, error)),
    }
    called
}

async fn query(
    poller: &Poller,
    report: &dyn MessageReport,
    messages: &[TrackedMessage],
    retries: &mut u32,
) -> Result<MessageNumbers, ProviderError> {
    let now = poller.services.clock.now();
    let asked: Vec<MessageQuery> = messages.iter().map(|message| message_query(message, now)).collect();
    poller.query(retries, || report.query(&asked, &poller.client)).await
}

impl CallResult {
    fn add(&mut self, messages: Vec<TrackedMessage>, numbers: MessageNumbers, now: Timestamp) {
        let mut by_id: HashMap<String, MessageReadings> =
            numbers.messages.into_iter().map(|message| (message.id.clone(), message)).collect();
        self.answers.unknown.extend(numbers.unknown);
        self.answers.messages.extend(messages.into_iter().map(|message| {
            let readings = by_id.remove(&message.id);
            (message, readings, now)
        }));
    }
}
