//! The ledger in a PostgreSQL database. One exporter writes at a time: it holds a lease by the server's clock, and every
//! transaction checks it, so that an exporter that was away cannot write after another has taken over.
//! [`crate::ledger::rules`] decides what a commit changes; this folder loads and writes rows.

mod app;
mod commit;
mod connect;
pub mod error;
mod file_marks;
mod load;
mod messages;
mod passfile;
mod series;
mod sql;
mod tls;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::crash_points::{self, Did};
use crate::ledger::postgres::connect::Connector;
use crate::ledger::postgres::error::{PostgresError, is_conflict};
use crate::ledger::postgres::sql::{first, run};
use crate::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, LedgerError, NewMessages, NewestQuery, Receipt,
    Reschedule, Store, StoredApp,
};
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;

/// Time limit of a transaction: a server or a network that hangs must not hang the ledger.
const LONGEST: Duration = Duration::from_secs(30);
/// Maximum number of attempts of a transaction that conflicts with another.
const ATTEMPTS: u32 = 5;

/// A ledger in a PostgreSQL database.
pub struct Postgres {
    connector: Connector,
    client: Option<Client>,
    lease: Lease,
    /// Bytes of all tables, as last asked.
    size: u64,
}

/// The right to write.
struct Lease {
    name: String,
    duration: Duration,
    token: i64,
    /// Number of the last transaction, which the database remembers.
    commits: i64,
}

/// Work of a transaction; it may be done several times.
type Work<T> = Box<dyn for<'t, 'c> Fn(&'t Transaction<'c>) -> BoxFuture<'t, Result<T, LedgerError>> + Send + Sync>;

impl Postgres {
    /// Connects, brings the schema up to date, and takes the lease.
    ///
    /// # Errors
    /// A server that cannot be used, or a ledger that another exporter uses or a newer release wrote.
    pub async fn open(address: &PostgresAddress) -> Result<Postgres, LedgerError> {
        let connector = Connector::new(address)?;
        let mut client = connector.connect().await?;
        connect::migrate(&mut client, &connector).await?;
        let lease = Lease::take(&mut client, address).await?;
        let mut postgres = Postgres { connector, client: Some(client), lease, size: 0 };
        postgres.measure().await;
        Ok(postgres)
    }

    /// Runs `work` in a transaction. `did` returns the effect of its result that matters for a crash.
    async fn transact<T: Send + 'static>(&mut self, work: Work<T>, did: fn(&T) -> Did) -> Result<T, LedgerError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.attempt(&work, did).await {
                Attempt::Done(result) => return Ok(result),
                Attempt::Conflict(error) if attempt >= ATTEMPTS => return Err(error),
                Attempt::Conflict(_) => {}
                Attempt::Failed(error) => return Err(error),
                // The connection broke while the transaction was committed: the database knows how it ended.
                Attempt::Unknown(result) => match self.is_committed().await {
                    Ok(true) => return Ok(result),
                    Ok(false) => {}
                    Err(error @ LedgerError::Postgres(PostgresError::TakenOver)) => return Err(error),
                    Err(_) => return Err(PostgresError::UnknownCommit.into()),
                },
            }
        }
    }

    async fn attempt<T: Send + 'static>(&mut self, work: &Work<T>, did: fn(&T) -> Did) -> Attempt<T> {
        let mut client = match self.connected().await {
            Ok(client) => client,
            Err(error) => return Attempt::Failed(error),
        };
        let is_committing = AtomicBool::new(false);
        let mut done = None;
        let number = self.lease.commits + 1;
        let outcome = tokio::time::timeout(LONGEST, async {
            let transaction = client.transaction().await?;
            self.lease.renew(&transaction, number).await?;
            let result = work(&transaction).await?;
            crash_points::before_commit(did(&result));
            let effect = did(&result);
            done = Some(result);
            is_committing.store(true, Ordering::Relaxed);
            transaction.commit().await?;
            crash_points::after_commit(effect);
            Ok::<(), LedgerError>(())
        })
        .await;
        match (outcome, done) {
            (Ok(Ok(())), Some(result)) => {
                self.lease.commits = number;
                self.client = Some(client);
                Attempt::Done(result)
            }
            (Ok(Err(LedgerError::Database(error))), _) if is_conflict(&error) => {
                self.client = Some(client);
                Attempt::Conflict(LedgerError::Database(error))
            }
            // An answer of the server is an outcome; without one the connection is given up.
            (Ok(Err(LedgerError::Database(error))), _) if error.code().is_some() => {
                self.client = Some(client);
                Attempt::Failed(LedgerError::Database(error))
            }
            (_, Some(result)) if is_committing.load(Ordering::Relaxed) => Attempt::Unknown(result),
            (Ok(Err(error)), _) => Attempt::Failed(error),
            (Ok(Ok(())), None) | (Err(_), _) => Attempt::Failed(PostgresError::Timeout.into()),
        }
    }

    /// Takes the connection, or makes a new one. It is given back if it can be used again.
    async fn connected(&mut self) -> Result<Client, LedgerError> {
        match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => Ok(client),
            None => Ok(self.connector.connect().await?),
        }
    }

    /// Finds out whether the last transaction was committed, until the lease would have ended.
    async fn is_committed(&mut self) -> Result<bool, LedgerError> {
        let number = self.lease.commits + 1;
        let deadline = tokio::time::Instant::now() + self.lease.duration;
        loop {
            match self.last_commit().await {
                Ok(last) => {
                    if last == number {
                        self.lease.commits = number;
                    }
                    return Ok(last == number);
                }
                Err(error @ LedgerError::Postgres(PostgresError::TakenOver)) => return Err(error),
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn last_commit(&mut self) -> Result<i64, LedgerError> {
        let mut client = self.connected().await?;
        let token = self.lease.token;
        let asked = tokio::time::timeout(LONGEST, async {
            let transaction = client.transaction().await?;
            let sql = "SELECT commits FROM writer WHERE token = $1 FOR UPDATE";
            let row = first(&transaction, sql, &[(&token, Type::INT8)]).await?;
            transaction.rollback().await?;
            Ok::<Option<i64>, LedgerError>(row.map(|row| row.get(0)))
        });
        let commits = asked.await.map_err(|_| PostgresError::Timeout)??;
        self.client = Some(client);
        commits.ok_or(LedgerError::Postgres(PostgresError::TakenOver))
    }

    async fn measure(&mut self) {
        const SQL: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class \
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        let work: Work<i64> = Box::new(|transaction| {
            Box::pin(async move {
                let row = first(transaction, SQL, &[]).await?;
                Ok(row.map_or(0, |row| row.get(0)))
            })
        });
        if let Ok(size) = self.transact(work, |_| Did::Nothing).await {
            self.size = u64::try_from(size).unwrap_or(0);
        }
    }
}

/// Outcome of one attempt of a transaction.
enum Attempt<T> {
    Done(T),
    Conflict(LedgerError),
    Failed(LedgerError),
    Unknown(T),
}

impl Lease {
    /// Takes the lease, unless an exporter of another name holds one that has not ended.
    async fn take(client: &mut Client, address: &PostgresAddress) -> Result<Lease, LedgerError> {
        let transaction = client.transaction().await?;
        let sql = "SELECT name, token, commits, greatest(0, ceil(extract(epoch FROM expires - clock_timestamp())))::int8 \
             FROM writer FOR UPDATE";
        let row = first(&transaction, sql, &[]).await?.ok_or(LedgerError::Forgotten)?;
        let (name, token, commits, seconds): (String, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
        // With the same name it is this exporter, started again after a crash.
        if seconds > 0 && name != address.name {
            return Err(PostgresError::InUse { name, seconds }.into());
        }
        let lease = Lease { name: address.name.clone(), duration: address.lease, token: token + 1, commits };
        let sql = "UPDATE writer SET name = $1, token = $2, \
             expires = clock_timestamp() + $3 * interval '1 millisecond'";
        let milliseconds = lease.milliseconds();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&lease.name, Type::TEXT), (&lease.token, Type::INT8), (&milliseconds, Type::FLOAT8)];
        run(&transaction, sql, &params).await?;
        transaction.commit().await?;
        Ok(lease)
    }

    /// Renews the lease and stores the number of the transaction.
    async fn renew(&self, transaction: &Transaction<'_>, number: i64) -> Result<(), LedgerError> {
        let sql = "UPDATE writer SET commits = $2, expires = clock_timestamp() + $3 * interval '1 millisecond' \
             WHERE token = $1 RETURNING 1";
        let milliseconds = self.milliseconds();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.token, Type::INT8), (&number, Type::INT8), (&milliseconds, Type::FLOAT8)];
        match run(transaction, sql, &params).await? {
            0 => Err(PostgresError::TakenOver.into()),
            _ => Ok(()),
        }
    }

    fn milliseconds(&self) -> f64 {
        self.duration.as_secs_f64() * 1000.0
    }
}

impl Store for Postgres {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<StoredApp>, LedgerError>> {
        let apps = Arc::new(apps);
        let work: Work<Vec<StoredApp>> = Box::new(move |transaction| {
            let apps = Arc::clone(&apps);
            Box::pin(async move { app::register_all(transaction, &apps, now).await })
        });
        Box::pin(self.transact(work, |_| Did::Nothing))
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        let commit = Arc::new(commit);
        let work: Work<Receipt> = Box::new(move |transaction| {
            let commit = Arc::clone(&commit);
            Box::pin(async move { commit::write(transaction, &commit).await })
        });
        Box::pin(self.transact(work, |receipt| if receipt.has_new_numbers { Did::Count } else { Did::Nothing }))
    }

    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>> {
        let new = Arc::new(new);
        let work: Work<Vec<AddedMessages>> = Box::new(move |transaction| {
            let new = Arc::clone(&new);
            Box::pin(async move {
                let mut added = Vec::new();
                for new in new.iter() {
                    added.push(messages::add(transaction, new).await?);
                }
                Ok(added)
            })
        });
        Box::pin(self.transact(work, |added: &Vec<AddedMessages>| {
            if added.iter().any(|added| added.new > 0) { Did::Register } else { Did::Nothing }
        }))
    }

    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>> {
        let query = Arc::new(query);
        let work: Work<DueMessages> = Box::new(move |transaction| {
            let query = Arc::clone(&query);
            Box::pin(async move { messages::due(transaction, &query).await })
        });
        Box::pin(self.transact(work, |_| Did::Nothing))
    }

    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>> {
        let work: Work<Vec<SentMessage>> =
            Box::new(move |transaction| Box::pin(async move { messages::newest(transaction, &query).await }));
        Box::pin(self.transact(work, |_| Did::Nothing))
    }

    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>> {
        let change = Arc::new(change);
        let work: Work<()> = Box::new(move |transaction| {
            let change = Arc::clone(&change);
            Box::pin(async move { messages::reschedule(transaction, &change).await })
        });
        Box::pin(self.transact(work, |()| Did::Nothing))
    }

    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>> {
        let work: Work<bool> =
            Box::new(move |transaction| Box::pin(async move { messages::upkeep(transaction, app, now).await }));
        Box::pin(async move {
            let may_be_more = self.transact(work, |_| Did::Nothing).await?;
            self.measure().await;
            Ok(may_be_more)
        })
    }

    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        let released = Arc::new(series);
        let work: Work<()> = Box::new(move |transaction| {
            let released = Arc::clone(&released);
            Box::pin(async move { series::release(transaction, &released).await })
        });
        Box::pin(self.transact(work, |()| Did::Nothing))
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        // A transaction of its own: it renews the lease, which is a write.
        let work: Work<()> = Box::new(|_| Box::pin(async { Ok(()) }));
        Box::pin(self.transact(work, |()| Did::Nothing))
    }

    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        // The server checks its own pages.
        Box::pin(async { Ok(()) })
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn renew(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.probe()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        let token = self.lease.token;
        Box::pin(async move {
            let Some(client) = self.client.take() else { return };
            let sql = "UPDATE writer SET expires = clock_timestamp() WHERE token = $1";
            let key = [(&token as &(dyn ToSql + Sync), Type::INT8)];
            let ended = tokio::time::timeout(Duration::from_secs(1), client.query_typed(sql, &key)).await;
            if !matches!(ended, Ok(Ok(_))) {
                tracing::warn!("cannot end the lease of the ledger; the next exporter waits until it has ended");
            }
        })
    }
}
