//! The durable store: turns readings into counters. One task owns the connection; callers send a request and wait for
//! the reply, so that a write cannot be cancelled half-way. The ledger knows no provider: it takes readings and returns
//! totals.

pub mod copy;
pub(crate) mod counting;
mod crash_points;
pub mod known_apps;
pub mod last_new_ids;
pub mod postgres;
pub mod replicas;
mod rules;
pub mod sqlite;
mod time;
mod types;
pub(crate) mod watermark;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};

use crate::metrics::self_metrics::LedgerMetrics;
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;
use replicas::Replicas;
pub(crate) use rules::counters::MAX_UNKNOWN_LABELS;
pub(crate) use rules::registration::Categories;
pub use types::{
    AddedMessages, AppId, AppKey, Commit, CommitContent, Confirmation, DueMessages, DueQuery, FailedMessage, FileId,
    FileMark, GaugeReadings, HourTotals, Hurry, MessageState, NOTED, NewMessage, NewMessages, NewestMessage,
    NewestMessages, NewestQuery, PolledMessage, RECONCILED, ReadFile, Receipt, Reschedule, SeriesTotal, StoredApp,
    StoredGauges, StoredReport, SubjectReadings, SubjectTotals, TrackedMessage, TrackedQuery,
};

/// Error of opening, reading or writing the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A ledger in use by another exporter.
    #[error("another push-exporter uses {0}; stop it, or configure another ledger")]
    InUse(PathBuf),
    /// The lock file cannot be created.
    #[error("cannot lock {path}: {cause}; check that its folder exists and is writable")]
    Lock {
        /// Path of the lock file.
        path: PathBuf,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// A file system that cannot hold a ledger.
    #[error(
        "cannot use {path} on {kind}: {cause}; the ledger needs a local disk, where locks and shared memory work; set, for example, ledger: sqlite:/var/lib/push-exporter/push-exporter.db"
    )]
    NotLocal {
        /// Path of the ledger.
        path: PathBuf,
        /// Name of the file system.
        kind: &'static str,
        /// Error text of the failed operation.
        cause: String,
    },
    /// Restored from a dump, which omits the numbers that identify a ledger.
    #[error(
        "{path} was restored from .dump, which omits its schema number; if the dump was complete and made from this or an earlier release, run sqlite3 {path} 'PRAGMA application_id = {application}; PRAGMA user_version = {schema}' and start again. Copies made with .backup do not need this"
    )]
    Dumped {
        /// Path of the ledger.
        path: PathBuf,
        /// Application id that distinguishes a ledger from other databases.
        application: i64,
        /// Schema number, derived from the tables.
        schema: usize,
    },
    /// Written by a newer release.
    #[error("{path} was written by a newer push-exporter (schema {found}, this one knows {known}); use that release")]
    Newer {
        /// Path of the ledger.
        path: PathBuf,
        /// Schema number of the ledger.
        found: i64,
        /// Newest schema number that this release knows.
        known: i64,
    },
    /// Not a ledger, or a damaged one.
    #[error(
        "{path} is damaged or not a ledger: {detail}; restore a backup without the old -wal and -shm files, or move all three away to start from a new baseline"
    )]
    Damaged {
        /// Path of the ledger.
        path: PathBuf,
        /// Description of the damage.
        detail: String,
    },
    /// A file that cannot be opened at all.
    #[error("cannot open {path}: {cause}; check that it is a file, its permissions, and that the disk has space")]
    Open {
        /// Path of the ledger.
        path: PathBuf,
        /// Error of SQLite.
        cause: rusqlite::Error,
    },
    /// A file that is read-only.
    #[error("{0} cannot be written; check the permissions of the file and of its folder")]
    ReadOnly(PathBuf),
    /// The file cannot be accessed.
    #[error("cannot use {path}: {cause}")]
    File {
        /// Path of the ledger.
        path: PathBuf,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// The file was removed or replaced while open.
    #[error("{0} was removed or replaced while in use; restore it: a restart without it starts from a baseline")]
    Replaced(PathBuf),
    /// SQLite failed.
    #[error("the ledger failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The PostgreSQL server cannot be used, or another exporter uses the ledger in it.
    #[error(transparent)]
    Postgres(#[from] postgres::error::PostgresError),
    /// The app belongs to another replica now.
    #[error("another replica owns this app")]
    NotOwned,
    /// Another process has joined under the name of this replica.
    #[error("another push-exporter with the same replica name has started; give each replica its own replica.name")]
    SameName,
    /// A statement failed on the PostgreSQL server, or the connection to it broke.
    #[error("the database failed: {}", postgres::error::describe(.0))]
    Database(tokio_postgres::Error),
    /// The row of an app is missing.
    #[error("the ledger has forgotten the app; restart the exporter")]
    Forgotten,
    /// Stored labels are invalid.
    #[error("stored labels cannot be read: {0}")]
    Labels(String),
    /// A stored value is invalid.
    #[error(transparent)]
    Unreadable(#[from] watermark::Unreadable),
    /// The last write failed, and writing does not work again yet.
    #[error("the ledger cannot be written at present")]
    Down,
    /// A panic, which is a bug: nothing was written.
    #[error("the ledger panicked; please report this as a bug")]
    Panicked,
    /// The ledger's task has ended.
    #[error("the ledger is closed")]
    Closed,
}

/// Its text has the causes already, so it is no source of the error.
impl From<tokio_postgres::Error> for LedgerError {
    fn from(error: tokio_postgres::Error) -> LedgerError {
        LedgerError::Database(error)
    }
}

/// Storage behind a ledger.
pub trait Store: Send {
    /// Registers the configured apps, claims those that it is to own and that are free, forgets apps that
    /// left the configuration long ago, and returns the stored state.
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<StoredApp>, LedgerError>>;
    /// Commits an answer.
    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>>;
    /// Registers messages, all of them or none.
    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>>;
    /// Returns the messages to poll in the next calls.
    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>>;
    /// Returns those of some messages that are tracked, in any order.
    fn tracked_messages(&mut self, query: TrackedQuery) -> BoxFuture<'_, Result<Vec<TrackedMessage>, LedgerError>>;
    /// Returns the newest tracked messages, the newest first.
    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>>;
    /// Limits due times to a schedule.
    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Does the daily upkeep of a configured app: deletes some expired tombstones of retired messages. Returns true if
    /// there may be more of them.
    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>>;
    /// Stores the totals of deliveries of apps for an hour (in Unix hours), unless the hour has some, and skips apps of other
    /// replicas. Returns those of the last 24 hours, and of the days before those of the same hour, the oldest first.
    fn note_hour(&mut self, apps: Vec<AppId>, hour: i64) -> BoxFuture<'_, Result<Vec<HourTotals>, LedgerError>>;
    /// Records that series show their totals from now on.
    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Writes a meaningless value, to check that writing works.
    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Checks every page of the store, concurrently with other work.
    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>>;
    /// Returns the size on disk in bytes.
    fn size(&self) -> u64;
    /// Starts to share the ledger with other replicas, if it is one that can be shared. Counts renewals of the lease.
    fn share(&mut self, renewals: IntCounter) -> Option<Replicas> {
        drop(renewals);
        None
    }
    /// Releases apps, which have left the page.
    fn hand_over(&mut self, apps: Vec<AppId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        drop(apps);
        Box::pin(async { Ok(()) })
    }
    /// Returns the numbers of an app's messages, and the totals that a registration may have changed.
    fn registered(&mut self, app: AppId) -> BoxFuture<'_, Result<AddedMessages, LedgerError>> {
        let _ = app;
        Box::pin(async { Err(LedgerError::NotOwned) })
    }
    /// Leaves the fleet, after everything is written.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// The ledger's task.
pub type LedgerHandle = tokio::task::JoinHandle<()>;

/// Handle to the ledger's task.
#[derive(Clone)]
pub struct Ledger {
    requests: mpsc::Sender<LedgerRequest>,
    up: watch::Receiver<bool>,
    errors: IntCounter,
    turns: Arc<Semaphore>,
}

enum LedgerRequest {
    Register(Vec<AppKey>, Timestamp, oneshot::Sender<Result<Vec<StoredApp>, LedgerError>>),
    Commit(Box<Commit>, oneshot::Sender<Result<Receipt, LedgerError>>),
    Add(Vec<NewMessages>, oneshot::Sender<Result<Vec<AddedMessages>, LedgerError>>),
    Due(DueQuery, oneshot::Sender<Result<DueMessages, LedgerError>>),
    Tracked(TrackedQuery, oneshot::Sender<Result<Vec<TrackedMessage>, LedgerError>>),
    Newest(NewestQuery, oneshot::Sender<Result<Vec<SentMessage>, LedgerError>>),
    Reschedule(Reschedule, oneshot::Sender<Result<(), LedgerError>>),
    Upkeep(AppId, Timestamp, oneshot::Sender<Result<bool, LedgerError>>),
    NoteHour(Vec<AppId>, i64, oneshot::Sender<Result<Vec<HourTotals>, LedgerError>>),
    Release(Vec<SeriesId>, oneshot::Sender<Result<(), LedgerError>>),
    HandOver(Vec<AppId>, oneshot::Sender<Result<(), LedgerError>>),
    Registered(AppId, oneshot::Sender<Result<AddedMessages, LedgerError>>),
}

/// Maximum number of requests that wait for the ledger.
const QUEUE: usize = 64;
/// Maximum number of answers that are interpreted, committed and shown at once. Others wait as the provider sent them, which
/// takes a fraction of the memory when thousands of apps are polled at the same time.
const TURNS: usize = 32;
/// Retry interval of a ledger that failed.
const PROBE: Duration = Duration::from_secs(5);

impl Ledger {
    /// Starts the task that owns `store`. The task ends when the last `Ledger` is dropped and everything is written.
    pub fn start(store: Box<dyn Store>, metrics: LedgerMetrics) -> (Ledger, LedgerHandle) {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (up, is_up) = watch::channel(true);
        metrics.up.set(1);
        metrics.size.set(i64::try_from(store.size()).unwrap_or(i64::MAX));
        let errors = metrics.errors.clone();
        let task = tokio::spawn(LedgerTask { store, metrics, up, version: 0, is_damaged: false }.run(queue));
        (Ledger { requests, up: is_up, errors, turns: Arc::new(Semaphore::new(TURNS)) }, task)
    }

    /// Waits until an answer may be interpreted and committed; hold the result until that is done.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.turns.acquire().await.ok()
    }

    /// See [`Store::register`].
    ///
    /// # Errors
    /// A ledger that cannot be read or written.
    pub async fn register(&self, apps: Vec<AppKey>, now: Timestamp) -> Result<Vec<StoredApp>, LedgerError> {
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

    /// See [`Store::tracked_messages`].
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub async fn tracked_messages(&self, query: TrackedQuery) -> Result<Vec<TrackedMessage>, LedgerError> {
        self.request(|reply| LedgerRequest::Tracked(query, reply)).await
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

    /// See [`Store::note_hour`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn note_hour(&self, apps: Vec<AppId>, hour: i64) -> Result<Vec<HourTotals>, LedgerError> {
        self.request(|reply| LedgerRequest::NoteHour(apps, hour, reply)).await
    }

    /// See [`Store::release`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn release(&self, series: Vec<SeriesId>) -> Result<(), LedgerError> {
        self.request(|reply| LedgerRequest::Release(series, reply)).await
    }

    /// See [`Store::hand_over`].
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn hand_over(&self, apps: Vec<AppId>) -> Result<(), LedgerError> {
        self.request(|reply| LedgerRequest::HandOver(apps, reply)).await
    }

    /// See [`Store::registered`].
    ///
    /// # Errors
    /// A ledger that cannot be read, or an app of another replica.
    pub async fn registered(&self, app: AppId) -> Result<AddedMessages, LedgerError> {
        self.request(|reply| LedgerRequest::Registered(app, reply)).await
    }

    /// Counts an unreadable stored value as an error of the ledger.
    pub fn note_unreadable(&self) {
        self.errors.inc();
    }

    /// Returns a receiver of the ledger's state: true if the last write succeeded. Changes wake it.
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
    /// True after damage, which remains even if other parts of the file can be written.
    is_damaged: bool,
}

impl LedgerTask {
    async fn run(mut self, mut queue: mpsc::Receiver<LedgerRequest>) {
        loop {
            let is_down = !*self.up.borrow() && !self.is_damaged;
            tokio::select! {
                request = queue.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => break,
                },
                () = tokio::time::sleep(PROBE), if is_down => {
                    let result = self.store.probe().await;
                    self.note(&result);
                }
            }
        }
        self.store.close().await;
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
            LedgerRequest::Tracked(query, reply) => {
                let result = self.store.tracked_messages(query).await;
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
            LedgerRequest::NoteHour(apps, hour, reply) => {
                let result = self.store.note_hour(apps, hour).await;
                self.reply(result, reply);
            }
            LedgerRequest::Release(series, reply) => {
                let result = self.store.release(series).await;
                self.reply(result, reply);
            }
            LedgerRequest::HandOver(apps, reply) => {
                let result = self.store.hand_over(apps).await;
                self.reply(result, reply);
            }
            LedgerRequest::Registered(app, reply) => {
                let mut result = self.store.registered(app).await;
                if let Ok(added) = &mut result {
                    added.state.version = version;
                }
                self.reply_to_reader(result, reply);
            }
        }
    }

    /// Records the result of a write and returns it to the caller. The caller may be gone; the write remains.
    fn reply<T>(&mut self, result: Result<T, LedgerError>, reply: oneshot::Sender<Result<T, LedgerError>>) {
        self.note(&result);
        let _ = reply.send(result);
    }

    /// Returns the result of a read to the caller, and records only a failure: a successful read does not show that
    /// writing works.
    fn reply_to_reader<T>(&mut self, result: Result<T, LedgerError>, reply: oneshot::Sender<Result<T, LedgerError>>) {
        if result.is_err() {
            self.note(&result);
        }
        let _ = reply.send(result);
    }

    /// Sets `up` by the result of the last write, and logs each change once.
    fn note<T>(&mut self, result: &Result<T, LedgerError>) {
        self.is_damaged |= matches!(result, Err(LedgerError::Damaged { .. }));
        // A row that is invalid, panics, or belongs to another replica, affects its app only.
        let is_of_an_app = |error: &LedgerError| {
            matches!(error, LedgerError::Unreadable(_) | LedgerError::Panicked | LedgerError::NotOwned)
        };
        let works = !self.is_damaged && result.as_ref().map_or_else(is_of_an_app, |_| true);
        if let Err(error) = result {
            self.metrics.errors.inc();
            if matches!(error, LedgerError::Panicked) {
                self.metrics.panics.inc();
            }
            tracing::debug!(error = error.to_string(), "ledger request failed");
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
            (true, _) => tracing::info!("the ledger can be written again; polling resumes"),
            (false, _) => {}
        }
    }
}
