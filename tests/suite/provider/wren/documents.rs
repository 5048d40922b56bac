//! Test that the example of Wren's document gives exactly the readings that are written down by hand.

use jiff::civil::{Date, date};
use push_exporter::model::reading::{Metric, WindowReadings};
use push_exporter::model::window::Window;
use push_exporter::provider::{WindowNumbers, WindowQuery};

/// Example of the document, byte for byte.
const STATISTICS_DAILY: &str = include_str!("../../../fixtures/wren/statistics_daily.json");

fn parse(first: Date, last: Date, body: &str) -> WindowNumbers {
    let query = WindowQuery { first: Window::day(first), last: Window::day(last), scope: None };
    super::fields::parse(&query, body.as_bytes()).unwrap()
}

/// Returns field path, metric, platform, channel, kind and value of each reading, sorted by field path.
fn written(window: &WindowReadings) -> Vec<(&str, Metric, &str, &str, &str, i64)> {
    let rows = window.readings.iter().map(|reading| {
        let series = &reading.series;
        let labels = (series.platform.as_str(), series.channel.as_str(), series.kind.as_str());
        (reading.field.as_str(), series.metric, labels.0, labels.1, labels.2, reading.value)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.0);
    rows
}

#[test]
fn statistics_daily() {
    use Metric::{Failed, Received, Sent};
    let numbers = parse(date(2026, 3, 8), date(2026, 3, 10), STATISTICS_DAILY);
    assert!(numbers.unknown.is_empty());
    let days: Vec<Window> = numbers.windows.iter().map(|window| window.window).collect();
    assert_eq!(days, [8, 9, 10].map(|day| Window::day(date(2026, 3, day))));
    assert!(numbers.windows[0].readings.is_empty(), "a day without pushes is missing in the answer");
    let push = "notification";
    assert_eq!(
        written(&numbers.windows[1]),
        [
            ("apns.failed", Failed, "ios", "apns", push, 37),
            ("apns.received", Received, "ios", "apns", push, 4890),
            ("apns.sent", Sent, "ios", "apns", push, 5120),
            ("fcm.failed", Failed, "android", "fcm", push, 11),
            ("fcm.sent", Sent, "android", "fcm", push, 2045),
            ("mipush.failed", Failed, "android", "xiaomi", push, 62),
            ("mipush.received", Received, "android", "xiaomi", push, 3001),
            ("mipush.sent", Sent, "android", "xiaomi", push, 3310),
        ]
    );
    assert_eq!(
        written(&numbers.windows[2]),
        [
            ("apns.failed", Failed, "ios", "apns", push, 4),
            ("apns.received", Received, "ios", "apns", push, 795),
            ("apns.sent", Sent, "ios", "apns", push, 840),
            ("mipush.failed", Failed, "android", "xiaomi", push, 8),
            ("mipush.sent", Sent, "android", "xiaomi", push, 517),
        ]
    );
}

#[test]
fn what_the_document_does_not_have() {
    let body = r#"{"days":[{"date":"2026-03-10","channels":{"hms":{"sent":"5","clicked":1,"failed":-1},"owl":{"sent":2}}},
        {"date":"2026-03-10","channels":{"hms":{"sent":9}}},{"date":"2026-03-11","channels":{"hms":{"sent":9}}}]}"#;
    let numbers = parse(date(2026, 3, 10), date(2026, 3, 10), body);
    let readings = [
        ("hms.sent", Metric::Sent, "android", "huawei", "notification", 5),
        ("owl.sent", Metric::Sent, "any", "owl", "notification", 2),
    ];
    assert_eq!(written(&numbers.windows[0]), readings, "a day that is repeated or was not queried counts nothing");
    let mut unknown = numbers.unknown;
    unknown.sort();
    assert_eq!(unknown, ["hms.clicked", "hms.failed", "owl"]);
}
