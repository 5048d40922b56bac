//! Reads when each way last brought a message id, for a command that shares nothing.

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::Connector;

/// The time of the newest id by source and app: provider and name of the app, source, and time in milliseconds. Empty if the
/// database is that of an earlier release.
pub(in crate::ledger) async fn of_database(
    address: &PostgresAddress,
    query: &str,
) -> Result<Vec<((String, String), String, i64)>, LedgerError> {
    let connection = Connector::new(address)?.connect(None).await?;
    let rows = async |sql: &str| connection.client.query_typed(sql, &[]).await;
    let is_there = rows("SELECT to_regclass('id_source') IS NOT NULL").await?.iter().any(|row| row.get(0));
    if !is_there {
        return Ok(Vec::new());
    }
    Ok(rows(query).await?.iter().map(|row| ((row.get(0), row.get(1)), row.get(2), row.get(3))).collect())
}
