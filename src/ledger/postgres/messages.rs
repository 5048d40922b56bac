//! The messages of an app: registered, due, corrected, rescheduled, forgotten.

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::ledger::postgres::load::{app_row, own_app_row};
use crate::ledger::postgres::sql::{first, rows, run};
use crate::ledger::postgres::{file_marks, series};
use crate::ledger::rules::clock;
use crate::ledger::rules::due::{self, Candidate, Step, TRACKED};
use crate::ledger::rules::messages::LEEWAY;
use crate::ledger::rules::needs::StoredAppRow;
use crate::ledger::rules::registration::{Categories, IdChange, KnownId, Registration};
use crate::ledger::rules::retention;
use crate::ledger::time::{ms, span_ms, time};
use crate::ledger::{
    AddedMessages, AppId, Confirmation, DueMessages, DueQuery, Hurry, LedgerError, MessageState, NewMessage,
    NewMessages, NewestQuery, Reschedule, TrackedMessage, TrackedQuery,
};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::message_source::MessageSource;
use crate::model::reading::SentMessage;
use crate::util::lease::Token;

/// The paces of a report's messages: a handful, each found by one step through the index; the last row is NULL.
pub(super) const PACES: &str = "\
    WITH RECURSIVE pace (pace) AS ((SELECT min(pace) FROM message WHERE app = $1 AND report = $2) \
    UNION ALL SELECT (SELECT min(pace) FROM message WHERE app = $1 AND report = $2 AND pace > p.pace) \
    FROM pace AS p WHERE p.pace IS NOT NULL)";
/// Assignments that reset the effects of failed calls on a message.
const NO_FAILURES: &str = "failures = 0, call_limit = 0, refusals = 0, aside = FALSE";

/// New messages, by column.
#[derive(Default)]
struct NewRows<'a> {
    ids: Vec<&'a str>,
    sent: Vec<i64>,
    paces: Vec<i64>,
    due: Vec<i64>,
    guessed: Vec<bool>,
    categories: Vec<Option<&'a str>>,
}

impl<'a> NewRows<'a> {
    fn push(&mut self, message: &'a NewMessage, category: Option<&'a str>) {
        self.ids.push(&message.id);
        self.sent.push(ms(message.sent_at));
        self.paces.push(span_ms(message.pace));
        self.due.push(ms(message.due));
        self.guessed.push(message.is_guessed);
        self.categories.push(category);
    }
}

/// Registers messages for a replica, which need not own the app; [`Registration`] decides about each id. Returns true if
/// another replica owns it.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    token: Token,
    replica: &str,
    new: &NewMessages,
) -> Result<(AddedMessages, bool), LedgerError> {
    let NewMessages { app, report, source, now, ref messages, ref earlier, ref read } = *new;
    let (row, owner, delivery) = app_row(transaction, app).await?;
    let before = row.messages;
    let is_of_another = owner.is_some_and(|owner| owner != token);
    // The owner polls it, by its own configuration.
    let report = if is_of_another && !delivery.is_empty() { delivery.as_str() } else { report };
    let mut seen = HashSet::new();
    let messages: Vec<&NewMessage> = messages.iter().filter(|message| seen.insert(message.id.as_str())).collect();
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let sql = "SELECT tombstone.subject IS NOT NULL, message.id IS NOT NULL, coalesce(message.aside, FALSE), \
         message.watermark IS NOT NULL, coalesce(message.category = '', FALSE) FROM unnest($2::text[]) WITH ORDINALITY AS wanted (id, place) \
         LEFT JOIN tombstone ON tombstone.app = $1 AND tombstone.subject = wanted.id \
         LEFT JOIN message ON message.app = $1 AND message.subject = wanted.id ORDER BY wanted.place";
    let known = rows(transaction, sql, &[(&app, Type::INT8), (&ids, Type::TEXT_ARRAY)]).await?;
    let mut registration = Registration::default();
    let mut categories = categories(transaction, app, &messages).await?;
    let (mut inserted, mut taken_back, mut categorized, mut remembered) =
        (NewRows::default(), NewRows::default(), NewRows::default(), Vec::new());
    for (message, row) in messages.iter().zip(&known) {
        let category = categories.stored(message.category.as_deref(), source);
        match registration.decide(known_id(row), source, message) {
            IdChange::None => {}
            IdChange::Insert => {
                categories.note(category);
                inserted.push(message, category);
            }
            IdChange::Categorize => {
                categories.note(category);
                categorized.push(message, category);
            }
            IdChange::TakeBack => taken_back.push(message, None),
            IdChange::Remember => remembered.push(message.id.as_str()),
        }
    }
    let Registration { added, live, newest } = registration;
    let sql = format!(
        "WITH inserted AS (INSERT INTO message (app, subject, report, sent, pace, due, guessed, category) \
         SELECT $1, n.subject, $2, n.sent, n.pace, n.due, n.guessed, n.category \
         FROM unnest($3::text[], $4::int8[], $5::int8[], $6::int8[], $7::bool[], $16::text[]) \
         AS n (subject, sent, pace, due, guessed, category)), \
         categorized AS (INSERT INTO category (app, name) SELECT $1, unnest($17::text[])), \
         brought AS (INSERT INTO id_source (app, source, newest) SELECT $1, $18, $19 WHERE $20 \
         ON CONFLICT (app, source) DO UPDATE SET newest = excluded.newest), \
         taken_back AS (UPDATE message SET {NO_FAILURES}, pace = t.pace, due = t.due \
         FROM unnest($8::text[], $9::int8[], $10::int8[]) AS t (subject, pace, due) \
         WHERE message.app = $1 AND message.subject = t.subject), \
         given AS (UPDATE message SET category = g.category FROM unnest($21::text[], $22::text[]) AS g (subject, category) \
         WHERE message.app = $1 AND message.subject = g.subject), \
         earlier AS (INSERT INTO tombstone (app, subject, expires) SELECT $1, e.subject, $12 \
         FROM (SELECT DISTINCT unnest($23::text[]) AS subject) AS e \
         WHERE NOT EXISTS (SELECT 1 FROM message WHERE app = $1 AND message.subject = e.subject) \
         ON CONFLICT (app, subject) DO UPDATE SET expires = greatest(tombstone.expires, excluded.expires)), \
         remembered AS (UPDATE tombstone SET expires = greatest(expires, $12) WHERE app = $1 AND subject = ANY ($11)) \
         UPDATE app SET waiting = waiting + $13, live = live + $14, newest_message = greatest(newest_message, $15) \
         WHERE id = $1"
    );
    let (waiting, expires, newest) = (added - live, ms(now).saturating_add(retention::REMEMBERED_MS), newest.map(ms));
    let (has_new, source_name, at) = (added > 0, source.name(), ms(now));
    let params: [(&(dyn ToSql + Sync), Type); 23] = [
        (&app, Type::INT8),
        (&report, Type::TEXT),
        (&inserted.ids, Type::TEXT_ARRAY),
        (&inserted.sent, Type::INT8_ARRAY),
        (&inserted.paces, Type::INT8_ARRAY),
        (&inserted.due, Type::INT8_ARRAY),
        (&inserted.guessed, Type::BOOL_ARRAY),
        (&taken_back.ids, Type::TEXT_ARRAY),
        (&taken_back.paces, Type::INT8_ARRAY),
        (&taken_back.due, Type::INT8_ARRAY),
        (&remembered, Type::TEXT_ARRAY),
        (&expires, Type::INT8),
        (&waiting, Type::INT8),
        (&live, Type::INT8),
        (&newest, Type::INT8),
        (&inserted.categories, Type::TEXT_ARRAY),
        (&categories.new, Type::TEXT_ARRAY),
        (&source_name, Type::TEXT),
        (&at, Type::INT8),
        (&has_new, Type::BOOL),
        (&categorized.ids, Type::TEXT_ARRAY),
        (&categorized.categories, Type::TEXT_ARRAY),
        (earlier, Type::TEXT_ARRAY),
    ];
    run(transaction, &sql, &params).await?;
    let mut counted = vec![(Family::MessagesRegistered, Labels::new(&[("source", source.name())]), added)];
    if let Some(read) = read {
        file_marks::keep(transaction, replica, app, read).await?;
        counted.push((Family::BadLines, Labels::default(), read.bad_lines));
    }
    let series = series::count(transaction, app, now, &counted).await?;
    let newest = before.newest.max(newest.map(time));
    let state = MessageState { waiting: before.waiting + waiting, live: before.live + live, newest, version: 0 };
    let last_new_ids = if has_new { vec![(source, now)] } else { Vec::new() };
    Ok((AddedMessages { new: added, series, state, last_new_ids }, is_of_another))
}

/// Returns the categories of the app, if any of the messages has one.
async fn categories(
    transaction: &Transaction<'_>,
    app: AppId,
    messages: &[&NewMessage],
) -> Result<Categories, LedgerError> {
    if messages.iter().all(|message| message.category.is_none()) {
        return Ok(Categories::default());
    }
    let found = rows(transaction, "SELECT name FROM category WHERE app = $1", &[(&app, Type::INT8)]).await?;
    Ok(Categories::of(found.iter().map(|row| row.get(0))))
}

/// Returns the time at which each source last brought a new id of an app.
pub(super) async fn last_new_ids(
    transaction: &Transaction<'_>,
    app: AppId,
) -> Result<Vec<(MessageSource, Timestamp)>, LedgerError> {
    let sql = "SELECT source, newest FROM id_source WHERE app = $1";
    let found = rows(transaction, sql, &[(&app, Type::INT8)]).await?;
    let source = |row: &Row| Some((MessageSource::from_name(&row.get::<_, String>(0))?, time(row.get(1))));
    Ok(found.iter().filter_map(source).collect())
}

/// Records that the owner of an app does not know yet what was registered.
pub(super) async fn flag_arrived(transaction: &Transaction<'_>, app: AppId) -> Result<(), LedgerError> {
    run(transaction, "UPDATE app SET arrived = TRUE WHERE id = $1", &[(&app, Type::INT8)]).await?;
    Ok(())
}

/// Returns the numbers of an app's messages and the totals that registrations change, for its owner.
pub(super) async fn registered(
    transaction: &Transaction<'_>,
    token: Token,
    app: AppId,
) -> Result<AddedMessages, LedgerError> {
    let state = own_app_row(transaction, token, app).await?.messages;
    run(transaction, "UPDATE app SET arrived = FALSE WHERE id = $1 AND arrived", &[(&app, Type::INT8)]).await?;
    let families = [Family::MessagesRegistered.name(), Family::BadLines.name()];
    let series = series::stored(transaction, app, Some(&families)).await?;
    Ok(AddedMessages { new: 0, series, state, last_new_ids: last_new_ids(transaction, app).await? })
}

fn known_id(row: &Row) -> KnownId {
    let (is_retired, is_tracked, is_aside): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    match (is_retired, is_tracked, is_aside) {
        (true, ..) => KnownId::Retired,
        (false, true, true) => KnownId::SetAside { is_live: row.get(3) },
        (false, true, false) => KnownId::Tracked { is_open: row.get::<_, bool>(4) && !row.get::<_, bool>(3) },
        (false, false, _) => KnownId::New,
    }
}

/// Returns the messages to poll in the next calls, and the due time of the first.
pub(super) async fn due(transaction: &Transaction<'_>, query: &DueQuery) -> Result<DueMessages, LedgerError> {
    let DueQuery { app, report, now, ref under_way, .. } = *query;
    let under_way: Vec<i64> = under_way.iter().copied().collect();
    let key: [(&(dyn ToSql + Sync), Type); 3] =
        [(&app, Type::INT8), (&report, Type::TEXT), (&under_way, Type::INT8_ARRAY)];
    let sql = format!(
        "{PACES} SELECT pace.pace, next.due FROM pace LEFT JOIN LATERAL (SELECT due FROM message WHERE app = $1 \
         AND report = $2 AND pace = pace.pace AND id <> ALL ($3) ORDER BY due LIMIT 1) AS next ON TRUE \
         WHERE pace.pace IS NOT NULL"
    );
    let found = rows(transaction, &sql, &key).await?;
    let next = found.iter().filter_map(|row| row.get::<_, Option<i64>>(1)).min().map(time);
    if due::limit(query) == 0 || next.is_none_or(|next| next > now) {
        return Ok(DueMessages { batch: Vec::new(), next, late: 0 });
    }
    let paces: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
    let nearly_due: Vec<i64> = paces.iter().map(|pace| due::nearly_due(query, *pace)).collect();
    let late_before: Vec<i64> = paces.iter().map(|pace| due::late_before(query, *pace)).collect();
    let limit = i64::try_from(due::limit(query).saturating_add(under_way.len())).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT p.pace, l.late, m.* FROM unnest($3::int8[], $4::int8[], $5::int8[]) AS p (pace, nearly, late_before) \
         CROSS JOIN LATERAL (SELECT count(*) AS late FROM message WHERE app = $1 AND report = $2 AND pace = p.pace \
         AND due < p.late_before) AS l \
         LEFT JOIN LATERAL (SELECT {TRACKED} FROM message WHERE app = $1 AND report = $2 AND pace = p.pace AND due <= p.nearly \
         ORDER BY due LIMIT $6) AS m ON TRUE"
    );
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&app, Type::INT8),
        (&report, Type::TEXT),
        (&paces, Type::INT8_ARRAY),
        (&nearly_due, Type::INT8_ARRAY),
        (&late_before, Type::INT8_ARRAY),
        (&limit, Type::INT8),
    ];
    let mut late_by_pace = std::collections::HashMap::new();
    let mut candidates = Vec::new();
    for row in rows(transaction, &sql, &params).await? {
        late_by_pace.insert(row.get::<_, i64>(0), row.get::<_, i64>(1));
        candidates.extend(candidate(&row));
    }
    Ok(DueMessages { batch: due::choose(candidates, query), next, late: late_by_pace.values().sum() })
}

/// Reads a row of pace, late messages and a message, which may be missing.
fn candidate(row: &Row) -> Option<Candidate> {
    const MESSAGE: usize = 2;
    row.get::<_, Option<i64>>(MESSAGE)?;
    Some(Candidate { pace: row.get(0), due: row.get(MESSAGE + 5), message: tracked_message(row, MESSAGE) })
}

/// Reads a tracked message from the columns after the first `before`.
fn tracked_message(row: &Row, before: usize) -> TrackedMessage {
    let number = |index: usize| u32::try_from(row.get::<_, i64>(before + index)).unwrap_or(u32::MAX);
    TrackedMessage {
        row: row.get(before),
        id: row.get(before + 1),
        sent_at: time(row.get(before + 2)),
        shape: row.get(before + 3),
        has_10m: row.get(before + 4),
        failures: number(6),
        call_limit: number(7),
        refusals: number(8),
        is_aside: row.get(before + 9),
        is_guessed: row.get(before + 10),
        is_live: row.get(before + 11),
    }
}

/// Returns those of some messages that are tracked.
pub(super) async fn tracked(
    transaction: &Transaction<'_>,
    query: &TrackedQuery,
) -> Result<Vec<TrackedMessage>, LedgerError> {
    let sql = format!("SELECT {TRACKED} FROM message WHERE app = $1 AND subject = ANY ($2)");
    let found = rows(transaction, &sql, &[(&query.app, Type::INT8), (&query.ids, Type::TEXT_ARRAY)]).await?;
    Ok(found.iter().map(|row| tracked_message(row, 0)).collect())
}

/// Returns the newest tracked messages, the newest first.
pub(super) async fn newest(
    transaction: &Transaction<'_>,
    query: &NewestQuery,
) -> Result<Vec<SentMessage>, LedgerError> {
    let NewestQuery { app, since, count } = *query;
    let (since, count) = (ms(since), i64::try_from(count).unwrap_or(i64::MAX));
    let sql =
        "SELECT subject, sent FROM message WHERE app = $1 AND sent >= $2 ORDER BY sent DESC, subject DESC LIMIT $3";
    let found = rows(transaction, sql, &[(&app, Type::INT8), (&since, Type::INT8), (&count, Type::INT8)]).await?;
    Ok(found.iter().map(|row| SentMessage { id: row.get(0), sent_at: time(row.get(1)) }).collect())
}

/// Corrects times of the local clock by a provider's clock: the time at which the app was first known, and the send times
/// of messages that were registered without one. Returns the row of the app as it is then.
pub(super) async fn confirm(
    transaction: &Transaction<'_>,
    app: AppId,
    row: StoredAppRow,
    now: Timestamp,
    confirmation: &Confirmation,
) -> Result<StoredAppRow, LedgerError> {
    let first_known = clock::first_known(&row, now, confirmation).unwrap_or(row.first_known);
    let (known, shift, now) = (ms(first_known), clock::shift(confirmation), ms(now));
    let sql = "WITH moved AS (UPDATE message SET sent = greatest(least(sent + $2, $3), $4), due = least(due, $3), \
         guessed = FALSE WHERE app = $1 AND guessed RETURNING sent) \
         UPDATE app SET first_known = $4, clock_confirmed = TRUE, newest_message = CASE WHEN EXISTS (SELECT 1 FROM moved) \
         THEN greatest((SELECT max(sent) FROM moved), (SELECT max(sent) FROM message WHERE app = $1 AND NOT guessed)) \
         ELSE newest_message END WHERE id = $1 RETURNING newest_message";
    let params: [(&(dyn ToSql + Sync), Type); 4] =
        [(&app, Type::INT8), (&shift, Type::INT8), (&now, Type::INT8), (&known, Type::INT8)];
    let changed = first(transaction, sql, &params).await?.ok_or(LedgerError::Forgotten)?;
    let messages = MessageState { newest: changed.get::<_, Option<i64>>(0).map(time), ..row.messages };
    Ok(StoredAppRow { first_known, is_confirmed: true, messages })
}

/// Limits due times to the schedule, after the schedule or the clock has changed.
pub(super) async fn reschedule(transaction: &Transaction<'_>, change: &Reschedule) -> Result<(), LedgerError> {
    let Reschedule { app, report, now, ref steps, ref state, hurry } = *change;
    for Step { oldest, youngest, pace } in due::steps(steps, now) {
        let latest = ms(now).saturating_add(pace);
        let sql = "UPDATE message SET pace = $5, due = least(due, $6) \
             WHERE app = $1 AND report = $2 AND sent > $3 AND sent <= $4 AND (pace <> $5 OR due > $6)";
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&app, Type::INT8),
            (&report, Type::TEXT),
            (&oldest, Type::INT8),
            (&youngest, Type::INT8),
            (&pace, Type::INT8),
            (&latest, Type::INT8),
        ];
        run(transaction, sql, &params).await?;
    }
    // A message that is set aside is still polled only once a day.
    let wanted = match hurry {
        None => None,
        Some(Hurry::Failing) => Some("NOT aside AND failures > 0"),
        Some(Hurry::All) => Some("NOT aside"),
    };
    if let Some(wanted) = wanted {
        let sql = format!("UPDATE message SET due = least(due, $3) WHERE app = $1 AND report = $2 AND {wanted}");
        let now = ms(now);
        run(transaction, &sql, &[(&app, Type::INT8), (&report, Type::TEXT), (&now, Type::INT8)]).await?;
    }
    let sql = "INSERT INTO report (app, report, state) VALUES ($1, $2, coalesce($3, '')) \
         ON CONFLICT (app, report) DO UPDATE SET state = coalesce($3, report.state)";
    run(transaction, sql, &[(&app, Type::INT8), (&report, Type::TEXT), (state, Type::TEXT)]).await?;
    Ok(())
}

/// Takes a new baseline of every message after a change of the account.
pub(super) async fn rebase(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<(), LedgerError> {
    let before = ms(now).saturating_sub(LEEWAY.as_millis() as i64 + 1);
    let sql = format!(
        "UPDATE message SET watermark = NULL, shape = '', at_10m = TRUE, sent = least(sent, $2), {NO_FAILURES} WHERE app = $1"
    );
    run(transaction, &sql, &[(&app, Type::INT8), (&before, Type::INT8)]).await?;
    recount(transaction, app).await
}

/// Moves the messages without a number to another report, which has another schedule.
pub(super) async fn move_waiting(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let now = ms(now);
    let sql = format!(
        "UPDATE message SET report = $2, due = $3, {NO_FAILURES} WHERE app = $1 AND report <> $2 AND watermark IS NULL"
    );
    run(transaction, &sql, &[(&app, Type::INT8), (&report, Type::TEXT), (&now, Type::INT8)]).await?;
    recount(transaction, app).await
}

/// Recounts all tracked messages of an app.
async fn recount(transaction: &Transaction<'_>, app: AppId) -> Result<(), LedgerError> {
    let sql = "UPDATE app SET (waiting, live) = (SELECT count(*) FILTER (WHERE watermark IS NULL), \
         count(*) FILTER (WHERE watermark IS NOT NULL) FROM message WHERE app = $1 AND NOT aside) WHERE id = $1";
    run(transaction, sql, &[(&app, Type::INT8)]).await?;
    Ok(())
}

/// Records that an app is still configured, and deletes expired tombstones of retired messages. Returns true if there
/// may be more of them.
pub(super) async fn upkeep(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<bool, LedgerError> {
    let now = ms(now);
    // The clock was ahead when the guessed ones were registered, and no provider ever confirmed it.
    let sql = "WITH corrected AS (UPDATE message SET sent = $2, due = least(due, $2) WHERE app = $1 AND guessed AND sent > $2) \
         UPDATE app SET last_configured = $2 WHERE id = $1";
    run(transaction, sql, &[(&app, Type::INT8), (&now, Type::INT8)]).await?;
    let sql = "WITH dropped AS (DELETE FROM tombstone WHERE app = $1 AND subject IN \
         (SELECT subject FROM tombstone WHERE app = $1 AND expires < $2 LIMIT $3) RETURNING 1) SELECT count(*) FROM dropped";
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&app, Type::INT8), (&now, Type::INT8), (&retention::DROPPED_AT_ONCE, Type::INT8)];
    let dropped = first(transaction, sql, &params).await?;
    Ok(dropped.is_some_and(|row| row.get::<_, i64>(0) >= retention::DROPPED_AT_ONCE))
}
