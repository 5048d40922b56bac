//! A first start makes no jump, a new series shows 0 first, an account that changes starts from a new
//! baseline, and downtime is no first start. Against an Easemob whose answers are set by hand.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Page, fast_dir, minutes, simulate};

/// Answers every query with the same body, whatever the account.
fn fixed(body: Arc<Mutex<String>>) -> ScriptedProvider {
    ScriptedProvider::answering(move |request| match request.uri().path().ends_with("/token") {
        true => respond(200, r#"{"access_token":"t","expires_in":0}"#),
        false => respond(200, body.lock().unwrap().clone()),
    })
}

struct Scene {
    clock: Clock,
    body: Arc<Mutex<String>>,
    text: String,
    folder: tempfile::TempDir,
}

impl Scene {
    /// 2026-03-10, 09:00 in Beijing.
    async fn new() -> Scene {
        let start: Timestamp = "2026-03-10T09:00:00+08:00".parse().unwrap();
        let clock = Clock::following_tokio(start);
        let body = Arc::new(Mutex::new(r#"{"status":"OK","data":{}}"#.to_owned()));
        let (_, address) = simulate(fixed(Arc::clone(&body))).await;
        let text = format!(
            "easemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: a, client_secret: b}}\n"
        );
        Scene { clock, body, text, folder: fast_dir() }
    }

    /// `days`: the inner part of `data`.
    fn say(&self, days: &str) {
        *self.body.lock().unwrap() = format!(r#"{{"status":"OK","data":{{{days}}}}}"#);
    }

    async fn start(&self) -> Exporter {
        Exporter::start(&self.text, self.folder.path(), &self.clock).await
    }
}

fn sent(page: &Page, platform: &str, channel: &str) -> Option<f64> {
    page.get(&format!(
        r#"push_messages_sent_total{{provider="easemob",app="chat",platform="{platform}",channel="{channel}",kind="notification"}}"#
    ))
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_remembered_and_not_counted() {
    let scene = Scene::new().await;
    scene.say(r#""2026-03-09":{"APNS":{"successCount":1000}},"2026-03-10":{"APNS":{"successCount":400}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page, "ios", "apns"), Some(0.0));
    // 09:00 in Beijing is 01:00 UTC, when the first poll was committed.
    let committed = page.get("push_exporter_ledger_last_commit_timestamp_seconds").unwrap();
    assert!((1_773_104_400.0..1_773_104_460.0).contains(&committed), "{committed}");

    // 50 more today; and a channel that had nothing today until now, whose baseline is 0.
    scene.say(r#""2026-03-09":{"APNS":{"successCount":1000}},"2026-03-10":{"APNS":{"successCount":450},"HONOR":{"successCount":7}}"#);
    minutes(5.0).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page, "ios", "apns"), Some(50.0));
    assert_eq!(sent(&page, "android", "honor"), Some(0.0), "a new series shows 0 first");
    minutes(2.0).await;
    assert_eq!(sent(&exporter.scrape().await, "android", "honor"), Some(7.0), "and its value after new_series_hold");

    // The hold is kept over a restart: it depends on time alone.
    scene.say(r#""2026-03-10":{"APNS":{"successCount":450},"HONOR":{"successCount":7},"ANDROID":{"successCount":3}}"#);
    minutes(2.5).await;
    assert_eq!(sent(&exporter.scrape().await, "android", "fcm"), Some(0.0));
    exporter.stop().await;
    let exporter = scene.start().await;
    assert_eq!(sent(&exporter.scrape().await, "android", "fcm"), Some(0.0));
    minutes(2.5).await;
    assert_eq!(sent(&exporter.scrape().await, "android", "fcm"), Some(3.0));
    exporter.stop().await;

    // Two days' downtime is no first start: the days in between are counted in full.
    minutes(2.0 * 24.0 * 60.0).await;
    scene.say(r#""2026-03-10":{"APNS":{"successCount":500}},"2026-03-11":{"APNS":{"successCount":90}},"2026-03-12":{"APNS":{"successCount":1}}"#);
    let exporter = scene.start().await;
    let caught_up = 50.0 + 50.0 + 90.0 + 1.0;
    let first = sent(&exporter.scrape().await, "ios", "apns");
    assert!(
        first == Some(50.0) || first == Some(caught_up),
        "the first scrape continues, the first poll may be over: {first:?}"
    );
    minutes(1.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(caught_up));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_covers_the_days_that_it_has_nothing_for() {
    let scene = Scene::new().await;
    let exporter = scene.start().await;
    minutes(1.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), None, "absent until the provider says something");
    scene.say(r#""2026-03-10":{"APNS":{"successCount":12}}"#);
    minutes(5.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(0.0));
    minutes(2.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(12.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_poll_covers_nothing() {
    let scene = Scene::new().await;
    *scene.body.lock().unwrap() = "<html>503</html>".to_owned();
    let exporter = scene.start().await;
    // The second poll comes after 5 s, and the retries of the first take 3 s at most.
    minutes(0.08).await;
    let page = exporter.scrape().await;
    let labels = r#"provider="easemob",app="chat",report="offline_push""#;
    assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(0.0));
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{labels},reason="decode"}}"#)), Some(1.0));
    assert_eq!(page.get(&format!(r#"push_poll_errors_total{{{labels},reason="decode"}}"#)), Some(1.0));
    assert_eq!(
        page.get(&format!(r#"push_api_requests_total{{{labels},code="200"}}"#)),
        Some(3.0),
        "three requests in all"
    );
    scene.say(r#""2026-03-10":{"APNS":{"successCount":400}}"#);
    minutes(10.0).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page, "ios", "apns"), Some(0.0), "the first success is the baseline");
    assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(1.0));
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{labels},reason="decode"}}"#)), None);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_account_under_the_same_name_starts_from_a_new_baseline() {
    let mut scene = Scene::new().await;
    scene.say(r#""2026-03-10":{"APNS":{"successCount":100}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    scene.say(r#""2026-03-10":{"APNS":{"successCount":130}}"#);
    minutes(5.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(30.0));
    exporter.stop().await;

    scene.text = scene.text.replace("app_name: chat", "app_name: other");
    scene.say(r#""2026-03-10":{"APNS":{"successCount":9000}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    assert_eq!(
        sent(&exporter.scrape().await, "ios", "apns"),
        Some(30.0),
        "totals go on, the new account's past is not counted"
    );
    scene.say(r#""2026-03-10":{"APNS":{"successCount":9005}}"#);
    minutes(5.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(35.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_asked_for_later_has_a_baseline_of_its_own() {
    let mut scene = Scene::new().await;
    let all = scene.text.clone();
    scene.text = all.replace("client_secret: b", "client_secret: b, platforms: [APNS]");
    scene.say(r#""2026-03-10":{"APNS":{"successCount":100}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    exporter.stop().await;
    for (text, channel, says) in [
        (
            all.replace("client_secret: b", "client_secret: b, platforms: [APNS, XIAOMIPUSH]"),
            "xiaomi",
            r#""XIAOMIPUSH":{"successCount":5000}"#,
        ),
        (all, "honor", r#""HONOR":{"successCount":700}"#),
    ] {
        scene.text = text;
        scene.say(&format!(r#""2026-03-10":{{"APNS":{{"successCount":100}},{says}}}"#));
        let exporter = scene.start().await;
        minutes(10.0).await;
        let page = exporter.scrape().await;
        assert_eq!(sent(&page, "android", channel), Some(0.0), "{channel}: it was there before and nobody had asked");
        assert_eq!(sent(&page, "ios", "apns"), Some(0.0));
        exporter.stop().await;
    }
    let exporter = scene.start().await;
    scene.say(r#""2026-03-10":{"HONOR":{"successCount":705},"OPPOPUSH":{"successCount":3}}"#);
    minutes(10.0).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page, "android", "honor"), Some(5.0));
    assert_eq!(sent(&page, "android", "oppo"), Some(3.0), "asked for with ALL, so it began after that");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_while_counts_nothing() {
    let scene = Scene::new().await;
    let days: Vec<String> =
        (1..=10).map(|day| format!(r#""2026-03-{day:02}":{{"APNS":{{"successCount":1000}}}}"#)).collect();
    scene.say(&days.join(","));
    let exporter = scene.start().await;
    minutes(10.0).await;
    for hours in [-12 * 24, 12 * 24, -1, 1, 24, -24, -6 * 365 * 24, 6 * 365 * 24] {
        scene.clock.step(jiff::SignedDuration::from_hours(hours));
        minutes(20.0).await;
        let page = exporter.scrape().await;
        assert_eq!(sent(&page, "ios", "apns"), Some(0.0), "after a step of {hours} h");
    }
    exporter.stop().await;
    // And over a restart with the clock behind.
    scene.clock.step(jiff::SignedDuration::from_hours(-12 * 24));
    let exporter = scene.start().await;
    minutes(20.0).await;
    exporter.stop().await;
    scene.clock.step(jiff::SignedDuration::from_hours(12 * 24));
    let exporter = scene.start().await;
    minutes(20.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(0.0));
    scene.say(r#""2026-03-10":{"APNS":{"successCount":1001}}"#);
    minutes(10.0).await;
    assert_eq!(sent(&exporter.scrape().await, "ios", "apns"), Some(1.0), "and it goes on");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_that_ignores_the_platform_is_read_once() {
    let mut scene = Scene::new().await;
    scene.text = scene.text.replace("client_secret: b", "client_secret: b, platforms: [HONOR, APNS]");
    scene.say(r#""2026-03-09":{"HONOR":{"successCount":100},"APNS":{"successCount":7}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    let page = exporter.scrape().await;
    let gauges = page.starting(&["push_window_messages_sent"]);
    let mut values: Vec<i64> = gauges.into_values().collect();
    values.sort_unstable();
    assert_eq!(values, [7, 100]);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unknown_channels_are_few_and_remembered() {
    let scene = Scene::new().await;
    let channels: Vec<String> = (0..20).map(|n| format!(r#""NEW{n:02}PUSH":{{"successCount":1}}"#)).collect();
    scene.say(&format!(r#""2026-03-10":{{{}}}"#, channels.join(",")));
    let exporter = scene.start().await;
    minutes(12.0).await;
    let page = exporter.scrape().await;
    let unknown = r#"push_unknown_fields_total{provider="easemob",report="offline_push"}"#;
    assert_eq!(page.get(unknown), Some(20.0), "once for each name, however often it comes");
    assert_eq!(page.starting(&["push_messages_sent_total"]).len(), 17, "16 names, then other");
    assert!(sent(&page, "any", "new15").is_some() && sent(&page, "any", "new16").is_none());
    assert_eq!(sent(&page, "any", "other"), Some(0.0));
    exporter.stop().await;
    let exporter = scene.start().await;
    let page = exporter.scrape().await;
    assert_eq!((page.get(unknown), page.starting(&["push_messages_sent_total"]).len()), (Some(20.0), 17));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn window_gauges_leave_when_no_poll_has_succeeded_for_max_age() {
    let mut scene = Scene::new().await;
    scene.text = format!("max_age: 2h\n{}", scene.text);
    scene.say(r#""2026-03-09":{"APNS":{"successCount":1000}}"#);
    let exporter = scene.start().await;
    minutes(1.0).await;
    let gauges = ["push_window_"];
    assert_eq!(exporter.scrape().await.starting(&gauges).len(), 2, "the value and the window's end");
    *scene.body.lock().unwrap() = String::new();
    minutes(115.0).await;
    assert_eq!(exporter.scrape().await.starting(&gauges).len(), 2);
    minutes(10.0).await;
    assert_eq!(exporter.scrape().await.starting(&gauges).len(), 0);
    scene.say(r#""2026-03-10":{"APNS":{"successCount":1}}"#);
    minutes(60.0).await;
    let page = exporter.scrape().await;
    let end = r#"push_window_end_timestamp_seconds{provider="easemob",app="chat",report="offline_push",window="day"}"#;
    assert_eq!(
        page.starting(&gauges).into_keys().collect::<Vec<_>>(),
        [end],
        "yesterday closed empty: no values, but its end"
    );
    exporter.stop().await;
}
