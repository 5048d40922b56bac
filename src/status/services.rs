//! Parts of the exporter that all pollers and the registration of messages need.

use tokio_util::task::TaskTracker;

use crate::exposition::Exposition;
use crate::ledger::Ledger;
use crate::status::Status;
use crate::util::clock::Clock;
use crate::util::lease::Lease;

/// Services that every poller uses.
#[derive(Clone)]
pub struct Services {
    /// Clock of the exporter, or of the app's account.
    pub clock: Clock,
    /// Ledger of watermarks and totals.
    pub ledger: Ledger,
    /// Exposition that is scraped.
    pub exposition: Exposition,
    /// Health of all reports.
    pub status: Status,
    /// Lease within which apps are polled.
    pub lease: Lease,
    /// Counter of panics.
    pub panics: prometheus::IntCounter,
    /// Tasks of the app, which has stopped when none of them is left.
    pub tasks: TaskTracker,
}
