//! Read positions of followed files of message ids, in SQL.

use rusqlite::{Transaction, params};

use crate::ledger::{AppId, FileId, FileMark, LedgerError, ReadFile};

/// Stores the marks of a file that was read.
pub(super) fn keep(transaction: &Transaction<'_>, app: AppId, read: &ReadFile) -> Result<(), LedgerError> {
    let ReadFile { path, marks, gone, .. } = read;
    let mut delete = transaction
        .prepare_cached("DELETE FROM file_mark WHERE app = ?1 AND path = ?2 AND device = ?3 AND inode = ?4")?;
    for FileId { device, inode } in gone {
        delete.execute(params![app, path, device.cast_signed(), inode.cast_signed()])?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO file_mark (app, path, device, inode, position, lines, before, at_path, awaited) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for FileMark { file: FileId { device, inode }, offset, lines, before, is_at_path, is_awaited } in marks {
        // SQL has only signed numbers; the bits are preserved.
        let [device, inode, offset, lines] = [device, inode, offset, lines].map(|number| number.cast_signed());
        insert.execute(params![app, path, device, inode, offset, lines, before, is_at_path, is_awaited])?;
    }
    Ok(())
}

/// Returns every mark of an app with the followed path.
pub(super) fn kept(transaction: &Transaction<'_>, app: AppId) -> Result<Vec<(String, FileMark)>, LedgerError> {
    let mut select = transaction.prepare_cached(
        "SELECT path, device, inode, position, lines, before, at_path, awaited FROM file_mark WHERE app = ?1",
    )?;
    let rows = select.query_map([app], |row| {
        let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        let file = FileId { device: number(1)?, inode: number(2)? };
        let mark = FileMark {
            file,
            offset: number(3)?,
            lines: number(4)?,
            before: row.get(5)?,
            is_at_path: row.get(6)?,
            is_awaited: row.get(7)?,
        };
        Ok((row.get(0)?, mark))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
