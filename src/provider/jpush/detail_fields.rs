//! Field map of JPush's `messages_detail`, from an answer to readings: the scheme of 2021-09-01 (`details`), by kind,
//! platform and channel, or the older blocks if an answer has no `details`. Pure.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, Metric, count, members};
use crate::provider::field_map::{FieldSink, series};
use crate::provider::jpush::legacy_fields;
use crate::provider::jpush::received_fields::{group_message_id, message_id, read_items};
use crate::provider::jpush::shape::{KINDS, LIVE_ACTIVITY, Shape, holds_numbers, known};
use crate::provider::{MessageNumbers, MessageQuery};

/// The five counts of a leaf and of a kind; clicks come last.
const COUNTS: [(&str, Metric); 5] = [
    ("target", Metric::Targeted),
    ("sent", Metric::Sent),
    ("received", Metric::Received),
    ("display", Metric::Displayed),
    (CLICK, Metric::Clicked),
];
const CLICK: &str = "click";
const PLATFORMS: [&str; 5] = ["android", "ios", "hmos", "quickapp", "winphone"];
const CHANNELS: [&str; 14] = [
    "huawei", "xiaomi", "oppo", "vivo", "meizu", "honor", "fcm", "asus", "nio", "tuibida", "apns", "voip", "hmpns",
    "mpns",
];

/// Reads the items of `messages/detail` according to the shape of each message.
pub(super) fn read(items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_items(items, message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied(), sink.unknown);
        let found = item.get("details").and_then(Value::as_object);
        let is_details = shape.is_details.unwrap_or(item.get("details").is_some_and(holds_numbers));
        if is_details {
            sink.note_unknown("", item, |name| name == "details" || legacy_fields::BLOCKS.contains(&name));
            let kinds = found.map(|details| members(details, sink.unknown));
            for (kind, value) in kinds.into_iter().flatten() {
                match value {
                    Value::Object(object) => read_kind(kind, object, &mut shape, sink),
                    Value::Null => {}
                    _ => sink.unknown.push(format!("details.{kind}")),
                }
            }
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
    read_items(items, group_message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied(), sink.unknown);
        legacy_fields::read_group(item, &mut shape, sink);
        shape.write()
    })
}

fn shapes(earlier: &[MessageQuery]) -> HashMap<&str, &MessageQuery> {
    earlier.iter().map(|message| (message.id.as_str(), message)).collect()
}

/// Reads one kind: its leaves, or its own counts if it has no platforms.
fn read_kind(name: &str, object: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
    let path = format!("details.{name}");
    let kind = known(&KINDS, name);
    if !kind.is_known() {
        sink.unknown.push(path.clone());
    }
    let subs = members(object, sink.unknown).filter(|(key, value)| key.starts_with("sub_") && !value.is_null());
    let has_leaves = object.iter().any(|(key, value)| key.starts_with("sub_") && holds_numbers(value));
    let by_leaves = shape.reads_leaves(kind.as_str(), has_leaves);
    let before = sink.readings.len();
    if by_leaves {
        for (sub, value) in subs {
            match value {
                Value::Object(channels) => read_platform(&path, sub, channels, &kind, sink),
                _ => sink.unknown.push(format!("{path}.{sub}")),
            }
        }
    } else if shape.reads_totals(kind.as_str()) {
        let of = |metric| series(metric, Label::ANY, Label::ANY, kind.clone());
        sink.take_counts(&path, "", object, &COUNTS, of);
    }
    if sink.readings.len() > before {
        shape.fix(kind.as_str(), by_leaves);
    }
    sink.note_unknown(&format!("{path}."), object, |name| is_count(name) || name.starts_with("sub_"));
}

/// Reads `sub_<platform>`: a map of channels, or for live activities the counts themselves.
fn read_platform(path: &str, sub: &str, channels: &Map<String, Value>, kind: &Label, sink: &mut FieldSink<'_>) {
    let name = sub.trim_start_matches("sub_");
    let path = format!("{path}.{sub}");
    let platform = known(&PLATFORMS, name);
    if !platform.is_known() {
        sink.unknown.push(path.clone());
    }
    if kind.as_str() == LIVE_ACTIVITY {
        let channel = if name == "ios" { Label::known("apns") } else { Label::ANY };
        let of = |metric| series(metric, platform.clone(), channel.clone(), kind.clone());
        sink.take_counts(&path, "", channels, &COUNTS, of);
        sink.note_unknown(&format!("{path}."), channels, is_count);
        return;
    }
    for (name, value) in members(channels, sink.unknown) {
        let path = format!("{path}.{name}");
        let Value::Object(counts) = value else {
            sink.unknown.extend((!value.is_null()).then_some(path));
            continue;
        };
        let channel = match name.as_str() {
            "jg_android" | "jg_ios" | "quick_jg" => Label::known("jpush"),
            name => known(&CHANNELS, name.strip_prefix("quick_").unwrap_or(name)),
        };
        if !channel.is_known() {
            sink.unknown.push(path.clone());
        }
        // iOS 自定义消息无点击指标统计,但会有此字段返回
        let has_no_clicks = kind.as_str() == "message" && platform.as_str() == "ios";
        let says_nothing = has_no_clicks && count(counts.get(CLICK)) == Count::Is(0);
        let told = if says_nothing { &COUNTS[..COUNTS.len() - 1] } else { &COUNTS[..] };
        sink.take_counts(&path, "", counts, told, |metric| {
            series(metric, platform.clone(), channel.clone(), kind.clone())
        });
        sink.note_unknown(&format!("{path}."), counts, is_count);
    }
}

fn is_count(name: &str) -> bool {
    COUNTS.iter().any(|(count, _)| *count == name)
}
