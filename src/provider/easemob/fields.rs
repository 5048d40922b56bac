//! Field map of Easemob's `offline_push`, from an answer to readings. Pure.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, Metric, WindowReadings, count, members};
use crate::model::window::Window;
use crate::provider::field_map::{FieldSink, series};
use crate::provider::{WindowNumbers, WindowQuery};

/// Body of a successful answer. New platforms and fields may appear at any level.
#[derive(Debug, Deserialize)]
pub(super) struct OfflinePushBody {
    /// Status, `OK` for a success.
    pub(super) status: String,
    /// Numbers by day (`yyyy-MM-dd`), then platform, then field.
    #[serde(default, deserialize_with = "even_null")]
    pub(super) data: Option<Value>,
}

/// Distinguishes `null` from a missing field.
fn even_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// Adds the readings of every queried day in an answer's `data`.
///
/// `successCount` → sent, `failCount` → failed, `arriveCount` → received; kind notification.
pub(super) fn read(query: &WindowQuery, data: &Map<String, Value>, numbers: &mut WindowNumbers) {
    for (day, platforms) in data {
        let (Ok(date), Value::Object(platforms)) = (day.parse(), platforms) else {
            numbers.unknown.extend((!platforms.is_null()).then(|| day.clone()));
            continue;
        };
        let window = Window::day(date);
        if window < query.first || window > query.last {
            continue;
        }
        let platforms: Vec<_> = members(platforms, &mut numbers.unknown).collect();
        let mut sink = FieldSink::new(&mut numbers.unknown);
        for (key, fields) in platforms {
            let (platform, channel) = labels(key);
            if !channel.is_known() || !(fields.is_object() || fields.is_null()) {
                sink.unknown.push(key.clone());
            }
            for (field, value) in fields.as_object().into_iter().flatten() {
                match metric(field) {
                    Some(metric) => {
                        let kind = Label::known("notification");
                        let series = series(metric, platform.clone(), channel.clone(), kind);
                        sink.take(&path(key, field), Some(value), series);
                    }
                    None if matches!(count(Some(value)), Count::Is(_)) => sink.unknown.push(field.clone()),
                    None => {}
                }
            }
        }
        let readings = sink.readings;
        match numbers.windows.iter_mut().find(|earlier| earlier.window == window) {
            // An API that ignores the platform repeats every number; that is no second reading.
            Some(earlier) => {
                earlier.readings.retain(|reading| !readings.iter().any(|again| again.field == reading.field));
                earlier.readings.extend(readings);
            }
            None => numbers.windows.push(WindowReadings { readings, ..WindowReadings::empty(window) }),
        }
    }
}

/// Returns the path of a field in the provider's own names. Watermarks are keyed by it.
pub(super) fn path(key: &str, field: &str) -> String {
    format!("{key}.{field}")
}

fn metric(field: &str) -> Option<Metric> {
    match field {
        "successCount" => Some(Metric::Sent),
        "failCount" => Some(Metric::Failed),
        "arriveCount" => Some(Metric::Received),
        _ => None,
    }
}

/// Returns platform and channel of a key such as `XIAOMIPUSH`.
fn labels(key: &str) -> (Label, Label) {
    let (platform, channel) = match key {
        "APNS" => ("ios", "apns"),
        "ANDROID" => ("android", "fcm"),
        "XIAOMIPUSH" => ("android", "xiaomi"),
        "HUAWEIPUSH" => ("android", "huawei"),
        "MEIZUPUSH" => ("android", "meizu"),
        "OPPOPUSH" => ("android", "oppo"),
        "VIVOPUSH" => ("android", "vivo"),
        "HONOR" => ("android", "honor"),
        _ => return (Label::ANY, Label::unknown(key.strip_suffix("PUSH").unwrap_or(key))),
    };
    (Label::known(platform), Label::known(channel))
}

/// Parses the body of an answer as the client does, for tests and fuzzing.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse(query: &WindowQuery, body: &[u8]) -> Result<WindowNumbers, serde_json::Error> {
    let body: OfflinePushBody = serde_json::from_slice(body)?;
    let mut numbers = WindowNumbers::default();
    let data = serde_json::from_value::<Option<_>>(body.data.unwrap_or_default())?;
    read(query, &data.unwrap_or_default(), &mut numbers);
    Ok(numbers)
}
