//! Counting of windows: each has a watermark of its own. Totals that the provider gives later are compared with them.

use std::collections::{BTreeMap, HashMap};

use crate::ledger::rules::counters::Counters;
use crate::ledger::watermark::Watermark;
use crate::ledger::{GaugeReadings, RECONCILED, SubjectReadings, SubjectTotals};
use crate::metrics::catalog::Family;
use crate::model::reading::{GaugeReading, Label, Metric};

/// Applies the readings of windows; returns the watermarks that changed, by window, and true if a window is new.
pub(super) fn apply(
    subjects: &[SubjectReadings],
    covers: &[String],
    stored: &HashMap<String, Vec<u8>>,
    counters: &mut Counters<'_>,
) -> (BTreeMap<String, Watermark>, bool) {
    let everything = [String::new()];
    let covers = if covers.is_empty() { &everything[..] } else { covers };
    let mut changed: BTreeMap<String, Watermark> = BTreeMap::new();
    let mut has_new = false;
    for SubjectReadings { subject, began, readings } in subjects {
        let before = stored.get(subject).map(Vec::as_slice);
        let earlier = changed.remove(subject);
        let was_changed = earlier.is_some();
        let (mut watermark, began) = match earlier {
            Some(watermark) => (watermark, *began),
            None => counters.watermark(before, *began, subject, readings),
        };
        let was_known = before.is_some();
        if counters.take(&mut watermark, began, readings, covers) || was_changed {
            has_new |= !was_known;
            changed.insert(subject.clone(), watermark);
        }
    }
    (changed, has_new)
}

/// Compares the provider's totals with the highest readings of the windows: positive is missing here. Nothing is said if a
/// watermark cannot be read.
pub(super) fn compare(
    totals: &SubjectTotals,
    stored: &HashMap<String, Vec<u8>>,
    families: &HashMap<i64, Family>,
) -> Option<GaugeReadings> {
    let metrics: HashMap<Family, Metric> = Metric::ALL.into_iter().map(|metric| (metric.counter(), metric)).collect();
    let mut unaccounted = totals.totals.clone();
    for bytes in totals.subjects.iter().filter_map(|subject| stored.get(subject)) {
        for mark in Watermark::decode(bytes).ok()?.marks.into_values() {
            if let Some(metric) = families.get(&mark.series).and_then(|family| metrics.get(family)) {
                let left = unaccounted.entry(*metric).or_default();
                *left = left.saturating_sub(mark.highest);
            }
        }
    }
    let values = unaccounted.into_iter().map(|(metric, value)| GaugeReading {
        family: Family::WindowUnaccounted,
        labels: vec![("metric", Label::known(metric.name()))],
        value,
    });
    Some(GaugeReadings { scope: RECONCILED.to_owned(), unit: totals.unit, end: totals.end, values: values.collect() })
}
