//! A month in one paused runtime: simulators, exporter and clock. At three points every delivery series
//! on the page equals the truth; days, weeks and months close when they should; one day comes late, one
//! is restated up, one down; the exporter is restarted on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use push_exporter::clock::Clock;
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator, Outcome};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator, Overview};

use crate::support::{Exporter, Page, fast_dir, simulate};

/// Easemob's keys and what DESIGN's field map makes of them, by hand.
const CHANNELS: [(&str, &str, &str); 8] = [
    ("APNS", "ios", "apns"),
    ("ANDROID", "android", "fcm"),
    ("XIAOMIPUSH", "android", "xiaomi"),
    ("HUAWEIPUSH", "android", "huawei"),
    ("MEIZUPUSH", "android", "meizu"),
    ("OPPOPUSH", "android", "oppo"),
    ("VIVOPUSH", "android", "vivo"),
    ("HONOR", "android", "honor"),
];
const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Success, "sent"), (Outcome::Fail, "failed"), (Outcome::Arrive, "received")];
const DEPARTMENTS: [&str; 2] = ["od-sales", "od-sales-east"];

struct Month {
    clock: Clock,
    start: Timestamp,
    easemob: Arc<EasemobSimulator>,
    feishu: Arc<FeishuSimulator>,
    /// What Easemob had already when the exporter first asked.
    before: BTreeMap<(&'static str, &'static str), i64>,
    /// By how much Easemob's and Feishu's sent counters stay above numbers that were taken back.
    taken_back: [i64; 2],
}

/// Midnight in Beijing, and hours after it.
fn beijing(day: &str, hours: f64) -> Timestamp {
    let midnight: Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
    midnight + SignedDuration::from_secs((hours * 3600.0) as i64)
}

/// The days from `first` to `last`.
fn days(first: &str, last: &str) -> Vec<String> {
    let (first, last): (jiff::civil::Date, jiff::civil::Date) = (first.parse().unwrap(), last.parse().unwrap());
    first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).map(|day| day.to_string()).collect()
}

impl Month {
    /// Lets time pass until 100 s after an instant: between two polls, when no event is under way.
    async fn until(&self, at: Timestamp) {
        let left = (at + SignedDuration::from_secs(100)).duration_since(self.clock.now());
        tokio::time::sleep(Duration::try_from(left).expect("time runs forward")).await;
    }

    fn easemob_total(&self, days: &[String], platform: &str, outcome: Outcome) -> i64 {
        days.iter().map(|day| self.easemob.truth(day, platform, outcome)).sum()
    }

    /// Every counter that must be on the page. `today` is a date; Feishu has published up to `published`.
    fn counters(&self, today: &str, published: &str) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for (platform, os, channel) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let total = self.easemob_total(&days("2026-02-28", today), platform, outcome);
                if total == 0 {
                    continue;
                }
                let corrected = if (platform, name) == ("HUAWEIPUSH", "sent") { self.taken_back[0] } else { 0 };
                let labels =
                    format!(r#"provider="easemob",app="chat",platform="{os}",channel="{channel}",kind="notification""#);
                let before = self.before[&(platform, name)];
                expected.insert(format!("push_messages_{name}_total{{{labels}}}"), total - before + corrected);
            }
        }
        // Days that began before the exporter was first started, at 2026-03-03 09:00, are the baseline.
        let counted: Vec<Overview> =
            days("2026-03-04", published).iter().map(|day| self.feishu.truth(day, day, None)).collect();
        let labels = r#"provider="feishu",app="office-bot",platform="any",channel="bot",kind="message""#;
        let sums = [
            ("sent", counted.iter().map(|day| day.send_msg_count).sum::<i64>() + self.taken_back[1]),
            ("read_within_1h", counted.iter().map(|day| day.read_in_1h_count).sum()),
            ("read_within_12h", counted.iter().map(|day| day.read_in_12h_count).sum()),
        ];
        for (name, sum) in sums {
            expected.insert(format!("push_messages_{name}_total{{{labels}}}"), sum);
        }
        for (provider, app, report, metrics, sent) in [
            ("easemob", "chat", "offline_push", ["sent", "failed", "received"], self.taken_back[0]),
            (
                "feishu",
                "office-bot",
                "message_push_overview",
                ["sent", "read_within_1h", "read_within_12h"],
                self.taken_back[1],
            ),
        ] {
            for metric in metrics {
                let labels = format!(r#"provider="{provider}",app="{app}",report="{report}",metric="{metric}""#);
                let fallen = if metric == "sent" { sent } else { 0 };
                expected.insert(format!("push_messages_restated_total{{{labels}}}"), fallen);
            }
        }
        expected
    }

    /// Every window gauge that must be on the page, for these newest closed windows.
    fn gauges(&self, yesterday: &str, closed: [(&str, &str, &str); 3]) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for (platform, os, channel) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let count = self.easemob.truth(yesterday, platform, outcome);
                if count > 0 {
                    let labels = format!(
                        r#"provider="easemob",app="chat",platform="{os}",channel="{channel}",kind="notification",window="day""#
                    );
                    expected.insert(format!("push_window_messages_{name}{{{labels}}}"), count);
                }
            }
        }
        let end = |day: &str| beijing(day, 24.0).as_second();
        let labels = r#"provider="easemob",app="chat",report="offline_push",window="day""#;
        expected.insert(format!("push_window_end_timestamp_seconds{{{labels}}}"), end(yesterday));
        for (window, first, last) in closed {
            let owner = r#"provider="feishu",app="office-bot""#;
            for department in [None, Some(DEPARTMENTS[0]), Some(DEPARTMENTS[1])] {
                let truth = self.feishu.truth(first, last, department);
                let (name, more) = match department {
                    None => ("push_window", String::new()),
                    Some(department) => ("push_department_window", format!(r#",department="{department}""#)),
                };
                let split = r#"platform="any",channel="bot",kind="message""#;
                let mut messages = |metric: &str, value| {
                    expected.insert(
                        format!(r#"{name}_messages_{metric}{{{owner},{split},window="{window}"{more}}}"#),
                        value,
                    );
                };
                messages("sent", truth.send_msg_count);
                messages("read_within_1h", truth.read_in_1h_count);
                messages("read_within_12h", truth.read_in_12h_count);
                expected.insert(
                    format!(r#"{name}_users_reached{{{owner},window="{window}"{more}}}"#),
                    truth.send_user_count,
                );
            }
            let labels = format!(r#"{owner},report="message_push_overview",window="{window}""#);
            expected.insert(format!("push_window_end_timestamp_seconds{{{labels}}}"), end(last));
        }
        expected
    }
}

fn gauges_of(page: &Page) -> BTreeMap<String, i64> {
    page.starting(&["push_window_", "push_department_"])
}

fn feishu_end(page: &Page, window: &str) -> i64 {
    let labels = format!(r#"provider="feishu",app="office-bot",report="message_push_overview",window="{window}""#);
    page.get(&format!("push_window_end_timestamp_seconds{{{labels}}}")).map_or(0, |end| end as i64)
}

/// Compares series by series, to say which one differs.
fn assert_same(page: BTreeMap<String, i64>, truth: BTreeMap<String, i64>, when: &str) {
    for (series, value) in &truth {
        assert_eq!(page.get(series), Some(value), "{when}: {series}");
    }
    let more: Vec<_> = page.keys().filter(|series| !truth.contains_key(*series)).collect();
    assert!(more.is_empty(), "{when}: these series should not be there: {more:?}");
}

#[tokio::test(start_paused = true)]
async fn every_series_equals_the_truth() {
    // A Tuesday. Ten seconds past a multiple of five minutes, so that polls fall between events.
    let start = beijing("2026-03-03", 9.0) + SignedDuration::from_secs(10);
    let clock = Clock::following_tokio(start);
    let easemob = EasemobApp { step: 300, kept: 60, per_day: 60_000.0, ..EasemobApp::demo("acme", "chat") };
    let feishu = FeishuApp { step: 300, kept: 120, per_day: 600.0, users: 300, ..FeishuApp::demo("cli_month") };
    let (secrets, app_secret) = (easemob.client_secret.clone(), feishu.app_secret.clone());
    let (easemob, easemob_address) = simulate(EasemobSimulator::new(clock.clone(), easemob)).await;
    let (feishu, feishu_address) = simulate(FeishuSimulator::new(clock.clone(), feishu)).await;
    let folder = fast_dir();
    let text = format!(
        "easemob:\n  - {{app: chat, base_url: 'http://{easemob_address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: {secrets}}}\n\
         feishu:\n  - {{app: office-bot, base_url: 'http://{feishu_address}', app_id: cli_month, app_secret: {app_secret}, departments: [od-sales, od-sales-east]}}\n"
    );
    let mut before = BTreeMap::new();
    for (platform, ..) in CHANNELS {
        for (outcome, name) in OUTCOMES {
            let of_days = days("2026-02-28", "2026-03-03");
            before.insert((platform, name), of_days.iter().map(|day| easemob.truth(day, platform, outcome)).sum());
        }
    }
    let mut month = Month { clock: clock.clone(), start, easemob, feishu, before, taken_back: [0, 0] };
    let exporter = Exporter::start(&text, folder.path(), &clock).await;

    // First start: everything the providers had is the baseline, and the gauges are there at once. Before
    // 10:00 on Tuesday the newest day is Saturday, February's last; the week before it is closed, and so is
    // February.
    month.until(month.start).await;
    let page = exporter.scrape().await;
    assert!(page.counters().values().all(|count| *count == 0), "{:?}", page.counters());
    let february = ("month", "2026-02-01", "2026-02-28");
    let closed = [("day", "2026-02-28", "2026-02-28"), ("week", "2026-02-16", "2026-02-22"), february];
    assert_same(gauges_of(&page), month.gauges("2026-03-02", closed), "at the first start");

    // At 10:00 (and up to ten minutes) Sunday appears, and its week closes.
    month.until(beijing("2026-03-03", 9.9)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "week"), beijing("2026-02-23", 0.0).as_second());
    month.until(beijing("2026-03-03", 10.25)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "day"), beijing("2026-03-02", 0.0).as_second());
    assert_eq!(feishu_end(&page, "week"), beijing("2026-03-02", 0.0).as_second());

    // The first point: Monday 2026-03-09, 12:00. Feishu has Saturday the 7th.
    month.until(beijing("2026-03-09", 12.0)).await;
    let page = exporter.scrape().await;
    let closed = [("day", "2026-03-07", "2026-03-07"), ("week", "2026-02-23", "2026-03-01"), february];
    assert_same(page.counters(), month.counters("2026-03-09", "2026-03-07"), "first point");
    assert_same(gauges_of(&page), month.gauges("2026-03-08", closed), "first point");

    // A restart: the first scrape is complete, and nothing has changed.
    exporter.stop().await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let again = exporter.scrape().await;
    assert_same(again.counters(), page.counters(), "after a restart");
    assert_same(gauges_of(&again), gauges_of(&page), "after a restart");

    // Feishu's 10th, due on the 12th at 10:00, comes at 14:30; until then the 9th is the newest.
    month.feishu.delay("2026-03-10", beijing("2026-03-12", 14.5).as_second());
    // Easemob's 11th is missing from every answer until the 12th at 12:00.
    month.easemob.delay("2026-03-11", beijing("2026-03-12", 12.0).as_second());
    month.until(beijing("2026-03-12", 14.25)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "day"), beijing("2026-03-10", 0.0).as_second());
    month.until(beijing("2026-03-12", 15.75)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "day"), beijing("2026-03-11", 0.0).as_second());

    // The 12th is restated up on the 13th, the 13th down on the 14th: counters follow up, never down.
    month.until(beijing("2026-03-13", 15.0)).await;
    month.easemob.restate("2026-03-12", "OPPOPUSH", Outcome::Success, 500);
    month.until(beijing("2026-03-14", 15.0)).await;
    let sent = r#"push_messages_sent_total{provider="easemob",app="chat",platform="android",channel="huawei",kind="notification"}"#;
    let highest = exporter.scrape().await.get(sent).unwrap();
    month.easemob.restate("2026-03-13", "HUAWEIPUSH", Outcome::Success, -300);
    month.taken_back[0] = 300;
    month.until(beijing("2026-03-14", 15.25)).await;
    assert!(exporter.scrape().await.get(sent).unwrap() >= highest);
    // Feishu reads each day once more a day later: the 16th is restated up, the 17th down after the
    // first reading.
    month.until(beijing("2026-03-18", 15.0)).await;
    month.feishu.restate("2026-03-16", 40);
    month.until(beijing("2026-03-19", 15.0)).await;
    month.feishu.restate("2026-03-17", -7);
    month.taken_back[1] = 7;

    // The second point: Friday 2026-03-20, 12:00.
    month.until(beijing("2026-03-20", 12.0)).await;
    let page = exporter.scrape().await;
    let closed = [("day", "2026-03-18", "2026-03-18"), ("week", "2026-03-09", "2026-03-15"), february];
    assert_same(page.counters(), month.counters("2026-03-20", "2026-03-18"), "second point");
    assert_same(gauges_of(&page), month.gauges("2026-03-19", closed), "second point");

    // March closes when its last day appears, on 2026-04-02 at 10:00.
    month.until(beijing("2026-04-02", 9.9)).await;
    assert_eq!(feishu_end(&exporter.scrape().await, "month"), beijing("2026-03-01", 0.0).as_second());

    // The third point: Friday 2026-04-03, 12:00.
    month.until(beijing("2026-04-03", 12.0)).await;
    let page = exporter.scrape().await;
    let march = ("month", "2026-03-01", "2026-03-31");
    let closed = [("day", "2026-04-01", "2026-04-01"), ("week", "2026-03-23", "2026-03-29"), march];
    assert_same(page.counters(), month.counters("2026-04-03", "2026-04-01"), "third point");
    assert_same(gauges_of(&page), month.gauges("2026-04-02", closed), "third point");

    // A month of polls, on time and within the limits; tokens were renewed before they expired.
    assert_eq!((month.easemob.refused(), month.feishu.refused()), (0, 0));
    let errors = page.starting(&["push_poll_errors_total"]);
    assert_eq!((errors.len(), errors.values().sum::<i64>()), (20, 0));
    let refusals: Vec<_> = page
        .0
        .keys()
        .filter(|name| {
            name.starts_with("push_api_requests_total") && (name.contains("code=\"4") && !name.contains("404"))
        })
        .collect();
    assert!(refusals.is_empty(), "{refusals:?}");
    // One poll a day with some twenty questions, and hourly ones while the late day was awaited.
    let asked = page
        .starting(&[r#"push_api_requests_total{provider="feishu",app="office-bot",report="message_push_overview""#]);
    let asked: i64 = asked.values().sum();
    assert!((25 * 14..25 * 30).contains(&asked), "{asked} requests since the restart 25 days ago");
    let token_requests = month.easemob.token_requests();
    assert!((31 * 12..31 * 14).contains(&token_requests), "{token_requests} tokens of two hours in 31 days");
    exporter.stop().await;
}
