//! Counting of windows: each has a watermark of its own.

use std::collections::{BTreeMap, HashMap};

use crate::ledger::SubjectReadings;
use crate::ledger::rules::counters::Counters;
use crate::ledger::watermark::Watermark;

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
