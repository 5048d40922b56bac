//! Loads the rows that a commit depends on: two statements, and one more for window gauges.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::ledger::postgres::sql::{first, rows};
use crate::ledger::postgres::values::labels;
use crate::ledger::rules::needs::{Loaded, Needs, StoredAppRow, StoredMessage, families};
use crate::ledger::rules::registration::category;
use crate::ledger::time::time;
use crate::ledger::{AppId, LedgerError, MessageState, StoredGauges};
use crate::metrics::catalog::Family;
use crate::model::window::Unit;
use crate::util::lease::Token;

/// Loads an app's own row, its owner and the report that polls its new messages, and locks it until the transaction ends.
pub(super) async fn app_row(
    transaction: &Transaction<'_>,
    app: AppId,
) -> Result<(StoredAppRow, Option<Token>, String), LedgerError> {
    let sql = "SELECT first_known, clock_confirmed, waiting, live, newest_message, owner, delivery FROM app WHERE id = $1 FOR UPDATE";
    let row = first(transaction, sql, &[(&app, Type::INT8)]).await?.ok_or(LedgerError::Forgotten)?;
    Ok((read_app_row(&row), row.get(5), row.get(6)))
}

/// Loads the own row of an app that belongs to the replica with this token, and locks it until the transaction ends.
pub(super) async fn own_app_row(
    transaction: &Transaction<'_>,
    token: Token,
    app: AppId,
) -> Result<StoredAppRow, LedgerError> {
    match app_row(transaction, app).await? {
        (row, Some(owner), _) if owner == token => Ok(row),
        _ => Err(LedgerError::NotOwned),
    }
}

fn read_app_row(row: &Row) -> StoredAppRow {
    let newest = row.get::<_, Option<i64>>(4).map(time);
    let messages = MessageState { waiting: row.get(2), live: row.get(3), newest, version: 0 };
    StoredAppRow { first_known: time(row.get(0)), is_confirmed: row.get(1), messages }
}

/// Loads the own row of an app that belongs to the replica with this token, its undocumented labels and its unknown names,
/// and locks the app until the transaction ends.
pub(super) async fn load_app(
    transaction: &Transaction<'_>,
    token: Token,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
) -> Result<Loaded, LedgerError> {
    let names: Vec<&str> = needs.names.iter().map(String::as_str).collect();
    let sql = "SELECT first_known, clock_confirmed, waiting, live, newest_message, \
         ARRAY(SELECT value FROM unknown_label WHERE app = $1), \
         (SELECT count(*) FROM unknown_name WHERE app = $1 AND report = $2), \
         ARRAY(SELECT name FROM unknown_name WHERE app = $1 AND report = $2 AND name = ANY ($3)), owner \
         FROM app WHERE id = $1 FOR UPDATE";
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&app, Type::INT8), (&report, Type::TEXT), (&names, Type::TEXT_ARRAY)];
    let Some(row) = first(transaction, sql, &params).await? else { return Err(LedgerError::Forgotten) };
    if row.get::<_, Option<Token>>(8) != Some(token) {
        return Err(LedgerError::NotOwned);
    }
    let mut loaded = Loaded::of(read_app_row(&row));
    loaded.unknown_labels = row.get::<_, Vec<String>>(5).into_iter().collect();
    loaded.name_count = row.get(6);
    loaded.names = row.get::<_, Vec<String>>(7).into_iter().collect();
    Ok(loaded)
}

/// Loads fields, and windows or messages, in one statement; and window gauges.
pub(super) async fn load_rows(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
    loaded: &mut Loaded,
) -> Result<(), LedgerError> {
    const SQL: &str = "\
        SELECT 'field', path, id, NULL::int8, NULL::bytea, FALSE, NULL::text FROM field WHERE path = ANY ($3) \
        UNION ALL SELECT 'unknown', path, id, NULL, NULL, FALSE, NULL FROM unknown_field JOIN field ON id = field \
            WHERE app = $1 AND $4 \
        UNION ALL SELECT 'window', subject, NULL, NULL, watermark, FALSE, NULL FROM subject \
            WHERE app = $1 AND report = $2 AND subject = ANY ($5) \
        UNION ALL SELECT 'message', subject, id, sent, watermark, aside, category FROM message WHERE app = $1 AND id = ANY ($6)";
    let fields: Vec<&str> = needs.fields.iter().copied().collect();
    let windows: Vec<&str> = needs.windows.iter().copied().collect();
    let messages: Vec<i64> = needs.messages.iter().copied().collect();
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&app, Type::INT8),
        (&report, Type::TEXT),
        (&fields, Type::TEXT_ARRAY),
        (&needs.has_unknown_fields, Type::BOOL),
        (&windows, Type::TEXT_ARRAY),
        (&messages, Type::INT8_ARRAY),
    ];
    for row in rows(transaction, SQL, &params).await? {
        let name: String = row.get(1);
        match row.get(0) {
            "field" => drop(loaded.fields.insert(name, row.get(2))),
            "unknown" => drop(loaded.unknown_fields.insert(name, row.get(2))),
            "window" => drop(loaded.windows.insert(name, row.get(4))),
            _ => {
                let (watermark, is_aside) = (row.get(4), row.get(5));
                let (sent_at, category) = (time(row.get(3)), category(row.get(6)));
                let message = StoredMessage { id: name, sent_at, watermark, is_aside, category };
                loaded.messages.insert(row.get(2), message);
            }
        }
    }
    if needs.has_totals {
        let found = rows(transaction, "SELECT id, family FROM series WHERE app = $1", &[(&app, Type::INT8)]).await?;
        loaded.families = families(found.iter().map(|row| (row.get(0), row.get(1))));
    }
    if needs.gauges.is_empty() {
        return Ok(());
    }
    for gauges in stored_gauges(transaction, app, Some(report)).await? {
        loaded.gauges.insert((gauges.scope.clone(), gauges.unit), gauges);
    }
    Ok(())
}

/// Reads the window gauges of an app, or of one of its reports.
pub(super) async fn stored_gauges(
    transaction: &Transaction<'_>,
    app: AppId,
    report: Option<&str>,
) -> Result<Vec<StoredGauges>, LedgerError> {
    let sql = "SELECT report, scope, unit, ends, family, label_pairs, value \
         FROM window_gauge LEFT JOIN window_gauge_value USING (app, report, scope, unit) \
         WHERE app = $1 AND ($2::text IS NULL OR report = $2) ORDER BY report, scope, unit, family, label_pairs";
    let mut all: Vec<StoredGauges> = Vec::new();
    for row in rows(transaction, sql, &[(&app, Type::INT8), (&report, Type::TEXT)]).await? {
        let (report, scope, unit): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let Some(unit) = Unit::from_name(&unit) else { continue };
        if all.last().is_none_or(|last| (&last.report, &last.scope, last.unit) != (&report, &scope, unit)) {
            all.push(StoredGauges { report, scope, unit, end: time(row.get(3)), values: Vec::new() });
        }
        let family = row.get::<_, Option<String>>(4).and_then(|family| Family::from_name(&family));
        if let (Some(last), Some(family)) = (all.last_mut(), family) {
            last.values.push((family, labels(row.get(5))?, row.get(6)));
        }
    }
    Ok(all)
}
