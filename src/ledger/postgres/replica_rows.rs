//! Statements about the replicas: joining, renewing, looking at the others, leaving. Times are the server's.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::sql::{first, run};
use crate::ledger::replicas::{ConfiguredApp, Replica, SharedApp};
use crate::ledger::{AppId, LedgerError};
use crate::util::lease::Token;

/// Channel of notifications: a replica has joined, left, or handed over apps, or has registered messages.
pub(super) const CHANNEL: &str = "push_exporter";
/// Time limit of a transaction: a server or a network that hangs must not hang the ledger.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Payload of a notification that replicas or owners have changed; those of registered messages have none.
pub(super) const FLEET: &str = "fleet";

/// Tells the other replicas that replicas or owners have changed.
pub(super) async fn notify_fleet(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    run(transaction, "SELECT pg_notify($1, $2)", &[(&CHANNEL, Type::TEXT), (&FLEET, Type::TEXT)]).await?;
    Ok(())
}

/// Tells the other replicas that messages were registered.
pub(super) async fn notify_messages(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    run(transaction, "SELECT pg_notify($1, '')", &[(&CHANNEL, Type::TEXT)]).await?;
    Ok(())
}

/// Limits the locks of a transaction: the server ends it if this process is stopped in the middle of it, so that nobody waits
/// for it longer than the lease.
pub(super) async fn limit(transaction: &Transaction<'_>, lease: Duration) -> Result<(), LedgerError> {
    let sql =
        "SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true)";
    let (idle, lock) = (lease.as_millis().to_string(), TRANSACTION_TIMEOUT.as_millis().to_string());
    run(transaction, sql, &[(&idle, Type::TEXT), (&lock, Type::TEXT)]).await?;
    Ok(())
}

/// Joins the fleet. A replica of the same name is this one, started again: its leases end.
pub(super) async fn join(client: &mut Client, name: &str, lease: Duration) -> Result<Token, LedgerError> {
    let transaction = client.transaction().await?;
    limit(&transaction, lease).await?;
    run(&transaction, "DELETE FROM replica WHERE name = $1", &[(&name, Type::TEXT)]).await?;
    let sql = "INSERT INTO replica (name, version, began, expires) VALUES ($1, $2, clock_timestamp(), \
         clock_timestamp() + $3 * interval '1 millisecond') RETURNING token";
    let (version, lease) = (crate::util::build_info::VERSION, milliseconds(lease));
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&name, Type::TEXT), (&version, Type::TEXT), (&lease, Type::FLOAT8)];
    let row = first(&transaction, sql, &params).await?.ok_or(PostgresError::Incomplete)?;
    let token: Token = row.get(0);
    run(&transaction, "INSERT INTO replica_commit (token, number) VALUES ($1, 0)", &[(&token, Type::INT8)]).await?;
    notify_fleet(&transaction).await?;
    transaction.commit().await?;
    Ok(token)
}

/// Replaces the apps that a replica has configured, and frees those that it owns and no longer has.
pub(super) async fn configure(
    client: &mut Client,
    token: Token,
    lease: Duration,
    apps: &[ConfiguredApp],
) -> Result<(), LedgerError> {
    let transaction = client.transaction().await?;
    limit(&transaction, lease).await?;
    let providers: Vec<&str> = apps.iter().map(|app| app.provider).collect();
    let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    let accounts: Vec<&str> = apps.iter().map(|app| app.account.as_str()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&token, Type::INT8),
        (&providers, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&accounts, Type::TEXT_ARRAY),
    ];
    run(&transaction, "DELETE FROM replica_app WHERE token = $1", &params[..1]).await?;
    let sql = "INSERT INTO replica_app (token, provider, name, account) SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])";
    run(&transaction, sql, &params).await?;
    let sql = "UPDATE app SET owner = NULL WHERE owner = $1 AND NOT EXISTS (SELECT FROM replica_app AS mine \
         WHERE mine.token = $1 AND mine.provider = app.provider AND mine.name = app.name)";
    run(&transaction, sql, &params[..1]).await?;
    notify_fleet(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Renews the lease of a replica. Returns false if it is not there any more.
pub(super) async fn renew(client: &Client, token: Token, name: &str, lease: Duration) -> Result<bool, LedgerError> {
    let sql = "UPDATE replica SET expires = clock_timestamp() + $3 * interval '1 millisecond' \
         WHERE token = $1 AND name = $2 RETURNING 1";
    let lease = milliseconds(lease);
    let params: [(&(dyn ToSql + Sync), Type); 3] = [(&token, Type::INT8), (&name, Type::TEXT), (&lease, Type::FLOAT8)];
    Ok(!client.query_typed(sql, &params).await?.is_empty())
}

/// Returns true if another process has joined under this name after the replica with this token.
pub(super) async fn is_name_taken(client: &Client, token: Token, name: &str) -> Result<bool, LedgerError> {
    let sql = "SELECT 1 FROM replica WHERE name = $1 AND token > $2";
    Ok(!client.query_typed(sql, &[(&name, Type::TEXT), (&token, Type::INT8)]).await?.is_empty())
}

/// Deletes replicas whose leases have ended, except for those in the middle of a transaction.
pub(super) async fn delete_expired(client: &Client) -> Result<(), LedgerError> {
    let sql = "DELETE FROM replica WHERE token IN (SELECT token FROM replica JOIN replica_commit USING (token) \
         WHERE expires < clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING name";
    for row in client.query_typed(sql, &[]).await? {
        tracing::warn!(replica = row.get::<_, &str>(0), "the lease of a replica has ended; its apps are free");
    }
    Ok(())
}

/// Returns all replicas that have not been deleted.
pub(super) async fn replicas(client: &Client, lease: Duration) -> Result<Vec<Replica>, LedgerError> {
    let sql =
        "SELECT token, name, clock_timestamp() - began > $1 * interval '1 millisecond' FROM replica ORDER BY token";
    let lease = milliseconds(lease);
    let found = client.query_typed(sql, &[(&lease, Type::FLOAT8)]).await?;
    Ok(found.iter().map(|row| Replica { token: row.get(0), name: row.get(1), is_settled: row.get(2) }).collect())
}

/// Returns the apps that a replica has configured, with their owners and candidates.
pub(super) async fn apps(client: &Client, token: Token) -> Result<Vec<SharedApp>, LedgerError> {
    let sql = "SELECT mine.provider, mine.name, other.token, app.id, owner.token, app.account IS NULL OR app.account = other.account \
         FROM replica_app AS mine JOIN replica_app AS other USING (provider, name) \
         LEFT JOIN app ON app.provider = mine.provider AND app.name = mine.name \
         LEFT JOIN replica AS owner ON owner.token = app.owner WHERE mine.token = $1 ORDER BY mine.provider, mine.name, other.token";
    let mut apps: Vec<SharedApp> = Vec::new();
    let mut with_another_account: HashMap<usize, Vec<Token>> = HashMap::new();
    for row in client.query_typed(sql, &[(&token, Type::INT8)]).await? {
        let (provider, name): (&str, &str) = (row.get(0), row.get(1));
        if apps.last().is_none_or(|last| (last.provider.as_str(), last.name.as_str()) != (provider, name)) {
            let (provider, name, candidates) = (provider.to_owned(), name.to_owned(), Vec::new());
            apps.push(SharedApp { provider, name, id: row.get(3), owner: row.get(4), candidates });
        }
        let index = apps.len() - 1;
        match (row.get(5), apps.last_mut()) {
            (true, Some(app)) => app.candidates.push(row.get(2)),
            _ => with_another_account.entry(index).or_default().push(row.get(2)),
        }
    }
    // An account that is changed in one replica after the other changes with the last of them.
    for (index, candidates) in with_another_account {
        if let Some(app) = apps.get_mut(index).filter(|app| app.candidates.is_empty()) {
            app.candidates = candidates;
        }
    }
    Ok(apps)
}

/// Returns the apps of a replica for which another one has registered messages that it has not read yet.
pub(super) async fn arrived(client: &Client, token: Token) -> Result<Vec<AppId>, LedgerError> {
    let sql = "SELECT id FROM app WHERE owner = $1 AND arrived";
    Ok(client.query_typed(sql, &[(&token, Type::INT8)]).await?.iter().map(|row| row.get(0)).collect())
}

/// Releases apps.
pub(super) async fn hand_over(transaction: &Transaction<'_>, token: Token, apps: &[AppId]) -> Result<(), LedgerError> {
    let sql = "UPDATE app SET owner = NULL WHERE owner = $1 AND id = ANY ($2)";
    run(transaction, sql, &[(&token, Type::INT8), (&apps, Type::INT8_ARRAY)]).await?;
    notify_fleet(transaction).await
}

/// Leaves the fleet: all leases end.
pub(super) async fn leave(client: &Client, token: Token) -> Result<(), LedgerError> {
    let sql = "WITH gone AS (DELETE FROM replica WHERE token = $1) SELECT pg_notify($2, $3)";
    client.query_typed(sql, &[(&token, Type::INT8), (&CHANNEL, Type::TEXT), (&FLEET, Type::TEXT)]).await?;
    Ok(())
}

/// Begins a transaction of a replica and stores its number, with the limits of [`limit`].
pub(super) async fn begin(
    transaction: &Transaction<'_>,
    token: Token,
    number: i64,
    lease: Duration,
) -> Result<(), LedgerError> {
    let sql = "UPDATE replica_commit SET number = $2 WHERE token = $1 RETURNING \
         set_config('idle_in_transaction_session_timeout', $3, true), set_config('lock_timeout', $4, true)";
    let (idle, lock) = (lease.as_millis().to_string(), TRANSACTION_TIMEOUT.as_millis().to_string());
    let params: [(&(dyn ToSql + Sync), Type); 4] =
        [(&token, Type::INT8), (&number, Type::INT8), (&idle, Type::TEXT), (&lock, Type::TEXT)];
    match run(transaction, sql, &params).await? {
        0 => Err(PostgresError::NoLease.into()),
        _ => Ok(()),
    }
}

/// Returns the number of the last transaction of a replica that was committed. Waits for one that the server still has.
pub(super) async fn last_commit(transaction: &Transaction<'_>, token: Token) -> Result<i64, LedgerError> {
    let sql = "SELECT number FROM replica_commit WHERE token = $1 FOR UPDATE";
    Ok(first(transaction, sql, &[(&token, Type::INT8)]).await?.ok_or(PostgresError::NoLease)?.get(0))
}

fn milliseconds(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1000.0
}
