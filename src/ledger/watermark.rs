//! The stored form of a subject's watermark: a version, the covered paths, and five variable-length numbers for each
//! field.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::counting::FieldState;

/// Stored state of one live subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Prefixes of the field paths that successful answers have covered, so that their baseline is taken; `""` for all.
    /// Only kept for subjects that began before the ledger knew the app.
    pub covered: BTreeSet<String>,
    /// Marks by id of the field.
    pub marks: BTreeMap<i64, FieldState>,
}

/// Stored bytes that have another form.
#[derive(Debug, thiserror::Error)]
#[error("a stored watermark cannot be read")]
pub struct Unreadable;

const VERSION: u8 = 1;

impl Watermark {
    /// Returns the stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, self.covered.len() as u64);
        for scope in &self.covered {
            put(&mut bytes, scope.len() as u64);
            bytes.extend_from_slice(scope.as_bytes());
        }
        for (field, mark) in &self.marks {
            // Differences are usually smaller than the numbers themselves.
            for number in [*field, mark.series, mark.highest, mark.highest - mark.baseline, mark.highest - mark.lowest]
            {
                put(&mut bytes, number.unsigned_abs());
            }
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Bytes that [`Watermark::encode`] did not write.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Watermark, Unreadable> {
        let [VERSION, rest @ ..] = bytes else { return Err(Unreadable) };
        let mut rest = rest;
        let mut watermark = Watermark::default();
        for _ in 0..take(&mut rest)? {
            let length = usize::try_from(take(&mut rest)?).map_err(|_| Unreadable)?;
            let (scope, behind) = rest.split_at_checked(length).ok_or(Unreadable)?;
            watermark.covered.insert(std::str::from_utf8(scope).map_err(|_| Unreadable)?.to_owned());
            rest = behind;
        }
        while !rest.is_empty() {
            let [field, series, highest, counted, fallen] = [(); 5].map(|()| take(&mut rest));
            let (highest, counted, fallen) = (highest?, counted?, fallen?);
            if counted > highest || fallen > highest {
                return Err(Unreadable);
            }
            let mark = FieldState { series: series?, baseline: highest - counted, highest, lowest: highest - fallen };
            watermark.marks.insert(field?, mark);
        }
        Ok(watermark)
    }
}

/// Appends a number in variable length.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number in variable length off the front.
///
/// # Errors
/// Bytes that [`put`] did not write.
pub(super) fn take(bytes: &mut &[u8]) -> Result<i64, Unreadable> {
    let mut number: u64 = 0;
    for shift in (0..63).step_by(7) {
        let [byte, rest @ ..] = bytes else { return Err(Unreadable) };
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return i64::try_from(number).map_err(|_| Unreadable);
        }
    }
    Err(Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark() -> impl Strategy<Value = FieldState> {
        (1..i64::MAX, 0..=i64::MAX).prop_flat_map(|(series, highest)| {
            (Just(series), 0..=highest, Just(highest), 0..=highest)
                .prop_map(|(series, baseline, highest, lowest)| FieldState { series, baseline, highest, lowest })
        })
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read(
            covered in prop::collection::btree_set("[A-Z.]{0,12}", 0..3), marks in prop::collection::btree_map(0..i64::MAX, mark(), 0..20),
        ) {
            let watermark = Watermark { covered, marks };
            prop_assert_eq!(Watermark::decode(&watermark.encode()).unwrap(), watermark);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Watermark::decode(&bytes);
        }
    }

    #[test]
    fn what_cannot_be_is_not_read() {
        let of = |mark| Watermark { covered: BTreeSet::new(), marks: BTreeMap::from([(3, mark)]) };
        // A baseline or a lowest reading of 0 is valid.
        for mark in [
            FieldState { series: 1, baseline: 0, highest: 9, lowest: 0 },
            FieldState { series: 1, baseline: 9, highest: 9, lowest: 9 },
        ] {
            assert_eq!(Watermark::decode(&of(mark).encode()).unwrap(), of(mark));
        }
        // A counted or fallen amount above the highest reading is invalid.
        let good = of(FieldState { series: 1, baseline: 5, highest: 9, lowest: 8 }).encode();
        assert_eq!(good[good.len() - 2..], [4, 1]);
        for place in [good.len() - 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[place] = 10;
            assert!(Watermark::decode(&bad).is_err());
        }
    }

    #[test]
    fn a_day_of_one_channel_takes_few_bytes() {
        let mark = FieldState { series: 12, baseline: 0, highest: 42_380, lowest: 42_380 };
        let watermark = Watermark { covered: BTreeSet::new(), marks: BTreeMap::from([(3, mark)]) };
        assert_eq!(watermark.encode().len(), 11);
    }
}
