//! Copies of a ledger that may be in use: consistent, as of one moment, by SQLite's backup API; and what is in one.

#![expect(clippy::disallowed_methods, reason = "runs in a command, on a blocking thread")]

use std::path::Path;

use jiff::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::ledger::LedgerError;
use crate::ledger::sqlite::file::{MIGRATIONS, beside};
use crate::ledger::time::time;

/// Number of pages that are copied between two reports of the progress.
const PAGES: i32 = 1000;

/// Content of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its schema.
    pub schema: i64,
    /// Number of apps.
    pub apps: i64,
    /// Number of counters.
    pub series: i64,
    /// Sum of all counters.
    pub total: i128,
    /// Number of tracked messages.
    pub messages: i64,
    /// Time of the last commit.
    pub last_seen: Option<Timestamp>,
}

/// Copies a ledger as it is at this moment, while others write it. A crash leaves the earlier file at `to`, or the whole copy.
/// `progress` is called with the number of copied pages and of all.
///
/// # Errors
/// Fails if the ledger is missing or cannot be read, or the copy cannot be written.
pub fn back_up(from: &Path, to: &Path, progress: impl Fn(u64, u64)) -> Result<(), LedgerError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| LedgerError::File { path, cause }
    };
    std::fs::metadata(from).map_err(failed(from))?;
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // One snapshot for all steps, or a commit in between would begin the copy again.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    let new = beside(to, ".new");
    match std::fs::remove_file(&new) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(failed(&new)(cause)),
        _ => {}
    }
    let mut copy = Connection::open(&new).map_err(|cause| LedgerError::Open { path: new.clone(), cause })?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        loop {
            let step = backup.step(PAGES)?;
            let (all, left) = (backup.progress().pagecount, backup.progress().remaining);
            progress(u64::try_from(all - left).unwrap_or(0), u64::try_from(all).unwrap_or(0));
            if step == StepResult::Done {
                break;
            }
        }
    }
    // One file, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    copy.close().map_err(|(_, error)| error)?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed(&new))?;
    std::fs::rename(&new, to).map_err(failed(to))
}

/// Checks a ledger that nobody uses, and returns what is in it.
///
/// # Errors
/// Fails if the file is damaged, is no ledger, or is one of a newer release.
pub fn content(path: &Path) -> Result<Content, LedgerError> {
    let damaged = |detail: String| LedgerError::Damaged { path: path.into(), detail };
    std::fs::metadata(path).map_err(|cause| LedgerError::File { path: path.into(), cause })?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(error.to_string()))?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    let schema: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if schema > known {
        return Err(LedgerError::Newer { path: path.into(), found: schema, known });
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let no_ledger = |_| damaged("it is no ledger".to_owned());
    let mut totals = connection.prepare("SELECT total FROM series").map_err(no_ledger)?;
    let mut total = 0;
    for each in totals.query_map([], |row| row.get::<_, i64>(0))? {
        total += i128::from(each?);
    }
    let last_seen: Option<i64> = connection.query_row("SELECT max(last_seen) FROM app", [], |row| row.get(0))?;
    Ok(Content {
        schema,
        apps: count("SELECT count(*) FROM app")?,
        series: count("SELECT count(*) FROM series")?,
        total,
        messages: count("SELECT count(*) FROM message")?,
        last_seen: last_seen.filter(|seen| *seen > 0).map(time),
    })
}
