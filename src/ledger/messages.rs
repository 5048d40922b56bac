//! The messages of an app in SQL: registered, due, polled, retired, remembered. Nothing here grows with
//! the number of messages but the tables: what is due is found by an index, and tracked messages are
//! counted as they change.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::books::Books;
use super::sqlite::{DAY_MS, ms, span_ms, time};
use super::watermark::Watermark;
use super::{
    AddedMessages, AppId, DueMessages, DueQuery, LedgerError, MessageState, NewMessages, NewestQuery, PolledMessage,
    Reschedule, TrackedMessage, files,
};
use crate::page::families::Family;
use crate::page::text;
use crate::reading::SentMessage;

/// A retired message is remembered this long, from when it retired or was last registered.
const REMEMBERED_MS: i64 = 90 * DAY_MS;
/// A message sent this long before the ledger knew its app still counts in full.
const LEEWAY: SignedDuration = SignedDuration::from_hours(1);
/// A message is nearly due within this part of its pace.
const NEARLY_DUE: i64 = 2;
/// Expired memories that are dropped in one transaction, so that none takes long.
const DROPPED_AT_ONCE: i64 = 20_000;

/// Makes messages known. One that is tracked stays as it is; one that has retired is remembered anew.
pub(super) fn add(transaction: &Transaction<'_>, new: &NewMessages) -> Result<AddedMessages, LedgerError> {
    let NewMessages { app, report, source, now, ref messages, ref read } = *new;
    let mut remembered = transaction
        .prepare_cached("UPDATE tombstone SET expires = max(expires, ?3) WHERE app = ?1 AND subject = ?2")?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO message (app, subject, report, sent, pace, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut added = 0;
    let mut newest = None;
    for message in messages {
        if remembered.execute(params![app, message.id, ms(now).saturating_add(REMEMBERED_MS)])? > 0 {
            continue;
        }
        let row = params![app, message.id, report, ms(message.sent_at), span_ms(message.pace), ms(message.due)];
        if insert.execute(row)? > 0 {
            added += 1;
            newest = newest.max(Some(ms(message.sent_at)));
        }
    }
    if added > 0 {
        transaction
            .prepare_cached(
                "UPDATE app SET waiting = waiting + ?2, newest_message = max(coalesce(newest_message, ?3), ?3) WHERE id = ?1",
            )?
            .execute(params![app, added, newest])?;
    }
    let mut books = Books::open(transaction, app, report, now, std::time::Duration::ZERO)?;
    books.count(Family::MessagesRegistered, &text::labels(&[("source", source.name())]), added)?;
    if let Some(read) = read {
        files::keep(transaction, app, read)?;
        books.count(Family::BadLines, "", read.bad_lines)?;
    }
    Ok(AddedMessages { new: added, series: books.close()?, state: state(transaction, app)? })
}

/// How many messages of an app are tracked, and when the newest was sent.
pub(super) fn state(transaction: &Transaction<'_>, app: AppId) -> Result<MessageState, LedgerError> {
    Ok(transaction.prepare_cached("SELECT waiting, live, newest_message FROM app WHERE id = ?1")?.query_row(
        [app],
        |row| {
            Ok(MessageState {
                waiting: row.get(0)?,
                live: row.get(1)?,
                newest: row.get::<_, Option<i64>>(2)?.map(time),
                version: 0,
            })
        },
    )?)
}

/// The messages to ask for in the next calls, and when the first is due.
pub(super) fn due(transaction: &Transaction<'_>, query: &DueQuery) -> Result<DueMessages, LedgerError> {
    let DueQuery { app, report, now, batch, calls } = *query;
    let next = next_due(transaction, app, report)?;
    let limit = batch.saturating_mul(calls);
    if limit == 0 || next.is_none_or(|next| next > now) {
        return Ok(DueMessages { batch: Vec::new(), next, late: 0 });
    }
    let mut select = transaction.prepare_cached(
        "SELECT id, subject, sent, shape, at_10m, due, watermark IS NOT NULL FROM message \
         WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due <= ?4 ORDER BY due LIMIT ?5",
    )?;
    let mut count_late = transaction
        .prepare_cached("SELECT count(*) FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due < ?4")?;
    let mut late = 0;
    let mut found = Vec::new();
    for pace in paces(transaction, app, report)? {
        let should_be_over = ms(now).saturating_sub(pace);
        late += count_late.query_row(params![app, report, pace, should_be_over], |row| row.get::<_, i64>(0))?;
        // The last call is made anyway: what is nearly due fills it up.
        let nearly_due = ms(now).saturating_add(pace / NEARLY_DUE);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![app, report, pace, nearly_due, limit], |row| {
            let message = TrackedMessage {
                row: row.get(0)?,
                id: row.get(1)?,
                sent_at: time(row.get(2)?),
                shape: row.get(3)?,
                has_10m: row.get(4)?,
                is_live: row.get(6)?,
            };
            let lateness = ms(now).saturating_sub(row.get(5)?) as f64 / pace.max(1) as f64;
            Ok((lateness, message))
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    // The latest first, by how often it should have been asked for.
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let due = found.iter().filter(|(lateness, _)| *lateness >= 0.0).count();
    found.truncate(due.next_multiple_of(batch.max(1)).min(limit));
    Ok(DueMessages { batch: found.into_iter().map(|(_, message)| message).collect(), next, late })
}

/// The newest of the messages that are tracked, the newest first.
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

/// When the first message of a report is due.
pub(super) fn next_due(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
) -> Result<Option<Timestamp>, LedgerError> {
    let mut select =
        transaction.prepare_cached("SELECT min(due) FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3")?;
    let mut next: Option<i64> = None;
    for pace in paces(transaction, app, report)? {
        let first: Option<i64> = select.query_row(params![app, report, pace], |row| row.get(0))?;
        next = [next, first].into_iter().flatten().min();
    }
    Ok(next.map(time))
}

/// The paces of a report's messages: a handful, found by as many steps through the index.
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

/// Takes the answers for some messages.
pub(super) fn polled(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    polled: &[PolledMessage],
    books: &mut Books<'_>,
) -> Result<(), LedgerError> {
    let everything = [String::new()];
    let mut select = transaction.prepare_cached("SELECT sent, watermark FROM message WHERE id = ?1 AND app = ?2")?;
    let mut update = transaction.prepare_cached(
        "UPDATE message SET pace = ?2, due = ?3, at_10m = at_10m OR ?4, shape = ?5, watermark = ?6 WHERE id = ?1",
    )?;
    let mut postpone = transaction.prepare_cached("UPDATE message SET pace = ?2, due = ?3 WHERE id = ?1")?;
    let (mut waiting, mut live) = (0, 0);
    for message in polled {
        let found = select
            .query_row(params![message.row, app], |row| Ok((row.get(0).map(time)?, row.get::<_, Option<Vec<u8>>>(1)?)))
            .optional()?;
        let Some((sent_at, stored)) = found else { continue };
        let mut watermark = stored.as_deref().map(Watermark::decode).transpose()?.unwrap_or_default();
        let began = sent_at.saturating_add(LEEWAY).unwrap_or(sent_at);
        let covers = if message.readings.is_empty() { &[] } else { &everything[..] };
        let is_dirty = books.take(&mut watermark, began, &message.readings, covers)?;
        if message.is_at_10m {
            for reading in &message.readings {
                if let Some(family) = reading.series.metric.at_10m() {
                    books.count_delivery(family, &reading.series, reading.value)?;
                }
            }
        }
        let is_live = stored.is_some() || is_dirty;
        if is_live && stored.is_none() {
            (waiting, live) = (waiting - 1, live + 1);
        }
        let Some((due, pace)) = message.next else {
            retire(transaction, app, message.row, now)?;
            let count = if is_live { &mut live } else { &mut waiting };
            *count -= 1;
            continue;
        };
        let pace = span_ms(pace);
        if is_dirty || message.is_at_10m {
            let row = params![message.row, pace, ms(due), message.is_at_10m, message.shape, watermark.encode()];
            update.execute(row)?;
        } else {
            postpone.execute(params![message.row, pace, ms(due)])?;
        }
    }
    count_tracked(transaction, app, waiting, live)
}

/// Sets messages aside that the provider refused.
pub(super) fn rejected(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    rows: &[i64],
    books: &mut Books<'_>,
) -> Result<(), LedgerError> {
    let mut select =
        transaction.prepare_cached("SELECT watermark IS NOT NULL FROM message WHERE id = ?1 AND app = ?2")?;
    let (mut waiting, mut live) = (0, 0);
    for row in rows {
        let Some(is_live) = select.query_row(params![row, app], |row| row.get(0)).optional()? else { continue };
        retire(transaction, app, *row, now)?;
        let count = if is_live { &mut live } else { &mut waiting };
        *count -= 1;
    }
    books.count(Family::RejectedMessages, "", -(waiting + live))?;
    count_tracked(transaction, app, waiting, live)
}

fn count_tracked(transaction: &Transaction<'_>, app: AppId, waiting: i64, live: i64) -> Result<(), LedgerError> {
    if (waiting, live) != (0, 0) {
        transaction
            .prepare_cached("UPDATE app SET waiting = waiting + ?2, live = live + ?3 WHERE id = ?1")?
            .execute(params![app, waiting, live])?;
    }
    Ok(())
}

/// Ends a message: its row goes, its id is remembered.
fn retire(transaction: &Transaction<'_>, app: AppId, row: i64, now: Timestamp) -> Result<(), LedgerError> {
    transaction
        .prepare_cached(
            "INSERT INTO tombstone (app, subject, expires) SELECT app, subject, ?3 FROM message WHERE id = ?2 AND app = ?1 \
             ON CONFLICT (app, subject) DO UPDATE SET expires = excluded.expires",
        )?
        .execute(params![app, row, ms(now).saturating_add(REMEMBERED_MS)])?;
    transaction.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([row])?;
    Ok(())
}

/// Brings due times back to what the schedule allows, after the schedule or the clock has changed.
pub(super) fn reschedule(transaction: &Transaction<'_>, change: &Reschedule) -> Result<(), LedgerError> {
    let Reschedule { app, report, now, ref steps, ref memory } = *change;
    // A clock that was ahead may have registered messages of the future.
    transaction.execute(
        "UPDATE message SET sent = ?3 WHERE app = ?1 AND report = ?2 AND sent > ?3",
        params![app, report, ms(now)],
    )?;
    transaction
        .execute("UPDATE app SET newest_message = min(newest_message, ?2) WHERE id = ?1", params![app, ms(now)])?;
    let mut update = transaction.prepare_cached(
        "UPDATE message SET pace = ?5, due = min(due, ?6) \
         WHERE app = ?1 AND report = ?2 AND sent > ?3 AND sent <= ?4 AND (pace <> ?5 OR due > ?6)",
    )?;
    let mut youngest = i64::MAX;
    for (index, (until, every)) in steps.iter().enumerate() {
        let [until, every] = [*until, *every].map(span_ms);
        let is_last = index + 1 == steps.len();
        let oldest = if is_last { i64::MIN } else { ms(now).saturating_sub(until) };
        update.execute(params![app, report, oldest, youngest, every, ms(now).saturating_add(every)])?;
        youngest = oldest;
    }
    transaction.execute(
        "INSERT INTO report (app, report, memory) VALUES (?1, ?2, ?3) \
         ON CONFLICT (app, report) DO UPDATE SET memory = excluded.memory",
        params![app, report, memory],
    )?;
    Ok(())
}

/// Takes a new baseline of every message: its account has changed.
pub(super) fn rebase(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<(), LedgerError> {
    let before = ms(now).saturating_sub(LEEWAY.as_millis() as i64 + 1);
    transaction.execute(
        "UPDATE message SET watermark = NULL, shape = '', at_10m = TRUE, sent = min(sent, ?2) WHERE app = ?1",
        params![app, before],
    )?;
    transaction.execute("UPDATE app SET waiting = waiting + live, live = 0 WHERE id = ?1", [app])?;
    Ok(())
}

/// Gives the messages without a number to another report, which has another schedule.
pub(super) fn move_waiting(
    transaction: &Transaction<'_>,
    app: AppId,
    report: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    transaction.execute(
        "UPDATE message SET report = ?2, due = ?3 WHERE app = ?1 AND report <> ?2 AND watermark IS NULL",
        params![app, report, ms(now)],
    )?;
    Ok(())
}

/// Notes that an app is still configured, and drops memories of retired messages that have expired;
/// whether there may be more of them.
pub(super) fn upkeep(transaction: &Transaction<'_>, app: AppId, now: Timestamp) -> Result<bool, LedgerError> {
    transaction.execute("UPDATE app SET last_configured = ?2 WHERE id = ?1", params![app, ms(now)])?;
    let dropped = transaction.execute(
        "DELETE FROM tombstone WHERE app = ?1 AND subject IN \
         (SELECT subject FROM tombstone WHERE app = ?1 AND expires < ?2 LIMIT ?3)",
        params![app, ms(now), DROPPED_AT_ONCE],
    )?;
    Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped >= DROPPED_AT_ONCE))
}
