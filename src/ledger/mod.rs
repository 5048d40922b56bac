//! The durable store: turns readings into counters. One task owns the connection; callers send a
//! request and wait for the reply, so that nothing can cancel a write half-way. The ledger knows no
//! provider: it takes readings in and gives totals back.

mod app;
mod commit;
mod counters;
pub mod counting;
mod crash_points;
mod file_marks;
mod file_system;
mod messages;
pub mod sqlite;
mod sqlite_file;
mod stored_labels;
mod time;
mod types;
pub mod watermark;
mod window_gauges;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::self_metrics::LedgerMetrics;
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;
pub use types::{
    AddedMessages, AppId, AppKey, Commit, CommitContent, Confirmation, DueMessages, DueQuery, FailedMessage, FileId,
    FileMark, GaugeReadings, Hurry, MessageSource, MessageState, NewMessage, NewMessages, NewestMessage,
    NewestMessages, NewestQuery, PolledMessage, ReadFile, Receipt, Reschedule, Restored, SeriesTotal, StoredGauges,
    StoredReport, SubjectReadings, TrackedMessage,
};

/// Why the ledger cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another exporter has it.
    #[error("another push-exporter uses {0}; stop it, or give this one a ledger of its own")]
    InUse(PathBuf),
    /// The lock file cannot be made.
    #[error("cannot lock {path}: {cause}; check that its folder is there and may be written")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// On a file system that cannot hold a ledger.
    #[error(
        "cannot use {path} on {kind}: {cause}; the ledger needs a local disk, where locks and shared memory work: name one as ledger: sqlite:/var/lib/push-exporter/push-exporter.db"
    )]
    NotLocal {
        /// The ledger.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
        /// The failure.
        cause: String,
    },
    /// Restored from a dump, which omits the numbers that identify a ledger.
    #[error(
        "{path} was restored from .dump, which leaves out its schema number; if that was of this or an earlier release and whole, run sqlite3 {path} 'PRAGMA application_id = {application}; PRAGMA user_version = {schema}' and start again. Copies made with .backup need nothing"
    )]
    Dumped {
        /// The ledger.
        path: PathBuf,
        /// Number that tells a ledger from other databases.
        application: i64,
        /// Its schema, by its tables.
        schema: usize,
    },
    /// Written by a newer release.
    #[error("{path} was written by a newer push-exporter (schema {found}, this one knows {known}); use that release")]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Not a ledger, or a broken one.
    #[error(
        "{path} is damaged or not a ledger: {detail}; put a backup in its place, without the old -wal and -shm beside it, or move all three away to start anew from a baseline"
    )]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Cannot be opened at all.
    #[error("cannot open {path}: {cause}; check that it is a file, its rights, and that there is space")]
    Open {
        /// The ledger.
        path: PathBuf,
        /// Why.
        cause: rusqlite::Error,
    },
    /// Opened, and not to be written.
    #[error("{0} cannot be written; check the rights of the file and of its folder")]
    ReadOnly(PathBuf),
    /// The file system does not let us at the file.
    #[error("cannot use {path}: {cause}")]
    File {
        /// The ledger.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file was removed or replaced while open.
    #[error("{0} was removed or replaced while in use; put it back: a restart without it begins from a baseline")]
    Replaced(PathBuf),
    /// SQLite failed.
    #[error("the ledger failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value makes no sense.
    #[error(transparent)]
    Unreadable(#[from] watermark::Unreadable),
    /// The last write failed, and the ledger waits for writing to work again.
    #[error("the ledger cannot be written at present")]
    Down,
    /// A bug: nothing was written.
    #[error("the ledger panicked; please report this as a bug")]
    Panicked,
    /// The task is gone.
    #[error("the ledger is closed")]
    Closed,
}

/// A place to keep all this.
pub trait Store: Send {
    /// Makes the configured apps known, forgets what left long ago, and tells what is stored.
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<Restored>, LedgerError>>;
    /// Commits an answer.
    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>>;
    /// Makes messages known, all of them or none.
    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>>;
    /// The messages to ask for in the next calls.
    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>>;
    /// The newest of the messages that are tracked, the newest first.
    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>>;
    /// Brings due times back to what a schedule allows.
    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// What is due once a day for an app that is configured: drops some memories of retired messages that have
    /// expired; whether there may be more.
    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>>;
    /// Notes that series show their totals from now on.
    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Writes something of no importance, to see whether writing works.
    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Looks at every page of the store, beside other work.
    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>>;
    /// Bytes on disk.
    fn size(&self) -> u64;
}

/// The way to the ledger's task.
#[derive(Clone)]
pub struct Ledger {
    requests: mpsc::Sender<LedgerRequest>,
    up: watch::Receiver<bool>,
    errors: IntCounter,
}

enum LedgerRequest {
    Register(Vec<AppKey>, Timestamp, oneshot::Sender<Result<Vec<Restored>, LedgerError>>),
    Commit(Box<Commit>, oneshot::Sender<Result<Receipt, LedgerError>>),
    Add(Vec<NewMessages>, oneshot::Sender<Result<Vec<AddedMessages>, LedgerError>>),
    Due(DueQuery, oneshot::Sender<Result<DueMessages, LedgerError>>),
    Newest(NewestQuery, oneshot::Sender<Result<Vec<SentMessage>, LedgerError>>),
    Reschedule(Reschedule, oneshot::Sender<Result<(), LedgerError>>),
    Upkeep(AppId, Timestamp, oneshot::Sender<Result<bool, LedgerError>>),
    Release(Vec<SeriesId>, oneshot::Sender<Result<(), LedgerError>>),
}

/// How many answers may wait to be committed.
const QUEUE: usize = 64;
/// How often a ledger that failed is tried again.
const PROBE: Duration = Duration::from_secs(5);

impl Ledger {
    /// Starts the task that owns `store`. It ends when the last `Ledger` is gone and all is written.
    pub fn start(store: Box<dyn Store>, metrics: LedgerMetrics) -> (Ledger, tokio::task::JoinHandle<()>) {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (up, is_up) = watch::channel(true);
        metrics.up.set(1);
        metrics.size.set(i64::try_from(store.size()).unwrap_or(i64::MAX));
        let errors = metrics.errors.clone();
        let task = tokio::spawn(LedgerTask { store, metrics, up, version: 0, is_damaged: false }.run(queue));
        (Ledger { requests, up: is_up, errors }, task)
    }

    /// See [`Store::register`].
    ///
    /// # Errors
    /// A ledger that cannot be read or written.
    pub async fn register(&self, apps: Vec<AppKey>, now: Timestamp) -> Result<Vec<Restored>, LedgerError> {
        self.request(|reply| LedgerRequest::Register(apps, now, reply)).await
    }

    /// Commits an answer. Dropping the future does not undo or interrupt it.
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn commit(&self, commit: Commit) -> Result<Receipt, LedgerError> {
        self.request(|reply| LedgerRequest::Commit(Box::new(commit), reply)).await
    }

    /// See [`Store::add_messages`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn add_messages(&self, new: Vec<NewMessages>) -> Result<Vec<AddedMessages>, LedgerError> {
        self.request(|reply| LedgerRequest::Add(new, reply)).await
    }

    /// See [`Store::due_messages`].
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub async fn due_messages(&self, query: DueQuery) -> Result<DueMessages, LedgerError> {
        self.request(|reply| LedgerRequest::Due(query, reply)).await
    }

    /// See [`Store::newest_messages`].
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub async fn newest_messages(&self, query: NewestQuery) -> Result<Vec<SentMessage>, LedgerError> {
        self.request(|reply| LedgerRequest::Newest(query, reply)).await
    }

    /// See [`Store::reschedule`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn reschedule(&self, change: Reschedule) -> Result<(), LedgerError> {
        self.request(|reply| LedgerRequest::Reschedule(change, reply)).await
    }

    /// See [`Store::upkeep`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn upkeep(&self, app: AppId, now: Timestamp) -> Result<bool, LedgerError> {
        self.request(|reply| LedgerRequest::Upkeep(app, now, reply)).await
    }

    /// See [`Store::release`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn release(&self, series: Vec<SeriesId>) -> Result<(), LedgerError> {
        self.request(|reply| LedgerRequest::Release(series, reply)).await
    }

    /// Counts something stored that cannot be read, as an error of the ledger.
    pub fn note_unreadable(&self) {
        self.errors.inc();
    }

    /// Whether the last write worked; changes wake the receiver.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }

    async fn request<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> LedgerRequest,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}

struct LedgerTask {
    store: Box<dyn Store>,
    metrics: LedgerMetrics,
    up: watch::Sender<bool>,
    version: u64,
    /// What is damaged does not heal by itself, whether or not something can be written elsewhere in it.
    is_damaged: bool,
}

impl LedgerTask {
    async fn run(mut self, mut queue: mpsc::Receiver<LedgerRequest>) {
        loop {
            let is_down = !*self.up.borrow();
            tokio::select! {
                request = queue.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                () = tokio::time::sleep(PROBE), if is_down && !self.is_damaged => {
                    let result = self.store.probe().await;
                    self.note(&result);
                }
            }
        }
    }

    async fn serve(&mut self, request: LedgerRequest) {
        self.version += 1;
        let version = self.version;
        match request {
            LedgerRequest::Register(apps, now, reply) => {
                let result = self.store.register(apps, now).await;
                self.reply(result, reply);
            }
            LedgerRequest::Commit(commit, reply) => {
                let now = commit.now;
                let timer = self.metrics.commit_duration.start_timer();
                let mut result = self.store.commit(*commit).await;
                match &mut result {
                    Ok(receipt) => {
                        self.metrics.errors.inc_by(receipt.unreadable.len() as u64);
                        if let Some(state) = &mut receipt.messages {
                            state.version = version;
                        }
                        timer.observe_duration();
                        self.metrics.last_commit.set(now.as_millisecond() as f64 / 1000.0);
                        self.metrics.size.set(i64::try_from(self.store.size()).unwrap_or(i64::MAX));
                    }
                    Err(_) => drop(timer.stop_and_discard()),
                }
                self.reply(result, reply);
            }
            LedgerRequest::Add(new, reply) => {
                let mut result = self.store.add_messages(new).await;
                for added in result.iter_mut().flatten() {
                    added.state.version = version;
                }
                self.reply(result, reply);
            }
            LedgerRequest::Due(query, reply) => {
                let result = self.store.due_messages(query).await;
                self.reply_to_reader(result, reply);
            }
            LedgerRequest::Newest(query, reply) => {
                let result = self.store.newest_messages(query).await;
                self.reply_to_reader(result, reply);
            }
            LedgerRequest::Reschedule(change, reply) => {
                let result = self.store.reschedule(change).await;
                self.reply(result, reply);
            }
            LedgerRequest::Upkeep(app, now, reply) => {
                let result = self.store.upkeep(app, now).await;
                self.reply(result, reply);
            }
            LedgerRequest::Release(series, reply) => {
                let result = self.store.release(series).await;
                self.reply(result, reply);
            }
        }
    }

    /// Notes how a write went and tells who asked for it, who may be gone: what is written stays written.
    fn reply<T>(&mut self, result: Result<T, LedgerError>, reply: oneshot::Sender<Result<T, LedgerError>>) {
        self.note(&result);
        let _ = reply.send(result);
    }

    /// The same for who only reads: that it works says nothing about whether writing does.
    fn reply_to_reader<T>(&mut self, result: Result<T, LedgerError>, reply: oneshot::Sender<Result<T, LedgerError>>) {
        if result.is_err() {
            self.note(&result);
        }
        let _ = reply.send(result);
    }

    /// Keeps `up` true to the last write, and says so once when it changes.
    fn note<T>(&mut self, result: &Result<T, LedgerError>) {
        self.is_damaged |= matches!(result, Err(LedgerError::Damaged { .. }));
        // A row that makes no sense, or panics, is the trouble of its app alone.
        let works =
            !self.is_damaged && matches!(result, Ok(_) | Err(LedgerError::Unreadable(_) | LedgerError::Panicked));
        if let Err(error) = result {
            self.metrics.errors.inc();
            if matches!(error, LedgerError::Panicked) {
                self.metrics.panics.inc();
            }
            tracing::debug!(error = error.to_string(), "ledger");
        }
        let changed = self.up.send_if_modified(|up| std::mem::replace(up, works) != works);
        self.metrics.up.set(works.into());
        match (changed, result) {
            (true, Err(error)) if self.is_damaged => {
                tracing::error!(error = error.to_string(), "the ledger is damaged; polling pauses until a restart")
            }
            (true, Err(error)) if !works => {
                tracing::error!(error = error.to_string(), "the ledger cannot be written; polling pauses until it can")
            }
            (true, _) => tracing::info!("the ledger can be written again; polling goes on"),
            (false, _) => {}
        }
    }
}
