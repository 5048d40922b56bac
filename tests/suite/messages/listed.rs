//! Messages that the provider itself lists with their numbers, with OneSignal's simulator: registered and counted page by
//! page, read again by age within one request a second, retired after five days, and each counted once.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalOutcome, OnesignalSimulator};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::{Fault, Faulty, Listen};
use crate::support::onesignal_totals::{APP_ID, GAME, add, config, series};
use crate::support::{Exporter, Log, Page, days, fast_dir, minutes, post, seconds, simulate, until};

const DAY: i64 = 86_400;
const BEGIN: &str = "2026-03-10T09:00:00Z";

fn of_report(family: &str) -> String {
    format!(r#"{family}{{{GAME},report="notifications"}}"#)
}

fn tracked(page: &Page, state: &str) -> Option<f64> {
    page.get(&format!(r#"push_tracked_messages{{{GAME},state="{state}"}}"#))
}

fn registered(page: &Page) -> Option<f64> {
    page.get(&format!(r#"push_messages_registered_total{{{GAME},source="discovery"}}"#))
}

/// The delivery counters of the app that are not 0, without those at ten minutes.
fn counted(page: &Page) -> BTreeMap<String, i64> {
    let mut counted = page.counters();
    counted.retain(|series, count| {
        let is_other = ["_at_10m_", "_restated_", "_registered_"].iter().any(|part| series.contains(part));
        *count != 0 && !is_other
    });
    counted
}

fn expected<'a>(
    simulator: &OnesignalSimulator,
    ids: impl IntoIterator<Item = &'a String>,
    at: i64,
) -> BTreeMap<String, i64> {
    let mut totals = BTreeMap::new();
    ids.into_iter().for_each(|id| add(&mut totals, &simulator.truth(id, at), 1));
    totals.retain(|_, count| *count != 0);
    totals
}

/// A simulator at `begin` and its clock.
async fn game(begin: &str) -> (Clock, Arc<OnesignalSimulator>, std::net::SocketAddr) {
    let clock = Clock::following_tokio(begin.parse().unwrap());
    let (simulator, address) = simulate(OnesignalSimulator::new(clock.clone(), OnesignalApp::demo(APP_ID))).await;
    (clock, simulator, address)
}

async fn poll_all(exporter: &Exporter) {
    let (status, answer) = post(exporter.address, "/-/poll?all=true", &[], Vec::new()).await;
    assert!((200..300).contains(&status), "{status} {answer}");
    minutes(2.0).await;
}

#[tokio::test(start_paused = true)]
async fn messages_are_found_and_counted_without_any_ids() {
    let (clock, simulator, address) = game("2026-03-08T09:00:00Z").await;
    let old = simulator.push(40_000);
    days(1.979).await;
    let recent = simulator.push(10_000);
    minutes(30.0).await;
    simulator.mail(5_000);
    let (folder, log) = (fast_dir(), Log::capture());
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(2.0).await;
    let page = exporter.scrape().await;
    // What was sent more than an hour before is remembered, not counted.
    let now = clock.now().as_second();
    assert_eq!(counted(&page), expected(&simulator, [&recent], now));
    assert_eq!(
        (registered(&page), tracked(&page, "live"), tracked(&page, "waiting")),
        (Some(2.0), Some(2.0), Some(0.0))
    );
    assert_eq!(page.get(&of_report("push_up")), Some(1.0));
    let (_, text) = exporter.get("/metrics").await;
    assert!(text.contains("OneSignal successful, without messages of Journeys"), "{text}");

    let new = simulator.push(20_000);
    minutes(2.5).await;
    let page = exporter.scrape().await;
    let now = clock.now().as_second();
    assert_eq!(counted(&page), expected(&simulator, [&recent, &new], now));
    assert_eq!((registered(&page), tracked(&page, "live")), (Some(3.0), Some(3.0)));

    // What the old message gains from now on counts.
    simulator.restate(&old, "ios", OnesignalOutcome::Converted, 17);
    let before = counted(&exporter.scrape().await)[&series("clicked", "ios", "apns")];
    poll_all(&exporter).await;
    let after = counted(&exporter.scrape().await);
    let now = clock.now().as_second();
    let grown = expected(&simulator, [&recent, &new], now)[&series("clicked", "ios", "apns")] + 17;
    assert_eq!(after[&series("clicked", "ios", "apns")], grown);
    assert!(grown >= before + 17);

    // A restart counts nothing again.
    exporter.stop().await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(0.5).await;
    assert_eq!(registered(&exporter.scrape().await), Some(3.0));
    let (_, status) = exporter.get("/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["apps"][0]["message_id_sources"], serde_json::json!(["discovery"]));
    exporter.stop().await;
    assert_eq!(simulator.refused(), 0);
    assert_eq!(log.take_lines("nobody's business"), Vec::<String>::new(), "texts of pushes are not logged");
    assert_eq!(log.take_lines("does not know"), Vec::<String>::new(), "nothing in the list is unknown");
}

/// A message, and what is to be known of it for the truth.
struct Sent {
    id: String,
    sent_at: i64,
    /// Its counts when the ledger first read it, if it was sent long before.
    baseline: BTreeMap<String, i64>,
    /// Whether it was read at an age of ten to twenty minutes.
    has_10m: bool,
}

#[tokio::test(start_paused = true)]
async fn a_simulated_month_of_messages_equals_the_truth() {
    let (clock, simulator, address) = game("2026-02-26T09:00:00Z").await;
    // Polls often enough for the numbers at ten minutes, seldom enough for a test.
    let more = "schedule: [{until: 30m, every: 8m}, {until: 2d, every: 3h}, {until: 5d, every: 12h}]";
    let folder = fast_dir();
    let mut sent: Vec<Sent> = Vec::new();
    let mut exporter = None;
    // Every six hours a push; the exporter starts on the third day, is restarted on the tenth, and away from the 17th to
    // the 25th day: longer than messages are read again.
    let mut restated: Option<(String, i64)> = None;
    for round in 0..30 * 4 {
        let (day, now) = (round / 4, clock.now().as_second());
        match (round % 4, day) {
            (1, 2) => exporter = Some(Exporter::start(&config(address, more), folder.path(), &clock).await),
            (2, 9) | (0, 16) => exporter.take().map(Exporter::stop).unwrap().await,
            (3, 9) | (0, 24) => exporter = Some(Exporter::start(&config(address, more), folder.path(), &clock).await),
            _ => {}
        }
        if round % 4 == 1 && day == 2 {
            minutes(10.0).await;
            for message in &mut sent {
                add(&mut message.baseline, &simulator.truth(&message.id, clock.now().as_second()), 1);
            }
        }
        for devices in [900, 40_000] {
            let id = simulator.push_at(devices, now + 660);
            sent.push(Sent { id, sent_at: now + 660, baseline: BTreeMap::new(), has_10m: exporter.is_some() });
        }
        simulator.mail(100);
        if day == 12 && round % 4 == 0 {
            // A number falls and comes back to more than it was.
            let id = &sent[sent.len() - 3].id;
            minutes(300.0).await;
            simulator.restate(id, "huawei", OnesignalOutcome::Successful, -50);
            restated = Some((id.clone(), clock.now().as_second()));
        }
        until(&clock, Timestamp::from_second(now + DAY / 4).unwrap()).await;
        if matches!((round % 4, day), (3, 8) | (3, 15) | (3, 29)) {
            let Some(exporter) = &exporter else { panic!("it runs") };
            if day == 29 {
                days(6.0).await;
            } else {
                poll_all(exporter).await;
            }
            let page = exporter.scrape().await;
            let now = clock.now().as_second();
            let mut totals = BTreeMap::new();
            let mut at_10m = BTreeMap::new();
            for message in &sent {
                let truth = simulator.truth(&message.id, now);
                add(&mut totals, &truth, 1);
                message.baseline.iter().for_each(|(series, count)| *totals.entry(series.clone()).or_default() -= count);
                if message.has_10m && message.sent_at + 1300 < now {
                    add(&mut at_10m, &simulator.truth(&message.id, message.sent_at + 700), 1);
                }
            }
            if restated.is_some() {
                // The counter stays where it was.
                *totals.entry(series("sent", "android", "huawei")).or_default() += 50;
            }
            totals.retain(|_, count| *count != 0);
            assert_eq!(counted(&page), totals, "day {day}");
            let sent_at_10m: BTreeMap<String, i64> = at_10m
                .into_iter()
                .map(|(series, count)| (series.replacen("_sent_total", "_sent_at_10m_total", 1), count))
                .filter(|(series, count)| series.contains("_at_10m_") && *count > 0)
                .collect();
            assert_eq!(page.starting(&["push_messages_sent_at_10m_total"]), sent_at_10m, "day {day}");
            assert!(totals.values().sum::<i64>() > 500_000, "{totals:?}");
        }
    }
    let exporter = exporter.unwrap();
    let page = exporter.scrape().await;
    let fallen = format!(r#"push_messages_restated_total{{{GAME},report="notifications",metric="sent"}}"#);
    assert_eq!(page.get(&fallen), Some(50.0));
    // All have retired, and those from before the downtime with their last numbers.
    assert_eq!((tracked(&page, "live"), tracked(&page, "waiting")), (Some(0.0), Some(0.0)));
    let within = sent
        .iter()
        .filter(|message| message.sent_at > "2026-02-23T09:00:00Z".parse::<Timestamp>().unwrap().as_second());
    assert_eq!(registered(&page), Some(within.count() as f64));
    assert_eq!(page.get(&of_report("push_up")), Some(1.0));
    exporter.stop().await;
    assert_eq!(simulator.refused(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_does_not_fit_its_interval_stays_inside_the_limit_and_says_how_late_it_is() {
    let (clock, simulator, address) = game(BEGIN).await;
    let now = clock.now().as_second();
    // Most are older than those that are read every minute.
    let ids: Vec<String> = (0..3_000).map(|number| simulator.push_at(1_000, now - 4 * DAY + number * 110)).collect();
    let folder = fast_dir();
    // With one interval at all ages the whole list is to be read every minute, which takes a minute and a half.
    let exporter = Exporter::start(&config(address, "interval: 1m"), folder.path(), &clock).await;
    let due = |page: &Page| page.get(&of_report("push_poll_due_timestamp_seconds")).unwrap();
    minutes(10.0).await;
    let mut latest: f64 = 0.0;
    let mut unread = Vec::new();
    for round in 0..8 {
        let new = simulator.push(1_000);
        seconds(67.0 + f64::from(round % 3)).await;
        let page = exporter.scrape().await;
        latest = latest.max(clock.now().as_second() as f64 - due(&page));
        let is_there = registered(&page) == Some(f64::from(3_000 + round + 1));
        unread.extend((!is_there).then_some(new));
        assert_eq!(page.get(&of_report("push_up")), Some(1.0));
    }
    assert!((30.0..200.0).contains(&latest), "the lateness that was shown: {latest} s");
    assert_eq!(unread, Vec::<String>::new(), "new messages are read every minute all the same");
    assert_eq!(simulator.refused(), 0, "one request a second");
    // Nothing is left out: each counts from its first reading on.
    let grown = &ids[0];
    simulator.restate(grown, "ios", OnesignalOutcome::Converted, 1_000_000);
    minutes(5.0).await;
    let clicked = counted(&exporter.scrape().await)[&series("clicked", "ios", "apns")];
    assert!(clicked >= 1_000_000, "{clicked}");
    exporter.stop().await;

    // With the schedule by age the same list is no burden.
    let before = simulator.calls();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert!(due(&page) > clock.now().as_second() as f64 - 5.0, "it is not late");
    let calls = simulator.calls() - before;
    assert!((60..500).contains(&calls), "{calls} requests in an hour");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn confirmed_deliveries_are_read_once_there_are_any() {
    let clock = Clock::following_tokio(BEGIN.parse().unwrap());
    let app = OnesignalApp { is_paid: false, ..OnesignalApp::demo(APP_ID) };
    let (simulator, address) = simulate(OnesignalSimulator::new(clock.clone(), app)).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    let first = simulator.push(10_000);
    minutes(30.0).await;
    let received = |page: &Page| page.starting(&["push_messages_received_total"]);
    assert_eq!(received(&exporter.scrape().await), BTreeMap::new(), "0 is not known to be a number");
    simulator.upgrade();
    let second = simulator.push(10_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    let now = clock.now().as_second();
    assert_eq!(counted(&page), expected(&simulator, [&first, &second], now));
    // Safari measures none.
    assert_eq!(received(&page).len(), 6, "{:?}", received(&page));
    assert!(received(&page).values().all(|count| *count > 0));
    // It is remembered over a restart: a message without any has 0, not nothing.
    exporter.stop().await;
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(5.0).await;
    assert_eq!(received(&exporter.scrape().await).len(), 6);
    // A message that was read without keeps to that when it is turned on again, so that nothing jumps.
    exporter.reload(&config(address, "confirmed_delivery: false")).await.unwrap();
    let third = simulator.push(10_000);
    minutes(30.0).await;
    let frozen = received(&exporter.scrape().await);
    exporter.reload(&config(address, "confirmed_delivery: true")).await.unwrap();
    minutes(40.0).await;
    let page = exporter.scrape().await;
    let now = clock.now().as_second();
    let mut expected = expected(&simulator, [&first, &second, &third], now);
    let mut without = BTreeMap::new();
    add(&mut without, &simulator.truth(&third, now), -1);
    for (series, count) in without.iter().filter(|(series, _)| series.contains("_received_")) {
        *expected.entry(series.clone()).or_default() += count;
    }
    expected.retain(|_, count| *count != 0);
    assert_eq!(counted(&page), expected);
    assert!(received(&page).iter().all(|(series, count)| *count >= frozen[series]));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_exists_from_its_send_time_on_unless_it_is_called_off() {
    let (clock, simulator, address) = game(BEGIN).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    let now = clock.now().as_second();
    // More than a page of scheduled messages, which no poll reads to their end.
    let later: Vec<String> = (0..200).map(|number| simulator.push_at(100, now + 3_600 + number)).collect();
    let called_off = simulator.push_at(9_000, now + 60);
    simulator.cancel(&called_off);
    let calls = simulator.calls();
    minutes(50.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page), tracked(&page, "waiting"), counted(&page)), (Some(0.0), Some(0.0), BTreeMap::new()));
    assert!(simulator.calls() - calls < 180, "{}", simulator.calls() - calls);
    minutes(30.0).await;
    poll_all(&exporter).await;
    let page = exporter.scrape().await;
    let now = clock.now().as_second();
    assert_eq!((registered(&page), tracked(&page, "live")), (Some(200.0), Some(200.0)));
    assert_eq!(counted(&page), expected(&simulator, &later, now));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_called_off_before_a_device_has_it_retires_at_once() {
    let (clock, simulator, address) = game(BEGIN).await;
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    minutes(1.2).await;
    // So few devices that all numbers are 0.
    let id = simulator.push(2);
    minutes(1.5).await;
    assert_eq!(tracked(&exporter.scrape().await, "live"), Some(1.0));
    simulator.cancel(&id);
    minutes(1.5).await;
    let page = exporter.scrape().await;
    assert_eq!((tracked(&page, "waiting"), tracked(&page, "live")), (Some(0.0), Some(0.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_deleted_retires_a_day_after_its_end() {
    let (clock, simulator, address) = game(BEGIN).await;
    let folder = fast_dir();
    let more = "schedule: [{until: 10m, every: 10m}, {until: 2d, every: 2h}]";
    let exporter = Exporter::start(&config(address, more), folder.path(), &clock).await;
    let id = simulator.push(9_000);
    minutes(15.0).await;
    simulator.delete(&id);
    let then = counted(&exporter.scrape().await);
    days(2.5).await;
    assert_eq!(tracked(&exporter.scrape().await, "live"), Some(1.0));
    days(0.7).await;
    let page = exporter.scrape().await;
    assert_eq!((tracked(&page, "live"), counted(&page)), (Some(0.0), then));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_walk_goes_on_and_a_cursor_that_expires_costs_nothing() {
    let (clock, simulator, address) = game(BEGIN).await;
    let now = clock.now().as_second();
    let ids: Vec<String> = (0..1_000).map(|number| simulator.push_at(100, now - 5 * DAY / 2 + number * 30)).collect();
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    seconds(15.0).await;
    let half = registered(&exporter.scrape().await).unwrap();
    assert!((100.0..900.0).contains(&half), "{half}");
    exporter.stop().await;
    let calls = simulator.calls();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    seconds(8.0).await;
    simulator.expire_cursors();
    seconds(52.0).await;
    assert_eq!(registered(&exporter.scrape().await), Some(1_000.0));
    let pages = simulator.calls() - calls;
    assert!(pages < 24, "{pages} requests; the pages before the restart are not read again");
    assert_eq!(exporter.scrape().await.get(&of_report("push_up")), Some(1.0));
    // All of them have been read: what they gain counts.
    for id in &ids {
        simulator.restate(id, "ios", OnesignalOutcome::Converted, 1);
    }
    poll_all(&exporter).await;
    let clicked = counted(&exporter.scrape().await)[&series("clicked", "ios", "apns")];
    assert_eq!(clicked, 1_000);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_retried_and_fails_alone() {
    let clock = Clock::following_tokio(BEGIN.parse().unwrap());
    let simulator = Arc::new(OnesignalSimulator::new(clock.clone(), OnesignalApp::demo(APP_ID)));
    let faulty = Faulty::new(Arc::clone(&simulator)).await;
    let now = clock.now().as_second();
    let old: Vec<String> = (0..120).map(|number| simulator.push_at(1_000, now - 3 * DAY + number * 60)).collect();
    let folder = fast_dir();
    let exporter = Exporter::start(&config(faulty.address, ""), folder.path(), &clock).await;
    minutes(3.0).await;
    assert_eq!(registered(&exporter.scrape().await), Some(120.0));
    // From now on the part of the list with the old messages fails, every time.
    let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
    let queries = Arc::clone(&seen);
    faulty.spoil(move |request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_old = query.contains("time_offset=2026-03-05");
        queries.lock().unwrap().insert(query);
        if is_old { Fault::answer(500, r#"{"errors":["Service temporarily unavailable"]}"#) } else { Fault::None }
    });
    minutes(200.0).await;
    let new = simulator.push(5_000);
    minutes(3.0).await;
    let page = exporter.scrape().await;
    let part = format!(r#"push_poll_failing{{{GAME},report="notifications",reason="server",scope="part"}}"#);
    assert_eq!((page.get(&of_report("push_up")), page.get(&part)), (Some(0.0), Some(1.0)), "{page:?}");
    assert_eq!(counted(&page), expected(&simulator, [&new], clock.now().as_second()), "the others go on");
    faulty.heal();
    simulator.restate(&old[0], "ios", OnesignalOutcome::Converted, 5);
    minutes(70.0).await;
    let page = exporter.scrape().await;
    assert_eq!((page.get(&of_report("push_up")), page.get(&part)), (Some(1.0), None));
    let clicked = counted(&page)[&series("clicked", "ios", "apns")];
    let now = clock.now().as_second();
    assert!(clicked >= expected(&simulator, [&new], now)[&series("clicked", "ios", "apns")] + 5, "{clicked}");

    // An outage is one of the whole report.
    faulty.listen(Listen::No);
    minutes(3.0).await;
    let page = exporter.scrape().await;
    let whole = format!(r#"push_poll_failing{{{GAME},report="notifications",reason="network"}}"#);
    assert_eq!(page.get(&whole), Some(1.0), "{page:?}");
    faulty.heal();
    let during = simulator.push(5_000);
    minutes(30.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&of_report("push_up")), Some(1.0));
    assert_eq!(registered(&page), Some(122.0));
    let sent = expected(&simulator, [&new, &during], clock.now().as_second())[&series("sent", "ios", "apns")];
    assert_eq!(counted(&page)[&series("sent", "ios", "apns")], sent);
    exporter.stop().await;
}
