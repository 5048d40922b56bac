//! Polls out of turn: what is failing, or everything, is polled now because somebody says so, by a reload or by
//! `POST /-/poll`.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ledger::Hurry;

/// From one report's poll to the next one's, where many become due at once.
const PACE: Duration = Duration::from_millis(20);
/// Many reports begin closer together, so that the last of them does not wait longer.
const SPREAD: Duration = Duration::from_secs(20);

/// Time between the polls of `count` reports that are due at once.
pub fn pace(count: usize) -> Duration {
    PACE.min(SPREAD / u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

/// Reports that are polled out of turn.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Those of this provider, or of all.
    pub provider: Option<String>,
    /// Those of apps with this name, or of all.
    pub app: Option<String>,
    /// Failing ones alone, or all.
    pub hurry: Hurry,
}

/// Signal that tells a report to poll out of turn.
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

    /// Waits until it is rung; at once if it has been since it was last answered.
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
