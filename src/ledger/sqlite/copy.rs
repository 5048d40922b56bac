//! Reads and writes all rows of a SQLite ledger, for [`crate::ledger::copy`]. Runs on blocking threads.

#![expect(clippy::disallowed_methods, reason = "runs on blocking threads")]

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql, Transaction, params_from_iter};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::ledger::LedgerError;
use crate::ledger::copy::rows::{
    ColumnType, Copied, CopyError, CopyMessage, FILE_MARKS, Progress, ROWS_PER_MESSAGE, Rows, TABLES, Table, Value,
};
use crate::ledger::sqlite::Sqlite;

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::from(rusqlite::types::Null),
            Value::Integer(number) => ToSqlOutput::from(*number),
            Value::Boolean(is_true) => ToSqlOutput::from(*is_true),
            Value::Text(text) => ToSqlOutput::from(text.as_str()),
            Value::Bytes(bytes) => ToSqlOutput::from(bytes.as_slice()),
        })
    }
}

/// Sends all rows of a ledger.
pub(in crate::ledger) async fn read(
    path: &Path,
    messages: Sender<CopyMessage>,
    progress: &Arc<Progress>,
) -> Result<(), CopyError> {
    let (path, progress) = (path.to_owned(), Arc::clone(progress));
    on_a_thread(move || {
        if !path.exists() {
            return Err(CopyError::Missing(path.display().to_string()));
        }
        let mut ledger = Sqlite::open(&path).map_err(CopyError::Source)?;
        let failed = |error: rusqlite::Error| CopyError::Source(error.into());
        ledger.with_connection(|connection| {
            let transaction = connection.transaction().map_err(failed)?;
            let count = |table: &Table| {
                transaction.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get::<_, i64>(0))
            };
            let counts = TABLES.iter().map(count).collect::<Result<Vec<i64>, _>>().map_err(failed)?;
            progress.expect(counts.iter().map(|count| count.cast_unsigned()).sum());
            let mut copied = Copied::default();
            for (index, table) in TABLES.iter().enumerate() {
                let mut statement =
                    transaction.prepare(&format!("SELECT {} FROM {}", table.names(), table.name)).map_err(failed)?;
                let mut found = statement.query([]).map_err(failed)?;
                loop {
                    let mut rows = Vec::new();
                    while rows.len() < ROWS_PER_MESSAGE
                        && let Some(row) = found.next().map_err(failed)?
                    {
                        rows.push(values(table, row).map_err(failed)?);
                    }
                    let is_last = rows.len() < ROWS_PER_MESSAGE;
                    let rows = Rows { table: index, rows };
                    copied.add(&rows);
                    messages.blocking_send(CopyMessage::Rows(rows)).map_err(|_| CopyError::Interrupted)?;
                    if is_last {
                        break;
                    }
                }
            }
            messages.blocking_send(CopyMessage::End(copied)).map_err(|_| CopyError::Interrupted)
        })
    })
    .await
}

/// Writes all rows into an empty ledger, which is created if it is missing.
pub(in crate::ledger) async fn write(
    path: &Path,
    mut messages: Receiver<CopyMessage>,
    progress: &Arc<Progress>,
) -> Result<Copied, CopyError> {
    let (path, progress) = (path.to_owned(), Arc::clone(progress));
    on_a_thread(move || {
        let mut ledger = Sqlite::open_or_create(&path, |_| {}).map_err(CopyError::Target)?;
        let failed = |error: rusqlite::Error| CopyError::Target(error.into());
        ledger.with_connection(|connection| {
            let transaction = connection.transaction().map_err(failed)?;
            let apps = transaction.query_row("SELECT count(*) FROM app", [], |row| row.get::<_, i64>(0));
            if apps.map_err(failed)? > 0 {
                return Err(CopyError::NotEmpty);
            }
            loop {
                match messages.blocking_recv() {
                    None => return Err(CopyError::Interrupted),
                    Some(CopyMessage::Rows(rows)) => {
                        insert(&transaction, &rows).map_err(failed)?;
                        progress.wrote(rows.rows.len());
                    }
                    Some(CopyMessage::End(copied)) => {
                        let written = sums(&transaction).map_err(failed)?;
                        if written != (copied.apps, copied.series, copied.total, copied.messages) {
                            return Err(CopyError::Differs);
                        }
                        transaction.commit().map_err(failed)?;
                        return Ok(copied);
                    }
                }
            }
        })
    })
    .await
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, CopyError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(CopyError::Source(LedgerError::Panicked)))
}

fn values(table: &Table, row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    let value = |(index, (_, kind)): (usize, &(&str, ColumnType))| {
        Ok(match (row.get_ref(index)?, kind) {
            (ValueRef::Null, _) => Value::Null,
            (ValueRef::Integer(number), ColumnType::Boolean) => Value::Boolean(number != 0),
            (ValueRef::Integer(number), _) => Value::Integer(number),
            (ValueRef::Text(_), _) => Value::Text(row.get(index)?),
            _ => Value::Bytes(row.get(index)?),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}

fn insert(transaction: &Transaction<'_>, Rows { table, rows }: &Rows) -> rusqlite::Result<()> {
    let Some(table) = TABLES.get(*table) else { return Ok(()) };
    // Replicas have marks of their own; of the same file the one that has read the most counts.
    let conflict = if table.name == FILE_MARKS {
        "ON CONFLICT DO UPDATE SET position = excluded.position, lines = excluded.lines, before = excluded.before \
         WHERE excluded.position > position"
    } else {
        ""
    };
    let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({}) {conflict}", table.name, table.names(), places.join(", "));
    let mut statement = transaction.prepare_cached(&sql)?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// Returns the numbers of apps and series, the sum of all counters, and the number of messages.
fn sums(transaction: &Transaction<'_>) -> rusqlite::Result<(u64, u64, i128, u64)> {
    let count = |table: &str| -> rusqlite::Result<u64> {
        let count = transaction.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))?;
        Ok(count.cast_unsigned())
    };
    let mut statement = transaction.prepare("SELECT total FROM series")?;
    let totals = statement.query_map([], |row| row.get::<_, i64>(0))?;
    let total = totals.map(|total| total.map(i128::from)).sum::<rusqlite::Result<i128>>()?;
    Ok((count("app")?, count("series")?, total, count("message")?))
}
