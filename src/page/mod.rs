//! The page: what a scrape is answered from. One task owns the table and renders it; everyone else
//! sends it changes, and a scrape takes the blocks that exist.

pub mod families;
mod gzip;
pub mod own;
mod process;
mod table;
pub mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use families::Family;
use table::{Rendered, Table};
pub use table::{Sample, Update};

/// The blocks of one moment.
#[derive(Clone, Default)]
pub struct Snapshot {
    blocks: Vec<Arc<Rendered>>,
}

impl Snapshot {
    /// The page as pieces of text, with `last` behind it.
    pub fn plain(&self, last: Vec<u8>) -> Vec<Piece> {
        let blocks = self.blocks.iter().map(|block| Source::Plain(block.plain()));
        blocks.chain([Source::Own(last)]).map(Piece).collect()
    }

    /// The page as pieces of one gzip member, with `last` behind it; `None` if it cannot be compressed.
    pub fn gzip(&self, last: &[u8]) -> Option<Vec<Piece>> {
        let last = Arc::new(Rendered::new(last)?);
        let mut crc = flate2::Crc::new();
        let mut pieces = vec![Piece(Source::Own(gzip::HEADER.to_vec()))];
        for block in self.blocks.iter().chain([&last]) {
            crc.combine(&block.deflated.crc);
            pieces.push(Piece(Source::Deflated(Arc::clone(block))));
        }
        pieces.push(Piece(Source::Own(gzip::trailer(&crc).to_vec())));
        Some(pieces)
    }
}

/// A piece of an answer, shared with every scrape that needs it.
pub struct Piece(Source);

/// Where the bytes of a piece are.
enum Source {
    /// Text of a block.
    Plain(Arc<[u8]>),
    /// A compressed block.
    Deflated(Arc<Rendered>),
    /// Made for this answer.
    Own(Vec<u8>),
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Source::Plain(text) => text,
            Source::Deflated(block) => &block.deflated.bytes,
            Source::Own(bytes) => bytes,
        }
    }
}

/// A change, and until when it waits: a new counter shows 0 for a while.
#[derive(Debug)]
enum Change {
    Now(Update),
    Counter { sample: Sample, held_until: Timestamp },
    Flush(oneshot::Sender<()>),
}

/// The way to the page's task.
#[derive(Clone)]
pub struct Page {
    changes: mpsc::Sender<Vec<Change>>,
    snapshot: watch::Receiver<Snapshot>,
}

/// How many sets of changes may wait while the page is rendered.
const QUEUE: usize = 256;
/// The page is rendered at most this often; a scrape sees changes no later than that.
const PAUSE: Duration = Duration::from_millis(250);

impl Page {
    /// Starts the task. It ends when the last `Page` is gone.
    pub fn start(clock: Clock) -> (Page, tokio::task::JoinHandle<()>) {
        let (changes, queue) = mpsc::channel(QUEUE);
        let (publish, snapshot) = watch::channel(Snapshot::default());
        let task = Task { clock, table: Table::default(), held: Held::default(), publish, flushes: Vec::new() };
        (Page { changes, snapshot }, tokio::spawn(task.run(queue)))
    }

    /// Makes changes visible with the next rendering.
    pub async fn update(&self, updates: Vec<Update>) {
        self.send(updates.into_iter().map(Change::Now).collect()).await;
    }

    /// Shows counters, each at 0 until its hold is over.
    pub async fn count(&self, counters: Vec<(Sample, Timestamp)>) {
        let change = |(sample, held_until)| Change::Counter { sample, held_until };
        self.send(counters.into_iter().map(change).collect()).await;
    }

    async fn send(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            // The task is gone only when the exporter stops.
            let _ = self.changes.send(changes).await;
        }
    }

    /// Waits until everything sent so far is visible.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        self.send(vec![Change::Flush(done)]).await;
        let _ = is_done.await;
    }

    /// The page as last rendered.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }
}

/// Counters that show 0 for now, and the totals they will show.
#[derive(Default)]
struct Held {
    totals: HashMap<(Family, Arc<str>, String), i64>,
    ends: BTreeMap<Instant, Vec<(Family, Arc<str>, String)>>,
}

struct Task {
    clock: Clock,
    table: Table,
    held: Held,
    publish: watch::Sender<Snapshot>,
    /// Who waits for the next rendering.
    flushes: Vec<oneshot::Sender<()>>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Vec<Change>>) {
        let mut next_rendering = Instant::now();
        loop {
            let wait = self.until_release();
            tokio::select! {
                changes = queue.recv() => match changes {
                    Some(changes) => self.apply(changes),
                    None => return,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
            // Changes that come together are rendered together; who waits for them is not kept waiting.
            while self.flushes.is_empty() {
                match tokio::time::timeout_at(next_rendering, queue.recv()).await {
                    Ok(Some(changes)) => self.apply(changes),
                    Ok(None) => return,
                    Err(_) => break,
                }
            }
            self.release();
            if !self.render().await {
                return;
            }
            next_rendering = Instant::now() + PAUSE;
        }
    }

    /// How long until a counter takes its value, if one waits.
    fn until_release(&self) -> Option<Duration> {
        let (end, _) = self.held.ends.first_key_value()?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let now = self.clock.now();
        for change in changes {
            match change {
                Change::Now(update) => {
                    self.table.apply(update);
                }
                Change::Counter { sample, held_until } => self.counter(sample, held_until, now),
                Change::Flush(done) => self.flushes.push(done),
            }
        }
    }

    fn counter(&mut self, mut sample: Sample, held_until: Timestamp, now: Timestamp) {
        let key = (sample.family, Arc::clone(&sample.owner), sample.rest.clone());
        if let Some(total) = self.held.totals.get_mut(&key) {
            *total = sample.value.max(*total);
            return;
        }
        // Of two commits that were shown in the wrong order, the later one has counted more.
        if self.table.value(sample.family, &sample.owner, &sample.rest).is_some_and(|shown| shown > sample.value) {
            return;
        }
        // A series that has shown its total never goes back to 0, whatever the clock does.
        let left = Duration::try_from(held_until.duration_since(now)).unwrap_or_default();
        if !left.is_zero() && self.table.value(sample.family, &sample.owner, &sample.rest).is_none() {
            self.held.totals.insert(key.clone(), sample.value);
            // A clock that is set back or forward changes nothing any more.
            self.held.ends.entry(Instant::now() + left).or_default().push(key);
            sample.value = 0;
        }
        self.table.apply(Update::Set(sample));
    }

    fn release(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.held.ends.first_entry()
            && *entry.key() <= now
        {
            for key in entry.remove() {
                if let Some(value) = self.held.totals.remove(&key) {
                    let (family, owner, rest) = key;
                    self.table.apply(Update::Set(Sample { family, owner, rest, value }));
                }
            }
        }
    }

    /// Renders what changed, away from the threads that serve; false if that is not possible any more.
    async fn render(&mut self) -> bool {
        let mut table = std::mem::take(&mut self.table);
        let rendering = tokio::task::spawn_blocking(move || {
            let blocks = table.render();
            (table, Snapshot { blocks })
        });
        match rendering.await {
            Ok((table, snapshot)) => {
                self.table = table;
                self.publish.send_replace(snapshot);
                for done in self.flushes.drain(..) {
                    let _ = done.send(());
                }
                true
            }
            Err(_) => false,
        }
    }
}
