//! Ids of scheduled pushes, which no sender tells: listed by JPush, counted like those of other pushes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::{Fault, Faulty};
use crate::support::jpush_script::{OWNER, register};
use crate::support::{Exporter, Log, Page, fast_dir, jpush_totals, minutes, simulate};

fn registered(page: &Page, source: &str) -> Option<f64> {
    page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="{source}"}}"#))
}

fn config(address: std::net::SocketAddr, more: &str) -> String {
    let secret = JpushApp::demo("").master_secret;
    format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://{address}/v3', push_url: 'http://{address}/v3', \
         app_key: key, master_secret: {secret}, delivery: messages_detail, discover: [schedules], {more}}}\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_day_of_scheduled_and_plain_pushes_is_counted_in_full() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), JpushApp::demo("key"))).await;
    let folder = fast_dir();
    let log = Log::capture();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    assert_eq!(registered(&exporter.scrape().await, "discovery"), Some(0.0));
    // Two pages of schedules, most of which never push.
    let schedules: Vec<String> = (0..60).map(|number| simulator.schedule(&format!("schedule {number}"))).collect();
    let mut ids = Vec::new();
    let mut plain = 0;
    for hour in 0..20 {
        let on_schedule = simulator.push_on_schedule(&schedules[hour * 3 % 60], 5_000);
        let told = simulator.push(3_000);
        register(&exporter, &[(told, None)]).await;
        ids.extend([on_schedule, told]);
        plain += 1;
        if hour % 5 == 0 {
            simulator.fail_on_schedule(&schedules[hour * 3 % 60]);
            // A schedule that pushes once ends with its push: it is listed no more when the next poll comes.
            let once = simulator.schedule("once");
            minutes(12.0).await;
            ids.push(simulator.push_on_schedule(&once, 2_000));
            simulator.end_schedule(&once);
        }
        minutes(60.0).await;
    }
    minutes(40.0).await;
    let now = clock.now().as_second();
    simulator.freeze();
    minutes(780.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "api"), registered(&page, "discovery")), (Some(f64::from(plain)), Some(24.0)));
    let mut expected = BTreeMap::new();
    for id in ids {
        jpush_totals::add(&mut expected, "shop", "messages_detail", &simulator.truth(id, now), 1);
    }
    let mut counted = page.counters();
    counted.retain(|series, count| {
        *count != 0 && series.starts_with("push_messages_") && expected.contains_key(series.as_str())
    });
    assert_eq!(counted, expected);
    assert!(expected.len() > 30 && expected.values().sum::<i64>() > 100_000, "{expected:?}");
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="schedules"}}"#)), Some(1.0));
    assert_eq!(simulator.refused(), 0, "within the budget of the Push API");
    let (_, status) = exporter.get("/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let app = &status["apps"][0];
    assert_eq!(app["message_id_sources"], serde_json::json!(["api", "discovery"]), "{app}");
    assert!(app["last_new_message_ids"]["discovery"].as_str().unwrap() > "2026-03-10", "{app}");
    let (_, html) = exporter.get("/").await;
    assert!(html.contains("ids from the provider"), "{html}");

    // What is known survives a restart, and nothing is counted twice.
    exporter.stop().await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(60.0).await;
    let again = exporter.scrape().await;
    assert_eq!(registered(&again, "discovery"), Some(24.0));
    exporter.stop().await;
    assert_eq!(log.take_lines("nobody's business"), Vec::<String>::new(), "texts of pushes are not logged");
}

#[tokio::test(start_paused = true)]
async fn what_schedules_pushed_before_is_no_news() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), JpushApp::demo("key"))).await;
    // The first element of a schedule has no time, the others have.
    let daily = simulator.schedule("daily");
    for _ in 0..3 {
        simulator.push_on_schedule(&daily, 50_000);
        minutes(24.0 * 60.0).await;
    }
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(30.0).await;
    let sent = |page: &Page| page.starting(&["push_messages_sent_total"]).values().sum::<i64>();
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "discovery"), sent(&page)), (Some(0.0), 0));
    // It ends, is forgotten, and is listed again: what it pushed long ago is still no news.
    simulator.end_schedule(&daily);
    minutes(26.0 * 60.0).await;
    simulator.extend_schedule(&daily);
    minutes(30.0).await;
    assert_eq!(registered(&exporter.scrape().await, "discovery"), Some(0.0));
    // One without a time that comes later is new, also over a restart.
    exporter.stop().await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    let new = simulator.schedule("new");
    minutes(12.0).await;
    simulator.push_on_schedule(&new, 1_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(registered(&page, "discovery"), Some(1.0));
    assert!((500..=1_000).contains(&sent(&page)), "{}", sent(&page));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_fails_does_not_keep_others_from_being_asked() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let simulator = Arc::new(JpushSimulator::new(clock.clone(), JpushApp::demo("key")));
    let line = Faulty::new(Arc::clone(&simulator)).await;
    let folder = fast_dir();
    let schedules = ["first", "second", "third"].map(|name| simulator.schedule(name));
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    let broken = schedules[0].clone();
    line.spoil(move |request| match request.uri().path().contains(&broken) {
        true => Fault::answer(500, "<html>down</html>"),
        false => Fault::None,
    });
    for schedule in &schedules {
        simulator.push_on_schedule(schedule, 1_000);
    }
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(registered(&page, "discovery"), Some(2.0));
    let up = |page: &Page| page.get(&format!(r#"push_up{{{OWNER},report="schedules"}}"#));
    assert_eq!(up(&page), Some(0.0));
    line.heal();
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "discovery"), up(&page)), (Some(3.0), Some(1.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_schedule_is_a_category_where_that_is_asked_for() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), JpushApp::demo("key"))).await;
    let folder = fast_dir();
    let text = config(address, "schedule_name_as_category: true");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    minutes(1.0).await;
    let schedule = simulator.schedule("Morning News");
    simulator.push_on_schedule(&schedule, 10_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    let labels = r#"platform="android",channel="huawei",kind="notification",category="morning_news""#;
    let sent = page.get(&format!("push_messages_sent_total{{{OWNER},{labels}}}"));
    assert!(sent.is_some_and(|sent| sent > 1000.0), "{sent:?}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn discovery_that_is_turned_on_later_counts_from_then_on() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), JpushApp::demo("key"))).await;
    let folder = fast_dir();
    let with = config(address, "");
    let exporter = Exporter::start(&with.replace("discover: [schedules], ", ""), folder.path(), &clock).await;
    // The app is known for three days, in which its schedule pushes: without a time at first, then with one.
    let schedule = simulator.schedule("daily");
    for _ in 0..3 {
        simulator.push_on_schedule(&schedule, 50_000);
        minutes(24.0 * 60.0).await;
    }
    simulator.push_on_schedule(&schedule, 700);
    minutes(20.0).await;
    exporter.stop().await;
    let exporter = Exporter::start(&with, folder.path(), &clock).await;
    minutes(60.0).await;
    simulator.push_on_schedule(&schedule, 300);
    minutes(60.0).await;
    let page = exporter.scrape().await;
    let sent = page.starting(&["push_messages_sent_total"]).values().sum::<i64>();
    // As with a message that a sender registers: what was sent within the last hour counts in full.
    assert_eq!(registered(&page, "discovery"), Some(2.0));
    assert!((600..=1_000).contains(&sent), "{sent}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_poll_listed_is_not_lost() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let simulator = Arc::new(JpushSimulator::new(clock.clone(), JpushApp::demo("key")));
    let line = Faulty::new(Arc::clone(&simulator)).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    // A schedule is listed while all questions about messages fail; it pushes and ends before they work again.
    let schedule = simulator.schedule("once");
    line.spoil(|request| match request.uri().path().ends_with("/msg_ids") {
        true => Fault::answer(500, "<html>down</html>"),
        false => Fault::None,
    });
    minutes(12.0).await;
    let up = |page: &Page| page.get(&format!(r#"push_up{{{OWNER},report="schedules"}}"#));
    assert_eq!(up(&exporter.scrape().await), Some(0.0));
    simulator.push_on_schedule(&schedule, 1_000);
    simulator.end_schedule(&schedule);
    // Also over a restart.
    exporter.stop().await;
    line.heal();
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "discovery"), up(&page)), (Some(1.0), Some(1.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_shape_fails_and_a_deleted_schedule_does_not() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let simulator = Arc::new(JpushSimulator::new(clock.clone(), JpushApp::demo("key")));
    let line = Faulty::new(Arc::clone(&simulator)).await;
    let folder = fast_dir();
    let schedules = ["first", "second"].map(|name| simulator.schedule(name));
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    let up = |page: &Page| page.get(&format!(r#"push_up{{{OWNER},report="schedules"}}"#));
    let unknown = |page: &Page| page.get(r#"push_unknown_fields_total{provider="jpush",report="schedules"}"#);
    for (path, answer, expected) in [
        ("/schedules", "{}", 0.0),
        ("/schedules", r#"{"code":0,"data":[]}"#, 0.0),
        ("/msg_ids", "{}", 0.0),
        ("/msg_ids", r#"{"count":2}"#, 0.0),
        ("/msg_ids", r#"{"count":0}"#, 1.0),
        ("/schedules", r#"{"total_count":0,"total_pages":0,"page":1,"schedules":null}"#, 1.0),
        ("/msg_ids", r#"{"count":1,"msgids":["{\"message\":\"8000000001\"}"]}"#, 1.0),
    ] {
        line.spoil(move |request| match request.uri().path().ends_with(path) {
            true => Fault::answer(200, answer),
            false => Fault::None,
        });
        minutes(45.0).await;
        assert_eq!(up(&exporter.scrape().await), Some(expected), "{path} {answer}");
        line.heal();
        minutes(65.0).await;
        assert_eq!(up(&exporter.scrape().await), Some(1.0), "after {path} {answer}");
    }
    assert_eq!(unknown(&exporter.scrape().await), Some(1.0), "an element without an id is noted once");
    // JPush answers so for a schedule that does not exist.
    let deleted = schedules[0].clone();
    let answer = r#"{"error":{"code":8104,"message":"schedule-task id does not exist"}}"#;
    line.spoil(move |request| match request.uri().path().contains(&deleted) {
        true => Fault::answer(404, answer),
        false => Fault::None,
    });
    simulator.push_on_schedule(&schedules[1], 1_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "discovery"), up(&page)), (Some(1.0), Some(1.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rounds_begin_an_interval_apart_however_long_they_take() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let simulator = Arc::new(JpushSimulator::new(clock.clone(), JpushApp::demo("key")));
    let line = Faulty::new(Arc::clone(&simulator)).await;
    let folder = fast_dir();
    // At 60 requests a minute, a round takes five minutes.
    for number in 0..300 {
        simulator.schedule(&format!("schedule {number}"));
    }
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(15.0).await;
    let rounds = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&rounds);
    line.spoil(move |request| {
        if request.uri().query() == Some("page=1") && request.uri().path().ends_with("/schedules") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Fault::None
    });
    minutes(60.0).await;
    assert_eq!(rounds.load(Ordering::Relaxed), 6);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_sources_that_are_shown() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (_simulator, address) = simulate(JpushSimulator::new(clock.clone(), JpushApp::demo("key"))).await;
    let folder = fast_dir();
    let with = config(address, "");
    let without = with.replace("message_api: {token: t0ken}\n", "");
    let exporter = Exporter::start(&without, folder.path(), &clock).await;
    for (text, expected) in [(&without, r#"["discovery"]"#), (&with, r#"["api","discovery"]"#)] {
        exporter.reload(text).await.unwrap();
        let (_, status) = exporter.get("/api/v1/status").await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["apps"][0]["message_id_sources"].to_string(), expected);
    }
    exporter.stop().await;
}
