//! Reads and writes all rows of a PostgreSQL ledger, for [`crate::ledger::copy`].

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{IsolationLevel, Row, Transaction};

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::copy::rows::{
    ColumnType, Copied, CopyError, CopyMessage, Progress, ROWS_PER_MESSAGE, Rows, TABLES, Table, Value,
};
use crate::ledger::postgres::connect::{Connection, Connector, migrate};
use crate::ledger::postgres::sql::{first, rows, run};

/// Connects to a ledger that no replica uses.
async fn connect(address: &PostgresAddress) -> Result<Connection, LedgerError> {
    let connector = Arc::new(Connector::new(address)?);
    let mut connection = connector.connect(None).await?;
    migrate(&mut connection.client, &connector, &address.replica.name).await?;
    Ok(connection)
}

/// Keeps replicas out until the transaction ends, and refuses to go on if one is there.
async fn alone(transaction: &Transaction<'_>, wrap: fn(LedgerError) -> CopyError) -> Result<(), CopyError> {
    let failed = |error: tokio_postgres::Error| wrap(error.into());
    transaction.batch_execute("LOCK TABLE replica IN EXCLUSIVE MODE").await.map_err(failed)?;
    let sql = "SELECT name FROM replica WHERE expires > clock_timestamp()";
    match first(transaction, sql, &[]).await.map_err(failed)? {
        Some(row) => Err(CopyError::InUse(row.get(0))),
        None => Ok(()),
    }
}

/// Sends all rows of a ledger.
pub(in crate::ledger) async fn read(
    address: &PostgresAddress,
    messages: Sender<CopyMessage>,
    progress: &Arc<Progress>,
) -> Result<(), CopyError> {
    let mut connection = connect(address).await.map_err(CopyError::Source)?;
    let failed = |error: tokio_postgres::Error| CopyError::Source(error.into());
    let begin = connection.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = begin.start().await.map_err(failed)?;
    alone(&transaction, CopyError::Source).await?;
    let mut all = 0;
    for table in &TABLES {
        let row = first(&transaction, &format!("SELECT count(*) FROM {}", table.name), &[]).await.map_err(failed)?;
        all += row.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned());
    }
    progress.expect(all);
    let mut copied = Copied::default();
    for (index, table) in TABLES.iter().enumerate() {
        let declare = format!("DECLARE copied NO SCROLL CURSOR FOR SELECT {} FROM {}", table.names(), table.name);
        transaction.batch_execute(&declare).await.map_err(failed)?;
        loop {
            let found =
                rows(&transaction, &format!("FETCH {ROWS_PER_MESSAGE} FROM copied"), &[]).await.map_err(failed)?;
            let is_last = found.len() < ROWS_PER_MESSAGE;
            let rows = Rows { table: index, rows: found.iter().map(|row| values(table, row)).collect() };
            copied.add(&rows);
            messages.send(CopyMessage::Rows(rows)).await.map_err(|_| CopyError::Interrupted)?;
            if is_last {
                break;
            }
        }
        transaction.batch_execute("CLOSE copied").await.map_err(failed)?;
    }
    messages.send(CopyMessage::End(copied)).await.map_err(|_| CopyError::Interrupted)
}

/// Writes all rows into an empty ledger.
pub(in crate::ledger) async fn write(
    address: &PostgresAddress,
    mut messages: Receiver<CopyMessage>,
    progress: &Arc<Progress>,
) -> Result<Copied, CopyError> {
    let mut connection = connect(address).await.map_err(CopyError::Target)?;
    let failed = |error: tokio_postgres::Error| CopyError::Target(error.into());
    let transaction = connection.client.transaction().await.map_err(failed)?;
    alone(&transaction, CopyError::Target).await?;
    if first(&transaction, "SELECT 1 FROM app LIMIT 1", &[]).await.map_err(failed)?.is_some() {
        return Err(CopyError::NotEmpty);
    }
    loop {
        match messages.recv().await {
            None => return Err(CopyError::Interrupted),
            Some(CopyMessage::Rows(rows)) => {
                insert(&transaction, &rows).await.map_err(failed)?;
                progress.wrote(rows.rows.len());
            }
            Some(CopyMessage::End(copied)) => {
                finish(&transaction).await.map_err(failed)?;
                if sums(&transaction).await.map_err(failed)?
                    != (copied.apps, copied.series, copied.total, copied.messages)
                {
                    return Err(CopyError::Differs);
                }
                transaction.commit().await.map_err(failed)?;
                return Ok(copied);
            }
        }
    }
}

fn values(table: &Table, row: &Row) -> Vec<Value> {
    let value = |(index, (_, kind)): (usize, &(&str, ColumnType))| {
        let value = match kind {
            ColumnType::Integer => row.get::<_, Option<i64>>(index).map(Value::Integer),
            ColumnType::Boolean => row.get::<_, Option<bool>>(index).map(Value::Boolean),
            ColumnType::Text => row.get::<_, Option<String>>(index).map(Value::Text),
            ColumnType::Bytes => row.get::<_, Option<Vec<u8>>>(index).map(Value::Bytes),
        };
        value.unwrap_or(Value::Null)
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// A column of rows, as an array.
fn column(rows: &[Vec<Value>], index: usize, kind: ColumnType) -> (Box<dyn ToSql + Sync + Send>, Type) {
    let values = rows.iter().map(|row| row.get(index));
    match kind {
        ColumnType::Integer => {
            let integer =
                |value: Option<&Value>| if let Some(Value::Integer(number)) = value { Some(*number) } else { None };
            (Box::new(values.map(integer).collect::<Vec<_>>()), Type::INT8_ARRAY)
        }
        ColumnType::Boolean => {
            let boolean =
                |value: Option<&Value>| if let Some(Value::Boolean(is_true)) = value { Some(*is_true) } else { None };
            (Box::new(values.map(boolean).collect::<Vec<_>>()), Type::BOOL_ARRAY)
        }
        ColumnType::Text => {
            let text =
                |value: Option<&Value>| if let Some(Value::Text(text)) = value { Some(text.clone()) } else { None };
            (Box::new(values.map(text).collect::<Vec<_>>()), Type::TEXT_ARRAY)
        }
        ColumnType::Bytes => {
            let bytes =
                |value: Option<&Value>| if let Some(Value::Bytes(bytes)) = value { Some(bytes.clone()) } else { None };
            (Box::new(values.map(bytes).collect::<Vec<_>>()), Type::BYTEA_ARRAY)
        }
    }
}

async fn insert(transaction: &Transaction<'_>, Rows { table, rows }: &Rows) -> Result<(), tokio_postgres::Error> {
    let Some(table) = TABLES.get(*table).filter(|_| !rows.is_empty()) else { return Ok(()) };
    let columns: Vec<_> =
        table.columns.iter().enumerate().map(|(index, (_, kind))| column(rows, index, *kind)).collect();
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        columns.iter().map(|(values, kind)| (&**values as &(dyn ToSql + Sync), kind.clone())).collect();
    let places: Vec<String> = (1..=params.len()).map(|place| format!("${place}")).collect();
    let sql = format!("INSERT INTO {} ({}) SELECT * FROM unnest({})", table.name, table.names(), places.join(", "));
    run(transaction, &sql, &params).await?;
    Ok(())
}

/// Advances the id sequences, and marks every app as known.
async fn finish(transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    for table in TABLES.iter().filter(|table| table.is_numbered()) {
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name} HAVING max(id) IS NOT NULL",
            name = table.name
        );
        run(transaction, &sql, &[]).await?;
    }
    run(transaction, "UPDATE app SET claims = 1", &[]).await?;
    Ok(())
}

/// Returns the numbers of apps and series, the sum of all counters, and the number of messages.
async fn sums(transaction: &Transaction<'_>) -> Result<(u64, u64, i128, u64), tokio_postgres::Error> {
    let sql = "SELECT (SELECT count(*) FROM app), (SELECT count(*) FROM series), (SELECT coalesce(sum(total), 0)::text FROM series), \
         (SELECT count(*) FROM message)";
    let Some(row) = first(transaction, sql, &[]).await? else { return Ok((0, 0, -1, 0)) };
    let count = |index: usize| row.get::<_, i64>(index).cast_unsigned();
    // No sum of 64-bit numbers is too large.
    Ok((count(0), count(1), row.get::<_, &str>(2).parse().unwrap_or(-1), count(3)))
}
