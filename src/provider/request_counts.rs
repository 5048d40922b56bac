//! Counts of one report's requests by status code, and the time that they waited for the rate limit.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Counts of the requests of one report by status code.
#[derive(Debug, Default)]
pub struct Requests {
    codes: Mutex<BTreeMap<Option<u16>, u64>>,
    waiting: Mutex<WaitTimes>,
}

/// Time that requests waited for the rate limit; concurrent waits count once.
#[derive(Debug, Default)]
struct WaitTimes {
    requests: usize,
    since: Option<Instant>,
    total: Duration,
}

/// Guard of a request that waits for the rate limit.
pub(super) struct Waits<'a>(&'a Requests);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.requests = waiting.requests.saturating_sub(1);
        if waiting.requests == 0
            && let Some(since) = waiting.since.take()
        {
            waiting.total += since.elapsed();
        }
    }
}

impl Requests {
    /// Returns the number of requests by status code; `None` stands for those without an answer.
    pub fn by_code(&self) -> Vec<(Option<u16>, u64)> {
        let codes = self.codes.lock();
        codes.iter().map(|(code, count)| (*code, *count)).collect()
    }

    /// Returns the number of requests.
    pub fn total(&self) -> u64 {
        self.codes.lock().values().sum()
    }

    /// Takes the time spent waiting for the rate limit since the last call.
    pub fn take_waited(&self) -> Duration {
        let mut waiting = self.waiting();
        if let Some(since) = &mut waiting.since {
            let waited = since.elapsed();
            *since = Instant::now();
            waiting.total += waited;
        }
        std::mem::take(&mut waiting.total)
    }

    pub(super) fn wait(&self) -> Waits<'_> {
        let mut waiting = self.waiting();
        waiting.requests += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Waits(self)
    }

    fn waiting(&self) -> MutexGuard<'_, WaitTimes> {
        self.waiting.lock()
    }

    pub(super) fn count(&self, code: Option<u16>) {
        let mut codes = self.codes.lock();
        *codes.entry(code).or_default() += 1;
    }
}
