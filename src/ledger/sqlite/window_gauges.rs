//! Gauges of the newest closed windows, in SQL.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::ledger::sqlite::stored_labels::StoredLabels;
use crate::ledger::{AppId, LedgerError, StoredGauges};
use crate::metrics::catalog::Family;
use crate::model::window::Unit;

/// Key of the gauges of one unit.
pub(super) struct GaugeKey<'a> {
    pub(super) app: AppId,
    pub(super) report: &'a str,
    pub(super) scope: &'a str,
    pub(super) unit: Unit,
}

/// Reads the gauges of a window that ended at `end`.
pub(super) fn stored_gauges(
    transaction: &Transaction<'_>,
    key: &GaugeKey<'_>,
    end: Timestamp,
) -> Result<StoredGauges, LedgerError> {
    let GaugeKey { app, report, scope, unit } = *key;
    let mut statement = transaction.prepare_cached(
        "SELECT family, label_pairs, value FROM window_gauge_value WHERE app = ?1 AND report = ?2 AND scope = ?3 AND unit = ?4",
    )?;
    let rows = statement.query_map(params![app, report, scope, unit.name()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, StoredLabels>(1)?.0, row.get(2)?))
    })?;
    let mut values = Vec::new();
    for row in rows {
        let (family, labels, value) = row?;
        values.extend(Family::from_name(&family).map(|family| (family, labels, value)));
    }
    Ok(StoredGauges { report: report.to_owned(), scope: scope.to_owned(), unit, end, values })
}
