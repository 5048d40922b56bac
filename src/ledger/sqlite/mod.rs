//! The ledger in a SQLite file: write-ahead log, every commit synced to disk, an operating-system lock against a second
//! exporter. The file itself is in `file.rs`; `load.rs` and `commit.rs` load and write what a commit needs and changes.

#![expect(clippy::disallowed_methods, reason = "runs at the start, or on blocking threads")]

mod app;
pub mod backup;
mod commit;
pub(in crate::ledger) mod copy;
mod file;
mod file_marks;
mod file_system;
mod hours;
mod load;
mod messages;
pub(super) mod read_only;
mod series;
mod stored_labels;
mod window_gauges;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::ledger::crash_points::{self, Did};
use crate::ledger::rules::retention;
use crate::ledger::sqlite::file::{
    create, elsewhere, explain, is_damage, is_missing, lock, look, prepare, size_on_disk, target,
};
use crate::ledger::time::{DAY_MS, ms, time};
use crate::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, HourTotals, LedgerError, NewMessages, NewestQuery,
    Receipt, Reschedule, Store, StoredApp, TrackedMessage, TrackedQuery,
};
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;

/// A ledger in a SQLite file.
pub struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// The open file. It is never closed before the connection: closing any descriptor of a file releases all POSIX
    /// locks of the process on it, including SQLite's, and another program would then use the log as its own.
    file: Arc<File>,
    /// Bytes on disk after the last request, measured on its blocking thread because looking at a disk may hang.
    size: Arc<AtomicU64>,
    /// Lock file, held while the ledger is open.
    _lock: File,
}

impl Sqlite {
    /// Opens or creates the file. A large file takes no longer than a small one.
    ///
    /// # Errors
    /// A ledger that is in use, damaged, of a newer release, or cannot be opened or written.
    pub fn open(path: &Path) -> Result<Sqlite, LedgerError> {
        Sqlite::open_or_create(path, |path| {
            let ledger = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let ledger = ledger.display().to_string();
            tracing::warn!(ledger, "created a new ledger; counters start from a baseline");
        })
    }

    /// Opens or creates the file, and calls `created` with the path of a new one.
    fn open_or_create(path: &Path, created: fn(&Path)) -> Result<Sqlite, LedgerError> {
        let opened = Sqlite::open_anywhere(path, created);
        let Some(kind) = file_system::not_local(path) else { return opened };
        opened.map_err(|error| elsewhere(error, path, kind)).inspect(|_| {
            let ledger = path.display().to_string();
            tracing::warn!(ledger, kind, "the ledger is on a network or FUSE file system, where SQLite's locks are not reliable; move it to a local disk");
        })
    }

    fn open_anywhere(path: &Path, created: fn(&Path)) -> Result<Sqlite, LedgerError> {
        let path = &target(path)?;
        let lock = lock(path)?;
        if is_missing(path)? {
            create(path).map_err(|error| explain(error, path))?;
            created(path);
        }
        let connection = prepare(path).map_err(|error| explain(error, path))?;
        let file = File::open(path).map_err(|cause| LedgerError::File { path: path.into(), cause })?;
        let (connection, file) = (Arc::new(Mutex::new(connection)), Arc::new(file));
        let size = Arc::new(AtomicU64::new(size_on_disk(path)));
        Ok(Sqlite { path: path.into(), connection, file, size, _lock: lock })
    }

    /// Runs `work` on the connection, on the calling thread, which may block.
    fn with_connection<T>(&mut self, work: impl FnOnce(&mut Connection) -> T) -> T {
        work(&mut self.connection.lock())
    }

    /// Runs `work` in a transaction on a blocking thread. `did` returns the effect of its result that matters for a
    /// crash.
    fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
        did: fn(&T) -> Did,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        self.locked(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            crash_points::before_commit(did(&result));
            transaction.commit()?;
            crash_points::after_commit(did(&result));
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

impl Store for Sqlite {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<StoredApp>, LedgerError>> {
        self.transact(
            move |transaction| {
                let last_seen: Option<i64> =
                    transaction.query_row("SELECT max(last_seen) FROM app", [], |row| row.get(0))?;
                let last_seen = last_seen.filter(|seen| *seen > 0).map(time);
                let restored = apps.iter().map(|app| app::register(transaction, app, now, last_seen)).collect();
                // A clock that is ahead at the start must not delete what the ledger remembers.
                let sure = last_seen.map_or(now, |seen| seen.min(now));
                transaction
                    .execute("DELETE FROM app WHERE last_configured < ?1", [ms(sure) - retention::APP_DAYS * DAY_MS])?;
                restored
            },
            |_| Did::Nothing,
        )
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        self.transact(
            move |transaction| commit::write(transaction, &commit),
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

    fn tracked_messages(&mut self, query: TrackedQuery) -> BoxFuture<'_, Result<Vec<TrackedMessage>, LedgerError>> {
        self.read(move |transaction| messages::tracked(transaction, &query))
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

    fn note_hour(&mut self, apps: Vec<AppId>, hour: i64) -> BoxFuture<'_, Result<Vec<HourTotals>, LedgerError>> {
        self.transact(move |transaction| hours::note(transaction, &apps, hour), |_| Did::Nothing)
    }

    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.transact(move |transaction| series::release(transaction, &series), |()| Did::Nothing)
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        // As much as a large answer: a small write may succeed on an almost full disk.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    use crate::ledger::sqlite::file::{LARGEST_LOG, MIGRATIONS, beside};

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

    /// A ledger as a kill leaves it that hits a checkpoint just after the header: the header tells of pages that only the
    /// log has.
    fn killed_in_a_checkpoint(folder: &Path) -> PathBuf {
        let [used, killed] = ["used.db", "killed.db"].map(|name| folder.join(name));
        drop(Sqlite::open(&used).unwrap());
        let writer = Connection::open(&used).unwrap();
        writer
            .execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO probe VALUES (1, randomblob(200000))")
            .unwrap();
        std::fs::copy(&used, &killed).unwrap();
        std::fs::copy(beside(&used, "-wal"), beside(&killed, "-wal")).unwrap();
        // The newest header, as the checkpoint would have written it.
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let checkpointed = std::fs::read(&used).unwrap();
        let file = File::options().write(true).open(&killed).unwrap();
        file.write_all_at(&checkpointed[..4096], 0).unwrap();
        assert!(file.metadata().unwrap().len() + 190_000 < checkpointed.len() as u64);
        killed
    }

    #[tokio::test]
    async fn a_kill_in_a_checkpoint_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = killed_in_a_checkpoint(folder.path());
        let mut ledger = Sqlite::open(&path).unwrap();
        ledger.probe().await.unwrap();
        ledger.check().await.unwrap();
    }

    #[tokio::test]
    async fn pages_that_the_log_does_not_have_either_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = killed_in_a_checkpoint(folder.path());
        let log = File::options().write(true).open(beside(&path, "-wal")).unwrap();
        log.set_len(log.metadata().unwrap().len() / 2).unwrap();
        let probed = match Sqlite::open(&path) {
            Ok(mut ledger) => ledger.probe().await,
            Err(error) => Err(error),
        };
        assert!(matches!(probed, Err(LedgerError::Damaged { .. })), "{probed:?}");
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
            assert!(said.contains("the ledger needs a local disk") && !said.contains("permissions"), "{said}");
        }
        let denied = std::io::Error::from_raw_os_error(libc::EACCES);
        let said = elsewhere(LedgerError::Lock { path: path.into(), cause: denied }, path, "FUSE").to_string();
        assert!(said.contains("is writable") && !said.contains("local disk"), "{said}");
        let said = elsewhere(LedgerError::InUse(path.into()), path, "NFS").to_string();
        assert!(said.starts_with("another push-exporter uses"), "{said}");
        // All other errors contain the cause once.
        let said = crate::util::error::error_chain(&LedgerError::Open {
            path: path.into(),
            cause: rusqlite::Error::InvalidQuery,
        });
        assert_eq!(said.matches(&rusqlite::Error::InvalidQuery.to_string()).count(), 1, "{said}");
    }
}
