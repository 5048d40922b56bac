//! Owners of all apps at present, for a command that shares nothing.

use std::collections::HashMap;

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::Connector;

/// The replicas of a ledger and what they own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Names of the live replicas.
    pub replicas: Vec<String>,
    /// Names of the owners, by provider and name of the app.
    pub apps: HashMap<(String, String), String>,
}

/// Reads the owners of all apps; nothing is written.
///
/// # Errors
/// A server that cannot be used.
pub async fn owners(address: &PostgresAddress) -> Result<Owners, LedgerError> {
    let connection = Connector::new(address)?.connect(None).await?;
    let query = async |sql: &str| connection.client.query_typed(sql, &[]).await;
    let is_there = query("SELECT to_regclass('replica') IS NOT NULL").await?.iter().any(|row| row.get(0));
    if !is_there {
        return Ok(Owners::default());
    }
    let live = "FROM replica WHERE expires > clock_timestamp()";
    let replicas = query(&format!("SELECT name {live} ORDER BY name")).await?;
    let sql = format!(
        "SELECT app.provider, app.name, live.name FROM app JOIN (SELECT token, name {live}) AS live ON token = owner"
    );
    let apps = query(&sql).await?;
    Ok(Owners {
        replicas: replicas.iter().map(|row| row.get(0)).collect(),
        apps: apps.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect(),
    })
}
