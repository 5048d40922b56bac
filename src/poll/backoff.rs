//! Due time of a report's next poll. The functions are pure: the interval of a working report is set by its provider;
//! this module decides how a failing report backs off, and ensures that no clock step makes it wait for long.

use std::time::Duration;

use jiff::Timestamp;

/// Returns the longest interval of a failing report.
pub(crate) fn slowest(interval: Duration) -> Duration {
    let hour = Duration::from_secs(3600);
    (interval.saturating_mul(10)).min(interval.max(hour))
}

/// First wait of a report that has never succeeded since the start: the network may come up after the exporter.
const FIRST: Duration = Duration::from_secs(5);

/// Returns the wait of a report, or of a part of it, after its `failures`-th failed poll in a row. It doubles each
/// time.
pub(crate) fn back_off(interval: Duration, failures: u32) -> Duration {
    doubled(interval, failures).min(slowest(interval))
}

/// Returns the wait of a report that has not succeeded since the start. It begins with seconds and doubles until it
/// reaches the report's interval; then [`back_off`] applies.
pub(crate) fn back_off_at_start(interval: Duration, failures: u32) -> Duration {
    let early = (1..=failures.min(64)).take_while(|failure| doubled(FIRST, *failure) < interval).count();
    match u32::try_from(early) {
        Ok(early) if early < failures => back_off(interval, failures - early),
        _ => doubled(FIRST, failures),
    }
}

fn doubled(wait: Duration, failures: u32) -> Duration {
    wait.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(20)))
}

/// Returns a random wait before a retry within a poll. Its upper bound doubles with each attempt (full jitter).
pub(crate) fn retry_delay(attempt: u32) -> Duration {
    let longest = 1000_u64.saturating_mul(2_u64.saturating_pow(attempt.min(5)));
    Duration::from_millis(fastrand::u64(0..=longest))
}

/// Returns the due time of a report after a start: immediately if it never succeeded or the stored time has passed,
/// and never later than its regular schedule, whatever clock wrote the stored time.
pub(crate) fn due_at_start(stored: Option<Timestamp>, by_rhythm: Timestamp, now: Timestamp) -> Timestamp {
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
        let waits = |interval, of: fn(Duration, u32) -> Duration| -> Vec<u64> {
            (1..=6).map(|failures| of(secs(interval), failures).as_secs()).collect()
        };
        assert_eq!(waits(300, back_off), [300, 600, 1200, 2400, 3000, 3000]);
        assert_eq!(waits(1, back_off), [1, 2, 4, 8, 10, 10]);
        assert_eq!(waits(3600, back_off), [3600; 6]);
        assert_eq!(back_off(secs(86_400), 40), secs(86_400));
        assert_eq!(waits(3600, back_off_at_start), [5, 10, 20, 40, 80, 160]);
        assert_eq!(waits(60, back_off_at_start), [5, 10, 20, 40, 60, 120]);
        assert_eq!(waits(20, back_off_at_start), [5, 10, 20, 40, 80, 160]);
        assert_eq!(back_off_at_start(secs(60), u32::MAX), secs(600));
        assert_eq!(waits(1, back_off_at_start), [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn retries_are_spread() {
        for (attempt, longest) in [(0, 1000), (1, 2000), (5, 32_000), (40, 32_000)] {
            let waits: Vec<u128> = (0..200).map(|_| retry_delay(attempt).as_millis()).collect();
            assert!(waits.iter().all(|wait| *wait <= longest) && waits.iter().any(|wait| *wait > longest / 2));
        }
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
