//! Correction of times of the local clock, once a provider's clock is known.

use jiff::Timestamp;

use crate::ledger::Confirmation;
use crate::ledger::rules::needs::StoredAppRow;
use crate::ledger::time::{ms, time};

/// 2010-01-01 in Unix milliseconds: no correct clock was earlier.
const SENSIBLE: i64 = 1_262_304_000_000;

/// Returns the time at which the app was first known, corrected; `None` if it was confirmed before.
pub(crate) fn first_known(app: &StoredAppRow, now: Timestamp, confirmation: &Confirmation) -> Option<Timestamp> {
    if app.is_confirmed {
        return None;
    }
    let stored = ms(app.first_known);
    let corrected = match confirmation.first_known {
        Some(known) => ms(known),
        None if stored < SENSIBLE => ms(now),
        None => stored.saturating_add(shift(confirmation)),
    };
    Some(time(corrected.min(ms(now))))
}

/// Returns the correction of guessed send times in milliseconds. A corrected time is not after the commit, and not before
/// the app was first known.
pub(crate) fn shift(confirmation: &Confirmation) -> i64 {
    i64::try_from(confirmation.correction.as_millis()).unwrap_or(0)
}
