//! Work done since the last heartbeat in the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of work since they were last taken.
#[derive(Default)]
pub struct Activity {
    polls: AtomicU64,
    failed: AtomicU64,
    ids: AtomicU64,
}

/// Work done in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Polls that ended.
    pub polls: u64,
    /// Polls among them that failed, as a whole or in part.
    pub failed: u64,
    /// New message ids registered with this process.
    pub ids: u64,
}

impl Activity {
    /// Adds a poll that ended.
    pub(super) fn polled(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a poll that ended as failed.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds new message ids.
    pub fn registered(&self, ids: i64) {
        self.ids.fetch_add(u64::try_from(ids).unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns the work since the last call and starts a new period.
    pub fn take(&self) -> Work {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Work { polls: take(&self.polls), failed: take(&self.failed), ids: take(&self.ids) }
    }
}
