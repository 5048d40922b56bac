//! The field map of JPush's `received_detail`, and what all answers by message share: items with a
//! `msg_id`. Pure: an answer in, readings out.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::provider::{MessageNumbers, MessageReadings};
use crate::reading::{Count, Label, Metric, Reading, SeriesKey, count};

/// More readings of one message than any document has; the rest is not read.
const MAX_READINGS: usize = 1000;

/// More items than a call can ask for; the rest is not read.
const MAX_ITEMS: usize = 1000;

/// Field, metric, platform, channel, kind of `received_detail`.
const RECEIVED_DETAIL: [(&str, Metric, &str, &str, &str); 12] = [
    ("jpush_received", Metric::Received, "any", "jpush", "any"),
    ("android_pns_sent", Metric::Sent, "android", "vendor", "any"),
    ("android_pns_received", Metric::Received, "android", "vendor", "any"),
    ("ios_apns_sent", Metric::Sent, "ios", "apns", "notification"),
    ("ios_apns_received", Metric::Received, "ios", "apns", "notification"),
    ("wp_mpns_sent", Metric::Sent, "winphone", "mpns", "notification"),
    ("quickapp_jpush_received", Metric::Received, "quickapp", "jpush", "any"),
    ("quickapp_pns_sent", Metric::Sent, "quickapp", "vendor", "any"),
    ("hmos_hmpns_sent", Metric::Sent, "hmos", "hmpns", "notification"),
    ("hmos_hmpns_received", Metric::Received, "hmos", "hmpns", "notification"),
    ("hmos_msg_sent", Metric::Sent, "hmos", "hmpns", "message"),
    ("hmos_msg_received", Metric::Received, "hmos", "hmpns", "message"),
];
/// Part of `jpush_received`, so that it gives nothing.
const IOS_MSG_RECEIVED: &str = "ios_msg_received";

/// Live activities in all spellings that were seen; the first that is there counts, under one name, or a
/// change of spelling would count twice.
const LIVE_ACTIVITY: [(&str, Metric, &[&str]); 2] = [
    (
        "live_acivity_sent",
        Metric::Sent,
        &["live_acivity_sent", "live_acivity_send", "live_activity_sent", "live_activity_send"],
    ),
    ("live_acivity_received", Metric::Received, &["live_acivity_received", "live_activity_received"]),
];

/// Reads the items of `received/detail`.
pub(super) fn read(items: &[Value]) -> MessageNumbers {
    read_items(items, |_, item, sink| {
        for (field, metric, platform, channel, kind) in RECEIVED_DETAIL {
            let series = series(metric, Label::known(platform), Label::known(channel), Label::known(kind));
            sink.take(field, item.get(field), series);
        }
        for (name, metric, spellings) in LIVE_ACTIVITY {
            let first = spellings.iter().find_map(|spelling| item.get(*spelling).filter(|value| !value.is_null()));
            let (ios, apns) = (Label::known("ios"), Label::known("apns"));
            sink.take(name, first, series(metric, ios, apns, Label::known("live_activity")));
        }
        let is_known = |name: &str| {
            name == IOS_MSG_RECEIVED
                || RECEIVED_DETAIL.iter().any(|(field, ..)| *field == name)
                || LIVE_ACTIVITY.iter().any(|(.., spellings)| spellings.contains(&name))
        };
        sink.note_unknown("", item, is_known);
        String::new()
    })
}

/// Parses the body of `received/detail` as the client does, for tests and fuzzing.
///
/// # Errors
/// A body that is not an array.
pub fn parse(body: &[u8]) -> Result<MessageNumbers, serde_json::Error> {
    Ok(read(&serde_json::from_slice::<Vec<Value>>(body)?))
}

/// Reads every item that has a `msg_id` and is an answer for it. `read` takes the id and returns the shape.
pub(super) fn read_items(
    items: &[Value],
    mut read: impl FnMut(&str, &Map<String, Value>, &mut Sink) -> String,
) -> MessageNumbers {
    let mut numbers = MessageNumbers::default();
    let mut seen = HashSet::new();
    for item in items.iter().take(MAX_ITEMS) {
        let Value::Object(item) = item else {
            numbers.unknown.push("an item that is no object".to_owned());
            continue;
        };
        let id = match item.get("msg_id") {
            Some(Value::String(id)) => super::read_id(id),
            Some(Value::Number(id)) => id.as_u64().map(|id| id.to_string()),
            _ => None,
        };
        let Some(id) = id else {
            numbers.unknown.push("an item without msg_id".to_owned());
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
            Count::Is(value) if self.readings.len() < MAX_READINGS => {
                self.readings.push(Reading { field: path.to_owned(), series, value });
            }
            Count::Is(_) => {}
        }
    }

    /// The same for a count that the provider does not have and sends as 0.
    pub(super) fn take_unless_zero(&mut self, path: &str, value: Option<&Value>, series: SeriesKey) {
        if count(value) != Count::Is(0) {
            self.take(path, value, series);
        }
    }

    /// Notes the numbers and blocks of an object that are not known. `prefix` is its path.
    pub(super) fn note_unknown(&mut self, prefix: &str, object: &Map<String, Value>, is_known: impl Fn(&str) -> bool) {
        let may_matter = |value: &Value| value.is_object() || matches!(count(Some(value)), Count::Is(_));
        let new = object.iter().filter(|(name, value)| *name != "msg_id" && !is_known(name) && may_matter(value));
        self.unknown.extend(new.map(|(name, _)| format!("{prefix}{name}")));
    }
}

pub(super) fn series(metric: Metric, platform: Label, channel: Label, kind: Label) -> SeriesKey {
    SeriesKey { metric, platform, channel, kind }
}
