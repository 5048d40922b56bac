//! Retention of what is settled.

use crate::ledger::time::DAY_MS;

/// Number of days after which an app that left the configuration is forgotten.
pub(crate) const APP_DAYS: i64 = 90;
/// Time for which a retired message is remembered after it retired or was last registered, in milliseconds.
pub(crate) const REMEMBERED_MS: i64 = 90 * DAY_MS;
/// Number of settled windows whose watermarks are kept for each report, so that a wrong clock does not count anything
/// twice.
pub(crate) const WINDOWS: i64 = 400;
/// Maximum number of expired tombstones that are deleted in one transaction, so that none takes long.
pub(crate) const DROPPED_AT_ONCE: i64 = 20_000;
