//! The exposition, or page, which answers scrapes. One task owns the series table and renders it; other tasks send it
//! changes, and a scrape takes the rendered blocks.

mod gzip;
pub(crate) mod openmetrics;
mod self_metrics;
mod series_table;
pub(crate) mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::metrics::catalog::Family;
use crate::metrics::help::HelpTexts;
use crate::model::reading::SeriesId;
use crate::util::lease::Lease;
pub use self_metrics::encode as encode_self_metrics;
use series_table::{ByForm, Form, RenderedBlock, Table};
pub use series_table::{Sample, Update};

/// Formats of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// OpenMetrics 1.0 for clients that only know its draft.
    OpenMetrics001,
}

impl ExpositionFormat {
    /// Returns the content type.
    pub fn content_type(self) -> &'static str {
        match self {
            ExpositionFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            ExpositionFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ExpositionFormat::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
        }
    }
}

type Blocks = Arc<[Arc<RenderedBlock>]>;

/// The last rendered page, in the formats in use.
type PublishedBlocks = ByForm<Option<Blocks>>;

/// Returns a separate text as pieces of a gzip member; `None` if it cannot be compressed.
pub fn gzip(text: &[u8]) -> Option<Vec<Piece>> {
    Snapshot::default().gzip(text)
}

/// The blocks of the page at one moment in one format.
#[derive(Clone, Default)]
pub struct Snapshot {
    blocks: Blocks,
}

impl Snapshot {
    /// Returns the page as pieces of text, followed by `last`.
    pub fn plain(&self, last: Vec<u8>) -> Vec<Piece> {
        let blocks = self.blocks.iter().map(|block| PieceSource::Plain(block.plain()));
        blocks.chain([PieceSource::Own(last)]).map(Piece).collect()
    }

    /// Returns the page as pieces of one gzip member, followed by `last`; `None` if it cannot be compressed.
    pub fn gzip(&self, last: &[u8]) -> Option<Vec<Piece>> {
        let last = Arc::new(RenderedBlock::new(last)?);
        let mut crc = flate2::Crc::new();
        let mut pieces = vec![Piece(PieceSource::Own(gzip::HEADER.to_vec()))];
        for block in self.blocks.iter().chain([&last]) {
            crc.combine(&block.deflated.crc);
            pieces.push(Piece(PieceSource::DeflatedBlock(Arc::clone(block))));
        }
        pieces.push(Piece(PieceSource::Own(gzip::trailer(&crc).to_vec())));
        Some(pieces)
    }
}

/// A piece of an answer, shared by all scrapes that need it.
pub struct Piece(PieceSource);

/// Storage of the bytes of a piece.
enum PieceSource {
    /// The text of a block.
    Plain(Arc<[u8]>),
    /// A compressed block.
    DeflatedBlock(Arc<RenderedBlock>),
    /// Bytes made for this answer.
    Own(Vec<u8>),
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            PieceSource::Plain(text) => text,
            PieceSource::DeflatedBlock(block) => &block.deflated.bytes,
            PieceSource::Own(bytes) => bytes,
        }
    }
}

/// A committed counter.
#[derive(Clone, Debug)]
pub struct Counter {
    /// Series and total.
    pub sample: Sample,
    /// Id in the ledger and duration of the hold at 0, if the counter has never shown its total.
    pub hold: Option<(SeriesId, Duration)>,
}

/// A change of the page. A new counter shows 0 until its hold ends.
#[derive(Debug)]
enum ExpositionChange {
    Now(Update),
    Counter(Counter),
    /// Series that show their totals from now on, as the ledger has recorded.
    Released(Vec<SeriesName>),
    Flush(oneshot::Sender<()>),
    /// A client needs this format.
    Want(Form),
}

/// Handle to the task of the page.
#[derive(Clone)]
pub struct Exposition {
    changes: mpsc::Sender<Vec<ExpositionChange>>,
    published: watch::Receiver<PublishedBlocks>,
    wanted: Arc<FormatUse>,
    began: Instant,
    /// Number of active pauses.
    paused: Arc<watch::Sender<usize>>,
    lease: Lease,
}

/// A pause that keeps the page unchanged until dropped, so that related changes become visible together.
pub struct Pause(Arc<watch::Sender<usize>>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.send_modify(|pauses| *pauses -= 1);
    }
}

/// Time of the last request for a format, in seconds since the start of the task; 0 for never.
type FormatUse = ByForm<AtomicU64>;

/// Time without requests after which a format is no longer rendered.
const UNWANTED: Duration = Duration::from_secs(3600);

/// Maximum number of sets of changes that wait while the page is rendered.
const QUEUE: usize = 256;
/// Limit of a pause, after which the page is rendered anyway: the exporter must not look as if it hangs.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Minimum interval between renderings; a scrape sees changes at most this much later.
const PAUSE: Duration = Duration::from_millis(250);

impl Exposition {
    /// Starts the task of a process that started at `began`. It ends when the last `Exposition` is dropped. Every series of
    /// an app has the label `instance`, if there is one, and is shown while the lease is held.
    pub fn start(
        began: Timestamp,
        help: HelpTexts,
        instance: Option<&str>,
        lease: Lease,
    ) -> (Exposition, HoldEnds, tokio::task::JoinHandle<()>) {
        let (changes, queue) = mpsc::channel(QUEUE);
        let (publish, published) = watch::channel(PublishedBlocks::default());
        let paused = watch::Sender::new(0);
        let wanted = Arc::new(FormatUse::default());
        // Contains at most as many as there are held series.
        let (hold_ends, ended) = mpsc::unbounded_channel();
        let task = ExpositionTask {
            table: Table::new(
                began,
                help,
                instance.map_or_else(String::new, |name| text::labels(&[("instance", name)])),
            ),
            hold_ends,
            held: HeldCounters::default(),
            publish,
            flushes: Vec::new(),
            forms: Vec::new(),
            wanted: Arc::clone(&wanted),
            began: Instant::now(),
            paused: paused.subscribe(),
        };
        let page = Exposition { changes, published, wanted, began: task.began, paused: Arc::new(paused), lease };
        (page, HoldEnds(ended), tokio::spawn(task.run(queue)))
    }

    /// Makes changes visible with the next rendering.
    pub async fn update(&self, updates: Vec<Update>) {
        self.send(updates.into_iter().map(ExpositionChange::Now).collect()).await;
    }

    /// Shows counters, each at 0 until its hold is over.
    pub async fn count(&self, counters: Vec<Counter>) {
        self.send(counters.into_iter().map(ExpositionChange::Counter).collect()).await;
    }

    /// Shows the totals of series whose holds have ended.
    pub async fn show_totals(&self, ended: EndedHolds) {
        self.send(vec![ExpositionChange::Released(ended.names)]).await;
    }

    async fn send(&self, changes: Vec<ExpositionChange>) {
        if !changes.is_empty() {
            // The task is gone only when the exporter stops.
            let _ = self.changes.send(changes).await;
        }
    }

    /// Waits until everything sent so far is visible.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        self.send(vec![ExpositionChange::Flush(done)]).await;
        let _ = is_done.await;
    }

    /// Returns true if the apps of this process may be shown now.
    pub fn has_lease(&self) -> bool {
        self.lease.is_held()
    }

    /// Keeps the visible page unchanged until the result is dropped.
    pub fn pause(&self) -> Pause {
        self.paused.send_modify(|pauses| *pauses += 1);
        Pause(Arc::clone(&self.paused))
    }

    /// Removes all series of an app from the page; the last of the changes that are sent about it.
    pub async fn forget(&self, app_labels: Arc<str>) {
        self.update(vec![Update::Forget(app_labels)]).await;
    }

    /// Returns the last rendered page, or an empty one without a lease: another replica may show the apps. The first
    /// request for a format waits until it is rendered.
    pub async fn snapshot(&self, exposition: ExpositionFormat) -> Snapshot {
        let form = Form::from(exposition);
        self.wanted.of(form).store(self.began.elapsed().as_secs() + 1, Ordering::Relaxed);
        let rendered = || self.published.borrow().of(form).clone();
        let mut blocks = rendered();
        if blocks.is_none() {
            self.send(vec![ExpositionChange::Want(form)]).await;
            self.flush().await;
            blocks = rendered();
        }
        // Looked at last: the process may have been stopped at any moment before.
        Snapshot { blocks: blocks.filter(|_| self.lease.is_held()).unwrap_or_default() }
    }
}

/// Key of a series: its family, the labels of its app and its other labels.
type SeriesName = (Family, Arc<str>, String);

/// Counters that show 0 for now, with their ids in the ledger and the totals to show after the hold.
#[derive(Default)]
struct HeldCounters {
    totals: HashMap<SeriesName, (SeriesId, Sample)>,
    ends: BTreeMap<Instant, Vec<SeriesName>>,
}

/// Receiver of the holds that have ended. Their series show their totals once the ledger has recorded the end of the
/// hold: otherwise a restart would show them at 0 again, or never.
pub struct HoldEnds(mpsc::UnboundedReceiver<EndedHolds>);

impl HoldEnds {
    /// Waits for holds to end; `None` once the exposition is gone.
    pub async fn next(&mut self) -> Option<EndedHolds> {
        self.0.recv().await
    }
}

/// Series whose holds ended at the same time.
#[derive(Debug, Default)]
pub struct EndedHolds {
    /// Ids of the series in the ledger.
    pub series: Vec<SeriesId>,
    names: Vec<SeriesName>,
}

struct ExpositionTask {
    table: Table,
    hold_ends: mpsc::UnboundedSender<EndedHolds>,
    held: HeldCounters,
    publish: watch::Sender<PublishedBlocks>,
    /// Callers that wait for the next rendering.
    flushes: Vec<oneshot::Sender<()>>,
    /// Formats that are rendered.
    forms: Vec<Form>,
    wanted: Arc<FormatUse>,
    began: Instant,
    paused: watch::Receiver<usize>,
}

impl ExpositionTask {
    async fn run(mut self, mut queue: mpsc::Receiver<Vec<ExpositionChange>>) {
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
            // Changes that arrive together are rendered together, unless a caller waits for them.
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

    /// Returns the time until the next hold ends, if there is one.
    fn until_release(&self) -> Option<Duration> {
        let (end, _) = self.held.ends.first_key_value()?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    fn apply(&mut self, changes: Vec<ExpositionChange>) {
        for change in changes {
            match change {
                ExpositionChange::Now(update) => {
                    if let Update::Forget(app_labels) = &update {
                        self.held.totals.retain(|(_, of, _), _| of != app_labels);
                    }
                    self.table.apply(update);
                }
                ExpositionChange::Want(form) if self.forms.contains(&form) => {}
                ExpositionChange::Want(form) => self.forms.push(form),
                ExpositionChange::Counter(counter) => self.counter(counter),
                ExpositionChange::Released(names) => self.show_totals(names),
                ExpositionChange::Flush(done) => self.flushes.push(done),
            }
        }
    }

    fn counter(&mut self, counter: Counter) {
        let Counter { mut sample, hold } = counter;
        let name = (sample.family, Arc::clone(&sample.app_labels), sample.labels.clone());
        if let Some((_, held)) = self.held.totals.get_mut(&name) {
            held.value = sample.value.max(held.value);
            return;
        }
        let shown = self.table.value(sample.family, &sample.app_labels, &sample.labels);
        // If two commits arrive in the wrong order, the later one has counted more.
        if shown.is_some_and(|shown| shown > sample.value) {
            return;
        }
        // A series that has shown its total never goes back to 0.
        if let Some((id, hold)) = hold.filter(|_| shown.is_none()) {
            self.held.totals.insert(name.clone(), (id, sample.clone()));
            self.held.ends.entry(Instant::now() + hold).or_default().push(name);
            sample.value = 0;
        }
        self.table.apply(Update::Set(sample));
    }

    /// Sends the ended holds to their receiver.
    fn release(&mut self) {
        let now = Instant::now();
        let mut ended = EndedHolds::default();
        while let Some(entry) = self.held.ends.first_entry()
            && *entry.key() <= now
        {
            for name in entry.remove() {
                let Some((id, _)) = self.held.totals.get(&name) else { continue };
                ended.series.push(*id);
                ended.names.push(name);
            }
        }
        if !ended.series.is_empty() {
            // The receiver is gone only when the exporter stops.
            let _ = self.hold_ends.send(ended);
        }
    }

    fn show_totals(&mut self, names: Vec<SeriesName>) {
        for name in names {
            if let Some((_, sample)) = self.held.totals.remove(&name) {
                self.table.apply(Update::Set(sample));
            }
        }
    }

    /// Renders the changes on a blocking thread; returns false if that is no longer possible.
    async fn render(&mut self) -> bool {
        let mut table = std::mem::take(&mut self.table);
        let now = self.began.elapsed().as_secs();
        let is_wanted = |form: &Form| now < self.wanted.of(*form).load(Ordering::Relaxed) + UNWANTED.as_secs();
        let (forms, unwanted): (Vec<Form>, Vec<Form>) = self.forms.iter().partition(|form| is_wanted(form));
        self.forms.clone_from(&forms);
        let rendering = tokio::task::spawn_blocking(move || {
            unwanted.into_iter().for_each(|form| table.drop_form(form));
            let mut published = PublishedBlocks::default();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(value: i64, hold: Option<(SeriesId, Duration)>) -> Counter {
        let sample = Sample {
            family: Family::Sent,
            app_labels: "provider=\"p\",app=\"a\"".into(),
            labels: String::new(),
            value,
            created: None,
        };
        Counter { sample, hold }
    }

    async fn shown(page: &Exposition) -> Option<String> {
        page.flush().await;
        let pieces = page.snapshot(ExpositionFormat::Text).await.plain(Vec::new());
        let text = String::from_utf8(pieces.iter().flat_map(|piece| piece.as_ref().to_vec()).collect()).unwrap();
        let line = text.lines().find(|line| line.starts_with("push_messages_sent_total"))?;
        Some(line.rsplit(' ').next()?.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_commits_that_are_shown_in_the_wrong_order_the_higher_one_stays() {
        let (page, _ends, _task) =
            Exposition::start(Timestamp::UNIX_EPOCH, HelpTexts::default(), None, Lease::forever());
        page.count(vec![counter(7, None)]).await;
        page.count(vec![counter(5, None)]).await;
        assert_eq!(shown(&page).await.as_deref(), Some("7"));
        page.count(vec![counter(9, None)]).await;
        assert_eq!(shown(&page).await.as_deref(), Some("9"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_counter_shows_its_total_once_the_ledger_knows() {
        let (page, mut ends, _task) =
            Exposition::start(Timestamp::UNIX_EPOCH, HelpTexts::default(), None, Lease::forever());
        let hold = Some((42, Duration::from_secs(120)));
        page.count(vec![counter(7, hold)]).await;
        page.count(vec![counter(5, hold)]).await;
        assert_eq!(shown(&page).await.as_deref(), Some("0"));
        tokio::time::sleep(Duration::from_secs(121)).await;
        assert_eq!(shown(&page).await.as_deref(), Some("0"), "a total is not shown before its release is durable");
        let ended = ends.next().await.unwrap();
        assert_eq!(ended.series, [42]);
        page.count(vec![counter(8, hold)]).await;
        page.count(vec![counter(6, hold)]).await;
        page.show_totals(ended).await;
        assert_eq!(shown(&page).await.as_deref(), Some("8"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_rendered_at_its_pace_again_after_a_pause() {
        let (page, _ends, _task) =
            Exposition::start(Timestamp::UNIX_EPOCH, HelpTexts::default(), None, Lease::forever());
        page.count(vec![counter(1, None)]).await;
        assert_eq!(shown(&page).await.as_deref(), Some("1"));
        let pause = page.pause();
        drop(pause);
        tokio::time::sleep(Duration::from_secs(5)).await;
        page.count(vec![counter(2, None)]).await;
        let began = Instant::now();
        page.flush().await;
        assert_eq!(shown(&page).await.as_deref(), Some("2"));
        assert!(began.elapsed() <= PAUSE, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_left_during_a_hold_does_not_come_back_with_its_end() {
        let (page, mut ends, _task) =
            Exposition::start(Timestamp::UNIX_EPOCH, HelpTexts::default(), None, Lease::forever());
        page.count(vec![counter(7, Some((42, Duration::from_secs(120))))]).await;
        assert_eq!(shown(&page).await.as_deref(), Some("0"));
        page.forget("provider=\"p\",app=\"a\"".into()).await;
        assert_eq!(shown(&page).await, None);
        let ended = tokio::time::timeout(Duration::from_secs(300), ends.next()).await;
        if let Ok(Some(ended)) = ended {
            page.show_totals(ended).await;
        }
        assert_eq!(shown(&page).await, None);
    }
}
