//! The life of a message, from its registration to long after its end: its pace by age, its last poll, ids
//! that come again, schedules and clocks that change. Against a JPush whose answers are set by hand.

use jiff::SignedDuration;

use crate::support::jpush_script::{OWNER, Scene, delivery, received, register, tracked};
use crate::support::{days, minutes};

#[tokio::test(start_paused = true)]
async fn a_message_is_polled_by_age_and_retired() {
    for (more, report, end, polls) in [
        ("delivery: received_detail", "received_detail", 28.0, 131),
        ("delivery: messages_detail", "messages_detail", 5.0, 108),
        ("delivery: messages_detail, interval: 12h", "messages_detail", 5.0, 11),
        ("schedule: [{until: 1h, every: 5m}, {until: 10h, every: 1h}]", "received_detail", 10.0 / 24.0, 22),
    ] {
        let scene = Scene::new().await;
        let exporter = scene.start(more).await;
        register(&exporter, &[(7, None)]).await;
        scene.say(7, r#""jpush_received":5,"details":{"notification":{"received":5}}"#);
        days(end - 0.1).await;
        let page = exporter.scrape().await;
        assert_eq!(tracked(&page), (0.0, 1.0), "{more}");
        assert!(page.get(&format!(r#"push_poll_due_timestamp_seconds{{{OWNER},report="{report}"}}"#)).is_some());
        days(0.2).await;
        let page = exporter.scrape().await;
        assert_eq!(tracked(&page), (0.0, 0.0), "{more}");
        assert_eq!(page.get(&format!(r#"push_poll_due_timestamp_seconds{{{OWNER},report="{report}"}}"#)), None);
        assert_eq!(page.starting(&["push_messages_received_total"]).values().sum::<i64>(), 5, "the total stays");
        let calls = scene.calls().len();
        assert!((polls - 2..=polls + 2).contains(&calls), "{more}: {calls} calls instead of {polls}");
        // Nothing is asked any more, and the id counts nothing again.
        days(3.0).await;
        assert_eq!(scene.calls().len(), calls);
        assert_eq!(register(&exporter, &[(7, None), (7, Some(scene.now()))]).await, 0);
        minutes(10.0).await;
        assert_eq!(scene.calls().len(), calls);
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_poll_that_fails_is_made_up_for() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    register(&exporter, &[(7, None)]).await;
    scene.say(7, r#""details":{"notification":{"received":5}}"#);
    days(4.9).await;
    *scene.script.failure.lock().unwrap() = Some((503, String::new()));
    scene.say(7, r#""details":{"notification":{"received":9}}"#);
    days(2.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 1.0), "retirement needs a poll that succeeds");
    *scene.script.failure.lock().unwrap() = None;
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), (0.0, 0.0));
    assert_eq!(delivery(&page, "received", "any", "any", "notification"), Some(9.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_configuration_counts_once_for_ever() {
    let scene = Scene::new().await;
    let ids = "messages: {ids: ['7', 8]}";
    scene.say(7, r#""jpush_received":5"#);
    scene.say(8, r#""jpush_received":10"#);
    let mut exporter = scene.start(ids).await;
    minutes(5.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(15.0));
    assert_eq!(page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="config"}}"#)), Some(2.0));

    // Through the API too, on day 20 while it lives, on day 40 when it has retired, on days 91 and 130
    // from the API and at restarts; the provider goes on answering for it.
    let mut day = 0.0;
    for at in [20.0, 40.0, 91.0, 130.0] {
        days(at - day).await;
        day = at;
        assert_eq!(register(&exporter, &[(7, None)]).await, 0, "day {at}");
        exporter.stop().await;
        exporter = scene.start(ids).await;
        minutes(10.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(15.0), "day {at}");
        let source = |name: &str| page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="{name}"}}"#));
        assert_eq!((source("config"), source("api")), (Some(2.0), Some(0.0)), "day {at}");
    }

    // 80 days without the app in the configuration: it continues.
    exporter.stop().await;
    let other = "easemob:\n  - {app: chat, base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: s}\n";
    let exporter = scene.start_with(other).await;
    minutes(1.0).await;
    assert!(exporter.scrape().await.counters().is_empty(), "an app that left the configuration leaves the page");
    days(80.0).await;
    exporter.stop().await;
    let exporter = scene.start(ids).await;
    assert_eq!(register(&exporter, &[(7, None), (8, Some(scene.now()))]).await, 0);
    minutes(10.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(15.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_id_that_stays_in_the_configuration_is_never_forgotten() {
    let scene = Scene::new().await;
    let more = "schedule: [{until: 1d, every: 1h}], messages: {ids: [7]}";
    scene.say(7, r#""jpush_received":5"#);
    let exporter = scene.start(more).await;
    // 100 days without a restart: 99 since it was last polled.
    days(100.0).await;
    exporter.stop().await;
    let exporter = scene.start(more).await;
    minutes(10.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(5.0), (0.0, 0.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_retired_id_is_remembered_for_90_days_and_then_forgotten() {
    let scene = Scene::new().await;
    let exporter = scene.start("schedule: [{until: 1d, every: 1h}]").await;
    assert_eq!(register(&exporter, &[(7, None), (8, None)]).await, 2);
    days(2.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 0.0));
    days(60.0).await;
    // Seen again: remembered from now on.
    assert_eq!(register(&exporter, &[(8, None)]).await, 0);
    days(32.0).await;
    // One message sent too long ago for the report is not taken at all.
    assert_eq!(register(&exporter, &[(9, Some(scene.now() - 2 * 86_400))]).await, 0);
    assert_eq!(register(&exporter, &[(8, None)]).await, 0);
    assert_eq!(register(&exporter, &[(7, None)]).await, 1, "93 days after it was last polled");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_changed_is_kept_at_once() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    register(&exporter, &[(1, Some(scene.now() - 10 * 86_400))]).await;
    minutes(60.0).await;
    assert_eq!(scene.calls().len(), 1, "once a day at this age");
    exporter.stop().await;
    let exporter = scene.start("interval: 10s").await;
    minutes(1.0).await;
    assert!((5..=8).contains(&(scene.calls().len() - 1)), "{}", scene.calls().len());
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_settles_nothing_and_counts_nothing_again() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    scene.say(1, r#""details":{"notification":{"received":5}}"#);
    register(&exporter, &[(1, None)]).await;
    minutes(30.0).await;
    let calls = |pause: f64| {
        let before = scene.calls().len();
        let scene = &scene;
        async move {
            minutes(pause).await;
            scene.calls().len() - before
        }
    };
    // A week forward: polled, not retired, and at its pace again when the clock is right.
    scene.clock.step(SignedDuration::from_hours(7 * 24));
    assert!(calls(30.0).await >= 1);
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 1.0));
    scene.clock.step(SignedDuration::from_hours(-7 * 24));
    assert!(calls(200.0).await >= 5, "it is not left for a week");
    // An hour back.
    scene.clock.step(SignedDuration::from_hours(-1));
    assert!(calls(61.0).await >= 1);
    scene.say(1, r#""details":{"notification":{"received":6}}"#);
    minutes(61.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "any", "notification"), Some(6.0));
    exporter.stop().await;

    // The clock was a day ahead while the exporter was down.
    scene.clock.step(SignedDuration::from_hours(-24));
    let exporter = scene.start("delivery: messages_detail").await;
    assert!(calls(61.0).await >= 1);
    assert_eq!(received(&exporter.scrape().await, "any", "any", "notification"), Some(6.0));
    exporter.stop().await;
}
