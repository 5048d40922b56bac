//! Polls out of turn: failing reports, or all, are polled immediately because of a reload or of `POST /-/poll`.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ledger::Hurry;

/// Interval between the polls of two reports where many become due at once.
const PACE: Duration = Duration::from_millis(20);
/// Longest time over which such polls are spread: many reports begin closer together, so that the last of them does
/// not wait longer.
const SPREAD: Duration = Duration::from_secs(20);

/// Returns the interval between the polls of `count` reports that are due at once.
pub(crate) fn pace(count: usize) -> Duration {
    PACE.min(SPREAD / u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

/// Reports that are to be polled out of turn.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Provider of the reports; all providers if `None`.
    pub provider: Option<String>,
    /// Name of the reports' app; all apps if `None`.
    pub app: Option<String>,
    /// Failing reports alone, or all.
    pub hurry: Hurry,
}

/// Signal that makes a report poll out of turn.
#[derive(Debug, Default)]
pub struct Bell {
    asked: Mutex<Option<Hurry>>,
    rung: Notify,
}

impl Bell {
    pub(super) fn ring(&self, hurry: Hurry) {
        let mut asked = self.asked.lock();
        *asked = (*asked).max(Some(hurry));
        self.rung.notify_one();
    }

    /// Waits until the bell is rung; returns at once if it has been rung since it was last answered.
    pub async fn rung(&self) {
        while self.asked.lock().is_none() {
            self.rung.notified().await;
        }
    }

    /// Takes the request, if there is one.
    pub fn answer(&self) -> Option<Hurry> {
        self.asked.lock().take()
    }
}
