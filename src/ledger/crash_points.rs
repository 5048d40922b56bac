//! Lets the tests abort the process just before or just after a commit, which a signal from outside cannot hit
//! deliberately: `PUSH_EXPORTER_DIE=before_count:2` aborts at the 2nd commit that changes a delivery counter,
//! `after_register:1` when the first new message ids are durable but not yet reported. Release builds have no such
//! hook.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// Effect of a transaction that matters for a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Changed a delivery counter.
    Count,
    /// Registered new messages.
    Register,
    /// Changed neither.
    Nothing,
}

#[cfg(debug_assertions)]
static COUNTS: AtomicU64 = AtomicU64::new(0);
#[cfg(debug_assertions)]
static REGISTERS: AtomicU64 = AtomicU64::new(0);

/// Aborts the process if this point is selected: everything is written, nothing is committed.
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

/// Aborts the process if this point is selected: the commit is durable but not yet reported.
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
