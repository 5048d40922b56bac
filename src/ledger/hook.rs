//! A way for the tests to die just before or just after a commit, which no signal from outside can hit
//! on purpose: `PUSH_EXPORTER_DIE=before_commit:2` ends the process at the 2nd commit that changes a
//! counter. Release builds have no such hook.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(debug_assertions)]
static COMMITS: AtomicU64 = AtomicU64::new(0);

#[cfg(debug_assertions)]
fn die_at(point: &str, commit: u64) {
    let Ok(wish) = std::env::var("PUSH_EXPORTER_DIE") else { return };
    if wish.split_once(':').is_some_and(|(at, count)| at == point && count.parse() == Ok(commit)) {
        std::process::abort();
    }
}

/// Called when everything is written and nothing committed.
pub(super) fn before_commit(counts: bool) {
    #[cfg(debug_assertions)]
    if counts {
        die_at("before_commit", COMMITS.fetch_add(1, Ordering::Relaxed) + 1);
    }
    #[cfg(not(debug_assertions))]
    let _ = counts;
}

/// Called when the commit is durable and nobody knows.
pub(super) fn after_commit(counts: bool) {
    #[cfg(debug_assertions)]
    if counts {
        die_at("after_commit", COMMITS.load(Ordering::Relaxed));
    }
    #[cfg(not(debug_assertions))]
    let _ = counts;
}
