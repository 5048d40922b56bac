//! Field map of Feishu's `message_push_overview`, from an answer to readings. Pure.

use serde::Deserialize;
use serde_json::Value;

use crate::model::reading::{Count, Label, Metric, Reading, SeriesKey, WindowReadings, count};
use crate::provider::{WindowAnswer, WindowNumbers, WindowQuery};

/// Body of a successful answer.
#[derive(Debug, Deserialize)]
pub(super) struct OverviewBody {
    /// Data in the envelope.
    pub(super) data: OverviewData,
}

/// Object `data` of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct OverviewData {
    /// Items, one for each metric.
    #[serde(default)]
    pub(super) items: Option<Vec<OverviewItem>>,
}

/// Item of one metric.
#[derive(Debug, Deserialize)]
pub(super) struct OverviewItem {
    /// Name of the metric: `send_msg_count`, …
    #[serde(default)]
    pub(super) metric_name: String,
    /// Count of the metric.
    #[serde(default)]
    pub(super) metric_value: Option<Value>,
}

/// Returns the readings of the queried window.
///
/// `send_msg_count` → sent, `read_in_1h_count` → read_within_1h, `read_in_12h_count` →
/// read_within_12h, `send_user_count` → users_reached; platform any, channel bot, kind message.
/// An answer without items has no data, and a repeated metric counts once.
pub(super) fn answer(query: &WindowQuery, items: Vec<OverviewItem>) -> WindowAnswer {
    if items.is_empty() {
        return WindowAnswer::NoData;
    }
    let mut numbers = WindowNumbers::default();
    let mut window = WindowReadings::empty(query.first);
    for OverviewItem { metric_name, metric_value } in items {
        let value = count(metric_value.as_ref());
        let metric = match metric_name.as_str() {
            "send_msg_count" => Some(Metric::Sent),
            "read_in_1h_count" => Some(Metric::ReadWithin1h),
            "read_in_12h_count" => Some(Metric::ReadWithin12h),
            _ => None,
        };
        match (metric, value) {
            (_, Count::Absent) => {}
            (_, Count::Odd) => numbers.unknown.push(metric_name),
            (Some(_), Count::Is(_)) if window.readings.iter().any(|known| known.field == metric_name) => {}
            (Some(metric), Count::Is(value)) => window.readings.push(Reading {
                field: metric_name,
                series: SeriesKey {
                    metric,
                    platform: Label::ANY,
                    channel: Label::known("bot"),
                    kind: Label::known("message"),
                },
                value,
            }),
            (None, Count::Is(value)) if metric_name == "send_user_count" => {
                window.users_reached.get_or_insert(value);
            }
            (None, Count::Is(_)) => numbers.unknown.push(metric_name),
        }
    }
    numbers.windows.push(window);
    WindowAnswer::Numbers(numbers)
}

/// Parses the body of a successful answer as the client does, for tests and fuzzing.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse(query: &WindowQuery, body: &[u8]) -> Result<WindowAnswer, serde_json::Error> {
    let body: OverviewBody = serde_json::from_slice(body)?;
    Ok(answer(query, body.data.items.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::window::Window;

    #[test]
    fn a_metric_that_comes_twice_counts_once() {
        let day = Window::day(jiff::civil::date(2026, 3, 8));
        let query = WindowQuery { first: day, last: day, scope: None };
        let body = br#"{"data":{"items":[{"metric_name":"send_msg_count","metric_value":30},
            {"metric_name":"send_msg_count","metric_value":31},{"metric_name":"send_user_count","metric_value":7},
            {"metric_name":"send_user_count","metric_value":8}]}}"#;
        let WindowAnswer::Numbers(WindowNumbers { windows, .. }) = parse(&query, body).unwrap() else {
            panic!("no numbers")
        };
        let values: Vec<i64> = windows[0].readings.iter().map(|reading| reading.value).collect();
        assert_eq!((values, windows[0].users_reached), (vec![30], Some(7)));
    }
}
