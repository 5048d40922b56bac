//! The page: what a scrape is answered from. One task owns the table and renders it; everyone else
//! sends it changes, and a scrape takes the blocks that exist.

pub mod families;
mod gzip;
mod openmetrics;
pub mod own;
pub(crate) mod process;
mod table;
pub mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use families::Family;
use table::{ByForm, Form, Rendered, Table};
pub use table::{Sample, Update};

/// The formats of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The same, to clients that know its draft alone.
    OpenMetrics001,
}

impl Exposition {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
        }
    }
}

type Blocks = Arc<[Arc<Rendered>]>;

/// The page as it was last rendered, in the formats that somebody wants.
type Published = ByForm<Option<Blocks>>;

/// A text of its own as pieces of a gzip member; `None` if it cannot be compressed.
pub fn gzip(text: &[u8]) -> Option<Vec<Piece>> {
    Snapshot::default().gzip(text)
}

/// The blocks of one moment in one format.
#[derive(Clone, Default)]
pub struct Snapshot {
    blocks: Blocks,
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
    Counter {
        sample: Sample,
        held_until: Timestamp,
    },
    Flush(oneshot::Sender<()>),
    /// Somebody wants this format.
    Want(Form),
}

/// The way to the page's task.
#[derive(Clone)]
pub struct Page {
    changes: mpsc::Sender<Vec<Change>>,
    published: watch::Receiver<Published>,
    wanted: Arc<Wanted>,
    began: Instant,
    /// How many keep the page as it is.
    paused: Arc<watch::Sender<usize>>,
}

/// Keeps the page as it is until dropped, so that changes that belong together are seen together.
pub struct Pause(Arc<watch::Sender<usize>>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.send_modify(|pauses| *pauses -= 1);
    }
}

/// When a format was last asked for, in seconds since the page began; 0 for never.
type Wanted = ByForm<AtomicU64>;

/// A format that nobody has asked for in this time is not rendered any more.
const UNWANTED: Duration = Duration::from_secs(3600);

/// How many sets of changes may wait while the page is rendered.
const QUEUE: usize = 256;
/// What keeps the page as it is for longer does so in vain: it must not look as if the exporter stood still.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The page is rendered at most this often; a scrape sees changes no later than that.
const PAUSE: Duration = Duration::from_millis(250);

impl Page {
    /// Starts the task; `began` is when the process did. It ends when the last `Page` is gone.
    pub fn start(clock: Clock, began: Timestamp) -> (Page, tokio::task::JoinHandle<()>) {
        let (changes, queue) = mpsc::channel(QUEUE);
        let (publish, published) = watch::channel(Published::default());
        let paused = watch::Sender::new(0);
        let wanted = Arc::new(Wanted::default());
        let task = Task {
            table: Table::new(began),
            clock,
            held: Held::default(),
            publish,
            flushes: Vec::new(),
            forms: Vec::new(),
            wanted: Arc::clone(&wanted),
            began: Instant::now(),
            paused: paused.subscribe(),
        };
        let page = Page { changes, published, wanted, began: task.began, paused: Arc::new(paused) };
        (page, tokio::spawn(task.run(queue)))
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

    /// Keeps what is seen as it is, for as long as the result is kept.
    pub fn pause(&self) -> Pause {
        self.paused.send_modify(|pauses| *pauses += 1);
        Pause(Arc::clone(&self.paused))
    }

    /// Takes everything about an owner off the page; the end of all changes that were sent about it.
    pub async fn forget(&self, owner: Arc<str>) {
        self.update(vec![Update::Forget(owner)]).await;
    }

    /// The page as last rendered. Whoever is the first to want a format waits until it is rendered in it.
    pub async fn snapshot(&self, exposition: Exposition) -> Snapshot {
        let form = Form::from(exposition);
        self.wanted.of(form).store(self.began.elapsed().as_secs() + 1, Ordering::Relaxed);
        let rendered = || self.published.borrow().of(form).clone();
        if let Some(blocks) = rendered() {
            return Snapshot { blocks };
        }
        self.send(vec![Change::Want(form)]).await;
        self.flush().await;
        Snapshot { blocks: rendered().unwrap_or_default() }
    }
}

/// What a series is found by: its family, owner and other labels.
type Name = (Family, Arc<str>, String);

/// Counters that show 0 for now, and the totals they will show.
#[derive(Default)]
struct Held {
    totals: HashMap<Name, Sample>,
    ends: BTreeMap<Instant, Vec<Name>>,
}

struct Task {
    clock: Clock,
    table: Table,
    held: Held,
    publish: watch::Sender<Published>,
    /// Who waits for the next rendering.
    flushes: Vec<oneshot::Sender<()>>,
    /// The formats that are rendered.
    forms: Vec<Form>,
    wanted: Arc<Wanted>,
    began: Instant,
    paused: watch::Receiver<usize>,
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
            let longest = Instant::now() + LONGEST_PAUSE;
            while *self.paused.borrow_and_update() > 0 {
                tokio::select! {
                    changes = queue.recv() => match changes {
                        Some(changes) => self.apply(changes),
                        None => return,
                    },
                    _ = self.paused.changed() => {}
                    () = tokio::time::sleep_until(longest) => break,
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
                    if let Update::Forget(owner) = &update {
                        self.held.totals.retain(|(_, of, _), _| of != owner);
                    }
                    self.table.apply(update);
                }
                Change::Want(form) if self.forms.contains(&form) => {}
                Change::Want(form) => self.forms.push(form),
                Change::Counter { sample, held_until } => self.counter(sample, held_until, now),
                Change::Flush(done) => self.flushes.push(done),
            }
        }
    }

    fn counter(&mut self, mut sample: Sample, held_until: Timestamp, now: Timestamp) {
        let key = (sample.family, Arc::clone(&sample.owner), sample.rest.clone());
        if let Some(held) = self.held.totals.get_mut(&key) {
            held.value = sample.value.max(held.value);
            return;
        }
        // Of two commits that were shown in the wrong order, the later one has counted more.
        if self.table.value(sample.family, &sample.owner, &sample.rest).is_some_and(|shown| shown > sample.value) {
            return;
        }
        // A series that has shown its total never goes back to 0, whatever the clock does.
        let left = Duration::try_from(held_until.duration_since(now)).unwrap_or_default();
        if !left.is_zero() && self.table.value(sample.family, &sample.owner, &sample.rest).is_none() {
            self.held.totals.insert(key.clone(), sample.clone());
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
                if let Some(sample) = self.held.totals.remove(&key) {
                    self.table.apply(Update::Set(sample));
                }
            }
        }
    }

    /// Renders what changed, away from the threads that serve; false if that is not possible any more.
    async fn render(&mut self) -> bool {
        let mut table = std::mem::take(&mut self.table);
        let now = self.began.elapsed().as_secs();
        let is_wanted = |form: &Form| now < self.wanted.of(*form).load(Ordering::Relaxed) + UNWANTED.as_secs();
        let (forms, unwanted): (Vec<Form>, Vec<Form>) = self.forms.iter().partition(|form| is_wanted(form));
        self.forms.clone_from(&forms);
        let rendering = tokio::task::spawn_blocking(move || {
            unwanted.into_iter().for_each(|form| table.drop_form(form));
            let mut published = Published::default();
            for form in forms {
                *published.of_mut(form) = Some(table.render(form).into());
            }
            (table, published)
        });
        match rendering.await {
            Ok((table, published)) => {
                self.table = table;
                self.publish.send_replace(published);
                for done in self.flushes.drain(..) {
                    let _ = done.send(());
                }
                true
            }
            Err(_) => false,
        }
    }
}
