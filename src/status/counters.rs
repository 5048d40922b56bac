//! Conversion of counters from the ledger to the exposition.

use std::sync::Arc;
use std::time::Duration;

use crate::exposition::{Counter, Sample, text};
use crate::ledger::SeriesTotal;

/// Converts the committed counters of an app for the exposition. Those that have never shown their totals are held
/// for the time `hold`.
pub fn counters(app_labels: &Arc<str>, series: Vec<SeriesTotal>, hold: Duration) -> Vec<Counter> {
    let counter = |SeriesTotal { id, family, labels, total, is_held, created }| Counter {
        sample: Sample {
            family,
            app_labels: Arc::clone(app_labels),
            labels: text::series_labels(&labels),
            value: total,
            created: Some(created),
        },
        hold: is_held.then_some((id, hold)),
    };
    series.into_iter().map(counter).collect()
}
