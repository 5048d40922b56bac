//! Apps in SQL: registration, and everything stored about an app.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::ledger::rules::commit::names_are_full;
use crate::ledger::sqlite::load::app_row;
use crate::ledger::sqlite::series::{self, stored_series};
use crate::ledger::sqlite::window_gauges::{GaugeKey, stored_gauges};
use crate::ledger::sqlite::{file_marks, messages};
use crate::ledger::time::{ms, time};
use crate::ledger::{AppId, AppKey, LedgerError, StoredApp, StoredReport};
use crate::model::message_source::MessageSource;
use crate::model::window::Unit;

/// Registers an app and reads its stored state. A changed account starts with a new baseline, while the totals
/// continue.
pub(super) fn register(
    transaction: &Transaction<'_>,
    app: &AppKey,
    now: Timestamp,
    last_seen: Option<Timestamp>,
) -> Result<StoredApp, LedgerError> {
    let stored: Option<(AppId, String)> = transaction
        .query_row(
            "SELECT id, account FROM app WHERE provider = ?1 AND name = ?2",
            params![app.provider, app.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let is_new = stored.as_ref().is_none_or(|(_, account)| *account != app.account);
    let id = match stored {
        None => {
            transaction.execute(
                "INSERT INTO app (provider, name, account, first_known, last_configured, created, clock_confirmed) \
                 VALUES (?1, ?2, ?3, ?4, ?4, ?4, FALSE)",
                params![app.provider, app.name, app.account, ms(now)],
            )?;
            transaction.last_insert_rowid()
        }
        Some((id, _)) => {
            if is_new {
                tracing::warn!(
                    provider = app.provider,
                    app = app.name,
                    "the account has changed; its counters continue from a new baseline"
                );
                transaction.execute(
                    "UPDATE app SET account = ?2, first_known = ?3, clock_confirmed = FALSE WHERE id = ?1",
                    params![id, app.account, ms(now)],
                )?;
                for table in ["subject", "report", "window_gauge", "newest_message"] {
                    transaction.execute(&format!("DELETE FROM {table} WHERE app = ?1"), [id])?;
                }
                // Message ids are kept for every account: if they were forgotten, they would count again when a
                // wrong account is corrected.
                messages::rebase(transaction, id, now)?;
            }
            transaction.execute("UPDATE app SET last_configured = ?2 WHERE id = ?1", params![id, ms(now)])?;
            id
        }
    };
    if let Some(delivery) = app.delivery {
        let changed = transaction
            .execute("UPDATE app SET delivery = ?2 WHERE id = ?1 AND delivery <> ?2", params![id, delivery])?;
        if changed > 0 {
            messages::move_waiting(transaction, id, delivery, now)?;
        }
    }
    let counters: Vec<_> = app.counters.iter().map(|(family, labels)| (*family, labels.clone(), 0)).collect();
    series::count(transaction, id, now, &counters)?;
    Ok(StoredApp { is_new, last_seen, ..restore(transaction, id)? })
}

fn restore(transaction: &Transaction<'_>, id: AppId) -> Result<StoredApp, LedgerError> {
    let mut reports = collect(
        transaction,
        "SELECT report, due, last_success, last_change, state FROM report WHERE app = ?1",
        id,
        |row| {
            Ok(StoredReport {
                report: row.get(0)?,
                due: row.get::<_, Option<i64>>(1)?.map(time),
                last_success: row.get::<_, Option<i64>>(2)?.map(time),
                last_change: row.get::<_, Option<i64>>(3)?.map(time),
                state: row.get(4)?,
                newest: Vec::new(),
                is_failing: false,
            })
        },
    )?;
    for report in &mut reports {
        report.newest = messages::read_newest(transaction, id, &report.report)?;
        report.is_failing = messages::failing(transaction, id, &report.report)? > 0;
    }
    let series = collect(
        transaction,
        "SELECT id, family, label_pairs, total, held_until, shown FROM series WHERE app = ?1 ORDER BY family, label_pairs",
        id,
        stored_series,
    )?;
    let series = series.into_iter().flatten().collect();
    let keys: Vec<(String, String, String, i64)> =
        collect(transaction, "SELECT report, scope, unit, ends FROM window_gauge WHERE app = ?1", id, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let mut gauges = Vec::new();
    for (report, scope, unit, ends) in keys {
        let Some(unit) = Unit::from_name(&unit) else { continue };
        let key = GaugeKey { app: id, report: &report, scope: &scope, unit };
        gauges.push(stored_gauges(transaction, &key, time(ends))?);
    }
    let unknown =
        collect(transaction, "SELECT report, count(*) FROM unknown_name WHERE app = ?1 GROUP BY report", id, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let is_full = names_are_full(&unknown) || series::fields_are_full(transaction, id)?;
    let messages = app_row(transaction, id)?.messages;
    let last_new_ids = collect(transaction, "SELECT source, newest FROM id_source WHERE app = ?1", id, |row| {
        Ok((MessageSource::from_name(&row.get::<_, String>(0)?), time(row.get(1)?)))
    })?;
    let files = file_marks::kept(transaction, id)?;
    let created = transaction.query_row("SELECT created FROM app WHERE id = ?1", [id], |row| row.get(0).map(time))?;
    Ok(StoredApp {
        id,
        created,
        reports,
        series,
        gauges,
        unknown,
        is_full,
        messages,
        last_new_ids: last_new_ids.into_iter().filter_map(|(source, at)| Some((source?, at))).collect(),
        files,
        is_owned: true,
        ..StoredApp::default()
    })
}

fn collect<T>(
    transaction: &Transaction<'_>,
    query: &str,
    app: AppId,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    let mut statement = transaction.prepare(query)?;
    let rows = statement.query_map([app], read)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}
