//! The ledger in a SQLite file: write-ahead log, every commit synced to disk, an operating-system lock
//! against a second exporter. How an answer is written is in `entry.rs`.

#![expect(clippy::disallowed_methods, reason = "runs at the start, or on blocking threads")]

use parking_lot::Mutex;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::ledger::books::{self, Books, stored_series};
use crate::ledger::entry::{self, CommitWriter};
use crate::ledger::hook::{self, Did};
use crate::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, LedgerError, NewMessages, NewestQuery, Receipt,
    Reschedule, Restored, Store, StoredGauges, StoredReport, files, messages, place,
};
use crate::metrics::catalog::Family;
use crate::model::reading::{SentMessage, SeriesId};
use crate::model::window::Unit;
use crate::util::future::BoxFuture;

/// Every step from one schema to the next; `user_version` counts those applied.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];
/// `push` in ASCII: tells a ledger from any other SQLite file.
const APPLICATION_ID: i64 = 0x7075_7368;
/// Bytes that the write-ahead log keeps when nobody needs it: what SQLite lets it grow to by itself.
const LARGEST_LOG: i64 = 4 * 1024 * 1024;
/// An app that left the configuration is forgotten after this many days.
const DAYS_KEPT: i64 = 90;
pub(super) const DAY_MS: i64 = 86_400_000;

/// A ledger in a SQLite file.
pub struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// The file itself. Never closed before the connection: with any descriptor of it that a process closes, all its
    /// POSIX locks on it are gone, SQLite's too, and another program would take the log for its own.
    file: Arc<File>,
    /// Bytes on disk after the last piece of work, noted where it was done: looking at a disk may hang.
    size: Arc<AtomicU64>,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Sqlite {
    /// Opens or creates the file. Takes no longer for a large one.
    ///
    /// # Errors
    /// In use, damaged, newer, or not to be opened or written.
    pub fn open(path: &Path) -> Result<Sqlite, LedgerError> {
        let opened = Sqlite::open_anywhere(path);
        let Some(kind) = place::not_local(path) else { return opened };
        opened.map_err(|error| elsewhere(error, path, kind)).inspect(|_| {
            let ledger = path.display().to_string();
            tracing::warn!(ledger, kind, "the ledger is on a network or FUSE file system, where SQLite's locks are not reliable; move it to a local disk");
        })
    }

    fn open_anywhere(path: &Path) -> Result<Sqlite, LedgerError> {
        let path = &target(path)?;
        let lock = lock(path)?;
        if is_missing(path)? {
            create(path).map_err(|error| explain(error, path))?;
            let ledger = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            tracing::warn!(
                ledger = ledger.display().to_string(),
                "a new ledger was made; counters begin from a baseline"
            );
        }
        let connection = prepare(path).map_err(|error| explain(error, path))?;
        let file = File::open(path).map_err(|cause| LedgerError::File { path: path.into(), cause })?;
        let (connection, file) = (Arc::new(Mutex::new(connection)), Arc::new(file));
        let size = Arc::new(AtomicU64::new(size_on_disk(path)));
        Ok(Sqlite { path: path.into(), connection, file, size, _lock: lock })
    }

    /// Runs `work` in a transaction on a blocking thread. `did` tells what its result has changed, which
    /// is where a crash would hurt.
    fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
        did: fn(&T) -> Did,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        self.locked(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            hook::before_commit(did(&result));
            transaction.commit()?;
            hook::after_commit(did(&result));
            Ok(result)
        })
    }

    /// Runs `work` in a transaction that writes nothing.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        self.locked(move |connection| work(&connection.transaction_with_behavior(TransactionBehavior::Deferred)?))
    }

    fn locked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        let (connection, path, file) = (Arc::clone(&self.connection), self.path.clone(), Arc::clone(&self.file));
        let size = Arc::clone(&self.size);
        Box::pin(async move {
            let worked = tokio::task::spawn_blocking(move || {
                look(&path, &file)?;
                let result = work(&mut connection.lock());
                size.store(size_on_disk(&path), Ordering::Relaxed);
                result.map_err(|error| if is_damage(&error) { explain(error, &path) } else { error })
            });
            worked.await.unwrap_or(Err(LedgerError::Panicked))
        })
    }
}

/// Sees what SQLite does not while it has a file open and its pages in memory: that the file is not there any
/// more, or was written over by somebody else.
fn look(path: &Path, file: &File) -> Result<(), LedgerError> {
    let inode = |meta: std::io::Result<Metadata>| meta.map(|meta| (meta.dev(), meta.ino())).ok();
    if inode(std::fs::metadata(path)) != inode(file.metadata()) {
        return Err(LedgerError::Replaced(path.into()));
    }
    if is_sound(file) {
        return Ok(());
    }
    // Another program's checkpoint writes the header before the pages that it tells of.
    std::thread::sleep(Duration::from_secs(1));
    let detail = "it was written over while in use".to_owned();
    if is_sound(file) { Ok(()) } else { Err(LedgerError::Damaged { path: path.into(), detail }) }
}

/// Whether a file begins as a database does and has all of its pages (Database File Format, 1.3).
fn is_sound(file: &File) -> bool {
    let mut header = [0; 100];
    let read = file.read_exact_at(&mut header, 0).and_then(|()| file.metadata());
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    read.is_ok_and(|meta| header.starts_with(b"SQLite format 3\0") && pages * page <= meta.len())
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let name = beside(path, ".lock");
    let failed = |cause| LedgerError::Lock { path: name.clone(), cause };
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::InUse(path.into())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The file itself, where `path` is a link: SQLite keeps its log beside that, and two exporters must meet there.
fn target(path: &Path) -> Result<PathBuf, LedgerError> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        // Whatever a link leads to that is not there now, a fresh ledger in its place would not be it.
        Err(cause) if std::fs::symlink_metadata(path).is_ok() => Err(LedgerError::File { path: path.into(), cause }),
        Err(_) => Ok(path.into()),
    }
}

/// Whether there is no ledger yet. What is left of one, or was cut to nothing, is not taken for that.
fn is_missing(path: &Path) -> Result<bool, LedgerError> {
    let damaged = |detail: &str| LedgerError::Damaged { path: path.into(), detail: detail.to_owned() };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() == 0 => Err(damaged("it is empty")),
        Ok(_) => Ok(false),
        Err(_) if has_log(path) => Err(damaged("the file is gone and its write-ahead log (-wal) is there")),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Ok(true),
            _ => Err(LedgerError::File { path: path.into(), cause: error }),
        },
    }
}

/// Whether there is a write-ahead log that has not been taken into the file.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// A file of the ledger beside its main one.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Makes an empty ledger under another name first: a crash leaves all of it or nothing.
fn create(path: &Path) -> Result<(), LedgerError> {
    let new = beside(path, ".new");
    let _ = std::fs::remove_file(&new);
    let connection = Connection::open(&new)?;
    migrate(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    std::fs::rename(&new, path).map_err(|cause| LedgerError::File { path: path.into(), cause })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Some file systems cannot; then a power cut may leave no ledger, which is as before.
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(error = error.to_string(), "the folder of the ledger cannot be synced");
    }
    Ok(())
}

fn migrate(connection: &Connection) -> Result<(), LedgerError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
            done + 1
        ))?;
    }
    Ok(())
}

fn is_damage(error: &LedgerError) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error, LedgerError::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
}

/// What an error of SQLite means for the ledger as a whole.
fn explain(error: LedgerError, path: &Path) -> LedgerError {
    let is_damage = is_damage(&error);
    match error {
        LedgerError::Sqlite(source) if is_damage => {
            LedgerError::Damaged { path: path.into(), detail: source.to_string() }
        }
        LedgerError::Sqlite(source) if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) => {
            LedgerError::ReadOnly(path.into())
        }
        LedgerError::Sqlite(cause) => LedgerError::Open { path: path.into(), cause },
        other => other,
    }
}

/// Explains an error on a network or FUSE file system.
fn elsewhere(error: LedgerError, path: &Path, kind: &'static str) -> LedgerError {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    let cause = match error {
        LedgerError::Lock { ref cause, .. } | LedgerError::File { ref cause, .. }
            if [NotFound, PermissionDenied, ReadOnlyFilesystem].contains(&cause.kind()) =>
        {
            return error;
        }
        LedgerError::Open { cause, .. } | LedgerError::Sqlite(cause) => cause.to_string(),
        LedgerError::Lock { cause, .. } | LedgerError::File { cause, .. } => cause.to_string(),
        other => return other,
    };
    LedgerError::NotLocal { path: path.into(), kind, cause }
}

/// The schema of a ledger that has lost its number, by what each migration has brought; `None` if it is no ledger.
fn schema_by_tables(connection: &Connection) -> Result<Option<usize>, LedgerError> {
    const BROUGHT: [(&str, &str); MIGRATIONS.len()] = [
        ("series", "held_until"),
        ("message", "watermark"),
        ("file_mark", "awaited"),
        ("app", "created"),
        ("app", "clock_confirmed"),
        ("unknown_field", "field"),
    ];
    let mut has = connection.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?;
    let mut schema = None;
    for (index, column) in BROUGHT.into_iter().enumerate() {
        if !has.exists(column)? {
            break;
        }
        schema = Some(index + 1);
    }
    Ok(schema)
}

/// Opens a ledger that is there and brings it to the schema of this release.
fn prepare(path: &Path) -> Result<Connection, LedgerError> {
    let is_whole = !has_log(path);
    let length = std::fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
    let connection = Connection::open(path)?;
    if connection.is_readonly("main")? {
        return Err(LedgerError::ReadOnly(path.into()));
    }
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let damaged = |detail: &str| Err(LedgerError::Damaged { path: path.into(), detail: detail.to_owned() });
    if id != APPLICATION_ID {
        return match schema_by_tables(&connection)? {
            Some(schema) if (id, version) == (0, 0) => {
                Err(LedgerError::Dumped { path: path.into(), application: APPLICATION_ID, schema })
            }
            _ => damaged("it is a database of another program"),
        };
    }
    // SQLite would take what is missing of the last page for zeros.
    if is_whole && !length.is_multiple_of(u64::from(page)) {
        return damaged("it is cut short");
    }
    if version > known {
        return Err(LedgerError::Newer { path: path.into(), found: version, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A program that reads for long keeps the log from being taken into the file; afterwards it is cut again.
    connection.pragma_update(None, "journal_size_limit", LARGEST_LOG)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&connection)?;
    Ok(connection)
}

impl Store for Sqlite {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<Restored>, LedgerError>> {
        self.transact(
            move |transaction| {
                let last_seen: Option<i64> =
                    transaction.query_row("SELECT max(last_seen) FROM app", [], |row| row.get(0))?;
                let last_seen = last_seen.filter(|seen| *seen > 0).map(time);
                let restored = apps.iter().map(|app| register(transaction, app, now, last_seen)).collect();
                // A clock that is ahead at the start must not end what the ledger remembers.
                let sure = last_seen.map_or(now, |seen| seen.min(now));
                transaction.execute("DELETE FROM app WHERE last_configured < ?1", [ms(sure) - DAYS_KEPT * DAY_MS])?;
                restored
            },
            |_| Did::Nothing,
        )
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        self.transact(
            move |transaction| CommitWriter { transaction, commit: &commit }.write(),
            |receipt| if receipt.has_new_numbers { Did::Count } else { Did::Nothing },
        )
    }

    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>> {
        self.transact(
            move |transaction| new.iter().map(|new| messages::add(transaction, new)).collect(),
            |added: &Vec<AddedMessages>| {
                if added.iter().any(|added| added.new > 0) { Did::Register } else { Did::Nothing }
            },
        )
    }

    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>> {
        self.read(move |transaction| messages::due(transaction, &query))
    }

    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>> {
        self.read(move |transaction| messages::newest(transaction, &query))
    }

    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.transact(move |transaction| messages::reschedule(transaction, &change), |()| Did::Nothing)
    }

    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>> {
        self.transact(move |transaction| messages::upkeep(transaction, app, now), |_| Did::Nothing)
    }

    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.transact(move |transaction| books::release(transaction, &series), |()| Did::Nothing)
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        // As much as a large answer, or a disk that is all but full would seem to work.
        self.transact(
            |transaction| {
                transaction.execute("INSERT OR REPLACE INTO probe VALUES (1, randomblob(65536))", [])?;
                Ok(())
            },
            |()| Did::Nothing,
        )
    }

    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        let path = self.path.clone();
        Box::pin(async move {
            let checked = tokio::task::spawn_blocking(move || {
                let check = || -> Result<String, LedgerError> {
                    let connection = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                    Ok(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)
                };
                let verdict = check().map_err(|error| explain(error, &path))?;
                if verdict == "ok" { Ok(()) } else { Err(LedgerError::Damaged { path, detail: verdict }) }
            });
            checked.await.unwrap_or(Err(LedgerError::Panicked))
        })
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}

fn size_on_disk(path: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    length(path) + length(&beside(path, "-wal"))
}

/// Makes an app known and reads what is stored of it. An account that changed starts with a baseline,
/// while the totals go on.
fn register(
    transaction: &Transaction<'_>,
    app: &AppKey,
    now: Timestamp,
    last_seen: Option<Timestamp>,
) -> Result<Restored, LedgerError> {
    let stored: Option<(AppId, String)> = transaction
        .query_row(
            "SELECT id, account FROM app WHERE provider = ?1 AND name = ?2",
            params![app.provider, app.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let is_new = stored.as_ref().is_none_or(|(_, account)| *account != app.account);
    let id = match stored {
        None => {
            transaction.execute(
                "INSERT INTO app (provider, name, account, first_known, last_configured, created, clock_confirmed) \
                 VALUES (?1, ?2, ?3, ?4, ?4, ?4, FALSE)",
                params![app.provider, app.name, app.account, ms(now)],
            )?;
            transaction.last_insert_rowid()
        }
        Some((id, _)) => {
            if is_new {
                tracing::warn!(
                    provider = app.provider,
                    app = app.name,
                    "the account has changed; its counters go on from a new baseline"
                );
                transaction.execute(
                    "UPDATE app SET account = ?2, first_known = ?3, clock_confirmed = FALSE WHERE id = ?1",
                    params![id, app.account, ms(now)],
                )?;
                for table in ["subject", "report", "window_gauge", "newest_message"] {
                    transaction.execute(&format!("DELETE FROM {table} WHERE app = ?1"), [id])?;
                }
                // Message ids stay, whichever account they are of: forgotten, they would count again when a
                // wrong account is set right.
                messages::rebase(transaction, id, now)?;
            }
            transaction.execute("UPDATE app SET last_configured = ?2 WHERE id = ?1", params![id, ms(now)])?;
            id
        }
    };
    if let Some(delivery) = app.delivery {
        let changed = transaction
            .execute("UPDATE app SET delivery = ?2 WHERE id = ?1 AND delivery <> ?2", params![id, delivery])?;
        if changed > 0 {
            messages::move_waiting(transaction, id, delivery, now)?;
        }
    }
    let mut books = Books::open(transaction, id, "", now, Duration::ZERO)?;
    for (family, labels) in &app.counters {
        books.count(*family, labels, 0)?;
    }
    books.close()?;
    Ok(Restored { is_new, last_seen, ..restore(transaction, id)? })
}

fn restore(transaction: &Transaction<'_>, id: AppId) -> Result<Restored, LedgerError> {
    let mut reports = collect(
        transaction,
        "SELECT report, due, last_success, last_change, memory FROM report WHERE app = ?1",
        id,
        |row| {
            Ok(StoredReport {
                report: row.get(0)?,
                due: row.get::<_, Option<i64>>(1)?.map(time),
                last_success: row.get::<_, Option<i64>>(2)?.map(time),
                last_change: row.get::<_, Option<i64>>(3)?.map(time),
                state: row.get(4)?,
                newest: Vec::new(),
                is_failing: false,
            })
        },
    )?;
    for report in &mut reports {
        report.newest = messages::read_newest(transaction, id, &report.report)?;
        report.is_failing = messages::failing(transaction, id, &report.report)? > 0;
    }
    let series = collect(
        transaction,
        "SELECT id, family, labels, total, held_until, shown FROM series WHERE app = ?1 ORDER BY family, labels",
        id,
        stored_series,
    )?;
    let series = series.into_iter().flatten().collect();
    let keys: Vec<(String, String, String, i64)> =
        collect(transaction, "SELECT report, department, unit, ends FROM window_gauge WHERE app = ?1", id, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let mut gauges = Vec::new();
    for (report, department, unit, ends) in keys {
        let Some(unit) = Unit::from_name(&unit) else { continue };
        gauges.push(stored_gauges(transaction, id, &report, &department, unit, time(ends))?);
    }
    let unknown =
        collect(transaction, "SELECT report, count(*) FROM unknown_name WHERE app = ?1 GROUP BY report", id, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let is_full = entry::names_are_full(&unknown) || books::fields_are_full(transaction, id)?;
    let messages = messages::state(transaction, id)?;
    let files = files::kept(transaction, id)?;
    let created = transaction.query_row("SELECT created FROM app WHERE id = ?1", [id], |row| row.get(0).map(time))?;
    Ok(Restored {
        id,
        created,
        reports,
        series,
        gauges,
        unknown,
        is_full,
        messages,
        files,
        is_new: false,
        last_seen: None,
    })
}

pub(super) fn stored_gauges(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    department: &str,
    unit: Unit,
    end: Timestamp,
) -> Result<StoredGauges, LedgerError> {
    let mut statement = transaction.prepare_cached(
        "SELECT family, labels, value FROM window_gauge_value WHERE app = ?1 AND report = ?2 AND department = ?3 AND unit = ?4",
    )?;
    let rows = statement.query_map(params![app, report, department, unit.name()], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    let mut values = Vec::new();
    for row in rows {
        let (family, labels, value) = row?;
        values.extend(Family::from_name(&family).map(|family| (family, labels, value)));
    }
    Ok(StoredGauges { report: report.to_owned(), department: department.to_owned(), unit, end, values })
}

fn collect<T>(
    transaction: &Transaction<'_>,
    query: &str,
    app: AppId,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    let mut statement = transaction.prepare(query)?;
    let rows = statement.query_map([app], read)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

pub(super) fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn span_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_is_cut_when_nobody_reads_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("push-exporter.db");
        let mut ledger = Sqlite::open(&path).unwrap();
        let log = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM app;").unwrap();
        let held: i64 = reader.query_row("SELECT count(*) FROM app", [], |row| row.get(0)).unwrap();
        assert_eq!(held, 0);
        for _ in 0..200 {
            ledger.probe().await.unwrap();
        }
        assert!(log() > 12_000_000, "{} bytes", log());
        reader.execute_batch("COMMIT").unwrap();
        for _ in 0..2 {
            ledger.probe().await.unwrap();
        }
        assert!(log() <= LARGEST_LOG.unsigned_abs(), "{} bytes", log());
        assert_eq!(ledger.size(), size_on_disk(&path));
    }

    #[test]
    fn a_ledger_that_was_dumped_is_told_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        for schema in 1..=MIGRATIONS.len() {
            let path = folder.path().join(format!("{schema}.db"));
            let connection = Connection::open(&path).unwrap();
            MIGRATIONS[..schema].iter().for_each(|migration| connection.execute_batch(migration).unwrap());
            drop(connection);
            let said = Sqlite::open(&path).err().unwrap().to_string();
            let advice = format!("'PRAGMA application_id = 1886745448; PRAGMA user_version = {schema}'");
            assert!(said.contains("was restored from .dump") && said.contains(&advice), "{said}");
            let repair = said.split('\'').nth(1).unwrap();
            Connection::open(&path).unwrap().execute_batch(repair).unwrap();
            assert!(Sqlite::open(&path).is_ok(), "the advice works");
        }
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE series (id)").unwrap();
        assert!(Sqlite::open(&other).err().unwrap().to_string().contains("a database of another program"));
    }

    #[test]
    fn what_fails_on_a_network_is_no_matter_of_rights() {
        let path = Path::new("/mnt/push-exporter.db");
        let failed = || std::io::Error::from_raw_os_error(libc::EIO);
        for error in [
            LedgerError::Lock { path: path.into(), cause: failed() },
            LedgerError::File { path: path.into(), cause: failed() },
            explain(LedgerError::Sqlite(rusqlite::Error::ExecuteReturnedResults), path),
        ] {
            let said = crate::util::error::error_chain(&elsewhere(error, path, "NFS"));
            assert!(said.starts_with("cannot use /mnt/push-exporter.db on NFS: "), "{said}");
            assert!(said.contains("the ledger needs a local disk") && !said.contains("rights"), "{said}");
        }
        let denied = std::io::Error::from_raw_os_error(libc::EACCES);
        let said = elsewhere(LedgerError::Lock { path: path.into(), cause: denied }, path, "FUSE").to_string();
        assert!(said.contains("may be written") && !said.contains("local disk"), "{said}");
        let said = elsewhere(LedgerError::InUse(path.into()), path, "NFS").to_string();
        assert!(said.starts_with("another push-exporter uses"), "{said}");
        // Otherwise, the cause stands in it once.
        let said = crate::util::error::error_chain(&LedgerError::Open {
            path: path.into(),
            cause: rusqlite::Error::InvalidQuery,
        });
        assert_eq!(said.matches(&rusqlite::Error::InvalidQuery.to_string()).count(), 1, "{said}");
    }
}
