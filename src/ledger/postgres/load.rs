//! Loads the rows that a commit depends on: four statements, whatever the commit holds.

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use crate::ledger::postgres::sql::{first, rows};
use crate::ledger::postgres::values::labels;
use crate::ledger::rules::needs::{Loaded, Needs, StoredAppRow, StoredMessage};
use crate::ledger::time::time;
use crate::ledger::{AppId, LedgerError, MessageState, StoredGauges};
use crate::metrics::catalog::Family;
use crate::model::window::Unit;

/// Loads an app's own row, and locks it until the transaction ends.
pub(super) async fn app_row(transaction: &Transaction<'_>, app: AppId) -> Result<StoredAppRow, LedgerError> {
    let sql = "SELECT first_known, clock_confirmed, waiting, live, newest_message FROM app WHERE id = $1 FOR UPDATE";
    let row = first(transaction, sql, &[(&app, Type::INT8)]).await?;
    row.as_ref().map(read_app_row).ok_or(LedgerError::Forgotten)
}

fn read_app_row(row: &Row) -> StoredAppRow {
    let newest = row.get::<_, Option<i64>>(4).map(time);
    let messages = MessageState { waiting: row.get(2), live: row.get(3), newest, version: 0 };
    StoredAppRow { first_known: time(row.get(0)), is_confirmed: row.get(1), messages }
}

/// Loads what a commit needs.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
) -> Result<Loaded, LedgerError> {
    let names: Vec<&str> = needs.names.iter().map(String::as_str).collect();
    let sql = "SELECT first_known, clock_confirmed, waiting, live, newest_message, \
         ARRAY(SELECT value FROM unknown_label WHERE app = $1), \
         (SELECT count(*) FROM unknown_name WHERE app = $1 AND report = $2), \
         ARRAY(SELECT name FROM unknown_name WHERE app = $1 AND report = $2 AND name = ANY ($3)) \
         FROM app WHERE id = $1 FOR UPDATE";
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&app, Type::INT8), (&report, Type::TEXT), (&names, Type::TEXT_ARRAY)];
    let Some(row) = first(transaction, sql, &params).await? else { return Err(LedgerError::Forgotten) };
    let mut loaded = Loaded::of(read_app_row(&row));
    loaded.unknown_labels = row.get::<_, Vec<String>>(5).into_iter().collect();
    loaded.name_count = row.get(6);
    loaded.names = row.get::<_, Vec<String>>(7).into_iter().collect();
    load_fields(transaction, app, needs, &mut loaded).await?;
    load_subjects(transaction, app, report, needs, &mut loaded).await?;
    load_gauges(transaction, app, report, needs, &mut loaded).await?;
    Ok(loaded)
}

async fn load_fields(
    transaction: &Transaction<'_>,
    app: AppId,
    needs: &Needs<'_>,
    loaded: &mut Loaded,
) -> Result<(), LedgerError> {
    if needs.fields.is_empty() && !needs.has_unknown_fields {
        return Ok(());
    }
    let paths: Vec<&str> = needs.fields.iter().copied().collect();
    let sql = "SELECT path, id, FALSE FROM field WHERE path = ANY ($2) \
         UNION ALL SELECT path, id, TRUE FROM unknown_field JOIN field ON id = field WHERE app = $1 AND $3";
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&app, Type::INT8), (&paths, Type::TEXT_ARRAY), (&needs.has_unknown_fields, Type::BOOL)];
    for row in rows(transaction, sql, &params).await? {
        let fields = if row.get(2) { &mut loaded.unknown_fields } else { &mut loaded.fields };
        fields.insert(row.get(0), row.get(1));
    }
    Ok(())
}

/// Loads windows or messages: a commit has only one of them.
async fn load_subjects(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
    loaded: &mut Loaded,
) -> Result<(), LedgerError> {
    if !needs.windows.is_empty() {
        let windows: Vec<&str> = needs.windows.iter().copied().collect();
        let sql = "SELECT subject, watermark FROM subject WHERE app = $1 AND report = $2 AND subject = ANY ($3)";
        let found =
            rows(transaction, sql, &[(&app, Type::INT8), (&report, Type::TEXT), (&windows, Type::TEXT_ARRAY)]).await?;
        loaded.windows = found.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    if !needs.messages.is_empty() {
        let numbers: Vec<i64> = needs.messages.iter().copied().collect();
        let sql = "SELECT id, subject, sent, watermark, aside FROM message WHERE app = $1 AND id = ANY ($2)";
        let found = rows(transaction, sql, &[(&app, Type::INT8), (&numbers, Type::INT8_ARRAY)]).await?;
        let message = |row: &Row| {
            let (id, sent_at) = (row.get(1), time(row.get(2)));
            (row.get(0), StoredMessage { id, sent_at, watermark: row.get(3), is_aside: row.get(4) })
        };
        loaded.messages = found.iter().map(message).collect();
    }
    Ok(())
}

async fn load_gauges(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
    loaded: &mut Loaded,
) -> Result<(), LedgerError> {
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
