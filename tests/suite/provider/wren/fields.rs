//! Field map of Wren's `statistics/daily`, from an answer to readings. Pure.

use super::client::{Daily, Day};
use push_exporter::model::reading::{Label, Metric, WindowReadings, members};
use push_exporter::model::window::{Window, plus_days};
use push_exporter::provider::field_map::{FieldSink, series};
use push_exporter::provider::{WindowNumbers, WindowQuery};

/// Returns the readings of every queried day; a day that is missing in the answer had no pushes.
pub(super) fn read(query: &WindowQuery, days: Vec<Day>) -> WindowNumbers {
    let days_queried = std::iter::successors(Some(query.first), |day| Some(Window::day(plus_days(day.first, 1))));
    let windows = days_queried.take_while(|day| *day <= query.last).map(WindowReadings::empty).collect();
    let mut numbers = WindowNumbers { windows, ..WindowNumbers::default() };
    for Day { date, channels } in days {
        // A day that was not queried is ignored, and a repeated day counts once.
        let is_it = |known: &&mut WindowReadings| known.window == Window::day(date) && known.readings.is_empty();
        let Some(window) = numbers.windows.iter_mut().find(is_it) else { continue };
        let channels: Vec<_> = members(&channels, &mut numbers.unknown).collect();
        let mut sink = FieldSink::new(&mut numbers.unknown);
        for (name, fields) in channels {
            let (platform, channel) = labels(name);
            // Unknown names are read, and reported by the poller: in a metric and in the log.
            sink.unknown.extend((!channel.is_known()).then(|| name.clone()));
            for (field, value) in fields.as_object().into_iter().flatten() {
                // Watermarks in the ledger are keyed by the path: it must never change.
                let path = format!("{name}.{field}");
                let metric = match field.as_str() {
                    "sent" => Metric::Sent,
                    "failed" => Metric::Failed,
                    "received" => Metric::Received,
                    _ => {
                        sink.unknown.push(path);
                        continue;
                    }
                };
                let kind = Label::known("notification");
                sink.take(&path, Some(value), series(metric, platform.clone(), channel.clone(), kind));
            }
        }
        window.readings = sink.readings;
    }
    numbers
}

/// Returns platform and channel as the names that all providers share.
fn labels(channel: &str) -> (Label, Label) {
    let (platform, channel) = match channel {
        "apns" => ("ios", "apns"),
        "fcm" => ("android", "fcm"),
        "hms" => ("android", "huawei"),
        "mipush" => ("android", "xiaomi"),
        _ => return (Label::ANY, Label::unknown(channel)),
    };
    (Label::known(platform), Label::known(channel))
}

/// Parses the body of an answer as the client does, for tests and fuzzing.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse(query: &WindowQuery, body: &[u8]) -> Result<WindowNumbers, serde_json::Error> {
    serde_json::from_slice(body).map(|Daily { days }| read(query, days))
}
