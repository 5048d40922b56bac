//! Times at which each source last brought a new message id of each app, read for a command. Nothing is written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::postgres_address::LedgerAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::read_only as database;
use crate::ledger::sqlite::read_only as file;
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
    type SourceRow = ((String, String), String, i64);
    let rows: Vec<SourceRow> = match ledger {
        LedgerAddress::Sqlite(path) => {
            file::rows(path, "id_source", QUERY, &[], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?)))
                .await?
        }
        LedgerAddress::Postgres(address) => {
            database::rows(address, "id_source", QUERY, &[], |row| ((row.get(0), row.get(1)), row.get(2), row.get(3)))
                .await?
        }
    };
    let mut newest = LastNewIds::new();
    for (app, source, at) in rows {
        newest.entry(app).or_default().extend(MessageSource::from_name(&source).map(|source| (source, time(at))));
    }
    Ok(newest)
}
