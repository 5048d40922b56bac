//! Durations in Go's notation, as the web configuration accepts them: `500ms`, `1m30s`, `1.5h`, `-1s`, `0`, or a
//! whole number of nanoseconds.

use std::time::Duration;

const UNITS: [(&str, f64); 8] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Longest duration in seconds: Go counts nanoseconds in 63 bits.
const LONGEST: f64 = i64::MAX as f64 / 1e9;

/// Parses a duration as Go does. A negative one becomes zero, since it cannot be a rate. A number without a unit
/// counts nanoseconds; in quotes it is invalid, except for 0.
pub(super) fn parse(text: &str, is_plain: bool) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse::<f64>()
        && nanoseconds.is_finite()
    {
        let is_sound = (is_plain || nanoseconds == 0.0) && nanoseconds <= LONGEST * 1e9;
        return if is_sound { Some(Duration::from_nanos(nanoseconds as u64)) } else { None };
    }
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * size;
        rest = behind;
    }
    if seconds > LONGEST {
        return None;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    Some(if is_negative { Duration::ZERO } else { duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, millis) in [
            ("1s", 1000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("1000000000", 1000),
            ("0", 0),
            ("0s", 0),
            ("-1s", 0),
            ("+2s", 2000),
            ("250000us", 250),
            ("1h0m.5s", 3_600_500),
        ] {
            assert_eq!(parse(text, true), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("0", false), Some(Duration::ZERO));
        for bad in ["", "s", "5", "1 s", "1d", "one", "1.5.2s", "-", "1s2", "NaN", "999999999999999999999999h"] {
            assert_eq!(parse(bad, false), None, "{bad}");
        }
    }
}
