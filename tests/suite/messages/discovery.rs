//! Ids of scheduled pushes, which no sender tells: listed by JPush, counted like those of other pushes.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    assert_eq!(app["message_id_ways"], serde_json::json!(["api", "discovery"]), "{app}");
    assert!(app["newest_message_ids"]["discovery"].as_str().unwrap() > "2026-03-10", "{app}");
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
    // The two with a time are known, and what they had before is their baseline.
    assert_eq!((registered(&page, "discovery"), sent(&page)), (Some(2.0), 0));
    // One without a time that comes later is new, also over a restart.
    exporter.stop().await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    let new = simulator.schedule("new");
    minutes(12.0).await;
    simulator.push_on_schedule(&new, 1_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(registered(&page, "discovery"), Some(3.0));
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
