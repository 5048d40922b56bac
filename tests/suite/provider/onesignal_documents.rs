//! The example in OneSignal's document gives exactly the readings written out by hand; and what the document leaves out:
//! nulls, zeros, keys of platforms, messages that are no push, the shape of a message.

use push_exporter::model::reading::Metric::{self, Clicked, Failed, Received, Sent};
use push_exporter::provider::onesignal::fields::{self, Received as ReadsReceived};
use push_exporter::provider::{ListPage, MessageNumbers, MessageQuery};

const NOTIFICATIONS: &str = include_str!("../../fixtures/onesignal/notifications.json");
const ID: &str = "7f2d1c5e-0000-4000-8000-000000000001";

/// Field path below the numbers by platform, metric, platform, channel, value.
type Row = (String, Metric, String, String, i64);

fn row(field: &str, metric: Metric, platform: &str, channel: &str, value: i64) -> Row {
    (format!("platform_delivery_stats.{field}"), metric, platform.to_owned(), channel.to_owned(), value)
}

fn total(field: &str, metric: Metric, value: i64) -> Row {
    (field.to_owned(), metric, "any".to_owned(), "any".to_owned(), value)
}

fn page(body: &str) -> ListPage {
    fields::parse(body.as_bytes()).unwrap()
}

/// A list with one message that has these fields.
fn message(more: &str) -> ListPage {
    page(&format!(r#"{{"notifications":[{{"id":"{ID}","send_after":1795910400,{more}}}]}}"#))
}

/// How the messages of a page are read: with these shapes, young or not.
fn read(page: &ListPage, shape: &str, is_young: bool, received: ReadsReceived) -> MessageNumbers {
    let query = |id: &String| MessageQuery { id: id.clone(), shape: shape.to_owned(), is_young };
    let messages: Vec<_> = page.messages.iter().map(|message| (message.clone(), query(&message.id))).collect();
    fields::readings(&messages, received)
}

/// What was read of the only message, sorted, and its shape from then on.
fn written(numbers: &MessageNumbers) -> (Vec<Row>, String) {
    let [message] = numbers.messages.as_slice() else { panic!("{numbers:?}") };
    let mut rows: Vec<Row> = message
        .readings
        .iter()
        .map(|reading| {
            let series = &reading.series;
            assert_eq!(series.kind.as_str(), "notification");
            let [platform, channel] = [&series.platform, &series.channel].map(|label| label.as_str().to_owned());
            (reading.field.clone(), series.metric, platform, channel, reading.value)
        })
        .collect();
    rows.sort();
    (rows, message.shape.clone())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn rows_of(more: &str) -> Vec<Row> {
    written(&read(&message(more), "", false, ReadsReceived::Read)).0
}

#[test]
fn the_document() {
    let page = page(NOTIFICATIONS);
    assert_eq!(page.next.as_deref(), Some("MTc5NTkx…"));
    let sent_at = "2026-11-29T00:00:00Z".parse().unwrap();
    assert_eq!(page.reach, Some((sent_at, sent_at)));
    let found: Vec<_> = page.messages.iter().map(|one| (one.id.as_str(), one.sent_at, one.is_called_off)).collect();
    assert_eq!(found, [(ID, sent_at, false)]);
    let numbers = read(&page, "", false, ReadsReceived::Read);
    let by_hand = sorted(vec![
        row("ios.successful", Sent, "ios", "apns", 400),
        row("ios.failed", Failed, "ios", "apns", 10),
        row("ios.errored", Failed, "ios", "apns", 2),
        row("ios.received", Received, "ios", "apns", 300),
        row("ios.converted", Clicked, "ios", "apns", 20),
        row("android.successful", Sent, "android", "fcm", 560),
        row("android.failed", Failed, "android", "fcm", 20),
        row("android.errored", Failed, "android", "fcm", 8),
        row("android.received", Received, "android", "fcm", 400),
        row("android.converted", Clicked, "android", "fcm", 35),
    ]);
    assert_eq!(written(&numbers), (by_hand.clone(), "parts".to_owned()));
    assert_eq!((page.unknown, numbers.unknown), (vec![], vec![]));
    // Where confirmed deliveries are not known, everything else is read.
    for (received, shape) in [(ReadsReceived::Unknown, "parts"), (ReadsReceived::Refused, "parts unconfirmed")] {
        let numbers = read(&page_again(), "", false, received);
        let rest = by_hand.iter().filter(|row| row.1 != Received).cloned().collect();
        assert_eq!(written(&numbers), (rest, shape.to_owned()));
    }
}

fn page_again() -> ListPage {
    page(NOTIFICATIONS)
}

#[test]
fn every_platform_has_the_labels_of_the_table() {
    for (key, platform, channel) in [
        ("ios", "ios", "apns"),
        ("android", "android", "fcm"),
        ("huawei", "android", "huawei"),
        ("amazon", "android", "adm"),
        ("adm", "android", "adm"),
        ("chrome_web_push", "web", "chrome"),
        ("edge_web_push", "web", "edge"),
        ("firefox_web_push", "web", "firefox"),
        ("safari_web_push", "web", "safari"),
        ("Windows Push", "any", "windows_push"),
    ] {
        let page = message(&format!(r#""platform_delivery_stats":{{"{key}":{{"successful":7,"received":3}}}}"#));
        let numbers = read(&page, "", false, ReadsReceived::Read);
        let expected = vec![
            row(&format!("{key}.received"), Received, platform, channel, 3),
            row(&format!("{key}.successful"), Sent, platform, channel, 7),
        ];
        assert_eq!(written(&numbers).0, expected);
        let unknown: Vec<String> = (platform == "any").then(|| key.to_owned()).into_iter().collect();
        assert_eq!(numbers.unknown, unknown, "{key}");
    }
}

#[test]
fn a_zero_that_says_nothing_is_no_reading() {
    let stats = |key: &str| format!(r#""platform_delivery_stats":{{"{key}":{{"successful":7,"received":0}}}}"#);
    for (key, is_measured) in [("ios", true), ("safari_web_push", false), ("macos", false)] {
        let rows = rows_of(&stats(key));
        assert_eq!(rows.iter().any(|row| row.1 == Received && row.4 == 0), is_measured, "{key}: {rows:?}");
    }
}

#[test]
fn nulls_and_odd_numbers_are_no_readings() {
    let page = message(
        r#""platform_delivery_stats":{"ios":{"successful":"12","failed":null,"errored":-1,"converted":1.5,"remaining":3,
        "suppressed":4,"frequency_capped":9},"android":null,"huawei":[1],"web":{"note":"x"}}"#,
    );
    let numbers = read(&page, "", false, ReadsReceived::Read);
    assert_eq!(written(&numbers).0, [row("ios.successful", Sent, "ios", "apns", 12)]);
    let mut unknown = numbers.unknown.clone();
    unknown.sort();
    let path = |field: &str| format!("platform_delivery_stats.ios.{field}");
    let expected =
        ["huawei".to_owned(), path("converted"), path("errored"), path("frequency_capped"), "web".to_owned()];
    assert_eq!(unknown, expected);
}

#[test]
fn messages_that_are_no_push_are_ignored() {
    let push = r#"{"successful":5,"failed":0,"errored":0,"received":0,"converted":1}"#;
    for (stats, is_push) in [
        (format!(r#"{{"email":{push}}}"#), false),
        (format!(r#"{{"sms":{push},"email":{push}}}"#), false),
        (format!(r#"{{"sms":{push},"ios":null}}"#), false),
        (format!(r#"{{"sms":{push},"ios":{push}}}"#), true),
        ("{}".to_owned(), true),
        ("null".to_owned(), true),
    ] {
        let page = message(&format!(r#""platform_delivery_stats":{stats}"#));
        assert_eq!(page.messages.len(), usize::from(is_push), "{stats}");
        // They are part of the list all the same: a page of them is not its end.
        assert!(page.reach.is_some(), "{stats}");
        let rows = if is_push { rows_of(&format!(r#""platform_delivery_stats":{stats}"#)) } else { Vec::new() };
        assert!(rows.iter().all(|row| row.2 == "ios"), "{rows:?}");
    }
}

#[test]
fn totals_are_read_where_there_are_no_platforms() {
    let totals = r#""successful":96,"failed":3,"errored":1,"remaining":9,"received":0,"converted":5"#;
    let by_hand = vec![
        total("converted", Clicked, 5),
        total("errored", Failed, 1),
        total("failed", Failed, 3),
        total("received", Received, 0),
        total("successful", Sent, 96),
    ];
    for without in ["", r#","platform_delivery_stats":null"#, r#","platform_delivery_stats":{}"#] {
        let page = message(&format!("{totals}{without}"));
        assert_eq!(
            written(&read(&page, "", false, ReadsReceived::Read)),
            (sorted(by_hand.clone()), "totals".to_owned())
        );
        // The platforms of a young message may still appear.
        assert_eq!(written(&read(&page, "", true, ReadsReceived::Read)), (vec![], String::new()));
        // A message that was read by platform is not read in total as well.
        assert_eq!(written(&read(&page, "parts", false, ReadsReceived::Read)), (vec![], "parts".to_owned()));
    }
    // Zeros are what a message has before it is sent.
    let zeros = message(r#""successful":0,"failed":0,"errored":0,"received":0,"converted":0"#);
    assert_eq!(written(&read(&zeros, "", false, ReadsReceived::Read)), (vec![], String::new()));
    // A message that was read in total goes on so, at any age and whatever else comes.
    let both = message(&format!(r#"{totals},"platform_delivery_stats":{{"ios":{{"successful":96}}}}"#));
    assert_eq!(written(&read(&both, "totals", true, ReadsReceived::Read)), (sorted(by_hand), "totals".to_owned()));
    let parts = written(&read(&both, "", true, ReadsReceived::Read));
    assert_eq!(parts, (vec![row("ios.successful", Sent, "ios", "apns", 96)], "parts".to_owned()));
}

#[test]
fn a_message_keeps_to_its_shape() {
    let page = page(NOTIFICATIONS);
    let of = |shape: &str, received| {
        let (rows, shape) = written(&read(&page, shape, false, received));
        (rows.iter().any(|row| row.1 == Received), shape)
    };
    // A message without confirmed deliveries stays without them, so that turning them on counts nothing of the past.
    assert_eq!(of("parts unconfirmed", ReadsReceived::Read), (false, "parts unconfirmed".to_owned()));
    assert_eq!(of("parts", ReadsReceived::Refused), (false, "parts".to_owned()));
    assert_eq!(of("parts", ReadsReceived::Read), (true, "parts".to_owned()));
    let damaged = read(&page, "parts ?", false, ReadsReceived::Read);
    assert_eq!(damaged.unknown, ["the stored shape of a message, which is read without it"]);
}

#[test]
fn a_message_that_was_called_off_has_only_zeros() {
    let stats = |sent: i64| format!(r#""canceled":true,"platform_delivery_stats":{{"ios":{{"successful":{sent}}}}}"#);
    for (fields, is_called_off) in [
        (r#""canceled":true"#.to_owned(), true),
        (r#""canceled":true,"successful":0,"remaining":900"#.to_owned(), true),
        (r#""canceled":true,"failed":1"#.to_owned(), false),
        (stats(0), true),
        (stats(3), false),
        (r#""canceled":null"#.to_owned(), false),
        (r#""canceled":false"#.to_owned(), false),
    ] {
        assert_eq!(message(&fields).messages[0].is_called_off, is_called_off, "{fields}");
    }
}

#[test]
fn a_send_time_may_be_missing() {
    let page = page(&format!(
        r#"{{"next_time_offset":1795910500,"notifications":[{{"id":"{ID}","queued_at":1795910400,"send_after":null}},
        {{"id":"x","queued_at":1795910400}},{{"id":"{ID}"}},7]}}"#
    ));
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.messages[0].sent_at.as_second(), 1_795_910_400);
    assert_eq!(page.next.as_deref(), Some("1795910500"));
    let nameless = "a notification without an id or a send time";
    assert_eq!(page.unknown, [nameless, nameless, "a notification that is not an object"]);
}

#[test]
fn what_is_no_list_is_an_error() {
    for body in [
        "{}",
        "[]",
        r#"{"notifications":null}"#,
        r#"{"notifications":{}}"#,
        r#"{"notifications":[{}]}"#,
        r#"{"notifications":[],"next_time_offset":[]}"#,
    ] {
        assert!(fields::parse(body.as_bytes()).is_err(), "{body}");
    }
    assert_eq!(page(r#"{"notifications":[]}"#), ListPage::default());
}
