//! Choice of the messages to poll among those that are due or nearly due.

use std::time::Duration;

use crate::ledger::time::{ms, span_ms};
use crate::ledger::{DueQuery, TrackedMessage};

/// Divisor of the pace: a message is nearly due within this part of it.
const NEARLY_DUE: i64 = 2;

/// Columns of a tracked message, in the order in which the engines read them; the sixth is its due time.
pub(crate) const TRACKED: &str = "id, subject, sent, shape, at_10m, due, failures, call_limit, refusals, aside, guessed, \
     watermark IS NOT NULL";

/// A message that may be polled.
pub(crate) struct Candidate {
    /// Polling interval in milliseconds.
    pub(crate) pace: i64,
    /// Due time in Unix milliseconds.
    pub(crate) due: i64,
    /// The message.
    pub(crate) message: TrackedMessage,
}

/// Returns the time until which messages of a pace are candidates, in Unix milliseconds. The last call is made anyway, so
/// nearly due messages fill it up.
pub(crate) fn nearly_due(query: &DueQuery, pace: i64) -> i64 {
    ms(query.now).saturating_add(pace / NEARLY_DUE)
}

/// Returns the time before which a message of a pace is late by more than a whole interval, in Unix milliseconds.
pub(crate) fn late_before(query: &DueQuery, pace: i64) -> i64 {
    ms(query.now).saturating_sub(pace)
}

/// Returns the maximum number of messages in all calls.
pub(crate) fn limit(query: &DueQuery) -> usize {
    query.batch.saturating_mul(query.calls)
}

/// Returns the messages to poll, the latest first, measured in paces.
pub(crate) fn choose(candidates: Vec<Candidate>, query: &DueQuery) -> Vec<TrackedMessage> {
    let lateness = |candidate: &Candidate| {
        let late = ms(query.now).saturating_sub(candidate.due) as f64;
        late / candidate.pace.max(1) as f64
    };
    let mut found: Vec<(f64, TrackedMessage)> = Vec::new();
    for candidate in candidates {
        let lateness = lateness(&candidate);
        // A failing message is not polled before it is due.
        let is_early = lateness < 0.0 && candidate.message.failures > 0;
        if !is_early && !query.under_way.contains(&candidate.message.row) {
            found.push((lateness, candidate.message));
        }
    }
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let due = found.iter().filter(|(lateness, _)| *lateness >= 0.0).count();
    found.truncate(due.next_multiple_of(query.batch.max(1)).min(limit(query)));
    found.into_iter().map(|(_, message)| message).collect()
}

/// A step of a schedule: messages sent after `oldest` and up to `youngest`, in Unix milliseconds, have this pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Earliest send time, exclusive.
    pub(crate) oldest: i64,
    /// Latest send time.
    pub(crate) youngest: i64,
    /// Pace in milliseconds.
    pub(crate) pace: i64,
}

/// Returns the steps of a schedule at a time; the last step also has all older messages.
pub(crate) fn steps(schedule: &[(Duration, Duration)], now: jiff::Timestamp) -> Vec<Step> {
    let mut youngest = i64::MAX;
    let step = |(index, (until, every)): (usize, &(Duration, Duration))| {
        let is_last = index + 1 == schedule.len();
        let oldest = if is_last { i64::MIN } else { ms(now).saturating_sub(span_ms(*until)) };
        let step = Step { oldest, youngest, pace: span_ms(*every) };
        youngest = oldest;
        step
    };
    schedule.iter().enumerate().map(step).collect()
}
