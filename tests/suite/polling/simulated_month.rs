//! A month in one paused runtime: simulators, exporter and clock. At three points every delivery series
//! on the page equals the truth; days, weeks and months close when they should; one day comes late, one
//! is restated up, one down; the exporter is restarted on the way.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use push_exporter::simulator::easemob::{EasemobApp, EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::util::clock::Clock;

use crate::support::window_totals::{WindowTruth, assert_same, beijing, feishu_end, gauges_of, unaccounted};
use crate::support::{Exporter, fast_dir, simulate, until};

/// The exporter and what it must show.
struct Month {
    clock: Clock,
    start: Timestamp,
    truth: WindowTruth,
}

impl Month {
    /// Lets time pass until 100 s after an instant: between two polls, when no event is under way.
    async fn until(&self, at: Timestamp) {
        until(&self.clock, at + SignedDuration::from_secs(100)).await;
    }
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
    let truth = WindowTruth::new(easemob, feishu, "2026-03-03");
    let mut month = Month { clock: clock.clone(), start, truth };
    let exporter = Exporter::start(&text, folder.path(), &clock).await;

    // First start: everything the providers had is the baseline, and the gauges are there at once. Before
    // 10:00 on Tuesday the newest day is Saturday, February's last; the week before it is closed, and so is
    // February.
    month.until(month.start).await;
    let page = exporter.scrape().await;
    assert!(page.counters().values().all(|count| *count == 0), "{:?}", page.counters());
    let february = ("month", "2026-02-01", "2026-02-28");
    let closed = [("day", "2026-02-28", "2026-02-28"), ("week", "2026-02-16", "2026-02-22"), february];
    assert_same(gauges_of(&page), month.truth.gauges("2026-03-02", closed), "at the first start");

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
    assert_same(page.counters(), month.truth.counters("2026-03-09", "2026-03-07"), "first point");
    assert_same(gauges_of(&page), month.truth.gauges("2026-03-08", closed), "first point");

    // A restart: the first scrape is complete, and nothing has changed.
    exporter.stop().await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let again = exporter.scrape().await;
    assert_same(again.counters(), page.counters(), "after a restart");
    assert_same(gauges_of(&again), gauges_of(&page), "after a restart");

    // Feishu's 10th, due on the 12th at 10:00, comes at 14:30; until then the 9th is the newest.
    month.truth.feishu.delay("2026-03-10", beijing("2026-03-12", 14.5).as_second());
    // Easemob's 11th is missing from every answer until the 12th at 12:00.
    month.truth.easemob.delay("2026-03-11", beijing("2026-03-12", 12.0).as_second());
    month.until(beijing("2026-03-12", 14.25)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "day"), beijing("2026-03-10", 0.0).as_second());
    month.until(beijing("2026-03-12", 15.75)).await;
    let page = exporter.scrape().await;
    assert_eq!(feishu_end(&page, "day"), beijing("2026-03-11", 0.0).as_second());

    // The 12th is restated up on the 13th, the 13th down on the 14th: counters follow up, never down.
    month.until(beijing("2026-03-13", 15.0)).await;
    month.truth.easemob.restate("2026-03-12", "OPPOPUSH", EasemobOutcome::Success, 500);
    month.until(beijing("2026-03-14", 15.0)).await;
    let sent = r#"push_messages_sent_total{provider="easemob",app="chat",platform="android",channel="huawei",kind="notification"}"#;
    let highest = exporter.scrape().await.get(sent).unwrap();
    month.truth.easemob.restate("2026-03-13", "HUAWEIPUSH", EasemobOutcome::Success, -300);
    month.truth.taken_back[0] = 300;
    month.until(beijing("2026-03-14", 15.25)).await;
    assert!(exporter.scrape().await.get(sent).unwrap() >= highest);
    // Feishu reads each day once more a day later: the 16th is restated up, the 17th down after the
    // first reading.
    month.until(beijing("2026-03-18", 15.0)).await;
    month.truth.feishu.restate("2026-03-16", 40);
    month.until(beijing("2026-03-19", 15.0)).await;
    month.truth.feishu.restate("2026-03-17", -7);
    month.truth.taken_back[1] = 7;

    // The second point: Friday 2026-03-20, 12:00.
    month.until(beijing("2026-03-20", 12.0)).await;
    let page = exporter.scrape().await;
    let closed = [("day", "2026-03-18", "2026-03-18"), ("week", "2026-03-09", "2026-03-15"), february];
    assert_same(page.counters(), month.truth.counters("2026-03-20", "2026-03-18"), "second point");
    assert_same(gauges_of(&page), month.truth.gauges("2026-03-19", closed), "second point");

    // March closes when its last day appears, on 2026-04-02 at 10:00.
    month.until(beijing("2026-04-02", 9.9)).await;
    assert_eq!(feishu_end(&exporter.scrape().await, "month"), beijing("2026-03-01", 0.0).as_second());

    // The third point: Friday 2026-04-03, 12:00.
    month.until(beijing("2026-04-03", 12.0)).await;
    let page = exporter.scrape().await;
    let march = ("month", "2026-03-01", "2026-03-31");
    let closed = [("day", "2026-04-01", "2026-04-01"), ("week", "2026-03-23", "2026-03-29"), march];
    assert_same(page.counters(), month.truth.counters("2026-04-03", "2026-04-01"), "third point");
    assert_same(gauges_of(&page), month.truth.gauges("2026-04-02", closed), "third point");

    // Nothing is missing: of Easemob's day three metrics agree; of Feishu's week from the 16th on, the 17th was lowered by 7
    // after it had been counted. February began before the exporter did.
    let (differing, compared) = unaccounted(&page);
    let week = r#"push_window_unaccounted_messages{provider="feishu",app="office-bot",metric="sent",window="week"}"#;
    assert_eq!((differing, compared), (BTreeMap::from([(week.to_owned(), -7)]), 6));

    // A month of polls, on time and within the limits; tokens were renewed before they expired.
    assert_eq!((month.truth.easemob.refused(), month.truth.feishu.refused()), (0, 0));
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
    let token_requests = month.truth.easemob.token_requests();
    assert!((31 * 12..31 * 14).contains(&token_requests), "{token_requests} tokens of two hours in 31 days");
    exporter.stop().await;
}
