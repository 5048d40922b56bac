//! Requests to read the configuration again: `POST /-/reload` and SIGHUP make them, the exporter answers them.

use tokio::sync::{mpsc, oneshot};

use crate::config::ConfigErrors;
use crate::ledger::LedgerError;
use crate::poll::manager::Changes;
use crate::provider::transport::SetupError;

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

/// The changes of a reload, or the reason why everything goes on as before.
pub type ReloadResult = Result<Changes, ReloadError>;

/// A request to read the configuration again: takes the result.
pub type ReloadRequest = oneshot::Sender<ReloadResult>;

/// A handle that asks for a reload.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<ReloadRequest>);

impl Reloader {
    /// Returns a handle and the requests that are made with it.
    pub fn channel() -> (Reloader, mpsc::Receiver<ReloadRequest>) {
        let (sender, requests) = mpsc::channel(1);
        (Reloader(sender), requests)
    }

    /// Has the configuration read again, and waits until it is in use.
    ///
    /// # Errors
    /// The configuration cannot be read or used; everything goes on as before.
    pub async fn reload(&self) -> ReloadResult {
        let (request, result) = oneshot::channel();
        self.0.send(request).await.map_err(|_| ReloadError::Stopping)?;
        result.await.unwrap_or(Err(ReloadError::Stopping))
    }
}
