//! The only source of time. Wall time comes from a [`Clock`], durations from tokio's instants. Nothing else in the
//! crate reads either, so that a test controls the calendar and the timers together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Wall clock, cheap to clone and shared by everything that needs a date.
#[derive(Clone, Debug)]
pub struct Clock(Arc<ClockSource>);

#[derive(Debug)]
enum ClockSource {
    System,
    Tokio { start: Timestamp, since: Instant, offset_ms: AtomicI64 },
    Account(Arc<ProviderTime>),
}

impl Clock {
    /// Returns the wall clock of the machine, including its steps.
    pub fn system() -> Self {
        Clock(Arc::new(ClockSource::System))
    }

    /// Creates a clock that starts at `start` and advances with tokio's time, paused or not. Must be called inside a
    /// tokio runtime.
    pub fn following_tokio(start: Timestamp) -> Self {
        Clock(Arc::new(ClockSource::Tokio { start, since: Instant::now(), offset_ms: AtomicI64::new(0) }))
    }

    /// Creates a clock for one account: the wall clock, unless the provider's answers contradict it.
    pub fn of_account(provider: Arc<ProviderTime>) -> Self {
        Clock(Arc::new(ClockSource::Account(provider)))
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.judge().now
    }

    /// Returns true if the provider's answers confirm the current time.
    pub fn is_confirmed(&self) -> bool {
        self.judge().is_confirmed
    }

    pub(super) fn judge(&self) -> Judgement {
        let now = match &*self.0 {
            ClockSource::System => Timestamp::now(),
            ClockSource::Account(provider) => return provider.judge(),
            ClockSource::Tokio { start, since, offset_ms } => {
                let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                let passed = passed.saturating_add(offset_ms.load(Ordering::Relaxed));
                start.saturating_add(SignedDuration::from_millis(passed)).unwrap_or(*start)
            }
        };
        Judgement { now, provider: None, is_confirmed: false }
    }

    /// Steps a clock made by [`Clock::following_tokio`], as an administrator or NTP would. Other clocks stay
    /// unchanged.
    pub fn step(&self, by: SignedDuration) {
        if let ClockSource::Tokio { offset_ms, .. } = &*self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(0);
            offset_ms.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// Returns the time since the machine was started, which also passes while it or the process sleeps.
pub fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// Maximum difference between wall clock and provider that is ignored: answers take time, and clocks drift.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);
/// Skew above which a clock is off.
pub const SKEWED: SignedDuration = SignedDuration::from_mins(1);
/// Skew up to which a clock that was off is right again.
const NEAR: SignedDuration = SignedDuration::from_secs(30);
/// Number of last answers whose median is the provider's time.
const SAMPLES: usize = 3;

/// Time of a provider, from the `Date` headers of its answers (RFC 9110, 6.6.1), compared with the wall clock.
#[derive(Debug)]
pub struct ProviderTime {
    wall: Clock,
    seen: Mutex<ProviderDates>,
}

#[derive(Debug, Default)]
struct ProviderDates {
    /// The last answers, the newest last.
    samples: VecDeque<DateSample>,
    /// Correction of times that were written with an unconfirmed clock, until it has been applied.
    correction: Option<SignedDuration>,
    /// True if the clock was off by the last logged verdict.
    is_off: bool,
}

#[derive(Clone, Copy, Debug)]
struct DateSample {
    /// Time of the provider.
    said: TimedReading,
    /// Lead of the wall clock over the provider.
    ahead: SignedDuration,
}

/// Verdict on the time, from wall clock and provider together.
pub(super) struct Judgement {
    /// Time to use.
    pub(super) now: Timestamp,
    /// Time of the provider, if it has sent any.
    pub(super) provider: Option<Timestamp>,
    /// True if the time to use is the provider's or agrees with it.
    pub(super) is_confirmed: bool,
}

impl ProviderTime {
    /// Creates the time of a provider that has not answered yet.
    pub fn new(wall: Clock) -> ProviderTime {
        ProviderTime { wall, seen: Mutex::default() }
    }

    /// Records the `Date` of an answer that has just arrived; an invalid date is ignored.
    pub fn note(&self, date: &str) {
        let parsed = DateTimeParser::new().parse_timestamp(date).ok();
        // A `Date` is truncated to whole seconds.
        let Some(date) = parsed.and_then(|date| date.checked_add(SignedDuration::from_millis(500)).ok()) else {
            return;
        };
        let was_confirmed = self.judge().is_confirmed;
        let wall = self.wall.now();
        let mut seen = self.seen.lock();
        if seen.samples.len() >= SAMPLES {
            seen.samples.pop_front();
        }
        seen.samples.push_back(DateSample { said: (date, Instant::now()), ahead: wall.duration_since(date) });
        if !was_confirmed {
            let ahead = wall.duration_since(seen.estimate().unwrap_or(wall));
            seen.correction = Some(if ahead.abs() > TOLERATED { -ahead } else { SignedDuration::ZERO });
        }
    }

    /// Returns the lead of the wall clock over the provider's; `None` if no answer contained the time.
    pub fn skew(&self) -> Option<SignedDuration> {
        let provider = self.seen.lock().estimate()?;
        Some(self.wall.now().duration_since(provider))
    }

    /// Returns true if the two clocks differ by more than a minute; `None` if the verdict has not changed.
    pub fn is_off(&self) -> Option<bool> {
        let skew = self.skew()?.abs();
        let mut seen = self.seen.lock();
        let is_off = skew > if seen.is_off { NEAR } else { SKEWED };
        (std::mem::replace(&mut seen.is_off, is_off) != is_off).then_some(is_off)
    }

    /// Returns the correction of times that were written before the clock was confirmed, until
    /// [`ProviderTime::corrected`] is called.
    pub fn correction(&self) -> Option<SignedDuration> {
        self.seen.lock().correction
    }

    /// Records that the correction has been applied.
    pub fn corrected(&self) {
        self.seen.lock().correction = None;
    }

    fn judge(&self) -> Judgement {
        let wall = self.wall.now();
        let seen = self.seen.lock();
        let (Some(provider), Some(newest)) = (seen.estimate(), seen.samples.back()) else {
            return Judgement { now: wall, provider: None, is_confirmed: false };
        };
        let ahead = wall.duration_since(provider);
        let has_moved = (ahead - newest.ahead).abs() > TOLERATED;
        let (now, is_confirmed) = if ahead.abs() <= TOLERATED {
            (wall, true)
        } else if has_moved && ahead.is_positive() {
            // The clock was set forward, or it is right and this machine slept: the next answer decides.
            (wall, false)
        } else {
            (provider, true)
        };
        Judgement { now, provider: Some(provider), is_confirmed }
    }
}

impl ProviderDates {
    /// Returns the current time as the median of the last answers.
    fn estimate(&self) -> Option<Timestamp> {
        let mut now: Vec<Timestamp> = self.samples.iter().map(|sample| later(sample.said)).collect();
        now.sort_unstable();
        now.get(now.len() / 2).copied()
    }
}

/// A wall time and the instant at which it was read.
pub(super) type TimedReading = (Timestamp, Instant);

/// Returns the current time of a clock whose time was `at.0` at `at.1`.
pub(super) fn later(at: TimedReading) -> Timestamp {
    let elapsed = SignedDuration::try_from(at.1.elapsed()).unwrap_or(SignedDuration::MAX);
    at.0.saturating_add(elapsed).unwrap_or(at.0)
}

/// Formats the time from `then` to `now` in the two largest units.
pub fn format_age(now: Timestamp, then: Timestamp) -> String {
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
    use crate::util::clock_guard::ClockGuard;

    #[test]
    fn ages_are_short() {
        let then: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds: i64| then.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        for (seconds, text) in [(5, "5 s"), (65, "1 min 5 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h"), (-5, "0 s")] {
            assert_eq!(format_age(after(seconds), then), text);
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

    /// Returns a wall clock at `wall`, and a provider without answers that uses it.
    fn at(wall: &str) -> (Clock, ProviderTime) {
        let wall = Clock::following_tokio(wall.parse().unwrap());
        (wall.clone(), ProviderTime::new(wall))
    }

    const TUESDAY: &str = "Tue, 10 Mar 2026 01:00:00 GMT";

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_agrees_confirms_the_wall_clock() {
        let (wall, provider) = at("2026-03-10T01:04:00Z");
        assert!(!Clock::of_account(Arc::new(ProviderTime::new(wall.clone()))).is_confirmed());
        provider.note("no date");
        assert_eq!(provider.skew(), None);
        provider.note(TUESDAY);
        assert_eq!(provider.skew(), Some(SignedDuration::from_millis(239_500)));
        assert_eq!(provider.correction(), Some(SignedDuration::ZERO));
        let clock = Clock::of_account(Arc::new(provider));
        assert_eq!((clock.now(), clock.is_confirmed()), (wall.now(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_disagrees_by_more_than_five_minutes_is_right() {
        for wall in ["2026-04-09T01:00:00Z", "1970-01-01T00:00:00Z", "2026-03-10T00:54:00Z"] {
            let (wall, provider) = at(wall);
            provider.note(TUESDAY);
            let by = provider.correction().unwrap();
            let clock = Clock::of_account(Arc::new(provider));
            assert_eq!(clock.now().to_string(), "2026-03-10T01:00:00.5Z");
            assert_eq!(wall.now().checked_add(by).unwrap(), clock.now());
            tokio::time::advance(std::time::Duration::from_secs(60)).await;
            assert_eq!((clock.now().to_string().as_str(), clock.is_confirmed()), ("2026-03-10T01:01:00.5Z", true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_median_of_the_last_three_answers_counts() {
        let (_, provider) = at("2026-03-10T01:00:00Z");
        for date in [TUESDAY, "Tue, 10 Mar 2026 07:00:00 GMT", TUESDAY] {
            provider.note(date);
        }
        assert_eq!(provider.skew(), Some(SignedDuration::from_millis(-500)));
        for _ in 0..2 {
            provider.note("Tue, 10 Mar 2026 02:00:00 GMT");
        }
        assert_eq!(provider.skew(), Some(SignedDuration::from_millis(-3_600_500)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_after_an_answer() {
        let (wall, provider) = at("2026-03-10T01:00:00Z");
        provider.note(TUESDAY);
        provider.corrected();
        let clock = Clock::of_account(Arc::new(provider));
        // A step back can only be a mistake.
        wall.step(SignedDuration::from_hours(-24));
        assert_eq!((clock.now().to_string().as_str(), clock.is_confirmed()), ("2026-03-10T01:00:00.5Z", true));
        // After a step forward, the machine may have slept. Irreversible actions wait.
        wall.step(SignedDuration::from_hours(48));
        let mut guard = ClockGuard::new(&clock, None);
        let reading = guard.read(&clock);
        assert_eq!(
            (reading.now.to_string().as_str(), reading.sure.to_string().as_str()),
            ("2026-03-11T01:00:00Z", "2026-03-10T01:00:00.5Z")
        );
        assert!(!clock.is_confirmed());
    }
}
