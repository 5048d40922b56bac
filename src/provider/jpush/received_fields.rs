//! Field maps of JPush's `received_detail`, `received` and `messages`, from an answer to readings. Pure.

use serde_json::{Map, Value};

use crate::model::reading::Label;
use crate::model::reading::Metric::{self, Clicked, PushedOnline, Received, Sent, Targeted};
use crate::provider::MessageNumbers;
use crate::provider::field_map::{self, FieldRow, nothing, row, series};
use crate::provider::jpush::message_id::read_group_id;
use crate::provider::message_fields::read_array;
use crate::provider::message_id::read_digits;

/// Fields that may contain the id of a group message.
pub(super) const GROUP_IDS: [&str; 2] = ["group_msgid", "group_msgids"];

/// Fields of `received_detail`; `ios_msg_received` is part of `jpush_received`.
const RECEIVED_DETAIL: &[FieldRow] = &[
    row("", "jpush_received", Received, ["any", "jpush", "any"]),
    row("", "android_pns_sent", Sent, ["android", "vendor", "any"]),
    row("", "android_pns_received", Received, ["android", "vendor", "any"]),
    row("", "ios_apns_sent", Sent, ["ios", "apns", "notification"]),
    row("", "ios_apns_received", Received, ["ios", "apns", "notification"]),
    row("", "wp_mpns_sent", Sent, ["winphone", "mpns", "notification"]),
    row("", "quickapp_jpush_received", Received, ["quickapp", "jpush", "any"]),
    row("", "quickapp_pns_sent", Sent, ["quickapp", "vendor", "any"]),
    row("", "hmos_hmpns_sent", Sent, ["hmos", "hmpns", "notification"]),
    row("", "hmos_hmpns_received", Received, ["hmos", "hmpns", "notification"]),
    row("", "hmos_msg_sent", Sent, ["hmos", "hmpns", "message"]),
    row("", "hmos_msg_received", Received, ["hmos", "hmpns", "message"]),
    nothing("", "ios_msg_received"),
];

/// Fields of `received` (old); here `ios_msg_received` is not part of another field.
const RECEIVED: &[FieldRow] = &[
    row("", "android_received", Received, ["android", "any", "any"]),
    row("", "ios_apns_sent", Sent, ["ios", "apns", "notification"]),
    row("", "ios_apns_received", Received, ["ios", "apns", "notification"]),
    row("", "ios_msg_received", Received, ["ios", "jpush", "message"]),
    row("", "wp_mpns_sent", Sent, ["winphone", "mpns", "notification"]),
];

/// Fields of `messages` (old); custom messages on iOS have no clicks.
const MESSAGES: &[FieldRow] = &[
    row("android", "target", Targeted, ["android", "any", "any"]),
    row("android", "online_push", PushedOnline, ["android", "any", "any"]),
    row("android", "received", Received, ["android", "any", "any"]),
    row("android", "click", Clicked, ["android", "any", "notification"]),
    row("android", "msg_click", Clicked, ["android", "any", "message"]),
    row("ios", "apns_target", Targeted, ["ios", "apns", "notification"]),
    row("ios", "apns_sent", Sent, ["ios", "apns", "notification"]),
    row("ios", "apns_received", Received, ["ios", "apns", "notification"]),
    row("ios", "click", Clicked, ["ios", "apns", "notification"]),
    row("ios", "target", Targeted, ["ios", "jpush", "message"]),
    row("ios", "received", Received, ["ios", "jpush", "message"]),
    row("ios", "msg_click", Clicked, ["ios", "jpush", "message"]).unless_zero(),
    row("winphone", "mpns_target", Targeted, ["winphone", "mpns", "notification"]),
    row("winphone", "mpns_sent", Sent, ["winphone", "mpns", "notification"]),
    row("winphone", "mpns_received", Received, ["winphone", "mpns", "notification"]),
    row("winphone", "click", Clicked, ["winphone", "mpns", "notification"]),
    row("winphone", "target", Targeted, ["winphone", "jpush", "message"]),
    row("winphone", "received", Received, ["winphone", "jpush", "message"]),
    row("winphone", "msg_click", Clicked, ["winphone", "jpush", "message"]),
];

/// Fields of live activities in all observed spellings. The first one that is present counts, under a single name;
/// otherwise a change of spelling would count twice.
const LIVE_ACTIVITY: [(&str, Metric, &[&str]); 2] = [
    (
        "live_acivity_sent",
        Sent,
        &["live_acivity_sent", "live_acivity_send", "live_activity_sent", "live_activity_send"],
    ),
    ("live_acivity_received", Received, &["live_acivity_received", "live_activity_received"]),
];

/// Reads the items of `received/detail`.
pub(super) fn received_detail(items: &[Value]) -> MessageNumbers {
    let spellings: Vec<&str> = LIVE_ACTIVITY.iter().flat_map(|(.., spellings)| spellings.iter().copied()).collect();
    read_array(items, message_id, |_, item, sink| {
        field_map::read(&[RECEIVED_DETAIL], &spellings, item, sink);
        for (name, metric, spellings) in LIVE_ACTIVITY {
            let first = spellings.iter().find_map(|spelling| item.get(*spelling).filter(|value| !value.is_null()));
            let (ios, apns) = (Label::known("ios"), Label::known("apns"));
            sink.take(name, first, series(metric, ios, apns, Label::known("live_activity")));
        }
        String::new()
    })
}

/// Reads the items of `received` (old).
pub(super) fn received(items: &[Value]) -> MessageNumbers {
    read_array(items, message_id, |_, item, sink| {
        field_map::read(&[RECEIVED], &[], item, sink);
        String::new()
    })
}

/// Reads the items of `messages` (old).
pub(super) fn messages(items: &[Value]) -> MessageNumbers {
    read_array(items, message_id, |_, item, sink| {
        field_map::read(&[MESSAGES], &[], item, sink);
        String::new()
    })
}

/// Returns the id of an item about a message, which is a number or a number as text.
pub(super) fn message_id(item: &Map<String, Value>) -> Option<String> {
    match item.get("msg_id")? {
        Value::String(id) => read_digits(id),
        Value::Number(id) => id.as_u64().map(|id| id.to_string()),
        _ => None,
    }
}

/// Returns the id of an item about a group message, in either spelling of the document.
pub(super) fn group_message_id(item: &Map<String, Value>) -> Option<String> {
    GROUP_IDS.iter().find_map(|field| item.get(*field)?.as_str()).and_then(read_group_id)
}
