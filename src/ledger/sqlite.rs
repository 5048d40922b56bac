//! The ledger in a SQLite file: write-ahead log, every commit synced to disk, an operating-system lock
//! against a second exporter. What is counted is decided in [`super::account`].

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::account::{Change, Mark};
use super::watermark::Watermark;
use super::{
    AppId, AppKey, Commit, GaugeReadings, LedgerError, Receipt, Restored, SeriesTotal, Store, StoredGauges,
    StoredReport, SubjectReadings,
};
use crate::page::families::Family;
use crate::provider::BoxFuture;
use crate::reading::{Label, Metric, SeriesKey};
use crate::window::Unit;

/// Every step from one schema to the next; `user_version` counts those applied.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// `push` in ASCII: tells a ledger from any other SQLite file.
const APPLICATION_ID: i64 = 0x7075_7368;
/// Settled windows whose watermarks are kept for each report, so that a clock that was wrong counts
/// nothing twice.
const WINDOWS_KEPT: i64 = 400;
/// An app that left the configuration is forgotten after this many days.
const DAYS_KEPT: i64 = 90;
const DAY_MS: i64 = 86_400_000;
/// Names that are remembered as unknown for each app and report.
const MAX_UNKNOWN_NAMES: i64 = 1000;
/// Unknown platforms, kinds and channels of an app that become labels of their own.
const MAX_UNKNOWN_LABELS: i64 = 16;

/// A ledger in a SQLite file.
pub struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    inode: u64,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Sqlite {
    /// Opens or creates the file. Takes no longer for a large one.
    ///
    /// # Errors
    /// In use, damaged, newer, or not to be opened.
    pub fn open(path: &Path) -> Result<Sqlite, LedgerError> {
        let lock = lock(path)?;
        let connection = Connection::open(path).map_err(|source| LedgerError::Open { path: path.into(), source })?;
        prepare(&connection, path).map_err(|error| explain(error, path))?;
        let inode = std::fs::metadata(path).map(|meta| meta.ino()).unwrap_or_default();
        Ok(Sqlite { path: path.into(), connection: Arc::new(Mutex::new(connection)), inode, _lock: lock })
    }

    /// Runs `work` in a transaction on a blocking thread.
    fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        let (connection, path, inode) = (Arc::clone(&self.connection), self.path.clone(), self.inode);
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                // SQLite would go on writing to a file that is not there any more.
                if std::fs::metadata(&path).map(|meta| meta.ino()).ok() != Some(inode) {
                    return Err(LedgerError::Replaced(path));
                }
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&transaction)?;
                super::hook::before_commit();
                transaction.commit()?;
                super::hook::after_commit();
                Ok(result)
            });
            written.await.unwrap_or(Err(LedgerError::Closed))
        })
    }
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |source| LedgerError::Lock { path: name.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::InUse(path.into())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn explain(error: LedgerError, path: &Path) -> LedgerError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        LedgerError::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) => {
            LedgerError::Damaged { path: path.into(), detail: error.to_string() }
        }
        LedgerError::Sqlite(source) => LedgerError::Open { path: path.into(), source },
        other => other,
    }
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if tables > 0 && id != APPLICATION_ID {
        let detail = "it is a database of another program".to_owned();
        return Err(LedgerError::Damaged { path: path.into(), detail });
    }
    if version > known {
        return Err(LedgerError::Newer { path: path.into(), found: version, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
            done + 1
        ))?;
    }
    Ok(())
}

impl Store for Sqlite {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<Restored>, LedgerError>> {
        self.transact(move |transaction| {
            let restored = apps.iter().map(|app| register(transaction, app, now)).collect();
            transaction.execute("DELETE FROM app WHERE last_configured < ?1", [ms(now) - DAYS_KEPT * DAY_MS])?;
            restored
        })
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        self.transact(move |transaction| Entry { transaction, commit: &commit, receipt: Receipt::default() }.write())
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.transact(|transaction| {
            transaction.execute("UPDATE app SET last_configured = last_configured", [])?;
            Ok(())
        })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        let path = self.path.clone();
        Box::pin(async move {
            let checked = tokio::task::spawn_blocking(move || {
                let connection = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
                if verdict == "ok" { Ok(()) } else { Err(LedgerError::Damaged { path, detail: verdict }) }
            });
            checked.await.unwrap_or(Err(LedgerError::Closed))
        })
    }

    fn size(&self) -> u64 {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        [self.path.as_path(), Path::new(&log)]
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|meta| meta.len())
            .sum()
    }
}

/// Makes an app known and reads what is stored of it. An account that changed starts with a baseline,
/// while the totals go on.
fn register(transaction: &Transaction<'_>, app: &AppKey, now: Timestamp) -> Result<Restored, LedgerError> {
    let stored: Option<(AppId, String)> = transaction
        .query_row(
            "SELECT id, account FROM app WHERE provider = ?1 AND name = ?2",
            params![app.provider, app.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let id = match stored {
        None => {
            transaction.execute(
                "INSERT INTO app (provider, name, account, first_known, last_configured) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![app.provider, app.name, app.account, ms(now)],
            )?;
            transaction.last_insert_rowid()
        }
        Some((id, account)) => {
            if account != app.account {
                tracing::warn!(
                    provider = app.provider,
                    app = app.name,
                    "the account has changed; its counters go on from a new baseline"
                );
                transaction.execute(
                    "UPDATE app SET account = ?2, first_known = ?3 WHERE id = ?1",
                    params![id, app.account, ms(now)],
                )?;
                for table in ["subject", "report", "window_gauge", "tombstone"] {
                    transaction.execute(&format!("DELETE FROM {table} WHERE app = ?1"), [id])?;
                }
            }
            transaction.execute("UPDATE app SET last_configured = ?2 WHERE id = ?1", params![id, ms(now)])?;
            id
        }
    };
    restore(transaction, id)
}

fn restore(transaction: &Transaction<'_>, id: AppId) -> Result<Restored, LedgerError> {
    let reports = collect(
        transaction,
        "SELECT report, due, last_success, last_change, memory FROM report WHERE app = ?1",
        id,
        |row| {
            Ok(StoredReport {
                report: row.get(0)?,
                due: row.get::<_, Option<i64>>(1)?.map(time),
                last_success: row.get::<_, Option<i64>>(2)?.map(time),
                last_change: row.get::<_, Option<i64>>(3)?.map(time),
                memory: row.get(4)?,
            })
        },
    )?;
    let series = collect(
        transaction,
        "SELECT family, labels, total, held_until FROM series WHERE app = ?1 ORDER BY family, labels",
        id,
        |row| {
            let family: String = row.get(0)?;
            Ok(Family::from_name(&family).map(|family| {
                Ok::<_, rusqlite::Error>(SeriesTotal {
                    family,
                    labels: row.get(1)?,
                    total: row.get(2)?,
                    held_until: time(row.get(3)?),
                })
            }))
        },
    )?;
    let series = series.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
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
    Ok(Restored { id, reports, series, gauges, unknown })
}

fn stored_gauges(
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

/// One answer on its way into the ledger.
struct Entry<'a> {
    transaction: &'a Transaction<'a>,
    commit: &'a Commit,
    receipt: Receipt,
}

/// What a commit adds to each series.
#[derive(Default)]
struct Additions {
    by_series: HashMap<i64, i64>,
    new_series: Vec<i64>,
}

impl Additions {
    fn add(&mut self, series: i64, count: i64) {
        let sum = self.by_series.entry(series).or_default();
        *sum = sum.saturating_add(count);
    }
}

impl Entry<'_> {
    fn write(mut self) -> Result<Receipt, LedgerError> {
        let first_known: i64 =
            self.transaction
                .query_row("SELECT first_known FROM app WHERE id = ?1", [self.commit.app], |row| row.get(0))?;
        let mut additions = Additions::default();
        for subject in &self.commit.subjects {
            self.subject(subject, ms(subject.began) < first_known, &mut additions)?;
        }
        self.add(additions)?;
        for gauge in &self.commit.gauges {
            let stored = self.gauges(gauge)?;
            self.receipt.gauges.push(stored);
        }
        self.unknown_names()?;
        self.report()?;
        Ok(self.receipt)
    }

    /// Takes the readings of one subject. `is_before` says that it began before the ledger knew the app.
    fn subject(
        &mut self,
        subject: &SubjectReadings,
        is_before: bool,
        additions: &mut Additions,
    ) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let stored: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT watermark FROM subject WHERE app = ?1 AND report = ?2 AND subject = ?3")?
            .query_row(params![app, report, subject.subject], |row| row.get(0))
            .optional()?;
        let mut watermark = stored.as_deref().map(Watermark::decode).transpose()?.unwrap_or_default();
        let is_baseline = is_before && !watermark.covered;
        let mut is_dirty = is_baseline;
        watermark.covered = true;
        for reading in &subject.readings {
            let field = self.field(&reading.field)?;
            let change = match watermark.marks.get_mut(&field) {
                Some(mark) => {
                    let change = mark.read(reading.value);
                    additions.add(mark.series, change.counted);
                    change
                }
                None => {
                    let series = self.series(&reading.series, additions)?;
                    let (mark, change) = Mark::first(series, reading.value, is_baseline);
                    watermark.marks.insert(field, mark);
                    additions.add(series, change.counted);
                    change
                }
            };
            self.restated(reading.series.metric, change, additions)?;
            is_dirty |= change.is_new;
            self.receipt.has_new_numbers |= change.is_new;
        }
        if is_dirty {
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO subject (app, report, subject, watermark) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![app, report, subject.subject, watermark.encode()])?;
            if stored.is_none() {
                self.forget_old_windows()?;
            }
        }
        Ok(())
    }

    fn forget_old_windows(&self) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "DELETE FROM subject WHERE app = ?1 AND report = ?2 AND subject < (SELECT subject FROM subject \
                 WHERE app = ?1 AND report = ?2 ORDER BY subject DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![self.commit.app, self.commit.report, WINDOWS_KEPT])?;
        Ok(())
    }

    /// The number of a field's path.
    fn field(&self, path: &str) -> Result<i64, LedgerError> {
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM field WHERE path = ?1")?
            .query_row([path], |row| row.get(0))
            .optional()?;
        match found {
            Some(id) => Ok(id),
            None => {
                self.transaction.execute("INSERT INTO field (path) VALUES (?1)", [path])?;
                Ok(self.transaction.last_insert_rowid())
            }
        }
    }

    /// The number of the counter that a key feeds, and beside it the counter of its restatements.
    fn series(&self, key: &SeriesKey, additions: &mut Additions) -> Result<i64, LedgerError> {
        let labels = self.labels(key)?;
        self.ensure_series(Family::Restated, &self.restated_labels(key.metric), additions)?;
        self.ensure_series(key.metric.counter(), &labels, additions)
    }

    fn restated_labels(&self, metric: Metric) -> String {
        crate::page::text::labels(&[("report", self.commit.report), ("metric", metric.name())])
    }

    fn ensure_series(&self, family: Family, labels: &str, additions: &mut Additions) -> Result<i64, LedgerError> {
        let Commit { app, now, hold, .. } = *self.commit;
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM series WHERE app = ?1 AND family = ?2 AND labels = ?3")?
            .query_row(params![app, family.name(), labels], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
        self.transaction.execute(
            "INSERT INTO series (app, family, labels, total, shown, held_until) VALUES (?1, ?2, ?3, 0, ?4, ?5)",
            params![app, family.name(), labels, ms(now), ms(now).saturating_add(hold)],
        )?;
        let id = self.transaction.last_insert_rowid();
        additions.new_series.push(id);
        Ok(id)
    }

    fn restated(&self, metric: Metric, change: Change, additions: &mut Additions) -> Result<(), LedgerError> {
        if change.fallen > 0 {
            let series = self.ensure_series(Family::Restated, &self.restated_labels(metric), additions)?;
            additions.add(series, change.fallen);
        }
        Ok(())
    }

    /// The labels of a series; the first few unknown names of an app as they are, then `other`.
    fn labels(&self, key: &SeriesKey) -> Result<String, LedgerError> {
        let [platform, channel, kind] = [self.admit(&key.platform)?, self.admit(&key.channel)?, self.admit(&key.kind)?];
        Ok(crate::page::text::labels(&[
            ("platform", platform.as_str()),
            ("channel", channel.as_str()),
            ("kind", kind.as_str()),
        ]))
    }

    fn admit(&self, label: &Label) -> Result<Label, LedgerError> {
        if label.is_known() {
            return Ok(label.clone());
        }
        let app = self.commit.app;
        let is_remembered = self
            .transaction
            .prepare_cached("SELECT 1 FROM unknown_label WHERE app = ?1 AND value = ?2")?
            .exists(params![app, label.as_str()])?;
        if is_remembered {
            return Ok(label.clone());
        }
        let count: i64 =
            self.transaction.query_row("SELECT count(*) FROM unknown_label WHERE app = ?1", [app], |row| row.get(0))?;
        if count >= MAX_UNKNOWN_LABELS {
            return Ok(Label::OTHER);
        }
        self.transaction
            .execute("INSERT INTO unknown_label (app, value) VALUES (?1, ?2)", params![app, label.as_str()])?;
        Ok(label.clone())
    }

    /// Writes the totals of the series that are new or have grown.
    fn add(&mut self, additions: Additions) -> Result<(), LedgerError> {
        let Additions { mut by_series, new_series } = additions;
        by_series.retain(|_, sum| *sum > 0);
        for id in new_series {
            by_series.entry(id).or_default();
        }
        let mut ids: Vec<(i64, i64)> = by_series.into_iter().collect();
        ids.sort_unstable();
        let mut select =
            self.transaction.prepare_cached("SELECT family, labels, total, held_until FROM series WHERE id = ?1")?;
        let mut update = self.transaction.prepare_cached("UPDATE series SET total = ?2 WHERE id = ?1")?;
        for (id, sum) in ids {
            let (family, labels, total, held_until) = select.query_row([id], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
            })?;
            let total = total.saturating_add(sum);
            update.execute(params![id, total])?;
            if let Some(family) = Family::from_name(&family) {
                self.receipt.series.push(SeriesTotal { family, labels, total, held_until: time(held_until) });
            }
        }
        Ok(())
    }

    /// Puts the gauges of a window in the place of the last one's, unless those are of a later window.
    fn gauges(&self, gauge: &GaugeReadings) -> Result<StoredGauges, LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let key = params![app, report, gauge.department, gauge.unit.name()];
        let stored: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT ends FROM window_gauge WHERE app = ?1 AND report = ?2 AND department = ?3 AND unit = ?4",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        if let Some(stored) = stored.filter(|ends| *ends > ms(gauge.end) && *ends <= ms(self.commit.now)) {
            return stored_gauges(self.transaction, app, report, &gauge.department, gauge.unit, time(stored));
        }
        self.transaction
            .prepare_cached(
                "DELETE FROM window_gauge WHERE app = ?1 AND report = ?2 AND department = ?3 AND unit = ?4",
            )?
            .execute(key)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO window_gauge (app, report, department, unit, ends) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![app, report, gauge.department, gauge.unit.name(), ms(gauge.end)])?;
        let mut rows: HashMap<(Family, String), i64> = HashMap::new();
        for (family, series, value) in &gauge.deliveries {
            let sum = rows.entry((*family, self.labels(series)?)).or_default();
            *sum = sum.saturating_add(*value);
        }
        rows.extend(gauge.users.map(|(family, value)| ((family, String::new()), value)));
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO window_gauge_value (app, report, department, unit, family, labels, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for ((family, labels), value) in rows {
            insert.execute(params![app, report, gauge.department, gauge.unit.name(), family.name(), labels, value])?;
        }
        stored_gauges(self.transaction, app, report, &gauge.department, gauge.unit, gauge.end)
    }

    fn unknown_names(&mut self) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        for name in &self.commit.unknown {
            let name: String = name.chars().take(128).collect();
            let count: i64 = self
                .transaction
                .prepare_cached("SELECT count(*) FROM unknown_name WHERE app = ?1 AND report = ?2")?
                .query_row(params![app, report], |row| row.get(0))?;
            if count >= MAX_UNKNOWN_NAMES {
                break;
            }
            let new = self
                .transaction
                .prepare_cached(
                    "INSERT INTO unknown_name (app, report, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![app, report, name])?;
            if new > 0 {
                self.receipt.new_names.push(name);
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<(), LedgerError> {
        let Commit { app, report, now, completes, ref memory, .. } = *self.commit;
        let last_success = completes.map(|_| ms(now));
        let last_change = self.receipt.has_new_numbers.then_some(ms(now));
        self.transaction
            .prepare_cached(
                "INSERT INTO report (app, report, due, last_success, last_change, memory) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT (app, report) DO UPDATE SET due = coalesce(excluded.due, report.due), \
                 last_success = coalesce(excluded.last_success, report.last_success), \
                 last_change = coalesce(excluded.last_change, report.last_change), memory = excluded.memory",
            )?
            .execute(params![app, report, completes.map(ms), last_success, last_change, memory])?;
        // An app counts its 90 days from when it was last polled, however long the process ran.
        self.transaction
            .prepare_cached("UPDATE app SET last_configured = ?2 WHERE id = ?1")?
            .execute(params![app, ms(now)])?;
        Ok(())
    }
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
