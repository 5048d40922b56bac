//! Ids of pushes under EngageLab's push plans, which no sender tells: found by listing the plans, counted like those of other
//! pushes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::{Fault, Faulty};
use crate::support::{Exporter, Log, Page, engagelab_totals, fast_dir, minutes, simulate};

const OWNER: &str = r#"provider="engagelab",app="abroad""#;

fn found(page: &Page) -> Option<f64> {
    page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="discovery"}}"#))
}

fn config(address: SocketAddr, more: &str) -> String {
    let secret = EngagelabApp::demo("").master_secret;
    format!(
        "engagelab:\n  - {{app: abroad, base_url: 'http://{address}', app_key: key, master_secret: {secret}, discover: [plans], {more}}}\n"
    )
}

#[tokio::test(start_paused = true)]
async fn pushes_of_many_plans_are_counted_in_full() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), EngagelabApp::demo("key"))).await;
    let folder = fast_dir();
    let log = Log::capture();
    // Three pages of plans, most of which never push.
    for number in 0..205 {
        simulator.create_plan(&format!("plan {number}"));
    }
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    assert_eq!(found(&exporter.scrape().await), Some(0.0));
    let mut ids = Vec::new();
    for hour in 0..30 {
        ids.push(simulator.push_under(&format!("plan {}", hour * 7), 5_000));
        if hour % 10 == 0 {
            // A plan that is new pushes at once.
            simulator.create_plan(&format!("new {hour}"));
            ids.push(simulator.push_under(&format!("new {hour}"), 2_000));
        }
        minutes(60.0).await;
    }
    // Away over midnight; what was pushed meanwhile is found afterwards.
    exporter.stop().await;
    ids.push(simulator.push_under("plan 0", 9_000));
    minutes(24.0 * 60.0).await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(200.0).await;
    simulator.freeze();
    let now = clock.now().as_second();
    minutes(800.0).await;
    let page = exporter.scrape().await;
    assert_eq!(found(&page), Some(34.0));
    let mut expected = BTreeMap::new();
    for id in ids {
        engagelab_totals::add(&mut expected, "abroad", &simulator.truth(id, now), true, 1);
    }
    let mut counted = page.counters();
    counted.retain(|series, count| {
        *count != 0 && series.starts_with("push_messages_") && expected.contains_key(series.as_str())
    });
    assert_eq!(counted, expected);
    assert!(expected.len() > 40 && expected.values().sum::<i64>() > 100_000, "{expected:?}");
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="push_plans"}}"#)), Some(1.0));
    assert_eq!(simulator.refused(), 0, "within the rate limit");
    let (_, status) = exporter.get("/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["apps"][0]["message_id_sources"], serde_json::json!(["discovery"]), "{status}");
    exporter.stop().await;
    assert_eq!(log.take_lines("nobody's business"), Vec::<String>::new(), "texts of pushes are not logged");
}

#[tokio::test(start_paused = true)]
async fn what_plans_pushed_before_is_no_news() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), EngagelabApp::demo("key"))).await;
    simulator.create_plan("daily");
    simulator.push_under("daily", 50_000);
    minutes(30.0).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(30.0).await;
    let sent = |page: &Page| page.starting(&["push_messages_sent_total"]).values().sum::<i64>();
    let page = exporter.scrape().await;
    assert_eq!((found(&page), sent(&page)), (Some(0.0), 0));
    simulator.push_under("daily", 1_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(found(&page), Some(1.0));
    assert!((500..=1_000).contains(&sent(&page)), "{}", sent(&page));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_more_on_both_sides_reaches_every_zone() {
    // EngageLab counts days in UTC+8, the app is configured in New York: it is still yesterday there.
    let clock = Clock::following_tokio("2026-03-10T00:30:00+08:00".parse().unwrap());
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), EngagelabApp::demo("key"))).await;
    simulator.create_plan("night");
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, "timezone: America/New_York"), folder.path(), &clock).await;
    minutes(1.0).await;
    simulator.push_under("night", 1_000);
    minutes(15.0).await;
    assert_eq!(found(&exporter.scrape().await), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_list_delays_ids_and_loses_none() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let simulator = Arc::new(EngagelabSimulator::new(clock.clone(), EngagelabApp::demo("key")));
    simulator.create_plan("a");
    let line = Faulty::new(Arc::clone(&simulator)).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(line.address, ""), folder.path(), &clock).await;
    minutes(1.0).await;
    line.spoil(|request| match request.uri().path() {
        "/v4/push_plan/list" => Fault::answer(503, "<html>down</html>"),
        _ => Fault::None,
    });
    simulator.push_under("a", 1_000);
    minutes(25.0).await;
    let page = exporter.scrape().await;
    assert_eq!(found(&page), Some(0.0));
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="push_plans"}}"#)), Some(0.0));
    line.heal();
    minutes(60.0).await;
    assert_eq!(found(&exporter.scrape().await), Some(1.0));
    exporter.stop().await;
}
