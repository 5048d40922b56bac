//! Loads the rows that a commit depends on.

use rusqlite::{OptionalExtension, Params, Row, Transaction, params};

use crate::ledger::rules::needs::{Loaded, Needs, StoredAppRow, StoredMessage, families};
use crate::ledger::rules::registration::category;
use crate::ledger::sqlite::window_gauges::{GaugeKey, stored_gauges};
use crate::ledger::time::time;
use crate::ledger::{AppId, LedgerError, MessageState};

/// Loads an app's own row.
pub(super) fn app_row(transaction: &Transaction<'_>, app: AppId) -> Result<StoredAppRow, LedgerError> {
    let mut select = transaction
        .prepare_cached("SELECT first_known, clock_confirmed, waiting, live, newest_message FROM app WHERE id = ?1")?;
    let row = select.query_row([app], |row| {
        let messages = MessageState {
            waiting: row.get(2)?,
            live: row.get(3)?,
            newest: row.get::<_, Option<i64>>(4)?.map(time),
            version: 0,
        };
        Ok(StoredAppRow { first_known: time(row.get(0)?), is_confirmed: row.get(1)?, messages })
    })?;
    Ok(row)
}

/// Loads what a commit needs.
pub(super) fn load(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    needs: &Needs<'_>,
) -> Result<Loaded, LedgerError> {
    let mut loaded = Loaded::of(app_row(transaction, app)?);
    let mut select = transaction.prepare_cached("SELECT id FROM field WHERE path = ?1")?;
    for path in &needs.fields {
        let found: Option<i64> = select.query_row([path], |row| row.get(0)).optional()?;
        loaded.fields.extend(found.map(|number| ((*path).to_owned(), number)));
    }
    if needs.has_unknown_fields {
        let sql = "SELECT path, id FROM unknown_field JOIN field ON id = field WHERE app = ?1";
        loaded.unknown_fields = all(transaction, sql, [app], |row| Ok((row.get(0)?, row.get(1)?)))?;
    }
    if needs.has_unknown_labels {
        let sql = "SELECT value FROM unknown_label WHERE app = ?1";
        loaded.unknown_labels = all(transaction, sql, [app], |row| row.get(0))?;
    }
    for subject in &needs.windows {
        let sql = "SELECT watermark FROM subject WHERE app = ?1 AND report = ?2 AND subject = ?3";
        let found = one(transaction, sql, params![app, report, subject], |row| row.get(0))?;
        loaded.windows.extend(found.map(|watermark: Vec<u8>| ((*subject).to_owned(), watermark)));
    }
    if needs.has_totals {
        let sql = "SELECT id, family FROM series WHERE app = ?1";
        let series: Vec<(i64, String)> = all(transaction, sql, [app], |row| Ok((row.get(0)?, row.get(1)?)))?;
        loaded.families = families(series);
    }
    for (scope, unit) in &needs.gauges {
        let sql = "SELECT ends FROM window_gauge WHERE app = ?1 AND report = ?2 AND scope = ?3 AND unit = ?4";
        let ends: Option<i64> = one(transaction, sql, params![app, report, scope, unit.name()], |row| row.get(0))?;
        if let Some(ends) = ends {
            let key = GaugeKey { app, report, scope, unit: *unit };
            loaded.gauges.insert(((*scope).to_owned(), *unit), stored_gauges(transaction, &key, time(ends))?);
        }
    }
    let mut select = transaction
        .prepare_cached("SELECT subject, sent, watermark, aside, category FROM message WHERE id = ?1 AND app = ?2")?;
    for number in &needs.messages {
        let found = select.query_row(params![number, app], |row| {
            let (id, sent_at) = (row.get(0)?, time(row.get(1)?));
            Ok(StoredMessage {
                id,
                sent_at,
                watermark: row.get(2)?,
                is_aside: row.get(3)?,
                category: category(row.get(4)?),
            })
        });
        loaded.messages.extend(found.optional()?.map(|message| (*number, message)));
    }
    if !needs.names.is_empty() {
        let sql = "SELECT count(*) FROM unknown_name WHERE app = ?1 AND report = ?2";
        loaded.name_count = transaction.prepare_cached(sql)?.query_row(params![app, report], |row| row.get(0))?;
    }
    for name in &needs.names {
        let sql = "SELECT name FROM unknown_name WHERE app = ?1 AND report = ?2 AND name = ?3";
        loaded.names.extend(one(transaction, sql, params![app, report, name], |row| row.get::<_, String>(0))?);
    }
    Ok(loaded)
}

fn one<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, LedgerError> {
    Ok(transaction.prepare_cached(sql)?.query_row(params, read).optional()?)
}

fn all<T, C: FromIterator<T>>(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<C, LedgerError> {
    Ok(transaction.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<C>>()?)
}
