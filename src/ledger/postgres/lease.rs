//! The lease of the exporter that writes, by the server's clock, with a token that every transaction checks.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::sql::{first, run};

/// Time limit of a transaction: a server or a network that hangs must not hang the ledger.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// The right to write.
pub(super) struct Lease {
    pub(super) duration: Duration,
    pub(super) token: i64,
    /// Number of the last transaction that was begun; the database remembers that of the last one that was committed.
    pub(super) begun: i64,
}

/// Fails if an exporter of another name holds a lease that has not ended. Locks the row.
pub(super) async fn refuse_if_in_use(transaction: &Transaction<'_>, name: &str) -> Result<(i64, i64), LedgerError> {
    let sql = "SELECT name, token, commits, greatest(0, ceil(extract(epoch FROM expires - clock_timestamp())))::int8 \
         FROM writer FOR UPDATE";
    let row = first(transaction, sql, &[]).await?.ok_or(PostgresError::Incomplete)?;
    let (holder, token, commits, seconds): (String, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    // With the same name it is this exporter, started again after a crash.
    if seconds > 0 && holder != name {
        return Err(PostgresError::InUse { name: holder, seconds }.into());
    }
    Ok((token, commits))
}

impl Lease {
    /// Takes the lease, unless an exporter of another name holds one that has not ended.
    pub(super) async fn take(client: &mut Client, address: &PostgresAddress) -> Result<Lease, LedgerError> {
        let transaction = client.transaction().await?;
        let (token, begun) = refuse_if_in_use(&transaction, &address.name).await?;
        let lease = Lease { duration: address.lease, token: token + 1, begun };
        let sql = "UPDATE writer SET name = $1, token = $2, \
             expires = clock_timestamp() + $3 * interval '1 millisecond'";
        let milliseconds = lease.milliseconds();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&address.name, Type::TEXT), (&lease.token, Type::INT8), (&milliseconds, Type::FLOAT8)];
        run(&transaction, sql, &params).await?;
        transaction.commit().await?;
        Ok(lease)
    }

    /// Renews the lease and stores the number of the transaction. The server ends the transaction if this exporter is
    /// stopped in the middle of it, so that the row is not locked for longer than the lease.
    pub(super) async fn renew(&self, transaction: &Transaction<'_>) -> Result<(), LedgerError> {
        let sql = "UPDATE writer SET commits = $2, expires = clock_timestamp() + $3 * interval '1 millisecond' \
             WHERE token = $1 RETURNING set_config('idle_in_transaction_session_timeout', $4, true), \
             set_config('lock_timeout', $5, true)";
        let milliseconds = self.milliseconds();
        let (idle, lock) = (self.duration.as_millis().to_string(), LONGEST.as_millis().to_string());
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.token, Type::INT8),
            (&self.begun, Type::INT8),
            (&milliseconds, Type::FLOAT8),
            (&idle, Type::TEXT),
            (&lock, Type::TEXT),
        ];
        match run(transaction, sql, &params).await? {
            0 => Err(PostgresError::TakenOver.into()),
            _ => Ok(()),
        }
    }

    fn milliseconds(&self) -> f64 {
        self.duration.as_secs_f64() * 1000.0
    }
}
