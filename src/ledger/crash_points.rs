//! A way for the tests to die just before or just after a commit, which no signal from outside can hit
//! on purpose: `PUSH_EXPORTER_DIE=before_count:2` ends the process at the 2nd commit that changes a
//! counter of deliveries, `after_register:1` when the first new message ids are durable and nobody knows.
//! Release builds have no such hook.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// What a transaction has done, as far as a crash there would matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Changed a counter of deliveries.
    Count,
    /// Registered new messages.
    Register,
    /// Neither.
    Nothing,
}

#[cfg(debug_assertions)]
static COUNTS: AtomicU64 = AtomicU64::new(0);
#[cfg(debug_assertions)]
static REGISTERS: AtomicU64 = AtomicU64::new(0);

/// Called when everything is written and nothing committed.
pub(super) fn before_commit(did: Did) {
    #[cfg(debug_assertions)]
    {
        let (name, counter) = match did {
            Did::Count => ("count", &COUNTS),
            Did::Register => ("register", &REGISTERS),
            Did::Nothing => return,
        };
        die_at(&format!("before_{name}:{}", counter.fetch_add(1, Ordering::Relaxed) + 1));
    }
    #[cfg(not(debug_assertions))]
    let _ = did;
}

/// Called when the commit is durable and nobody knows.
pub(super) fn after_commit(did: Did) {
    #[cfg(debug_assertions)]
    match did {
        Did::Count => die_at(&format!("after_count:{}", COUNTS.load(Ordering::Relaxed))),
        Did::Register => die_at(&format!("after_register:{}", REGISTERS.load(Ordering::Relaxed))),
        Did::Nothing => {}
    }
    #[cfg(not(debug_assertions))]
    let _ = did;
}

#[cfg(debug_assertions)]
fn die_at(point: &str) {
    if std::env::var("PUSH_EXPORTER_DIE").is_ok_and(|wish| wish == point) {
        std::process::abort();
    }
}
