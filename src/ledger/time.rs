//! Times as the ledger stores them: Unix milliseconds.

use std::time::Duration;

use jiff::Timestamp;

/// Milliseconds in a day.
pub(super) const DAY_MS: i64 = 86_400_000;

pub(super) fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn span_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
