//! Messages in an answer on their way to a commit, whichever kind of report brought them.

use std::time::Duration;

use jiff::Timestamp;

use crate::ledger::{PolledMessage, TrackedMessage};
use crate::poll::newest_messages::{Newest, sums};
use crate::provider::message_schedule::message_age;
use crate::provider::{MessageQuery, MessageReadings};

/// Ages of a message between which a reading counts for its first ten minutes.
const AT_10M: std::ops::Range<Duration> = Duration::from_secs(600)..Duration::from_secs(1200);

/// Messages that were answered.
#[derive(Default)]
pub(super) struct AnsweredMessages {
    /// Messages to commit.
    pub(super) polled: Vec<PolledMessage>,
    /// Numbers of those that go on.
    pub(super) fresh: Vec<Newest>,
    /// Ids of those that retire.
    pub(super) ended: Vec<String>,
}

impl AnsweredMessages {
    /// Takes the answer for a message at a time, if there is one. `next` is its next due time and interval; `None` retires it.
    pub(super) fn take(
        &mut self,
        message: TrackedMessage,
        numbers: Option<MessageReadings>,
        at: Timestamp,
        next: Option<(Timestamp, Duration)>,
    ) {
        let TrackedMessage { row, id, sent_at, shape, has_10m, .. } = message;
        let MessageReadings { readings, shape, unaccounted, .. } =
            numbers.unwrap_or_else(|| MessageReadings { shape, ..MessageReadings::default() });
        let counts = readings.iter().any(|reading| reading.series.metric.at_10m().is_some());
        let is_at_10m = !has_10m && counts && AT_10M.contains(&message_age(sent_at, at));
        if next.is_none() {
            self.ended.push(id);
        } else if !readings.is_empty() {
            self.fresh.push(Newest { id, sent_at, values: sums(&readings) });
        }
        self.polled.push(PolledMessage { row, readings, shape, is_at_10m, unaccounted, next });
    }
}

/// Returns the query for a message at a time.
pub(super) fn message_query(message: &TrackedMessage, now: Timestamp) -> MessageQuery {
    let TrackedMessage { id, shape, sent_at, .. } = message;
    MessageQuery { shape: shape.clone(), ..new_message_query(id, *sent_at, now) }
}

/// Returns the query for a message that is not tracked yet.
pub(super) fn new_message_query(id: &str, sent_at: Timestamp, now: Timestamp) -> MessageQuery {
    MessageQuery { id: id.to_owned(), shape: String::new(), is_young: message_age(sent_at, now) < AT_10M.start }
}
