//! A guard over a wall clock: detects steps, and delays trust in a clock that jumps ahead.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::util::clock::{Clock, Judgement, TimedReading, later};

/// Guard that compares a clock with the monotonic one: detects steps, and does not immediately follow a step forward.
/// Used for irreversible actions, such as retiring a message.
#[derive(Debug)]
pub struct ClockGuard {
    /// Last reading of the clock.
    said: TimedReading,
    /// Last trusted reading of the clock.
    believed: TimedReading,
    ahead_since: Option<Instant>,
    /// Time of the last detected step.
    set_at: Option<Instant>,
}

/// State of a clock as a [`ClockGuard`] judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Time of the clock.
    pub now: Timestamp,
    /// Latest time that is confirmed by the provider or by previous readings. Never later than `now`.
    pub sure: Timestamp,
    /// True if the clock has been set back since the last reading.
    pub was_set_back: bool,
    /// True if no step of the clock was detected for a day.
    pub is_steady: bool,
}

impl ClockReading {
    /// Creates the reading of a correct clock.
    pub fn sure(now: Timestamp) -> ClockReading {
        ClockReading { now, sure: now, was_set_back: false, is_steady: true }
    }
}

/// Minimum difference that is a step; smaller ones are drift.
const STEP: SignedDuration = SignedDuration::from_secs(30);
/// Time after which a clock that is ahead is trusted.
const BELIEVED_AFTER: std::time::Duration = std::time::Duration::from_secs(86_400);

impl ClockGuard {
    /// Creates a guard that trusts the clock up to `last_seen`, the latest time known from before.
    pub fn new(clock: &Clock, last_seen: Option<Timestamp>) -> ClockGuard {
        let (now, at) = (clock.now(), Instant::now());
        let believed = last_seen.map_or(now, |seen| seen.min(now));
        ClockGuard { said: (now, at), believed: (believed, at), ahead_since: None, set_at: None }
    }

    /// Reads and judges the clock.
    pub fn read(&mut self, clock: &Clock) -> ClockReading {
        let Judgement { now, provider, is_confirmed } = clock.judge();
        let reading = (now, Instant::now());
        let step = now.duration_since(later(self.said));
        let was_set_back = step < -STEP;
        if step.abs() > STEP {
            self.set_at = Some(reading.1);
        }
        let is_steady = self.set_at.is_none_or(|at| at.elapsed() >= BELIEVED_AFTER);
        self.said = reading;
        if is_confirmed {
            (self.believed, self.ahead_since) = (reading, None);
            return ClockReading { now, sure: now, was_set_back, is_steady };
        }
        let expected = provider.unwrap_or_else(|| later(self.believed));
        let is_ahead = now.duration_since(expected) > STEP;
        if !is_ahead {
            self.ahead_since = None;
        } else if self.ahead_since.get_or_insert_with(Instant::now).elapsed() < BELIEVED_AFTER {
            return ClockReading { now, sure: expected, was_set_back, is_steady };
        }
        (self.believed, self.ahead_since) = (reading, None);
        ClockReading { now, sure: now, was_set_back, is_steady }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_and_not_followed_at_once() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Clock::following_tokio(start);
        let mut guard = ClockGuard::new(&clock, None);
        let hours = |hours: u64| tokio::time::advance(std::time::Duration::from_secs(hours * 3600));
        hours(1).await;
        let reading = guard.read(&clock);
        assert_eq!((reading.sure, reading.was_set_back), (reading.now, false));

        clock.step(SignedDuration::from_hours(24));
        hours(1).await;
        let reading = guard.read(&clock);
        assert_eq!(
            (reading.now.to_string(), reading.sure.to_string()),
            ("2026-03-02T02:00:00Z".to_owned(), "2026-03-01T02:00:00Z".to_owned())
        );
        hours(1).await;
        assert_eq!(guard.read(&clock).sure.to_string(), "2026-03-01T03:00:00Z");
        // The clock is corrected.
        clock.step(SignedDuration::from_hours(-24));
        let reading = guard.read(&clock);
        assert_eq!((reading.sure, reading.was_set_back), (reading.now, true));
        assert!(!guard.read(&clock).was_set_back);

        clock.step(SignedDuration::from_hours(-1));
        let reading = guard.read(&clock);
        assert_eq!((reading.sure, reading.was_set_back), (reading.now, true));
        assert!(!guard.read(&clock).was_set_back);

        clock.step(SignedDuration::from_hours(100));
        assert_ne!(guard.read(&clock).sure, clock.now());
        hours(24).await;
        assert_eq!(guard.read(&clock).sure, clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_does_not_believe_what_the_ledger_did_not_see() {
        let clock = Clock::following_tokio("2026-04-09T00:00:00Z".parse().unwrap());
        let mut guard = ClockGuard::new(&clock, Some("2026-03-10T00:00:00Z".parse().unwrap()));
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(guard.read(&clock).sure.to_string(), "2026-03-10T00:01:00Z");
        clock.step(SignedDuration::from_hours(-24 * 30));
        assert_eq!(guard.read(&clock).sure, clock.now(), "corrected");
    }
}
