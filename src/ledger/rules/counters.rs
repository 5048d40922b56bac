//! Counting: readings are applied to watermarks, and their increases are summed by series. Fields and series that do not
//! exist yet have provisional numbers until the engine has created them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::ledger::counting::FieldState;
use crate::ledger::watermark::Watermark;
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::{GaugeReading, Label, Metric, Reading, SeriesKey};

/// Maximum number of unknown platforms, kinds and channels of an app that become separate label values.
pub(crate) const MAX_UNKNOWN_LABELS: usize = 16;
/// Limit of an app's fields whose series have unknown labels. It is far more than a provider adds, and stops answers
/// that keep inventing names. Documented fields are finite and need no limit.
pub(crate) const MAX_UNKNOWN_FIELDS: usize = 1000;
/// Maximum length of a remembered path, in bytes: more than five names of the maximum length.
const MAX_PATH: usize = 512;

/// A field to look up, or to create if there is none with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedField {
    /// Path of the field.
    pub(crate) path: String,
    /// True if it is in no document, and counts towards the app's limit.
    pub(crate) is_unknown: bool,
}

/// A series to look up, or to create if the app has none with its labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WantedSeries {
    /// Metric family.
    pub(crate) family: Family,
    /// Labels without provider and app.
    pub(crate) labels: Labels,
}

/// Numbers of the wanted fields and series, in their order.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Numbers of fields.
    pub(crate) fields: Vec<i64>,
    /// Numbers of series, and true for those that are new.
    pub(crate) series: Vec<(i64, bool)>,
}

/// Returns the provisional number of the wanted row with this index.
fn provisional(index: usize) -> i64 {
    -1 - i64::try_from(index).unwrap_or(i64::MAX - 1)
}

impl Numbers {
    fn field(&self, number: i64) -> i64 {
        let wanted = usize::try_from(-1 - number).ok();
        wanted.and_then(|index| self.fields.get(index).copied()).unwrap_or(number)
    }

    fn series(&self, number: i64) -> i64 {
        let wanted = usize::try_from(-1 - number).ok();
        wanted.and_then(|index| self.series.get(index)).map_or(number, |(number, _)| *number)
    }

    /// Replaces the provisional numbers of a watermark.
    pub(crate) fn resolve(&self, watermark: Watermark) -> Watermark {
        if watermark.marks.iter().all(|(field, mark)| *field >= 0 && mark.series >= 0) {
            return watermark;
        }
        let mark = |(field, mark): (i64, FieldState)| {
            (self.field(field), FieldState { series: self.series(mark.series), ..mark })
        };
        Watermark { covered: watermark.covered, marks: watermark.marks.into_iter().map(mark).collect() }
    }
}

/// Sums by series that are to be added to the stored totals.
#[derive(Debug, Default)]
pub(crate) struct Sums(HashMap<i64, i64>);

impl Sums {
    fn add(&mut self, series: i64, count: i64) {
        let sum = self.0.entry(series).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Returns the increases by series number: every increase, and 0 for a new series.
    pub(crate) fn resolve(self, numbers: &Numbers) -> BTreeMap<i64, i64> {
        let mut sums = BTreeMap::new();
        for (series, count) in self.0.into_iter().filter(|(_, count)| *count > 0) {
            let sum: &mut i64 = sums.entry(numbers.series(series)).or_default();
            *sum = sum.saturating_add(count);
        }
        for (series, _) in numbers.series.iter().filter(|(_, is_new)| *is_new) {
            sums.entry(*series).or_default();
        }
        sums
    }
}

/// Names that an app already has.
#[derive(Debug, Default)]
pub(crate) struct KnownNames {
    /// Numbers of documented fields by path.
    pub(crate) fields: HashMap<String, i64>,
    /// Numbers of the app's undocumented fields by path.
    pub(crate) unknown_fields: HashMap<String, i64>,
    /// The app's undocumented labels.
    pub(crate) unknown_labels: HashSet<String>,
}

/// The counters of one app during one commit.
pub(crate) struct Counters<'a> {
    report: &'a str,
    first_known: Timestamp,
    names: KnownNames,
    /// Category of the message whose readings are counted: its place in `categories`.
    category: Option<usize>,
    /// Categories of the messages so far.
    categories: Vec<String>,
    /// Series by category and reading: admits the labels of each only once.
    by_key: HashMap<(Option<usize>, Family, SeriesKey), i64>,
    by_labels: HashMap<WantedSeries, i64>,
    /// Fields to look up or create.
    pub(super) fields: Vec<WantedField>,
    /// Series to look up or create.
    pub(super) series: Vec<WantedSeries>,
    /// Undocumented labels that are new.
    pub(super) labels: Vec<String>,
    /// Increases of series.
    pub(super) sums: Sums,
    /// True if any reading was new.
    pub(super) has_new_numbers: bool,
    /// Subjects whose watermarks could not be read.
    pub(super) unreadable: Vec<String>,
    /// True if a reading was not counted because the app has too many unknown fields.
    pub(super) is_full: bool,
}

impl<'a> Counters<'a> {
    pub(super) fn new(report: &'a str, first_known: Timestamp, names: KnownNames) -> Counters<'a> {
        Counters {
            report,
            first_known,
            names,
            category: None,
            categories: Vec::new(),
            by_key: HashMap::new(),
            by_labels: HashMap::new(),
            fields: Vec::new(),
            series: Vec::new(),
            labels: Vec::new(),
            sums: Sums::default(),
            has_new_numbers: false,
            unreadable: Vec::new(),
            is_full: false,
        }
    }

    /// Counts the readings that follow as those of a message of this category.
    pub(super) fn set_category(&mut self, category: Option<String>) {
        self.category = category.map(|category| {
            let place = self.categories.iter().position(|known| *known == category);
            place.unwrap_or_else(|| {
                self.categories.push(category);
                self.categories.len() - 1
            })
        });
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
    ) -> bool {
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
            let Some(field) = self.field(reading) else { continue };
            let metric = reading.series.metric;
            let (series, change) = match watermark.marks.get_mut(&field) {
                Some(mark) => (mark.series, mark.read(reading.value)),
                None => {
                    let series = self.series(metric.counter(), &reading.series);
                    let is_baseline = is_before && !is_covered(&reading.field);
                    let (mark, change) = FieldState::first(series, reading.value, is_baseline);
                    watermark.marks.insert(field, mark);
                    // Creates the series now, so that its first increase is visible.
                    self.restated(metric);
                    (series, change)
                }
            };
            self.sums.add(series, change.counted);
            if change.fallen > 0 {
                let restated = self.restated(metric);
                self.sums.add(restated, change.fallen);
            }
            is_dirty |= change.is_new;
            self.has_new_numbers |= change.is_new;
        }
        is_dirty
    }

    /// Adds to a delivery series of a family.
    pub(super) fn count_delivery(&mut self, family: Family, key: &SeriesKey, by: i64) {
        let series = self.series(family, key);
        self.sums.add(series, by);
    }

    /// Adds to the series with these labels, which is created if it is missing.
    pub(super) fn count(&mut self, family: Family, labels: Labels, by: i64) {
        let series = self.want(WantedSeries { family, labels });
        self.sums.add(series, by);
    }

    /// Counts how far totals differ from the readings, their parts. A metric that agrees has a counter too.
    pub(super) fn count_unaccounted(&mut self, readings: &[Reading], unaccounted: &[(Metric, i64)]) {
        let compared: BTreeSet<Metric> = readings.iter().map(|reading| reading.series.metric).collect();
        for metric in compared {
            let differing = unaccounted.iter().filter(|(of, _)| *of == metric).map(|(_, by)| *by);
            let labels = Labels::new(&[("report", self.report), ("metric", metric.name())]);
            self.count(Family::Unaccounted, labels, differing.fold(0, i64::saturating_add));
        }
    }

    /// Returns the restatement counter of a metric.
    fn restated(&mut self, metric: Metric) -> i64 {
        let labels = Labels::new(&[("report", self.report), ("metric", metric.name())]);
        self.want(WantedSeries { family: Family::Restated, labels })
    }

    /// Returns the number of a reading's field; `None` if its path is too long, or if it is unknown and the app has
    /// reached the limit of those.
    fn field(&mut self, reading: &Reading) -> Option<i64> {
        let path = reading.field.as_str();
        let is_unknown = !reading.series.is_known();
        let known = if is_unknown { &mut self.names.unknown_fields } else { &mut self.names.fields };
        if let Some(number) = known.get(path) {
            return Some(*number);
        }
        if path.len() > MAX_PATH || (is_unknown && known.len() >= MAX_UNKNOWN_FIELDS) {
            self.is_full = true;
            return None;
        }
        let number = provisional(self.fields.len());
        known.insert(path.to_owned(), number);
        self.fields.push(WantedField { path: path.to_owned(), is_unknown });
        Some(number)
    }

    fn series(&mut self, family: Family, key: &SeriesKey) -> i64 {
        let key = (self.category, family, key.clone());
        if let Some(number) = self.by_key.get(&key) {
            return *number;
        }
        let SeriesKey { platform, channel, kind, .. } = &key.2;
        let mut labels = self.admit_all(&[("platform", platform), ("channel", channel), ("kind", kind)]);
        if let Some(category) = self.category.and_then(|place| self.categories.get(place)) {
            labels = labels.with("category", category);
        }
        let number = self.want(WantedSeries { family, labels });
        self.by_key.insert(key, number);
        number
    }

    fn want(&mut self, series: WantedSeries) -> i64 {
        if let Some(number) = self.by_labels.get(&series) {
            return *number;
        }
        let number = provisional(self.series.len());
        self.by_labels.insert(series.clone(), number);
        self.series.push(series);
        number
    }

    /// Returns gauges with their labels; values with the same labels are added.
    pub(super) fn gauges(&mut self, gauges: &[GaugeReading]) -> Vec<(Family, Labels, i64)> {
        let mut rows: BTreeMap<(Family, Labels), i64> = BTreeMap::new();
        for GaugeReading { family, labels, value } in gauges {
            let labels: Vec<(&str, &Label)> = labels.iter().map(|(name, label)| (*name, label)).collect();
            let sum = rows.entry((*family, self.admit_all(&labels))).or_default();
            *sum = sum.saturating_add(*value);
        }
        rows.into_iter().map(|((family, labels), value)| (family, labels, value)).collect()
    }

    /// Returns the labels of a series. The first few unknown names of an app are kept, further ones become `other`.
    fn admit_all(&mut self, pairs: &[(&str, &Label)]) -> Labels {
        let admitted: Vec<(&str, Label)> = pairs.iter().map(|(name, label)| (*name, self.admit(label))).collect();
        let pairs: Vec<(&str, &str)> = admitted.iter().map(|(name, label)| (*name, label.as_str())).collect();
        Labels::new(&pairs)
    }

    fn admit(&mut self, label: &Label) -> Label {
        if label.is_known() || self.names.unknown_labels.contains(label.as_str()) {
            return label.clone();
        }
        if self.names.unknown_labels.len() >= MAX_UNKNOWN_LABELS {
            return Label::OTHER;
        }
        self.names.unknown_labels.insert(label.as_str().to_owned());
        self.labels.push(label.as_str().to_owned());
        label.clone()
    }
}
