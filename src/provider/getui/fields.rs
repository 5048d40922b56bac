//! Field map of Getui's reports, from an answer's `data` to readings, and the format of task ids. Pure.

use serde_json::{Map, Value};

use crate::metrics::catalog::Family;
use crate::model::reading::{Count, GaugeReading, Label, Metric, UserCount, WindowReadings, count, members};
use crate::model::window::Window;
use crate::provider::error::ProviderError;
use crate::provider::field_map::{FieldSink, series};
use crate::provider::message_id::IdFormat;
use crate::provider::message_shape::holds_numbers;
use crate::provider::{MessageNumbers, MessageQuery, MessageReadings, SnapshotNumbers, WindowAnswer, WindowNumbers};

/// Format of task ids, which are opaque: `RASL_0723_bd57…`.
pub(super) const TASK_ID: IdFormat = IdFormat {
    read: read_task_id,
    rule: "msg_id must be a taskid of Getui: at most 64 characters of A-Z, a-z, 0-9, _ and -",
    config_error: "is not a taskid; use at most 64 characters of A-Z, a-z, 0-9, _ and -",
    answer_keys: &["taskid"],
    answered: answered_ids,
};

fn read_task_id(text: &str) -> Option<String> {
    let is_id = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    is_id.then(|| text.to_owned())
}

/// Returns the ids of Getui's answer to a push call: `{"code":0,"data":{"taskid":"…"}}`, or the tasks with their receivers,
/// `{"code":0,"data":{"…":{"cid":"successed_online"}}}`.
fn answered_ids(answer: &Map<String, Value>) -> Vec<Value> {
    let Some(Value::Object(data)) = answer.get("data").filter(|_| count(answer.get("code")) == Count::Is(0)) else {
        return Vec::new();
    };
    match data.get("taskid") {
        Some(id @ Value::String(_)) => vec![id.clone()],
        _ => data.iter().filter(|(_, value)| value.is_object()).map(|(id, _)| id.as_str().into()).collect(),
    }
}

/// Counts of a channel and of the totals. The first is what was sent, in spite of its name.
const COUNTS: [(&str, Metric); 4] = [
    ("target_num", Metric::Sent),
    ("receive_num", Metric::Received),
    ("display_num", Metric::Displayed),
    ("click_num", Metric::Clicked),
];
/// Number of devices after filtering, which only the totals of a task have.
const MSG_NUM: &str = "msg_num";
const TOTAL: &str = "total";
const FAILED_DETAIL: &str = "failed_detail";
/// Counts of user-defined actions, which are only in answers to those who ask for them.
const ACTIONS: &str = "actionCntMap";
/// Stages at which a message may be lost; the channel refuses it in the second.
const STAGES: [&str; 4] = ["ts", REFUSED, "sf", "fd"];
const REFUSED: &str = "rs";

/// Channels by their keys: platform and channel.
const CHANNELS: [(&str, &str, &str); 12] = [
    ("gt", "any", "getui"),
    ("ios", "ios", "apns"),
    ("apn", "ios", "apns"),
    ("hw", "android", "huawei"),
    ("xm", "android", "xiaomi"),
    ("op", "android", "oppo"),
    ("vv", "android", "vivo"),
    ("mz", "android", "meizu"),
    ("st", "android", "smartisan"),
    // Keys by which strategies name them; reports are expected to do so too.
    ("ho", "android", "honor"),
    ("hoshw", "hmos", "hmpns"),
    ("fcm", "android", "fcm"),
];

/// Maximum number of undocumented members of an object that are read, more than any answer has.
const MAX_UNKNOWN: usize = 100;

/// Returns the members of an object: all that are documented, and the first of the others.
fn bounded<'a>(
    object: &'a Map<String, Value>,
    is_known: impl Fn(&str) -> bool,
    unknown: &mut Vec<String>,
) -> Vec<(&'a String, &'a Value)> {
    let mut others = 0;
    let mut is_read = |key: &str| {
        is_known(key) || {
            others += 1;
            others <= MAX_UNKNOWN
        }
    };
    let read = members(object, unknown).filter(|(key, _)| is_read(key)).collect();
    if others > MAX_UNKNOWN {
        unknown.push(format!("more than {MAX_UNKNOWN} channels or classes that no document has"));
    }
    read
}

fn is_known_channel(key: &str) -> bool {
    CHANNELS.iter().any(|(known, ..)| *known == key)
}

/// Returns platform and channel of a key; an unknown one is noted with its `path`.
fn labels(key: &str, path: &str, unknown: &mut Vec<String>) -> (Label, Label) {
    match CHANNELS.iter().find(|(known, ..)| *known == key) {
        Some((_, platform, channel)) => (Label::known(platform), Label::known(channel)),
        None => {
            unknown.push(path.to_owned());
            (Label::ANY, Label::unknown(key))
        }
    }
}

/// Reads the answer of `push/date` for a day: both its totals and its channels, of which [`select`] takes one.
pub(super) fn day(data: &Map<String, Value>, window: Window) -> WindowAnswer {
    let mut numbers = WindowNumbers::default();
    let readings = match data.get(&window.first.to_string()) {
        Some(Value::Object(blocks)) => {
            let mut sink = FieldSink::new(&mut numbers.unknown);
            read_channels(blocks, &mut sink);
            read_totals(blocks, &mut sink);
            sink.readings
        }
        None | Some(Value::Null) => Vec::new(),
        Some(_) => {
            numbers.unknown.push("a day that is no object".to_owned());
            Vec::new()
        }
    };
    if readings.is_empty() && numbers.unknown.is_empty() {
        return WindowAnswer::NoData;
    }
    numbers.windows.push(WindowReadings { readings, ..WindowReadings::empty(window) });
    WindowAnswer::Numbers(numbers)
}

/// Keeps the totals or the channels of a day, as `by_totals` has fixed it; `None` decides by what there is. Returns the choice
/// once there is a number.
pub(super) fn select(numbers: &mut WindowReadings, by_totals: Option<bool>) -> Option<bool> {
    let is_total = |field: &str| field.strip_prefix(TOTAL).is_some_and(|rest| rest.starts_with('.'));
    let chosen = by_totals.unwrap_or_else(|| numbers.readings.iter().all(|reading| is_total(&reading.field)));
    numbers.readings.retain(|reading| is_total(&reading.field) == chosen);
    by_totals.or_else(|| (!numbers.readings.is_empty()).then_some(chosen))
}

/// Shapes of a task: the channels are counted, or the totals because there are none.
const BY_CHANNELS: &str = "channels";
const BY_TOTALS: &str = "totals";

/// Reads the answer of `push/task`. A task that is not in it is unknown, has expired or was sent to a single user.
pub(super) fn tasks(data: &Map<String, Value>, earlier: &[MessageQuery]) -> MessageNumbers {
    let mut numbers = MessageNumbers::default();
    for query in earlier {
        let blocks = match data.get(&query.id) {
            Some(Value::Object(blocks)) => blocks,
            None | Some(Value::Null) => continue,
            Some(_) => {
                numbers.unknown.push("a task that is no object".to_owned());
                continue;
            }
        };
        let mut sink = FieldSink::new(&mut numbers.unknown);
        let shape = task(blocks, query, &mut sink);
        let FieldSink { readings, unaccounted, .. } = sink;
        numbers.messages.push(MessageReadings { id: query.id.clone(), readings, shape: shape.to_owned(), unaccounted });
    }
    numbers
}

/// Reads one task, and returns its shape. Totals without channels fix nothing while it is young: channels may still come.
fn task(blocks: &Map<String, Value>, query: &MessageQuery, sink: &mut FieldSink<'_>) -> &'static str {
    let by_totals = match query.shape.as_str() {
        BY_CHANNELS => false,
        BY_TOTALS => true,
        stored => {
            if !stored.is_empty() {
                sink.unknown.push("the stored shape of a task, which is read without it".to_owned());
            }
            !blocks.iter().any(|(key, value)| is_channel(key) && holds_numbers(value))
        }
    };
    if !by_totals {
        let first = sink.readings.len();
        read_channels(blocks, sink);
        let total = blocks.get(TOTAL);
        sink.compare_totals(COUNTS.map(|(name, metric)| (metric, total.and_then(|total| total.get(name)))), first);
    } else if query.shape == BY_TOTALS || !query.is_young {
        read_totals(blocks, sink);
    }
    let is_fixed = !sink.readings.is_empty();
    if let Some(Value::Object(total)) = blocks.get(TOTAL) {
        let any = || series(Metric::Targeted, Label::ANY, Label::ANY, Label::ANY);
        sink.take(&format!("{TOTAL}.{MSG_NUM}"), total.get(MSG_NUM), any());
    }
    if let Some(stages) = blocks.get(FAILED_DETAIL) {
        read_refusals(stages, sink);
    }
    match (is_fixed, by_totals) {
        (true, true) => BY_TOTALS,
        (true, false) => BY_CHANNELS,
        // Keeps what an earlier answer has fixed.
        (false, true) if query.shape == BY_TOTALS => BY_TOTALS,
        (false, false) if query.shape == BY_CHANNELS => BY_CHANNELS,
        (false, _) => "",
    }
}

fn is_channel(key: &str) -> bool {
    ![TOTAL, ACTIONS, FAILED_DETAIL].contains(&key)
}

fn is_count(name: &str) -> bool {
    COUNTS.iter().any(|(count, _)| *count == name)
}

fn read_channels(blocks: &Map<String, Value>, sink: &mut FieldSink<'_>) {
    let is_known = |key: &str| is_known_channel(key) || !is_channel(key);
    let channels = bounded(blocks, is_known, sink.unknown);
    for (key, value) in channels.into_iter().filter(|(key, _)| is_channel(key)) {
        let counts = match value {
            Value::Object(counts) => counts,
            Value::Null => continue,
            _ => {
                sink.unknown.push(key.clone());
                continue;
            }
        };
        let (platform, channel) = labels(key, key, sink.unknown);
        sink.take_counts(key, "", counts, &COUNTS, |metric| {
            series(metric, platform.clone(), channel.clone(), Label::ANY)
        });
        sink.note_unknown(&format!("{key}."), counts, is_count);
    }
}

fn read_totals(blocks: &Map<String, Value>, sink: &mut FieldSink<'_>) {
    match blocks.get(TOTAL) {
        Some(Value::Object(total)) => {
            let of = |metric| series(metric, Label::ANY, Label::ANY, Label::ANY);
            sink.take_counts(TOTAL, "", total, &COUNTS, of);
            sink.note_unknown(&format!("{TOTAL}."), total, |name| is_count(name) || name == MSG_NUM);
        }
        None | Some(Value::Null) => {}
        Some(_) => sink.unknown.push(TOTAL.to_owned()),
    }
}

/// Reads `failed_detail.rs.<channel>.<class>.total`, which the account may have to be granted.
fn read_refusals(stages: &Value, sink: &mut FieldSink<'_>) {
    let Value::Object(stages) = stages else {
        sink.unknown.extend((!stages.is_null()).then(|| FAILED_DETAIL.to_owned()));
        return;
    };
    sink.note_unknown(&format!("{FAILED_DETAIL}."), stages, |stage| STAGES.contains(&stage));
    let channels = stages
        .get(REFUSED)
        .and_then(Value::as_object)
        .map(|channels| bounded(channels, is_known_channel, sink.unknown))
        .unwrap_or_default();
    for (key, classes) in channels {
        let path = format!("{FAILED_DETAIL}.{REFUSED}.{key}");
        let Value::Object(classes) = classes else {
            sink.unknown.extend((!classes.is_null()).then_some(path));
            continue;
        };
        let (platform, channel) = labels(key, &path, sink.unknown);
        for (class, reasons) in bounded(classes, |_| false, sink.unknown) {
            let key = series(Metric::Failed, platform.clone(), channel.clone(), Label::ANY);
            sink.take(&format!("{path}.{class}.{TOTAL}"), reasons.get(TOTAL), key);
        }
    }
}

/// Reads the answer of `user/date` for a day.
pub(super) fn users(data: &Map<String, Value>, window: Window) -> WindowAnswer {
    const STATES: [(&str, &str); 3] = [("register_num", "new"), ("active_num", "active"), ("online_num", "online")];
    /// Devices that were ever registered, which no state stands for.
    const ALL: &str = "accumulative_num";
    let mut numbers = WindowNumbers::default();
    let mut users = Vec::new();
    if let Some(Value::Object(fields)) = data.get(&window.first.to_string()) {
        for (field, state) in STATES {
            match count(fields.get(field)) {
                Count::Absent => {}
                Count::Is(value) => users.push(UserCount { platform: Label::ANY, state, value }),
                Count::Odd => numbers.unknown.push(field.to_owned()),
            }
        }
        let mut sink = FieldSink::new(&mut numbers.unknown);
        sink.note_unknown("", fields, |name| name == ALL || STATES.iter().any(|(field, _)| *field == name));
    }
    numbers.windows.push(WindowReadings { users, ..WindowReadings::empty(window) });
    WindowAnswer::Numbers(numbers)
}

/// Reads the answer of `online_user`: the newest of its points, whose keys are Unix milliseconds.
pub(super) fn online_users(data: &Map<String, Value>) -> SnapshotNumbers {
    let mut numbers = SnapshotNumbers::default();
    let Some(Value::Object(points)) = data.get("online_statics") else { return numbers };
    let times = members(points, &mut numbers.unknown).filter_map(|(at, value)| Some((at.parse::<i64>().ok()?, value)));
    match times.max_by_key(|(at, _)| *at).map(|(_, value)| count(Some(value))) {
        Some(Count::Is(value)) => {
            let window = Label::known("now");
            let labels = vec![("platform", Label::ANY), ("state", Label::known("online")), ("window", window)];
            numbers.gauges.push(GaugeReading { family: Family::Users, labels, value });
        }
        Some(Count::Odd) => numbers.unknown.push("online_statics".to_owned()),
        Some(Count::Absent) | None => {}
    }
    numbers
}

/// Classes of the quotas: those of vendors, and Getui's own daily limits of calls.
const CLASSES: [&str; 6] = ["special", "general", "grouppush", "app", "app_with_tag", "list"];

/// Reads the answer of `push/count`. What is used is `push_num`, or what remains is taken from the total; vivo counts requests
/// there while the total limits arrivals, so that more may be used than there is.
pub(super) fn quotas(data: &Map<String, Value>) -> SnapshotNumbers {
    let mut numbers = SnapshotNumbers::default();
    for (key, classes) in bounded(data, is_known_channel, &mut numbers.unknown) {
        let Value::Object(classes) = classes else {
            numbers.unknown.extend((!classes.is_null()).then(|| key.clone()));
            continue;
        };
        let (_, channel) = labels(key, key, &mut numbers.unknown);
        for (class, fields) in bounded(classes, |class| CLASSES.contains(&class), &mut numbers.unknown) {
            let path = format!("{key}.{class}");
            let Value::Object(fields) = fields else {
                numbers.unknown.extend((!fields.is_null()).then_some(path));
                continue;
            };
            let known = CLASSES.iter().find(|known| *known == class);
            numbers.unknown.extend(known.is_none().then(|| path.clone()));
            let class = known.map_or_else(|| Label::unknown(class), |known| Label::known(known));
            quota(&path, fields, [("channel", channel.clone()), ("class", class)], &mut numbers);
        }
    }
    numbers
}

fn quota(path: &str, fields: &Map<String, Value>, labels: [(&'static str, Label); 2], numbers: &mut SnapshotNumbers) {
    let mut take = |field: &str| match count(fields.get(field)) {
        Count::Is(value) => Some(value),
        Count::Absent => None,
        Count::Odd => {
            numbers.unknown.push(format!("{path}.{field}"));
            None
        }
    };
    let (total, pushed, remaining) = (take("total_num"), take("push_num"), take("remain_num"));
    let used = pushed.or_else(|| total.zip(remaining).map(|(total, remaining)| total.saturating_sub(remaining).max(0)));
    let gauges = [(Family::VendorQuota, total), (Family::VendorQuotaUsed, used)];
    for (family, value) in gauges.into_iter().filter_map(|(family, value)| Some((family, value?))) {
        numbers.gauges.push(GaugeReading { family, labels: labels.to_vec(), value });
    }
    let mut sink = FieldSink::new(&mut numbers.unknown);
    sink.note_unknown(&format!("{path}."), fields, |name| {
        ["total_num", "push_num", "remain_num", "limit"].contains(&name)
    });
}

/// Parses the `data` of an answer's body as the client does, for tests.
///
/// # Errors
/// Fails if the body is not an object with an object `data`.
fn parse<T>(body: &[u8], read: impl FnOnce(&Map<String, Value>) -> T) -> Result<T, ProviderError> {
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| ProviderError::Decode(error.to_string()))?;
    match body.get("data") {
        Some(Value::Object(data)) => Ok(read(data)),
        None | Some(Value::Null) => Ok(read(&Map::new())),
        Some(_) => Err(ProviderError::Decode("data is not an object".to_owned())),
    }
}

/// Parses the body of an answer of `push/date` for a day that was not answered before, for tests.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_day(body: &[u8], window: Window) -> Result<WindowAnswer, ProviderError> {
    let mut answer = parse(body, |data| day(data, window))?;
    if let WindowAnswer::Numbers(numbers) = &mut answer {
        for window in &mut numbers.windows {
            select(window, None);
        }
    }
    Ok(answer)
}

/// Parses the body of an answer of `push/task` to a query for `earlier`, as [`parse_day`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_tasks(body: &[u8], earlier: &[MessageQuery]) -> Result<MessageNumbers, ProviderError> {
    parse(body, |data| tasks(data, earlier))
}

/// Parses the body of an answer of `user/date` for a day, as [`parse_day`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_users(body: &[u8], window: Window) -> Result<WindowAnswer, ProviderError> {
    parse(body, |data| users(data, window))
}

/// Parses the body of an answer of `online_user`, as [`parse_day`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_online_users(body: &[u8]) -> Result<SnapshotNumbers, ProviderError> {
    parse(body, online_users)
}

/// Parses the body of an answer of `push/count`, as [`parse_day`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_quotas(body: &[u8]) -> Result<SnapshotNumbers, ProviderError> {
    parse(body, quotas)
}
