//! The one source of time. Wall time comes from a [`Clock`], durations from tokio's instants, and
//! nothing else in the crate reads either, so that a test drives the calendar and the timers as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Wall time, cheap to clone and shared by everything that needs a date.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System,
    Tokio { start: Timestamp, since: Instant, offset_ms: AtomicI64 },
}

impl Clock {
    /// The machine's wall clock, steps and all.
    pub fn system() -> Self {
        Clock(Arc::new(Source::System))
    }

    /// A clock that starts at `start` and advances with tokio's time, paused or not. Must be called
    /// inside a tokio runtime.
    pub fn following_tokio(start: Timestamp) -> Self {
        Clock(Arc::new(Source::Tokio { start, since: Instant::now(), offset_ms: AtomicI64::new(0) }))
    }

    /// The wall time now.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System => Timestamp::now(),
            Source::Tokio { start, since, offset_ms } => {
                let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                let passed = passed.saturating_add(offset_ms.load(Ordering::Relaxed));
                start.saturating_add(SignedDuration::from_millis(passed)).unwrap_or(*start)
            }
        }
    }

    /// Steps a clock made by [`Clock::following_tokio`], as an administrator or NTP would. The
    /// system clock is left alone.
    pub fn step(&self, by: SignedDuration) {
        if let Source::Tokio { offset_ms, .. } = &*self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(0);
            offset_ms.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// Wall time beside the monotonic clock: notices when the wall clock is set, and does not follow it
/// forward at once. For what cannot be undone, such as ending the life of a message.
#[derive(Debug)]
pub struct Steady {
    /// What the clock said last.
    said: Instanced,
    /// What it said when it was last believed.
    believed: Instanced,
    ahead_since: Option<Instant>,
}

/// A wall time and when it was read.
type Instanced = (Timestamp, Instant);

/// How a [`Steady`] sees the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the clock says.
    pub now: Timestamp,
    /// The same, unless the clock was set forward lately; never later than `now`.
    pub sure: Timestamp,
    /// Whether the clock has been set back since the last look.
    pub was_set_back: bool,
}

/// Smaller differences are drift.
const STEP: SignedDuration = SignedDuration::from_secs(30);
/// A clock that has been ahead for so long is right.
const BELIEVED_AFTER: std::time::Duration = std::time::Duration::from_secs(86_400);

impl Steady {
    /// Believes the clock as it is now.
    pub fn new(clock: &Clock) -> Steady {
        let now = (clock.now(), Instant::now());
        Steady { said: now, believed: now, ahead_since: None }
    }

    /// Looks at the clock.
    pub fn look(&mut self, clock: &Clock) -> Look {
        let reading = (clock.now(), Instant::now());
        let now = reading.0;
        let was_set_back = now.duration_since(later(self.said)) < -STEP;
        self.said = reading;
        let expected = later(self.believed);
        let is_ahead = now.duration_since(expected) > STEP;
        if !is_ahead {
            self.ahead_since = None;
        } else if self.ahead_since.get_or_insert_with(Instant::now).elapsed() < BELIEVED_AFTER {
            return Look { now, sure: expected, was_set_back };
        }
        (self.believed, self.ahead_since) = (reading, None);
        Look { now, sure: now, was_set_back }
    }
}

/// What a clock must say now that said `at.0` at `at.1`.
fn later(at: Instanced) -> Timestamp {
    let elapsed = SignedDuration::try_from(at.1.elapsed()).unwrap_or(SignedDuration::MAX);
    at.0.saturating_add(elapsed).unwrap_or(at.0)
}

/// From `then` to `now` in the two largest units.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let then: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds: i64| then.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        for (seconds, text) in [(5, "5 s"), (65, "1 min 5 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h"), (-5, "0 s")] {
            assert_eq!(age(after(seconds), then), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn follows_paused_time_and_steps() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Clock::following_tokio(start);
        tokio::time::advance(std::time::Duration::from_secs(86_400)).await;
        assert_eq!(clock.now().to_string(), "2026-03-02T00:00:00Z");
        clock.step(SignedDuration::from_hours(-1));
        assert_eq!(clock.now().to_string(), "2026-03-01T23:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_and_not_followed_at_once() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Clock::following_tokio(start);
        let mut steady = Steady::new(&clock);
        let hours = |hours: u64| tokio::time::advance(std::time::Duration::from_secs(hours * 3600));
        hours(1).await;
        let look = steady.look(&clock);
        assert_eq!((look.sure, look.was_set_back), (look.now, false));

        clock.step(SignedDuration::from_hours(24));
        hours(1).await;
        let look = steady.look(&clock);
        assert_eq!(
            (look.now.to_string(), look.sure.to_string()),
            ("2026-03-02T02:00:00Z".to_owned(), "2026-03-01T02:00:00Z".to_owned())
        );
        hours(1).await;
        assert_eq!(steady.look(&clock).sure.to_string(), "2026-03-01T03:00:00Z");
        // Set right again.
        clock.step(SignedDuration::from_hours(-24));
        let look = steady.look(&clock);
        assert_eq!((look.sure, look.was_set_back), (look.now, true));
        assert!(!steady.look(&clock).was_set_back);

        clock.step(SignedDuration::from_hours(-1));
        let look = steady.look(&clock);
        assert_eq!((look.sure, look.was_set_back), (look.now, true));
        assert!(!steady.look(&clock).was_set_back);

        clock.step(SignedDuration::from_hours(100));
        assert_ne!(steady.look(&clock).sure, clock.now());
        hours(24).await;
        assert_eq!(steady.look(&clock).sure, clock.now());
    }
}
