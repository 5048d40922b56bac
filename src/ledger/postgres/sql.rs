//! Statements: typed parameters, so that none is prepared by name, which a transaction-pooling proxy would forget.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

/// Parameters of a statement with their types.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Runs a statement and returns its rows.
pub(super) async fn rows(
    transaction: &Transaction<'_>,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    transaction.query_typed(sql, params).await
}

/// Runs a statement and returns its first row.
pub(super) async fn first(
    transaction: &Transaction<'_>,
    sql: &str,
    params: Params<'_>,
) -> Result<Option<Row>, tokio_postgres::Error> {
    Ok(rows(transaction, sql, params).await?.into_iter().next())
}

/// Runs a statement and returns the number of rows that it names with RETURNING.
pub(super) async fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    params: Params<'_>,
) -> Result<usize, tokio_postgres::Error> {
    Ok(rows(transaction, sql, params).await?.len())
}
