//! The membership of this replica in the fleet, on a connection of its own: renews the lease, looks at the other replicas
//! and at who owns which app, and joins again after others have taken over.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::time::Instant;

use crate::ledger::LedgerError;
use crate::ledger::postgres::connect::{Connection, Connector};
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::replica_rows::{self, CHANNEL};
use crate::ledger::replicas::{Fleet, MembershipEnds};
use crate::util::clock::boot_time;
use crate::util::lease::{Lease, Token};

/// Interval between two looks at the fleet; messages that other replicas register are found within it.
const BEAT: Duration = Duration::from_secs(1);
/// Interval at which the owners of all apps are read if nothing is known to have changed.
const REVIEW: Duration = Duration::from_secs(5);

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

    /// Ends this membership: its apps leave the page at once, and the task joins anew.
    pub(super) fn end(&self) {
        *self.token.lock() = None;
        self.lease.end();
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
    /// Number of the configuration that the others know.
    told: u64,
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
            told: 0,
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
                Ok(()) if std::mem::take(&mut self.is_failing) => tracing::info!("the lease is renewed again"),
                Ok(()) => {}
                Err(error) => {
                    self.connection = None;
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let error = error.to_string();
                        tracing::warn!(error, "cannot renew the lease; apps leave the page when it ends");
                    }
                }
            }
            if self.ends.fleet.borrow().is_replaced {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = self.ends.look.notified(), if !self.is_failing => self.reviewed = None,
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
                let token = replica_rows::join(&mut connection.client, &self.name, self.lease).await?;
                (self.told, self.reviewed) = (0, None);
                *self.session.token.lock() = Some(token);
                token
            }
        };
        // The server's lease ends later than this one: it begins when the statement arrives there.
        let until = boot_time() + self.lease - self.lease / 10;
        if !replica_rows::renew(&connection.client, token, self.lease).await? {
            self.session.end();
            let is_replaced = replica_rows::is_name_taken(&connection.client, &self.name).await?;
            tracing::warn!(is_replaced, "the lease has ended, and the other replicas have taken over");
            self.ends.fleet.send_replace(Fleet { is_replaced, ..Fleet::default() });
            self.connection = Some(connection);
            self.ends.look.notify_one();
            return Ok(());
        }
        self.renewals.inc();
        self.ends.lease.renew(token, until);
        let configured = self.ends.configured.borrow_and_update().clone();
        if configured.0 != self.told {
            replica_rows::configure(&mut connection.client, token, &configured.1).await?;
            (self.told, self.reviewed) = (configured.0, None);
        }
        replica_rows::bury(&connection.client).await?;
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

    async fn connect(&self) -> Result<Connection, LedgerError> {
        let connection = self.connector.connect(Some(Arc::clone(&self.ends.look))).await?;
        // Behind a proxy that pools transactions nothing arrives; then the next beat finds what is new.
        connection.client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        Ok(connection)
    }

    /// Looks at the replicas, and at the owners of all apps if anything may have changed.
    async fn review(&mut self, connection: &Connection, token: Token) -> Result<(), LedgerError> {
        let replicas = replica_rows::replicas(&connection.client, self.lease).await?;
        let is_same = {
            let fleet = self.ends.fleet.borrow();
            fleet.me == Some(token) && fleet.replicas == replicas
        };
        if is_same && self.reviewed.is_some_and(|at| at.elapsed() < REVIEW) {
            return Ok(());
        }
        let apps = replica_rows::apps(&connection.client, token).await?;
        self.reviewed = Some(Instant::now());
        let fleet = Fleet { me: Some(token), replicas, apps, configuration: self.told, is_replaced: false };
        self.ends.fleet.send_if_modified(|before| {
            let is_changed = *before != fleet;
            *before = fleet;
            is_changed
        });
        Ok(())
    }
}
