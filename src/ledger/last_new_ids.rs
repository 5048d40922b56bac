//! Times at which each source last brought a new message id of each app, read for a command. Nothing is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::config::postgres_address::LedgerAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::last_new_ids::{SourceRow, of_database};
use crate::ledger::time::time;
use crate::model::message_source::MessageSource;

/// The time of the newest id by source, by provider and name of the app.
pub type LastNewIds = BTreeMap<(String, String), BTreeMap<MessageSource, Timestamp>>;

const QUERY: &str = "SELECT provider, name, source, newest FROM id_source JOIN app ON app.id = id_source.app";

/// Reads them from a ledger, which may be in use; empty if there is no ledger yet, or it is that of an earlier release.
///
/// # Errors
/// A ledger that cannot be read.
pub async fn last_new_ids(ledger: &LedgerAddress) -> Result<LastNewIds, LedgerError> {
    let rows = match ledger {
        LedgerAddress::Sqlite(path) => {
            let path = path.clone();
            let reading = tokio::task::spawn_blocking(move || of_file(path));
            crate::util::supervise::joined(reading.await).unwrap_or_else(|| Ok(Vec::new()))?
        }
        LedgerAddress::Postgres(address) => of_database(address, QUERY).await?,
    };
    let mut newest = LastNewIds::new();
    for (app, source, at) in rows {
        newest.entry(app).or_default().extend(MessageSource::from_name(&source).map(|source| (source, time(at))));
    }
    Ok(newest)
}

#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
fn of_file(path: PathBuf) -> Result<Vec<SourceRow>, LedgerError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if !connection.table_exists(None, "id_source")? {
        return Ok(Vec::new());
    }
    let mut select = connection.prepare(QUERY)?;
    let rows = select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
