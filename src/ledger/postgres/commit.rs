//! Writes an answer, inside one transaction that the caller commits: [`crate::ledger::rules`] decides what changes. A commit
//! about messages takes at most eight statements, whatever the number of messages.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::ledger::postgres::sql::{first, run};
use crate::ledger::postgres::values::stored_labels;
use crate::ledger::postgres::{load, messages, series};
use crate::ledger::rules::commit::{Changes, apply};
use crate::ledger::rules::counters::Numbers;
use crate::ledger::rules::messages::MessageChange;
use crate::ledger::rules::needs::Needs;
use crate::ledger::rules::retention;
use crate::ledger::time::{ms, span_ms, time};
use crate::ledger::{Commit, CommitContent, LedgerError, NewestMessage, NewestMessages, Receipt};
use crate::util::lease::Token;

/// Writes a whole answer.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    token: Token,
    commit: &Commit,
) -> Result<Receipt, LedgerError> {
    let Commit { app, report, now, hold, .. } = *commit;
    let needs = Needs::of(commit);
    let mut loaded = load::load_app(transaction, token, app, report, &needs).await?;
    if let Some(confirmation) = &commit.confirmation {
        loaded.app = messages::confirm(transaction, app, loaded.app, now, confirmation).await?;
    }
    load::load_rows(transaction, app, report, &needs, &mut loaded).await?;
    let mut changes = apply(commit, loaded);
    let numbers = series::number(transaction, app, now, hold, &changes.fields, &changes.series).await?;
    let mut receipt = std::mem::take(&mut changes.receipt);
    receipt.series = series::increase(transaction, &changes.increases(&numbers)).await?;
    match &commit.content {
        CommitContent::Messages { newest, .. } => {
            let rows = MessageRows::of(&changes, &numbers);
            write_messages(transaction, commit, &changes, rows, newest).await?;
        }
        CommitContent::Windows { .. } | CommitContent::Moment { .. } => {
            write_names(transaction, commit, &changes).await?;
            write_windows(transaction, commit, &mut changes, &numbers).await?;
        }
    }
    let (next_due, failing) = write_report(transaction, commit, receipt.has_new_numbers).await?;
    if matches!(commit.content, CommitContent::Messages { .. }) {
        (receipt.next_due, receipt.failing) = (next_due, failing);
    }
    Ok(receipt)
}

/// Changes of messages, by column.
#[derive(Default)]
struct MessageRows {
    rows: Vec<i64>,
    paces: Vec<i64>,
    due: Vec<i64>,
    at_10m: Vec<bool>,
    shapes: Vec<Option<String>>,
    watermarks: Vec<Option<Vec<u8>>>,
    failures: Vec<i64>,
    call_limits: Vec<i64>,
    refusals: Vec<i64>,
    aside: Vec<bool>,
    retired: Vec<i64>,
}

impl MessageRows {
    fn of(changes: &Changes, numbers: &Numbers) -> MessageRows {
        let mut rows = MessageRows::default();
        for (row, change) in &changes.messages.rows {
            match change {
                MessageChange::Update { watermark, shape, is_at_10m, next } => {
                    let watermark = numbers.resolve(watermark.clone()).encode();
                    rows.push(*row, *next, [0; 3], false);
                    rows.at_10m.push(*is_at_10m);
                    rows.shapes.push(Some(shape.clone()));
                    rows.watermarks.push(Some(watermark));
                }
                MessageChange::Postpone { next } => {
                    rows.push(*row, *next, [0; 3], false);
                    rows.leave_as_read();
                }
                MessageChange::Fail { failures, call_limit, refusals, is_aside, next } => {
                    rows.push(*row, *next, [*failures, *call_limit, *refusals], *is_aside);
                    rows.leave_as_read();
                }
                MessageChange::Retire { .. } => rows.retired.push(*row),
            }
        }
        rows
    }

    fn push(&mut self, row: i64, (due, pace): (Timestamp, Duration), failures: [u32; 3], is_aside: bool) {
        self.rows.push(row);
        self.paces.push(span_ms(pace));
        self.due.push(ms(due));
        let [failures, call_limit, refusals] = failures.map(i64::from);
        self.failures.push(failures);
        self.call_limits.push(call_limit);
        self.refusals.push(refusals);
        self.aside.push(is_aside);
    }

    /// Keeps watermark and shape.
    fn leave_as_read(&mut self) {
        self.at_10m.push(false);
        self.shapes.push(None);
        self.watermarks.push(None);
    }
}

/// Writes messages, the newest ones, unknown names and labels, and the numbers of the app, in one statement.
async fn write_messages(
    transaction: &Transaction<'_>,
    commit: &Commit,
    changes: &Changes,
    rows: MessageRows,
    newest: &NewestMessages,
) -> Result<(), LedgerError> {
    const SQL: &str = "\
        WITH changed AS (UPDATE message SET pace = c.pace, due = c.due, at_10m = message.at_10m OR c.at_10m, \
             shape = coalesce(c.shape, message.shape), watermark = coalesce(c.watermark, message.watermark), \
             failures = c.failures, call_limit = c.call_limit, refusals = c.refusals, aside = c.aside \
             FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::bool[], $6::text[], $7::bytea[], $8::int8[], $9::int8[], \
             $10::int8[], $11::bool[]) AS c (id, pace, due, at_10m, shape, watermark, failures, call_limit, refusals, aside) \
             WHERE message.id = c.id AND message.app = $1), \
        retired AS (DELETE FROM message WHERE app = $1 AND id = ANY ($12) RETURNING subject), \
        remembered AS (INSERT INTO tombstone (app, subject, expires) SELECT $1, subject, $13 FROM retired \
             ON CONFLICT (app, subject) DO UPDATE SET expires = excluded.expires), \
        labels AS (INSERT INTO unknown_label (app, value) SELECT $1, unnest($14::text[]) ON CONFLICT DO NOTHING), \
        names AS (INSERT INTO unknown_name (app, report, name) SELECT $1, $15, unnest($16::text[]) ON CONFLICT DO NOTHING), \
        gone AS (DELETE FROM newest_message WHERE app = $1 AND report = $15 AND subject = ANY ($17)), \
        newest AS (INSERT INTO newest_message (app, report, subject, sent, numbers) \
             SELECT $1, $15, n.* FROM unnest($18::text[], $19::int8[], $20::text[]) AS n (subject, sent, numbers) \
             ON CONFLICT (app, report, subject) DO UPDATE SET sent = excluded.sent, numbers = excluded.numbers) \
        UPDATE app SET waiting = waiting + $21, live = live + $22 WHERE id = $1";
    let Commit { app, report, now, .. } = *commit;
    let expires = ms(now).saturating_add(retention::REMEMBERED_MS);
    let ids: Vec<&str> = newest.set.iter().map(|NewestMessage { id, .. }| id.as_str()).collect();
    let sent: Vec<i64> = newest.set.iter().map(|message| ms(message.sent_at)).collect();
    let shown: Vec<&str> = newest.set.iter().map(|message| message.numbers.as_str()).collect();
    run(
        transaction,
        SQL,
        &[
            (&app, Type::INT8),
            (&rows.rows, Type::INT8_ARRAY),
            (&rows.paces, Type::INT8_ARRAY),
            (&rows.due, Type::INT8_ARRAY),
            (&rows.at_10m, Type::BOOL_ARRAY),
            (&rows.shapes, Type::TEXT_ARRAY),
            (&rows.watermarks, Type::BYTEA_ARRAY),
            (&rows.failures, Type::INT8_ARRAY),
            (&rows.call_limits, Type::INT8_ARRAY),
            (&rows.refusals, Type::INT8_ARRAY),
            (&rows.aside, Type::BOOL_ARRAY),
            (&rows.retired, Type::INT8_ARRAY),
            (&expires, Type::INT8),
            (&changes.labels, Type::TEXT_ARRAY),
            (&report, Type::TEXT),
            (&changes.names, Type::TEXT_ARRAY),
            (&newest.gone, Type::TEXT_ARRAY),
            (&ids, Type::TEXT_ARRAY),
            (&sent, Type::INT8_ARRAY),
            (&shown, Type::TEXT_ARRAY),
            (&changes.messages.waiting, Type::INT8),
            (&changes.messages.live, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

async fn write_names(transaction: &Transaction<'_>, commit: &Commit, changes: &Changes) -> Result<(), LedgerError> {
    if changes.labels.is_empty() && changes.names.is_empty() {
        return Ok(());
    }
    let sql = "WITH labels AS (INSERT INTO unknown_label (app, value) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING) \
         INSERT INTO unknown_name (app, report, name) SELECT $1, $3, unnest($4::text[]) ON CONFLICT DO NOTHING";
    let names = [
        (&commit.app as &(dyn ToSql + Sync), Type::INT8),
        (&changes.labels, Type::TEXT_ARRAY),
        (&commit.report, Type::TEXT),
        (&changes.names, Type::TEXT_ARRAY),
    ];
    run(transaction, sql, &names).await?;
    Ok(())
}

async fn write_windows(
    transaction: &Transaction<'_>,
    commit: &Commit,
    changes: &mut Changes,
    numbers: &Numbers,
) -> Result<(), LedgerError> {
    let Commit { app, report, .. } = *commit;
    if !changes.windows.is_empty() {
        let windows = std::mem::take(&mut changes.windows).into_iter();
        let (subjects, watermarks): (Vec<String>, Vec<Vec<u8>>) =
            windows.map(|(subject, watermark)| (subject, numbers.resolve(watermark).encode())).unzip();
        let sql = "INSERT INTO subject (app, report, subject, watermark) \
             SELECT $1, $2, w.* FROM unnest($3::text[], $4::bytea[]) AS w (subject, watermark) \
             ON CONFLICT (app, report, subject) DO UPDATE SET watermark = excluded.watermark";
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&app, Type::INT8),
            (&report, Type::TEXT),
            (&subjects, Type::TEXT_ARRAY),
            (&watermarks, Type::BYTEA_ARRAY),
        ];
        run(transaction, sql, &params).await?;
    }
    if changes.has_new_window {
        let sql = "DELETE FROM subject WHERE app = $1 AND report = $2 AND subject < (SELECT subject FROM subject \
             WHERE app = $1 AND report = $2 ORDER BY subject DESC LIMIT 1 OFFSET $3)";
        run(transaction, sql, &[(&app, Type::INT8), (&report, Type::TEXT), (&retention::WINDOWS, Type::INT8)]).await?;
    }
    for gauges in &changes.gauges {
        let unit = gauges.unit.name();
        let families: Vec<&str> = gauges.values.iter().map(|(family, ..)| family.name()).collect();
        let labels = gauges.values.iter().map(|(_, labels, _)| stored_labels(labels));
        let labels = labels.collect::<Result<Vec<String>, LedgerError>>()?;
        let values: Vec<i64> = gauges.values.iter().map(|(.., value)| *value).collect();
        let key: [(&(dyn ToSql + Sync), Type); 4] =
            [(&app, Type::INT8), (&report, Type::TEXT), (&gauges.scope, Type::TEXT), (&unit, Type::TEXT)];
        let delete = "DELETE FROM window_gauge WHERE app = $1 AND report = $2 AND scope = $3 AND unit = $4";
        run(transaction, delete, &key).await?;
        let insert = "WITH gauge AS (INSERT INTO window_gauge (app, report, scope, unit, ends) VALUES ($1, $2, $3, $4, $5)) \
             INSERT INTO window_gauge_value (app, report, scope, unit, family, label_pairs, value) \
             SELECT $1, $2, $3, $4, v.* FROM unnest($6::text[], $7::text[], $8::int8[]) AS v (family, label_pairs, value)";
        let ends = ms(gauges.end);
        let mut all = key.to_vec();
        all.extend([
            (&ends as &(dyn ToSql + Sync), Type::INT8),
            (&families, Type::TEXT_ARRAY),
            (&labels, Type::TEXT_ARRAY),
            (&values, Type::INT8_ARRAY),
        ]);
        run(transaction, insert, &all).await?;
    }
    Ok(())
}

/// Writes the report; returns the due time of its next message, and the number of failing ones.
async fn write_report(
    transaction: &Transaction<'_>,
    commit: &Commit,
    has_new_numbers: bool,
) -> Result<(Option<Timestamp>, i64), LedgerError> {
    let Commit { app, report, now, sure, due, succeeded, ref state, .. } = *commit;
    // The 90 days of an app start at its last poll, regardless of how long the process ran.
    let sql = format!(
        "{paces}, after AS (SELECT (SELECT min(next.due) FROM pace CROSS JOIN LATERAL (SELECT due FROM message \
         WHERE app = $1 AND report = $2 AND pace = pace.pace ORDER BY due LIMIT 1) AS next WHERE pace.pace IS NOT NULL) \
         AS next_due, (SELECT count(*) FROM message WHERE app = $1 AND report = $2 AND failures > 0 AND NOT aside) AS failing), \
         polled AS (UPDATE app SET last_configured = $7, last_seen = $8 WHERE id = $1), \
         written AS (INSERT INTO report (app, report, due, last_success, last_change, state) \
         SELECT $1, $2, $3, CASE WHEN $4 AND failing = 0 THEN $7 END, CASE WHEN $5 THEN $7 END, coalesce($6, '') FROM after \
         ON CONFLICT (app, report) DO UPDATE SET due = coalesce(excluded.due, report.due), \
         last_success = coalesce(excluded.last_success, report.last_success), \
         last_change = coalesce(excluded.last_change, report.last_change), state = coalesce($6, report.state)) \
         SELECT next_due, failing FROM after",
        paces = messages::PACES
    );
    let (due, now, sure) = (due.map(ms), ms(now), ms(sure));
    let params: [(&(dyn ToSql + Sync), Type); 8] = [
        (&app, Type::INT8),
        (&report, Type::TEXT),
        (&due, Type::INT8),
        (&succeeded, Type::BOOL),
        (&has_new_numbers, Type::BOOL),
        (state, Type::TEXT),
        (&now, Type::INT8),
        (&sure, Type::INT8),
    ];
    let row = first(transaction, &sql, &params).await?;
    Ok(row.map_or((None, 0), |row| (row.get::<_, Option<i64>>(0).map(time), row.get(1))))
}
