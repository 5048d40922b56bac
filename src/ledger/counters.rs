//! The counters during one transaction: readings are applied to watermarks, their increases are summed by series, and
//! [`CounterUpdate::close`] writes the totals. [`super::counting`] decides what is counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::ledger::counting::FieldState;
use crate::ledger::stored_labels::StoredLabels;
use crate::ledger::time::{ms, span_ms, time};
use crate::ledger::watermark::Watermark;
use crate::ledger::{AppId, LedgerError, SeriesTotal};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::{GaugeReading, Label, Metric, Reading, SeriesId, SeriesKey};

/// Maximum number of unknown platforms, kinds and channels of an app that become separate label values.
const MAX_UNKNOWN_LABELS: i64 = 16;

/// Limit of an app's fields whose series have unknown labels. It is far more than a provider adds, and stops answers
/// that keep inventing names. Documented fields are finite and need no limit.
const MAX_UNKNOWN_FIELDS: usize = 1000;
/// Maximum length of a remembered path, in bytes: more than five names of the maximum length.
const MAX_PATH: usize = 512;

/// The counters of one app during one transaction.
pub(super) struct CounterUpdate<'a> {
    transaction: &'a Transaction<'a>,
    app: AppId,
    report: &'a str,
    now: Timestamp,
    hold: Duration,
    first_known: Timestamp,
    /// Ids of fields by path, cached because a hundred messages have the same fields.
    fields: HashMap<String, i64>,
    /// Unknown fields of the app, loaded with the first of them.
    unknown_fields: Option<HashMap<String, i64>>,
    series: HashMap<(Family, SeriesKey), i64>,
    restated: HashMap<Metric, i64>,
    sums: HashMap<i64, i64>,
    new_series: Vec<i64>,
    /// True if any reading was new.
    pub(super) has_new_numbers: bool,
    /// Subjects whose watermarks could not be read.
    pub(super) unreadable: Vec<String>,
    /// True if a reading was not counted because the app has too many unknown fields.
    pub(super) is_full: bool,
}

impl<'a> CounterUpdate<'a> {
    pub(super) fn open(
        transaction: &'a Transaction<'a>,
        app: AppId,
        report: &'a str,
        now: Timestamp,
        hold: Duration,
    ) -> Result<Self, LedgerError> {
        let first_known =
            transaction.query_row("SELECT first_known FROM app WHERE id = ?1", [app], |row| row.get(0).map(time))?;
        Ok(CounterUpdate {
            transaction,
            app,
            report,
            now,
            hold,
            first_known,
            fields: HashMap::new(),
            unknown_fields: None,
            series: HashMap::new(),
            restated: HashMap::new(),
            sums: HashMap::new(),
            new_series: Vec::new(),
            has_new_numbers: false,
            unreadable: Vec::new(),
            is_full: false,
        })
    }

    /// Decodes a stored watermark, and returns it with the begin time of its subject. If it is unreadable, the counted
    /// values are lost: the next readings become the baseline, and the subject is noted with the first of them.
    pub(super) fn watermark(
        &mut self,
        stored: Option<&[u8]>,
        began: Timestamp,
        subject: &str,
        readings: &[Reading],
    ) -> (Watermark, Timestamp) {
        match stored.map(Watermark::decode) {
            None => (Watermark::default(), began),
            Some(Ok(watermark)) => (watermark, began),
            Some(Err(_)) => {
                self.unreadable.extend((!readings.is_empty()).then(|| subject.to_owned()));
                (Watermark::default(), Timestamp::MIN)
            }
        }
    }

    /// Applies the readings of a subject that began at `began`. `covers` are the prefixes of the field paths that the
    /// answer covers. Returns true if the watermark changed.
    pub(super) fn take(
        &mut self,
        watermark: &mut Watermark,
        began: Timestamp,
        readings: &[Reading],
        covers: &[String],
    ) -> Result<bool, LedgerError> {
        let is_before = began < self.first_known;
        let mut is_dirty = false;
        let covered = watermark.covered.clone();
        let is_covered = |path: &str| covered.iter().any(|scope| path.starts_with(scope.as_str()));
        if is_before {
            for scope in covers {
                is_dirty |= watermark.covered.insert(scope.clone());
            }
        }
        for reading in readings {
            let Some(field) = self.field(reading)? else { continue };
            let metric = reading.series.metric;
            let (series, change) = match watermark.marks.get_mut(&field) {
                Some(mark) => (mark.series, mark.read(reading.value)),
                None => {
                    let series = self.series(metric.counter(), &reading.series)?;
                    let is_baseline = is_before && !is_covered(&reading.field);
                    let (mark, change) = FieldState::first(series, reading.value, is_baseline);
                    watermark.marks.insert(field, mark);
                    // Creates the series now, so that its first increase is visible.
                    self.restated(metric)?;
                    (series, change)
                }
            };
            self.add(series, change.counted);
            if change.fallen > 0 {
                let restated = self.restated(metric)?;
                self.add(restated, change.fallen);
            }
            is_dirty |= change.is_new;
            self.has_new_numbers |= change.is_new;
        }
        Ok(is_dirty)
    }

    /// Adds to a delivery series of a family.
    pub(super) fn count_delivery(&mut self, family: Family, key: &SeriesKey, by: i64) -> Result<(), LedgerError> {
        let series = self.series(family, key)?;
        self.add(series, by);
        Ok(())
    }

    /// Adds to the series with these labels, and creates the series if it is missing.
    pub(super) fn count(&mut self, family: Family, labels: &Labels, by: i64) -> Result<(), LedgerError> {
        let series = self.ensure_series(family, labels)?;
        self.add(series, by);
        Ok(())
    }

    fn add(&mut self, series: i64, count: i64) {
        let sum = self.sums.entry(series).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Returns the id of the restatement counter of a metric.
    fn restated(&mut self, metric: Metric) -> Result<i64, LedgerError> {
        if let Some(id) = self.restated.get(&metric) {
            return Ok(*id);
        }
        let labels = Labels::new(&[("report", self.report), ("metric", metric.name())]);
        let id = self.ensure_series(Family::Restated, &labels)?;
        self.restated.insert(metric, id);
        Ok(id)
    }

    /// Returns the id of a reading's field; `None` if its path is too long, or if it is unknown and the app has reached
    /// the limit of those.
    fn field(&mut self, reading: &Reading) -> Result<Option<i64>, LedgerError> {
        let path = reading.field.as_str();
        if path.len() > MAX_PATH {
            self.is_full = true;
            return Ok(None);
        }
        if !reading.series.is_known() {
            return self.unknown_field(path);
        }
        if let Some(id) = self.fields.get(path) {
            return Ok(Some(*id));
        }
        let id = self.ensure_field(path)?;
        self.fields.insert(path.to_owned(), id);
        Ok(Some(id))
    }

    /// Returns the id of an undocumented field; `None` if the app has reached the limit of those.
    fn unknown_field(&mut self, path: &str) -> Result<Option<i64>, LedgerError> {
        let mut known = match self.unknown_fields.take() {
            Some(known) => known,
            None => unknown_fields(self.transaction, self.app)?,
        };
        let has_room = known.len() < MAX_UNKNOWN_FIELDS;
        let id = match known.get(path) {
            Some(id) => Some(*id),
            None if !has_room => None,
            None => {
                let id = self.ensure_field(path)?;
                self.transaction
                    .prepare_cached("INSERT INTO unknown_field (app, field) VALUES (?1, ?2)")?
                    .execute([self.app, id])?;
                known.insert(path.to_owned(), id);
                Some(id)
            }
        };
        self.is_full |= id.is_none();
        self.unknown_fields = Some(known);
        Ok(id)
    }

    fn ensure_field(&self, path: &str) -> Result<i64, LedgerError> {
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM field WHERE path = ?1")?
            .query_row([path], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        self.transaction.execute("INSERT INTO field (path) VALUES (?1)", [path])?;
        Ok(self.transaction.last_insert_rowid())
    }

    fn series(&mut self, family: Family, key: &SeriesKey) -> Result<i64, LedgerError> {
        let key = (family, key.clone());
        if let Some(id) = self.series.get(&key) {
            return Ok(*id);
        }
        let SeriesKey { platform, channel, kind, .. } = &key.1;
        let labels = self.labels(&[("platform", platform), ("channel", channel), ("kind", kind)])?;
        let id = self.ensure_series(family, &labels)?;
        self.series.insert(key, id);
        Ok(id)
    }

    fn ensure_series(&mut self, family: Family, labels: &Labels) -> Result<i64, LedgerError> {
        let labels = StoredLabels(labels.clone());
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM series WHERE app = ?1 AND family = ?2 AND label_pairs = ?3")?
            .query_row(params![self.app, family.name(), labels], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        self.transaction.execute(
            "INSERT INTO series (app, family, label_pairs, total, shown, held_until) VALUES (?1, ?2, ?3, 0, ?4, ?5)",
            params![self.app, family.name(), labels, ms(self.now), self.held_until()],
        )?;
        let id = self.transaction.last_insert_rowid();
        self.new_series.push(id);
        Ok(id)
    }

    /// Returns the end of the hold of a new series; 0 for none. Only zero or non-zero matters: see [`release`].
    fn held_until(&self) -> i64 {
        if self.hold.is_zero() { 0 } else { ms(self.now).saturating_add(span_ms(self.hold)) }
    }

    /// Returns the labels of a series. The first few unknown names of an app are kept, further ones become `other`.
    fn labels(&self, pairs: &[(&str, &Label)]) -> Result<Labels, LedgerError> {
        let admitted = pairs.iter().map(|(name, label)| Ok((*name, self.admit(label)?)));
        let admitted = admitted.collect::<Result<Vec<_>, LedgerError>>()?;
        let pairs: Vec<(&str, &str)> = admitted.iter().map(|(name, label)| (*name, label.as_str())).collect();
        Ok(Labels::new(&pairs))
    }

    /// Returns gauges with their labels; values with the same labels are added.
    pub(super) fn gauges(&self, gauges: &[GaugeReading]) -> Result<Vec<(Family, Labels, i64)>, LedgerError> {
        let mut rows: BTreeMap<(Family, Labels), i64> = BTreeMap::new();
        for GaugeReading { family, labels, value } in gauges {
            let labels: Vec<(&str, &Label)> = labels.iter().map(|(name, label)| (*name, label)).collect();
            let sum = rows.entry((*family, self.labels(&labels)?)).or_default();
            *sum = sum.saturating_add(*value);
        }
        Ok(rows.into_iter().map(|((family, labels), value)| (family, labels, value)).collect())
    }

    fn admit(&self, label: &Label) -> Result<Label, LedgerError> {
        if label.is_known() {
            return Ok(label.clone());
        }
        let is_remembered = self
            .transaction
            .prepare_cached("SELECT 1 FROM unknown_label WHERE app = ?1 AND value = ?2")?
            .exists(params![self.app, label.as_str()])?;
        if is_remembered {
            return Ok(label.clone());
        }
        let count: i64 =
            self.transaction
                .query_row("SELECT count(*) FROM unknown_label WHERE app = ?1", [self.app], |row| row.get(0))?;
        if count >= MAX_UNKNOWN_LABELS {
            return Ok(Label::OTHER);
        }
        self.transaction
            .execute("INSERT INTO unknown_label (app, value) VALUES (?1, ?2)", params![self.app, label.as_str()])?;
        Ok(label.clone())
    }

    /// Writes the totals of new or increased series, and returns them.
    pub(super) fn close(self) -> Result<Vec<SeriesTotal>, LedgerError> {
        let CounterUpdate { transaction, mut sums, new_series, .. } = self;
        sums.retain(|_, sum| *sum > 0);
        for id in new_series {
            sums.entry(id).or_default();
        }
        let mut ids: Vec<(i64, i64)> = sums.into_iter().collect();
        ids.sort_unstable();
        let mut select = transaction
            .prepare_cached("SELECT id, family, label_pairs, total, held_until, shown FROM series WHERE id = ?1")?;
        let mut update = transaction.prepare_cached("UPDATE series SET total = ?2 WHERE id = ?1")?;
        let mut totals = Vec::new();
        for (id, sum) in ids {
            // No report of this release counts a family that the release does not have.
            let Some(stored) = select.query_row([id], stored_series)? else { continue };
            let total = stored.total.saturating_add(sum);
            update.execute(params![id, total])?;
            totals.push(SeriesTotal { total, ..stored });
        }
        Ok(totals)
    }
}

/// Returns true if an app has reached the limit of unknown fields.
pub(super) fn fields_are_full(transaction: &Transaction<'_>, app: AppId) -> Result<bool, LedgerError> {
    let mut select = transaction.prepare_cached("SELECT count(*) FROM unknown_field WHERE app = ?1")?;
    let count: i64 = select.query_row([app], |row| row.get(0))?;
    Ok(usize::try_from(count).is_ok_and(|count| count >= MAX_UNKNOWN_FIELDS))
}

/// Returns the ids of an app's unknown fields by path.
fn unknown_fields(transaction: &Transaction<'_>, app: AppId) -> Result<HashMap<String, i64>, LedgerError> {
    let mut select =
        transaction.prepare_cached("SELECT path, id FROM unknown_field JOIN field ON id = field WHERE app = ?1")?;
    let rows = select.query_map([app], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
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
