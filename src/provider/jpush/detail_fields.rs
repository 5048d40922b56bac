//! Field map of JPush's `messages_detail`, from an answer to readings: the scheme of 2021-09-01 (`details`), by kind,
//! platform and channel, or the older blocks if an answer has no `details`. Pure.

use serde_json::Value;

use crate::model::reading::{Label, Metric};
use crate::provider::detail_fields::{CountField, DetailFields, LIVE_ACTIVITY, LiveActivityForm};
use crate::provider::field_map::known;
use crate::provider::jpush::legacy_fields::{self, VENDOR_BLOCK};
use crate::provider::jpush::received_fields::{group_message_id, message_id};
use crate::provider::message_fields::{read_array, shapes};
use crate::provider::message_shape::{Shape, holds_numbers};
use crate::provider::{MessageNumbers, MessageQuery};

const DETAILS: DetailFields = DetailFields {
    field: "details",
    counts: &[
        count_field("target", Metric::Targeted),
        count_field("sent", Metric::Sent),
        count_field("received", Metric::Received),
        count_field("display", Metric::Displayed),
        count_field("click", Metric::Clicked),
    ],
    kind: |name| known(&KINDS, name),
    platforms: &["android", "ios", "hmos", "quickapp", "winphone"],
    channel,
    live_activity: LiveActivityForm::Counts,
    // iOS 自定义消息无点击指标统计,但会有此字段返回
    zero_says_nothing: |kind, platform, metric| (kind, platform, metric) == ("message", "ios", Metric::Clicked),
};
const KINDS: [&str; 4] = ["notification", "message", "inapp", LIVE_ACTIVITY];
const CHANNELS: [&str; 14] = [
    "huawei", "xiaomi", "oppo", "vivo", "meizu", "honor", "fcm", "asus", "nio", "tuibida", "apns", "voip", "hmpns",
    "mpns",
];
/// Kinds and blocks whose way of reading is always remembered.
const DOCUMENTED: [&str; 5] = ["notification", "message", "inapp", LIVE_ACTIVITY, VENDOR_BLOCK];

const fn count_field(name: &'static str, metric: Metric) -> CountField {
    CountField { name, others: &[], metric }
}

fn channel(name: &str) -> Label {
    match name {
        "jg_android" | "jg_ios" | "quick_jg" => Label::known("jpush"),
        name => known(&CHANNELS, name.strip_prefix("quick_").unwrap_or(name)),
    }
}

/// Reads the items of `messages/detail` according to the shape of each message.
pub(super) fn read(items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_array(items, message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied(), &DOCUMENTED, sink.unknown);
        let is_details = shape.is_details.unwrap_or(item.get(DETAILS.field).is_some_and(holds_numbers));
        if is_details {
            sink.note_unknown("", item, |name| name == DETAILS.field || legacy_fields::BLOCKS.contains(&name));
            DETAILS.read(item, &mut shape, sink);
        } else {
            legacy_fields::read(item, &mut shape, sink);
        }
        if !sink.readings.is_empty() {
            shape.is_details = Some(is_details);
        }
        shape.write()
    })
}

/// Reads the items of `group/messages/detail`, which only have the older blocks.
pub(super) fn read_group(items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_array(items, group_message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied(), &DOCUMENTED, sink.unknown);
        legacy_fields::read_group(item, &mut shape, sink);
        shape.write()
    })
}
