//! Counters compared with the totals that a provider adds up itself: a day that is read once more, a week and a month. Against
//! providers whose answers are set by hand, with the differences worked out by hand.

use crate::support::window_scripts::{Scene, restated};
use crate::support::{Page, days, jpush_script};

/// What is unaccounted of a metric in the newest settled window of a unit.
fn unaccounted(page: &Page, app: &str, window: &str) -> Option<f64> {
    page.get(&format!(r#"push_window_unaccounted_messages{{{app},metric="sent",window="{window}"}}"#))
}

const CHAT: &str = r#"provider="easemob",app="chat""#;
const BOT: &str = r#"provider="feishu",app="bot""#;

#[tokio::test(start_paused = true)]
async fn a_day_is_read_once_more_a_week_after_its_end() {
    let scene = Scene::easemob("2026-03-10T09:00:00+08:00", "").await;
    let exporter = scene.start().await;
    for (day, count) in [(11, 100), (12, 200), (13, 300), (14, 400)] {
        scene.until(&format!("2026-03-{day}T12:00:00+08:00")).await;
        scene.apns(&format!("2026-03-{day}"), count);
    }
    scene.until("2026-03-18T23:50:00+08:00").await;
    // The 12th grows after it has settled; the 13th shrinks. The 14th says another channel that no poll has seen.
    scene.apns("2026-03-12", 207);
    scene.apns("2026-03-13", 289);
    scene.say("2026-03-14", r#""APNS":{"successCount":400},"HONOR":{"successCount":55,"failCount":3}"#);
    let sent =
        r#"push_messages_sent_total{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification"}"#;
    for (at, difference) in [
        ("2026-03-19T00:10:00+08:00", 0.0),
        ("2026-03-19T23:50:00+08:00", 0.0),
        ("2026-03-20T00:10:00+08:00", 7.0),
        ("2026-03-21T00:10:00+08:00", -11.0),
        ("2026-03-22T00:10:00+08:00", 55.0),
    ] {
        scene.until(at).await;
        let page = exporter.scrape().await;
        assert_eq!(unaccounted(&page, CHAT, "day"), Some(difference), "{at}");
        assert_eq!(page.get(sent), Some(1000.0), "it is compared, and not counted: {at}");
    }
    let page = exporter.scrape().await;
    assert_eq!(
        page.get(&format!(r#"push_window_unaccounted_messages{{{CHAT},metric="failed",window="day"}}"#)),
        Some(3.0)
    );
    let asked = |scene: &Scene| scene.script.asked.lock().unwrap().clone();
    let again = asked(&scene).iter().filter(|(begin, end)| begin == end && begin == "2026-03-12").count();
    assert_eq!(again, 1, "once");
    exporter.stop().await;
    // It is kept over a restart, shown on the status page, and not asked again.
    let exporter = scene.start().await;
    scene.until("2026-03-22T00:20:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(unaccounted(&page, CHAT, "day"), Some(55.0));
    assert_eq!(asked(&scene).iter().filter(|(begin, end)| begin == end && begin == "2026-03-14").count(), 1);
    let status: serde_json::Value = serde_json::from_str(&exporter.get("/api/v1/status").await.1).unwrap();
    let day = &status["apps"][0]["reconciliation"]["day"];
    assert_eq!((&day["end"], &day["unaccounted"]["sent"]), (&"2026-03-14T16:00:00Z".into(), &55.into()), "{day}");
    let html = exporter.get("/").await.1;
    assert!(html.contains("differ by failed +3, sent +55"), "{html}");
    // The days after have agreed.
    scene.until("2026-03-23T00:10:00+08:00").await;
    let html = exporter.get("/").await.1;
    assert!(html.contains("agree with what was read"), "{html}");
    exporter.stop().await;
}

/// Feishu's days from a date on, 10 messages each, and the totals of the week of 2026-03-09 and of March.
fn say_days(scene: &Scene, days: std::ops::RangeInclusive<u32>) {
    for day in days {
        scene.say(&format!("day 2026-03-{day:02}"), "10");
    }
}

#[tokio::test(start_paused = true)]
async fn weeks_and_months_are_compared_with_their_days() {
    for (week, month, expected) in [(70, 310, (0.0, 0.0)), (75, 305, (5.0, -5.0))] {
        let scene = Scene::feishu("2026-03-01T12:00:00+08:00", "").await;
        say_days(&scene, 1..=31);
        scene.say("week 2026-03-09", &week.to_string());
        scene.say("month 2026-03-01", &month.to_string());
        let exporter = scene.start().await;
        // The 15th, the last day of the week, is among the newest seven until the 23rd.
        scene.until("2026-03-23T12:00:00+08:00").await;
        assert_eq!(unaccounted(&exporter.scrape().await, BOT, "week"), None);
        scene.until("2026-03-24T12:00:00+08:00").await;
        assert_eq!(unaccounted(&exporter.scrape().await, BOT, "week"), Some(expected.0), "{week}");
        assert_eq!(unaccounted(&exporter.scrape().await, BOT, "month"), None);
        // So is the 31st until the 8th of April.
        scene.until("2026-04-09T12:00:00+08:00").await;
        let page = exporter.scrape().await;
        assert_eq!(unaccounted(&page, BOT, "month"), Some(expected.1), "{month}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn withheld_doubled_and_lowered_days_are_found() {
    let scene = Scene::feishu("2026-03-01T12:00:00+08:00", "").await;
    say_days(&scene, 1..=15);
    // The 10th says nothing while it is asked for; the 12th says twice what it has; the 14th is lowered by 3 after it has been
    // read. In the end Feishu has 10 + 10 + 10 + 10 + 10 + 7 + 10 = 67 for the week, of which 0 + 20 + 10 were read of these days.
    scene.withdraw("day 2026-03-10");
    scene.say("day 2026-03-12", "20");
    scene.say("week 2026-03-09", "67");
    let exporter = scene.start().await;
    scene.until("2026-03-17T12:00:00+08:00").await;
    scene.say("day 2026-03-14", "7");
    scene.until("2026-03-24T12:00:00+08:00").await;
    let page = exporter.scrape().await;
    // 67 - (10 + 0 + 10 + 20 + 10 + 10 + 10)
    assert_eq!(unaccounted(&page, BOT, "week"), Some(-3.0));
    assert_eq!(restated(&page), 3.0, "as far as it was lowered while it was asked for");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_field_map_drops_is_found() {
    let scene = Scene::feishu("2026-03-01T12:00:00+08:00", "").await;
    say_days(&scene, 1..=15);
    scene.say("week 2026-03-09", "70");
    // On one day the number has a name that no field map knows.
    *scene.script.spoil.lock().unwrap() = Some(Box::new(|unit, date| {
        let renamed = r#"{"code":0,"data":{"items":[{"metric_name":"send_message_count","metric_value":10}]}}"#;
        (unit == "day" && date == "2026-03-12").then(|| (200, renamed.to_owned()))
    }));
    let exporter = scene.start().await;
    scene.until("2026-03-24T12:00:00+08:00").await;
    assert_eq!(unaccounted(&exporter.scrape().await, BOT, "week"), Some(10.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_with_days_that_were_never_read_is_not_compared() {
    // The exporter starts on Thursday: it reads the newest seven days, from the 4th on.
    let scene = Scene::feishu("2026-03-12T12:00:00+08:00", "").await;
    say_days(&scene, 1..=31);
    for week in ["02", "09"] {
        scene.say(&format!("week 2026-03-{week}"), "70");
    }
    scene.say("month 2026-03-01", "310");
    let exporter = scene.start().await;
    scene.until("2026-03-20T12:00:00+08:00").await;
    assert_eq!(unaccounted(&exporter.scrape().await, BOT, "week"), None, "Monday to Wednesday are missing");
    scene.until("2026-03-24T12:00:00+08:00").await;
    assert_eq!(unaccounted(&exporter.scrape().await, BOT, "week"), Some(0.0));
    scene.until("2026-04-12T12:00:00+08:00").await;
    assert_eq!(unaccounted(&exporter.scrape().await, BOT, "month"), None);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_totals_of_a_message_are_compared_when_it_retires() {
    let scene = jpush_script::Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    // Of 1 and 2 the totals differ from the parts: sent by 100 - 60 - 37, received by 50 - 51; 3 agrees, 4 has no totals.
    let vendors = |sent: [i64; 2], received: i64| {
        let [huawei, oppo] = sent;
        format!(
            r#""sub_android":{{"huawei":{{"sent":{huawei},"received":{received}}},"oppo":{{"sent":{oppo},"received":1}}}}"#
        )
    };
    let says = |totals: &str, parts: String| format!(r#""details":{{"notification":{{{totals}{parts}}}}}"#);
    scene.say(1, &says(r#""sent":100,"received":41,"#, vendors([60, 37], 40)));
    scene.say(2, &says(r#""sent":97,"received":50,"#, vendors([60, 37], 50)));
    scene.say(3, &says(r#""sent":97,"received":41,"#, vendors([60, 37], 40)));
    scene.say(4, &says("", vendors([1, 1], 1)));
    jpush_script::register(&exporter, &[(1, None), (2, None), (3, None), (4, None)]).await;
    let unaccounted = |page: &Page, metric: &str| {
        page.get(&format!(
            r#"push_messages_unaccounted_total{{{},report="messages_detail",metric="{metric}"}}"#,
            jpush_script::OWNER
        ))
    };
    days(4).await;
    assert_eq!(unaccounted(&exporter.scrape().await, "sent"), None, "numbers may still come");
    exporter.stop().await;
    let exporter = scene.start("delivery: messages_detail").await;
    days(2).await;
    let page = exporter.scrape().await;
    assert_eq!((unaccounted(&page, "sent"), unaccounted(&page, "received")), (Some(3.0), Some(1.0)));
    // Once.
    exporter.stop().await;
    let exporter = scene.start("delivery: messages_detail").await;
    days(2).await;
    assert_eq!(unaccounted(&exporter.scrape().await, "sent"), Some(3.0));
    exporter.stop().await;
}
