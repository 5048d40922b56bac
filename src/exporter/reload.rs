//! Configuration reloads, requested by SIGHUP or `POST /-/reload`: one at a time, and each requester gets the result.
//! [`crate::poll::manager`] starts and stops the apps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::config::ConfigErrors;
use crate::config::secret::Secret;
use crate::exporter::ownership::Ownership;
use crate::exporter::systemd;
use crate::ledger::replicas::FleetEvent;
use crate::ledger::{Hurry, LedgerError};
use crate::metrics::self_metrics::SelfMetrics;
use crate::poll::manager::{Changes, PollManager, StoppedApps};
use crate::provider::config::Config;
use crate::provider::transport::{SetupError, Transport};
use crate::status::Services;
use crate::status::bell::Selection;
use crate::util::error::error_chain;
use crate::util::supervise::joined;
use crate::web::lifecycle::{ReloadError, ReloadRequest, ReloadResult, Reloader};
use crate::web::message_api::Tokens;

/// Function that reads the configuration.
type Read = dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync;
/// Function that creates the transport to the providers for a configuration.
type Connect = dyn Fn(&Config) -> Result<Arc<dyn Transport>, SetupError> + Send + Sync;

/// Reload requests, and the source that the configuration is reloaded from.
pub struct Reload {
    reloader: Reloader,
    requests: mpsc::Receiver<ReloadRequest>,
    source: Option<(Arc<Read>, Arc<Connect>)>,
}

impl Reload {
    /// Creates a reload source: `read` reads the configuration, `connect` creates the transport for it.
    pub fn new(
        read: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static,
        connect: impl Fn(&Config) -> Result<Arc<dyn Transport>, SetupError> + Send + Sync + 'static,
    ) -> Reload {
        Reload { source: Some((Arc::new(read), Arc::new(connect))), ..Reload::never() }
    }

    /// Creates a reload without a source: every request fails with [`ReloadError::NoFile`].
    pub fn never() -> Reload {
        let (reloader, requests) = Reloader::channel();
        Reload { reloader, requests, source: None }
    }

    /// Returns a handle that requests reloads.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }
}

/// Interval between two attempts to start apps while the ledger cannot be used.
const AGAIN: Duration = Duration::from_secs(1);

/// State that reloads change.
pub(crate) struct ReloadHandler {
    pub(crate) reload: Reload,
    /// Configuration in use.
    pub(crate) config: Config,
    pub(crate) transport: Arc<dyn Transport>,
    /// Tokens of those who send message ids.
    pub(crate) tokens: watch::Sender<Tokens>,
    /// Secrets whose files are watched.
    pub(crate) secrets: watch::Sender<Vec<Secret>>,
    pub(crate) services: Services,
    pub(crate) metrics: SelfMetrics,
    pub(crate) ownership: Ownership,
}

impl ReloadHandler {
    /// Handles reload requests and changes of the fleet, one after the other.
    ///
    /// # Errors
    /// Another process has this replica's name.
    pub(crate) async fn run(&mut self, manager: &mut PollManager) -> Result<(), LedgerError> {
        loop {
            tokio::select! {
                request = self.reload.requests.recv() => match request {
                    Some(request) => {
                        self.answer(request, manager).await;
                        self.ownership.check()?;
                    }
                    None => return Ok(()),
                },
                event = self.ownership.next_event() => match event {
                    FleetEvent::Changed => self.ownership.follow(manager, &self.config, &self.transport).await?,
                    FleetEvent::MessagesRegistered(apps) => manager.show_registered(&apps).await,
                    FleetEvent::Ended => return Err(LedgerError::Closed),
                },
            }
        }
    }

    async fn answer(&mut self, request: ReloadRequest, manager: &mut PollManager) {
        systemd::reloading().await;
        let outcome = self.reload_once(manager).await;
        match &outcome {
            Ok(changes) => {
                self.metrics.config_read(self.services.clock.now());
                tracing::info!(changes = changes.to_string(), "reloaded the configuration");
                // The reload may have fixed failing reports, so they are polled at once.
                let everywhere = Selection { provider: None, app: None, hurry: Hurry::Failing };
                self.services.status.poll_now(&everywhere);
            }
            Err(error) => {
                self.metrics.config_ok.set(0);
                for line in error_chain(error).lines() {
                    tracing::error!(error = line, "reload failed; keeping the current configuration");
                }
            }
        }
        systemd::ready(if outcome.is_ok() {
            "serving"
        } else {
            "serving; reload failed, keeping the current configuration, see the log"
        })
        .await;
        // The requester may have disconnected in the meantime.
        let _ = request.send(outcome);
    }

    async fn reload_once(&mut self, manager: &mut PollManager) -> ReloadResult {
        let (read, connect) = self.reload.source.clone().ok_or(ReloadError::NoFile)?;
        let read = tokio::task::spawn_blocking(move || read()).await;
        let config = joined(read).ok_or(ReloadError::Stopping)??;
        if config.ledger != self.config.ledger {
            return Err(ReloadError::NeedsRestart("ledger or replica"));
        }
        if !*self.services.ledger.watch().borrow() {
            return Err(ReloadError::LedgerDown);
        }
        let has_other_ca = config.ca != self.config.ca;
        // Certificates are read from disk, which may block.
        let connecting = tokio::task::spawn_blocking(move || {
            let transport = has_other_ca.then(|| connect(&config)).transpose();
            transport.map(|transport| (config, transport))
        });
        let (config, transport) = joined(connecting.await).ok_or(ReloadError::Stopping)??;
        let before = self.replace(config, transport);
        // A scrape must see the removed and the added apps change together. Where replicas share them, they must leave this
        // page before another shows them.
        let mut pause = (!self.ownership.is_shared()).then(|| self.services.exposition.pause());
        let stopped = self.stop_apps(manager).await;
        let refused = loop {
            match self.start_apps(manager, &stopped).await {
                Ok(changes) => {
                    pause.take();
                    self.services.exposition.flush().await;
                    return Ok(changes);
                }
                Err(error @ LedgerError::SameName) => break error,
                // The stopped apps cannot be restarted either until the ledger works.
                Err(error) if !*self.services.ledger.watch().borrow() => {
                    pause.take();
                    self.wait_to_start(&error).await;
                }
                Err(error) => break error,
            }
        };
        // The previous apps must keep being polled.
        let (config, transport) = before;
        self.replace(config, Some(transport));
        let stopped = self.stop_apps(manager).await;
        while let Err(error) = self.start_apps(manager, &stopped).await {
            pause.take();
            if matches!(error, LedgerError::SameName) {
                break;
            }
            if *self.services.ledger.watch().borrow() {
                let text = "cannot restart the previous apps either; fix the configuration and reload again";
                tracing::error!(error = error_chain(&error), "{text}");
                break;
            }
            self.wait_to_start(&error).await;
        }
        pause.take();
        self.services.exposition.flush().await;
        Err(refused.into())
    }

    async fn stop_apps(&self, manager: &mut PollManager) -> StoppedApps {
        let stopped = manager.stop_apps(&self.config, &self.ownership.share(manager)).await;
        if self.ownership.is_shared() {
            self.services.exposition.flush().await;
        }
        stopped
    }

    async fn start_apps(&mut self, manager: &mut PollManager, stopped: &StoppedApps) -> Result<Changes, LedgerError> {
        let share = self.ownership.configure(&self.config).await?;
        let changes = manager.start_apps(&self.config, &self.transport, stopped, &share).await?;
        self.ownership.record(manager, changes.taken_over);
        Ok(changes)
    }

    /// Replaces the configuration and the transport, and returns the previous ones.
    fn replace(&mut self, config: Config, transport: Option<Arc<dyn Transport>>) -> (Config, Arc<dyn Transport>) {
        let transport = transport.unwrap_or_else(|| Arc::clone(&self.transport));
        self.tokens.send_replace(Tokens::of(&config));
        self.secrets.send_replace(config.secrets());
        (std::mem::replace(&mut self.config, config), std::mem::replace(&mut self.transport, transport))
    }

    async fn wait_to_start(&self, error: &LedgerError) {
        self.metrics.config_ok.set(0);
        tracing::error!(error = error_chain(error), "apps cannot be started; retrying");
        tokio::time::sleep(AGAIN).await;
    }
}
