//! Fifty apps of each provider for six hours, or a day in tests/long.sh, then two days of downtime and all that is due after it: simulators
//! that count requests in sliding windows, as the documents limit them, refuse none. In paused time, without
//! sockets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::simulator::Simulator;
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::getui::{GetuiApp, GetuiSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator, group_id};
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;

use crate::support::{Exporter, fast_dir, post};

const APPS: u64 = 50;

/// Hours before the downtime; `tests/long.sh` asks for a day.
fn hours() -> usize {
    std::env::var("PUSH_EXPORTER_LIMIT_HOURS").map_or(6, |hours| hours.parse().expect("a number of hours"))
}

/// Hosts by name, and when each request was sent, in Unix milliseconds.
struct Net {
    clock: Clock,
    hosts: Mutex<HashMap<String, Arc<dyn Simulator>>>,
    starts: Mutex<Vec<i64>>,
}

impl Net {
    /// Makes a simulator answer under a name.
    fn host<S: Simulator>(&self, name: String, simulator: S) -> Arc<S> {
        let simulator = Arc::new(simulator);
        self.hosts.lock().unwrap().insert(name, Arc::clone(&simulator) as Arc<dyn Simulator>);
        simulator
    }
}

impl Transport for Net {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            self.starts.lock().unwrap().push(self.clock.now().as_millisecond());
            let host = request.uri().host().unwrap().to_owned();
            let simulator = Arc::clone(&self.hosts.lock().unwrap()[&host]);
            // On its way, a little longer or shorter each time.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            let response = simulator.answer(&request);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            let (head, body) = response.into_parts();
            Ok(Reply { status: head.status, headers: head.headers, body })
        })
    }
}

/// The most requests that began within so many milliseconds.
fn most_within(starts: &[i64], ms: i64) -> usize {
    let within =
        |(index, start): (usize, &i64)| starts[index..].iter().take_while(|other| **other - start < ms).count();
    starts.iter().enumerate().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_passed_nor_after_downtime() {
    let clock = Clock::following_tokio("2026-03-10T08:00:00+08:00".parse().unwrap());
    let net = Arc::new(Net { clock: clock.clone(), hosts: Mutex::default(), starts: Mutex::default() });
    let mut text = "message_api: {token: t}\njpush:\n".to_owned();
    let mut jpush = Vec::new();
    for index in 0..APPS {
        // One of them is a group with a small plan: ten ids a call, a hundred calls a minute.
        let is_group = index == 0;
        let key = if is_group { "group-k0".to_owned() } else { format!("k{index}") };
        let per_minute = if is_group { 100 } else { 1200 };
        let app = JpushApp { seed: index, per_minute, ..JpushApp::demo(&key) };
        let secret = app.master_secret.clone();
        let account = match is_group {
            true => format!("group_key: k0, group_master_secret: {secret}, requests_per_minute: 100, users: [day]"),
            false => format!(
                "app_key: {key}, master_secret: {secret}, users: [hour, day, month], vendor_quota: true, test_devices: [02078f0f1b8]"
            ),
        };
        let url = format!("http://jpush{index}/v3");
        let _ = writeln!(text, "  - {{app: shop{index}, base_url: '{url}', push_url: '{url}', {account}}}");
        let simulator = JpushSimulator::new(clock.clone(), app);
        jpush.push(net.host(format!("jpush{index}"), simulator));
    }
    text += "easemob:\n";
    let mut easemob = Vec::new();
    for index in 0..APPS {
        let app = EasemobApp {
            seed: index,
            step: 3600,
            per_day: 2_000.0,
            ..EasemobApp::demo("acme", &format!("chat{index}"))
        };
        // Two of them ask for each platform apart, and one of those every minute.
        let more = match index {
            0 => ", platforms: [APNS, ANDROID, XIAOMIPUSH, HUAWEIPUSH, MEIZUPUSH, OPPOPUSH, VIVOPUSH, HONOR]",
            1 => {
                ", interval: 1m, platforms: [APNS, ANDROID, XIAOMIPUSH, HUAWEIPUSH, MEIZUPUSH, OPPOPUSH, VIVOPUSH, HONOR]"
            }
            _ => "",
        };
        let _ = writeln!(
            text,
            "  - {{app: chat{index}, base_url: 'http://easemob{index}', org_name: acme, app_name: chat{index}, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret{more}}}"
        );
        let simulator = EasemobSimulator::new(clock.clone(), app);
        easemob.push(net.host(format!("easemob{index}"), simulator));
    }
    text += "feishu:\n";
    let mut feishu = Vec::new();
    for index in 0..APPS {
        let id = format!("cli_{index}");
        let app = FeishuApp { seed: index, step: 3600, per_day: 100.0, users: 20, ..FeishuApp::demo(&id) };
        let more = if index == 0 { ", interval: 2m, departments: [od-sales, od-sales-east]" } else { "" };
        let _ = writeln!(
            text,
            "  - {{app: bot{index}, base_url: 'http://feishu{index}', app_id: {id}, app_secret: demo-app-secret-feishu{more}}}"
        );
        let simulator = FeishuSimulator::new(clock.clone(), app);
        feishu.push(net.host(format!("feishu{index}"), simulator));
    }
    let refused = || {
        let jpush: u64 = jpush.iter().map(|app| app.refused()).sum();
        let easemob: u64 = easemob.iter().map(|app| app.refused()).sum();
        (jpush, easemob, feishu.iter().map(|app| app.refused()).sum::<u64>())
    };
    let take_starts = || std::mem::take(&mut *net.starts.lock().unwrap());

    let folder = fast_dir();
    let start = || Exporter::start_through(Arc::clone(&net) as Arc<dyn Transport>, &text, folder.path(), &clock);
    let exporter = start().await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
    let hours = hours();
    for hour in 0..hours {
        let mut lines = String::new();
        for (index, app) in jpush.iter().enumerate().filter(|(index, _)| (index + hour) % 6 == 0) {
            let count = if index == 0 { 18_000 / hours } else { 1 };
            for _ in 0..count {
                let id = app.push(100);
                let id = if index == 0 { group_id(id) } else { id.to_string() };
                let _ = writeln!(lines, r#"{{"app":"shop{index}","msg_id":"{id}"}}"#);
            }
        }
        let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, lines.into()).await;
        assert_eq!(status, 200, "{answer}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_poll_failing"]), Default::default());
    assert_eq!(page.starting(&["push_up"]).values().sum::<i64>(), 49 * 4 + 2 + 50 + 50);
    assert_eq!(refused(), (0, 0, 0));
    let day = take_starts().len();
    exporter.stop().await;

    // After two days, every report is due at once, and 3,000 messages of one account.
    tokio::time::sleep(Duration::from_secs(2 * 86_400)).await;
    let exporter = start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = take_starts();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_poll_failing"]), Default::default());
    assert_eq!(refused(), (0, 0, 0));
    let group = r#"push_api_requests_total{provider="jpush",app="shop0",report="group_messages_detail",code="200"}"#;
    let calls = page.get(group).unwrap();
    assert!(calls >= 300.0, "{calls} calls: the backlog of 3,000 messages is worked off");
    // A few reports of a twentieth of a second, each with its token and first questions: not all of them at once.
    let at_once = most_within(&first, 50);
    assert!(at_once <= 20, "{at_once} requests within 50 ms after the start");
    println!(
        "{day} requests in {hours} hours; after downtime {} in the first second, at most {at_once} within 50 ms",
        first.len()
    );
    exporter.stop().await;
}

/// The same for the providers whose messages are told, counted by day, or listed.
#[tokio::test(start_paused = true)]
async fn engagelab_getui_and_onesignal_refuse_nothing_either() {
    let clock = Clock::following_tokio("2026-03-10T08:00:00+08:00".parse().unwrap());
    let net = Arc::new(Net { clock: clock.clone(), hosts: Mutex::default(), starts: Mutex::default() });
    let (mut abroad, mut getui, mut games) = (Vec::new(), Vec::new(), Vec::new());
    let mut text = "message_api: {token: t}\nengagelab:\n".to_owned();
    for index in 0..APPS {
        // As many a second as the document allows.
        let app = EngagelabApp { seed: index, per_second: 100, ..EngagelabApp::demo(&format!("key{index}")) };
        let (key, secret) = (&app.app_key, &app.master_secret);
        let _ = writeln!(
            text,
            "  - {{app: abroad{index}, base_url: 'http://abroad{index}', app_key: {key}, master_secret: {secret}, discover: [plans], users: [day]}}"
        );
        abroad.push(net.host(format!("abroad{index}"), EngagelabSimulator::new(clock.clone(), app)));
    }
    text += "getui:\n";
    for index in 0..APPS {
        // Every second app counts by task. As many a minute as the exporter takes for granted.
        let (delivery, per_day) = if index % 2 == 0 { ("push_task", 0.0) } else { ("push_date", 500.0) };
        let app = GetuiApp { seed: index, step: 3600, per_day, per_minute: 60, ..GetuiApp::demo(&format!("g{index}")) };
        let (id, key, secret) = (&app.app_id, &app.app_key, &app.master_secret);
        let _ = writeln!(
            text,
            "  - {{app: {id}, base_url: 'http://getui{index}/v2', app_id: {id}, app_key: {key}, master_secret: {secret}, delivery: {delivery}, users: [day], vendor_quota: true}}"
        );
        getui.push(net.host(format!("getui{index}"), GetuiSimulator::new(clock.clone(), app)));
    }
    text += "onesignal:\n";
    for index in 0..APPS {
        let id = format!("5eb5a37e-b458-11e3-ac11-{index:012}");
        let app = OnesignalApp { seed: index, ..OnesignalApp::demo(&id) };
        let key = &app.api_key;
        let _ =
            writeln!(text, "  - {{app: game{index}, base_url: 'http://game{index}', app_id: {id}, api_key: {key}}}");
        games.push(net.host(format!("game{index}"), OnesignalSimulator::new(clock.clone(), app)));
    }
    let refused = || {
        let abroad: u64 = abroad.iter().map(|app| app.refused()).sum();
        let getui: u64 = getui.iter().map(|app| app.refused()).sum();
        (abroad, getui, games.iter().map(|app| app.refused()).sum::<u64>())
    };
    let folder = fast_dir();
    let start = || Exporter::start_through(Arc::clone(&net) as Arc<dyn Transport>, &text, folder.path(), &clock);
    let exporter = start().await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
    let hours = hours();
    for hour in 0..hours {
        let mut lines = String::new();
        for index in (0..APPS as usize).filter(|index| (index + hour) % 6 == 0) {
            // One app of each has far more.
            for _ in 0..if index == 0 { 7_200 / hours } else { 1 } {
                let _ = writeln!(lines, r#"{{"app":"abroad{index}","msg_id":"{}"}}"#, abroad[index].push(100));
                if index % 2 == 0 {
                    let _ = writeln!(lines, r#"{{"app":"g{index}","msg_id":"{}"}}"#, getui[index].push(100));
                }
                games[index].push(100);
            }
        }
        let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, lines.into()).await;
        assert_eq!(status, 200, "{answer}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_poll_failing"]), Default::default());
    assert_eq!(page.starting(&["push_up"]).values().sum::<i64>(), 50 * 3 + 50 * 4 + 50);
    assert_eq!(refused(), (0, 0, 0));
    exporter.stop().await;

    // After two days every report is due at once.
    tokio::time::sleep(Duration::from_secs(2 * 86_400)).await;
    net.starts.lock().unwrap().clear();
    let exporter = start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(exporter.scrape().await.starting(&["push_poll_failing"]), Default::default());
    assert_eq!(refused(), (0, 0, 0));
    let requests = net.starts.lock().unwrap().len();
    assert!(requests > 500, "{requests} requests after downtime");
    exporter.stop().await;
}

/// The configuration of an Easemob app under a name: eight requests a poll, of ten in ten seconds.
fn easemob(name: &str) -> String {
    format!(
        "easemob:\n  - {{app: {name}, base_url: 'http://easemob', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret, interval: 1m, platforms: [APNS, ANDROID, XIAOMIPUSH, HUAWEIPUSH, MEIZUPUSH, OPPOPUSH, VIVOPUSH, HONOR]}}\n"
    )
}

/// The network in which that app is, and when requests were sent.
fn easemob_net(clock: &Clock) -> Arc<Net> {
    let net = Arc::new(Net { clock: clock.clone(), hosts: Mutex::default(), starts: Mutex::default() });
    let app = EasemobApp { step: 3600, ..EasemobApp::demo("acme", "chat") };
    net.host("easemob".to_owned(), EasemobSimulator::new(clock.clone(), app));
    net
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_the_accounts_whatever_its_app_is_called() {
    let clock = Clock::following_tokio("2026-03-10T08:00:00+08:00".parse().unwrap());
    let net = easemob_net(&clock);
    let folder = fast_dir();
    let transport = Arc::clone(&net) as Arc<dyn Transport>;
    let exporter = Exporter::start_through(transport, &easemob("chat"), folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    // Renamed in the middle of a poll, gone for a moment, and back under its old name.
    exporter.reload(&easemob("renamed")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = "feishu:\n  - {app: bot, base_url: 'http://easemob', app_id: cli_1, app_secret: x}\n";
    exporter.reload(other).await.unwrap();
    exporter.reload(&easemob("chat")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    let starts = std::mem::take(&mut *net.starts.lock().unwrap());
    // A token and Feishu's question beside them.
    assert!(starts.len() >= 12, "{} requests", starts.len());
    let within = most_within(&starts, 10_000);
    assert!(within <= 12, "{within} requests in ten seconds");
    exporter.stop().await;
    // A process knows nothing of what the one before has asked in the last ten seconds: half of it is left for that.
    let transport = Arc::clone(&net) as Arc<dyn Transport>;
    let exporter = Exporter::start_through(transport, &easemob("chat"), folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    let first = net.starts.lock().unwrap().len();
    assert!(first <= 6, "{first} requests in the first ten seconds, one of them for a token");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(net.starts.lock().unwrap().len() >= 16, "it goes on");
    exporter.stop().await;
}

/// A poll of eight requests has just begun when the app gets another name: the account has two of ten left for the next
/// ten seconds, and what is new under the name (a token) is asked for beside them.
#[tokio::test(start_paused = true)]
async fn an_app_that_is_renamed_during_a_poll_has_what_its_account_has_left() {
    let clock = Clock::following_tokio("2026-03-10T08:00:00+08:00".parse().unwrap());
    let net = easemob_net(&clock);
    let folder = fast_dir();
    let transport = Arc::clone(&net) as Arc<dyn Transport>;
    let exporter = Exporter::start_through(transport, &easemob("chat"), folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    net.starts.lock().unwrap().clear();
    while net.starts.lock().unwrap().len() < 8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    exporter.reload(&easemob("renamed")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    let starts = std::mem::take(&mut *net.starts.lock().unwrap());
    assert!(starts.len() >= 16, "both polls: {} requests", starts.len());
    let within = most_within(&starts, 10_000);
    assert!(within <= 11, "{within} requests in ten seconds");
    exporter.stop().await;
}
