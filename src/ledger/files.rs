//! How far followed files of message ids have been read, in SQL.

use rusqlite::{Transaction, params};

use super::{AppId, LedgerError, Position};

/// Keeps a position in the place of the one before.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    app: AppId,
    path: &str,
    position: &Position,
) -> Result<(), LedgerError> {
    let Position { device, inode, offset, lines, modified, before } = position;
    // SQL knows signed numbers only; the same bits come back.
    let [device, inode, offset, lines] = [device, inode, offset, lines].map(|number| number.cast_signed());
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO file_position (app, path, device, inode, position, lines, modified, before) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![app, path, device, inode, offset, lines, modified, before])?;
    Ok(())
}

/// Every position of an app, by path.
pub(super) fn kept(transaction: &Transaction<'_>, app: AppId) -> Result<Vec<(String, Position)>, LedgerError> {
    let mut select = transaction.prepare_cached(
        "SELECT path, device, inode, position, lines, modified, before FROM file_position WHERE app = ?1",
    )?;
    let rows = select.query_map([app], |row| {
        let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        let position = Position {
            device: number(1)?,
            inode: number(2)?,
            offset: number(3)?,
            lines: number(4)?,
            modified: row.get(5)?,
            before: row.get(6)?,
        };
        Ok((row.get(0)?, position))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
