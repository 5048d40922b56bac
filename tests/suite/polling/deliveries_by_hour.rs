//! Deliveries by channel on the status page, from what the ledger notes by hour: an incident is seen at a glance, over a restart
//! too, and compared with the week before.

use serde_json::Value;

use crate::support::window_scripts::Scene;
use crate::support::{Exporter, minutes, sqlite};

async fn channels(exporter: &Exporter) -> Vec<Value> {
    let status: Value = serde_json::from_str(&exporter.get("/api/v1/status").await.1).unwrap();
    status["channels"].as_array().unwrap().clone()
}

/// What Easemob says of a day: pushes to Huawei, accepted and refused, and as many to OPPO, all accepted.
fn say(scene: &Scene, day: &str, accepted: i64, refused: i64) {
    let of = |vendor: &str, accepted: i64, refused: i64| {
        format!(r#""{vendor}":{{"successCount":{accepted},"failCount":{refused}}}"#)
    };
    let all = [of("HUAWEIPUSH", accepted, refused), of("OPPOPUSH", accepted + refused, 0)];
    scene.say(day, &all.join(","));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_refuses_is_seen_at_a_glance_and_over_a_restart() {
    let scene = Scene::easemob("2026-03-01T00:30:00+08:00", "").await;
    let exporter = scene.start().await;
    // Nine days on which 97 of 100 are accepted, spread over the day; on the third, nothing is.
    for day in 1..=9 {
        let date = format!("2026-03-{day:02}");
        for hour in 1..=23 {
            scene.until(&format!("{date}T{hour:02}:01:00+08:00")).await;
            let sent = if day == 3 { 0 } else { 194 * hour };
            say(&scene, &date, sent, 200 * hour - sent);
        }
        minutes(58).await;
    }
    let well = channels(&exporter).await;
    assert_eq!(well.len(), 2);
    for channel in &well {
        assert_eq!((&channel["state"], &channel["since"]), (&"as_usual".into(), &Value::Null), "{channel}");
    }
    let huawei = |channels: &[Value]| channels.iter().find(|channel| channel["channel"] == "huawei").cloned().unwrap();
    let channel = huawei(&well);
    assert_eq!(channel["usual_accepted_ratio"], 0.97, "the median, whatever the third day was");
    // Since 23 o'clock of the day before: 24 times 194 and 6.
    assert_eq!((&channel["day"]["sent"], &channel["day"]["refused"]), (&4656.into(), &144.into()));
    assert!(exporter.get("/").await.1.contains("Pushes: none of 2 channels used in the last day is bad."));

    // On the tenth, from ten o'clock on, everything is refused.
    for hour in 1..=11 {
        scene.until(&format!("2026-03-10T{hour:02}:01:00+08:00")).await;
        let sent = 194 * hour.min(9);
        say(&scene, "2026-03-10", sent, 200 * hour - sent);
    }
    minutes(20).await;
    let bad = channels(&exporter).await;
    let channel = huawei(&bad);
    assert_eq!(bad[0], channel, "the worst first");
    assert_eq!((&channel["state"], &channel["hour"]["accepted_ratio"]), (&"failing".into(), &0.0.into()), "{channel}");
    let since: jiff::Timestamp = channel["since"].as_str().unwrap().parse().unwrap();
    let began: jiff::Timestamp = "2026-03-10T10:01:00+08:00".parse().unwrap();
    let after = since.duration_since(began).as_mins();
    assert!((0..=20).contains(&after), "seen {after} minutes after it began");
    let html = exporter.get("/").await.1;
    for part in [
        r#"<div id="pushes" class="failing">"#,
        "1 of 2 channels used in the last day is failing.",
        "huawei of chat",
        "accepted 0 % of ",
        "usually 97 %",
        "polls work, a channel is failing",
        "Polling: The only report works.",
    ] {
        assert!(html.contains(part), "{part:?} is not in {html}");
    }
    exporter.stop().await;

    // A process that knows nothing of the last hour has it from the ledger: since the hour that was bad as a whole.
    let exporter = scene.start().await;
    minutes(2).await;
    let channel = huawei(&channels(&exporter).await);
    assert_eq!(
        (&channel["state"], &channel["since"]),
        (&"failing".into(), &"2026-03-10T02:00:00Z".into()),
        "{channel}"
    );
    assert_eq!(channel["usual_accepted_ratio"], 0.97);
    // It works again: after a quarter of an hour that is well, the page says so.
    for step in 1..=4 {
        say(&scene, "2026-03-10", 1746 + 100 * step, 454);
        minutes(10).await;
    }
    let channel = huawei(&channels(&exporter).await);
    assert!(!["failing", "nothing_arrives"].contains(&channel["state"].as_str().unwrap()), "{channel}");
    exporter.stop().await;

    if std::env::var_os("PUSH_EXPORTER_TEST_LEDGER").is_none() {
        let ledger = scene.folder.path().join("push-exporter.db");
        let rows = sqlite(&ledger, "SELECT count(*), sum(length(totals)) FROM delivery_hour");
        let numbers: Vec<u64> = rows.iter().map(|number| number.parse().unwrap()).collect();
        assert!((190..=194).contains(&numbers[0]) && numbers[1] < 194 * 4 * 4, "eight days of four counters: {rows:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_judged_by_the_objective_of_its_app() {
    // 55 of 100 are accepted: with the default, seven tenths of 95 % are wanted; of 60 % it is no failure.
    for (keys, is_failing) in [("", true), (", objective: 0.6", false)] {
        let scene = Scene::easemob("2026-03-01T00:30:00+08:00", keys).await;
        let exporter = scene.start().await;
        scene.until("2026-03-02T00:30:00+08:00").await;
        for hour in 1..=10 {
            scene.until(&format!("2026-03-02T{hour:02}:01:00+08:00")).await;
            say(&scene, "2026-03-02", 110 * hour, 90 * hour);
        }
        minutes(20).await;
        let channels = channels(&exporter).await;
        let huawei = channels.iter().find(|channel| channel["channel"] == "huawei").unwrap();
        assert_eq!(huawei["state"] == "failing", is_failing, "{keys}: {huawei}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_for_a_while_costs_no_hour() {
    let scene = Scene::easemob("2026-03-01T00:30:00+08:00", "").await;
    let exporter = scene.start().await;
    for hour in 1..=23 {
        scene.until(&format!("2026-03-01T{hour:02}:01:00+08:00")).await;
        say(&scene, "2026-03-01", 97 * hour, 3 * hour);
    }
    scene.clock.step(jiff::SignedDuration::from_hours(30 * 24));
    minutes(30).await;
    scene.clock.step(jiff::SignedDuration::from_hours(-30 * 24));
    minutes(20).await;
    let day = channels(&exporter).await[0]["day"].clone();
    assert_eq!(day["sent"].as_i64().unwrap() + day["refused"].as_i64().unwrap(), 2300, "{day}");
    exporter.stop().await;
    let exporter = scene.start().await;
    minutes(5).await;
    let day = channels(&exporter).await[0]["day"].clone();
    assert_eq!(day["sent"].as_i64().unwrap() + day["refused"].as_i64().unwrap(), 2300, "{day}");
    exporter.stop().await;
}
