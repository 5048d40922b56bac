//! The field maps of JPush's `received_detail`, `received` and `messages`, and what all answers by message
//! share: items with an id. Pure: an answer in, readings out.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::model::reading::Metric::{self, Clicked, PushedOnline, Received, Sent, Targeted};
use crate::model::reading::{Count, Label, MAX_READINGS, Reading, SeriesKey, count, members, note_too_many};
use crate::provider::jpush::message_id::{read_group_id, read_id};
use crate::provider::jpush::table::{self, FieldRow, nothing, row};
use crate::provider::{MessageNumbers, MessageReadings};

/// More names that are not known than anyone looks at; the rest is not noted.
const MAX_UNKNOWN: usize = 1000;

/// Where the id of a group message stands.
pub(super) const GROUP_IDS: [&str; 2] = ["group_msgid", "group_msgids"];

/// More items than a call can ask for; the rest is not read.
const MAX_ITEMS: usize = 1000;

/// `received_detail`; `ios_msg_received` is part of `jpush_received`.
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

/// `received` (old); here `ios_msg_received` is no part of another field.
const RECEIVED: &[FieldRow] = &[
    row("", "android_received", Received, ["android", "any", "any"]),
    row("", "ios_apns_sent", Sent, ["ios", "apns", "notification"]),
    row("", "ios_apns_received", Received, ["ios", "apns", "notification"]),
    row("", "ios_msg_received", Received, ["ios", "jpush", "message"]),
    row("", "wp_mpns_sent", Sent, ["winphone", "mpns", "notification"]),
];

/// `messages` (old); custom messages on iOS have no clicks.
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

/// Live activities in all spellings that were seen; the first that is there counts, under one name, or a
/// change of spelling would count twice.
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
    read_items(items, message_id, |_, item, sink| {
        table::read(&[RECEIVED_DETAIL], &spellings, item, sink);
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
    read_items(items, message_id, |_, item, sink| {
        table::read(&[RECEIVED], &[], item, sink);
        String::new()
    })
}

/// Reads the items of `messages` (old).
pub(super) fn messages(items: &[Value]) -> MessageNumbers {
    read_items(items, message_id, |_, item, sink| {
        table::read(&[MESSAGES], &[], item, sink);
        String::new()
    })
}

/// The id of an item about a message: a number as text or as a number.
pub(super) fn message_id(item: &Map<String, Value>) -> Option<String> {
    match item.get("msg_id")? {
        Value::String(id) => read_id(id),
        Value::Number(id) => id.as_u64().map(|id| id.to_string()),
        _ => None,
    }
}

/// The id of an item about a group message, in both spellings of the document.
pub(super) fn group_message_id(item: &Map<String, Value>) -> Option<String> {
    GROUP_IDS.iter().find_map(|field| item.get(*field)?.as_str()).and_then(read_group_id)
}

/// Reads every item that has an id and is an answer for it. `read` takes the id and returns the shape.
pub(super) fn read_items(
    items: &[Value],
    id_of: fn(&Map<String, Value>) -> Option<String>,
    mut read: impl FnMut(&str, &Map<String, Value>, &mut Sink) -> String,
) -> MessageNumbers {
    let mut numbers = MessageNumbers::default();
    let mut seen = HashSet::new();
    for item in items.iter().take(MAX_ITEMS) {
        let Value::Object(item) = item else {
            numbers.unknown.push("an item that is no object".to_owned());
            continue;
        };
        let Some(id) = id_of(item) else {
            numbers.unknown.push("an item without an id".to_owned());
            continue;
        };
        let mut sink = Sink { readings: Vec::new(), unknown: &mut numbers.unknown };
        let shape = read(&id, item, &mut sink);
        let readings = sink.readings;
        // An id that comes twice is no second message.
        if seen.insert(id.clone()) {
            numbers.messages.push(MessageReadings { id, readings, shape });
        }
    }
    numbers
}

/// Where readings of one message go.
pub(super) struct Sink<'a> {
    pub(super) readings: Vec<Reading>,
    pub(super) unknown: &'a mut Vec<String>,
}

impl Sink<'_> {
    /// Takes a field, if it holds a number.
    pub(super) fn take(&mut self, path: &str, value: Option<&Value>, series: SeriesKey) {
        match count(value) {
            Count::Absent => {}
            Count::Odd => self.unknown.push(path.to_owned()),
            Count::Is(value) if self.readings.len() < MAX_READINGS || series.is_known() => {
                self.readings.push(Reading { field: path.to_owned(), series, value });
            }
            Count::Is(_) => note_too_many(self.unknown),
        }
    }

    /// The same for a count that the provider does not have and sends as 0.
    pub(super) fn take_unless_zero(&mut self, path: &str, value: Option<&Value>, series: SeriesKey) {
        if count(value) != Count::Is(0) {
            self.take(path, value, series);
        }
    }

    /// Takes the counts of a leaf or a block, each for the series that `of` its metric. `path` is that of the
    /// object, `prefix` what its fields' names begin with.
    pub(super) fn take_counts(
        &mut self,
        path: &str,
        prefix: &str,
        object: &Map<String, Value>,
        counts: &[(&str, Metric)],
        of: impl Fn(Metric) -> SeriesKey,
    ) {
        for (name, metric) in counts {
            let field = format!("{prefix}{name}");
            self.take(&format!("{path}.{field}"), object.get(&field), of(*metric));
        }
    }

    /// Notes the numbers and blocks of an object that are not known. `prefix` is its path.
    pub(super) fn note_unknown(&mut self, prefix: &str, object: &Map<String, Value>, is_known: impl Fn(&str) -> bool) {
        let may_matter = |value: &Value| value.is_object() || matches!(count(Some(value)), Count::Is(_));
        let is_new = |(name, value): &(&String, &Value)| *name != "msg_id" && !is_known(name) && may_matter(value);
        if self.unknown.len() >= MAX_UNKNOWN {
            // A hundred messages repeat the same names.
            self.unknown.sort_unstable();
            self.unknown.dedup();
        }
        let new = members(object, self.unknown).filter(is_new);
        let room = MAX_UNKNOWN.saturating_sub(self.unknown.len());
        self.unknown.extend(new.take(room).map(|(name, _)| format!("{prefix}{name}")));
    }
}

pub(super) fn series(metric: Metric, platform: Label, channel: Label, kind: Label) -> SeriesKey {
    SeriesKey { metric, platform, channel, kind }
}
