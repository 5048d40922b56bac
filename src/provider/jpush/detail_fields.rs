//! The field map of JPush's `messages_detail`: the scheme of 2021-09-01 (`details`), by kind, platform and
//! channel, with the older blocks where an answer has no `details`. Pure: an answer in, readings out.
//!
//! In which shape a message is read is fixed by its first answer that holds a number, and remembered as a
//! text: `d` (details) or `o` (older blocks), then `+notification` for what is read by its leaves and
//! `-notification` for what is read by its totals.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, Metric, count, members};
use crate::provider::jpush::legacy_fields;
use crate::provider::jpush::received_fields::{Sink, group_message_id, message_id, read_items, series};
use crate::provider::{MessageNumbers, MessageQuery};

/// The five counts of a leaf and of a kind; clicks last.
const COUNTS: [(&str, Metric); 5] = [
    ("target", Metric::Targeted),
    ("sent", Metric::Sent),
    ("received", Metric::Received),
    ("display", Metric::Displayed),
    (CLICK, Metric::Clicked),
];
const CLICK: &str = "click";
/// A kind of another shape than the others: `sub_ios` holds the counts themselves.
const LIVE_ACTIVITY: &str = "live_activity";
const KINDS: [&str; 4] = ["notification", "message", "inapp", LIVE_ACTIVITY];
const PLATFORMS: [&str; 5] = ["android", "ios", "hmos", "quickapp", "winphone"];
const CHANNELS: [&str; 14] = [
    "huawei", "xiaomi", "oppo", "vivo", "meizu", "honor", "fcm", "asus", "nio", "tuibida", "apns", "voip", "hmpns",
    "mpns",
];

/// More unknown kinds than any message has.
const MAX_THINGS: usize = 32;

/// How a message is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// `details` or the older blocks; `None` before the first number.
    is_details: Option<bool>,
    /// What is read by its leaves.
    leaves: BTreeSet<String>,
    /// What is read by its totals.
    totals: BTreeSet<String>,
    /// True while totals without parts fix nothing, since parts may still come.
    is_young: bool,
}

impl Shape {
    /// As it was remembered of a message; of one that was not asked for nothing is.
    fn of(earlier: Option<&MessageQuery>) -> Shape {
        let Some(MessageQuery { shape: text, is_young, .. }) = earlier else { return Shape::default() };
        let mut shape = Shape { is_young: *is_young, ..Shape::default() };
        for word in text.split(' ') {
            match (word, word.split_at_checked(1)) {
                ("d", _) => shape.is_details = Some(true),
                ("o", _) => shape.is_details = Some(false),
                (_, Some(("+", thing))) => drop(shape.leaves.insert(thing.to_owned())),
                (_, Some(("-", thing))) => drop(shape.totals.insert(thing.to_owned())),
                _ => {}
            }
        }
        shape
    }

    fn write(&self) -> String {
        let mut words: Vec<String> = self.is_details.iter().map(|is| if *is { "d" } else { "o" }.to_owned()).collect();
        words.extend(self.leaves.iter().map(|thing| format!("+{thing}")));
        words.extend(self.totals.iter().map(|thing| format!("-{thing}")));
        words.join(" ")
    }

    /// Whether a thing that now has leaves or not is read by its leaves.
    pub(super) fn reads_leaves(&self, thing: &str, has_leaves: bool) -> bool {
        if self.leaves.contains(thing) {
            return true;
        }
        has_leaves && !self.totals.contains(thing)
    }

    /// Returns true if the totals of a thing without parts are read.
    pub(super) fn reads_totals(&self, thing: &str) -> bool {
        !self.is_young || self.totals.contains(thing)
    }

    /// Remembers how a thing that gave numbers was read.
    pub(super) fn fix(&mut self, thing: &str, by_leaves: bool) {
        let things = if by_leaves { &mut self.leaves } else { &mut self.totals };
        let is_documented = KINDS.contains(&thing) || thing == legacy_fields::VENDOR_BLOCK;
        if is_documented || things.len() < MAX_THINGS {
            things.insert(thing.to_owned());
        }
    }
}

/// Reads the items of `messages/detail` as each message's shape says.
pub(super) fn read(items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_items(items, message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied());
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

/// Reads the items of `group/messages/detail`, which have older blocks only.
pub(super) fn read_group(items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_items(items, group_message_id, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied());
        legacy_fields::read_group(item, &mut shape, sink);
        shape.write()
    })
}

fn shapes(earlier: &[MessageQuery]) -> HashMap<&str, &MessageQuery> {
    earlier.iter().map(|message| (message.id.as_str(), message)).collect()
}

/// Returns true if there is a count anywhere in a value: an object without one is as good as absent.
pub(super) fn holds_numbers(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(holds_numbers),
        value => matches!(count(Some(value)), Count::Is(_)),
    }
}

/// One kind: its leaves, or its own counts where it has no platforms.
fn read_kind(name: &str, object: &Map<String, Value>, shape: &mut Shape, sink: &mut Sink<'_>) {
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

/// `sub_<platform>`: a map of channels, or for live activities the counts themselves.
fn read_platform(path: &str, sub: &str, channels: &Map<String, Value>, kind: &Label, sink: &mut Sink<'_>) {
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

/// One of the documented words, or a label that is not known.
pub(super) fn known(words: &'static [&'static str], name: &str) -> Label {
    words.iter().find(|word| **word == name).map_or_else(|| Label::unknown(name), |word| Label::known(word))
}
