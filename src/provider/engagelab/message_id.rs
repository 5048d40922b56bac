//! Format of EngageLab's message ids, as senders and answers write them.

use crate::provider::message_id::{IdFormat, ids_under, read_digits};

/// Format of the ids of an app's messages: decimal strings.
pub(super) const MESSAGE_ID: IdFormat = IdFormat {
    read: read_digits,
    rule: "msg_id must be digits that fit 64 bits, as EngageLab's push API returns it",
    config_error: "is not a msg_id of EngageLab; use digits that fit 64 bits",
    answer_keys: &["request_id"],
    answered: |answer| ids_under(&["msg_id"], answer),
};
