//! The field map of Easemob's `offline_push`. Pure: an answer in, readings out.

use serde_json::{Map, Value};

use crate::model::reading::{
    Count, Label, MAX_READINGS, Metric, Reading, SeriesKey, WindowReadings, count, members, note_too_many,
};
use crate::model::window::Window;
use crate::provider::{WindowNumbers, WindowQuery};

/// Adds the readings of every day in an answer's `data` that was asked for.
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
        let mut readings = Vec::new();
        for (key, fields) in members(platforms, &mut numbers.unknown) {
            let (platform, channel) = series(key);
            if !channel.is_known() || !(fields.is_object() || fields.is_null()) {
                numbers.unknown.push(key.clone());
            }
            for (field, value) in fields.as_object().into_iter().flatten() {
                reading(key, &platform, &channel, field, value, &mut readings, &mut numbers.unknown);
            }
        }
        match numbers.windows.iter_mut().find(|earlier| earlier.window == window) {
            // An API that ignores the platform says everything again; that is no second reading.
            Some(earlier) => {
                earlier.readings.retain(|reading| !readings.iter().any(|again| again.field == reading.field));
                earlier.readings.extend(readings);
            }
            None => numbers.windows.push(WindowReadings { readings, ..WindowReadings::empty(window) }),
        }
    }
}

/// The path of a field: the provider's own, which watermarks are keyed by.
pub(super) fn path(key: &str, field: &str) -> String {
    format!("{key}.{field}")
}

fn reading(
    key: &str,
    platform: &Label,
    channel: &Label,
    field: &str,
    value: &Value,
    readings: &mut Vec<Reading>,
    unknown: &mut Vec<String>,
) {
    let metric = match field {
        "successCount" => Metric::Sent,
        "failCount" => Metric::Failed,
        "arriveCount" => Metric::Received,
        _ => {
            if matches!(count(Some(value)), Count::Is(_)) {
                unknown.push(field.to_owned());
            }
            return;
        }
    };
    let path = path(key, field);
    match count(Some(value)) {
        Count::Absent => {}
        Count::Odd => unknown.push(path),
        Count::Is(value) => {
            let kind = Label::known("notification");
            let series = SeriesKey { metric, platform: platform.clone(), channel: channel.clone(), kind };
            if readings.len() < MAX_READINGS || series.is_known() {
                readings.push(Reading { field: path, series, value });
            } else {
                note_too_many(unknown);
            }
        }
    }
}

/// Platform and channel of a key such as `XIAOMIPUSH`.
fn series(key: &str) -> (Label, Label) {
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
/// A body that is not of the documented shape.
pub fn parse(query: &WindowQuery, body: &[u8]) -> Result<WindowNumbers, serde_json::Error> {
    let body: super::client::OfflinePushBody = serde_json::from_slice(body)?;
    let mut numbers = WindowNumbers::default();
    let data = serde_json::from_value::<Option<_>>(body.data.unwrap_or_default())?;
    read(query, &data.unwrap_or_default(), &mut numbers);
    Ok(numbers)
}
