//! Formats of JPush's message ids, as senders and answers write them.

use serde_json::{Map, Value};

use crate::provider::message_id::{IdFormat, ids_under, read_digits};

/// Rule for valid message ids.
const RULE: &str = "msg_id must be digits that fit 64 bits or, for a group, at most 64 characters of a-z and 0-9";

/// Format of the ids of an app's messages.
pub(super) const MESSAGE_ID: IdFormat = IdFormat {
    read: read_digits,
    rule: RULE,
    config_error: "is not a msg_id; use digits that fit 64 bits",
    answer_keys: &ANSWER_KEYS,
    answered: answered_ids,
};

/// Format of the ids of a group's messages.
pub(super) const GROUP_MESSAGE_ID: IdFormat = IdFormat {
    read: read_group_id,
    rule: RULE,
    config_error: "is not a group_msgid; use at most 64 characters of a-z and 0-9",
    answer_keys: &ANSWER_KEYS,
    answered: answered_ids,
};

/// Keys of which an answer has one, so that a key that is misspelt in the message API's form stays an error.
const ANSWER_KEYS: [&str; 2] = ["sendno", "group_msgid"];

/// Returns the ids of JPush's answer to a push call: to an app, or to a group.
fn answered_ids(answer: &Map<String, Value>) -> Vec<Value> {
    ids_under(&["msg_id", "group_msgid"], answer)
}

/// Reads the id of a group message, such as `bsp54sn8bpn8hc3etq40`.
pub(super) fn read_group_id(text: &str) -> Option<String> {
    let is_id =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_id.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_ids_are_letters_and_digits() {
        assert_eq!(read_group_id("bsp54sn8bpn8hc3etq40").as_deref(), Some("bsp54sn8bpn8hc3etq40"));
        for bad in ["", "Bsp54", "bsp-54", "a b", &"a".repeat(65)] {
            assert_eq!(read_group_id(bad), None, "{bad:?}");
        }
    }
}
