//! Reading the configuration again, asked for by SIGHUP or `POST /-/reload`: one at a time, and whoever asks is
//! told how it went. What becomes of the apps is in [`crate::poll::fleet`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::secret::Secret;
use crate::config::{Config, ConfigErrors};
use crate::ledger::{Hurry, LedgerError};
use crate::notify;
use crate::page::own::OwnMetrics;
use crate::poll::fleet::{Changes, Fleet};
use crate::poll::hurry::{Selection, poll_now};
use crate::poll::runner::Services;
use crate::provider::http::{SetupError, Transport};
use crate::util::error::error_chain;
use crate::util::supervise::joined;

/// Why the configuration stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// What only a start can change has changed.
    #[error("{0} cannot be changed while the exporter runs; restart it")]
    NeedsRestart(&'static str),
    /// The ledger cannot be written now.
    #[error("the ledger cannot be written now; reload again when it can")]
    LedgerDown,
    /// Apps cannot be started, although the ledger works; those of the configuration before are polled on.
    #[error("apps cannot be started")]
    Apps(#[from] LedgerError),
    /// Connections to providers cannot be made as it says.
    #[error(transparent)]
    Transport(#[from] SetupError),
    /// There is no file.
    #[error("there is no configuration file to read again")]
    NoFile,
    /// The exporter stops.
    #[error("the exporter is stopping")]
    Stopping,
}

type Outcome = Result<Changes, ReloadError>;

/// A request, and whom to tell.
struct Asked(oneshot::Sender<Outcome>);

/// The way to ask.
#[derive(Clone)]
pub struct Reloader(mpsc::Sender<Asked>);

impl Reloader {
    /// Has the configuration read again, and waits until it is in use.
    ///
    /// # Errors
    /// Why it is not; everything goes on as before then.
    pub async fn reload(&self) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        self.0.send(Asked(answer)).await.map_err(|_| ReloadError::Stopping)?;
        outcome.await.unwrap_or(Err(ReloadError::Stopping))
    }
}

/// Reads the configuration.
type Read = dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync;
/// Makes a way to the providers by a configuration.
type Connect = dyn Fn(&Config) -> Result<Arc<dyn Transport>, SetupError> + Send + Sync;

/// How the configuration is read again, and by whose wish.
pub struct Reload {
    reloader: Reloader,
    asked: mpsc::Receiver<Asked>,
    source: Option<(Arc<Read>, Arc<Connect>)>,
}

impl Reload {
    /// From where it was read for the first time.
    pub fn new(
        read: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static,
        connect: impl Fn(&Config) -> Result<Arc<dyn Transport>, SetupError> + Send + Sync + 'static,
    ) -> Reload {
        Reload { source: Some((Arc::new(read), Arc::new(connect))), ..Reload::never() }
    }

    /// There is nothing to read.
    pub fn never() -> Reload {
        let (sender, asked) = mpsc::channel(1);
        Reload { reloader: Reloader(sender), asked, source: None }
    }

    /// The way to ask.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }
}

/// From one attempt to start apps to the next, while the ledger cannot be used.
const AGAIN: Duration = Duration::from_secs(1);

/// What reloads change.
pub(crate) struct Reloading {
    pub(crate) reload: Reload,
    /// The configuration in use.
    pub(crate) config: Config,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) message_token: watch::Sender<Option<Secret>>,
    /// The secrets whose files are watched.
    pub(crate) secrets: watch::Sender<Vec<Secret>>,
    pub(crate) services: Services,
    pub(crate) metrics: OwnMetrics,
}

impl Reloading {
    /// Reads the configuration again whenever it is asked to.
    pub(crate) async fn reload_for_ever(&mut self, fleet: &mut Fleet) {
        while let Some(Asked(answer)) = self.reload.asked.recv().await {
            notify::reloading().await;
            let outcome = self.reload_once(fleet).await;
            match &outcome {
                Ok(changes) => {
                    self.metrics.config_read(self.services.clock.now());
                    tracing::info!(changes = changes.to_string(), "the configuration was read again");
                    // Whatever was done about what is failing can show at once.
                    let everywhere = Selection { provider: None, app: None, hurry: Hurry::Failing };
                    poll_now(&self.services.health, &everywhere);
                }
                Err(error) => {
                    self.metrics.config_ok.set(0);
                    for line in error_chain(error).lines() {
                        tracing::error!(error = line, "the configuration stays as it was");
                    }
                }
            }
            notify::ready(if outcome.is_ok() {
                "serving"
            } else {
                "serving; the configuration stays as it was, see the log"
            })
            .await;
            // Who has gone away meanwhile does not want to know.
            let _ = answer.send(outcome);
        }
    }

    async fn reload_once(&mut self, fleet: &mut Fleet) -> Outcome {
        let (read, connect) = self.reload.source.clone().ok_or(ReloadError::NoFile)?;
        let read = tokio::task::spawn_blocking(move || read()).await;
        let config = joined(read).ok_or(ReloadError::Stopping)??;
        if config.ledger != self.config.ledger {
            return Err(ReloadError::NeedsRestart("the ledger"));
        }
        if !*self.services.ledger.watch().borrow() {
            return Err(ReloadError::LedgerDown);
        }
        let has_other_ca = config.ca != self.config.ca;
        // Certificates are read from the disk.
        let connecting = tokio::task::spawn_blocking(move || {
            let transport = has_other_ca.then(|| connect(&config)).transpose();
            transport.map(|transport| (config, transport))
        });
        let (config, transport) = joined(connecting.await).ok_or(ReloadError::Stopping)??;
        let before = self.replace(config, transport);
        // What goes and what comes is seen by a scrape at once.
        let mut pause = Some(self.services.page.pause());
        let left = fleet.leave(&self.config).await;
        let refused = loop {
            match fleet.join(&self.config, &self.transport, &left).await {
                Ok(changes) => {
                    pause.take();
                    self.services.page.flush().await;
                    return Ok(changes);
                }
                // What was stopped cannot be started again either, before the ledger works.
                Err(error) if !*self.services.ledger.watch().borrow() => {
                    pause.take();
                    self.wait_to_start(&error).await;
                }
                Err(error) => break error,
            }
        };
        // Those that were polled before are polled on.
        let (config, transport) = before;
        self.replace(config, Some(transport));
        let left = fleet.leave(&self.config).await;
        while let Err(error) = fleet.join(&self.config, &self.transport, &left).await {
            pause.take();
            if *self.services.ledger.watch().borrow() {
                let text = "the apps that were polled before cannot be started either; mend the configuration and reload again";
                tracing::error!(error = error_chain(&error), "{text}");
                break;
            }
            self.wait_to_start(&error).await;
        }
        pause.take();
        self.services.page.flush().await;
        Err(refused.into())
    }

    /// Takes a configuration, and returns the one before with its way to the providers.
    fn replace(&mut self, config: Config, transport: Option<Arc<dyn Transport>>) -> (Config, Arc<dyn Transport>) {
        let transport = transport.unwrap_or_else(|| Arc::clone(&self.transport));
        self.message_token.send_replace(config.message_token.clone());
        self.secrets.send_replace(config.secrets());
        (std::mem::replace(&mut self.config, config), std::mem::replace(&mut self.transport, transport))
    }

    async fn wait_to_start(&self, error: &LedgerError) {
        self.metrics.config_ok.set(0);
        tracing::error!(error = error_chain(error), "apps cannot be started; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}
