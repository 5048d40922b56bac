//! Messages in a commit: counted, polled again later, set aside, or retired.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ledger::rules::counters::Counters;
use crate::ledger::rules::needs::StoredMessage;
use crate::ledger::watermark::Watermark;
use crate::ledger::{FailedMessage, PolledMessage};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;

/// Tolerance for messages sent before the ledger knew their app: up to this age they still count in full.
pub(crate) const LEEWAY: SignedDuration = SignedDuration::from_hours(1);

/// Change of a tracked message.
#[derive(Debug)]
pub(crate) enum MessageChange {
    /// It has new numbers.
    Update {
        /// New watermark.
        watermark: Watermark,
        /// New state for reading its answers.
        shape: String,
        /// True if these are its numbers after ten minutes.
        is_at_10m: bool,
        /// Next due time and interval.
        next: (Timestamp, Duration),
    },
    /// It has no new numbers.
    Postpone {
        /// Next due time and interval.
        next: (Timestamp, Duration),
    },
    /// A call for it failed.
    Fail {
        /// Number of consecutive failed calls.
        failures: u32,
        /// New maximum number of messages in a call that names it.
        call_limit: u32,
        /// Number of polls that rejected only this message while others passed.
        refusals: u32,
        /// True if it is set aside because of that.
        is_aside: bool,
        /// Next due time and interval.
        next: (Timestamp, Duration),
    },
    /// It is no longer tracked, and remembered by its id.
    Retire {
        /// Message id as the provider writes it.
        id: String,
    },
}

/// Changes of the messages of a commit.
#[derive(Debug, Default)]
pub(crate) struct MessageChanges {
    /// Changes by row.
    pub(crate) rows: Vec<(i64, MessageChange)>,
    /// Change of the number of tracked messages that have no number yet.
    pub(crate) waiting: i64,
    /// Change of the number of tracked messages that have a number.
    pub(crate) live: i64,
}

impl MessageChanges {
    /// Applies the answers for some messages. An answer resets the effects of failed calls.
    pub(super) fn polled(
        &mut self,
        polled: &[PolledMessage],
        stored: &mut HashMap<i64, StoredMessage>,
        counters: &mut Counters<'_>,
    ) {
        let everything = [String::new()];
        for message in polled {
            let Some(StoredMessage { id, sent_at, watermark: before, is_aside, category }) =
                stored.remove(&message.row)
            else {
                continue;
            };
            counters.set_category(category);
            let began = sent_at.saturating_add(LEEWAY).unwrap_or(sent_at);
            let (mut watermark, began) = counters.watermark(before.as_deref(), began, &id, &message.readings);
            let covers = if message.readings.is_empty() { &[] } else { &everything[..] };
            let is_dirty = counters.take(&mut watermark, began, &message.readings, covers);
            if message.is_at_10m {
                for reading in &message.readings {
                    if let Some(family) = reading.series.metric.at_10m() {
                        counters.count_delivery(family, &reading.series, reading.value);
                    }
                }
            }
            if !is_aside {
                *self.tracked(before.is_some()) -= 1;
            }
            let change = match message.next {
                None => {
                    if let Some(unaccounted) = &message.unaccounted {
                        counters.count_unaccounted(&message.readings, unaccounted);
                    }
                    MessageChange::Retire { id }
                }
                Some(next) => {
                    *self.tracked(before.is_some() || is_dirty) += 1;
                    if is_dirty || message.is_at_10m {
                        let (shape, is_at_10m) = (message.shape.clone(), message.is_at_10m);
                        MessageChange::Update { watermark, shape, is_at_10m, next }
                    } else {
                        MessageChange::Postpone { next }
                    }
                }
            };
            self.rows.push((message.row, change));
        }
    }

    /// Records failed calls for some messages: their next due times and the largest calls that may name them.
    pub(super) fn failed(
        &mut self,
        failed: &[FailedMessage],
        stored: &mut HashMap<i64, StoredMessage>,
        counters: &mut Counters<'_>,
    ) {
        let mut rejected = 0;
        for message in failed {
            let Some(StoredMessage { id, watermark, is_aside: was_aside, .. }) = stored.remove(&message.row) else {
                continue;
            };
            let FailedMessage { failures, call_limit, refusals, is_aside, .. } = *message;
            let count = self.tracked(watermark.is_some());
            let change = match message.next {
                None => {
                    *count -= i64::from(!was_aside);
                    MessageChange::Retire { id }
                }
                Some(next) => {
                    *count -= i64::from(is_aside) - i64::from(was_aside);
                    rejected += i64::from(is_aside && !was_aside);
                    MessageChange::Fail { failures, call_limit, refusals, is_aside, next }
                }
            };
            self.rows.push((message.row, change));
        }
        counters.count(Family::RejectedMessages, Labels::default(), rejected);
    }

    fn tracked(&mut self, is_live: bool) -> &mut i64 {
        if is_live { &mut self.live } else { &mut self.waiting }
    }
}
