//! Requests to reload the configuration: made by `POST /-/reload` and SIGHUP, answered by the exporter.

use tokio::sync::{mpsc, oneshot};

use crate::config::ConfigErrors;
use crate::ledger::LedgerError;
use crate::poll::manager::Changes;
use crate::provider::transport::SetupError;

/// Reason of a failed reload.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration file is invalid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A setting has changed that requires a restart.
    #[error("{0} cannot be changed while the exporter runs; restart the exporter")]
    NeedsRestart(&'static str),
    /// The ledger cannot be written now.
    #[error("the ledger cannot be written now; reload again once it works")]
    LedgerDown,
    /// Apps cannot be started, although the ledger works; those of the previous configuration keep being polled.
    #[error("apps cannot be started")]
    Apps(#[from] LedgerError),
    /// The transport to the providers cannot be created from the configuration.
    #[error(transparent)]
    Transport(#[from] SetupError),
    /// There is no configuration file.
    #[error("there is no configuration file to reload")]
    NoFile,
    /// The exporter is stopping.
    #[error("the exporter is stopping")]
    Stopping,
}

/// Changes made by a reload, or the reason of its failure.
pub type ReloadResult = Result<Changes, ReloadError>;

/// Request to reload the configuration: the channel that takes its result.
pub type ReloadRequest = oneshot::Sender<ReloadResult>;

/// Handle that requests reloads.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<ReloadRequest>);

impl Reloader {
    /// Returns a handle and the receiver of its requests.
    pub fn channel() -> (Reloader, mpsc::Receiver<ReloadRequest>) {
        let (sender, requests) = mpsc::channel(1);
        (Reloader(sender), requests)
    }

    /// Requests a reload of the configuration, and waits until it is in use.
    ///
    /// # Errors
    /// Returns an error if the configuration cannot be read or used; the current one stays in use.
    pub async fn reload(&self) -> ReloadResult {
        let (request, result) = oneshot::channel();
        self.0.send(request).await.map_err(|_| ReloadError::Stopping)?;
        result.await.unwrap_or(Err(ReloadError::Stopping))
    }
}
