//! Apps: registration, and everything stored about an app.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::ledger::postgres::load::{app_row, stored_gauges};
use crate::ledger::postgres::replica_rows::notify_fleet;
use crate::ledger::postgres::sql::{first, rows, run};
use crate::ledger::postgres::{file_marks, messages, series};
use crate::ledger::rules::commit::names_are_full;
use crate::ledger::rules::counters::MAX_UNKNOWN_FIELDS;
use crate::ledger::rules::retention;
use crate::ledger::time::{DAY_MS, ms, time};
use crate::ledger::{AppId, AppKey, LedgerError, NewestMessage, StoredApp, StoredReport};
use crate::util::lease::Token;

/// The replica that registers apps.
pub(super) struct Claimer<'a> {
    /// Token of its membership.
    pub(super) token: Token,
    /// Its name.
    pub(super) name: &'a str,
}

/// Registers the configured apps, claims those that are wanted and free, forgets those that left the configuration of all
/// replicas long ago, and returns what is stored.
pub(super) async fn register_all(
    transaction: &Transaction<'_>,
    claimer: &Claimer<'_>,
    apps: &[AppKey],
    now: Timestamp,
) -> Result<Vec<StoredApp>, LedgerError> {
    let last_seen = first(transaction, "SELECT max(last_seen) FROM app", &[]).await?;
    let last_seen = last_seen.and_then(|row| row.get::<_, Option<i64>>(0)).filter(|seen| *seen > 0).map(time);
    let mut stored = Vec::new();
    for app in apps {
        let registered = register(transaction, claimer, app, now).await?;
        stored.push(StoredApp { last_seen, ..registered });
    }
    if stored.iter().any(|app| app.is_owned) {
        notify_fleet(transaction).await?;
    }
    // A clock that is ahead at the start must not delete what the ledger remembers.
    let sure = last_seen.map_or(now, |seen| seen.min(now));
    let limit = ms(sure) - retention::APP_DAYS * DAY_MS;
    let sql = "DELETE FROM app WHERE last_configured < $1 AND owner IS DISTINCT FROM $2 AND NOT EXISTS (SELECT FROM replica_app \
         WHERE replica_app.provider = app.provider AND replica_app.name = app.name)";
    run(transaction, sql, &[(&limit, Type::INT8), (&claimer.token, Type::INT8)]).await?;
    Ok(stored)
}

/// The row of an app, as far as its registration depends on it.
struct AppRow {
    id: AppId,
    account: String,
    /// Name of the last owner.
    owner_name: String,
    /// Number of claims so far.
    claims: i64,
    owner: Option<Token>,
}

async fn find(transaction: &Transaction<'_>, app: &AppKey) -> Result<Option<AppRow>, LedgerError> {
    // What another replica keeps need not wait for its transactions.
    let lock = if app.is_claimed { "FOR UPDATE" } else { "" };
    let sql =
        format!("SELECT id, account, owner_name, claims, owner FROM app WHERE provider = $1 AND name = $2 {lock}");
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&app.provider, Type::TEXT), (&app.name, Type::TEXT)];
    let row = first(transaction, &sql, &params).await?;
    Ok(row.map(|row| AppRow {
        id: row.get(0),
        account: row.get(1),
        owner_name: row.get(2),
        claims: row.get(3),
        owner: row.get(4),
    }))
}

/// Returns true if no other live replica owns an app, whose row is locked. It is a statement of its own: one that waits for a
/// lock sees the replicas as they were before it.
async fn may_claim(
    transaction: &Transaction<'_>,
    claimer: &Claimer<'_>,
    owner: Option<Token>,
) -> Result<bool, LedgerError> {
    match owner {
        Some(owner) if owner != claimer.token => {
            Ok(first(transaction, "SELECT 1 FROM replica WHERE token = $1", &[(&owner, Type::INT8)]).await?.is_none())
        }
        _ => Ok(true),
    }
}

/// Registers an app. If this replica is to claim it and can, reads its stored state; a changed account then starts with a
/// new baseline, while the totals continue.
async fn register(
    transaction: &Transaction<'_>,
    claimer: &Claimer<'_>,
    app: &AppKey,
    now: Timestamp,
) -> Result<StoredApp, LedgerError> {
    let at = ms(now);
    let row = match find(transaction, app).await? {
        Some(row) => row,
        None => {
            insert(transaction, app, at).await?;
            find(transaction, app).await?.ok_or(LedgerError::Forgotten)?
        }
    };
    let AppRow { id, account, owner_name, claims, owner } = row;
    if !app.is_claimed || !may_claim(transaction, claimer, owner).await? {
        let files = file_marks::kept(transaction, claimer.name, id).await?;
        return Ok(StoredApp { id, files, is_owned: false, ..StoredApp::default() });
    }
    let has_other_account = account != app.account;
    if has_other_account {
        tracing::warn!(
            provider = app.provider,
            app = app.name,
            "the account has changed; its counters continue from a new baseline"
        );
        for table in ["subject", "report", "window_gauge", "newest_message"] {
            let sql = format!("DELETE FROM {table} WHERE app = $1");
            run(transaction, &sql, &[(&id, Type::INT8)]).await?;
        }
        // Message ids are kept for every account: if they were forgotten, they would count again when a
        // wrong account is corrected.
        messages::rebase(transaction, id, now).await?;
    }
    let is_new = has_other_account || claims == 0;
    let sql = "UPDATE app SET last_configured = $2, account = $3, owner = $4, owner_name = $5, claims = claims + 1, arrived = FALSE, \
         first_known = CASE WHEN $6 THEN $2 ELSE first_known END, clock_confirmed = clock_confirmed AND NOT $6 WHERE id = $1";
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&id, Type::INT8),
        (&at, Type::INT8),
        (&app.account, Type::TEXT),
        (&claimer.token, Type::INT8),
        (&claimer.name, Type::TEXT),
        (&is_new, Type::BOOL),
    ];
    run(transaction, sql, &params).await?;
    if let Some(delivery) = app.delivery {
        let sql = "UPDATE app SET delivery = $2 WHERE id = $1 AND delivery <> $2 RETURNING id";
        if run(transaction, sql, &[(&id, Type::INT8), (&delivery, Type::TEXT)]).await? > 0 {
            messages::move_waiting(transaction, id, delivery, now).await?;
        }
    }
    let counters: Vec<_> = app.counters.iter().map(|(family, labels)| (*family, labels.clone(), 0)).collect();
    series::count(transaction, id, now, &counters).await?;
    let is_taken_over = !owner_name.is_empty() && owner_name != claimer.name;
    Ok(StoredApp { is_new, is_taken_over, ..restore(transaction, claimer.name, id).await? })
}

/// Creates the row of an app, unless another replica does.
async fn insert(transaction: &Transaction<'_>, app: &AppKey, at: i64) -> Result<(), LedgerError> {
    let sql = "INSERT INTO app (provider, name, account, first_known, last_configured, created, clock_confirmed) \
         VALUES ($1, $2, $3, $4, $4, $4, FALSE) ON CONFLICT DO NOTHING";
    let params: [(&(dyn ToSql + Sync), Type); 4] =
        [(&app.provider, Type::TEXT), (&app.name, Type::TEXT), (&app.account, Type::TEXT), (&at, Type::INT8)];
    run(transaction, sql, &params).await?;
    Ok(())
}

async fn restore(transaction: &Transaction<'_>, replica: &str, id: AppId) -> Result<StoredApp, LedgerError> {
    let key = [(&id as &(dyn ToSql + Sync), Type::INT8)];
    let (row, ..) = app_row(transaction, id).await?;
    let messages = row.messages;
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
    let totals = series::stored(transaction, id, None).await?;
    let gauges = stored_gauges(transaction, id, None).await?;
    let sql = "SELECT report, count(*) FROM unknown_name WHERE app = $1 GROUP BY report";
    let unknown: Vec<(String, i64)> =
        rows(transaction, sql, &key).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sql = "SELECT (SELECT count(*) FROM unknown_field WHERE app = $1), created FROM app WHERE id = $1";
    let row = first(transaction, sql, &key).await?.ok_or(LedgerError::Forgotten)?;
    let fields_are_full = usize::try_from(row.get::<_, i64>(0)).is_ok_and(|count| count >= MAX_UNKNOWN_FIELDS);
    let is_full = names_are_full(&unknown) || fields_are_full;
    let last_new_ids = messages::last_new_ids(transaction, id).await?;
    let files = file_marks::kept(transaction, replica, id).await?;
    Ok(StoredApp {
        id,
        created: time(row.get(1)),
        reports,
        series: totals,
        gauges,
        unknown,
        is_full,
        messages,
        last_new_ids,
        files,
        is_owned: true,
        ..StoredApp::default()
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
