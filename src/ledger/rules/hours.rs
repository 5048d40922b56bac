//! Totals of an app's deliveries at the beginning of each hour: their stored form, and for how long they are kept.

use crate::ledger::watermark::{Unreadable, put, take};
use crate::ledger::{AppId, HourTotals};
use crate::model::reading::SeriesId;

/// Number of hours for which totals are kept: eight days.
pub(crate) const KEPT: i64 = 8 * 24;
/// Number of the newest hours that are read one by one; of the hours before, those of the same time of day are read.
pub(crate) const EACH: i64 = 24;

const VERSION: u8 = 1;

/// Returns the stored form of totals.
pub(crate) fn encode(totals: &[(SeriesId, i64)]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (series, total) in totals {
        put(&mut bytes, series.unsigned_abs());
        put(&mut bytes, total.unsigned_abs());
    }
    bytes
}

/// Reads the stored form.
///
/// # Errors
/// Bytes that [`encode`] did not write.
pub(crate) fn decode(app: AppId, hour: i64, bytes: &[u8]) -> Result<HourTotals, Unreadable> {
    let [VERSION, rest @ ..] = bytes else { return Err(Unreadable) };
    let mut rest = rest;
    let mut totals = Vec::new();
    while !rest.is_empty() {
        totals.push((take(&mut rest)?, take(&mut rest)?));
    }
    Ok(HourTotals { app, hour, totals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_as_they_were_written() {
        let totals = vec![(1, 0), (300, 127), (301, 128), (i64::MAX, i64::MAX)];
        assert_eq!(decode(3, 7, &encode(&totals)).unwrap(), HourTotals { app: 3, hour: 7, totals });
        assert_eq!(decode(3, 7, &encode(&[])).unwrap().totals, []);
        for bad in [&[][..], &[2], &[VERSION, 1], &[VERSION, 0x80]] {
            assert!(decode(3, 7, bad).is_err(), "{bad:?}");
        }
    }
}
