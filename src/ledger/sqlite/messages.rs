//! The messages of an app in SQL: registered, due, polled, retired, remembered. Only the tables grow with the number of
//! messages: due messages are found by an index, and tracked messages are counted as they change.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{CachedStatement, OptionalExtension, Row, Transaction, params};

use crate::ledger::rules::clock;
use crate::ledger::rules::counters::Numbers;
use crate::ledger::rules::due::{self, Candidate, Step, TRACKED};
use crate::ledger::rules::messages::{LEEWAY, MessageChange, MessageChanges};
use crate::ledger::rules::registration::{Categories, IdChange, KnownId, Registration};
use crate::ledger::rules::retention;
use crate::ledger::sqlite::load::app_row;
use crate::ledger::sqlite::{file_marks, series};
use crate::ledger::time::{ms, span_ms, time};
use crate::ledger::{
    AddedMessages, AppId, Confirmation, DueMessages, DueQuery, Hurry, LedgerError, NewMessage, NewMessages,
    NewestMessage, NewestMessages, NewestQuery, Reschedule, TrackedMessage, TrackedQuery,
};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::message_source::MessageSource;
use crate::model::reading::SentMessage;

/// Assignments that reset the effects of failed calls on a message.
const NO_FAILURES: &str = "failures = 0, call_limit = 0, refusals = 0, aside = FALSE";

/// Registers messages; [`Registration`] decides about each id.
pub(super) fn add(transaction: &Transaction<'_>, new: &NewMessages) -> Result<AddedMessages, LedgerError> {
    let NewMessages { app, report, source, now, ref messages, ref earlier, ref read } = *new;
    let mut ids = IdLookup {
        retired: transaction.prepare_cached("SELECT 1 FROM tombstone WHERE app = ?1 AND subject = ?2")?,
        insert: transaction.prepare_cached(
            "INSERT INTO message (app, subject, report, sent, pace, due, guessed, category) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?,
        tracked: transaction.prepare_cached(
            "SELECT aside, watermark IS NOT NULL, coalesce(category = '', FALSE) FROM message WHERE app = ?1 AND subject = ?2",
        )?,
    };
    let mut take_back = transaction.prepare_cached(&format!(
        "UPDATE message SET {NO_FAILURES}, pace = ?3, due = ?4 WHERE app = ?1 AND subject = ?2"
    ))?;
    let mut remember = transaction
        .prepare_cached("UPDATE tombstone SET expires = max(expires, ?3) WHERE app = ?1 AND subject = ?2")?;
    let mut categorize =
        transaction.prepare_cached("UPDATE message SET category = ?3 WHERE app = ?1 AND subject = ?2")?;
    let mut registration = Registration::default();
    let mut categories = categories(transaction, app, messages)?;
    for message in messages {
        let category = categories.stored(message.category.as_deref(), source);
        let known = ids.insert_if_new(app, report, message, category)?;
        match registration.decide(known, source, message) {
            IdChange::None => {}
            IdChange::Insert => categories.note(category),
            IdChange::Categorize => {
                categorize.execute(params![app, message.id, category])?;
                categories.note(category);
            }
            IdChange::TakeBack => {
                take_back.execute(params![app, message.id, span_ms(message.pace), ms(message.due)])?;
            }
            IdChange::Remember => {
                remember.execute(params![app, message.id, ms(now).saturating_add(retention::REMEMBERED_MS)])?;
            }
        }
    }
    remember_earlier(transaction, app, now, earlier)?;
    let mut insert = transaction.prepare_cached("INSERT INTO category (app, name) VALUES (?1, ?2)")?;
    for category in &categories.new {
        insert.execute(params![app, category])?;
    }
    let Registration { added, live, newest } = registration;
    let last_new_ids = brought(transaction, app, source, now, added)?;
    count_tracked(transaction, app, added - live, live)?;
    if let Some(newest) = newest {
        transaction
            .prepare_cached("UPDATE app SET newest_message = max(coalesce(newest_message, ?2), ?2) WHERE id = ?1")?
            .execute(params![app, ms(newest)])?;
    }
    let mut counted = vec![(Family::MessagesRegistered, Labels::new(&[("source", source.name())]), added)];
    if let Some(read) = read {
        file_marks::keep(transaction, app, read)?;
        counted.push((Family::BadLines, Labels::default(), read.bad_lines));
    }
    let series = series::count(transaction, app, now, &counted)?;
    Ok(AddedMessages { new: added, series, state: app_row(transaction, app)?.messages, last_new_ids })
}

/// Remembers ids as if their messages had retired, unless they are tracked.
fn remember_earlier(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    ids: &[String],
) -> Result<(), LedgerError> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO tombstone (app, subject, expires) SELECT ?1, ?2, ?3 \
         WHERE NOT EXISTS (SELECT 1 FROM message WHERE app = ?1 AND subject = ?2) \
         ON CONFLICT (app, subject) DO UPDATE SET expires = max(expires, excluded.expires)",
    )?;
    for id in ids {
        insert.execute(params![app, id, ms(now).saturating_add(retention::REMEMBERED_MS)])?;
    }
    Ok(())
}

/// Returns the categories of the app, if any of the messages has one.
fn categories(transaction: &Transaction<'_>, app: AppId, messages: &[NewMessage]) -> Result<Categories, LedgerError> {
    if messages.iter().all(|message| message.category.is_none()) {
        return Ok(Categories::default());
    }
    let mut select = transaction.prepare_cached("SELECT name FROM category WHERE app = ?1")?;
    let names: Vec<String> = select.query_map([app], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Categories::of(names))
}

/// Notes that a source brought new ids, if it did.
fn brought(
    transaction: &Transaction<'_>,
    app: AppId,
    source: MessageSource,
    now: Timestamp,
    added: i64,
) -> Result<Vec<(MessageSource, Timestamp)>, LedgerError> {
    if added == 0 {
        return Ok(Vec::new());
    }
    transaction
        .prepare_cached(
            "INSERT INTO id_source (app, source, newest) VALUES (?1, ?2, ?3) \
             ON CONFLICT (app, source) DO UPDATE SET newest = excluded.newest",
        )?
        .execute(params![app, source.name(), ms(now)])?;
    Ok(vec![(source, now)])
}

/// Statements that find out what is known of an id.
struct IdLookup<'a> {
    retired: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    tracked: CachedStatement<'a>,
}

impl IdLookup<'_> {
    /// Returns what is known of an id. A new one is inserted at once, which costs no more than to look it up.
    fn insert_if_new(
        &mut self,
        app: AppId,
        report: &str,
        message: &NewMessage,
        category: Option<&str>,
    ) -> Result<KnownId, LedgerError> {
        let NewMessage { id, sent_at, is_guessed, due, pace, .. } = message;
        if self.retired.exists(params![app, id])? {
            return Ok(KnownId::Retired);
        }
        let row = params![app, id, report, ms(*sent_at), span_ms(*pace), ms(*due), is_guessed, category];
        if self.insert.execute(row)? > 0 {
            return Ok(KnownId::New);
        }
        Ok(self.tracked.query_row(params![app, id], |row| {
            Ok(match row.get(0)? {
                true => KnownId::SetAside { is_live: row.get(1)? },
                false => KnownId::Tracked { is_open: row.get(2)? && !row.get::<_, bool>(1)? },
            })
        })?)
    }
}

/// Returns the messages to poll in the next calls, and the due time of the first.
pub(super) fn due(transaction: &Transaction<'_>, query: &DueQuery) -> Result<DueMessages, LedgerError> {
    let DueQuery { app, report, now, ref under_way, .. } = *query;
    let next = next_due(transaction, app, report, under_way)?;
    if due::limit(query) == 0 || next.is_none_or(|next| next > now) {
        return Ok(DueMessages { batch: Vec::new(), next, late: 0 });
    }
    let mut select = transaction.prepare_cached(&format!(
        "SELECT {TRACKED} FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due <= ?4 ORDER BY due LIMIT ?5"
    ))?;
    let mut count_late = transaction
        .prepare_cached("SELECT count(*) FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due < ?4")?;
    let limit = i64::try_from(due::limit(query).saturating_add(under_way.len())).unwrap_or(i64::MAX);
    let mut late = 0;
    let mut candidates = Vec::new();
    for pace in paces(transaction, app, report)? {
        let late_before = due::late_before(query, pace);
        late += count_late.query_row(params![app, report, pace, late_before], |row| row.get::<_, i64>(0))?;
        let rows = select.query_map(params![app, report, pace, due::nearly_due(query, pace), limit], |row| {
            Ok(Candidate { pace, due: row.get(5)?, message: tracked_message(row)? })
        })?;
        for row in rows {
            candidates.push(row?);
        }
    }
    Ok(DueMessages { batch: due::choose(candidates, query), next, late })
}

fn tracked_message(row: &Row<'_>) -> rusqlite::Result<TrackedMessage> {
    Ok(TrackedMessage {
        row: row.get(0)?,
        id: row.get(1)?,
        sent_at: time(row.get(2)?),
        shape: row.get(3)?,
        has_10m: row.get(4)?,
        failures: row.get(6)?,
        call_limit: row.get(7)?,
        refusals: row.get(8)?,
        is_aside: row.get(9)?,
        is_guessed: row.get(10)?,
        is_live: row.get(11)?,
    })
}

/// Returns those of some messages that are tracked.
pub(super) fn tracked(transaction: &Transaction<'_>, query: &TrackedQuery) -> Result<Vec<TrackedMessage>, LedgerError> {
    let sql = format!("SELECT {TRACKED} FROM message WHERE app = ?1 AND subject = ?2");
    let mut select = transaction.prepare_cached(&sql)?;
    let mut messages = Vec::new();
    for id in &query.ids {
        messages.extend(select.query_row(params![query.app, id], tracked_message).optional()?);
    }
    Ok(messages)
}

/// Returns the newest tracked messages, the newest first.
pub(super) fn newest(transaction: &Transaction<'_>, query: &NewestQuery) -> Result<Vec<SentMessage>, LedgerError> {
    let NewestQuery { app, since, count } = *query;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut select = transaction.prepare_cached(
        "SELECT subject, sent FROM message WHERE app = ?1 AND sent >= ?2 ORDER BY sent DESC, subject DESC LIMIT ?3",
    )?;
    let rows = select.query_map(params![app, ms(since), count], |row| {
        Ok(SentMessage { id: row.get(0)?, sent_at: time(row.get(1)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes the changes of the newest messages of a report.
pub(super) fn write_newest(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    newest: &NewestMessages,
) -> Result<(), LedgerError> {
    let mut delete =
        transaction.prepare_cached("DELETE FROM newest_message WHERE app = ?1 AND report = ?2 AND subject = ?3")?;
    for id in &newest.gone {
        delete.execute(params![app, report, id])?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO newest_message (app, report, subject, sent, numbers) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (app, report, subject) DO UPDATE SET sent = excluded.sent, numbers = excluded.numbers",
    )?;
    for NewestMessage { id, sent_at, numbers } in &newest.set {
        insert.execute(params![app, report, id, ms(*sent_at), numbers])?;
    }
    Ok(())
}

/// Reads the newest messages of a report.
pub(super) fn read_newest(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
) -> Result<Vec<NewestMessage>, LedgerError> {
    let mut select = transaction
        .prepare_cached("SELECT subject, sent, numbers FROM newest_message WHERE app = ?1 AND report = ?2")?;
    let rows = select.query_map(params![app, report], |row| {
        Ok(NewestMessage { id: row.get(0)?, sent_at: time(row.get(1)?), numbers: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the due time of the first message of a report that has no call under way.
pub(super) fn next_due(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    under_way: &HashSet<i64>,
) -> Result<Option<Timestamp>, LedgerError> {
    let mut select = transaction
        .prepare_cached("SELECT id, due FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 ORDER BY due")?;
    let mut next: Option<i64> = None;
    for pace in paces(transaction, app, report)? {
        let mut rows = select.query(params![app, report, pace])?;
        while let Some(row) = rows.next()? {
            if !under_way.contains(&row.get(0)?) {
                next = [next, Some(row.get(1)?)].into_iter().flatten().min();
                break;
            }
        }
    }
    Ok(next.map(time))
}

/// Returns the number of failing messages of a report.
pub(super) fn failing(transaction: &Transaction<'_>, app: AppId, report: &str) -> Result<i64, LedgerError> {
    let mut select = transaction
        .prepare_cached("SELECT count(*) FROM message WHERE app = ?1 AND report = ?2 AND failures > 0 AND NOT aside")?;
    Ok(select.query_row(params![app, report], |row| row.get(0))?)
}

/// Returns the paces of a report's messages: a handful, each found by one step through the index.
fn paces(transaction: &Transaction<'_>, app: AppId, report: &str) -> Result<Vec<i64>, LedgerError> {
    let mut select =
        transaction.prepare_cached("SELECT min(pace) FROM message WHERE app = ?1 AND report = ?2 AND pace > ?3")?;
    let mut paces = Vec::new();
    let mut last = -1;
    while let Some(pace) = select.query_row(params![app, report, last], |row| row.get::<_, Option<i64>>(0))? {
        paces.push(pace);
        last = pace;
    }
    Ok(paces)
}

/// Writes the changes of messages.
pub(super) fn write(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    changes: MessageChanges,
    numbers: &Numbers,
) -> Result<(), LedgerError> {
    let mut update = transaction.prepare_cached(&format!(
        "UPDATE message SET pace = ?2, due = ?3, at_10m = at_10m OR ?4, shape = ?5, watermark = ?6, {NO_FAILURES} \
         WHERE id = ?1"
    ))?;
    let mut postpone =
        transaction.prepare_cached(&format!("UPDATE message SET pace = ?2, due = ?3, {NO_FAILURES} WHERE id = ?1"))?;
    let mut fail = transaction.prepare_cached(
        "UPDATE message SET pace = ?2, due = ?3, failures = ?4, call_limit = ?5, refusals = ?6, aside = ?7 WHERE id = ?1",
    )?;
    for (row, change) in changes.rows {
        match change {
            MessageChange::Update { watermark, shape, is_at_10m, next: (due, pace) } => {
                let watermark = numbers.resolve(watermark).encode();
                update.execute(params![row, span_ms(pace), ms(due), is_at_10m, shape, watermark])?;
            }
            MessageChange::Postpone { next: (due, pace) } => {
                postpone.execute(params![row, span_ms(pace), ms(due)])?;
            }
            MessageChange::Fail { failures, call_limit, refusals, is_aside, next: (due, pace) } => {
                fail.execute(params![row, span_ms(pace), ms(due), failures, call_limit, refusals, is_aside])?;
            }
            MessageChange::Retire { id } => retire(transaction, app, row, &id, now)?,
        }
    }
    count_tracked(transaction, app, changes.waiting, changes.live)
}

/// Corrects times of the local clock by a provider's clock: the time at which the app was first known, and the send
/// times of messages that were registered without one.
pub(super) fn confirm(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    confirmation: &Confirmation,
) -> Result<(), LedgerError> {
    let row = app_row(transaction, app)?;
    let corrected = clock::first_known(&row, now, confirmation);
    if let Some(first_known) = corrected {
        transaction
            .prepare_cached("UPDATE app SET first_known = ?2, clock_confirmed = TRUE WHERE id = ?1")?
            .execute(params![app, ms(first_known)])?;
    }
    let first_known = corrected.unwrap_or(row.first_known);
    let guessed = transaction
        .prepare_cached(
            "UPDATE message SET sent = max(min(sent + ?2, ?3), ?4), due = min(due, ?3), guessed = FALSE \
             WHERE app = ?1 AND guessed",
        )?
        .execute(params![app, clock::shift(confirmation), ms(now), ms(first_known)])?;
    if guessed > 0 {
        transaction
            .prepare_cached(
                "UPDATE app SET newest_message = (SELECT max(sent) FROM message WHERE app = ?1) WHERE id = ?1",
            )?
            .execute([app])?;
    }
    Ok(())
}

fn count_tracked(transaction: &Transaction<'_>, app: AppId, waiting: i64, live: i64) -> Result<(), LedgerError> {
    if (waiting, live) != (0, 0) {
        transaction
            .prepare_cached("UPDATE app SET waiting = waiting + ?2, live = live + ?3 WHERE id = ?1")?
            .execute(params![app, waiting, live])?;
    }
    Ok(())
}

/// Retires a message: deletes its row and remembers its id.
fn retire(transaction: &Transaction<'_>, app: AppId, row: i64, id: &str, now: Timestamp) -> Result<(), LedgerError> {
    transaction
        .prepare_cached(
            "INSERT INTO tombstone (app, subject, expires) VALUES (?1, ?2, ?3) \
             ON CONFLICT (app, subject) DO UPDATE SET expires = excluded.expires",
        )?
        .execute(params![app, id, ms(now).saturating_add(retention::REMEMBERED_MS)])?;
    transaction.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([row])?;
    Ok(())
}

/// Limits due times to the schedule, after the schedule or the clock has changed.
pub(super) fn reschedule(transaction: &Transaction<'_>, change: &Reschedule) -> Result<(), LedgerError> {
    let Reschedule { app, report, now, ref steps, ref state, hurry } = *change;
    let mut update = transaction.prepare_cached(
        "UPDATE message SET pace = ?5, due = min(due, ?6) \
         WHERE app = ?1 AND report = ?2 AND sent > ?3 AND sent <= ?4 AND (pace <> ?5 OR due > ?6)",
    )?;
    for Step { oldest, youngest, pace } in due::steps(steps, now) {
        update.execute(params![app, report, oldest, youngest, pace, ms(now).saturating_add(pace)])?;
    }
    // A message that is set aside is still polled only once a day.
    let wanted = match hurry {
        None => None,
        Some(Hurry::Failing) => Some("NOT aside AND failures > 0"),
        Some(Hurry::All) => Some("NOT aside"),
    };
    if let Some(wanted) = wanted {
        let update = format!("UPDATE message SET due = min(due, ?3) WHERE app = ?1 AND report = ?2 AND {wanted}");
        transaction.execute(&update, params![app, report, ms(now)])?;
    }
    transaction.execute(
        "INSERT INTO report (app, report, state) VALUES (?1, ?2, coalesce(?3, '')) \
         ON CONFLICT (app, report) DO UPDATE SET state = coalesce(?3, report.state)",
        params![app, report, state],
    )?;
    Ok(())
}

/// Takes a new baseline of every message after a change of the account.
pub(super) fn rebase(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<(), LedgerError> {
    let before = ms(now).saturating_sub(LEEWAY.as_millis() as i64 + 1);
    let update = format!(
        "UPDATE message SET watermark = NULL, shape = '', at_10m = TRUE, sent = min(sent, ?2), {NO_FAILURES} WHERE app = ?1"
    );
    transaction.execute(&update, params![app, before])?;
    recount(transaction, app)
}

/// Moves the messages without a number to another report, which has another schedule.
pub(super) fn move_waiting(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let update = format!(
        "UPDATE message SET report = ?2, due = ?3, {NO_FAILURES} WHERE app = ?1 AND report <> ?2 AND watermark IS NULL"
    );
    transaction.execute(&update, params![app, report, ms(now)])?;
    recount(transaction, app)
}

/// Recounts all tracked messages of an app.
fn recount(transaction: &Transaction<'_>, app: AppId) -> Result<(), LedgerError> {
    transaction.execute(
        "UPDATE app SET (waiting, live) = (SELECT count(*) FILTER (WHERE watermark IS NULL), \
         count(*) FILTER (WHERE watermark IS NOT NULL) FROM message WHERE app = ?1 AND NOT aside) WHERE id = ?1",
        [app],
    )?;
    Ok(())
}

/// Records that an app is still configured, and deletes expired tombstones of retired messages. Returns true if there
/// may be more of them.
pub(super) fn upkeep(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<bool, LedgerError> {
    transaction.execute("UPDATE app SET last_configured = ?2 WHERE id = ?1", params![app, ms(now)])?;
    // The clock was ahead when these were registered, and no provider ever confirmed it.
    transaction.execute(
        "UPDATE message SET sent = ?2, due = min(due, ?2) WHERE app = ?1 AND guessed AND sent > ?2",
        params![app, ms(now)],
    )?;
    let dropped = transaction.execute(
        "DELETE FROM tombstone WHERE app = ?1 AND subject IN \
         (SELECT subject FROM tombstone WHERE app = ?1 AND expires < ?2 LIMIT ?3)",
        params![app, ms(now), retention::DROPPED_AT_ONCE],
    )?;
    Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped >= retention::DROPPED_AT_ONCE))
}
