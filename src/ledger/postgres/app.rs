//! Apps: registration, and everything stored about an app.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::ledger::postgres::load::{app_row, stored_gauges};
use crate::ledger::postgres::sql::{first, rows, run};
use crate::ledger::postgres::{file_marks, messages, series, values};
use crate::ledger::rules::commit::names_are_full;
use crate::ledger::rules::counters::MAX_UNKNOWN_FIELDS;
use crate::ledger::rules::retention;
use crate::ledger::time::{DAY_MS, ms, time};
use crate::ledger::{AppId, AppKey, LedgerError, NewestMessage, StoredApp, StoredReport};

/// Registers the configured apps, forgets those that left the configuration long ago, and returns what is stored.
pub(super) async fn register_all(
    transaction: &Transaction<'_>,
    apps: &[AppKey],
    now: Timestamp,
) -> Result<Vec<StoredApp>, LedgerError> {
    let last_seen = first(transaction, "SELECT max(last_seen) FROM app", &[]).await?;
    let last_seen = last_seen.and_then(|row| row.get::<_, Option<i64>>(0)).filter(|seen| *seen > 0).map(time);
    let mut stored = Vec::new();
    for app in apps {
        stored.push(register(transaction, app, now, last_seen).await?);
    }
    // A clock that is ahead at the start must not delete what the ledger remembers.
    let sure = last_seen.map_or(now, |seen| seen.min(now));
    let limit = ms(sure) - retention::APP_DAYS * DAY_MS;
    run(transaction, "DELETE FROM app WHERE last_configured < $1", &[(&limit, Type::INT8)]).await?;
    Ok(stored)
}

/// Registers an app and reads its stored state. A changed account starts with a new baseline, while the totals
/// continue.
async fn register(
    transaction: &Transaction<'_>,
    app: &AppKey,
    now: Timestamp,
    last_seen: Option<Timestamp>,
) -> Result<StoredApp, LedgerError> {
    let sql = "SELECT id, account FROM app WHERE provider = $1 AND name = $2 FOR UPDATE";
    let found = first(transaction, sql, &[(&app.provider, Type::TEXT), (&app.name, Type::TEXT)]).await?;
    let stored: Option<(AppId, String)> = found.map(|row| (row.get(0), row.get(1)));
    let is_new = stored.as_ref().is_none_or(|(_, account)| *account != app.account);
    let at = ms(now);
    let id = match stored {
        None => insert(transaction, app, at).await?,
        Some((id, _)) => {
            if is_new {
                tracing::warn!(
                    provider = app.provider,
                    app = app.name,
                    "the account has changed; its counters continue from a new baseline"
                );
                let sql = "UPDATE app SET account = $2, first_known = $3, clock_confirmed = FALSE WHERE id = $1";
                let params: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&id, Type::INT8), (&app.account, Type::TEXT), (&at, Type::INT8)];
                run(transaction, sql, &params).await?;
                for table in ["subject", "report", "window_gauge", "newest_message"] {
                    let sql = format!("DELETE FROM {table} WHERE app = $1");
                    run(transaction, &sql, &[(&id, Type::INT8)]).await?;
                }
                // Message ids are kept for every account: if they were forgotten, they would count again when a
                // wrong account is corrected.
                messages::rebase(transaction, id, now).await?;
            }
            let sql = "UPDATE app SET last_configured = $2 WHERE id = $1";
            run(transaction, sql, &[(&id, Type::INT8), (&at, Type::INT8)]).await?;
            id
        }
    };
    if let Some(delivery) = app.delivery {
        let sql = "UPDATE app SET delivery = $2 WHERE id = $1 AND delivery <> $2 RETURNING id";
        if run(transaction, sql, &[(&id, Type::INT8), (&delivery, Type::TEXT)]).await? > 0 {
            messages::move_waiting(transaction, id, delivery, now).await?;
        }
    }
    let counters: Vec<_> = app.counters.iter().map(|(family, labels)| (*family, labels.clone(), 0)).collect();
    series::count(transaction, id, now, &counters).await?;
    Ok(StoredApp { is_new, last_seen, ..restore(transaction, id).await? })
}

async fn insert(transaction: &Transaction<'_>, app: &AppKey, at: i64) -> Result<AppId, LedgerError> {
    let sql = "INSERT INTO app (provider, name, account, first_known, last_configured, created, clock_confirmed) \
         VALUES ($1, $2, $3, $4, $4, $4, FALSE) RETURNING id";
    let params: [(&(dyn ToSql + Sync), Type); 4] =
        [(&app.provider, Type::TEXT), (&app.name, Type::TEXT), (&app.account, Type::TEXT), (&at, Type::INT8)];
    first(transaction, sql, &params).await?.map(|row| row.get(0)).ok_or(LedgerError::Forgotten)
}

async fn restore(transaction: &Transaction<'_>, id: AppId) -> Result<StoredApp, LedgerError> {
    let key = [(&id as &(dyn ToSql + Sync), Type::INT8)];
    let messages = app_row(transaction, id).await?.messages;
    let sql = "SELECT report, due, last_success, last_change, state, EXISTS (SELECT 1 FROM message \
         WHERE message.app = report.app AND message.report = report.report AND failures > 0 AND NOT aside) \
         FROM report WHERE app = $1 ORDER BY report";
    let mut reports: Vec<StoredReport> = rows(transaction, sql, &key).await?.iter().map(report).collect();
    let sql = "SELECT report, subject, sent, numbers FROM newest_message WHERE app = $1";
    for row in rows(transaction, sql, &key).await? {
        let name: String = row.get(0);
        let newest = NewestMessage { id: row.get(1), sent_at: time(row.get(2)), numbers: row.get(3) };
        if let Some(report) = reports.iter_mut().find(|report| report.report == name) {
            report.newest.push(newest);
        }
    }
    let sql = "SELECT id, family, label_pairs, total, held_until, shown FROM series WHERE app = $1 ORDER BY family, label_pairs";
    let mut totals = Vec::new();
    for row in rows(transaction, sql, &key).await? {
        totals.extend(values::series(&row)?);
    }
    let gauges = stored_gauges(transaction, id, None).await?;
    let sql = "SELECT report, count(*) FROM unknown_name WHERE app = $1 GROUP BY report";
    let unknown: Vec<(String, i64)> =
        rows(transaction, sql, &key).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sql = "SELECT (SELECT count(*) FROM unknown_field WHERE app = $1), created FROM app WHERE id = $1";
    let row = first(transaction, sql, &key).await?.ok_or(LedgerError::Forgotten)?;
    let fields_are_full = usize::try_from(row.get::<_, i64>(0)).is_ok_and(|count| count >= MAX_UNKNOWN_FIELDS);
    let is_full = names_are_full(&unknown) || fields_are_full;
    let files = file_marks::kept(transaction, id).await?;
    Ok(StoredApp {
        id,
        created: time(row.get(1)),
        reports,
        series: totals,
        gauges,
        unknown,
        is_full,
        messages,
        files,
        is_new: false,
        last_seen: None,
    })
}

fn report(row: &Row) -> StoredReport {
    StoredReport {
        report: row.get(0),
        due: row.get::<_, Option<i64>>(1).map(time),
        last_success: row.get::<_, Option<i64>>(2).map(time),
        last_change: row.get::<_, Option<i64>>(3).map(time),
        state: row.get(4),
        newest: Vec::new(),
        is_failing: row.get(5),
    }
}
