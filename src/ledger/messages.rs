//! The messages of an app in SQL: registered, due, polled, retired, remembered. Only the tables grow with the number of
//! messages: due messages are found by an index, and tracked messages are counted as they change.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::ledger::counters::CounterUpdate;
use crate::ledger::time::{DAY_MS, ms, span_ms, time};
use crate::ledger::{
    AddedMessages, AppId, Confirmation, DueMessages, DueQuery, FailedMessage, Hurry, LedgerError, MessageSource,
    MessageState, NewMessages, NewestMessage, NewestMessages, NewestQuery, PolledMessage, Reschedule, TrackedMessage,
    file_marks,
};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::SentMessage;

/// Time for which a retired message is remembered after it retired or was last registered.
const REMEMBERED_MS: i64 = 90 * DAY_MS;
/// Tolerance for messages sent before the ledger knew their app: up to this age they still count in full.
const LEEWAY: SignedDuration = SignedDuration::from_hours(1);
/// Divisor of the pace: a message is nearly due within this part of it.
const NEARLY_DUE: i64 = 2;
/// Maximum number of expired tombstones that are deleted in one transaction, so that none takes long.
const DROPPED_AT_ONCE: i64 = 20_000;

/// Assignments that reset the effects of failed calls on a message.
const NO_FAILURES: &str = "failures = 0, call_limit = 0, refusals = 0, aside = FALSE";

/// Registers messages. A tracked message stays unchanged, one that was set aside is tracked again, and a retired one is
/// remembered for longer.
pub(super) fn add(transaction: &Transaction<'_>, new: &NewMessages) -> Result<AddedMessages, LedgerError> {
    let NewMessages { app, report, source, now, ref messages, ref read } = *new;
    let mut remembered = transaction
        .prepare_cached("UPDATE tombstone SET expires = max(expires, ?3) WHERE app = ?1 AND subject = ?2")?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO message (app, subject, report, sent, pace, due, guessed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT DO NOTHING",
    )?;
    let (mut added, mut live) = (0, 0);
    let mut newest = None;
    for message in messages {
        if remembered.execute(params![app, message.id, ms(now).saturating_add(REMEMBERED_MS)])? > 0 {
            continue;
        }
        let (pace, due) = (span_ms(message.pace), ms(message.due));
        if insert.execute(params![app, message.id, report, ms(message.sent_at), pace, due, message.is_guessed])? > 0 {
            added += 1;
            newest = newest.max(Some(ms(message.sent_at)));
        } else if source != MessageSource::Config
            && let Some(is_live) = take_back(transaction, app, &message.id, pace, due)?
        {
            added += 1;
            live += i64::from(is_live);
        }
    }
    count_tracked(transaction, app, added - live, live)?;
    if newest.is_some() {
        transaction
            .prepare_cached("UPDATE app SET newest_message = max(coalesce(newest_message, ?2), ?2) WHERE id = ?1")?
            .execute(params![app, newest])?;
    }
    let mut counters = CounterUpdate::open(transaction, app, report, now, std::time::Duration::ZERO)?;
    counters.count(Family::MessagesRegistered, &Labels::new(&[("source", source.name())]), added)?;
    if let Some(read) = read {
        file_marks::keep(transaction, app, read)?;
        counters.count(Family::BadLines, &Labels::default(), read.bad_lines)?;
    }
    Ok(AddedMessages { new: added, series: counters.close()?, state: state(transaction, app)? })
}

/// Tracks a message again that was set aside. Returns true if it has had a number, and `None` if it was not set aside.
/// The caller excludes messages of the configuration: they are registered at every start, which is no new information.
fn take_back(
    transaction: &Transaction<'_>,
    app: AppId,
    id: &str,
    pace: i64,
    due: i64,
) -> Result<Option<bool>, LedgerError> {
    let mut update = transaction.prepare_cached(&format!(
        "UPDATE message SET {NO_FAILURES}, pace = ?3, due = ?4 \
         WHERE app = ?1 AND subject = ?2 AND aside RETURNING watermark IS NOT NULL"
    ))?;
    Ok(update.query_row(params![app, id, pace, due], |row| row.get(0)).optional()?)
}

/// Returns the number of tracked messages of an app, and the send time of the newest.
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

/// Returns the messages to poll in the next calls, and the due time of the first.
pub(super) fn due(transaction: &Transaction<'_>, query: &DueQuery) -> Result<DueMessages, LedgerError> {
    let DueQuery { app, report, now, batch, calls, ref under_way } = *query;
    let next = next_due(transaction, app, report, under_way)?;
    let limit = batch.saturating_mul(calls);
    if limit == 0 || next.is_none_or(|next| next > now) {
        return Ok(DueMessages { batch: Vec::new(), next, late: 0 });
    }
    let mut select = transaction.prepare_cached(
        "SELECT id, subject, sent, shape, at_10m, due, failures, call_limit, refusals, aside, guessed, \
         watermark IS NOT NULL FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due <= ?4 ORDER BY due LIMIT ?5",
    )?;
    let mut count_late = transaction
        .prepare_cached("SELECT count(*) FROM message WHERE app = ?1 AND report = ?2 AND pace = ?3 AND due < ?4")?;
    let mut late = 0;
    let mut found = Vec::new();
    for pace in paces(transaction, app, report)? {
        let should_be_over = ms(now).saturating_sub(pace);
        late += count_late.query_row(params![app, report, pace, should_be_over], |row| row.get::<_, i64>(0))?;
        // The last call is made anyway, so nearly due messages fill it up.
        let nearly_due = ms(now).saturating_add(pace / NEARLY_DUE);
        let limit = i64::try_from(limit.saturating_add(under_way.len())).unwrap_or(i64::MAX);
        let rows = select.query_map(params![app, report, pace, nearly_due, limit], |row| {
            let message = TrackedMessage {
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
            };
            let lateness = ms(now).saturating_sub(row.get(5)?) as f64 / pace.max(1) as f64;
            Ok((lateness, message))
        })?;
        for row in rows {
            let (lateness, message) = row?;
            // A failing message is not polled before it is due.
            let is_early = lateness < 0.0 && message.failures > 0;
            if !is_early && !under_way.contains(&message.row) {
                found.push((lateness, message));
            }
        }
    }
    // Sorted by lateness in paces, the latest first.
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let due = found.iter().filter(|(lateness, _)| *lateness >= 0.0).count();
    found.truncate(due.next_multiple_of(batch.max(1)).min(limit));
    Ok(DueMessages { batch: found.into_iter().map(|(_, message)| message).collect(), next, late })
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

/// Applies the answers for some messages.
pub(super) fn polled(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    polled: &[PolledMessage],
    counters: &mut CounterUpdate<'_>,
) -> Result<(), LedgerError> {
    let everything = [String::new()];
    let mut select =
        transaction.prepare_cached("SELECT sent, watermark, aside, subject FROM message WHERE id = ?1 AND app = ?2")?;
    // An answer resets the effects of failures.
    let mut update = transaction.prepare_cached(&format!(
        "UPDATE message SET pace = ?2, due = ?3, at_10m = at_10m OR ?4, shape = ?5, watermark = ?6, {NO_FAILURES} \
         WHERE id = ?1"
    ))?;
    let mut postpone =
        transaction.prepare_cached(&format!("UPDATE message SET pace = ?2, due = ?3, {NO_FAILURES} WHERE id = ?1"))?;
    let (mut waiting, mut live) = (0, 0);
    for message in polled {
        let found = select
            .query_row(params![message.row, app], |row| {
                let subject: String = row.get(3)?;
                Ok((row.get(0).map(time)?, row.get::<_, Option<Vec<u8>>>(1)?, row.get::<_, bool>(2)?, subject))
            })
            .optional()?;
        let Some((sent_at, stored, was_aside, subject)) = found else { continue };
        let began = sent_at.saturating_add(LEEWAY).unwrap_or(sent_at);
        let (mut watermark, began) = counters.watermark(stored.as_deref(), began, &subject, &message.readings);
        let covers = if message.readings.is_empty() { &[] } else { &everything[..] };
        let is_dirty = counters.take(&mut watermark, began, &message.readings, covers)?;
        if message.is_at_10m {
            for reading in &message.readings {
                if let Some(family) = reading.series.metric.at_10m() {
                    counters.count_delivery(family, &reading.series, reading.value)?;
                }
            }
        }
        let is_live = stored.is_some() || is_dirty;
        if !was_aside {
            *(if stored.is_some() { &mut live } else { &mut waiting }) -= 1;
        }
        let Some((due, pace)) = message.next else {
            retire(transaction, app, message.row, now)?;
            continue;
        };
        *(if is_live { &mut live } else { &mut waiting }) += 1;
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

/// Records failed calls for some messages: their next due times and the largest calls that may name them.
pub(super) fn failed(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    failed: &[FailedMessage],
    counters: &mut CounterUpdate<'_>,
) -> Result<(), LedgerError> {
    let mut select =
        transaction.prepare_cached("SELECT watermark IS NOT NULL, aside FROM message WHERE id = ?1 AND app = ?2")?;
    let mut update = transaction.prepare_cached(
        "UPDATE message SET pace = ?2, due = ?3, failures = ?4, call_limit = ?5, refusals = ?6, aside = ?7 WHERE id = ?1",
    )?;
    let (mut waiting, mut live, mut rejected) = (0, 0, 0);
    for message in failed {
        let found = select
            .query_row(params![message.row, app], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?)))
            .optional()?;
        let Some((is_live, was_aside)) = found else { continue };
        let count = if is_live { &mut live } else { &mut waiting };
        match message.next {
            None => {
                retire(transaction, app, message.row, now)?;
                *count -= i64::from(!was_aside);
            }
            Some((due, pace)) => {
                let FailedMessage { row, failures, call_limit, refusals, is_aside, .. } = *message;
                update.execute(params![row, span_ms(pace), ms(due), failures, call_limit, refusals, is_aside])?;
                *count -= i64::from(is_aside) - i64::from(was_aside);
                rejected += i64::from(is_aside && !was_aside);
            }
        }
    }
    counters.count(Family::RejectedMessages, &Labels::default(), rejected)?;
    count_tracked(transaction, app, waiting, live)
}

/// Corrects times of the local clock by a provider's clock: the time at which the app was first known, and the send
/// times of messages that were registered without one.
pub(super) fn confirm(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    confirmation: &Confirmation,
) -> Result<(), LedgerError> {
    let Confirmation { correction, first_known } = *confirmation;
    let by = i64::try_from(correction.as_millis()).unwrap_or(0);
    // 2010-01-01: no correct clock was earlier.
    const SENSIBLE: i64 = 1_262_304_000_000;
    transaction
        .prepare_cached(
            "UPDATE app SET first_known = min(?3, coalesce(?4, iif(first_known < ?5, ?3, first_known + ?2))), \
             clock_confirmed = TRUE WHERE id = ?1 AND NOT clock_confirmed",
        )?
        .execute(params![app, by, ms(now), first_known.map(ms), SENSIBLE])?;
    let guessed = transaction
        .prepare_cached(
            "UPDATE message SET sent = max(min(sent + ?2, ?3), (SELECT first_known FROM app WHERE id = ?1)), \
             due = min(due, ?3), guessed = FALSE WHERE app = ?1 AND guessed",
        )?
        .execute(params![app, by, ms(now)])?;
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

/// Limits due times to the schedule, after the schedule or the clock has changed.
pub(super) fn reschedule(transaction: &Transaction<'_>, change: &Reschedule) -> Result<(), LedgerError> {
    let Reschedule { app, report, now, ref steps, ref state, hurry } = *change;
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
        params![app, ms(now), DROPPED_AT_ONCE],
    )?;
    Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped >= DROPPED_AT_ONCE))
}
