//! Formats of message ids, as senders and providers write them.

/// Format of a provider's message ids.
#[derive(Clone, Copy, Debug)]
pub struct IdFormat {
    /// Reads an id; returns it as the provider writes it, or `None` if it is invalid.
    pub read: fn(&str) -> Option<String>,
    /// Rule for valid ids: `msg_id must be …`.
    pub rule: &'static str,
    /// Error of the configuration for an invalid id.
    pub config_error: &'static str,
}

/// Reads a message id, digits that fit 64 bits, and returns it without leading zeros.
pub fn read_digits(text: &str) -> Option<String> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse::<u64>().ok()).flatten().map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_digits_that_fit_64_bits() {
        assert_eq!(read_digits("1613113584").as_deref(), Some("1613113584"));
        assert_eq!(read_digits("18446744073709551615").as_deref(), Some("18446744073709551615"));
        assert_eq!(read_digits("007").as_deref(), Some("7"), "the same message as 7");
        for bad in ["", "18446744073709551616", "99999999999999999999", "1.0", "-1", "+1", " 1", "1e3", "abc", "１"] {
            assert_eq!(read_digits(bad), None, "{bad:?}");
        }
    }
}
