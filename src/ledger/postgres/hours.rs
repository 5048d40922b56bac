//! Totals of deliveries by hour.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::ledger::postgres::sql::{rows, run};
use crate::ledger::rules::hours::{EACH, KEPT, decode, encode};
use crate::ledger::{AppId, HourTotals, LedgerError, NOTED};
use crate::model::reading::SeriesId;
use crate::util::lease::Token;

/// Stores the totals of deliveries of apps for an hour, unless the hour has some, forgets what is too old, and returns what is
/// kept, the oldest first. Apps that do not belong to the replica with this token are skipped.
pub(super) async fn note(
    transaction: &Transaction<'_>,
    token: Token,
    apps: &[AppId],
    hour: i64,
) -> Result<Vec<HourTotals>, LedgerError> {
    let sql = "SELECT id FROM app WHERE id = ANY ($1) AND owner = $2 ORDER BY id FOR UPDATE";
    let owned = rows(transaction, sql, &[(&apps, Type::INT8_ARRAY), (&token, Type::INT8)]).await?;
    let mut totals: BTreeMap<AppId, Vec<(SeriesId, i64)>> = owned.iter().map(|row| (row.get(0), Vec::new())).collect();
    let apps: Vec<AppId> = totals.keys().copied().collect();
    let families: Vec<&str> = NOTED.iter().map(|family| family.name()).collect();
    let sql = "SELECT app, id, total FROM series WHERE app = ANY ($1) AND family = ANY ($2) AND total > 0 ORDER BY id";
    for row in rows(transaction, sql, &[(&apps, Type::INT8_ARRAY), (&families, Type::TEXT_ARRAY)]).await? {
        totals.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    let totals: Vec<Vec<u8>> = totals.values().map(|totals| encode(totals)).collect();
    // Hours after this one are from a clock that was ahead.
    let sql = "WITH gone AS (DELETE FROM delivery_hour WHERE app = ANY ($1) AND (hour < $2 - $3 OR hour > $2)) \
         INSERT INTO delivery_hour (app, hour, totals) SELECT app, $2, totals \
         FROM unnest($1::int8[], $4::bytea[]) AS noted (app, totals) ON CONFLICT DO NOTHING";
    let params: [(&(dyn ToSql + Sync), Type); 4] =
        [(&apps, Type::INT8_ARRAY), (&hour, Type::INT8), (&KEPT, Type::INT8), (&totals, Type::BYTEA_ARRAY)];
    run(transaction, sql, &params).await?;
    let sql = "SELECT app, hour, totals FROM delivery_hour \
         WHERE app = ANY ($1) AND (hour >= $2 - $3 OR ($2 - hour) % 24 = 0) ORDER BY app, hour";
    let found = rows(transaction, sql, &[(&apps, Type::INT8_ARRAY), (&hour, Type::INT8), (&EACH, Type::INT8)]).await?;
    // An hour that cannot be read is one that nobody noted.
    Ok(found.iter().filter_map(|row| decode(row.get(0), row.get(1), row.get(2)).ok()).collect())
}
