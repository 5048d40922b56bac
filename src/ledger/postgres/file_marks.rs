//! Read positions of followed files of message ids.

use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::ledger::postgres::sql::{rows, run};
use crate::ledger::{AppId, FileId, FileMark, LedgerError, ReadFile};

/// Stores the marks of a file that a replica has read.
pub(super) async fn keep(
    transaction: &Transaction<'_>,
    replica: &str,
    app: AppId,
    read: &ReadFile,
) -> Result<(), LedgerError> {
    let ReadFile { path, marks, gone, .. } = read;
    // SQL has only signed numbers; the bits are preserved.
    for FileId { device, inode } in gone {
        let (device, inode) = (device.cast_signed(), inode.cast_signed());
        let sql =
            "DELETE FROM file_mark WHERE app = $1 AND path = $2 AND device = $3 AND inode = $4 AND replica IN ('', $5)";
        let key: [(&(dyn ToSql + Sync), Type); 5] = [
            (&app, Type::INT8),
            (path, Type::TEXT),
            (&device, Type::INT8),
            (&inode, Type::INT8),
            (&replica, Type::TEXT),
        ];
        run(transaction, sql, &key).await?;
    }
    for FileMark { file: FileId { device, inode }, offset, lines, before, is_at_path, is_awaited } in marks {
        let [device, inode, offset, lines] = [device, inode, offset, lines].map(|number| number.cast_signed());
        let sql = "INSERT INTO file_mark (app, path, device, inode, position, lines, before, at_path, awaited, replica) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (app, replica, path, device, inode) DO UPDATE SET \
             position = excluded.position, lines = excluded.lines, before = excluded.before, \
             at_path = excluded.at_path, awaited = excluded.awaited";
        let params: [(&(dyn ToSql + Sync), Type); 10] = [
            (&app, Type::INT8),
            (path, Type::TEXT),
            (&device, Type::INT8),
            (&inode, Type::INT8),
            (&offset, Type::INT8),
            (&lines, Type::INT8),
            (before, Type::BYTEA),
            (is_at_path, Type::BOOL),
            (is_awaited, Type::BOOL),
            (&replica, Type::TEXT),
        ];
        run(transaction, sql, &params).await?;
        // It has taken over the mark of a ledger that one exporter used alone.
        let sql = "DELETE FROM file_mark WHERE app = $1 AND path = $2 AND device = $3 AND inode = $4 AND replica = ''";
        run(transaction, sql, &params[..4]).await?;
    }
    Ok(())
}

/// Returns every mark of a replica in an app, with the followed path.
pub(super) async fn kept(
    transaction: &Transaction<'_>,
    replica: &str,
    app: AppId,
) -> Result<Vec<(String, FileMark)>, LedgerError> {
    let sql = "SELECT DISTINCT ON (path, device, inode) path, device, inode, position, lines, before, at_path, awaited \
         FROM file_mark WHERE app = $1 AND replica IN ('', $2) ORDER BY path, device, inode, replica DESC";
    let found = rows(transaction, sql, &[(&app, Type::INT8), (&replica, Type::TEXT)]).await?;
    let mark = |row: &tokio_postgres::Row| {
        let number = |index: usize| row.get::<_, i64>(index).cast_unsigned();
        let mark = FileMark {
            file: FileId { device: number(1), inode: number(2) },
            offset: number(3),
            lines: number(4),
            before: row.get(5),
            is_at_path: row.get(6),
            is_awaited: row.get(7),
        };
        (row.get(0), mark)
    };
    Ok(found.iter().map(mark).collect())
}
