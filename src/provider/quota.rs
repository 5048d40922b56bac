//! Request budgets: at most N requests start in any sliding window, retries included. On tokio's time,
//! so that a paused clock moves it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A documented limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many requests.
    pub requests: usize,
    /// In how long a window.
    pub window: Duration,
}

/// Requests may bunch up on their way, so the provider can see a window a little shorter than ours.
const SLACK: Duration = Duration::from_millis(500);
/// No provider names a longer reset; a wrong header must not silence a report for days.
pub const LONGEST_RESET: Duration = Duration::from_secs(3600);

/// The budget of one account at one API.
#[derive(Debug)]
pub struct Budget {
    limit: Limit,
    /// Held while waiting, so that callers are served in turn.
    turn: tokio::sync::Mutex<VecDeque<Instant>>,
    blocked_until: Mutex<Option<Instant>>,
}

impl Budget {
    /// A budget that nothing has been taken from.
    pub fn new(limit: Limit) -> Self {
        Budget { limit, turn: tokio::sync::Mutex::default(), blocked_until: Mutex::new(None) }
    }

    /// Waits until a request may start and takes its place. Returns how long it waited.
    pub async fn acquire(&self) -> Duration {
        let asked = Instant::now();
        let mut starts = self.turn.lock().await;
        loop {
            let now = Instant::now();
            let window = self.limit.window + SLACK;
            while starts.front().is_some_and(|start| now.duration_since(*start) >= window) {
                starts.pop_front();
            }
            let full =
                (starts.len() >= self.limit.requests).then(|| starts.front().map(|start| *start + window)).flatten();
            let blocked = self.blocked().filter(|until| *until > now);
            // Half a window may start at once; more is spaced, or a burst would be followed by a long wait.
            let is_half_full = starts.len() * 2 >= self.limit.requests;
            let spacing = window / u32::try_from(self.limit.requests.max(1)).unwrap_or(u32::MAX);
            let spaced = starts.back().map(|last| *last + spacing).filter(|at| is_half_full && *at > now);
            match full.max(blocked).max(spaced) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => {
                    starts.push_back(now);
                    return now.duration_since(asked);
                }
            }
        }
    }

    /// Waits while the provider has asked for a pause, and takes no place.
    pub async fn pause(&self) {
        while let Some(until) = self.blocked().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Starts nothing until the provider's window is over; without a named reset, for the documented
    /// window.
    pub fn block(&self, reset: Option<Duration>) {
        let until = Instant::now() + reset.unwrap_or(self.limit.window).min(LONGEST_RESET);
        let mut blocked = self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner);
        *blocked = Some(blocked.map_or(until, |earlier| earlier.max(until)));
    }

    fn blocked(&self) -> Option<Instant> {
        *self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn no_window_holds_more_than_the_limit() {
        let limit = Limit { requests: 10, window: Duration::from_secs(10) };
        let budget = Arc::new(Budget::new(limit));
        let tasks: Vec<_> = (0..95)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move {
                    budget.acquire().await;
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
        assert!(starts[94].duration_since(starts[0]) < Duration::from_secs(100), "the budget is used up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_reset_is_waited_for() {
        let budget = Budget::new(Limit { requests: 10, window: Duration::from_secs(10) });
        budget.block(Some(Duration::from_secs(52)));
        assert_eq!(budget.acquire().await.as_secs(), 52);
        budget.block(Some(Duration::MAX));
        assert_eq!(budget.acquire().await, LONGEST_RESET);
    }
}
