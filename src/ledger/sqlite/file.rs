//! The SQLite file of a ledger: lock, creation, migration, integrity, and the meaning of its errors.

#![expect(clippy::disallowed_methods, reason = "runs at the start, or on blocking threads")]

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::ledger::LedgerError;

/// Migrations from each schema to the next; `user_version` is the number of applied ones.
pub(super) const MIGRATIONS: [&str; 9] = [
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
    include_str!("../migrations/0007.sql"),
    include_str!("../migrations/0008.sql"),
    include_str!("../migrations/0009.sql"),
];
/// `push` in ASCII: distinguishes a ledger from other SQLite files.
const APPLICATION_ID: i64 = 0x7075_7368;
/// Maximum size in bytes of an unused write-ahead log, which is the size up to which SQLite lets it grow by default.
pub(super) const LARGEST_LOG: i64 = 4 * 1024 * 1024;

/// Checks what SQLite does not notice while it has a file open and its pages in memory: that the file was removed or
/// replaced, or was overwritten by another program.
pub(super) fn look(path: &Path, file: &File) -> Result<(), LedgerError> {
    let inode = |meta: std::io::Result<Metadata>| meta.map(|meta| (meta.dev(), meta.ino())).ok();
    if inode(std::fs::metadata(path)) != inode(file.metadata()) {
        return Err(LedgerError::Replaced(path.into()));
    }
    if is_sound(file, path) {
        return Ok(());
    }
    // A checkpoint of another program writes the header before the pages that it refers to.
    std::thread::sleep(Duration::from_secs(1));
    let detail = "it was overwritten while in use".to_owned();
    if is_sound(file, path) { Ok(()) } else { Err(LedgerError::Damaged { path: path.into(), detail }) }
}

/// Returns true if a file begins as a database does and has all of its pages (Database File Format, 1.3), or those that it
/// lacks are in its write-ahead log: a checkpoint writes the header first, and may have been interrupted by a kill.
fn is_sound(file: &File, path: &Path) -> bool {
    let mut header = [0; 100];
    let Ok(length) = file.read_exact_at(&mut header, 0).and_then(|()| file.metadata()).map(|meta| meta.len()) else {
        return false;
    };
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    if !header.starts_with(b"SQLite format 3\0") || page_size == 0 {
        return false;
    }
    let whole_pages = length / page_size;
    if pages <= whole_pages {
        return true;
    }
    let logged = logged_pages(&beside(path, "-wal"), page_size).unwrap_or_default();
    (whole_pages + 1..=pages).all(|page| logged.contains(&page))
}

/// Returns the numbers of the pages in a write-ahead log (Database File Format, 4.1): the frames of its current salt.
fn logged_pages(log: &Path, page_size: u64) -> std::io::Result<HashSet<u64>> {
    let file = File::open(log)?;
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0)?;
    let mut pages = HashSet::new();
    let mut offset = header.len() as u64;
    let mut frame = [0; 24];
    while file.read_exact_at(&mut frame, offset).is_ok() && frame[8..16] == header[16..24] {
        pages.insert(u64::from(u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])));
        offset += frame.len() as u64 + page_size;
    }
    Ok(pages)
}

pub(super) fn lock(path: &Path) -> Result<File, LedgerError> {
    let name = beside(path, ".lock");
    let failed = |cause| LedgerError::Lock { path: name.clone(), cause };
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::InUse(path.into())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Resolves `path` if it is a link: SQLite keeps its log beside the target, and two exporters must use the same lock.
pub(super) fn target(path: &Path) -> Result<PathBuf, LedgerError> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        // If the target of a link is missing, a new ledger in its place would not be the right one.
        Err(cause) if std::fs::symlink_metadata(path).is_ok() => Err(LedgerError::File { path: path.into(), cause }),
        Err(_) => Ok(path.into()),
    }
}

/// Returns true if there is no ledger yet. The remains of a ledger, and an empty file, are errors.
pub(super) fn is_missing(path: &Path) -> Result<bool, LedgerError> {
    let damaged = |detail: &str| LedgerError::Damaged { path: path.into(), detail: detail.to_owned() };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() == 0 => Err(damaged("it is empty")),
        Ok(_) => Ok(false),
        Err(_) if has_log(path) => Err(damaged("the file is missing, but its write-ahead log (-wal) exists")),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Ok(true),
            _ => Err(LedgerError::File { path: path.into(), cause: error }),
        },
    }
}

/// Returns true if there is a write-ahead log that has not been checkpointed into the file.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Returns the path of a file beside the ledger: the same path with `end` appended.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Creates an empty ledger under another name first, so that a crash leaves all of it or nothing.
pub(super) fn create(path: &Path) -> Result<(), LedgerError> {
    let new = beside(path, ".new");
    let _ = std::fs::remove_file(&new);
    let connection = Connection::open(&new)?;
    migrate(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    std::fs::rename(&new, path).map_err(|cause| LedgerError::File { path: path.into(), cause })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Some file systems cannot sync a folder; then a power failure may leave no ledger, as before.
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(error = error.to_string(), "cannot sync the folder of the ledger");
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

pub(super) fn is_damage(error: &LedgerError) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error, LedgerError::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
}

/// Converts an error of SQLite into its meaning for the whole ledger.
pub(super) fn explain(error: LedgerError, path: &Path) -> LedgerError {
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
pub(super) fn elsewhere(error: LedgerError, path: &Path, kind: &'static str) -> LedgerError {
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

/// Returns the schema of a ledger that has lost its number, by the column that each migration added; `None` if it is
/// not a ledger.
fn schema_by_tables(connection: &Connection) -> Result<Option<usize>, LedgerError> {
    const BROUGHT: [(&str, &str); MIGRATIONS.len()] = [
        ("series", "held_until"),
        ("message", "watermark"),
        ("file_mark", "awaited"),
        ("app", "created"),
        ("app", "clock_confirmed"),
        ("unknown_field", "field"),
        ("series", "label_pairs"),
        ("delivery_hour", "totals"),
        ("message", "category"),
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

/// Opens an existing ledger and migrates it to the schema of this release.
pub(super) fn prepare(path: &Path) -> Result<Connection, LedgerError> {
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
    // SQLite would read the missing part of the last page as zeros.
    if is_whole && !length.is_multiple_of(u64::from(page)) {
        return damaged("it is truncated");
    }
    if version > known {
        return Err(LedgerError::Newer { path: path.into(), found: version, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A program that reads for a long time prevents checkpoints, so the log grows; afterwards it is truncated again.
    connection.pragma_update(None, "journal_size_limit", LARGEST_LOG)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&connection)?;
    Ok(connection)
}

/// Returns the size in bytes of the ledger and its log on disk.
pub(super) fn size_on_disk(path: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    length(path) + length(&beside(path, "-wal"))
}
