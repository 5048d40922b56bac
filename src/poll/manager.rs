//! The apps that are polled now. At startup all of them are new; a reload stops apps that were removed or whose
//! settings changed, and starts the missing ones. Unchanged apps keep running undisturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ledger::replicas::Share;
use crate::ledger::{AppId, LedgerError, StoredApp};
use crate::messages::file_source::{self, FollowedFile};
use crate::messages::followed_paths::Paths;
use crate::messages::registry::{MessageRegistry, Target};
use crate::poll::app::{AppStart, show_id_sources};
use crate::poll::poller::PollLoop;
use crate::provider::client::AccountClient;
use crate::provider::config::{App, Config};
use crate::provider::transport::Transport;
use crate::status::Services;
use crate::status::app_labels;
use crate::status::bell;

/// An app by its provider and name.
type AppName = (&'static str, String);

/// Manager of all polled apps: it starts and stops them.
pub struct PollManager {
    services: Services,
    registry: Arc<MessageRegistry>,
    apps: BTreeMap<AppName, RunningApp>,
    /// Accounts by app, with their ids, including those of removed apps: request counts and budgets continue when an
    /// app returns.
    accounts: BTreeMap<AppName, (String, Arc<AccountClient>)>,
    /// Paths of all followed files of message ids.
    paths: Paths,
    /// True once the first apps were started: later apps are added by a reload.
    has_begun: bool,
    stop: CancellationToken,
}

/// An app that is polled.
struct RunningApp {
    id: AppId,
    fingerprint: u64,
    /// True if this process polls and shows it. Otherwise it only takes its message ids.
    is_owned: bool,
    target: Option<Arc<Target>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Effect of a reload, in numbers of apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Number of new apps.
    pub added: usize,
    /// Number of removed apps.
    pub removed: usize,
    /// Number of apps with changed settings.
    pub changed: usize,
    /// Number of apps that keep running undisturbed.
    pub kept: usize,
    /// Number of apps that another replica owned before.
    pub taken_over: usize,
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Changes { added, removed, changed, kept, .. } = self;
        write!(f, "{added} apps added, {removed} removed, {changed} changed, {kept} as before")
    }
}

/// Result of stopping apps, which [`PollManager::start_apps`] completes.
#[derive(Default)]
pub struct StoppedApps {
    /// Numbers of apps that are kept, removed, and still to be started with changed settings.
    changes: Changes,
    /// Apps that have left the page, for another replica to own.
    pub left: Vec<AppId>,
}

impl PollManager {
    /// Creates a manager without apps. All of its apps stop with `stop`.
    pub fn new(services: Services, registry: Arc<MessageRegistry>, stop: CancellationToken) -> PollManager {
        let (apps, accounts) = (BTreeMap::new(), BTreeMap::new());
        PollManager { services, registry, apps, accounts, paths: Paths::default(), has_begun: false, stop }
    }

    /// Returns the apps that are polled and shown now.
    pub fn owned(&self) -> BTreeSet<(String, String)> {
        let owned = self.apps.iter().filter(|(_, running)| running.is_owned);
        owned.map(|((provider, name), _)| ((*provider).to_owned(), name.clone())).collect()
    }

    /// Returns true if every app of the configuration runs, polled or only taking message ids.
    pub fn is_complete(&self, config: &Config) -> bool {
        config.apps.iter().all(|app| self.apps.contains_key(&name(app)))
    }

    /// Stops the apps that are missing from this configuration or differ from it, and those that the share of this
    /// process gains or loses, and removes them from the exposition.
    pub async fn stop_apps(&mut self, config: &Config, share: &Share) -> StoppedApps {
        let mut stopped = StoppedApps::default();
        let wanted: BTreeMap<AppName, u64> = config.apps.iter().map(|app| (name(app), app.fingerprint)).collect();
        let is_moved = |name: &AppName, running: &RunningApp| running.is_owned != share.contains(name.0, &name.1);
        let is_kept = |name: &AppName, running: &RunningApp| {
            wanted.get(name) == Some(&running.fingerprint) && !is_moved(name, running)
        };
        let (kept, leaving): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.apps).into_iter().partition(|(name, running)| is_kept(name, running));
        self.apps = kept;
        stopped.changes.kept = self.apps.len();
        let (names, leaving): (Vec<AppName>, Vec<RunningApp>) = leaving.into_iter().unzip();
        for running in &leaving {
            running.stop.cancel();
        }
        // Ids that arrive from now on must be sent again; those being registered are counted.
        self.registry.keep_targets(self.targets()).await;
        for (name, running) in names.into_iter().zip(leaving) {
            running.tasks.close();
            running.tasks.wait().await;
            self.forget(name.0, &name.1).await;
            if is_moved(&name, &running) {
                // Another replica counts from here; if the app returns, it is new to this process.
                self.accounts.remove(&name);
                self.services.status.reset_counts(name.0, &name.1);
                stopped.left.extend(running.is_owned.then_some(running.id));
            }
            if wanted.contains_key(&name) {
                stopped.changes.changed += 1;
            } else {
                stopped.changes.removed += 1;
            }
        }
        stopped
    }

    /// Starts the apps of the configuration that are not running yet: those of the share are polled and shown, the others
    /// only take message ids.
    ///
    /// # Errors
    /// Fails if the ledger cannot be used; the new apps are not polled then.
    pub async fn start_apps(
        &mut self,
        config: &Config,
        transport: &Arc<dyn Transport>,
        stopped: &StoppedApps,
        share: &Share,
    ) -> Result<Changes, LedgerError> {
        // A ledger of one process forgets an app that has not been named for long; replicas name theirs all the time.
        let is_named = |app: &&App| *share == Share::All || !self.apps.contains_key(&name(app));
        let named: Vec<&App> = config.apps.iter().filter(is_named).collect();
        let apps: Vec<AppStart<'_>> = named
            .into_iter()
            .map(|app| {
                let services = Services { tasks: TaskTracker::new(), ..self.services.clone() };
                AppStart::new(app, services, self.account(app))
            })
            .collect();
        let is_claimed = |app: &AppStart<'_>| share.contains(app.app().provider.name(), &app.app().name);
        let keys = apps.iter().map(|app| app.key(is_claimed(app))).collect();
        let stored = self.services.ledger.register(keys, self.services.clock.now()).await?;
        let is_running = |app: &AppStart<'_>| self.apps.contains_key(&name(app.app()));
        let mut new = Vec::new();
        let mut taken_over = 0;
        for (app, stored) in apps.into_iter().zip(stored) {
            if stored.is_owned {
                self.services.status.known_since(app.app().provider.name(), stored.created);
            }
            taken_over += usize::from(stored.is_taken_over);
            if !is_running(&app) {
                new.push((app, stored));
            }
        }
        let names: Vec<AppName> = new.iter().map(|(app, _)| name(app.app())).collect();
        let started = self.show_and_start(new, config, transport).await;
        if started.is_err() {
            for (provider, app) in names {
                self.forget(provider, &app).await;
            }
        }
        started?;
        self.has_begun = true;
        for app in &config.apps {
            if self.apps.get(&name(app)).is_some_and(|running| running.is_owned) {
                show_id_sources(app, config, &self.services);
            }
        }
        let added = (self.apps.len() - stopped.changes.kept).saturating_sub(stopped.changes.changed);
        Ok(Changes { added, taken_over, ..stopped.changes })
    }

    /// Shows the state that the ledger has stored for the apps, and starts polling them.
    async fn show_and_start(
        &mut self,
        new: Vec<(AppStart<'_>, StoredApp)>,
        config: &Config,
        transport: &Arc<dyn Transport>,
    ) -> Result<(), LedgerError> {
        let mut joining = Vec::new();
        for (mut app, stored) in new {
            app.show(stored, config).await;
            joining.push((name(app.app()), self.ready(&app), app));
        }
        let mut targets = self.targets();
        let target = |((_, name), running, _): &(AppName, RunningApp, _)| Some((name.clone(), running.target.clone()?));
        targets.extend(joining.iter().filter_map(target));
        let others = config.apps.iter().map(|app| &app.name).filter(|name| !targets.contains_key(*name));
        let others = others.cloned().collect();
        self.registry.set_targets(targets, others).await;
        self.registry.register_configured().await?;
        let mut opened = Vec::new();
        for (name, running, app) in joining {
            let services = app.services().clone();
            let pollings = app.open(config, transport, &self.registry, !self.has_begun).await?;
            opened.push((name, running, services, pollings));
        }
        self.start(opened);
        Ok(())
    }

    /// Removes an app from the exposition and the status.
    async fn forget(&self, provider: &'static str, app: &str) {
        self.services.exposition.forget(app_labels(provider, app)).await;
        self.services.status.forget(provider, app);
    }

    /// Returns the client shared by an account's reports, which survives a change of the app's other settings. An app
    /// with another name and the same account continues with its budgets.
    fn account(&mut self, app: &App) -> Arc<AccountClient> {
        let (name, id) = (name(app), app.account.id());
        if let Some((_, account)) = self.accounts.get(&name).filter(|(before, _)| *before == id) {
            return Arc::clone(account);
        }
        let is_same = |((provider, _), (before, _)): &(&AppName, &(String, _))| *provider == name.0 && *before == id;
        let rate_limiters = self.accounts.iter().find(is_same).map(|(_, (_, account))| account.rate_limiters());
        let account = Arc::new(AccountClient::within(&self.services.clock, rate_limiters.unwrap_or_default()));
        self.accounts.insert(name, (id, Arc::clone(&account)));
        account
    }

    /// Returns the running state of an app that is about to be polled.
    fn ready(&self, app: &AppStart<'_>) -> RunningApp {
        RunningApp {
            id: app.stored().id,
            fingerprint: app.app().fingerprint,
            is_owned: app.stored().is_owned,
            target: app.target().map(Arc::new),
            stop: self.stop.child_token(),
            tasks: app.services().tasks.clone(),
        }
    }

    /// Starts polling and following files.
    fn start(&mut self, opened: Vec<(AppName, RunningApp, Services, Vec<PollLoop>)>) {
        // No followed file may be mistaken for the renamed version of another one.
        let targets = opened.iter().filter_map(|(_, running, ..)| running.target.as_ref());
        targets.flat_map(|target| &target.files).for_each(|(path, _)| self.paths.add(path));
        // After a downtime all reports are due at once.
        let pace = bell::pace(opened.iter().map(|(.., pollings)| pollings.len()).sum());
        let mut wait = Duration::ZERO;
        for (name, running, services, pollings) in opened {
            for polling in pollings {
                let waited = tokio::time::sleep(wait);
                wait += pace;
                spawn(&running.tasks, &running.stop, async move {
                    waited.await;
                    polling.await;
                });
            }
            self.follow(&name.1, &running, &services);
            self.apps.insert(name, running);
        }
    }

    /// Shows and polls what other replicas have registered for these apps.
    pub async fn show_registered(&self, apps: &[AppId]) {
        self.registry.show_registered(apps).await;
    }

    /// Stops all apps, and waits until they have stopped.
    pub async fn stop(self) {
        for running in self.apps.values() {
            running.stop.cancel();
        }
        for running in self.apps.into_values() {
            running.tasks.close();
            running.tasks.wait().await;
        }
    }

    fn targets(&self) -> BTreeMap<String, Arc<Target>> {
        let target = |((_, name), running): (&AppName, &RunningApp)| Some((name.clone(), running.target.clone()?));
        self.apps.iter().filter_map(target).collect()
    }

    /// Follows the files of message ids of an app.
    fn follow(&self, app: &str, running: &RunningApp, services: &Services) {
        let Some(target) = &running.target else { return };
        for (path, marks) in &target.files {
            let (registry, services, paths) = (Arc::clone(&self.registry), services.clone(), self.paths.clone());
            let file = FollowedFile { app: app.to_owned(), path: path.clone(), marks: marks.clone() };
            spawn(&running.tasks, &running.stop, file_source::follow(registry, services, file, paths));
        }
    }
}

fn name(app: &App) -> AppName {
    (app.provider.name(), app.name.clone())
}

/// Spawns a task that runs until `stop` is cancelled.
pub fn spawn(tasks: &TaskTracker, stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move { stop.run_until_cancelled(work).await.unwrap_or_default() });
}
