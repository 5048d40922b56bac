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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_paused_time_and_steps() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Clock::following_tokio(start);
        tokio::time::advance(std::time::Duration::from_secs(86_400)).await;
        assert_eq!(clock.now().to_string(), "2026-03-02T00:00:00Z");
        clock.step(SignedDuration::from_hours(-1));
        assert_eq!(clock.now().to_string(), "2026-03-01T23:00:00Z");
    }
}
