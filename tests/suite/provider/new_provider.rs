//! `docs/adding-a-provider.md`, tried: the exporter polls Wren, a provider of the tests, which answers by its document.

use std::time::Duration;

use push_exporter::provider::Providers;
use push_exporter::provider::config;
use push_exporter::util::clock::Clock;

use crate::provider::wren::Wren;
use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Exporter, Log, Page, fast_dir, simulate};

const PROVIDERS: Providers = &[&Wren];
const DOCUMENT: &str = include_str!("wren/DOCUMENT.md");
const STATISTICS_DAILY: &str = include_str!("../../fixtures/wren/statistics_daily.json");
const REFUSED: &str = r#"{"code": 2001, "message": "app_id and api_secret do not match"}"#;
const PATH: &str = "/v1/apps/wr-4821/statistics/daily";

/// Ten minutes later: by hand. Mi Push says for the first time what was received, HMS is new, and FCM takes 5 of yesterday
/// back.
const LATER: &str = r#"{"app_id": "wr-4821", "days": [
    {"date": "2026-03-09", "channels": {
        "apns": {"sent": 5130, "failed": 37, "received": 4900},
        "fcm": {"sent": 2040, "failed": 11},
        "mipush": {"sent": 3310, "failed": 62, "received": 3001}}},
    {"date": "2026-03-10", "channels": {
        "apns": {"sent": 865, "failed": 4, "received": 830},
        "hms": {"sent": 7, "failed": 0},
        "mipush": {"sent": 600, "failed": 9, "received": 40}}}]}"#;

/// What is there at the first poll is the baseline.
const AT_FIRST: &str = r#"
push_messages_sent_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_received_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_received_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="sent"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="failed"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="received"} 0
push_window_messages_sent{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 5120
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 2045
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3310
push_window_messages_failed{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 37
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 11
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 62
push_window_messages_received{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 4890
push_window_messages_received{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3001
"#;

/// APNs has sent 10 of yesterday and 25 of today since, and so on. What is taken back is no less on a counter.
const THEN: &str = r#"
push_messages_sent_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 35
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="huawei",kind="notification"} 7
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 83
push_messages_failed_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="huawei",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 1
push_messages_received_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 45
push_messages_received_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 40
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="sent"} 5
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="failed"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="received"} 0
push_window_messages_sent{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 5130
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 2040
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3310
push_window_messages_failed{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 37
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 11
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 62
push_window_messages_received{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 4900
push_window_messages_received{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3001
"#;

/// Asserts that the deliveries on the page are exactly these.
fn shows(page: &Page, expected: &str) {
    let deliveries = |page: &Page| page.starting(&["push_messages_", "push_window_messages_"]);
    assert_eq!(deliveries(page), deliveries(&Page::parse(expected)));
}

fn section(base_url: &str, secret: &str) -> String {
    format!("wren:\n  - app: shop\n    app_id: wr-4821\n    base_url: {base_url}\n    {secret}\n")
}

#[test]
fn fixtures_are_the_documents() {
    assert!(DOCUMENT.contains(STATISTICS_DAILY), "byte for byte");
    assert!(DOCUMENT.contains(REFUSED));
}

#[test]
fn its_keys_are_checked() {
    // A key that nobody knows, and one that is missing for it.
    let text = section("http://localhost", "api_secert: w1n-s3cret");
    let folder = fast_dir();
    let errors = config::parse("wren.yml", &text, folder.path(), &Default::default(), PROVIDERS).err().unwrap();
    assert_eq!(
        errors.to_string(),
        "wren.yml:2:5: wren[0].api_secret: is required; give api_secret, api_secret_file or api_secret: ${ENV_NAME}\n\
         wren.yml:5:5: wren[0].api_secert: unknown key; did you mean api_secret?"
    );
    let errors = config::parse("wren.yml", "easemob: []", folder.path(), &Default::default(), PROVIDERS).err().unwrap();
    assert!(errors.to_string().contains("add one under wren"), "{errors}");
}

#[tokio::test(start_paused = true)]
async fn the_fourth_provider_is_polled() {
    // The day of the document's example.
    let clock = Clock::following_tokio("2026-03-10T11:00:00+08:00".parse().unwrap());
    let (wren, address) = simulate(ScriptedProvider::default()).await;
    wren.say(PATH, 200, STATISTICS_DAILY);
    let folder = fast_dir();
    let log = Log::capture();
    let text = format!("new_series_hold: 0s\n{}", section(&format!("http://{address}"), "api_secret: w1n-s3cret"));
    let exporter = Exporter::start_of(PROVIDERS, &text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    shows(&exporter.scrape().await, AT_FIRST);
    let question = format!("wr-4821:w1n-s3cret GET {PATH}?from=2026-03-07&to=2026-03-10");
    assert_eq!(wren.take(), [question.as_str()]);

    wren.say(PATH, 200, LATER);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let page = exporter.scrape().await;
    shows(&page, THEN);
    assert_eq!(wren.take(), [question.as_str()]);
    let report = r#"provider="wren",app="shop",report="statistics_daily""#;
    // date -d 2026-03-10T00:00:00+08:00 +%s
    let end = 1_773_072_000;
    for (series, value) in [
        (format!("push_up{{{report}}}"), 1),
        (format!(r#"push_window_end_timestamp_seconds{{{report},window="day"}}"#), end),
        (r#"push_unknown_fields_total{provider="wren",report="statistics_daily"}"#.to_owned(), 0),
    ] {
        assert_eq!(page.get(&series), Some(f64::from(value)), "{series} of {page:#?}");
    }

    wren.say(PATH, 401, REFUSED);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{report},reason="auth"}}"#)), Some(1.0));
    assert_eq!(page.get(&format!("push_up{{{report}}}")), Some(0.0));
    assert_eq!(page.starting(&["push_messages_"]), Page::parse(THEN).starting(&["push_messages_"]), "numbers stay");
    let html = exporter.get("/").await.1.replace("&#39;", "'");
    for text in [
        "HTTP 401, code 2001: app_id and api_secret do not match",
        "Check app_id and api_secret against Wren's console (App, Keys).",
        "Wren Push",
    ] {
        assert!(html.contains(text), "{text:?} is not on the status page:\n{html}");
    }
    let lines = log.take_lines("").join("\n");
    assert!(lines.contains("code 2001") && !lines.contains("w1n-s3cret") && !html.contains("w1n-s3cret"), "{lines}");
}
