//! Field map of OneSignal's notifications, from an answer to readings. Pure.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, Metric, count, members};
use crate::provider::error::ProviderError;
use crate::provider::field_map::{FieldSink, series};
use crate::provider::{ListPage, ListedMessage, MessageNumbers, MessageQuery, MessageReadings};

/// Body of a successful answer. The notifications also hold texts and audiences, which are not read.
#[derive(Debug, Deserialize)]
pub(super) struct NotificationsBody {
    notifications: Vec<Value>,
    /// A text or a number; kept as text.
    #[serde(default)]
    next_time_offset: Value,
}

/// Object with the numbers by platform.
const PARTS: &str = "platform_delivery_stats";
/// Numbers of a platform, and of a whole message.
const COUNTS: [(&str, Metric); 4] = [
    ("successful", Metric::Sent),
    // A device that has unsubscribed, and any other error: two fields of one series.
    ("failed", Metric::Failed),
    ("errored", Metric::Failed),
    ("converted", Metric::Clicked),
];
/// Number of confirmed deliveries.
const RECEIVED: &str = "received";
/// Known numbers that feed no series: `remaining` falls while a message is sent, and the document does not say of what
/// `suppressed` is a part. The sum of all of them, the audience, would repeat what sent and failed say.
const OTHERS: [&str; 2] = ["remaining", "suppressed"];
/// Keys of channels that are not push.
const NOT_PUSH: [&str; 2] = ["email", "sms"];
/// Maximum number of notifications of a page, many more than the 50 that an answer has.
const MAX_NOTIFICATIONS: usize = 1000;
/// Maximum number of platforms of a message, many more than there are.
const MAX_PLATFORMS: usize = 100;
/// Maximum length of a cursor; those in the document have some dozens of bytes.
const MAX_CURSOR: usize = 1024;

/// Way in which `received` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// As a number.
    Read,
    /// Not yet, since 0 may mean that the plan has no confirmed delivery.
    Unknown,
    /// Not at all, now and later.
    Refused,
}

/// Way in which the numbers of a message are read, fixed by its first ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// True for the numbers by platform, false for those of the whole message.
    by_platform: Option<bool>,
    /// True if `received` is not read: it counts nothing from before it is turned on.
    without_received: bool,
}

impl Shape {
    fn of(query: &MessageQuery, unknown: &mut Vec<String>) -> Shape {
        let mut shape = Shape::default();
        for word in query.shape.split_ascii_whitespace() {
            match word {
                "parts" => shape.by_platform = Some(true),
                "totals" => shape.by_platform = Some(false),
                "unconfirmed" => shape.without_received = true,
                _ => unknown.push("the stored shape of a message, which is read without it".to_owned()),
            }
        }
        shape
    }

    fn write(self) -> String {
        let form = match self.by_platform {
            None => return String::new(),
            Some(true) => "parts",
            Some(false) => "totals",
        };
        if self.without_received { format!("{form} unconfirmed") } else { form.to_owned() }
    }
}

/// Reads a page of the list.
pub(super) fn page(body: &NotificationsBody) -> Result<ListPage, ProviderError> {
    if body.notifications.len() > MAX_NOTIFICATIONS {
        let message = format!("{} notifications instead of 50 at most", body.notifications.len());
        return Err(ProviderError::Decode(message));
    }
    let mut page = ListPage::default();
    let mut seen = HashSet::new();
    for notification in &body.notifications {
        let Some(notification) = notification.as_object() else {
            page.unknown.push("a notification that is not an object".to_owned());
            continue;
        };
        // A message that is sent at once may have only the time at which it was queued.
        let sent_at = ["send_after", "queued_at"].into_iter().find_map(|field| seconds(notification.get(field)));
        let id = notification.get("id").and_then(Value::as_str).and_then(read_id);
        let (Some(id), Some(sent_at)) = (id, sent_at) else {
            page.unknown.push("a notification without an id or a send time".to_owned());
            continue;
        };
        page.reach =
            Some(page.reach.map_or((sent_at, sent_at), |(first, last)| (first.min(sent_at), last.max(sent_at))));
        if is_push(notification) && seen.insert(id.clone()) {
            let content = numbers(notification);
            let is_canceled = notification.get("canceled") == Some(&Value::Bool(true));
            let is_called_off = is_canceled && !Value::Object(content.clone()).has_count_above_zero();
            page.messages.push(ListedMessage { id, sent_at, is_called_off, content });
        }
    }
    if !body.notifications.is_empty() && page.reach.is_none() {
        return Err(ProviderError::Decode("no notification has an id and a send time".to_owned()));
    }
    page.next = cursor(&body.next_time_offset)?;
    Ok(page)
}

/// Returns the part of a notification that has its numbers.
fn numbers(notification: &Map<String, Value>) -> Map<String, Value> {
    let names = COUNTS.iter().map(|(name, _)| *name).chain([RECEIVED, PARTS]);
    names.filter_map(|name| Some((name.to_owned(), notification.get(name)?.clone()))).collect()
}

/// Returns false for a message that was sent by e-mail or SMS alone.
fn is_push(notification: &Map<String, Value>) -> bool {
    let parts = notification.get(PARTS).and_then(Value::as_object);
    let mut with_numbers = parts.into_iter().flatten().filter(|(_, part)| part.has_count()).peekable();
    with_numbers.peek().is_none() || with_numbers.any(|(key, _)| !NOT_PUSH.contains(&key.as_str()))
}

fn seconds(value: Option<&Value>) -> Option<Timestamp> {
    match count(value) {
        Count::Is(seconds) => Timestamp::from_second(seconds).ok(),
        _ => None,
    }
}

fn cursor(value: &Value) -> Result<Option<String>, ProviderError> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(ProviderError::Decode("next_time_offset is neither a text nor a number".to_owned())),
    };
    match text.len() {
        0 => Ok(None),
        1..=MAX_CURSOR => Ok(Some(text)),
        _ => Err(ProviderError::Decode(format!("next_time_offset has more than {MAX_CURSOR} bytes"))),
    }
}

/// Reads an id of a message or an app: a UUID, in lower case.
pub(super) fn read_id(text: &str) -> Option<String> {
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_uuid.then(|| text.to_ascii_lowercase())
}

/// Returns true if a message has had a confirmed delivery by push.
pub(super) fn has_confirmed(content: &Map<String, Value>) -> bool {
    let is_positive = |fields: &Map<String, Value>| matches!(count(fields.get(RECEIVED)), Count::Is(1..));
    let parts = content.get(PARTS).and_then(Value::as_object).into_iter().flatten();
    let mut parts = parts.filter(|(_, part)| part.has_count()).peekable();
    match parts.peek() {
        None => is_positive(content),
        Some(_) => {
            parts.any(|(key, part)| !NOT_PUSH.contains(&key.as_str()) && part.as_object().is_some_and(is_positive))
        }
    }
}

/// Reads the numbers of messages of a page.
pub(super) fn read(messages: &[(ListedMessage, MessageQuery)], received: Received) -> MessageNumbers {
    let mut numbers = MessageNumbers::default();
    for (listed, query) in messages {
        let mut shape = Shape::of(query, &mut numbers.unknown);
        let mut sink = FieldSink::new(&mut numbers.unknown);
        if shape.by_platform.is_none() {
            shape.without_received = received == Received::Refused;
        }
        let reads_received = received == Received::Read && !shape.without_received;
        read_message(&listed.content, query.is_young, reads_received, &mut shape, &mut sink);
        let readings = sink.readings;
        // The totals beside the parts are not compared with them: they include e-mail and SMS.
        let (id, shape) = (listed.id.clone(), shape.write());
        numbers.messages.push(MessageReadings { id, readings, shape, unaccounted: None });
    }
    numbers
}

fn read_message(
    content: &Map<String, Value>,
    is_young: bool,
    reads_received: bool,
    shape: &mut Shape,
    sink: &mut FieldSink<'_>,
) {
    let parts = match content.get(PARTS) {
        None | Some(Value::Null) => None,
        Some(Value::Object(parts)) => Some(parts),
        Some(_) => {
            sink.unknown.push(PARTS.to_owned());
            None
        }
    };
    let has_parts = parts.is_some_and(|parts| parts.values().any(HasCounts::has_count));
    if shape.by_platform != Some(false) && has_parts {
        shape.by_platform = Some(true);
        let parts: Vec<_> = parts.map(|parts| members(parts, sink.unknown).collect()).unwrap_or_default();
        if parts.len() > MAX_PLATFORMS {
            sink.unknown.push(format!("more than {MAX_PLATFORMS} platforms of one message"));
        }
        let is_push = |(key, _): &(&String, &Value)| !NOT_PUSH.contains(&key.as_str());
        for (key, part) in parts.into_iter().take(MAX_PLATFORMS).filter(is_push) {
            read_part(key, part, reads_received, sink);
        }
        return;
    }
    // Zeros fix nothing: so does a message answer that has not begun. Nor do totals of a young message, whose parts may
    // still appear.
    let has_totals =
        !is_young && !has_parts && COUNTS.iter().any(|(name, _)| matches!(count(content.get(*name)), Count::Is(1..)));
    if shape.by_platform == Some(false) || (shape.by_platform.is_none() && has_totals) {
        shape.by_platform = Some(false);
        let labels = || [Label::ANY, Label::ANY, Label::known("notification")];
        read_counts("", content, labels, ReceivedOf { is_read: reads_received, has_zero: true }, sink);
    }
}

/// Reads the numbers of a platform.
fn read_part(key: &str, part: &Value, reads_received: bool, sink: &mut FieldSink<'_>) {
    let (platform, channel, has_zero) = channel(key);
    if !channel.is_known() || !(part.is_object() || part.is_null()) {
        sink.unknown.push(key.to_owned());
    }
    let Some(fields) = part.as_object() else { return };
    let labels = || [platform.clone(), channel.clone(), Label::known("notification")];
    let prefix = format!("{PARTS}.{key}.");
    read_counts(&prefix, fields, labels, ReceivedOf { is_read: reads_received, has_zero }, sink);
    let is_known =
        |name: &str| name == RECEIVED || OTHERS.contains(&name) || COUNTS.iter().any(|(known, _)| *known == name);
    sink.note_unknown(&prefix, fields, is_known);
}

/// Way in which `received` of an object is read.
#[derive(Clone, Copy)]
struct ReceivedOf {
    is_read: bool,
    /// False if 0 says that nothing is measured.
    has_zero: bool,
}

fn read_counts(
    prefix: &str,
    fields: &Map<String, Value>,
    labels: impl Fn() -> [Label; 3],
    received: ReceivedOf,
    sink: &mut FieldSink<'_>,
) {
    let key = |metric| {
        let [platform, channel, kind] = labels();
        series(metric, platform, channel, kind)
    };
    for (name, metric) in COUNTS {
        sink.take(&format!("{prefix}{name}"), fields.get(name), key(metric));
    }
    let (path, value, key) = (format!("{prefix}{RECEIVED}"), fields.get(RECEIVED), key(Metric::Received));
    match received {
        ReceivedOf { is_read: false, .. } => {}
        ReceivedOf { has_zero: true, .. } => sink.take(&path, value, key),
        ReceivedOf { has_zero: false, .. } => sink.take_unless_zero(&path, value, key),
    }
}

/// Returns platform and channel of a key, and false if 0 of its `received` means that it is not measured.
fn channel(key: &str) -> (Label, Label, bool) {
    let (platform, channel) = match key {
        "ios" => ("ios", "apns"),
        "android" => ("android", "fcm"),
        "huawei" => ("android", "huawei"),
        "amazon" | "adm" => ("android", "adm"),
        "chrome_web_push" => ("web", "chrome"),
        "edge_web_push" => ("web", "edge"),
        "firefox_web_push" => ("web", "firefox"),
        "safari_web_push" => ("web", "safari"),
        // Windows and macOS are among those that the document does not name, and are not measured.
        _ => return (Label::ANY, Label::unknown(key), false),
    };
    (Label::known(platform), Label::known(channel), channel != "safari")
}

/// Counts in a value of an answer.
trait HasCounts {
    /// Returns true if it contains a count at any depth.
    fn has_count(&self) -> bool;
    /// Returns true if it contains a count above 0 at any depth.
    fn has_count_above_zero(&self) -> bool;
}

impl HasCounts for Value {
    fn has_count(&self) -> bool {
        any_count(self, &|_| true)
    }

    fn has_count_above_zero(&self) -> bool {
        any_count(self, &|count| count > 0)
    }
}

fn any_count(value: &Value, is_it: &impl Fn(i64) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(|value| any_count(value, is_it)),
        value => matches!(count(Some(value)), Count::Is(count) if is_it(count)),
    }
}

/// Parses the body of an answer as the client does, for tests and fuzzing.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse(body: &[u8]) -> Result<ListPage, ProviderError> {
    let body = serde_json::from_slice(body).map_err(|error| ProviderError::Decode(error.to_string()))?;
    page(&body)
}

/// Reads messages of a page as the report does, for tests and fuzzing.
pub fn readings(messages: &[(ListedMessage, MessageQuery)], received: Received) -> MessageNumbers {
    read(messages, received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids() {
        let id = "7f2d1c5e-0000-4000-8000-00000000000a";
        assert_eq!(read_id(id).as_deref(), Some(id));
        assert_eq!(read_id(&id.to_ascii_uppercase()).as_deref(), Some(id));
        for bad in
            ["", "7f2d1c5e", "7f2d1c5e000040008000000000000000001x", &id.replace('-', "_"), &id.replace('7', "é")]
        {
            assert_eq!(read_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_cursor_is_text_whatever_it_is() {
        let next = |value: Value| cursor(&value).ok();
        assert_eq!(next("MTc5NTkx".into()), Some(Some("MTc5NTkx".to_owned())));
        assert_eq!(next(1_795_910_400_u64.into()), Some(Some("1795910400".to_owned())));
        assert_eq!([Value::Null, "".into()].map(next), [Some(None), Some(None)]);
        assert_eq!([Value::Bool(true), "x".repeat(1025).into()].map(next), [None, None]);
    }
}
