//! The share of the apps that this replica polls and shows: what the fleet says it should be, and the steps towards it. An app
//! leaves the page before it is released, and is claimed before it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::exposition::Exposition;
use crate::ledger::replicas::{ConfiguredApp, Fleet, FleetEvent, Replicas, Share};
use crate::ledger::{AppId, Ledger, LedgerError};
use crate::metrics::self_metrics::ReplicaMetrics;
use crate::poll::manager::{PollManager, StoppedApps};
use crate::provider::config::{App, Config};
use crate::provider::transport::Transport;
use crate::status::{OtherApp, Services};
use crate::util::error::error_chain;
use crate::util::lease::Token;

/// Interval between two attempts to change the share while the ledger cannot be used, and between two looks at apps that
/// nobody owns.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Number of apps that are handed over or taken over at a time; each is on no page meanwhile.
const MAX_APPS_PER_STEP: usize = 100;

/// Number of leases for which a replica that left free apps alone gets no apps that others have.
const IDLE_LEASES: u32 = 10;

/// An app by provider and name.
type AppName = (String, String);

/// The share of this process.
pub(crate) struct Ownership {
    /// `None` if the ledger is not shared.
    replicas: Option<Replicas>,
    services: Services,
    metrics: ReplicaMetrics,
    /// Time since which apps have had no owner.
    free_since: BTreeMap<AppName, Instant>,
    /// Replicas that left free apps alone, and when.
    idle: BTreeMap<Token, Instant>,
    /// True if the share must be checked again without an event.
    is_unsettled: bool,
    /// True if the last change of the share failed, which is logged once.
    is_stuck: bool,
}

impl Ownership {
    pub(crate) fn new(replicas: Option<Replicas>, services: Services, metrics: ReplicaMetrics) -> Ownership {
        Ownership {
            replicas,
            services,
            metrics,
            free_since: BTreeMap::new(),
            idle: BTreeMap::new(),
            is_unsettled: false,
            is_stuck: false,
        }
    }

    /// Returns true if other replicas may share the apps.
    pub(crate) fn is_shared(&self) -> bool {
        self.replicas.is_some()
    }

    /// Tells the other replicas which apps are configured, and returns the share of this one.
    ///
    /// # Errors
    /// Another process has this replica's name.
    pub(crate) async fn configure(&mut self, config: &Config) -> Result<Share, LedgerError> {
        let Some(replicas) = &mut self.replicas else { return Ok(Share::All) };
        let app = |app: &App| ConfiguredApp {
            provider: app.provider.name(),
            name: app.name.clone(),
            account: app.account.id(),
        };
        let fleet = replicas.configure(config.apps.iter().map(app).collect()).await?;
        if let (None, Some(me)) = (self.services.lease.adopted(), fleet.me) {
            self.services.lease.adopt(me);
        }
        // The change that brought this view is no event any more.
        self.is_unsettled = true;
        Ok(Share::Only(self.wanted(&fleet)))
    }

    /// Returns an error if another process has this replica's name.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        self.replicas.as_ref().map_or(Ok(()), Replicas::check)
    }

    /// Returns the apps that this process polls and shows now.
    pub(crate) fn share(&self, manager: &PollManager) -> Share {
        if self.is_shared() { Share::Only(manager.owned()) } else { Share::All }
    }

    /// Waits for a reason to look at the share. Never returns if the ledger is not shared.
    pub(crate) async fn next_event(&mut self) -> FleetEvent {
        let Some(replicas) = &mut self.replicas else { return std::future::pending().await };
        tokio::select! {
            event = replicas.next_event() => event,
            () = tokio::time::sleep(RETRY_INTERVAL), if self.is_unsettled => FleetEvent::Changed,
        }
    }

    /// Records what this process owns after a change of its apps.
    pub(crate) fn record(&mut self, manager: &PollManager, taken_over: usize) {
        let share = i64::try_from(manager.owned().len()).unwrap_or(i64::MAX);
        self.metrics.share.store(share, Ordering::Relaxed);
        self.metrics.takeovers.inc_by(taken_over as u64);
        if let Some(replicas) = &self.replicas {
            replicas.refresh();
        }
    }

    /// Moves the share to what the fleet says it should be.
    ///
    /// # Errors
    /// Another process has this replica's name.
    pub(crate) async fn follow(
        &mut self,
        manager: &mut PollManager,
        config: &Config,
        transport: &Arc<dyn Transport>,
    ) -> Result<(), LedgerError> {
        let Some(replicas) = &mut self.replicas else { return Ok(()) };
        let fleet = replicas.fleet()?;
        let Some(me) = fleet.me else { return Ok(()) };
        if self.services.lease.adopted() != Some(me) {
            // The membership before is over, and others may have changed its apps since.
            manager.stop_apps(config, &Share::Only(BTreeSet::new())).await;
            self.services.exposition.flush().await;
            self.services.lease.adopt(me);
        }
        let wanted = self.wanted(&fleet);
        self.is_unsettled = false;
        let mut owned = manager.owned();
        while let Some(share) = next_share(&owned, &wanted, manager.is_complete(config)) {
            match apply_share(&share, manager, config, transport, &self.services).await {
                Ok(taken_over) => {
                    if std::mem::take(&mut self.is_stuck) {
                        tracing::info!("changed the share of apps");
                    }
                    self.record(manager, taken_over);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_stuck, true) {
                        tracing::warn!(error = error_chain(&error), "cannot change the share of apps; retrying");
                    }
                    self.is_unsettled = true;
                }
            }
            // Another replica may have claimed the apps first.
            let before = std::mem::replace(&mut owned, manager.owned());
            if self.is_unsettled || before == owned {
                break;
            }
        }
        // Apps that this process still owns although it neither polls nor wants them.
        let is_stale = |name: &AppName| !owned.contains(name) && !wanted.contains(name);
        let mine = fleet.apps.iter().filter(|app| app.owner == Some(me));
        let stale = mine.filter(|app| is_stale(&(app.provider.clone(), app.name.clone())));
        let stale: Vec<AppId> = stale.filter_map(|app| app.id).collect();
        if !stale.is_empty() {
            self.is_unsettled |= self.services.ledger.hand_over(stale).await.is_err();
        }
        self.show(&fleet, &owned);
        Ok(())
    }

    /// Returns the apps that this process should own.
    fn wanted(&mut self, fleet: &Fleet) -> BTreeSet<AppName> {
        let now = Instant::now();
        let longest = self.replicas.as_ref().map_or(Duration::MAX, |replicas| replicas.duration);
        let free = fleet.apps.iter().filter(|app| app.owner.is_none());
        let free = free.map(|app| (app.provider.clone(), app.name.clone()));
        self.free_since = free.map(|name| (name.clone(), *self.free_since.get(&name).unwrap_or(&now))).collect();
        let is_abandoned =
            |name: &AppName| self.free_since.get(name).is_some_and(|since| now.duration_since(*since) > longest);
        let named = || fleet.apps.iter().map(|app| ((app.provider.clone(), app.name.clone()), app));
        // A replica that cannot take apps must not get them again and again.
        self.idle.retain(|_, at| now.duration_since(*at) < longest.saturating_mul(IDLE_LEASES));
        let abandoned = named().filter(|(name, _)| is_abandoned(name)).filter_map(|(_, app)| fleet.heir(app));
        self.idle.extend(abandoned.filter(|heir| Some(*heir) != fleet.me).map(|heir| (heir, now)));
        let is_idle = |token: Token| self.idle.contains_key(&token);
        let wanted = named().filter(|(name, app)| fleet.should_own(app, is_abandoned(name), is_idle));
        wanted.map(|(name, _)| name).collect()
    }

    /// Shows which apps others own, and how many nobody does.
    fn show(&mut self, fleet: &Fleet, owned: &BTreeSet<AppName>) {
        let not_owned = fleet.apps.iter().filter(|app| !owned.contains(&(app.provider.clone(), app.name.clone())));
        let others: Vec<OtherApp> = not_owned
            .map(|app| OtherApp {
                provider: app.provider.clone(),
                app: app.name.clone(),
                owner: app.owner.and_then(|owner| fleet.replica(owner)).map(|replica| replica.name.clone()),
            })
            .collect();
        let unowned = others.iter().filter(|app| app.owner.is_none()).count();
        self.metrics.unowned.set(i64::try_from(unowned).unwrap_or(i64::MAX));
        // No event reports that the preferred replica has not taken a free app.
        self.is_unsettled |= unowned > 0;
        self.services.status.set_other_apps(others);
    }
}

/// Returns the share after the next step towards the wanted one; `None` if there is nothing to do.
fn next_share(owned: &BTreeSet<AppName>, wanted: &BTreeSet<AppName>, is_complete: bool) -> Option<Share> {
    let (leaving, joining) =
        (owned.difference(wanted).take(MAX_APPS_PER_STEP), wanted.difference(owned).take(MAX_APPS_PER_STEP));
    let leaving: BTreeSet<&AppName> = leaving.collect();
    let joining: Vec<&AppName> = joining.collect();
    if leaving.is_empty() && joining.is_empty() && is_complete {
        return None;
    }
    let kept = owned.iter().filter(|name| !leaving.contains(name));
    Some(Share::Only(kept.chain(joining).cloned().collect()))
}

/// Hands over and takes over apps. Returns the number of those that were another replica's.
async fn apply_share(
    share: &Share,
    manager: &mut PollManager,
    config: &Config,
    transport: &Arc<dyn Transport>,
    Services { exposition, ledger, .. }: &Services,
) -> Result<usize, LedgerError> {
    let stopped = manager.stop_apps(config, share).await;
    hand_over(&stopped, exposition, ledger).await?;
    Ok(manager.start_apps(config, transport, &stopped, share).await?.taken_over)
}

/// Releases apps that were stopped, once no scrape finds them any more.
async fn hand_over(stopped: &StoppedApps, exposition: &Exposition, ledger: &Ledger) -> Result<(), LedgerError> {
    if stopped.left.is_empty() {
        return Ok(());
    }
    exposition.flush().await;
    ledger.hand_over(stopped.left.clone()).await
}
