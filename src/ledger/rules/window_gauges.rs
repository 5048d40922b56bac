//! Gauges of the newest closed windows: an older window does not replace a newer one.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::ledger::rules::counters::Counters;
use crate::ledger::time::ms;
use crate::ledger::{GaugeReadings, StoredGauges};
use crate::model::window::Unit;

/// Returns the minimum time in milliseconds between the ends of two windows of a unit. A shorter time means the same
/// window in another time zone, after a change of the configuration.
fn apart(unit: Unit) -> i64 {
    const HOUR: i64 = 3_600_000;
    match unit {
        Unit::Hour => HOUR,
        // A day has 23 hours when summer time begins.
        Unit::Day => 20 * HOUR,
        Unit::Week | Unit::Month => 48 * HOUR,
    }
}

/// Gauges of one scope and unit after a commit.
pub(super) struct GaugeOutcome {
    /// The gauges that are stored now.
    pub(super) gauges: StoredGauges,
    /// True if they replace the stored ones.
    pub(super) is_replaced: bool,
    /// True if they contain new numbers.
    pub(super) are_new: bool,
}

/// Replaces the stored gauges of a unit, unless they are of a later window.
pub(super) fn apply(
    gauge: &GaugeReadings,
    report: &str,
    now: Timestamp,
    stored: &mut HashMap<(String, Unit), StoredGauges>,
    counters: &mut Counters<'_>,
) -> GaugeOutcome {
    let key = (gauge.scope.clone(), gauge.unit);
    let before = stored.get(&key);
    let later = ms(gauge.end).saturating_add(apart(gauge.unit));
    if let Some(later) = before.filter(|before| (later..=ms(now)).contains(&ms(before.end))) {
        return GaugeOutcome { gauges: later.clone(), is_replaced: false, are_new: false };
    }
    let after = StoredGauges {
        report: report.to_owned(),
        scope: gauge.scope.clone(),
        unit: gauge.unit,
        end: gauge.end,
        values: counters.gauges(&gauge.values),
    };
    let are_new = !after.values.is_empty() && before.is_none_or(|before| !is_same(before, &after));
    stored.insert(key, after.clone());
    GaugeOutcome { gauges: after, is_replaced: true, are_new }
}

/// Compares gauges without the order of their values, which an engine decides.
fn is_same(a: &StoredGauges, b: &StoredGauges) -> bool {
    let sorted = |gauges: &StoredGauges| {
        let mut values = gauges.values.clone();
        values.sort();
        values
    };
    ms(a.end) == ms(b.end) && sorted(a) == sorted(b)
}
