//! When a report is polled next. Pure: the pace of a report that works is its provider's; what is
//! decided here is how a failing one slows down, and that no clock step makes it wait for long.

use std::time::Duration;

use jiff::Timestamp;

use crate::provider::error::Reason;

/// The slowest pace of a failing report.
pub fn slowest(interval: Duration) -> Duration {
    let hour = Duration::from_secs(3600);
    (interval.saturating_mul(10)).min(interval.max(hour))
}

/// How long a report waits after its `failures`-th failed poll in a row: twice as long each time; at
/// once the slowest pace where only a person can help.
pub fn back_off(interval: Duration, reason: Reason, failures: u32) -> Duration {
    if !reason.is_transient() && reason != Reason::Ledger {
        return slowest(interval);
    }
    let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20)));
    doubled.min(slowest(interval))
}

/// A random wait before asking again within a poll: up to twice as long each time (full jitter).
pub fn retry_delay(attempt: u32) -> Duration {
    let longest = 1000_u64.saturating_mul(2_u64.saturating_pow(attempt.min(5)));
    Duration::from_millis(fastrand::u64(0..=longest))
}

/// When a report is due after a start: at once if it never succeeded or the stored time has passed, and
/// never later than its own rhythm says, whatever clock wrote the stored time.
pub fn due_at_start(stored: Option<Timestamp>, by_rhythm: Timestamp, now: Timestamp) -> Timestamp {
    stored.map_or(now, |stored| stored.min(by_rhythm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failing_reports_slow_down() {
        let waits: Vec<u64> = (1..=6).map(|n| back_off(secs(300), Reason::Server, n).as_secs()).collect();
        assert_eq!(waits, [300, 600, 1200, 2400, 3000, 3000]);
        assert_eq!(back_off(secs(300), Reason::Auth, 1), secs(3000));
        assert_eq!(back_off(secs(1), Reason::NotFound, 1), secs(10));
        assert_eq!(back_off(secs(3600), Reason::Forbidden, 1), secs(3600));
        assert_eq!(back_off(secs(86_400), Reason::Timeout, 40), secs(86_400));
    }

    #[test]
    fn a_stored_due_time_is_clamped() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-01-01T00:00:00Z");
        let rhythm = time("2026-01-01T00:05:00Z");
        assert_eq!(due_at_start(None, rhythm, now), now);
        assert_eq!(due_at_start(Some(time("2025-12-31T23:00:00Z")), rhythm, now), time("2025-12-31T23:00:00Z"));
        assert_eq!(due_at_start(Some(time("2027-01-01T00:00:00Z")), rhythm, now), rhythm);
    }
}
