//! A part of a report that fails slows itself alone: one window, one range, one department.

use crate::support::window_scripts::Scene;
use crate::support::{Log, Page, minutes, seconds, sqlite};

const CHAT: &str = r#"provider="easemob",app="chat",report="offline_push""#;
const BOT: &str = r#"provider="feishu",app="bot",report="message_push_overview""#;
/// Easemob's own words for a range that it does not take.
const TOO_LONG_AGO: &str = r#"{"error":"illegal_argument","error_description":"begin is too long ago"}"#;

fn sent(page: &Page) -> i64 {
    page.starting(&["push_messages_sent_total"]).values().sum()
}

fn failing(page: &Page, report: &str, more: &str) -> bool {
    page.get(&format!("push_up{{{report}}}")) == Some(0.0)
        && page.get(&format!("push_poll_failing{{{report},{more}}}")) == Some(1.0)
}

fn is_up(page: &Page, report: &str) -> bool {
    page.get(&format!("push_up{{{report}}}")) == Some(1.0) && page.starting(&["push_poll_failing"]).is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_day_of_feishu_that_fails_keeps_no_other_from_being_asked() {
    let scene = Scene::feishu("2026-03-09T12:00:00+08:00", "").await;
    let exporter = scene.start().await;
    minutes(5).await;
    // On the 13th, the day before the newest cannot be had.
    *scene.script.spoil.lock().unwrap() = Some(Box::new(|unit, date| {
        ((unit, date) == ("day", "2026-03-10")).then(|| (500, "<html>internal error</html>".to_owned()))
    }));
    scene.say("day 2026-03-10", "30");
    scene.say("day 2026-03-11", "4");
    scene.until("2026-03-13T10:30:00+08:00").await;
    let page = exporter.scrape().await;
    assert!(failing(&page, BOT, r#"reason="server",scope="part""#), "{page:#?}");
    assert_eq!(sent(&page), 4);
    let html = exporter.get("/").await.1;
    assert!(html.contains("a part is failing"), "{html}");
    *scene.script.spoil.lock().unwrap() = None;
    scene.until("2026-03-14T12:30:00+08:00").await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, BOT));
    assert_eq!(sent(&page), 34, "it is counted when it is there");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_department_that_fails_leaves_the_tenant_and_the_other_departments_alone() {
    for (status, body) in [
        (400, r#"{"code":211005,"msg":"invalid department"}"#),
        (403, r#"{"code":211004,"msg":"no authority"}"#),
        (500, "<html>"),
        (200, r#"{"code":2200,"msg":"Internal Error"}"#),
    ] {
        let scene = Scene::feishu("2026-03-10T12:00:00+08:00", ", departments: [od-wrong, od-sales]").await;
        *scene.script.spoil.lock().unwrap() =
            Some(Box::new(move |unit, _| unit.ends_with(" od-wrong").then(|| (status, body.to_owned()))));
        for window in ["day 2026-03-07", "day 2026-03-08"] {
            scene.say(window, "30");
        }
        let exporter = scene.start().await;
        // Later polls ask for nothing but the department: it is a part still.
        for pause in [10, 60, 60, 120] {
            minutes(pause).await;
            let failing = exporter.scrape().await.starting(&["push_poll_failing"]);
            assert_eq!(failing.len(), 1);
            assert!(failing.keys().all(|series| series.contains(r#"scope="part""#)), "{status}: {failing:?}");
        }
        let page = exporter.scrape().await;
        assert!(!page.starting(&["push_window_messages_sent"]).is_empty(), "the tenant is shown: {status}");
        assert!(exporter.get("/").await.1.contains("department od-wrong"), "{status}");
        scene.say("day 2026-03-11", "5");
        scene.until("2026-03-13T10:30:00+08:00").await;
        assert_eq!(sent(&exporter.scrape().await), 5, "{status}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_department_that_left_the_configuration_is_not_shown_after_a_restart() {
    let mut scene = Scene::feishu("2026-03-10T12:00:00+08:00", ", departments: [od-sales, od-east]").await;
    scene.say("day 2026-03-08", "30");
    let of = |page: &Page, department: &str| {
        let is_of = |series: &&String| series.contains(&format!(r#"department="{department}""#));
        page.0.keys().filter(is_of).count()
    };
    let exporter = scene.start().await;
    minutes(10).await;
    let page = exporter.scrape().await;
    assert!(of(&page, "od-sales") > 0 && of(&page, "od-east") > 0, "{page:#?}");
    exporter.stop().await;
    scene.text = scene.text.replace("[od-sales, od-east]", "[od-east]");
    let exporter = scene.start().await;
    let page = exporter.scrape().await;
    assert_eq!((of(&page, "od-sales"), of(&page, "od-east") > 0), (0, true), "{page:#?}");
    minutes(10).await;
    assert_eq!(of(&exporter.scrape().await, "od-sales"), 0);
    exporter.stop().await;
}

/// An Easemob that was polled until a day, then not for some days.
async fn after_downtime(days: u32) -> Scene {
    let scene = Scene::easemob("2026-03-10T12:00:00+08:00", "").await;
    *scene.script.dated_by.lock().unwrap() = Some(scene.clock.clone());
    let exporter = scene.start().await;
    minutes(5).await;
    exporter.stop().await;
    minutes(days * 1440).await;
    scene
}

#[tokio::test(start_paused = true)]
async fn an_old_range_of_easemob_that_fails_keeps_today_counted() {
    // From the 7th to the 20th of March, in ranges of seven days.
    let scene = after_downtime(10).await;
    *scene.script.spoil.lock().unwrap() =
        Some(Box::new(|begin, _| (begin < "2026-03-14").then(|| (500, "<html>internal error</html>".to_owned()))));
    scene.apns("2026-03-20", 70);
    let exporter = scene.start().await;
    minutes(1).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page), 70);
    assert!(failing(&page, CHAT, r#"reason="server",scope="part""#), "{page:#?}");
    scene.apns("2026-03-20", 90);
    minutes(6).await;
    assert_eq!(sent(&exporter.scrape().await), 90, "at its own pace");
    // When the old range is there at last, it is counted.
    *scene.script.spoil.lock().unwrap() = None;
    scene.apns("2026-03-12", 1000);
    minutes(60).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, CHAT));
    assert_eq!(sent(&page), 1090);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_failed_in_a_part_is_no_success_over_a_restart_either() {
    let scene = after_downtime(10).await;
    let success = |page: &Page| page.get(&format!("push_poll_last_success_timestamp_seconds{{{CHAT}}}"));
    // As the ledger has it from before the downtime.
    let before = 1_773_115_200.0;
    *scene.script.spoil.lock().unwrap() =
        Some(Box::new(|begin, _| (begin < "2026-03-14").then(|| (500, String::new()))));
    scene.apns("2026-03-20", 70);
    for _ in 0..2 {
        let exporter = scene.start().await;
        minutes(8).await;
        let page = exporter.scrape().await;
        assert!((success(&page).unwrap() - before).abs() < 300.0, "{:?}", success(&page));
        // The numbers that came are new all the same.
        let change = page.get(&format!("push_data_last_change_timestamp_seconds{{{CHAT}}}")).unwrap();
        assert!(change > before + 86_400.0);
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn days_out_of_easemobs_reach_are_found_and_lost_once() {
    // In its own words, and in a gateway's, which are believed when they have been said three times.
    for (body, pause, log_lines) in [(TOO_LONG_AGO, 2, 1), ("{}", 60, 1)] {
        let scene = after_downtime(60).await;
        // Today is the 9th of May; it answers for 30 days, from the 9th of April on.
        let text = body.to_owned();
        *scene.script.spoil.lock().unwrap() =
            Some(Box::new(move |begin, _| (begin < "2026-04-09").then(|| (400, text.clone()))));
        for (day, count) in [("2026-04-08", 1), ("2026-04-09", 20), ("2026-05-01", 300), ("2026-05-09", 4000)] {
            scene.apns(day, count);
        }
        let log = Log::capture();
        let exporter = scene.start().await;
        minutes(pause).await;
        let page = exporter.scrape().await;
        assert_eq!(sent(&page), 4320, "{body}");
        assert!(is_up(&page, CHAT), "{body}: {page:#?}");
        assert_eq!(log.take_lines("they are lost").len(), log_lines, "{body}");
        // Once more for all that is in reach, then at its own pace for what is not settled.
        minutes(6).await;
        let before = scene.script.asked.lock().unwrap().len();
        minutes(30).await;
        let asked = scene.script.asked.lock().unwrap().split_off(before);
        assert!((5..=7).contains(&asked.len()), "{asked:?}");
        assert!(asked.iter().all(|(begin, _)| begin.as_str() == "2026-05-06"), "{asked:?}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_old_days_for_a_while_loses_none() {
    let scene = after_downtime(10).await;
    *scene.script.spoil.lock().unwrap() =
        Some(Box::new(|begin, _| (begin < "2026-03-14").then(|| (400, "<html>".to_owned()))));
    scene.apns("2026-03-08", 5);
    scene.apns("2026-03-12", 1000);
    scene.apns("2026-03-20", 70);
    let exporter = scene.start().await;
    minutes(2).await;
    assert_eq!(sent(&exporter.scrape().await), 70);
    *scene.script.spoil.lock().unwrap() = None;
    minutes(60).await;
    assert_eq!(sent(&exporter.scrape().await), 1075);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_range_is_narrowed_only_by_refusals_of_old_days() {
    // In the middle of the search the provider fails, or refuses the credentials: no day is lost by that.
    for (status, body, reason) in [
        (500, "<html>internal error</html>", r#"reason="server",scope="part""#),
        (401, r#"{"error":"unauthorized"}"#, r#"reason="auth""#),
    ] {
        let scene = after_downtime(10).await;
        *scene.script.spoil.lock().unwrap() = Some(Box::new(move |begin, _| match begin {
            "2026-03-07" => Some((400, TOO_LONG_AGO.to_owned())),
            begin if begin < "2026-03-14" => Some((status, body.to_owned())),
            _ => None,
        }));
        scene.apns("2026-03-08", 5);
        scene.apns("2026-03-12", 1000);
        scene.apns("2026-03-20", 70);
        let log = Log::capture();
        let exporter = scene.start().await;
        minutes(20).await;
        let page = exporter.scrape().await;
        assert!(failing(&page, CHAT, reason), "{status}: {page:#?}");
        assert_eq!(log.take_lines("they are lost"), Vec::<String>::new(), "{status}");
        // The 7th is out of reach, the days after it are not.
        *scene.script.spoil.lock().unwrap() =
            Some(Box::new(|begin, _| (begin < "2026-03-08").then(|| (400, TOO_LONG_AGO.to_owned()))));
        minutes(120).await;
        assert_eq!(sent(&exporter.scrape().await), 1075, "{status}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateways_refusal_is_believed_after_three_polls_and_not_before() {
    let scene = after_downtime(10).await;
    *scene.script.spoil.lock().unwrap() =
        Some(Box::new(|begin, _| (begin < "2026-03-10").then(|| (400, "<html>".to_owned()))));
    scene.apns("2026-03-20", 70);
    let log = Log::capture();
    let exporter = scene.start().await;
    let polls =
        |scene: &Scene| scene.script.asked.lock().unwrap().iter().filter(|(begin, _)| begin == "2026-03-07").count();
    let before = polls(&scene);
    let mut seen = Vec::new();
    for _ in 0..240 {
        minutes(1).await;
        seen.push((polls(&scene) - before, log.take_lines("they are lost").len()));
    }
    let lost_at = seen.iter().find(|(_, lost)| *lost > 0).map(|(polls, _)| *polls);
    assert_eq!(lost_at, Some(3), "{seen:?}");
    assert_eq!(seen.iter().map(|(_, lost)| lost).sum::<usize>(), 1);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_today_is_not_searched_for_an_old_day() {
    let scene = Scene::easemob("2026-03-10T12:00:00+08:00", "").await;
    let exporter = scene.start().await;
    minutes(6).await;
    let before = scene.script.asked.lock().unwrap().len();
    *scene.script.spoil.lock().unwrap() = Some(Box::new(|_, _| Some((400, "{}".to_owned()))));
    minutes(6).await;
    let asked = scene.script.asked.lock().unwrap().split_off(before);
    assert_eq!(asked.len(), 1, "one request a poll: {asked:?}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_network_that_comes_after_the_start_is_not_waited_for_an_hour() {
    let scene = Scene::feishu("2026-03-10T12:00:00+08:00", "").await;
    *scene.script.spoil.lock().unwrap() = Some(Box::new(|_, _| Some((503, String::new()))));
    let exporter = scene.start().await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(exporter.scrape().await.get(&format!("push_up{{{BOT}}}")), Some(0.0));
    *scene.script.spoil.lock().unwrap() = None;
    scene.say("day 2026-03-08", "30");
    minutes(1).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, BOT), "{page:#?}");
    exporter.stop().await;
}

/// Feishu's limit is 100 requests a minute: 300 departments with three windows each take a while.
#[tokio::test(start_paused = true)]
async fn readiness_waits_for_a_first_result_and_not_for_every_department() {
    let departments: Vec<String> = (0..300).map(|number| format!("od-{number}")).collect();
    let scene =
        Scene::feishu("2026-03-10T12:00:00+08:00", &format!(", departments: [{}]", departments.join(", "))).await;
    scene.say("day 2026-03-08", "30");
    let exporter = scene.start().await;
    seconds(5).await;
    assert_eq!(exporter.get("/-/ready").await, (200, "push-exporter is ready.\n".to_owned()));
    assert_eq!(exporter.scrape().await.get(&format!("push_up{{{BOT}}}")), None, "the poll goes on");
    minutes(30).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, BOT));
    assert_eq!(page.starting(&["push_department_window_messages_sent"]).len(), 300);
    exporter.stop().await;
}

/// Feishu is polled again the next morning: until then it is as it was.
#[tokio::test(start_paused = true)]
async fn a_report_that_is_not_due_is_as_it_was_before_a_restart() {
    let scene = Scene::feishu("2026-03-10T12:00:00+08:00", "").await;
    scene.say("day 2026-03-08", "30");
    let exporter = scene.start().await;
    minutes(30).await;
    assert!(is_up(&exporter.scrape().await, BOT));
    exporter.stop().await;
    let asked = scene.script.asked.lock().unwrap().len();
    let exporter = scene.start().await;
    assert!(is_up(&exporter.scrape().await, BOT));
    let status = exporter.get("/api/v1/status").await.1;
    assert!(status.contains(r#""state":"up""#), "{status}");
    minutes(60).await;
    assert_eq!(scene.script.asked.lock().unwrap().len(), asked, "nothing is due");
    // A reload may have brought other credentials, which nobody has tried.
    let other = scene.text.replace("app_secret: s", "app_secret: other");
    exporter.reload(&other).await.unwrap();
    assert_eq!(exporter.scrape().await.get(&format!("push_up{{{BOT}}}")), None);
    // What was failing is polled at once, and says nothing before.
    *scene.script.spoil.lock().unwrap() = Some(Box::new(|_, _| Some((500, "<html>".to_owned()))));
    scene.until("2026-03-11T13:00:00+08:00").await;
    assert!(failing(&exporter.scrape().await, BOT, r#"reason="server""#));
    exporter.stop().await;
    let exporter = scene.start().await;
    assert_ne!(exporter.scrape().await.get(&format!("push_up{{{BOT}}}")), Some(1.0));
    exporter.stop().await;
}

/// A day's watermark that cannot be read: the day goes on from a new baseline, the others are counted.
#[tokio::test(start_paused = true)]
async fn an_unreadable_watermark_of_a_day_costs_that_day_alone_a_step() {
    let scene = Scene::easemob("2026-03-09T12:00:00+08:00", "").await;
    let exporter = scene.start().await;
    scene.until("2026-03-11T12:00:00+08:00").await;
    scene.apns("2026-03-10", 10);
    scene.apns("2026-03-11", 100);
    minutes(10).await;
    assert_eq!(sent(&exporter.scrape().await), 110);
    exporter.stop().await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let sql = "UPDATE subject SET watermark = x'01ff' WHERE subject LIKE '%2026-03-10'";
    sqlite(&ledger, sql);
    scene.apns("2026-03-10", 12);
    scene.apns("2026-03-11", 103);
    let exporter = scene.start().await;
    minutes(10).await;
    assert_eq!(sent(&exporter.scrape().await), 113);
    scene.apns("2026-03-10", 13);
    minutes(10).await;
    let page = exporter.scrape().await;
    assert_eq!(sent(&page), 114);
    assert!(is_up(&page, CHAT));
    exporter.stop().await;
}
