//! Reads rows of a ledger file for a command. The ledger may be in use, and nothing is written.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, params_from_iter};

use crate::ledger::LedgerError;
use crate::util::supervise::joined;

/// Returns the rows of a query with these parameters; empty if there is no ledger yet, or if it lacks `table`, as that of an
/// earlier release.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
pub(in crate::ledger) async fn rows<T: Send + 'static>(
    path: &Path,
    table: &'static str,
    query: &'static str,
    parameters: &[&str],
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    let path = path.to_owned();
    let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
    let reading = tokio::task::spawn_blocking(move || {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        if !connection.table_exists(None, table)? {
            return Ok(Vec::new());
        }
        let mut select = connection.prepare(query)?;
        let rows = select.query_map(params_from_iter(parameters), read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    });
    joined(reading.await).unwrap_or_else(|| Ok(Vec::new()))
}
