//! Numbers that come late, fall, vanish or lie on an edge of the calendar, and clocks that are set. Against
//! providers whose answers are set by hand, with totals added up by hand beside each step.

use jiff::{SignedDuration, Timestamp};

use crate::support::jpush_script::{self, received, register, tracked};
use crate::support::window_scripts::{Scene, restated};
use crate::support::{Log, Page, days, minutes};

const APNS: &str =
    r#"push_messages_sent_total{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification"}"#;
const BOT: &str =
    r#"push_messages_sent_total{provider="feishu",app="bot",platform="any",channel="bot",kind="message"}"#;

/// The gauge of a closed window of Feishu: when it ended and its value.
fn closed(page: &Page, window: &str) -> (Option<Timestamp>, Option<f64>) {
    let end = format!(r#"provider="feishu",app="bot",report="message_push_overview",window="{window}""#);
    let end = page.get(&format!("push_window_end_timestamp_seconds{{{end}}}"));
    let value = format!(r#"provider="feishu",app="bot",platform="any",channel="bot",kind="message",window="{window}""#);
    let value = page.get(&format!("push_window_messages_sent{{{value}}}"));
    (end.map(|end| Timestamp::from_second(end as i64).unwrap()), value)
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn easemob_restates_a_day_up_and_down() {
    let scene = Scene::easemob("2026-03-10T23:00:00+08:00", "").await;
    let exporter = scene.start().await;
    minutes(6).await;
    // Nothing was there at the first answer, so all of it counts.
    scene.apns("2026-03-10", 1000);
    scene.until("2026-03-11T09:01:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(APNS), Some(1000.0));
    // The day is over; by day: what it is restated to, the counter, the sum of what has fallen.
    for (hour, says, counter, fallen) in [
        ("2026-03-11T10", 1040, 1040.0, 0.0),
        ("2026-03-11T12", 1000, 1040.0, 40.0),
        // Up again, not as far as it had been.
        ("2026-03-11T14", 1030, 1040.0, 40.0),
        // A new low: 10 below the last one.
        ("2026-03-11T16", 990, 1040.0, 50.0),
        // A new highest starts afresh.
        ("2026-03-12T10", 1100, 1100.0, 50.0),
        ("2026-03-12T12", 1099, 1100.0, 51.0),
        // The last hour before it settles, three days after its end.
        ("2026-03-13T22", 1107, 1107.0, 51.0),
    ] {
        scene.until(&format!("{hour}:01:00+08:00")).await;
        scene.apns("2026-03-10", says);
        minutes(10).await;
        let page = exporter.scrape().await;
        assert_eq!((page.get(APNS), restated(&page)), (Some(counter), fallen), "{hour}");
    }
    // Settled, it is not asked for any more.
    scene.until("2026-03-14T00:11:00+08:00").await;
    assert_eq!(scene.last_asked(), ("2026-03-11".to_owned(), "2026-03-14".to_owned()));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn easemob_leaves_yesterday_out_and_brings_it_back() {
    let scene = Scene::easemob("2026-03-10T09:00:00+08:00", "").await;
    let exporter = scene.start().await;
    minutes(6).await;
    scene.apns("2026-03-10", 300);
    scene.until("2026-03-11T08:01:00+08:00").await;
    scene.withdraw("2026-03-10");
    scene.apns("2026-03-11", 20);
    minutes(10).await;
    let page = exporter.scrape().await;
    assert_eq!((page.get(APNS), restated(&page)), (Some(320.0), 0.0));
    let day = r#"push_window_messages_sent{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification",window="day"}"#;
    assert_eq!(page.get(day), None, "the answer says nothing of yesterday, so the gauge does not either");
    scene.apns("2026-03-10", 310);
    minutes(10).await;
    let page = exporter.scrape().await;
    assert_eq!((page.get(APNS), page.get(day)), (Some(330.0), Some(310.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn easemob_over_the_end_of_a_year() {
    let scene = Scene::easemob("2026-12-31T22:00:00+08:00", "").await;
    scene.apns("2026-12-31", 500);
    let exporter = scene.start().await;
    scene.until("2026-12-31T23:57:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(APNS), Some(0.0), "the baseline");
    scene.apns("2026-12-31", 520);
    scene.until("2027-01-01T00:01:00+08:00").await;
    // The last pushes of the year come after it, together with the first of the new one.
    scene.apns("2026-12-31", 530);
    scene.apns("2027-01-01", 5);
    minutes(10).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(APNS), Some(35.0));
    assert_eq!(scene.last_asked(), ("2026-12-29".to_owned(), "2027-01-01".to_owned()));
    let end = r#"push_window_end_timestamp_seconds{provider="easemob",app="chat",report="offline_push",window="day"}"#;
    // 2027-01-01 00:00 in Beijing is 2026-12-31 16:00 UTC, 1798732800.
    assert_eq!(page.get(end), Some(1_798_732_800.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_zone_that_is_set_right_is_followed_at_once() {
    // 2026-03-10 13:00 in New York is the 11th, 01:00 in Beijing.
    let mut scene = Scene::easemob("2026-03-10T13:00:00-04:00", ", timezone: America/New_York").await;
    scene.apns("2026-03-09", 70);
    scene.apns("2026-03-10", 80);
    let exporter = scene.start().await;
    minutes(6).await;
    let end = r#"push_window_end_timestamp_seconds{provider="easemob",app="chat",report="offline_push",window="day"}"#;
    let day = r#"push_window_messages_sent{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification",window="day"}"#;
    let page = exporter.scrape().await;
    // The 9th, which ended in New York at 2026-03-10 04:00 UTC, 1773115200.
    assert_eq!((page.get(end), page.get(day)), (Some(1_773_115_200.0), Some(70.0)));
    exporter.stop().await;
    // In Kathmandu, UTC+5:45, it is the 10th still, 22:45, and the 9th ended at 2026-03-09 18:15 UTC, 1773080100.
    scene.text = scene.text.replace("America/New_York", "Asia/Kathmandu");
    scene.apns("2026-03-09", 75);
    let exporter = scene.start().await;
    minutes(6).await;
    let page = exporter.scrape().await;
    assert_eq!((page.get(end), page.get(day)), (Some(1_773_080_100.0), Some(75.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn easemob_where_clocks_change_for_summer() {
    // New York: 2026-03-08 has 23 hours, 2026-11-01 has 25.
    let scene = Scene::easemob("2026-03-07T12:00:00-05:00", ", timezone: America/New_York").await;
    scene.apns("2026-03-07", 100);
    let exporter = scene.start().await;
    minutes(6).await;
    scene.apns("2026-03-07", 110);
    scene.until("2026-03-08T23:50:00-04:00").await;
    scene.apns("2026-03-08", 200);
    scene.until("2026-03-09T00:10:00-04:00").await;
    scene.apns("2026-03-09", 7);
    minutes(10).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(APNS), Some(10.0 + 200.0 + 7.0));
    let end = r#"push_window_end_timestamp_seconds{provider="easemob",app="chat",report="offline_push",window="day"}"#;
    // 2026-03-09 00:00 in New York is 04:00 UTC, 1773028800.
    assert_eq!(page.get(end), Some(1_773_028_800.0));
    exporter.stop().await;

    // Half past eleven in the evening of the long day, which would be past midnight without its 25th hour.
    scene.until("2026-10-31T12:00:00-04:00").await;
    let exporter = scene.start().await;
    scene.until("2026-11-02T04:30:00Z").await;
    assert_eq!(scene.last_asked(), ("2026-10-29".to_owned(), "2026-11-01".to_owned()));
    scene.apns("2026-11-01", 40);
    scene.until("2026-11-02T05:10:00Z").await;
    assert_eq!(scene.last_asked(), ("2026-10-30".to_owned(), "2026-11-02".to_owned()));
    let page = exporter.scrape().await;
    assert_eq!(page.get(APNS), Some(217.0 + 40.0));
    // 2026-11-02 00:00 in New York is 05:00 UTC, 1793595600.
    assert_eq!(page.get(end), Some(1_793_595_600.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn feishu_late_silent_and_after_the_weekend() {
    // A Tuesday. Wednesday the 11th is the first day that began with the exporter there.
    let scene = Scene::feishu("2026-03-10T09:00:00+08:00", "").await;
    scene.say("day 2026-03-07", "900");
    scene.say("day 2026-03-08", "800");
    let exporter = scene.start().await;
    scene.until("2026-03-12T12:00:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(BOT), Some(0.0), "the days before are the baseline");
    // The 11th should be there on the 13th at ten, and comes at two in the afternoon.
    scene.until("2026-03-13T14:00:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(0.0));
    assert!(page.starting(&["push_poll_failing"]).is_empty(), "what is late is no failure");
    scene.say("day 2026-03-11", "120");
    scene.until("2026-03-13T15:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(120.0));
    assert_eq!(closed(&page, "day"), (at("2026-03-12T00:00:00+08:00"), Some(120.0)));
    // A day later it is read once more.
    scene.say("day 2026-03-11", "125");
    scene.say("day 2026-03-12", "80");
    scene.until("2026-03-14T10:15:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(BOT), Some(125.0 + 80.0));
    scene.say("day 2026-03-13", "70");
    scene.until("2026-03-15T10:15:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(BOT), Some(275.0));
    // On Saturday and Sunday the bot was silent: on Tuesday Saturday has closed empty.
    scene.until("2026-03-17T10:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(275.0));
    assert_eq!(closed(&page, "day"), (at("2026-03-15T00:00:00+08:00"), None), "absent is not 0");
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    // On Wednesday Monday is there, and Sunday has nothing for good.
    scene.say("day 2026-03-16", "60");
    scene.say("week 2026-03-09", "275");
    scene.until("2026-03-18T10:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(335.0));
    assert_eq!(closed(&page, "day"), (at("2026-03-17T00:00:00+08:00"), Some(60.0)));
    assert_eq!(closed(&page, "week"), (at("2026-03-16T00:00:00+08:00"), Some(275.0)));
    exporter.stop().await;

    // Two days' downtime: the 17th and the 18th are caught up, that step is real.
    scene.say("day 2026-03-17", "11");
    scene.say("day 2026-03-18", "22");
    scene.until("2026-03-20T10:20:00+08:00").await;
    let exporter = scene.start().await;
    minutes(5).await;
    assert_eq!(exporter.scrape().await.get(BOT), Some(335.0 + 11.0 + 22.0));
    exporter.stop().await;

    // Six weeks' downtime, and Feishu knows April alone: March is lost, and said to be.
    *scene.script.too_old_before.lock().unwrap() = "2026-04-01".to_owned();
    for day in 1..=28 {
        scene.say(&format!("day 2026-04-{day:02}"), "10");
    }
    scene.until("2026-05-01T09:00:00+08:00").await;
    let log = Log::capture();
    let exporter = scene.start().await;
    minutes(5).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(368.0 + 280.0));
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    // From the 10th, which was unsettled when the clock was last confirmed, to the 31st a day each, and March.
    assert_eq!(log.take_lines("no longer has data that old").len(), 22 + 1);
    minutes(120).await;
    assert_eq!(log.take_lines("no longer has data that old").len(), 0, "it is not asked for again");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn feishu_over_the_end_of_a_year() {
    // Monday 2026-12-28 to Sunday 2027-01-03 is a week of both years.
    let scene = Scene::feishu("2026-12-28T12:00:00+08:00", "").await;
    let exporter = scene.start().await;
    for (day, count) in [("2026-12-29", "1"), ("2026-12-30", "20"), ("2026-12-31", "300")] {
        scene.say(&format!("day {day}"), count);
    }
    scene.say("month 2026-12-01", "9321");
    scene.until("2027-01-02T10:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(321.0));
    assert_eq!(closed(&page, "month"), (at("2027-01-01T00:00:00+08:00"), Some(9321.0)));
    assert_eq!(closed(&page, "day"), (at("2027-01-01T00:00:00+08:00"), Some(300.0)));
    for day in 1..=3 {
        scene.say(&format!("day 2027-01-0{day}"), "4000");
    }
    scene.say("week 2026-12-28", "12321");
    scene.until("2027-01-05T10:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(12_321.0));
    assert_eq!(closed(&page, "week"), (at("2027-01-04T00:00:00+08:00"), Some(12_321.0)));
    assert_eq!(closed(&page, "month"), (at("2027-01-01T00:00:00+08:00"), Some(9321.0)), "January goes on");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn feishus_clock_is_set_back_an_hour_and_forward_a_day() {
    let scene = Scene::feishu("2026-03-10T09:00:00+08:00", "").await;
    let exporter = scene.start().await;
    for (day, count) in [("2026-03-11", "100"), ("2026-03-12", "200")] {
        scene.say(&format!("day {day}"), count);
    }
    scene.until("2026-03-14T12:00:00+08:00").await;
    assert_eq!(exporter.scrape().await.get(BOT), Some(300.0));
    for hours in [-1, 1, 24] {
        scene.clock.step(SignedDuration::from_hours(hours));
        minutes(90).await;
        assert_eq!(exporter.scrape().await.get(BOT), Some(300.0), "after a step of {hours} h");
    }
    // By the clock that is ahead, the 13th has been due for hours; it was not there. Set right again, it comes
    // when it should, and is counted.
    scene.clock.step(SignedDuration::from_hours(-24));
    minutes(60).await;
    scene.say("day 2026-03-13", "5");
    scene.until("2026-03-15T11:15:00+08:00").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(BOT), Some(305.0));
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_vanish_come_back_and_wait_out_downtime() {
    let scene = jpush_script::Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":70,"ios_apns_received":30"#);
    register(&exporter, &[(1, None)]).await;
    minutes(5.0).await;
    let jpush = |page: &Page| received(page, "any", "jpush", "any");
    let apns = |page: &Page| received(page, "ios", "apns", "notification");
    let page = exporter.scrape().await;
    assert_eq!((jpush(&page), apns(&page)), (Some(70.0), Some(30.0)));
    // All of it vanishes, then one field of it, then it falls, then it grows on.
    for (says, expected, fallen) in [
        ("", (Some(70.0), Some(30.0)), 0.0),
        (r#""jpush_received":75"#, (Some(75.0), Some(30.0)), 0.0),
        (r#""jpush_received":null,"ios_apns_received":31"#, (Some(75.0), Some(31.0)), 0.0),
        (r#""jpush_received":60,"ios_apns_received":31"#, (Some(75.0), Some(31.0)), 15.0),
        (r#""jpush_received":74,"ios_apns_received":30"#, (Some(75.0), Some(31.0)), 16.0),
        (r#""jpush_received":80,"ios_apns_received":40"#, (Some(80.0), Some(40.0)), 16.0),
    ] {
        match says {
            "" => drop(scene.script.items.lock().unwrap().remove(&1)),
            says => scene.say(1, says),
        }
        minutes(10.0).await;
        let page = exporter.scrape().await;
        assert_eq!(((jpush(&page), apns(&page)), restated(&page)), (expected, fallen), "{says}");
        assert_eq!(tracked(&page), (0.0, 1.0), "a message without numbers is asked for on");
    }
    exporter.stop().await;

    // Away for two days: it grew by 20, another was sent meanwhile, and its sender registers it late.
    scene.say(1, r#""jpush_received":100,"ios_apns_received":40"#);
    scene.say(2, r#""jpush_received":9"#);
    days(2.0).await;
    let exporter = scene.start("").await;
    register(&exporter, &[(2, Some(scene.now() - 86_400))]).await;
    minutes(5.0).await;
    assert_eq!(jpush(&exporter.scrape().await), Some(100.0 + 9.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_while_the_clock_is_set() {
    let scene = jpush_script::Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":10"#);
    register(&exporter, &[(1, None)]).await;
    minutes(5.0).await;
    let mut total = 10;
    for hours in [-1, 24, -24, 1] {
        scene.clock.step(SignedDuration::from_hours(hours));
        total += 5;
        scene.say(1, &format!(r#""jpush_received":{total}"#));
        minutes(31.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(f64::from(total)), "after a step of {hours} h");
        assert_eq!((tracked(&page), restated(&page)), ((0.0, 1.0), 0.0));
    }
    exporter.stop().await;
}
