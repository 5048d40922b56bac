//! Fields and series in SQL: looked up or created, and their totals increased.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::ledger::rules::counters::{MAX_UNKNOWN_FIELDS, WantedField, WantedSeries};
use crate::ledger::sqlite::stored_labels::StoredLabels;
use crate::ledger::time::{ms, span_ms, time};
use crate::ledger::{AppId, LedgerError, SeriesTotal};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::SeriesId;

/// Returns the numbers of fields, and creates those that are missing.
pub(super) fn number_fields(
    transaction: &Transaction<'_>,
    app: AppId,
    wanted: &[WantedField],
) -> Result<Vec<i64>, LedgerError> {
    let number = |field: &WantedField| -> Result<i64, LedgerError> {
        let found = transaction
            .prepare_cached("SELECT id FROM field WHERE path = ?1")?
            .query_row([&field.path], |row| row.get(0))
            .optional()?;
        let number = match found {
            Some(number) => number,
            None => {
                transaction.execute("INSERT INTO field (path) VALUES (?1)", [&field.path])?;
                transaction.last_insert_rowid()
            }
        };
        if field.is_unknown {
            transaction
                .prepare_cached("INSERT INTO unknown_field (app, field) VALUES (?1, ?2)")?
                .execute([app, number])?;
        }
        Ok(number)
    };
    wanted.iter().map(number).collect()
}

/// Returns the numbers of series, and true for those that were created: they stay at 0 for `hold`.
pub(super) fn number(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    hold: Duration,
    wanted: &[WantedSeries],
) -> Result<Vec<(i64, bool)>, LedgerError> {
    // Only zero or non-zero matters: see `release`.
    let held_until = if hold.is_zero() { 0 } else { ms(now).saturating_add(span_ms(hold)) };
    let number = |WantedSeries { family, labels }: &WantedSeries| -> Result<(i64, bool), LedgerError> {
        let labels = StoredLabels(labels.clone());
        let found = transaction
            .prepare_cached("SELECT id FROM series WHERE app = ?1 AND family = ?2 AND label_pairs = ?3")?
            .query_row(params![app, family.name(), labels], |row| row.get(0))
            .optional()?;
        if let Some(number) = found {
            return Ok((number, false));
        }
        transaction.execute(
            "INSERT INTO series (app, family, label_pairs, total, shown, held_until) VALUES (?1, ?2, ?3, 0, ?4, ?5)",
            params![app, family.name(), labels, ms(now), held_until],
        )?;
        Ok((transaction.last_insert_rowid(), true))
    };
    wanted.iter().map(number).collect()
}

/// Adds to totals by series number, and returns the new totals.
pub(super) fn increase(
    transaction: &Transaction<'_>,
    increases: &BTreeMap<i64, i64>,
) -> Result<Vec<SeriesTotal>, LedgerError> {
    let mut select = transaction
        .prepare_cached("SELECT id, family, label_pairs, total, held_until, shown FROM series WHERE id = ?1")?;
    let mut update = transaction.prepare_cached("UPDATE series SET total = ?2 WHERE id = ?1")?;
    let mut totals = Vec::new();
    for (number, increase) in increases {
        // No report of this release counts a family that the release does not have.
        let Some(stored) = select.query_row([number], stored_series)? else { continue };
        let total = stored.total.saturating_add(*increase);
        update.execute(params![number, total])?;
        totals.push(SeriesTotal { total, ..stored });
    }
    Ok(totals)
}

/// Adds to series that are created without a hold if they are missing, and returns the new totals.
pub(super) fn count(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    counted: &[(Family, Labels, i64)],
) -> Result<Vec<SeriesTotal>, LedgerError> {
    let wanted: Vec<WantedSeries> =
        counted.iter().map(|(family, labels, _)| WantedSeries { family: *family, labels: labels.clone() }).collect();
    let numbers = number(transaction, app, now, Duration::ZERO, &wanted)?;
    let increases = numbers.iter().zip(counted).filter(|((_, is_new), (.., by))| *is_new || *by > 0);
    increase(transaction, &increases.map(|((number, _), (.., by))| (*number, *by)).collect())
}

/// Returns true if an app has reached the limit of unknown fields.
pub(super) fn fields_are_full(transaction: &Transaction<'_>, app: AppId) -> Result<bool, LedgerError> {
    let mut select = transaction.prepare_cached("SELECT count(*) FROM unknown_field WHERE app = ?1")?;
    let count: i64 = select.query_row([app], |row| row.get(0))?;
    Ok(usize::try_from(count).is_ok_and(|count| count >= MAX_UNKNOWN_FIELDS))
}

/// Records that series show their totals from now on, even after a crash.
pub(super) fn release(transaction: &Transaction<'_>, series: &[SeriesId]) -> Result<(), LedgerError> {
    let mut update = transaction.prepare_cached("UPDATE series SET held_until = 0 WHERE id = ?1")?;
    for id in series {
        update.execute([id])?;
    }
    Ok(())
}

/// Reads a row of `id, family, label_pairs, total, held_until, shown`; `None` for a family that this release does not
/// have.
pub(super) fn stored_series(row: &Row<'_>) -> rusqlite::Result<Option<SeriesTotal>> {
    let family: String = row.get(1)?;
    let Some(family) = Family::from_name(&family) else { return Ok(None) };
    Ok(Some(SeriesTotal {
        id: row.get(0)?,
        family,
        labels: row.get::<_, StoredLabels>(2)?.0,
        total: row.get(3)?,
        is_held: row.get::<_, i64>(4)? != 0,
        created: time(row.get(5)?),
    }))
}
