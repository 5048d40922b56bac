//! Copies a whole ledger from one engine to the other, in one transaction of the target: all of it, or nothing. Both have the
//! same tables; what belongs to a process (leases, the test of writing) stays behind.

pub(super) mod rows;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::postgres_address::LedgerAddress;
use crate::ledger::postgres::copy as postgres;
use crate::ledger::sqlite::copy as sqlite;
pub use rows::{Copied, CopyError, Progress};

/// Copies the ledger `from` to the empty ledger `to`. No exporter may use either.
///
/// # Errors
/// Nothing was copied.
pub async fn copy(from: &LedgerAddress, to: &LedgerAddress, progress: Arc<Progress>) -> Result<Copied, CopyError> {
    let (messages, received) = mpsc::channel(4);
    let reading = async {
        match from {
            LedgerAddress::Sqlite(path) => sqlite::read(path, messages, &progress).await,
            LedgerAddress::Postgres(address) => postgres::read(address, messages, &progress).await,
        }
    };
    let writing = async {
        match to {
            LedgerAddress::Sqlite(path) => sqlite::write(path, received, &progress).await,
            LedgerAddress::Postgres(address) => postgres::write(address, received, &progress).await,
        }
    };
    match tokio::join!(reading, writing) {
        (Ok(()), written) => written,
        // The target only saw that nothing more came.
        (Err(CopyError::Interrupted), Err(error)) => Err(error),
        (Err(error), _) => Err(error),
    }
}
