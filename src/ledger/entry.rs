//! One answer of a provider written into SQLite, inside one transaction: watermarks, totals, window
//! gauges, unknown names, what the report remembers. What is counted is decided in [`super::account`].

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::account::{Change, Mark};
use super::sqlite::{ms, stored_gauges, time};
use super::watermark::Watermark;
use super::{Commit, GaugeReadings, LedgerError, Receipt, SeriesTotal, StoredGauges, SubjectReadings};
use crate::page::families::Family;
use crate::reading::{Label, Metric, SeriesKey};

/// Settled windows whose watermarks are kept for each report, so that a clock that was wrong counts
/// nothing twice.
const WINDOWS_KEPT: i64 = 400;
/// Names that are remembered as unknown for each app and report.
const MAX_UNKNOWN_NAMES: i64 = 1000;
/// Unknown platforms, kinds and channels of an app that become labels of their own.
const MAX_UNKNOWN_LABELS: i64 = 16;

/// One answer on its way into the ledger.
pub(super) struct Entry<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) commit: &'a Commit,
    pub(super) receipt: Receipt,
}

/// What a commit adds to each series.
#[derive(Default)]
struct Additions {
    by_series: HashMap<i64, i64>,
    new_series: Vec<i64>,
}

impl Additions {
    fn add(&mut self, series: i64, count: i64) {
        let sum = self.by_series.entry(series).or_default();
        *sum = sum.saturating_add(count);
    }
}

impl Entry<'_> {
    /// Writes all of it; the caller commits.
    pub(super) fn write(mut self) -> Result<Receipt, LedgerError> {
        let first_known: i64 =
            self.transaction
                .query_row("SELECT first_known FROM app WHERE id = ?1", [self.commit.app], |row| row.get(0))?;
        let mut additions = Additions::default();
        for subject in &self.commit.subjects {
            self.subject(subject, ms(subject.began) < first_known, &mut additions)?;
        }
        self.add(additions)?;
        for gauge in &self.commit.gauges {
            let stored = self.gauges(gauge)?;
            self.receipt.gauges.push(stored);
        }
        self.unknown_names()?;
        self.report()?;
        Ok(self.receipt)
    }

    /// Takes the readings of one subject. `is_before` says that it began before the ledger knew the app.
    fn subject(
        &mut self,
        subject: &SubjectReadings,
        is_before: bool,
        additions: &mut Additions,
    ) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let stored: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT watermark FROM subject WHERE app = ?1 AND report = ?2 AND subject = ?3")?
            .query_row(params![app, report, subject.subject], |row| row.get(0))
            .optional()?;
        let mut watermark = stored.as_deref().map(Watermark::decode).transpose()?.unwrap_or_default();
        let covered = watermark.covered.clone();
        let is_covered = |path: &str| covered.iter().any(|scope| path.starts_with(scope.as_str()));
        let mut is_dirty = false;
        if is_before {
            let everything = [String::new()];
            let covers = if self.commit.covers.is_empty() { &everything[..] } else { &self.commit.covers };
            is_dirty =
                covers.iter().map(|scope| watermark.covered.insert(scope.clone())).fold(false, |any, new| any | new);
        }
        for reading in &subject.readings {
            let field = self.field(&reading.field)?;
            let change = match watermark.marks.get_mut(&field) {
                Some(mark) => {
                    let change = mark.read(reading.value);
                    additions.add(mark.series, change.counted);
                    change
                }
                None => {
                    let series = self.series(&reading.series, additions)?;
                    let (mark, change) = Mark::first(series, reading.value, is_before && !is_covered(&reading.field));
                    watermark.marks.insert(field, mark);
                    additions.add(series, change.counted);
                    change
                }
            };
            self.restated(reading.series.metric, change, additions)?;
            is_dirty |= change.is_new;
            self.receipt.has_new_numbers |= change.is_new;
        }
        if is_dirty {
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO subject (app, report, subject, watermark) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![app, report, subject.subject, watermark.encode()])?;
            if stored.is_none() {
                self.forget_old_windows()?;
            }
        }
        Ok(())
    }

    fn forget_old_windows(&self) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "DELETE FROM subject WHERE app = ?1 AND report = ?2 AND subject < (SELECT subject FROM subject \
                 WHERE app = ?1 AND report = ?2 ORDER BY subject DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![self.commit.app, self.commit.report, WINDOWS_KEPT])?;
        Ok(())
    }

    /// The number of a field's path.
    fn field(&self, path: &str) -> Result<i64, LedgerError> {
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM field WHERE path = ?1")?
            .query_row([path], |row| row.get(0))
            .optional()?;
        match found {
            Some(id) => Ok(id),
            None => {
                self.transaction.execute("INSERT INTO field (path) VALUES (?1)", [path])?;
                Ok(self.transaction.last_insert_rowid())
            }
        }
    }

    /// The number of the counter that a key feeds, and beside it the counter of its restatements.
    fn series(&self, key: &SeriesKey, additions: &mut Additions) -> Result<i64, LedgerError> {
        let labels = self.labels(key)?;
        self.ensure_series(Family::Restated, &self.restated_labels(key.metric), additions)?;
        self.ensure_series(key.metric.counter(), &labels, additions)
    }

    fn restated_labels(&self, metric: Metric) -> String {
        crate::page::text::labels(&[("report", self.commit.report), ("metric", metric.name())])
    }

    fn ensure_series(&self, family: Family, labels: &str, additions: &mut Additions) -> Result<i64, LedgerError> {
        let Commit { app, now, hold, .. } = *self.commit;
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM series WHERE app = ?1 AND family = ?2 AND labels = ?3")?
            .query_row(params![app, family.name(), labels], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
        self.transaction.execute(
            "INSERT INTO series (app, family, labels, total, shown, held_until) VALUES (?1, ?2, ?3, 0, ?4, ?5)",
            params![app, family.name(), labels, ms(now), ms(now).saturating_add(hold)],
        )?;
        let id = self.transaction.last_insert_rowid();
        additions.new_series.push(id);
        Ok(id)
    }

    fn restated(&self, metric: Metric, change: Change, additions: &mut Additions) -> Result<(), LedgerError> {
        if change.fallen > 0 {
            let series = self.ensure_series(Family::Restated, &self.restated_labels(metric), additions)?;
            additions.add(series, change.fallen);
        }
        Ok(())
    }

    /// The labels of a series; the first few unknown names of an app as they are, then `other`.
    fn labels(&self, key: &SeriesKey) -> Result<String, LedgerError> {
        let [platform, channel, kind] = [self.admit(&key.platform)?, self.admit(&key.channel)?, self.admit(&key.kind)?];
        Ok(crate::page::text::labels(&[
            ("platform", platform.as_str()),
            ("channel", channel.as_str()),
            ("kind", kind.as_str()),
        ]))
    }

    fn admit(&self, label: &Label) -> Result<Label, LedgerError> {
        if label.is_known() {
            return Ok(label.clone());
        }
        let app = self.commit.app;
        let is_remembered = self
            .transaction
            .prepare_cached("SELECT 1 FROM unknown_label WHERE app = ?1 AND value = ?2")?
            .exists(params![app, label.as_str()])?;
        if is_remembered {
            return Ok(label.clone());
        }
        let count: i64 =
            self.transaction.query_row("SELECT count(*) FROM unknown_label WHERE app = ?1", [app], |row| row.get(0))?;
        if count >= MAX_UNKNOWN_LABELS {
            return Ok(Label::OTHER);
        }
        self.transaction
            .execute("INSERT INTO unknown_label (app, value) VALUES (?1, ?2)", params![app, label.as_str()])?;
        Ok(label.clone())
    }

    /// Writes the totals of the series that are new or have grown.
    fn add(&mut self, additions: Additions) -> Result<(), LedgerError> {
        let Additions { mut by_series, new_series } = additions;
        by_series.retain(|_, sum| *sum > 0);
        for id in new_series {
            by_series.entry(id).or_default();
        }
        let mut ids: Vec<(i64, i64)> = by_series.into_iter().collect();
        ids.sort_unstable();
        let mut select =
            self.transaction.prepare_cached("SELECT family, labels, total, held_until FROM series WHERE id = ?1")?;
        let mut update = self.transaction.prepare_cached("UPDATE series SET total = ?2 WHERE id = ?1")?;
        for (id, sum) in ids {
            let (family, labels, total, held_until) = select.query_row([id], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
            })?;
            let total = total.saturating_add(sum);
            update.execute(params![id, total])?;
            if let Some(family) = Family::from_name(&family) {
                self.receipt.series.push(SeriesTotal { family, labels, total, held_until: time(held_until) });
            }
        }
        Ok(())
    }

    /// Puts the gauges of a window in the place of the last one's, unless those are of a later window.
    fn gauges(&self, gauge: &GaugeReadings) -> Result<StoredGauges, LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let key = params![app, report, gauge.department, gauge.unit.name()];
        let stored: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT ends FROM window_gauge WHERE app = ?1 AND report = ?2 AND department = ?3 AND unit = ?4",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        if let Some(stored) = stored.filter(|ends| *ends > ms(gauge.end) && *ends <= ms(self.commit.now)) {
            return stored_gauges(self.transaction, app, report, &gauge.department, gauge.unit, time(stored));
        }
        self.transaction
            .prepare_cached(
                "DELETE FROM window_gauge WHERE app = ?1 AND report = ?2 AND department = ?3 AND unit = ?4",
            )?
            .execute(key)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO window_gauge (app, report, department, unit, ends) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![app, report, gauge.department, gauge.unit.name(), ms(gauge.end)])?;
        let mut rows: HashMap<(Family, String), i64> = HashMap::new();
        for (family, series, value) in &gauge.deliveries {
            let sum = rows.entry((*family, self.labels(series)?)).or_default();
            *sum = sum.saturating_add(*value);
        }
        rows.extend(gauge.users.map(|(family, value)| ((family, String::new()), value)));
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO window_gauge_value (app, report, department, unit, family, labels, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for ((family, labels), value) in rows {
            insert.execute(params![app, report, gauge.department, gauge.unit.name(), family.name(), labels, value])?;
        }
        stored_gauges(self.transaction, app, report, &gauge.department, gauge.unit, gauge.end)
    }

    fn unknown_names(&mut self) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        for name in &self.commit.unknown {
            let name: String = name.chars().take(128).collect();
            let count: i64 = self
                .transaction
                .prepare_cached("SELECT count(*) FROM unknown_name WHERE app = ?1 AND report = ?2")?
                .query_row(params![app, report], |row| row.get(0))?;
            if count >= MAX_UNKNOWN_NAMES {
                break;
            }
            let new = self
                .transaction
                .prepare_cached(
                    "INSERT INTO unknown_name (app, report, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![app, report, name])?;
            if new > 0 {
                self.receipt.new_names.push(name);
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<(), LedgerError> {
        let Commit { app, report, now, completes, ref memory, .. } = *self.commit;
        let last_success = completes.map(|_| ms(now));
        let last_change = self.receipt.has_new_numbers.then_some(ms(now));
        self.transaction
            .prepare_cached(
                "INSERT INTO report (app, report, due, last_success, last_change, memory) VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, '')) \
                 ON CONFLICT (app, report) DO UPDATE SET due = coalesce(excluded.due, report.due), \
                 last_success = coalesce(excluded.last_success, report.last_success), \
                 last_change = coalesce(excluded.last_change, report.last_change), memory = coalesce(?6, report.memory)",
            )?
            .execute(params![app, report, completes.map(ms), last_success, last_change, memory])?;
        // An app counts its 90 days from when it was last polled, however long the process ran.
        self.transaction
            .prepare_cached("UPDATE app SET last_configured = ?2 WHERE id = ?1")?
            .execute(params![app, ms(now)])?;
        Ok(())
    }
}
