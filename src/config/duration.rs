//! Durations of the configuration: `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// Parses digits followed by one unit: `30s`, `5m`, `1h`, `7d`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    // A century is longer than any setting and far from overflowing a timer.
    count.checked_mul(seconds).filter(|s| *s <= 100 * 366 * 86_400).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        assert_eq!(parse("90m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("4d"), Some(Duration::from_secs(345_600)));
        for bad in ["", "5", "s", "1.5h", "-1s", "1h30m", "5 m", "99999999999999999999s", "999999999d"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
