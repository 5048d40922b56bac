//! Unix times of other programs, in seconds or milliseconds.

use jiff::Timestamp;

/// Smallest number that is read as milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;
/// Earliest time that a message can have been sent, 2010-01-01: nobody pushed before.
const EARLIEST: i64 = 1_262_304_000;

/// Returns the time of a number of seconds or milliseconds; the end of the calendar if it lies beyond.
pub fn at(number: i64) -> Timestamp {
    let at = if number >= MILLISECONDS { Timestamp::from_millisecond(number) } else { Timestamp::from_second(number) };
    at.unwrap_or(if number > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

/// Returns true if a time was never set, such as the zero value of a programming language.
pub fn is_unset(at: Timestamp) -> bool {
    at.as_second() < EARLIEST
}

/// Returns the time of a number of seconds or milliseconds, unless it was never set or lies beyond the calendar.
pub fn read(number: i64) -> Option<Timestamp> {
    Some(at(number)).filter(|at| !is_unset(*at) && *at != Timestamp::MAX)
}
