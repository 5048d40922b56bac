//! The membership of this replica in the fleet, on a connection of its own: renews the lease, looks at the other replicas
//! and at who owns which app, and joins again after others have taken over.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::time::Instant;
use tokio_postgres::CancelToken;

use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::{Connection, Connector};
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::replica_rows::{self, CHANNEL};
use crate::ledger::replicas::{Fleet, MembershipEnds};
use crate::util::clock::boot_time;
use crate::util::lease::{Lease, Token};

/// Interval between two looks at the fleet; messages that other replicas register are found within it.
const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// Least time between two looks that are requested.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
/// Interval at which the owners of all apps are read if nothing is known to have changed.
const OWNERS_INTERVAL: Duration = Duration::from_secs(5);

/// The membership that transactions belong to; shared by the ledger and the task that renews it.
pub(super) struct Session {
    token: Mutex<Option<Token>>,
    lease: Lease,
}

impl Session {
    pub(super) fn new(token: Token, lease: Lease) -> Session {
        Session { token: Mutex::new(Some(token)), lease }
    }

    /// Returns the token, unless the lease has ended.
    pub(super) fn token(&self) -> Result<Token, PostgresError> {
        self.token.lock().ok_or(PostgresError::NoLease)
    }

    /// Ends this membership: its apps leave the page at once, and the task joins again.
    pub(super) fn end(&self) {
        *self.token.lock() = None;
        self.lease.end();
    }

    /// Ends a membership unless another one has begun since.
    pub(super) fn end_if(&self, token: Token) {
        let mut current = self.token.lock();
        if *current == Some(token) {
            *current = None;
            self.lease.end();
        }
    }

    /// Renews the lease of a membership that has not ended meanwhile.
    fn renew(&self, token: Token, until: Duration) {
        let current = self.token.lock();
        if *current == Some(token) {
            self.lease.renew(token, until);
        }
    }
}

/// The task that keeps the membership.
pub(super) struct Membership {
    connector: Arc<Connector>,
    name: String,
    /// Duration of the lease.
    lease: Duration,
    session: Arc<Session>,
    ends: MembershipEnds,
    renewals: IntCounter,
    connection: Option<Connection>,
    /// Cancels what the connection does.
    cancel: Option<CancelToken>,
    /// Number of the configuration that the others know.
    published: u64,
    /// Time at which the owners of all apps were read.
    reviewed: Option<Instant>,
    /// True if the last beat failed, which is logged once.
    is_failing: bool,
}

impl Membership {
    pub(super) fn new(
        connector: Arc<Connector>,
        (name, lease): (String, Duration),
        session: Arc<Session>,
        ends: MembershipEnds,
        renewals: IntCounter,
    ) -> Membership {
        Membership {
            connector,
            name,
            lease,
            session,
            ends,
            renewals,
            connection: None,
            cancel: None,
            published: 0,
            reviewed: None,
            is_failing: false,
        }
    }

    /// Keeps the membership until nobody uses it any more, or another process has its name.
    pub(super) async fn keep(mut self) {
        loop {
            // A server that hangs must not keep this replica from trying another connection while its lease lasts.
            let beat = tokio::time::timeout(self.lease / 3, self.beat()).await;
            let result = beat.unwrap_or(Err(PostgresError::Timeout.into()));
            match &result {
                Ok(()) if std::mem::take(&mut self.is_failing) => tracing::info!("renewed the lease again"),
                Ok(()) => {}
                Err(error) => {
                    self.connection = None;
                    if let Some(token) = self.cancel.take() {
                        self.connector.cancel(token).await;
                    }
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let error = error.to_string();
                        tracing::warn!(error, "cannot renew the lease; when it ends, the apps leave /metrics");
                    }
                }
            }
            if self.ends.fleet.borrow().is_replaced {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(RENEW_INTERVAL) => {}
                // Several requests at once are one.
                () = self.ends.refresh.requested(), if !self.is_failing => tokio::time::sleep(LEAST_INTERVAL).await,
                changed = self.ends.configured.changed(), if !self.is_failing => match changed {
                    Ok(()) => {}
                    Err(_) => return,
                },
            }
        }
    }

    async fn beat(&mut self) -> Result<(), LedgerError> {
        let mut connection = match self.connection.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let token = match self.session.token() {
            Ok(token) => token,
            Err(_) => {
                self.ends.lease.end();
                let token = replica_rows::join(&mut connection.client, &self.name, self.lease).await?;
                (self.published, self.reviewed) = (0, None);
                *self.session.token.lock() = Some(token);
                token
            }
        };
        // The server's lease ends later than this one: it begins when the statement arrives there.
        let until = boot_time() + self.lease - self.lease / 10;
        if !replica_rows::renew(&connection.client, token, &self.name, self.lease).await? {
            self.session.end();
            let is_replaced = replica_rows::is_name_taken(&connection.client, token, &self.name).await?;
            tracing::warn!(is_replaced, "lost the lease; rejoining");
            self.ends.fleet.send_replace(Fleet { is_replaced, ..Fleet::default() });
            self.connection = Some(connection);
            self.ends.refresh.request(true);
            return Ok(());
        }
        self.renewals.inc();
        self.session.renew(token, until);
        let configured = self.ends.configured.borrow_and_update().clone();
        if configured.0 != self.published {
            replica_rows::configure(&mut connection.client, token, self.lease, &configured.1).await?;
            (self.published, self.reviewed) = (configured.0, None);
        }
        replica_rows::delete_expired(&connection.client).await?;
        self.review(&connection, token).await?;
        if let Ok(place) = self.ends.arrived.try_reserve() {
            let arrived = replica_rows::arrived(&connection.client, token).await?;
            if !arrived.is_empty() {
                place.send(arrived);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, LedgerError> {
        let connection = self.connector.connect(Some(Arc::clone(&self.ends.refresh))).await?;
        self.cancel = Some(connection.client.cancel_token());
        // Behind a proxy that pools transactions nothing arrives; then the next beat finds what is new.
        connection.client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        Ok(connection)
    }

    /// Looks at the replicas, and at the owners of all apps if anything may have changed.
    async fn review(&mut self, connection: &Connection, token: Token) -> Result<(), LedgerError> {
        let replicas = replica_rows::replicas(&connection.client, self.lease).await?;
        if self.ends.refresh.take_of_owners() {
            self.reviewed = None;
        }
        let is_same = {
            let fleet = self.ends.fleet.borrow();
            fleet.me == Some(token) && fleet.replicas == replicas
        };
        if is_same && self.reviewed.is_some_and(|at| at.elapsed() < OWNERS_INTERVAL) {
            return Ok(());
        }
        let apps = replica_rows::apps(&connection.client, token).await?;
        self.reviewed = Some(Instant::now());
        let fleet = Fleet { me: Some(token), replicas, apps, configuration: self.published, is_replaced: false };
        self.ends.fleet.send_if_modified(|before| {
            let is_changed = *before != fleet;
            *before = fleet;
            is_changed
        });
        Ok(())
    }
}
