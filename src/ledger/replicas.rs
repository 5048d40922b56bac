//! Replicas that share a ledger: who is alive, who owns an app, and who should own it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{Notify, mpsc, watch};

use crate::ledger::{AppId, LedgerError};
use crate::util::lease::{Lease, Token};

/// A live replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Token of its membership.
    pub token: Token,
    /// Configured name, which is unique.
    pub name: String,
    /// True once it has lived for a lease: others hand over apps to it.
    pub is_settled: bool,
}

/// An app that this replica has configured, as the replicas share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedApp {
    /// Name of the provider.
    pub provider: String,
    /// Name of the app.
    pub name: String,
    /// Id in the ledger, once it has a row.
    pub id: Option<AppId>,
    /// Token of the owner, if it is alive.
    pub owner: Option<Token>,
    /// Live replicas that may own it: those that have it configured with the account that the ledger has, or, if there
    /// are none, with any account.
    pub candidates: Vec<Token>,
}

/// The replicas and the apps, as this replica sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Token of this replica; `None` while it has none.
    pub me: Option<Token>,
    /// All live replicas.
    pub replicas: Vec<Replica>,
    /// The apps that this replica has configured.
    pub apps: Vec<SharedApp>,
    /// Number of the configuration that the apps are from; see [`Replicas::configure`].
    pub configuration: u64,
    /// True if another process has joined under the name of this one.
    pub is_replaced: bool,
}

impl Fleet {
    /// Returns a replica by its token.
    pub fn replica(&self, token: Token) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.token == token)
    }

    /// Returns true if this replica should own the app: it does and no settled replica is preferred, or nobody does and
    /// it is the preferred one of all. `is_abandoned` says whether the preferred one has left a free app alone for too long,
    /// and `is_idle` whether a replica has done so lately: it gets nothing that others have.
    pub fn should_own(&self, app: &SharedApp, is_abandoned: bool, is_idle: impl Fn(Token) -> bool) -> bool {
        let Some(me) = self.me.filter(|me| app.candidates.contains(me)) else { return false };
        match app.owner {
            Some(owner) if owner == me => {
                let is_eligible =
                    |replica: &&Replica| (replica.is_settled && !is_idle(replica.token)) || replica.token == me;
                self.preferred(app, is_eligible) == Some(me)
            }
            Some(_) => false,
            None => is_abandoned || self.preferred(app, |_| true) == Some(me),
        }
    }

    /// Returns the candidate that should take the app if nobody has it.
    pub fn heir(&self, app: &SharedApp) -> Option<Token> {
        self.preferred(app, |_| true)
    }

    /// Returns the candidate that rendezvous hashing prefers: the one whose name and the app's have the highest hash.
    /// So a replica that joins or leaves moves only its own share.
    fn preferred(&self, app: &SharedApp, is_eligible: impl Fn(&&Replica) -> bool) -> Option<Token> {
        let candidates = self.replicas.iter().filter(|replica| app.candidates.contains(&replica.token));
        candidates.filter(is_eligible).max_by_key(|replica| weight(&replica.name, app)).map(|replica| replica.token)
    }
}

/// Returns the weight of an app for a replica. Replicas of all releases must agree on it.
fn weight(replica: &str, app: &SharedApp) -> [u8; 32] {
    let text = format!("{replica}\0{}\0{}", app.provider, app.name);
    let mut weight = [0; 32];
    weight.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    weight
}

/// The apps that this process polls and shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// All that are configured.
    All,
    /// These, by provider and name.
    Only(BTreeSet<(String, String)>),
}

impl Share {
    /// Returns true if an app belongs to it.
    pub fn contains(&self, provider: &str, name: &str) -> bool {
        match self {
            Share::All => true,
            Share::Only(apps) => apps.contains(&(provider.to_owned(), name.to_owned())),
        }
    }
}

/// Request to refresh the view of the fleet before its time.
#[derive(Debug, Default)]
pub struct Refresh {
    requested: Notify,
    of_owners: AtomicBool,
}

impl Refresh {
    /// Requests a refresh; `of_owners` if replicas or owners may have changed, not only registered messages.
    pub fn request(&self, of_owners: bool) {
        self.of_owners.fetch_or(of_owners, Ordering::Relaxed);
        self.requested.notify_one();
    }

    /// Waits for a request.
    pub async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Returns true if owners may have changed since the last time.
    pub fn take_of_owners(&self) -> bool {
        self.of_owners.swap(false, Ordering::Relaxed)
    }
}

/// An app of the configuration, as other replicas need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredApp {
    /// Name of the provider.
    pub provider: &'static str,
    /// Name of the app.
    pub name: String,
    /// Identity of the account at the provider.
    pub account: String,
}

/// Handle to the membership of this replica in the fleet.
pub struct Replicas {
    /// Lease of this replica.
    pub lease: Lease,
    /// Duration of the lease.
    pub duration: Duration,
    fleet: watch::Receiver<Fleet>,
    configured: watch::Sender<(u64, Vec<ConfiguredApp>)>,
    refresh: Arc<Refresh>,
    arrived: mpsc::Receiver<Vec<AppId>>,
}

/// The other ends of a [`Replicas`], for the task that keeps the membership.
pub struct MembershipEnds {
    /// Lease of this replica.
    pub lease: Lease,
    /// The view of the fleet.
    pub fleet: watch::Sender<Fleet>,
    /// The configured apps with the number of the configuration.
    pub configured: watch::Receiver<(u64, Vec<ConfiguredApp>)>,
    /// Request to refresh the view of the fleet.
    pub refresh: Arc<Refresh>,
    /// Ids of apps for which another replica has registered messages.
    pub arrived: mpsc::Sender<Vec<AppId>>,
}

/// FleetEvent of the fleet.
#[derive(Debug)]
pub enum FleetEvent {
    /// The view has changed.
    Changed,
    /// Another replica has registered messages of these apps.
    MessagesRegistered(Vec<AppId>),
    /// The task that keeps the membership has ended.
    Ended,
}

impl Replicas {
    /// Creates a handle and its other ends.
    pub fn new(duration: Duration) -> (Replicas, MembershipEnds) {
        let lease = Lease::default();
        let (set_fleet, fleet) = watch::channel(Fleet::default());
        let (set_configured, configured) = watch::channel((0, Vec::new()));
        // The ledger remembers what does not fit.
        let (set_arrived, arrived) = mpsc::channel(16);
        let refresh = Arc::new(Refresh::default());
        let ends = MembershipEnds {
            lease: lease.clone(),
            fleet: set_fleet,
            configured,
            refresh: Arc::clone(&refresh),
            arrived: set_arrived,
        };
        (Replicas { lease, duration, fleet, configured: set_configured, refresh, arrived }, ends)
    }

    /// Tells the other replicas which apps are configured, and gives up the others. Waits until the fleet is known with
    /// these apps.
    ///
    /// # Errors
    /// Another process has this replica's name: this one must not go on.
    pub async fn configure(&mut self, apps: Vec<ConfiguredApp>) -> Result<Fleet, LedgerError> {
        let mut number = 0;
        self.configured.send_modify(|(of, configured)| {
            *of += 1;
            number = *of;
            *configured = apps;
        });
        let is_known = |fleet: &Fleet| fleet.is_replaced || (fleet.configuration == number && fleet.me.is_some());
        self.fleet.wait_for(is_known).await.map_err(|_| LedgerError::Closed)?;
        self.fleet()
    }

    /// Returns the fleet as last seen.
    ///
    /// # Errors
    /// Another process has this replica's name: this one must not go on.
    pub fn fleet(&mut self) -> Result<Fleet, LedgerError> {
        let fleet = self.fleet.borrow_and_update().clone();
        if fleet.is_replaced { Err(LedgerError::SameName) } else { Ok(fleet) }
    }

    /// Returns an error if another process has joined under the name of this one.
    ///
    /// # Errors
    /// Another process has this replica's name: this one must not go on.
    pub fn check(&self) -> Result<(), LedgerError> {
        if self.fleet.borrow().is_replaced { Err(LedgerError::SameName) } else { Ok(()) }
    }

    /// Waits for the next event.
    pub async fn next_event(&mut self) -> FleetEvent {
        tokio::select! {
            changed = self.fleet.changed() => match changed {
                Ok(()) => FleetEvent::Changed,
                Err(_) => FleetEvent::Ended,
            },
            Some(apps) = self.arrived.recv() => FleetEvent::MessagesRegistered(apps),
        }
    }

    /// Requests a refresh of the view of the fleet.
    pub fn refresh(&self) {
        self.refresh.request(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const LETTERS: [&str; 4] = ["a", "b", "c", "d"];

    fn fleet(me: Token, names: &[&str]) -> Fleet {
        let replica = |(index, name): (usize, &&str)| Replica {
            token: index as Token,
            name: (*name).to_owned(),
            is_settled: true,
        };
        Fleet { me: Some(me), replicas: names.iter().enumerate().map(replica).collect(), ..Fleet::default() }
    }

    fn app(name: &str, owner: Option<Token>, candidates: &[Token]) -> SharedApp {
        SharedApp { provider: "jpush".into(), name: name.into(), id: None, owner, candidates: candidates.to_vec() }
    }

    /// The preferred replica of each of 1,000 apps.
    fn spread(names: &[&str]) -> Vec<Token> {
        let (fleet, all) = (fleet(0, names), (0..names.len() as Token).collect::<Vec<_>>());
        (0..1000).map(|number| fleet.preferred(&app(&format!("app{number}"), None, &all), |_| true).unwrap()).collect()
    }

    #[test]
    fn apps_are_spread_evenly_and_a_replica_that_joins_moves_only_its_share() {
        let (three, four) = (spread(&LETTERS[..3]), spread(&LETTERS));
        let mut counts = BTreeMap::new();
        three.iter().for_each(|token| *counts.entry(*token).or_insert(0) += 1);
        assert!(counts.values().all(|count| (267..=400).contains(count)), "{counts:?}");
        let moved = three.iter().zip(&four).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(_, after)| *after == 3), "only to the new one");
        assert!((200..=300).contains(&moved.count()));
    }

    #[test]
    fn the_hash_is_the_same_in_every_release() {
        // printf 'a\0jpush\0shop' | sha256sum
        let shop = app("shop", None, &[]);
        assert_eq!(weight("a", &shop)[..4], [0x20, 0x0e, 0x71, 0x2a]);
    }

    #[test]
    fn an_owner_keeps_what_no_settled_replica_is_preferred_for() {
        let mut all = fleet(0, &LETTERS[..2]);
        let is_others =
            |number: &usize| all.preferred(&app(&format!("app{number}"), None, &[0, 1]), |_| true) == Some(1);
        let name = format!("app{}", (0..).find(is_others).unwrap());
        let owned = app(&name, Some(0), &[0, 1]);
        assert!(!all.should_own(&owned, false, |_| false), "handed over");
        assert!(!all.should_own(&app(&name, None, &[0, 1]), false, |_| false), "left to the preferred one");
        assert!(all.should_own(&app(&name, None, &[0, 1]), true, |_| false), "which does not take it");
        assert!(!all.should_own(&app(&name, Some(1), &[0, 1]), true, |_| false), "owned by the other");
        assert!(all.should_own(&owned, false, |token| token == 1), "the other takes nothing");
        all.replicas[1].is_settled = false;
        assert!(all.should_own(&owned, false, |_| false), "the other has not lived for a lease");
        assert!(!all.should_own(&app(&name, None, &[0, 1]), false, |_| false), "a free one is its own at once");
        assert!(all.should_own(&app(&name, None, &[0]), false, |_| false), "only this one has it");
        assert!(!all.should_own(&app(&name, Some(0), &[1]), false, |_| false), "this one has another account");
        all.me = None;
        assert!(!all.should_own(&owned, true, |_| false), "it has no lease");
    }
}
