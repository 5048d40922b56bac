//! The whole exporter: starts the ledger, the exposition, the pollers and the web server, runs them until it is
//! stopped or a critical part has failed, and stops them in order.

mod heartbeat;
mod holds;
mod ownership;
pub mod reload;
mod systemd;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::secret;
use crate::exporter::ownership::Ownership;
use crate::exporter::reload::{Reload, ReloadHandler};
use crate::exposition::Exposition;
use crate::ledger::{Ledger, LedgerError, Store};
use crate::messages::registry::MessageRegistry;
use crate::metrics::help::HelpTexts;
use crate::metrics::self_metrics::SelfMetrics;
use crate::poll::manager::{self, PollManager, StoppedApps};
use crate::provider::Providers;
use crate::provider::config::Config;
use crate::provider::transport::Transport;
use crate::status::Services;
use crate::status::Status;
use crate::util::clock::Clock;
use crate::util::lease::Lease;
use crate::util::supervise::restart_on_panic;
use crate::web;
use crate::web::message_api::{MessageApi, Tokens};
use crate::web::routes::{AppState, Router};

/// Parts of the exporter other than its configuration. They are passed in, so that a test can run the whole exporter
/// on a separate port, in a paused runtime, with any transport and ledger.
pub struct Parts {
    /// Providers that the configuration may name.
    pub providers: Providers,
    /// Source of the current time.
    pub clock: Clock,
    /// Listeners and settings of the web server.
    pub web: web::Setup,
    /// HTTP transport to the providers.
    pub transport: Arc<dyn Transport>,
    /// Storage of the ledger.
    pub store: Box<dyn Store>,
    /// Reload requests, and the source that the configuration is reloaded from.
    pub reload: Reload,
}

/// Reason why the exporter cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The registry of the exporter's own metrics cannot be used.
    #[error("the exporter's own metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// A critical task has panicked. Exiting is better than serving a page that no longer changes.
    #[error("the task of the {0} has panicked; please report this as a bug")]
    Died(&'static str),
}

/// Time limit for pollers and the ledger to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the exporter until `stop` is cancelled.
///
/// # Errors
/// Returns an error if the ledger cannot be used, at startup or according to the full check in the background, or if
/// a bug leaves nothing to serve.
pub async fn run(config: Config, parts: Parts, stop: CancellationToken) -> Result<(), RunError> {
    let Parts { providers, clock, web, transport, mut store, reload } = parts;
    let began = clock.now();
    let metrics = SelfMetrics::new(began)?;
    let check = store.check();
    let replicas = store.share(metrics.replica.renewals.clone());
    let lease = replicas.as_ref().map_or_else(Lease::forever, |replicas| replicas.lease.clone());
    let help = HelpTexts::new(providers.iter().flat_map(|provider| provider.help().iter().copied()));
    let (exposition, hold_ends, mut page_task) =
        Exposition::start(began, help, config.ledger.instance(), lease.clone());
    let (ledger, mut ledger_task) = Ledger::start(store, metrics.ledger.clone());
    let services = Services {
        clock: clock.clone(),
        ledger: ledger.clone(),
        exposition: exposition.clone(),
        status: Status::new(exposition.clone()),
        lease,
        panics: metrics.task_panics.clone(),
        tasks: TaskTracker::new(),
    };
    manager::spawn(&services.tasks, &stop, holds::release(hold_ends, ledger.clone(), exposition.clone()));
    let registry = Arc::new(MessageRegistry::new(clock.clone(), ledger, Arc::clone(services.status.activity())));
    let (tokens, current_tokens) = watch::channel(Tokens::of(&config));
    let (secrets, watched_secrets) = watch::channel(config.secrets());
    let mut manager = PollManager::new(services.clone(), Arc::clone(&registry), stop.clone());
    let mut ownership = Ownership::new(replicas, services.clone(), metrics.replica.clone());
    let started = stop.run_until_cancelled(async {
        let share = ownership.configure(&config).await?;
        let changes = manager.start_apps(&config, &transport, &StoppedApps::default(), &share).await?;
        ownership.record(&manager, changes.taken_over);
        Ok::<(), LedgerError>(())
    });
    let started = started.await;
    if !matches!(started, Some(Ok(()))) {
        // A replica that stays in the fleet would be waited for.
        stop.cancel();
        services.tasks.close();
        services.tasks.wait().await;
        drop((services, manager, ownership, registry));
        let _ = tokio::time::timeout(GRACE, ledger_task).await;
        return started.unwrap_or(Ok(())).map_err(RunError::Ledger);
    }
    metrics.config_read(clock.now());
    let upkeep = Arc::clone(&registry).upkeep(services.tasks.clone(), services.panics.clone());
    manager::spawn(&services.tasks, &stop, upkeep);
    manager::spawn(&services.tasks, &stop, secret::watch(watched_secrets));
    manager::spawn(&services.tasks, &stop, heartbeat::log(services.status.clone()));
    manager::spawn(&services.tasks, &stop, follow_deliveries(services.clone()));
    // The first scrape must be complete.
    exposition.flush().await;
    systemd::ready("serving").await;

    let content = AppState {
        providers,
        exposition: exposition.clone(),
        metrics: metrics.clone(),
        status: services.status.clone(),
        clock,
        began,
        messages: MessageApi::new(current_tokens, registry),
        reloader: reload.reloader(),
    };
    let router = Router::new(content, web.options);
    let certificates = web::show_certificate_expiry(web.settings.clone(), metrics.clone());
    manager::spawn(&services.tasks, &stop, certificates);
    let serving = web::serve(web.listeners, web.settings, router, stop.clone());
    tokio::pin!(serving);
    let mut reloading =
        ReloadHandler { reload, config, transport, tokens, secrets, services: services.clone(), metrics, ownership };
    let watchdog = systemd::watchdog(exposition);
    let served = tokio::select! {
        () = &mut serving => Ok(()),
        checked = wait_for_failure(check) => checked.map_err(RunError::Ledger),
        // Both tasks are still in use, so only a panic ends them.
        _ = &mut page_task => Err(RunError::Died("page")),
        _ = &mut ledger_task => Err(RunError::Died("ledger")),
        ended = reloading.run(&mut manager) => ended.map_err(RunError::Ledger),
        () = watchdog => Ok(()),
    };
    systemd::stopping().await;
    if served.is_err() {
        stop.cancel();
        serving.await;
    }
    let _ = tokio::time::timeout(GRACE, async {
        manager.stop().await;
        services.tasks.close();
        services.tasks.wait().await;
        drop((services, reloading));
        // The ledger's task completes its pending writes, then ends.
        if !ledger_task.is_finished() {
            let _ = ledger_task.await;
        }
        page_task.abort();
    })
    .await;
    served
}

/// Notes and judges the deliveries of channels until it is cancelled. Panics are counted.
async fn follow_deliveries(services: Services) {
    let Services { ref status, ref ledger, ref clock, ref tasks, ref panics, .. } = services;
    let begin = || {
        let (deliveries, ledger, clock) = (Arc::clone(status.deliveries()), ledger.clone(), clock.clone());
        async move { deliveries.follow(&ledger, &clock).await }
    };
    restart_on_panic(tasks, panics, "the judgement of channels", begin).await;
}

/// Returns only if the check finds damage: a damaged ledger must not be relied on.
async fn wait_for_failure(check: impl Future<Output = Result<(), LedgerError>>) -> Result<(), LedgerError> {
    match check.await {
        Ok(()) => std::future::pending().await,
        Err(error @ LedgerError::Damaged { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(error = error.to_string(), "the ledger could not be checked");
            std::future::pending().await
        }
    }
}
