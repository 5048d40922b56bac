//! Reads rows of a ledger in a PostgreSQL database for a command. Nothing is written.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::Connector;

/// Returns the rows of a query with these parameters; empty if the database lacks `table`, as that of an earlier release.
pub(in crate::ledger) async fn rows<T>(
    address: &PostgresAddress,
    table: &str,
    query: &str,
    parameters: &[&str],
    read: fn(&Row) -> T,
) -> Result<Vec<T>, LedgerError> {
    let connection = Connector::new(address)?.connect(None).await?;
    let is_there = connection.client.query_typed("SELECT to_regclass($1) IS NOT NULL", &[(&table, Type::TEXT)]).await?;
    if !is_there.iter().any(|row| row.get(0)) {
        return Ok(Vec::new());
    }
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        parameters.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
    Ok(connection.client.query_typed(query, &parameters).await?.iter().map(read).collect())
}
