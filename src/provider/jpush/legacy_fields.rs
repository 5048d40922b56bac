//! Field map of the blocks that JPush's answers had before 2021-09-01, by channel and without kinds: in
//! `messages_detail` without `details`, and in `group_messages_detail`. Pure.

use serde_json::{Map, Value};

use crate::model::reading::Metric::{Clicked, Displayed, PushedOnline, Received, Sent, Targeted};
use crate::model::reading::{Label, members};
use crate::provider::field_map::{self, FieldRow, FieldSink, known, nothing, row, series};
use crate::provider::jpush::received_fields::GROUP_IDS;
use crate::provider::message_shape::{Shape, holds_numbers};

/// Block of the vendors.
pub(super) const VENDOR_BLOCK: &str = "android_pns";
/// Names of the blocks in an answer.
pub(super) const BLOCKS: [&str; 6] = ["jpush", VENDOR_BLOCK, "ios", "quickapp_jpush", "quickapp_pns", "hmos"];
/// Prefix of the counts that sum up all vendors.
const TOTAL: &str = "pns_";

/// Fields of all answers. `ios.msg_*` are part of `jpush.*`; Harmony has no clicks of custom messages.
const FIELDS: &[FieldRow] = &[
    row("jpush", "target", Targeted, ["any", "jpush", "any"]),
    row("jpush", "sent", Sent, ["any", "jpush", "any"]),
    row("jpush", "received", Received, ["any", "jpush", "any"]),
    row("jpush", "display", Displayed, ["any", "jpush", "any"]),
    row("jpush", "click", Clicked, ["any", "jpush", "notification"]),
    row("jpush", "msg_click", Clicked, ["any", "jpush", "message"]),
    row("ios", "apns_target", Targeted, ["ios", "apns", "notification"]),
    row("ios", "apns_sent", Sent, ["ios", "apns", "notification"]),
    row("ios", "apns_received", Received, ["ios", "apns", "notification"]),
    row("ios", "apns_display", Displayed, ["ios", "apns", "notification"]),
    row("ios", "apns_click", Clicked, ["ios", "apns", "notification"]),
    nothing("ios", "msg_target"),
    nothing("ios", "msg_sent"),
    nothing("ios", "msg_received"),
    nothing("ios", "msg_display"),
    nothing("ios", "msg_click"),
    row("quickapp_jpush", "target", Targeted, ["quickapp", "jpush", "any"]),
    row("quickapp_jpush", "received", Received, ["quickapp", "jpush", "any"]),
    row("quickapp_jpush", "click", Clicked, ["quickapp", "jpush", "notification"]),
    row("quickapp_jpush", "msg_click", Clicked, ["quickapp", "jpush", "message"]),
    row("quickapp_pns", "pns_target", Targeted, ["quickapp", "vendor", "any"]),
    row("quickapp_pns", "pns_sent", Sent, ["quickapp", "vendor", "any"]),
    row("hmos", "hmpns_target", Targeted, ["hmos", "hmpns", "notification"]),
    row("hmos", "hmpns_sent", Sent, ["hmos", "hmpns", "notification"]),
    row("hmos", "hmpns_received", Received, ["hmos", "hmpns", "notification"]),
    row("hmos", "hmpns_display", Displayed, ["hmos", "hmpns", "notification"]),
    row("hmos", "hmpns_click", Clicked, ["hmos", "hmpns", "notification"]),
    row("hmos", "msg_target", Targeted, ["hmos", "hmpns", "message"]),
    row("hmos", "msg_sent", Sent, ["hmos", "hmpns", "message"]),
    row("hmos", "msg_received", Received, ["hmos", "hmpns", "message"]),
    row("hmos", "msg_display", Displayed, ["hmos", "hmpns", "message"]),
    row("hmos", "msg_click", Clicked, ["hmos", "hmpns", "message"]).unless_zero(),
];
/// `online_push`, which is invalid since 2021-09-01 in answers by app, but still valid for groups.
const ONLINE: &[FieldRow] = &[
    row("jpush", "online_push", PushedOnline, ["any", "jpush", "any"]),
    row("quickapp_jpush", "online_push", PushedOnline, ["quickapp", "jpush", "any"]),
];
const NO_ONLINE: &[FieldRow] = &[nothing("jpush", "online_push"), nothing("quickapp_jpush", "online_push")];
/// Counts of `<vendor>_detail`.
const VENDOR_COUNTS: [(&str, crate::model::reading::Metric); 4] =
    [("target", Targeted), ("sent", Sent), ("received", Received), ("display", Displayed)];
const VENDORS: [&str; 6] = ["honor", "oppo", "vivo", "fcm", "asus", "nio"];

/// Reads the blocks of one item of an app's answer.
pub(super) fn read(item: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
    field_map::read(&[FIELDS, NO_ONLINE], &["details", VENDOR_BLOCK], item, sink);
    read_vendors(item, shape, sink);
}

/// Reads the blocks of one item of a group's answer.
pub(super) fn read_group(item: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
    let [id, ids] = GROUP_IDS;
    field_map::read(&[FIELDS, ONLINE], &[id, ids, VENDOR_BLOCK], item, sink);
    read_vendors(item, shape, sink);
}

/// Reads `android_pns`: by vendor, or the totals if there is no block of a vendor.
fn read_vendors(item: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
    let fields = match item.get(VENDOR_BLOCK) {
        Some(Value::Object(fields)) => fields,
        None | Some(Value::Null) => return,
        Some(_) => return sink.unknown.push(VENDOR_BLOCK.to_owned()),
    };
    let vendors = members(fields, sink.unknown).filter(|(name, value)| name.ends_with("_detail") && !value.is_null());
    let has_leaves = fields.iter().any(|(name, value)| name.ends_with("_detail") && holds_numbers(value));
    let by_leaves = shape.reads_leaves(VENDOR_BLOCK, has_leaves);
    let before = sink.readings.len();
    if by_leaves {
        for (name, value) in vendors {
            let path = format!("{VENDOR_BLOCK}.{name}");
            let Value::Object(counts) = value else {
                sink.note(path);
                continue;
            };
            let channel = match name.trim_end_matches("_detail") {
                "xm" => Label::known("xiaomi"),
                "hw" => Label::known("huawei"),
                "mz" => Label::known("meizu"),
                vendor => known(&VENDORS, vendor),
            };
            if !channel.is_known() {
                sink.note(path.clone());
            }
            let of = |metric| series(metric, Label::known("android"), channel.clone(), Label::ANY);
            sink.take_counts(&path, "", counts, &VENDOR_COUNTS, of);
            sink.note_unknown(&format!("{path}."), counts, is_count);
        }
    } else if shape.reads_totals(VENDOR_BLOCK) {
        let of = |metric| series(metric, Label::known("android"), Label::known("vendor"), Label::ANY);
        sink.take_counts(VENDOR_BLOCK, TOTAL, fields, &VENDOR_COUNTS, of);
    }
    if sink.readings.len() > before {
        shape.fix(VENDOR_BLOCK, by_leaves);
    }
    let is_known = |name: &str| name.ends_with("_detail") || name.strip_prefix(TOTAL).is_some_and(is_count);
    sink.note_unknown(&format!("{VENDOR_BLOCK}."), fields, is_known);
}

fn is_count(name: &str) -> bool {
    VENDOR_COUNTS.iter().any(|(count, _)| *count == name)
}
