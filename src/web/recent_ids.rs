//! Ids that callbacks have brought a short while ago: a push is followed by a callback for each device, and the ledger need not
//! be asked for each of them.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Maximum number of ids in a generation.
const KEPT: usize = 20_000;
/// Time after which a generation ends.
const GENERATION: Duration = Duration::from_secs(600);

/// Ids that came into the ledger a short while ago. They are kept for one to two generations.
#[derive(Debug, Default)]
pub(super) struct RecentIds(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    newest: HashSet<(String, String)>,
    before: HashSet<(String, String)>,
    began: Option<Instant>,
}

impl RecentIds {
    /// Returns true if this id of an app came a short while ago.
    pub(super) fn contains(&self, app: &str, id: &str) -> bool {
        let mut generations = self.0.lock();
        generations.end_if_old();
        let key = (app.to_owned(), id.to_owned());
        generations.newest.contains(&key) || generations.before.contains(&key)
    }

    /// Adds ids of an app that are in the ledger.
    pub(super) fn add(&self, app: &str, ids: Vec<String>) {
        let mut generations = self.0.lock();
        generations.newest.extend(ids.into_iter().map(|id| (app.to_owned(), id)));
        generations.end_if_old();
    }
}

impl Generations {
    fn end_if_old(&mut self) {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        if self.newest.len() >= KEPT || now.duration_since(began) >= GENERATION {
            self.before = std::mem::take(&mut self.newest);
            self.began = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn recent_ids_are_few_and_forgotten() {
        let recent = RecentIds::default();
        recent.add("shop", vec!["1".to_owned()]);
        assert!(recent.contains("shop", "1") && !recent.contains("chat", "1") && !recent.contains("shop", "2"));
        tokio::time::advance(GENERATION).await;
        assert!(recent.contains("shop", "1"));
        tokio::time::advance(GENERATION).await;
        assert!(!recent.contains("shop", "1"));
        for first in 0..10 {
            recent.add("shop", (0..KEPT / 2).map(|id| format!("{first}-{id}")).collect());
        }
        let generations = recent.0.lock();
        assert!(generations.newest.len() + generations.before.len() <= 2 * KEPT);
    }
}
