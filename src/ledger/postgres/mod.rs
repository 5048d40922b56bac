//! The ledger in a PostgreSQL database, which replicas share. Each app belongs to one of them at a time, and every
//! transaction that writes about an app checks that, so that a replica that was away cannot write after another has taken
//! the app over.
//! [`crate::ledger::rules`] decides what a commit changes; this folder loads and writes rows.

mod app;
mod commit;
mod connect;
pub(in crate::ledger) mod copy;
pub mod error;
mod file_marks;
mod hours;
mod load;
mod membership;
mod messages;
pub mod owners;
mod passfile;
pub(super) mod read_only;
mod replica_rows;
mod series;
mod sql;
mod tls;
mod values;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::task::AbortHandle;
use tokio_postgres::Transaction;

use crate::config::postgres_address::PostgresAddress;
use crate::ledger::crash_points::{self, Did};
use crate::ledger::postgres::connect::{Connection, Connector};
use crate::ledger::postgres::error::{PostgresError, is_conflict, is_lost, is_stale};
use crate::ledger::postgres::membership::{Membership, Session};
use crate::ledger::postgres::replica_rows::TRANSACTION_TIMEOUT;
use crate::ledger::postgres::sql::first;
use crate::ledger::replicas::{MembershipEnds, Replicas};
use crate::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, HourTotals, LedgerError, NewMessages, NewestQuery,
    Receipt, Reschedule, Store, StoredApp, TrackedMessage, TrackedQuery,
};
use crate::model::reading::{SentMessage, SeriesId};
use crate::util::future::BoxFuture;
use crate::util::lease::Token;

/// Time limit of a transaction that touches every message of an app, of which there may be a million.
const LONG_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(600);
/// Time limit of leaving the fleet.
const LEAVE: Duration = Duration::from_millis(800);
/// Number of apps that are registered in one transaction.
const REGISTERED_AT_ONCE: usize = 100;
/// Maximum number of attempts of a transaction that conflicts with another.
const ATTEMPTS: u32 = 5;

/// A ledger in a PostgreSQL database.
pub struct Postgres {
    connector: Arc<Connector>,
    connection: Option<Connection>,
    /// Name of this replica.
    name: String,
    /// Duration of the lease.
    lease: Duration,
    session: Arc<Session>,
    /// Membership of the last transaction.
    last_token: Token,
    /// Number of the last transaction that was last_number; the database remembers that of the last one that was committed.
    last_number: i64,
    /// Both ends of the membership, until it is shared.
    membership: Option<(Replicas, MembershipEnds)>,
    /// The task that keeps the membership.
    keeper: Option<AbortHandle>,
    /// Bytes of all tables, as last asked.
    size: u64,
}

/// Work of a transaction of the replica with this token; it may be done several times.
type Work<T> =
    Box<dyn for<'t, 'c> Fn(&'t Transaction<'c>, Token) -> BoxFuture<'t, Result<T, LedgerError>> + Send + Sync>;

/// Options of a transaction.
struct TransactionOptions<T> {
    /// Returns the effect of the result that needs_outcome for a crash.
    did: fn(&T) -> Did,
    /// True if the outcome must be looked up when the answer to COMMIT is lost.
    needs_outcome: bool,
    limit: Duration,
}

impl<T> TransactionOptions<T> {
    /// A transaction that writes.
    fn write(did: fn(&T) -> Did) -> TransactionOptions<T> {
        TransactionOptions { did, needs_outcome: true, limit: TRANSACTION_TIMEOUT }
    }

    /// A transaction that only reads, or writes what will be written again.
    fn read() -> TransactionOptions<T> {
        TransactionOptions { did: |_| Did::Nothing, needs_outcome: false, limit: TRANSACTION_TIMEOUT }
    }

    /// A transaction that may touch every message of an app.
    fn long_write() -> TransactionOptions<T> {
        TransactionOptions { did: |_| Did::Nothing, needs_outcome: true, limit: LONG_TRANSACTION_TIMEOUT }
    }
}

impl Postgres {
    /// Connects, brings the schema up to date, and joins the fleet.
    ///
    /// # Errors
    /// A server that cannot be used, or a ledger that a newer release wrote.
    pub async fn open(address: &PostgresAddress) -> Result<Postgres, LedgerError> {
        let connector = Arc::new(Connector::new(address)?);
        let mut connection = connector.connect(None).await?;
        let joined = tokio::time::timeout(TRANSACTION_TIMEOUT, async {
            if connect::migrate(&mut connection.client, &connector, &address.replica.name).await? {
                let ledger = &connector.context.server;
                tracing::warn!(ledger, "created a new ledger; counters start from a baseline");
            }
            replica_rows::join(&mut connection.client, &address.replica.name, address.replica.lease).await
        });
        let token = joined.await.map_err(|_| PostgresError::Timeout)??;
        let (replicas, ends) = Replicas::new(address.replica.lease);
        let session = Arc::new(Session::new(token, replicas.lease.clone()));
        let mut postgres = Postgres {
            connector,
            connection: Some(connection),
            name: address.replica.name.clone(),
            lease: address.replica.lease,
            session,
            last_token: token,
            last_number: 0,
            membership: Some((replicas, ends)),
            keeper: None,
            size: 0,
        };
        postgres.measure().await;
        Ok(postgres)
    }

    /// Runs `work` in a transaction.
    async fn transact<T: Send + 'static>(
        &mut self,
        work: Work<T>,
        options: TransactionOptions<T>,
    ) -> Result<T, LedgerError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(&work, &options).await {
                Attempt::Done(result) => return Ok(result),
                Attempt::Failed(error) => return Err(error),
                Attempt::Conflict(error) => error,
                Attempt::OutcomeUnknown(_) if !options.needs_outcome => return Err(PostgresError::Timeout.into()),
                // The connection broke while the transaction was committed: the database knows how it ended.
                Attempt::OutcomeUnknown(result) => match self.is_committed().await {
                    Ok(true) => return Ok(result),
                    Ok(false) => PostgresError::Timeout.into(),
                    Err(_) => {
                        self.session.end_if(self.last_token);
                        return Err(PostgresError::UnknownCommit.into());
                    }
                },
            };
            if attempt >= ATTEMPTS {
                return Err(error);
            }
        }
    }

    async fn attempt<T: Send + 'static>(&mut self, work: &Work<T>, options: &TransactionOptions<T>) -> Attempt<T> {
        let mut connection = match self.connected().await {
            Ok(connection) => connection,
            Err(error) => return Attempt::Failed(error),
        };
        // No number is used twice, or a lookup could take one transaction for another.
        self.last_number += 1;
        let (number, lease) = (self.last_number, self.lease);
        let token = match self.session.token() {
            Ok(token) => token,
            Err(error) => {
                self.connection = Some(connection);
                return Attempt::Failed(error.into());
            }
        };
        self.last_token = token;
        let mut done = None;
        let outcome = tokio::time::timeout(options.limit, async {
            let transaction = connection.client.transaction().await?;
            replica_rows::begin(&transaction, token, number, lease).await?;
            let result = contained(work(&transaction, token)).await?;
            let effect = (options.did)(&result);
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
            (Err(_), Some(result)) if !is_usable => Attempt::OutcomeUnknown(result),
            (Err(LedgerError::Database(error)), _) if is_conflict(&error) => Attempt::Conflict(error.into()),
            (Err(error), _) => Attempt::Failed(error),
        }
    }

    /// Takes the connection, or makes a new one. It is given back if it can be used again.
    async fn connected(&mut self) -> Result<Connection, LedgerError> {
        match self.connection.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => Ok(connection),
            None => self.connector.connect(None).await,
        }
    }

    /// Finds out whether the last transaction was committed, until the lease would have ended.
    async fn is_committed(&mut self) -> Result<bool, LedgerError> {
        let deadline = tokio::time::Instant::now() + self.lease;
        loop {
            match self.last_commit().await {
                Ok(last) => return Ok(last == self.last_number),
                Err(error @ LedgerError::Postgres(PostgresError::NoLease)) => return Err(error),
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn last_commit(&mut self) -> Result<i64, LedgerError> {
        let mut connection = self.connected().await?;
        let (token, lease) = (self.last_token, self.lease);
        let asked = tokio::time::timeout(TRANSACTION_TIMEOUT, async {
            let transaction = connection.client.transaction().await?;
            replica_rows::limit(&transaction, lease).await?;
            let last = replica_rows::last_commit(&transaction, token).await?;
            transaction.rollback().await?;
            Ok::<i64, LedgerError>(last)
        });
        let last = asked.await.map_err(|_| PostgresError::Timeout)??;
        self.connection = Some(connection);
        Ok(last)
    }

    async fn measure(&mut self) {
        const SQL: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class \
             WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind = 'r'";
        let work: Work<i64> = Box::new(|transaction, _| {
            Box::pin(async move {
                let row = first(transaction, SQL, &[]).await?;
                Ok(row.map_or(0, |row| row.get(0)))
            })
        });
        if let Ok(size) = self.transact(work, TransactionOptions::read()).await {
            self.size = u64::try_from(size).unwrap_or(0);
        }
    }
}

/// Outcome of one attempt of a transaction.
enum Attempt<T> {
    Done(T),
    Conflict(LedgerError),
    Failed(LedgerError),
    OutcomeUnknown(T),
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
        Box::pin(async move {
            let mut stored = Vec::new();
            // Each transaction is shorter than a lease.
            for apps in apps.chunks(REGISTERED_AT_ONCE) {
                let (apps, name) = (Arc::new(apps.to_vec()), Arc::new(self.name.clone()));
                let work: Work<Vec<StoredApp>> = Box::new(move |transaction, token| {
                    let (apps, name) = (Arc::clone(&apps), Arc::clone(&name));
                    Box::pin(async move {
                        let claimer = app::Claimer { token, name: &name };
                        app::register_all(transaction, &claimer, &apps, now).await
                    })
                });
                stored.extend(self.transact(work, TransactionOptions::long_write()).await?);
            }
            Ok(stored)
        })
    }

    fn commit(&mut self, commit: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        let commit = Arc::new(commit);
        let work: Work<Receipt> = Box::new(move |transaction, token| {
            let commit = Arc::clone(&commit);
            Box::pin(async move { commit::write(transaction, token, &commit).await })
        });
        Box::pin(self.transact(
            work,
            TransactionOptions::write(
                |receipt: &Receipt| if receipt.has_new_numbers { Did::Count } else { Did::Nothing },
            ),
        ))
    }

    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>> {
        let (new, name) = (Arc::new(new), Arc::new(self.name.clone()));
        let work: Work<Vec<AddedMessages>> = Box::new(move |transaction, token| {
            let (new, name) = (Arc::clone(&new), Arc::clone(&name));
            Box::pin(async move {
                let mut added = Vec::new();
                let mut is_for_others = false;
                for new in new.iter() {
                    let (of_app, is_of_another) = messages::add(transaction, token, &name, new).await?;
                    if is_of_another {
                        messages::flag_arrived(transaction, new.app).await?;
                        is_for_others = true;
                    }
                    added.push(of_app);
                }
                if is_for_others {
                    replica_rows::notify_messages(transaction).await?;
                }
                Ok(added)
            })
        });
        let did = |added: &Vec<AddedMessages>| {
            if added.iter().any(|added| added.new > 0) { Did::Register } else { Did::Nothing }
        };
        Box::pin(self.transact(work, TransactionOptions::write(did)))
    }

    fn due_messages(&mut self, query: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>> {
        let query = Arc::new(query);
        let work: Work<DueMessages> = Box::new(move |transaction, _| {
            let query = Arc::clone(&query);
            Box::pin(async move { messages::due(transaction, &query).await })
        });
        Box::pin(self.transact(work, TransactionOptions::read()))
    }

    fn tracked_messages(&mut self, query: TrackedQuery) -> BoxFuture<'_, Result<Vec<TrackedMessage>, LedgerError>> {
        let work: Work<Vec<TrackedMessage>> = Box::new(move |transaction, _| {
            let query = query.clone();
            Box::pin(async move { messages::tracked(transaction, &query).await })
        });
        Box::pin(self.transact(work, TransactionOptions::read()))
    }

    fn newest_messages(&mut self, query: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>> {
        let work: Work<Vec<SentMessage>> =
            Box::new(move |transaction, _| Box::pin(async move { messages::newest(transaction, &query).await }));
        Box::pin(self.transact(work, TransactionOptions::read()))
    }

    fn reschedule(&mut self, change: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>> {
        let change = Arc::new(change);
        let work: Work<()> = Box::new(move |transaction, token| {
            let change = Arc::clone(&change);
            Box::pin(async move {
                load::own_app_row(transaction, token, change.app).await?;
                messages::reschedule(transaction, &change).await
            })
        });
        Box::pin(self.transact(work, TransactionOptions::long_write()))
    }

    fn upkeep(&mut self, app: AppId, now: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>> {
        let work: Work<bool> = Box::new(move |transaction, token| {
            Box::pin(async move {
                load::own_app_row(transaction, token, app).await?;
                messages::upkeep(transaction, app, now).await
            })
        });
        Box::pin(async move {
            let may_be_more = self.transact(work, TransactionOptions::read()).await?;
            self.measure().await;
            Ok(may_be_more)
        })
    }

    fn note_hour(&mut self, apps: Vec<AppId>, hour: i64) -> BoxFuture<'_, Result<Vec<HourTotals>, LedgerError>> {
        let apps = Arc::new(apps);
        let work: Work<Vec<HourTotals>> = Box::new(move |transaction, token| {
            let apps = Arc::clone(&apps);
            Box::pin(async move { hours::note(transaction, token, &apps, hour).await })
        });
        Box::pin(self.transact(work, TransactionOptions::write(|_| Did::Nothing)))
    }

    fn release(&mut self, series: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        let released = Arc::new(series);
        let work: Work<()> = Box::new(move |transaction, token| {
            let released = Arc::clone(&released);
            Box::pin(async move { series::release(transaction, token, &released).await })
        });
        Box::pin(self.transact(work, TransactionOptions::write(|()| Did::Nothing)))
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        // The transaction stores its number, which is a write.
        let work: Work<()> = Box::new(|_, _| Box::pin(async { Ok(()) }));
        Box::pin(self.transact(work, TransactionOptions::read()))
    }

    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        // The server checks its own pages.
        Box::pin(async { Ok(()) })
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn share(&mut self, renewals: IntCounter) -> Option<Replicas> {
        let (replicas, ends) = self.membership.take()?;
        let (connector, session) = (Arc::clone(&self.connector), Arc::clone(&self.session));
        let membership = Membership::new(connector, (self.name.clone(), self.lease), session, ends, renewals);
        self.keeper = Some(tokio::spawn(membership.keep()).abort_handle());
        Some(replicas)
    }

    fn hand_over(&mut self, apps: Vec<AppId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        let apps = Arc::new(apps);
        let work: Work<()> = Box::new(move |transaction, token| {
            let apps = Arc::clone(&apps);
            Box::pin(async move { replica_rows::hand_over(transaction, token, &apps).await })
        });
        Box::pin(self.transact(work, TransactionOptions::write(|()| Did::Nothing)))
    }

    fn registered(&mut self, app: AppId) -> BoxFuture<'_, Result<AddedMessages, LedgerError>> {
        let work: Work<AddedMessages> = Box::new(move |transaction, token| {
            Box::pin(async move { messages::registered(transaction, token, app).await })
        });
        Box::pin(self.transact(work, TransactionOptions::read()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // It would join again.
            if let Some(keeper) = self.keeper.take() {
                keeper.abort();
            }
            let Ok(token) = self.session.token() else { return };
            self.session.end();
            let leaving = async {
                let connection = self.connected().await?;
                replica_rows::leave(&connection.client, token).await
            };
            let left = tokio::time::timeout(LEAVE, leaving).await;
            if !matches!(left, Ok(Ok(()))) {
                tracing::warn!("cannot leave the fleet; the other replicas take over when the lease ends");
            }
        })
    }
}
