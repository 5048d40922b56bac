//! Formats of message ids, as senders and providers write them.

use serde_json::{Map, Value};

/// Format of a provider's message ids.
#[derive(Clone, Copy, Debug)]
pub struct IdFormat {
    /// Reads an id; returns it as the provider writes it, or `None` if it is invalid.
    pub read: fn(&str) -> Option<String>,
    /// Rule for valid ids: `msg_id must be …`.
    pub rule: &'static str,
    /// Error of the configuration for an invalid id.
    pub config_error: &'static str,
    /// Keys of which the provider's answer to a push call has one if it also has a key of the message API's form.
    pub answer_keys: &'static [&'static str],
    /// Returns the ids in the provider's answer to a push call; none if it did not accept the push.
    pub answered: fn(&Map<String, Value>) -> Vec<Value>,
}

/// Returns the ids under these keys in an answer to a push call. The answer to a call with several pushes has them in its members.
pub fn ids_under(keys: &[&str], answer: &Map<String, Value>) -> Vec<Value> {
    let id_of = |fields: &Map<String, Value>| keys.iter().find_map(|key| fields.get(*key).cloned());
    match id_of(answer) {
        Some(id) => vec![id],
        None => answer.values().filter_map(Value::as_object).filter_map(id_of).collect(),
    }
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
