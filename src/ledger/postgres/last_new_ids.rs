//! Reads the times at which each source last brought a new message id from a PostgreSQL database, for a command.

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::Connector;

/// Provider and name of an app, source, and time of its newest id in milliseconds.
pub(in crate::ledger) type SourceRow = ((String, String), String, i64);

/// Reads the time of the newest id by source and app; empty if the database is that of an earlier release.
pub(in crate::ledger) async fn of_database(
    address: &PostgresAddress,
    query: &str,
) -> Result<Vec<SourceRow>, LedgerError> {
    let connection = Connector::new(address)?.connect(None).await?;
    let rows = async |sql: &str| connection.client.query_typed(sql, &[]).await;
    let is_there = rows("SELECT to_regclass('id_source') IS NOT NULL").await?.iter().any(|row| row.get(0));
    if !is_there {
        return Ok(Vec::new());
    }
    Ok(rows(query).await?.iter().map(|row| ((row.get(0), row.get(1)), row.get(2), row.get(3))).collect())
}
