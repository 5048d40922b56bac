//! Totals of deliveries by hour in SQL.

use rusqlite::{Transaction, params};

use crate::ledger::rules::hours::{EACH, KEPT, decode, encode};
use crate::ledger::{AppId, HourTotals, LedgerError, NOTED};
use crate::model::reading::SeriesId;

/// Stores the totals of deliveries of apps for an hour, unless the hour has some, forgets what is too old, and returns what is
/// kept, the oldest first.
pub(super) fn note(transaction: &Transaction<'_>, apps: &[AppId], hour: i64) -> Result<Vec<HourTotals>, LedgerError> {
    let [targeted, sent, failed, received] = NOTED.map(|family| family.name());
    let mut totals = transaction.prepare_cached(
        "SELECT id, total FROM series WHERE app = ?1 AND family IN (?2, ?3, ?4, ?5) AND total > 0 ORDER BY id",
    )?;
    // Hours after this one are from a clock that was ahead.
    let mut forget =
        transaction.prepare_cached("DELETE FROM delivery_hour WHERE app = ?1 AND (hour < ?2 OR hour > ?3)")?;
    let mut insert = transaction
        .prepare_cached("INSERT INTO delivery_hour (app, hour, totals) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    let mut select = transaction.prepare_cached(
        "SELECT hour, totals FROM delivery_hour WHERE app = ?1 AND (hour >= ?2 - ?3 OR (?2 - hour) % 24 = 0) ORDER BY hour",
    )?;
    let mut kept = Vec::new();
    for app in apps {
        let totals = totals
            .query_map(params![app, targeted, sent, failed, received], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<(SeriesId, i64)>, _>>()?;
        forget.execute([*app, hour - KEPT, hour])?;
        insert.execute(params![app, hour, encode(&totals)])?;
        let rows = select.query_map([*app, hour, EACH], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        for row in rows {
            let (hour, bytes) = row?;
            // An hour that cannot be read is one that nobody noted.
            kept.extend(decode(*app, hour, &bytes));
        }
    }
    Ok(kept)
}
