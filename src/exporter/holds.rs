//! Holds of new series, which show 0 for a while before their totals: records in the ledger which holds have ended,
//! then shows the totals.

use std::time::Duration;

use crate::exposition::{Exposition, HoldEnds};
use crate::ledger::{Ledger, LedgerError};

/// Interval between two attempts to write to a ledger that is down.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Releases series from their holds until the exposition or the ledger has shut down.
pub(crate) async fn release(mut ends: HoldEnds, ledger: Ledger, exposition: Exposition) {
    while let Some(ended) = ends.next().await {
        while let Err(error) = ledger.release(ended.series.clone()).await {
            if matches!(error, LedgerError::Closed) {
                return;
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        exposition.show_totals(ended).await;
    }
}
