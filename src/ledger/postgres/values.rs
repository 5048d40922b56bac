//! Values in their stored form.

use tokio_postgres::Row;

use crate::ledger::time::time;
use crate::ledger::{LedgerError, SeriesTotal};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;

/// Reads labels: a JSON list of names and values.
pub(super) fn labels(stored: &str) -> Result<Labels, LedgerError> {
    serde_json::from_str(stored).map_err(|error| LedgerError::Labels(error.to_string()))
}

/// Returns the stored form of labels.
pub(super) fn stored_labels(labels: &Labels) -> Result<String, LedgerError> {
    serde_json::to_string(labels).map_err(|error| LedgerError::Labels(error.to_string()))
}

/// Reads a row of `id, family, label_pairs, total, held_until, shown`; `None` for a family that this release does not
/// have.
pub(super) fn series(row: &Row) -> Result<Option<SeriesTotal>, LedgerError> {
    let Some(family) = Family::from_name(row.get(1)) else { return Ok(None) };
    Ok(Some(SeriesTotal {
        id: row.get(0),
        family,
        labels: labels(row.get(2))?,
        total: row.get(3),
        is_held: row.get::<_, i64>(4) != 0,
        created: time(row.get(5)),
    }))
}
