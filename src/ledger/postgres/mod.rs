//! The ledger in a PostgreSQL database. One exporter writes at a time: it holds a lease by the server's clock, and every
//! transaction checks it, so that an exporter that was away cannot write after another has taken over.
//! [`crate::ledger::rules`] decides what a commit changes; this folder loads and writes rows.

mod app;
mod commit;
mod connect;
pub mod error;
mod file_marks;
mod lease;
mod load;
mod messages;
mod passfile;
mod series;
mod sql;
mod tls;
mod values;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::crash_points::{self, Did};
use crate::ledger::postgres::connect::{Connection, Connector};
use crate::ledger::postgres::error::{PostgresError, is_conflict, is_lost, is_stale};
use crate::ledger::postgres::lease::{LONGEST, Lease};
use crate::ledger::postgres::sql::first;
use crate::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, LedgerError, NewMessages, NewestQuery, Receipt,
    Reschedule, Store, StoredApp,
};
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;

/// Time limit of a transaction that touches every message of an app, of which there may be a million.
const LONGEST_OF_ALL: Duration = Duration::from_secs(600);
/// Maximum number of attempts of a transaction that conflicts with another.
const ATTEMPTS: u32 = 5;

/// A ledger in a PostgreSQL database.
pub struct Postgres {
    connector: Connector,
    connection: Option<Connection>,
    lease: Lease,
    /// Bytes of all tables, as last asked.
    size: u64,
}

/// Work of a transaction; it may be done several times.
type Work<T> = Box<dyn for<'t, 'c> Fn(&'t Transaction<'c>) -> BoxFuture<'t, Result<T, LedgerError>> + Send + Sync>;

/// Options of a transaction.
struct Manner<T> {
    /// Returns the effect of the result that matters for a crash.
    did: fn(&T) -> Did,
    /// True if it is worth knowing whether it was committed, when the answer to its COMMIT is lost.
    matters: bool,
    limit: Duration,
}

impl<T> Manner<T> {
    /// A transaction that writes.
    fn write(did: fn(&T) -> Did) -> Manner<T> {
        Manner { did, matters: true, limit: LONGEST }
    }

    /// A transaction that only reads, or writes what will be written again.
    fn read() -> Manner<T> {
        Manner { did: |_| Did::Nothing, matters: false, limit: LONGEST }
    }

    /// A transaction that may touch every message of an app.
    fn of_all() -> Manner<T> {
        Manner { did: |_| Did::Nothing, matters: true, limit: LONGEST_OF_ALL }
    }
}

impl Postgres {
    /// Connects, brings the schema up to date, and takes the lease.
    ///
    /// # Errors
    /// A server that cannot be used, or a ledger that another exporter uses or a newer release wrote.
    pub async fn open(address: &PostgresAddress) -> Result<Postgres, LedgerError> {
        let connector = Connector::new(address)?;
        let mut connection = connector.connect().await?;
        let lease = tokio::time::timeout(LONGEST, async {
            connect::migrate(&mut connection.client, &connector, &address.name).await?;
            Lease::take(&mut connection.client, address).await
        });
        let lease = lease.await.map_err(|_| PostgresError::Timeout)??;
        let mut postgres = Postgres { connector, connection: Some(connection), lease, size: 0 };
        postgres.measure().await;
        Ok(postgres)
    }

    /// Runs `work` in a transaction.
    async fn transact<T: Send + 'static>(&mut self, work: Work<T>, manner: Manner<T>) -> Result<T, LedgerError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(&work, &manner).await {
                Attempt::Done(result) => return Ok(result),
                Attempt::Failed(error) => return Err(error),
                Attempt::Conflict(error) => error,
                Attempt::Unknown(_) if !manner.matters => return Err(PostgresError::Timeout.into()),
                // The connection broke while the transaction was committed: the database knows how it ended.
                Attempt::Unknown(result) => match self.is_committed().await {
                    Ok(true) => return Ok(result),
                    Ok(false) => PostgresError::Timeout.into(),
                    Err(error @ LedgerError::Postgres(PostgresError::TakenOver)) => return Err(error),
                    Err(_) => return Err(PostgresError::UnknownCommit.into()),
                },
            };
            if attempt >= ATTEMPTS {
                return Err(error);
            }
        }
    }

    async fn attempt<T: Send + 'static>(&mut self, work: &Work<T>, manner: &Manner<T>) -> Attempt<T> {
        let mut connection = match self.connected().await {
            Ok(connection) => connection,
            Err(error) => return Attempt::Failed(error),
        };
        // No number is used twice, or a lookup could take one transaction for another.
        self.lease.begun += 1;
        let mut done = None;
        let outcome = tokio::time::timeout(manner.limit, async {
            let transaction = connection.client.transaction().await?;
            self.lease.renew(&transaction).await?;
            let result = contained(work(&transaction)).await?;
            let effect = (manner.did)(&result);
            crash_points::before_commit(effect);
            done = Some(result);
            transaction.commit().await?;
            crash_points::after_commit(effect);
            Ok::<(), LedgerError>(())
        })
        .await;
        let outcome = outcome.unwrap_or(Err(PostgresError::Timeout.into()));
        let is_usable = match &outcome {
            Ok(()) => true,
            Err(LedgerError::Database(error)) => !is_lost(error) && !is_stale(error),
            Err(LedgerError::Postgres(PostgresError::Timeout)) => false,
            Err(_) => true,
        };
        if is_usable {
            self.connection = Some(connection);
        }
        match (outcome, done) {
            (Ok(()), Some(result)) => Attempt::Done(result),
            (Ok(()), None) => Attempt::Failed(PostgresError::Timeout.into()),
            // Without an answer of the server the outcome of a COMMIT is unknown.
            (Err(_), Some(result)) if !is_usable => Attempt::Unknown(result),
            (Err(LedgerError::Database(error)), _) if is_conflict(&error) => Attempt::Conflict(error.into()),
            (Err(error), _) => Attempt::Failed(error),
        }
    }

    /// Takes the connection, or makes a new one. It is given back if it can be used again.
    async fn connected(&mut self) -> Result<Connection, LedgerError> {
        match self.connection.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => Ok(connection),
            None => self.connector.connect().await,
        }
    }

    /// Finds out whether the last transaction was committed, until the lease would have ended.
    async fn is_committed(&mut self) -> Result<bool, LedgerError> {
        let deadline = tokio::time::Instant::now() + self.lease.duration;
        loop {
            match self.last_commit().await {
                Ok(last) => return Ok(last == self.lease.begun),
                Err(error @ LedgerError::Postgres(PostgresError::TakenOver)) => return Err(error),
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn last_commit(&mut self) -> Result<i64, LedgerError> {
        let mut connection = self.connected().await?;
        let token = self.lease.token;
        let asked = tokio::time::timeout(LONGEST, async {
            let transaction = connection.client.transaction().await?;
            // Waits for the transaction, if the server still has it.
            let sql = "SELECT commits FROM writer WHERE token = $1 FOR UPDATE";
            let row = first(&transaction, sql, &[(&token, Type::INT8)]).await?;
            transaction.rollback().await?;
            Ok::<Option<i64>, LedgerError>(row.map(|row| row.get(0)))
        });
        let commits = asked.await.map_err(|_| PostgresError::Timeout)??;
        self.connection = Some(connection);
        commits.ok_or(LedgerError::Postgres(PostgresError::TakenOver))
    }

    async fn measure(&mut self) {
        const SQL: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class \
             WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind = 'r'";
        let work: Work<i64> = Box::new(|transaction| {
            Box::pin(async move {
                let row = first(transaction, SQL, &[]).await?;
                Ok(row.map_or(0, |row| row.get(0)))
            })
        });
        if let Ok(size) = self.transact(work, Manner::read()).await {
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

/// Does work, and takes a panic in it for an error, so that it concerns one app only.
async fn contained<T>(mut work: BoxFuture<'_, Result<T, LedgerError>>) -> Result<T, LedgerError> {
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.unwrap_or(std::task::Poll::Ready(Err(LedgerError::Panicked)))
    })
    .await
}

impl Store for Postgres {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> BoxFuture<'_, Result<Vec<StoredApp>, LedgerError>> {
        let apps = Arc::new(apps);
        let work: Work<Vec<StoredApp>> = Box::new(move |transaction| {
            let apps = Arc::clone(&apps);
            Box::pin(async move { app::register_all(transaction, &apps, now).await })
        });
        Box::pin(self.transact(work, Manner::of_all()))
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        let commit = Arc::new(commit);
        let work: Work<Receipt> = Box::new(move |transaction| {
            let commit = Arc::clone(&commit);
            Box::pin(async move { commit::write(transaction, &commit).await })
        });
        Box::pin(self.transact(
            work,
            Manner::write(|receipt: &Receipt| if receipt.has_new_numbers { Did::Count } else { Did::Nothing }),
        ))
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
        let did = |added: &Vec<AddedMessages>| {
            if added.iter().any(|added| added.new > 0) { Did::Register } else { Did::Nothing }
        };
        Box::pin(self.transact(work, Manner::write(did)))
    }

    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>> {
        let query = Arc::new(query);
        let work: Work<DueMessages> = Box::new(move |transaction| {
            let query = Arc::clone(&query);
            Box::pin(async move { messages::due(transaction, &query).await })
        });
        Box::pin(self.transact(work, Manner::read()))
    }

    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>> {
        let work: Work<Vec<SentMessage>> =
            Box::new(move |transaction| Box::pin(async move { messages::newest(transaction, &query).await }));
        Box::pin(self.transact(work, Manner::read()))
    }

    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>> {
        let change = Arc::new(change);
        let work: Work<()> = Box::new(move |transaction| {
            let change = Arc::clone(&change);
            Box::pin(async move { messages::reschedule(transaction, &change).await })
        });
        Box::pin(self.transact(work, Manner::of_all()))
    }

    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>> {
        let work: Work<bool> =
            Box::new(move |transaction| Box::pin(async move { messages::upkeep(transaction, app, now).await }));
        Box::pin(async move {
            let may_be_more = self.transact(work, Manner::read()).await?;
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
        Box::pin(self.transact(work, Manner::write(|()| Did::Nothing)))
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        // A transaction of its own: it renews the lease, which is a write.
        let work: Work<()> = Box::new(|_| Box::pin(async { Ok(()) }));
        Box::pin(self.transact(work, Manner::read()))
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
            let Some(connection) = self.connection.take() else { return };
            let sql = "UPDATE writer SET expires = clock_timestamp() WHERE token = $1";
            let key = [(&token as &(dyn ToSql + Sync), Type::INT8)];
            let ended = tokio::time::timeout(Duration::from_secs(1), connection.client.query_typed(sql, &key)).await;
            if !matches!(ended, Ok(Ok(_))) {
                tracing::warn!("cannot end the lease of the ledger; the next exporter waits until it has ended");
            }
        })
    }
}
