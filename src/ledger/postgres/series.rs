//! Fields and series: looked up or created, and their totals increased.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use crate::ledger::postgres::sql::{rows, run};
use crate::ledger::postgres::values::{self, stored_labels};
use crate::ledger::rules::counters::{Numbers, WantedField, WantedSeries};
use crate::ledger::time::{ms, span_ms};
use crate::ledger::{AppId, LedgerError, SeriesTotal};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::SeriesId;
use crate::util::lease::Token;

/// Returns the numbers of fields and series, in one statement, and creates those that are missing. New series stay at 0 for
/// `hold`.
pub(super) async fn number(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    hold: Duration,
    fields: &[WantedField],
    series: &[WantedSeries],
) -> Result<Numbers, LedgerError> {
    if fields.is_empty() && series.is_empty() {
        return Ok(Numbers::default());
    }
    // A row that another transaction creates meanwhile is updated, not skipped: so its number is returned.
    const SQL: &str = "\
        WITH wanted AS (INSERT INTO field (path) SELECT DISTINCT unnest($2::text[]) \
             ON CONFLICT (path) DO UPDATE SET path = excluded.path RETURNING id, path), \
        unknown AS (INSERT INTO unknown_field (app, field) SELECT $1, id FROM wanted WHERE path = ANY ($3) \
             ON CONFLICT DO NOTHING), \
        counted AS (INSERT INTO series (app, family, label_pairs, total, shown, held_until) \
             SELECT DISTINCT $1, s.family, s.label_pairs, 0, $6, $7 \
             FROM unnest($4::text[], $5::text[]) AS s (family, label_pairs) \
             ON CONFLICT (app, family, label_pairs) DO UPDATE SET total = series.total \
             RETURNING id, family, label_pairs, xmax = 0 AS is_new) \
        SELECT id, path, NULL, FALSE FROM wanted UNION ALL SELECT id, family, label_pairs, is_new FROM counted";
    // Only zero or non-zero matters: see `release`.
    let held_until = if hold.is_zero() { 0 } else { ms(now).saturating_add(span_ms(hold)) };
    let shown = ms(now);
    let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    let unknown: Vec<&str> = fields.iter().filter(|field| field.is_unknown).map(|field| field.path.as_str()).collect();
    let families: Vec<&str> = series.iter().map(|series| series.family.name()).collect();
    let labels = series.iter().map(|series| stored_labels(&series.labels));
    let labels = labels.collect::<Result<Vec<String>, LedgerError>>()?;
    let params: [(&(dyn ToSql + Sync), Type); 7] = [
        (&app, Type::INT8),
        (&paths, Type::TEXT_ARRAY),
        (&unknown, Type::TEXT_ARRAY),
        (&families, Type::TEXT_ARRAY),
        (&labels, Type::TEXT_ARRAY),
        (&shown, Type::INT8),
        (&held_until, Type::INT8),
    ];
    let (mut of_fields, mut of_series) = (HashMap::new(), HashMap::new());
    for row in rows(transaction, SQL, &params).await? {
        let (number, name): (i64, String) = (row.get(0), row.get(1));
        match row.get::<_, Option<String>>(2) {
            None => of_fields.insert(name, number).is_some(),
            Some(labels) => of_series.insert((name, labels), (number, row.get::<_, bool>(3))).is_some(),
        };
    }
    let missing = || LedgerError::Labels("a series was not created".to_owned());
    let fields = fields.iter().map(|field| of_fields.get(&field.path).copied().ok_or_else(missing));
    let series = families
        .iter()
        .zip(labels)
        .map(|(family, labels)| of_series.get(&((*family).to_owned(), labels)).copied().ok_or_else(missing));
    Ok(Numbers { fields: fields.collect::<Result<_, _>>()?, series: series.collect::<Result<_, _>>()? })
}

/// Adds to totals by series number, and returns the new totals.
pub(super) async fn increase(
    transaction: &Transaction<'_>,
    increases: &BTreeMap<i64, i64>,
) -> Result<Vec<SeriesTotal>, LedgerError> {
    if increases.is_empty() {
        return Ok(Vec::new());
    }
    let (numbers, by): (Vec<i64>, Vec<i64>) = increases.iter().map(|(number, by)| (*number, *by)).unzip();
    let sql = "UPDATE series SET total = CASE WHEN total > 9223372036854775807 - i.by THEN 9223372036854775807 ELSE total + i.by END \
         FROM unnest($1::int8[], $2::int8[]) AS i (id, by) WHERE series.id = i.id \
         RETURNING series.id, family, label_pairs, total, held_until, shown";
    let found = rows(transaction, sql, &[(&numbers, Type::INT8_ARRAY), (&by, Type::INT8_ARRAY)]).await?;
    let mut totals = Vec::new();
    for row in &found {
        // No report of this release counts a family that the release does not have.
        totals.extend(values::series(row)?);
    }
    totals.sort_by_key(|total| total.id);
    Ok(totals)
}

/// Adds to series that are created without a hold if they are missing, and returns the new totals.
pub(super) async fn count(
    transaction: &Transaction<'_>,
    app: AppId,
    now: Timestamp,
    counted: &[(Family, Labels, i64)],
) -> Result<Vec<SeriesTotal>, LedgerError> {
    let wanted: Vec<WantedSeries> =
        counted.iter().map(|(family, labels, _)| WantedSeries { family: *family, labels: labels.clone() }).collect();
    let numbers = number(transaction, app, now, Duration::ZERO, &[], &wanted).await?.series;
    let increases = numbers.iter().zip(counted).filter(|((_, is_new), (.., by))| *is_new || *by > 0);
    increase(transaction, &increases.map(|((number, _), (.., by))| (*number, *by)).collect()).await
}

/// Returns the series of an app, or those of some families.
pub(super) async fn stored(
    transaction: &Transaction<'_>,
    app: AppId,
    families: Option<&[&str]>,
) -> Result<Vec<SeriesTotal>, LedgerError> {
    let sql = "SELECT id, family, label_pairs, total, held_until, shown FROM series \
         WHERE app = $1 AND ($2::text[] IS NULL OR family = ANY ($2)) ORDER BY family, label_pairs";
    let mut totals = Vec::new();
    for row in rows(transaction, sql, &[(&app, Type::INT8), (&families, Type::TEXT_ARRAY)]).await? {
        totals.extend(values::series(&row)?);
    }
    Ok(totals)
}

/// Records that series of the replica's apps show their totals from now on, even after a crash.
pub(super) async fn release(
    transaction: &Transaction<'_>,
    token: Token,
    series: &[SeriesId],
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE series SET held_until = 0 FROM app WHERE app.id = series.app AND owner = $1 AND series.id = ANY ($2)";
    run(transaction, sql, &[(&token, Type::INT8), (&series, Type::INT8_ARRAY)]).await?;
    Ok(())
}
