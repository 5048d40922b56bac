//! Open connections and their activity. If there is no room for another one, the connection that has been idle for
//! longest is closed, so that thousands of idle connections keep nobody out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntGauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Maximum size in bytes of the head of a request. hyper reads a little more before it checks.
pub(super) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Time after which an idle connection ends; a Prometheus that scrapes less often just reconnects.
pub(super) const IDLE: Duration = Duration::from_secs(20);
/// Time limit for a client to read some part of its answer.
pub(super) const STALLED: Duration = Duration::from_secs(30);
/// Time limit for a whole request, for clients that always read just enough of the answer.
const LONGEST: Duration = Duration::from_secs(120);

/// All open connections.
pub(super) struct ConnectionLimits {
    open: Mutex<OpenConnections>,
    max: usize,
    gauge: IntGauge,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    slots: HashMap<u64, ConnectionEntry>,
}

struct ConnectionEntry {
    /// Time when a request last arrived or ended.
    since: Instant,
    requests: Vec<Asked>,
    end: CancellationToken,
}

/// A pending request.
struct Asked {
    id: u64,
    began: Instant,
    /// Time when the client last read some part of its answer; `None` while the answer is being made.
    taken: Option<Instant>,
}

impl ConnectionEntry {
    fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns the time at which the connection exceeds its limits.
    fn limit(&self) -> Instant {
        let of = |request: &Asked| {
            let end = request.began + LONGEST;
            request.taken.map_or(end, |taken| end.min(taken + STALLED))
        };
        self.requests.iter().map(of).min().unwrap_or(self.since + IDLE)
    }
}

/// Decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection may continue; check again at this time.
    GoesOn(Instant),
    /// The connection has been idle for too long and may end gracefully.
    Idle,
    /// The client has kept an answer waiting for too long.
    Over,
}

impl ConnectionLimits {
    /// Creates limits for at most `max` connections at once, counted by `gauge`.
    pub(super) fn new(max: usize, gauge: IntGauge) -> Arc<ConnectionLimits> {
        Arc::new(ConnectionLimits { open: Mutex::default(), max, gauge })
    }

    /// Adds a new connection, and cancels another one if there is no room.
    pub(super) fn enter(self: &Arc<Self>) -> ConnectionSlot {
        let mut open = self.open.lock();
        if open.slots.len() >= self.max {
            let ending = open.slots.iter().filter(|(_, entry)| !entry.end.is_cancelled());
            // Idle ones first.
            if let Some((_, entry)) = ending.min_by_key(|(_, entry)| (!entry.is_idle(), entry.since)) {
                entry.end.cancel();
            }
        }
        let id = open.next;
        open.next += 1;
        let (now, end) = (Instant::now(), CancellationToken::new());
        open.slots.insert(id, ConnectionEntry { since: now, requests: Vec::new(), end: end.clone() });
        self.gauge.inc();
        ConnectionSlot { id, limits: Arc::clone(self), end }
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut ConnectionEntry)) {
        if let Some(entry) = self.open.lock().slots.get_mut(&id) {
            change(entry);
        }
    }
}

/// Slot of a connection, released when it ends.
pub(super) struct ConnectionSlot {
    id: u64,
    limits: Arc<ConnectionLimits>,
    /// Cancelled when the connection must make room for another one.
    pub(super) end: CancellationToken,
}

impl ConnectionSlot {
    /// Adds a pending request.
    pub(super) fn request(&self) -> RequestState {
        let (id, now) = (fastrand::u64(..), Instant::now());
        self.limits.change(self.id, |entry| {
            entry.since = now;
            entry.requests.push(Asked { id, began: now, taken: None });
        });
        RequestState { id, slot: self.id, limits: Arc::clone(&self.limits) }
    }

    /// Returns true if no request is pending.
    pub(super) fn is_idle(&self) -> bool {
        self.limits.open.lock().slots.get(&self.id).is_none_or(ConnectionEntry::is_idle)
    }

    /// Checks the limits of the connection.
    pub(super) fn verdict(&self) -> Verdict {
        let now = Instant::now();
        let open = self.limits.open.lock();
        let Some(entry) = open.slots.get(&self.id) else { return Verdict::Over };
        let (is_idle, limit) = (entry.is_idle(), entry.limit());
        match limit <= now {
            // The connection may become idle before the limit.
            false => Verdict::GoesOn(limit.min(now + IDLE / 4)),
            true if is_idle => Verdict::Idle,
            true => Verdict::Over,
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limits.open.lock().slots.remove(&self.id);
        self.limits.gauge.dec();
    }
}

/// A pending request of a connection, until its answer has been sent.
pub(super) struct RequestState {
    id: u64,
    slot: u64,
    limits: Arc<ConnectionLimits>,
}

impl RequestState {
    /// Records that the answer is ready, or that the client has read some part of it.
    pub(super) fn progress(&self) {
        self.limits.change(self.slot, |entry| {
            let mut requests = entry.requests.iter_mut();
            if let Some(request) = requests.find(|request| request.id == self.id) {
                request.taken = Some(Instant::now());
            }
        });
    }
}

impl Drop for RequestState {
    fn drop(&mut self) {
        self.limits.change(self.slot, |entry| {
            entry.requests.retain(|request| request.id != self.id);
            entry.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_room(max: usize) -> Arc<ConnectionLimits> {
        ConnectionLimits::new(max, IntGauge::new("open", "Open.").unwrap())
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_does_least_gives_way() {
        let limits = with_room(3);
        let busy = limits.enter();
        let request = busy.request();
        seconds(1).await;
        let (idle, fresh) = (limits.enter(), limits.enter());
        seconds(1).await;
        drop(fresh.request());
        let another = limits.enter();
        assert!(idle.end.is_cancelled(), "idle for longest");
        assert!(!busy.end.is_cancelled() && !fresh.end.is_cancelled() && !another.end.is_cancelled());
        drop((idle, request));
        assert_eq!(limits.gauge.get(), 3);
    }

    fn goes_on(slot: &ConnectionSlot) -> bool {
        matches!(slot.verdict(), Verdict::GoesOn(_))
    }

    #[tokio::test(start_paused = true)]
    async fn limits() {
        let limits = with_room(3);
        let slot = limits.enter();
        seconds(19).await;
        assert!(goes_on(&slot));
        seconds(1).await;
        assert_eq!(slot.verdict(), Verdict::Idle);
        // An answer that is being made has more time than one that the client does not read.
        let request = slot.request();
        seconds(60).await;
        assert!(goes_on(&slot));
        request.progress();
        // Other requests of the same connection do not affect the limit.
        drop(slot.request());
        seconds(29).await;
        assert!(goes_on(&slot));
        seconds(1).await;
        assert_eq!(slot.verdict(), Verdict::Over, "stalled");
        request.progress();
        assert!(goes_on(&slot));
        seconds(20).await;
        request.progress();
        seconds(10).await;
        assert_eq!(slot.verdict(), Verdict::Over, "two minutes");
    }
}
