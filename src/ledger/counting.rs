//! The arithmetic of the ledger as pure functions: an old mark and a new reading result in the increase to count, the
//! decrease, and the new mark. The rest of the ledger is storage.

/// Stored state of one field of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldState {
    /// Series that the field feeds.
    pub series: i64,
    /// Count from before the ledger knew the app: remembered, never counted.
    pub baseline: i64,
    /// Highest reading.
    pub highest: i64,
    /// Lowest reading since the highest.
    pub lowest: i64,
}

/// Change caused by a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldChange {
    /// Amount to add to the counter.
    pub counted: i64,
    /// Amount to add to the restatements: the difference to the previous lowest reading since the highest.
    pub fallen: i64,
    /// True if the mark changed.
    pub is_new: bool,
}

impl FieldState {
    /// Returns the mark and the change of a field that is read for the first time. `is_baseline` means that the reading
    /// is about a time before the ledger knew the app.
    pub(crate) fn first(series: i64, reading: i64, is_baseline: bool) -> (FieldState, FieldChange) {
        let baseline = if is_baseline { reading } else { 0 };
        let mark = FieldState { series, baseline, highest: reading, lowest: reading };
        (mark, FieldChange { counted: reading - baseline, fallen: 0, is_new: true })
    }

    /// Applies a further reading. Over all readings, the sum of `counted` is highest − baseline.
    pub(crate) fn read(&mut self, reading: i64) -> FieldChange {
        if reading > self.highest {
            let counted = reading - self.highest;
            (self.highest, self.lowest) = (reading, reading);
            FieldChange { counted, fallen: 0, is_new: true }
        } else if reading < self.lowest {
            let fallen = self.lowest - reading;
            self.lowest = reading;
            FieldChange { counted: 0, fallen, is_new: true }
        } else {
            FieldChange::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the sums of counted and fallen over a whole history.
    fn history(readings: &[i64], is_baseline: bool) -> (i64, i64) {
        let (mut mark, first) = FieldState::first(1, readings[0], is_baseline);
        readings[1..].iter().map(|reading| mark.read(*reading)).fold((first.counted, first.fallen), |sum, change| {
            (sum.0 + change.counted, sum.1.saturating_add(change.fallen))
        })
    }

    #[test]
    fn falls_are_counted_by_new_lows() {
        assert_eq!(history(&[100, 90, 95, 80], false), (100, 20));
        assert_eq!(history(&[100, 90, 120, 110], false), (120, 20));
        assert_eq!(history(&[100, 90, 120, 110], true), (20, 20));
        assert_eq!(history(&[0, i64::MAX, 0], false), (i64::MAX, i64::MAX));
        assert_eq!(history(&[100, 90, 100, 90], false), (100, 10), "returning to the highest is not a new highest");
    }

    #[test]
    fn the_same_again_is_nothing_new() {
        let (mut mark, _) = FieldState::first(1, 100, false);
        assert_eq!(mark.read(100), FieldChange::default());
        assert!(mark.read(90).is_new);
        assert_eq!([90, 95, 100].map(|reading| mark.read(reading)), [FieldChange::default(); 3]);
    }

    proptest! {
        #[test]
        fn counted_is_highest_minus_baseline(readings in prop::collection::vec(0..i64::MAX, 1..40), is_baseline: bool) {
            let highest = *readings.iter().max().unwrap();
            let baseline = if is_baseline { readings[0] } else { 0 };
            prop_assert_eq!(history(&readings, is_baseline).0, highest - baseline);
        }

        #[test]
        fn order_and_repetition_do_not_change_what_is_counted(
            mut readings in prop::collection::vec(0..1_000_000_i64, 1..40), repeat in 0..40_usize,
        ) {
            let counted = history(&readings, false).0;
            readings.push(readings[repeat % readings.len()]);
            readings.reverse();
            prop_assert_eq!(history(&readings, false).0, counted);
        }

        #[test]
        fn a_mark_that_was_stored_goes_on(readings in prop::collection::vec(0..1_000_000_i64, 2..40), cut in 1..39_usize) {
            let cut = cut.min(readings.len() - 1);
            let (mut mark, _) = FieldState::first(1, readings[0], false);
            let before: i64 = readings[1..cut].iter().map(|reading| mark.read(*reading).counted).sum();
            let mut restored = mark;
            // The last answer before a crash may be received again after it.
            prop_assert_eq!(restored.read(readings[cut - 1]).counted, 0);
            let after: i64 = readings[cut..].iter().map(|reading| restored.read(*reading).counted).sum();
            prop_assert_eq!(readings[0] + before + after, history(&readings, false).0);
        }
    }
}
