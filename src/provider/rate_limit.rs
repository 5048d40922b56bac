//! Rate limits: at most N requests, including retries, start in any sliding window. They use tokio's time, so that
//! tests can pause it.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A documented rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// API that is limited, and value of the label `api`: reports of an account with the same API share a rate limiter.
    pub api: &'static str,
    /// Maximum number of requests in a window.
    pub requests: usize,
    /// Length of the window.
    pub window: Duration,
}

/// Margin of the window: requests may bunch up on their way, so the provider may see a slightly shorter window.
const SLACK: Duration = Duration::from_millis(500);
/// Longest accepted reset. No provider names a longer one; an invalid header must not silence a report for days.
pub const LONGEST_RESET: Duration = Duration::from_secs(3600);

/// The provider's own count, from its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Maximum number of requests in a window.
    pub limit: Option<u64>,
    /// Requests left in the current window.
    pub remaining: Option<u64>,
    /// Time until the current window ends.
    pub reset: Option<Duration>,
}

/// Priority of waiting requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Few requests, each of which matters.
    #[default]
    First,
    /// Many requests, each of which waits for those with priority `First`.
    Last,
}

/// Rate limiter of one account at one API.
#[derive(Debug)]
pub struct RateLimiter {
    api: &'static str,
    limit: Mutex<Limit>,
    /// Time since which requests are known: those of an earlier process are not.
    since: Instant,
    /// Held by the one low-priority request that queues with the others.
    last: tokio::sync::Mutex<()>,
    /// Requests left and end of the window according to the provider: others may use the account too.
    left: Mutex<Option<(u64, Instant)>>,
    /// Starts of recent requests. Held while waiting, so that callers are served in turn.
    turn: tokio::sync::Mutex<VecDeque<Instant>>,
    blocked_until: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// Creates a rate limiter without requests.
    pub fn new(limit: Limit) -> Self {
        RateLimiter {
            api: limit.api,
            limit: Mutex::new(limit),
            since: Instant::now(),
            last: tokio::sync::Mutex::default(),
            left: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            blocked_until: Mutex::default(),
        }
    }

    /// Returns the API that it limits.
    pub fn api(&self) -> &'static str {
        self.api
    }

    /// Sets another limit for the same API; requests that have started count against it.
    pub fn set_limit(&self, limit: Limit) {
        *self.limit.lock() = limit;
    }

    fn limit(&self) -> Limit {
        *self.limit.lock()
    }

    /// Waits until a request may start, and counts it. Returns the time waited.
    pub async fn acquire(&self, priority: Priority) -> Duration {
        let earlier = Instant::now();
        let _last = match priority {
            Priority::First => None,
            Priority::Last => Some(self.last.lock().await),
        };
        let mut starts = self.turn.lock().await;
        loop {
            let now = Instant::now();
            let limit = self.limit();
            let window = limit.window + SLACK;
            while starts.front().is_some_and(|start| now.duration_since(*start) >= window) {
                starts.pop_front();
            }
            // An earlier process may have used the other half.
            let first = Some(self.since + window).filter(|end| now < *end && starts.len() >= limit.requests / 2);
            let full = (starts.len() >= limit.requests).then(|| starts.front().map(|start| *start + window)).flatten();
            let blocked = self.blocked().filter(|until| *until > now);
            // Half a window may start at once; more is spaced, or a burst would be followed by a long wait.
            let is_half_full = starts.len() * 2 >= limit.requests;
            let spacing = window / u32::try_from(limit.requests.max(1)).unwrap_or(u32::MAX);
            let spaced = starts.back().map(|last| *last + spacing).filter(|at| is_half_full && *at > now);
            match first.max(full).max(blocked).max(spaced).max(self.used_up(now)) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => {
                    starts.push_back(now);
                    if let Some((left, _)) = &mut *self.left.lock() {
                        *left = left.saturating_sub(1);
                    }
                    return now.duration_since(earlier);
                }
            }
        }
    }

    /// Waits during a pause that the provider requested; counts no request.
    pub async fn pause(&self) {
        while let Some(until) = self.blocked().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Applies the provider's own count: no more requests start in its window than it has left.
    pub fn correct(&self, rate: Rate) {
        let (Some(remaining), Some(reset)) = (rate.remaining, rate.reset) else { return };
        let until = Instant::now() + reset.min(LONGEST_RESET);
        let mut left = self.left.lock();
        // Answers overtake each other: within a window the smallest number is the latest.
        *left = match *left {
            Some((smaller, same)) if until < same + self.limit().window / 2 => Some((smaller.min(remaining), same)),
            _ => Some((remaining, until)),
        };
    }

    /// Returns the end of the provider's window if no requests are left in it.
    fn used_up(&self, now: Instant) -> Option<Instant> {
        let mut left = self.left.lock();
        if left.is_some_and(|(_, until)| until <= now) {
            *left = None;
        }
        left.filter(|(left, _)| *left == 0).map(|(_, until)| until)
    }

    /// Starts no request until the provider's window ends; without a given reset, for the documented window.
    pub fn block(&self, reset: Option<Duration>) {
        let until = Instant::now() + reset.unwrap_or(self.limit().window).min(LONGEST_RESET);
        let mut blocked = self.blocked_until.lock();
        *blocked = Some(blocked.map_or(until, |earlier| earlier.max(until)));
    }

    /// Returns the remaining time of a pause that the provider requested.
    pub fn blocked_for(&self) -> Option<Duration> {
        let left = self.blocked()?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn blocked(&self) -> Option<Instant> {
        *self.blocked_until.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LIMIT: Limit = Limit { api: "test", requests: 10, window: Duration::from_secs(10) };

    #[tokio::test(start_paused = true)]
    async fn no_window_holds_more_than_the_limit() {
        let limit = LIMIT;
        let rate_limiter = Arc::new(RateLimiter::new(limit));
        let tasks: Vec<_> = (0..95)
            .map(|_| {
                let rate_limiter = Arc::clone(&rate_limiter);
                tokio::spawn(async move {
                    rate_limiter.acquire(Priority::First).await;
                    Instant::now()
                })
            })
            .collect();
        let mut starts = Vec::new();
        for task in tasks {
            starts.push(task.await.unwrap());
        }
        starts.sort();
        for (index, start) in starts.iter().enumerate() {
            let inside = starts[index..].iter().take_while(|other| other.duration_since(*start) < limit.window).count();
            assert!(inside <= 10, "{inside} requests within one window");
        }
        assert!(starts[94].duration_since(starts[0]) < Duration::from_secs(110), "the rate limit is used up");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_window_takes_half() {
        let rate_limiter = RateLimiter::new(LIMIT);
        for _ in 0..5 {
            assert_eq!(rate_limiter.acquire(Priority::First).await, Duration::ZERO);
        }
        // An earlier process may have used the other half.
        assert_eq!(rate_limiter.acquire(Priority::First).await, Duration::from_millis(10_500));
        tokio::time::advance(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..10 {
            rate_limiter.acquire(Priority::First).await;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "the whole limit is available from then on");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_one_is_none() {
        let rate_limiter = RateLimiter::new(Limit { requests: 1, ..LIMIT });
        assert_eq!(rate_limiter.acquire(Priority::First).await, Duration::from_millis(10_500));
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_is_a_little_longer_than_the_providers() {
        // Requests that leave ten seconds apart may arrive closer together.
        let rate_limiter = RateLimiter::new(Limit { requests: 1, ..LIMIT });
        rate_limiter.acquire(Priority::First).await;
        assert_eq!(rate_limiter.acquire(Priority::First).await, Duration::from_millis(10_500));
    }

    #[tokio::test(start_paused = true)]
    async fn few_requests_go_before_many() {
        let rate_limiter = Arc::new(RateLimiter::new(Limit { requests: 1, ..LIMIT }));
        rate_limiter.acquire(Priority::First).await;
        let order: Arc<Mutex<Vec<&str>>> = Arc::default();
        let query = |name: &'static str, priority| {
            let (rate_limiter, order) = (Arc::clone(&rate_limiter), Arc::clone(&order));
            tokio::spawn(async move {
                rate_limiter.acquire(priority).await;
                order.lock().push(name);
            })
        };
        let mut tasks: Vec<_> = (0..5).map(|_| query("message", Priority::Last)).collect();
        tokio::task::yield_now().await;
        tasks.extend((0..3).map(|_| query("window", Priority::First)));
        for task in tasks {
            task.await.unwrap();
        }
        // The message that is already queued keeps its place.
        let expected = ["message", "window", "window", "window", "message", "message", "message", "message"];
        assert_eq!(*order.lock(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_providers_own_count_is_kept() {
        let rate_limiter = RateLimiter::new(Limit { requests: 100, window: Duration::from_secs(60), ..LIMIT });
        let rate = |remaining, reset| Rate {
            limit: Some(40),
            remaining: Some(remaining),
            reset: Some(Duration::from_secs(reset)),
        };
        rate_limiter.correct(rate(3, 20));
        // An answer that was overtaken reports more than is left.
        rate_limiter.correct(rate(5, 20));
        let started = Instant::now();
        for _ in 0..3 {
            rate_limiter.acquire(Priority::First).await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        rate_limiter.acquire(Priority::First).await;
        assert_eq!(started.elapsed().as_secs(), 20);
        // A new window replaces the old one, and headers without a reset change nothing.
        rate_limiter.correct(rate(30, 60));
        rate_limiter.correct(Rate { limit: Some(40), ..Rate::default() });
        for _ in 0..30 {
            rate_limiter.acquire(Priority::First).await;
        }
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_reset_is_waited_for() {
        let rate_limiter = RateLimiter::new(LIMIT);
        rate_limiter.block(Some(Duration::from_secs(52)));
        assert_eq!(rate_limiter.acquire(Priority::First).await.as_secs(), 52);
        rate_limiter.block(Some(Duration::MAX));
        assert_eq!(rate_limiter.acquire(Priority::First).await, LONGEST_RESET);
    }
}
