//! Clocks that are wrong: the provider's time tells history from news, stored times stay what they are, and nothing
//! ends by a time that nobody has confirmed.

use jiff::SignedDuration;

use crate::support::jpush_script::{OWNER, Scene, received, register, tracked};
use crate::support::window_scripts::right_clock;
use crate::support::{Log, Page};
use crate::support::{days, minutes, window_scripts};

const DAY: i64 = 86_400;

fn skew(page: &Page, owner: &str) -> Option<f64> {
    page.get(&format!("push_clock_skew_seconds{{{owner}}}"))
}

/// A JPush that knows what time it is, and an exporter whose clock is off by so many days.
async fn off_by(days: i64) -> Scene {
    let scene = Scene::new().await;
    *scene.script.dated_by.lock().unwrap() = Some(right_clock("2026-03-10T09:00:00+08:00"));
    scene.clock.step(SignedDuration::from_hours(24 * days));
    scene
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_when_an_app_is_first_known_is_put_right_by_the_provider() {
    // A month ahead, ten days behind, and 1970.
    for days in [30, -10, -20_522] {
        let scene = off_by(days).await;
        let log = Log::capture();
        let exporter = scene.start("").await;
        // One that nobody says when it was sent, and one of the time before the ledger knew the app.
        scene.say(1, r#""jpush_received":5"#);
        register(&exporter, &[(1, None)]).await;
        minutes(1.0).await;
        let right = scene.script.dated_by.lock().unwrap().clone().unwrap();
        let true_now = right.now().as_second();
        scene.say(2, r#""jpush_received":100"#);
        register(&exporter, &[(2, Some(true_now - 2 * DAY))]).await;
        // And one that is sent from now on, by a sender whose clock is right.
        scene.say(3, r#""jpush_received":7"#);
        register(&exporter, &[(3, Some(true_now))]).await;
        minutes(31.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(12.0), "{days} days: history is not counted, news is");
        assert_eq!(tracked(&page), (0.0, 3.0), "{days} days");
        assert!(
            (skew(&page, OWNER).unwrap() - (days * DAY) as f64).abs() < 2.0,
            "{days} days: {:?}",
            skew(&page, OWNER)
        );
        assert_eq!(log.take_lines("this machine's clock and the provider's differ").len(), 1);
        assert!(exporter.get("/").await.1.contains("this machine&#39;s clock"), "on the status page");
        let newest = page.get(&format!("push_newest_message_timestamp_seconds{{{OWNER}}}")).unwrap();
        assert!((newest - true_now as f64).abs() < 120.0, "{days} days: {newest}");
        // Set right: everything goes on.
        scene.clock.step(SignedDuration::from_hours(-24 * days));
        scene.say(3, r#""jpush_received":8"#);
        minutes(31.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(13.0), "{days} days");
        assert!(skew(&page, OWNER).unwrap().abs() < 2.0);
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_report_of_a_clock_that_is_ahead_asks_for_the_right_days() {
    let scene = window_scripts::Scene::easemob("2026-04-09T12:00:00+08:00", "").await;
    *scene.script.dated_by.lock().unwrap() = Some(right_clock("2026-03-10T12:00:00+08:00"));
    scene.apns("2026-03-09", 1000);
    scene.apns("2026-03-10", 400);
    let exporter = scene.start().await;
    minutes(1).await;
    assert_eq!(scene.last_asked(), ("2026-03-07".to_owned(), "2026-03-10".to_owned()));
    scene.apns("2026-03-10", 450);
    minutes(6).await;
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_messages_sent_total"]).values().sum::<i64>(), 50);
    let ends = page.starting(&["push_window_end_timestamp_seconds"]);
    // The 9th of March ends at 16:00 UTC.
    assert_eq!(ends.into_values().collect::<Vec<_>>(), [1_773_072_000]);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_for_ten_seconds_leaves_stored_times_alone() {
    for is_dated in [true, false] {
        let scene = Scene::new().await;
        *scene.script.dated_by.lock().unwrap() = is_dated.then(|| right_clock("2026-03-10T09:00:00+08:00"));
        let exporter = scene.start("delivery: messages_detail").await;
        let details =
            |count: i64| format!(r#""details":{{"notification":{{"sub_android":{{"oppo":{{"received":{count}}}}}}}}}"#);
        scene.say(1, &details(3));
        let sent = scene.now();
        register(&exporter, &[(1, None)]).await;
        minutes(60.0).await;
        scene.clock.step(SignedDuration::from_hours(-24 * 30));
        minutes(0.2).await;
        scene.clock.step(SignedDuration::from_hours(24 * 30));
        minutes(60.0).await;
        let page = exporter.scrape().await;
        let newest = page.get(&format!("push_newest_message_timestamp_seconds{{{OWNER}}}"));
        assert_eq!(newest, Some(sent as f64), "dated: {is_dated}");
        // It is polled as one of its age is, and retires five days after it was sent.
        days(4.0).await;
        assert_eq!(tracked(&exporter.scrape().await), (0.0, 1.0), "dated: {is_dated}");
        days(2.0).await;
        assert_eq!(tracked(&exporter.scrape().await), (0.0, 0.0), "dated: {is_dated}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_the_clock_is_ahead_ends_no_message() {
    for is_dated in [true, false] {
        let scene = Scene::new().await;
        *scene.script.dated_by.lock().unwrap() = is_dated.then(|| right_clock("2026-03-10T09:00:00+08:00"));
        let exporter = scene.start("").await;
        scene.say(1, r#""jpush_received":3"#);
        register(&exporter, &[(1, None)]).await;
        minutes(10.0).await;
        exporter.stop().await;
        scene.clock.step(SignedDuration::from_hours(24 * 30));
        let exporter = scene.start("").await;
        minutes(0.5).await;
        assert_eq!(tracked(&exporter.scrape().await), (0.0, 1.0), "dated: {is_dated}");
        scene.clock.step(SignedDuration::from_hours(-24 * 30));
        scene.say(1, r#""jpush_received":9"#);
        minutes(40.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(9.0), "dated: {is_dated}");
        assert_eq!(tracked(&page), (0.0, 1.0));
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_clock_that_was_ahead_become_messages_of_now() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    scene.clock.step(SignedDuration::from_hours(1000));
    register(&exporter, &[(1, None)]).await;
    exporter.stop().await;
    scene.clock.step(SignedDuration::from_hours(-1000));
    *scene.script.dated_by.lock().unwrap() = Some(scene.clock.clone());
    let exporter = scene.start("delivery: messages_detail").await;
    minutes(5.0).await;
    let page = exporter.scrape().await;
    let newest = page.get(&format!("push_newest_message_timestamp_seconds{{{OWNER}}}")).unwrap();
    assert!(newest <= scene.now() as f64);
    days(5.5).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 0.0), "it retires five days from now, not from then");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_gauge_of_a_clock_that_was_ahead_gives_way() {
    // This provider does not date its answers.
    let scene = window_scripts::Scene::easemob("2026-03-10T12:00:00+08:00", "").await;
    let exporter = scene.start().await;
    minutes(1).await;
    scene.clock.step(SignedDuration::from_hours(24 * 5));
    scene.apns("2026-03-14", 77);
    minutes(6).await;
    // The 14th ends at 16:00 UTC.
    let ends = |page: &Page| page.starting(&["push_window_end_timestamp_seconds"]).into_values().collect::<Vec<_>>();
    assert_eq!(ends(&exporter.scrape().await), [1_773_504_000]);
    scene.clock.step(SignedDuration::from_hours(-24 * 5));
    scene.apns("2026-03-09", 5);
    minutes(6).await;
    let page = exporter.scrape().await;
    assert_eq!(ends(&page), [1_773_072_000], "the 9th has closed, the 14th is to come");
    assert_eq!(page.starting(&["push_window_messages_sent"]).into_values().collect::<Vec<_>>(), [5]);
    exporter.stop().await;
}
