//! The lease of this replica by its own clock, within which it may show and poll its apps. With a SQLite ledger it is always held.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::util::clock::boot_time;

/// Number of a replica's membership in the fleet: each has a new, higher one.
pub type Token = i64;

/// A lease, by a clock that also runs while the machine or the process sleeps. It is held by the membership whose apps are
/// shown; see [`Lease::adopt`].
#[derive(Clone, Debug)]
pub struct Lease(Option<Arc<Mutex<LeaseState>>>);

#[derive(Debug, Default)]
struct LeaseState {
    /// Membership whose apps this process shows and polls.
    adopted: Option<Token>,
    /// Membership that was renewed last, and the time since boot at which its lease ends.
    renewed: Option<(Token, Duration)>,
}

impl Default for Lease {
    fn default() -> Lease {
        Lease(Some(Arc::default()))
    }
}

/// Interval at which a lease that is not held is looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

impl Lease {
    /// Returns the lease of a ledger that is not shared.
    pub fn forever() -> Lease {
        Lease(None)
    }

    /// Returns true if the apps of this replica may be shown and polled now.
    pub fn is_held(&self) -> bool {
        let Some(state) = &self.0 else { return true };
        let state = state.lock();
        let until = state.renewed.filter(|(token, _)| Some(*token) == state.adopted);
        until.is_some_and(|(_, until)| boot_time() < until)
    }

    /// Waits until the lease is held.
    pub async fn held(&self) {
        while !self.is_held() {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Records that a membership was renewed until a time since boot.
    pub fn renew(&self, token: Token, until: Duration) {
        if let Some(state) = &self.0 {
            state.lock().renewed = Some((token, until));
        }
    }

    /// Ends the lease: the membership is over.
    pub fn end(&self) {
        if let Some(state) = &self.0 {
            state.lock().renewed = None;
        }
    }

    /// Makes a membership the one whose apps are shown, after those of the one before have left the page.
    pub fn adopt(&self, token: Token) {
        if let Some(state) = &self.0 {
            state.lock().adopted = Some(token);
        }
    }

    /// Returns the membership whose apps are shown.
    pub fn adopted(&self) -> Option<Token> {
        self.0.as_ref().and_then(|state| state.lock().adopted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_by_the_membership_that_was_adopted() {
        let lease = Lease::default();
        let soon = boot_time() + Duration::from_secs(60);
        lease.renew(1, soon);
        assert!(!lease.is_held());
        lease.adopt(1);
        assert!(lease.is_held());
        lease.renew(1, boot_time());
        assert!(!lease.is_held(), "its time has come");
        lease.renew(2, soon);
        assert!(!lease.is_held(), "its apps are not yet those that are shown");
        lease.adopt(2);
        assert!(lease.is_held());
        lease.end();
        assert!(!lease.is_held());
        assert!(Lease::forever().is_held());
    }
}
