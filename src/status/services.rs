//! The parts of the exporter that everything that polls or registers needs.

use tokio_util::task::TaskTracker;

use crate::exposition::Exposition;
use crate::ledger::Ledger;
use crate::status::Status;
use crate::util::clock::Clock;

/// What every poller uses.
#[derive(Clone)]
pub struct Services {
    /// The time.
    pub clock: Clock,
    /// The ledger.
    pub ledger: Ledger,
    /// The page.
    pub exposition: Exposition,
    /// The health of all reports.
    pub status: Status,
    /// Counts panics.
    pub panics: prometheus::IntCounter,
    /// The tasks of the app: it has stopped when none of them is left.
    pub tasks: TaskTracker,
}
