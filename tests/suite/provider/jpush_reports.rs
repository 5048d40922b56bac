//! JPush's reports that are not by message: users, test devices, quotas of vendors. The document's own
//! examples against the numbers they hold, written out by hand, and an exporter in front of a provider whose
//! answers are set here.

use std::sync::Arc;

use base64::Engine;
use http::Request;
use jiff::civil::date;
use push_exporter::model::window::Window;
use push_exporter::provider::jpush::{parse_devices, parse_quotas, parse_users};
use push_exporter::provider::{SnapshotNumbers, WindowNumbers, WindowQuery};
use push_exporter::simulator::Simulator;
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, fast_dir, minutes, post, simulate};

fn days(first: (i16, i8, i8), last: (i16, i8, i8)) -> WindowQuery {
    let day = |(year, month, day)| Window::day(date(year, month, day));
    WindowQuery { first: day(first), last: day(last), scope: None }
}

/// Every count as `window platform state value`.
fn written(numbers: &WindowNumbers) -> Vec<String> {
    let mut lines: Vec<String> = numbers
        .windows
        .iter()
        .flat_map(|window| {
            window.users.iter().map(|users| {
                format!("{} {} {} {}", window.window.key(), users.platform.as_str(), users.state, users.value)
            })
        })
        .collect();
    lines.sort();
    lines
}

/// Every gauge that is not 0 as `name labels value`.
fn gauges(numbers: &SnapshotNumbers) -> Vec<String> {
    let line = |gauge: &push_exporter::model::reading::GaugeReading| {
        let labels: Vec<&str> = gauge.labels.iter().map(|(_, label)| label.as_str()).collect();
        format!("{} {} {}", gauge.family.name(), labels.join(" "), gauge.value)
    };
    let mut lines: Vec<String> = numbers.gauges.iter().filter(|gauge| gauge.value != 0).map(line).collect();
    lines.sort();
    lines
}

#[test]
fn the_documents_example_of_users() {
    let body = include_bytes!("../../fixtures/jpush/users.json");
    let numbers = parse_users(body, &days((2014, 6, 10), (2014, 6, 12))).unwrap();
    // The item of 2024-08-13 is out of the range that was asked for.
    let expected =
        ["day 2014-06-11 android active 1", "day 2014-06-12 android active 1", "day 2014-06-12 android online 2"];
    assert_eq!(written(&numbers), expected);
    assert_eq!(numbers.unknown, Vec::<String>::new());
}

#[test]
fn the_documents_example_of_group_users() {
    let body = include_bytes!("../../fixtures/jpush/group_users.json");
    let numbers = parse_users(body, &days((2020, 8, 6), (2020, 8, 7))).unwrap();
    // Two items of 2020-08-06 are one window.
    let expected = [
        "day 2020-08-06 android active 7",
        "day 2020-08-06 android new 5",
        "day 2020-08-06 android online 11",
        "day 2020-08-06 hmos active 7",
        "day 2020-08-06 hmos new 5",
        "day 2020-08-06 hmos online 11",
        "day 2020-08-07 android active 6",
        "day 2020-08-07 android new 2",
        "day 2020-08-07 android online 8",
    ];
    assert_eq!(written(&numbers), expected);
    assert_eq!((numbers.windows.len(), numbers.unknown.len()), (2, 0));
}

#[test]
fn hours_months_and_what_is_not_known() {
    let hours = WindowQuery {
        first: Window::hour(date(2026, 3, 10), 0),
        last: Window::hour(date(2026, 3, 10), 9),
        scope: None,
    };
    let body = br#"{"items":[{"time":"2026-03-10 09","ios":{"online":"3"}},{"time":"2026-03-10 10","ios":{"online":9}},
        {"time":"2026-03-10T08:00","ios":{"online":2,"new":null}},{"time":"2026-03-09 09","ios":{"online":7}}]}"#;
    let numbers = parse_users(body, &hours).unwrap();
    assert_eq!(written(&numbers), ["hour 2026-03-10 08 ios online 2", "hour 2026-03-10 09 ios online 3"]);

    let february = Window::holding(push_exporter::model::window::Unit::Month, date(2026, 2, 1));
    let month = WindowQuery { first: february, last: february, scope: None };
    let body = br#"{"items":[{"time":"2026-02","web":{"new":1},"android":{"new":-1,"left":4},"ios":null},{"android":{"new":5}},7]}"#;
    let numbers = parse_users(body, &month).unwrap();
    assert_eq!(written(&numbers), ["month 2026-02-01 web new 1"]);
    assert_eq!(
        numbers.unknown,
        ["android.left", "android.new", "web", "an item without a time", "an item without a time"]
    );
    assert!(parse_users(b"{}", &month).is_err(), "a success without items is none");
    assert!(parse_users(b"[]", &month).is_err());
}

#[test]
fn the_documents_example_of_status_message() {
    // Asked for three devices: two are of another app, one has it.
    let numbers = parse_devices(include_bytes!("../../fixtures/jpush/status_message.json"), 3).unwrap();
    assert_eq!(gauges(&numbers), ["push_test_devices delivered 1", "push_test_devices foreign 2"]);
    assert_eq!(numbers.gauges.len(), 6, "a 0 is known too");

    // 0 to 4 by the document, something new, and one that is not answered.
    let body =
        br#"{"a":{"status":0},"b":{"status":1},"c":{"status":2},"d":{"status":3},"e":{"status":4},"f":{"status":5}}"#;
    let numbers = parse_devices(body, 7).unwrap();
    let expected = ["delivered 1", "error 1", "foreign 1", "not_targeted 1", "undelivered 1", "unknown 2"];
    assert_eq!(gauges(&numbers), expected.map(|line| format!("push_test_devices {line}")));
    assert_eq!(numbers.unknown, ["status 5"]);
}

#[test]
fn quotas_of_vendors() {
    let numbers = parse_quotas(include_bytes!("../../fixtures/jpush/push_quota.json")).unwrap();
    let expected = [
        "push_vendor_quota newvendor operation 5",
        "push_vendor_quota vivo operation 10000",
        "push_vendor_quota vivo system 1000000",
        "push_vendor_quota xiaomi operation 50000",
        "push_vendor_quota_used vivo system 7",
        "push_vendor_quota_used xiaomi operation 1200",
    ];
    assert_eq!(gauges(&numbers), expected);
    assert_eq!(numbers.unknown, ["newvendor_quota"]);
    // −1: without a limit.
    let unlimited =
        br#"{"code":0,"data":{"huawei_quota":{"system":{"total":-1,"used":"-1"},"operation":{"total":-2,"used":3}}}}"#;
    let numbers = parse_quotas(unlimited).unwrap();
    assert_eq!(gauges(&numbers), ["push_vendor_quota_used huawei operation 3"]);
    assert_eq!(numbers.unknown, ["huawei_quota.operation.total"]);
}

/// What the simulated JPush answers: status and code.
fn simulated(simulator: &JpushSimulator, user: &str, method: &str, path: &str, body: &str) -> (u16, i64) {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:5e987ac6d2e04d95-demo"));
    let request = Request::builder()
        .method(method)
        .uri(format!("/v3/{path}"))
        .header("authorization", format!("Basic {credentials}"))
        .body(body.as_bytes().to_vec())
        .unwrap();
    let response = simulator.answer(&request);
    let answer: serde_json::Value = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), answer["error"]["code"].as_i64().unwrap_or(0))
}

#[tokio::test(start_paused = true)]
async fn the_simulator_checks_what_the_document_says() {
    let clock = Clock::following_tokio("2026-03-10T09:30:00+08:00".parse().unwrap());
    let simulator = |app: JpushApp| JpushSimulator::new(clock.clone(), app);
    let shop = simulator(JpushApp::demo("key"));
    let id = shop.push(100);
    let get = |path: &str| simulated(&shop, "key", "GET", path, "");
    // 用户统计: form, order and reach of the dates.
    for (query, expected) in [
        ("time_unit=DAY&start=2026-03-09&duration=1", (200, 0)),
        ("time_unit=HOUR&start=2026-03-10%2008&duration=1", (200, 0)),
        ("time_unit=MONTH&start=2026-02&duration=1", (200, 0)),
        ("time_unit=DAY&duration=1", (400, 3006)),
        ("time_unit=DAY&start=2026-03&duration=1", (400, 3004)),
        ("time_unit=HOUR&start=2026-03-10&duration=1", (400, 3004)),
        ("time_unit=WEEK&start=2026-03-09&duration=1", (400, 3004)),
        ("time_unit=DAY&start=2026-01-08&duration=1", (400, 3005)),
        ("time_unit=HOUR&start=2026-03-09%2008&duration=1", (400, 3005)),
        ("time_unit=DAY&start=2026-03-09&duration=3", (400, 3007)),
        ("time_unit=HOUR&start=2026-03-10%2009&duration=2", (400, 3007)),
        ("time_unit=DAY&start=2026-03-09&duration=0", (400, 3007)),
    ] {
        assert_eq!(get(&format!("users?{query}")), expected, "{query}");
    }
    // 最多支持 100 个 msg_id; ids are numbers.
    let ids = |count: u64| (0..count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(get(&format!("messages/detail?msg_ids={}", ids(100))), (200, 0));
    assert_eq!(get(&format!("messages/detail?msg_ids={}", ids(101))), (400, 3002));
    assert_eq!(get("received?msg_ids=x"), (400, 3002));
    // 送达状态查询: one message as a number, at most 1000 devices.
    let status = |body: String| simulated(&shop, "key", "POST", "status/message", &body);
    let devices = |count: usize| vec!["\"d\""; count].join(",");
    assert_eq!(status(format!(r#"{{"msg_id":{id},"registration_ids":[{}]}}"#, devices(1000))), (200, 0));
    assert_eq!(status(format!(r#"{{"msg_id":{id},"registration_ids":[{}]}}"#, devices(1001))), (400, 3002));
    assert_eq!(status(format!(r#"{{"msg_id":"{id}","registration_ids":["d"]}}"#)), (400, 3002));
    assert_eq!(status(format!(r#"{{"msg_id":{id},"registration_ids":["d"],"date":"10.3.2026"}}"#)), (400, 3002));
    assert_eq!(status(r#"{"msg_id":7,"registration_ids":["d"]}"#.to_owned()), (400, 3002));

    // Rights: who asks, the VIP plan, apps and groups.
    assert_eq!(simulated(&shop, "other", "GET", "push/quota", ""), (401, 3001));
    assert_eq!(get("push/quota"), (200, 0));
    assert_eq!(get("group/users?time_unit=DAY&start=2026-03-09"), (403, 2003));
    let free = simulator(JpushApp { is_vip: false, ..JpushApp::demo("key") });
    for (path, expected) in [
        ("received?msg_ids=1", (200, 0)),
        ("received/detail?msg_ids=1", (200, 0)),
        ("push/quota", (200, 0)),
        ("messages?msg_ids=1", (403, 2003)),
        ("messages/detail?msg_ids=1", (403, 2003)),
        ("users?time_unit=DAY&start=2026-03-09", (403, 2003)),
    ] {
        assert_eq!(simulated(&free, "key", "GET", path, ""), expected, "{path}");
    }
    let group = simulator(JpushApp::demo("group-9"));
    let of_group = |path: &str| simulated(&group, "group-9", "GET", path, "");
    assert_eq!(of_group("group/users?time_unit=DAY&start=2026-02-08&duration=1"), (200, 0));
    assert_eq!(of_group("group/users?time_unit=DAY&start=2026-02-07&duration=1"), (400, 3005));
    assert_eq!(of_group("users?time_unit=DAY&start=2026-03-09"), (403, 2003));
    let groups = |count: usize| vec!["a"; count].join(",");
    assert_eq!(of_group(&format!("group/messages/detail?group_msgids={}", groups(10))), (200, 0));
    assert_eq!(of_group(&format!("group/messages/detail?group_msgids={}", groups(11))), (400, 3002));
    // The limit of a minute.
    let narrow = simulator(JpushApp { per_minute: 2, ..JpushApp::demo("key") });
    let codes = [(); 3].map(|()| simulated(&narrow, "key", "GET", "received?msg_ids=1", ""));
    assert_eq!(codes, [(200, 0), (200, 0), (429, 2002)]);
}

/// An app with everything that is not by message, and a group.
const SHOP: &str = r#"provider="jpush",app="shop""#;

struct Scene {
    clock: Clock,
    fake: Arc<ScriptedProvider>,
    folder: tempfile::TempDir,
    address: std::net::SocketAddr,
}

impl Scene {
    async fn at(time: &str) -> Scene {
        let clock = Clock::following_tokio(time.parse().unwrap());
        let (fake, address) = simulate(ScriptedProvider::default()).await;
        Scene { clock, fake, folder: fast_dir(), address }
    }

    async fn start(&self, shop: &str) -> Exporter {
        let text = format!(
            "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://{0}/v3', push_url: 'http://{0}/p', app_key: key, master_secret: m4ster, {shop}}}\n",
            self.address
        );
        Exporter::start(&text, self.folder.path(), &self.clock).await
    }
}

fn users(report: &str, platform: &str, state: &str, window: &str) -> String {
    let app = if report == "users" { "shop" } else { "all" };
    format!(r#"push_users{{provider="jpush",app="{app}",platform="{platform}",state="{state}",window="{window}"}}"#)
}

#[tokio::test(start_paused = true)]
async fn users_of_the_newest_closed_hour_day_and_month() {
    let scene = Scene::at("2026-03-10T09:30:00+08:00").await;
    scene.fake.say(
        "/v3/users",
        200,
        r#"{"items":[{"time":"2026-03-10 07","android":{"new":1}},{"time":"2026-03-10 08","android":{"new":2,"online":30}},
            {"time":"2026-03-09","ios":{"active":40}},{"time":"2026-03-09","hmos":{"active":4}},{"time":"2026-02","android":{"new":600}}]}"#,
    );
    let exporter = scene.start("users: [hour, day, month]").await;
    minutes(0.2).await;
    let expected = [
        "key:m4ster GET /v3/users?time_unit=HOUR&start=2026-03-10+00&duration=9",
        "key:m4ster GET /v3/users?time_unit=DAY&start=2026-03-09&duration=1",
        "key:m4ster GET /v3/users?time_unit=MONTH&start=2026-02&duration=1",
    ];
    assert_eq!(scene.fake.take(), expected);
    let page = exporter.scrape().await;
    let shown: Vec<(String, i64)> = page.starting(&["push_users"]).into_iter().collect();
    let expected = [
        (users("users", "android", "new", "hour"), 2),
        (users("users", "android", "new", "month"), 600),
        (users("users", "android", "online", "hour"), 30),
        (users("users", "hmos", "active", "day"), 4),
        (users("users", "ios", "active", "day"), 40),
    ];
    assert_eq!(shown, expected);
    // 2026-03-10 09:00, 2026-03-10 00:00 and 2026-03-01 00:00 in Beijing.
    for (window, end) in [("hour", 1_773_104_400.0), ("day", 1_773_072_000.0), ("month", 1_772_294_400.0)] {
        let series = format!(r#"push_window_end_timestamp_seconds{{{SHOP},report="users",window="{window}"}}"#);
        assert_eq!(page.get(&series), Some(end), "{window}");
    }
    let change = format!(r#"push_data_last_change_timestamp_seconds{{{SHOP},report="users"}}"#);
    let changed = page.get(&change).unwrap();

    // The next poll is soon after 10:05, when nine o'clock is over; it brings no news for the day.
    minutes(41.0).await;
    let requests = scene.fake.take();
    assert_eq!(requests[0], "key:m4ster GET /v3/users?time_unit=HOUR&start=2026-03-10+00&duration=10");
    assert_eq!(requests.len(), 3);
    let page = exporter.scrape().await;
    // JPush does not have nine o'clock yet: the newest that it has stays.
    assert_eq!(page.get(&users("users", "android", "new", "hour")), Some(2.0));
    assert_eq!(page.get(&change), Some(changed));
    exporter.stop().await;

    // They are kept over a restart, before anything is asked.
    scene.fake.say("/v3/users", 500, "");
    let exporter = scene.start("users: [day, month]").await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&users("users", "ios", "active", "day")), Some(40.0));
    assert_eq!(page.get(&users("users", "android", "new", "hour")), None, "no longer configured");

    // A day that stays empty is shown as empty in the course of the next morning.
    scene.fake.say("/v3/users", 200, r#"{"items":[]}"#);
    minutes(15.0 * 60.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&users("users", "ios", "active", "day")), Some(40.0), "at 01:11 it may come yet");
    minutes(8.0 * 60.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&users("users", "ios", "active", "day")), None);
    let end = format!(r#"push_window_end_timestamp_seconds{{{SHOP},report="users",window="day"}}"#);
    assert_eq!(page.get(&end), Some(1_773_158_400.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hours_are_of_today_and_a_month_out_of_reach_is_no_failure() {
    let scene = Scene::at("2026-03-31T00:10:00+08:00").await;
    scene.fake.say("/v3/users", 400, r#"{"error":{"code":3005,"message":"too old"}}"#);
    let exporter = scene.start("users: [hour, month]").await;
    minutes(0.2).await;
    // No hour of today is over yet.
    assert_eq!(scene.fake.take(), ["key:m4ster GET /v3/users?time_unit=MONTH&start=2026-02&duration=1"]);
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!(r#"push_up{{{SHOP},report="users"}}"#)), Some(1.0));
    // For hours it is one.
    minutes(60.0).await;
    assert_eq!(scene.fake.count("time_unit=HOUR&start=2026-03-31+00&duration=1"), 1);
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{SHOP},report="users",reason="bad_request"}}"#)), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_has_users_of_its_own() {
    let scene = Scene::at("2020-08-08T09:00:00+08:00").await;
    scene.fake.say("/v3/group/users", 200, include_str!("../../fixtures/jpush/group_users.json"));
    let text = format!(
        "jpush:\n  - {{app: all, base_url: 'http://{}/v3', group_key: group-9439ee12, group_master_secret: s, users: [day]}}\n",
        scene.address
    );
    let exporter = Exporter::start(&text, scene.folder.path(), &scene.clock).await;
    minutes(0.2).await;
    assert_eq!(scene.fake.take(), ["group-9439ee12:s GET /v3/group/users?time_unit=DAY&start=2020-08-07&duration=1"]);
    let page = exporter.scrape().await;
    assert_eq!(page.get(&users("group_users", "android", "active", "day")), Some(6.0));
    assert_eq!(page.get(&users("group_users", "hmos", "active", "day")), None, "of the day before");
    assert_eq!(page.get(r#"push_up{provider="jpush",app="all",report="group_users"}"#), Some(1.0));
    exporter.stop().await;
}

async fn register(exporter: &Exporter, body: &str) {
    let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
    let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.as_bytes().to_vec()).await;
    assert_eq!(status, 200, "{answer}");
}

fn test_devices(status: &str) -> String {
    format!(r#"push_test_devices{{{SHOP},status="{status}"}}"#)
}

#[tokio::test(start_paused = true)]
async fn test_devices_are_asked_about_the_newest_messages() {
    let scene = Scene::at("2026-03-10T09:00:00+08:00").await;
    scene.fake.say("/v3/received/detail", 200, "[]");
    scene.fake.say("/v3/status/message", 200, r#"{"1506bfd3a7c568d4761":{"status":0},"02078f0f1b8":{"status":1}}"#);
    let keys = "test_devices: [1506bfd3a7c568d4761, 02078f0f1b8], intervals: {received_detail: 1d}";
    let exporter = scene.start(keys).await;
    minutes(0.2).await;
    let up = format!(r#"push_up{{{SHOP},report="status_message"}}"#);
    assert_eq!(exporter.scrape().await.get(&up), None, "nothing to ask about");
    assert_eq!(exporter.get("/-/ready").await.0, 200);

    // 2^53 + 1, sent yesterday evening in Beijing, when it was still that day in UTC; and 25 h ago.
    register(
        &exporter,
        r#"[{"app":"shop","msg_id":"9007199254740993","sent_at":"2026-03-09T23:30:00+08:00"},
            {"app":"shop","msg_id":18446744073709551615,"sent_at":"2026-03-10T00:30:00+08:00"},
            {"app":"shop","msg_id":7,"sent_at":"2026-03-09T08:00:00+08:00"}]"#,
    )
    .await;
    minutes(10.0).await;
    let asked: Vec<String> =
        scene.fake.take().into_iter().filter(|request| request.contains("status/message")).collect();
    let devices = r#""registration_ids":["1506bfd3a7c568d4761","02078f0f1b8"]"#;
    let expected = [
        format!(
            r#"key:m4ster POST /v3/status/message {{"date":"2026-03-10","msg_id":18446744073709551615,{devices}}}"#
        ),
        format!(r#"key:m4ster POST /v3/status/message {{"date":"2026-03-09","msg_id":9007199254740993,{devices}}}"#),
    ];
    assert_eq!(asked, expected);
    let page = exporter.scrape().await;
    let shown = |page: &crate::support::Page| {
        ["delivered", "undelivered", "foreign", "not_targeted", "error", "unknown"]
            .map(|status| page.get(&test_devices(status)))
    };
    assert_eq!(shown(&page), [2.0, 2.0, 0.0, 0.0, 0.0, 0.0].map(Some));

    // Two failed polls, the second after a wait twice as long; when the third is missed, they leave.
    scene.fake.say("/v3/status/message", 500, "");
    minutes(25.0).await;
    assert_eq!(shown(&exporter.scrape().await)[0], Some(2.0));
    minutes(12.0).await;
    assert_eq!(shown(&exporter.scrape().await), [None; 6]);
    assert_eq!(exporter.scrape().await.get(&up), Some(0.0));
    scene.fake.say("/v3/status/message", 200, r#"{"1506bfd3a7c568d4761":{"status":0},"02078f0f1b8":{"status":0}}"#);
    minutes(40.0).await;
    assert_eq!(shown(&exporter.scrape().await)[0], Some(4.0));

    // A day later no message is new enough, and what was said about them is not true any more.
    minutes(1440.0).await;
    assert_eq!(shown(&exporter.scrape().await), [None; 6]);
    exporter.stop().await;
}

/// Two messages, of which one is refused: its devices are unknown while the other message is answered. Refusals of both, and of
/// the credentials, are failures.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_leaves_the_test_devices_of_the_others() {
    const BAD: &str = r#"{"error":{"code":3002,"message":"Invalid parameter 'msg_id'."}}"#;
    let answers = Arc::new(std::sync::Mutex::new([(200, ""); 2]));
    let said = Arc::clone(&answers);
    let provider = ScriptedProvider::answering(move |request| {
        let body = String::from_utf8_lossy(request.body());
        let (status, text) = match request.uri().path().ends_with("/status/message") {
            true => said.lock().unwrap()[usize::from(!body.contains(r#""msg_id":1,"#))],
            false => (200, "[]"),
        };
        respond(status, if text.is_empty() { r#"{"d1":{"status":0},"d2":{"status":1}}"# } else { text })
    });
    let (_, address) = simulate(provider).await;
    let scene = Scene::at("2026-03-10T09:00:00+08:00").await;
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, app_key: key, master_secret: s, base_url: 'http://{address}/v3', \
         test_devices: [d1, d2], intervals: {{received_detail: 1d, status_message: 1m}}}}\n"
    );
    let exporter = Exporter::start(&text, scene.folder.path(), &scene.clock).await;
    register(&exporter, r#"[{"app":"shop","msg_id":1},{"app":"shop","msg_id":2}]"#).await;
    let bad = (400, BAD);
    for (says, shown, failing) in [
        ([(200, ""), (200, "")], Some([2.0, 2.0, 0.0]), None),
        ([bad, (200, "")], Some([1.0, 1.0, 2.0]), None),
        ([(200, ""), bad], Some([1.0, 1.0, 2.0]), None),
        // The other message is shown, and the failure is reported.
        ([(500, "x"), (200, "")], Some([1.0, 1.0, 2.0]), Some("server")),
        ([bad, bad], None, Some("bad_request")),
        ([(200, ""), (401, BAD)], None, Some("auth")),
    ] {
        *answers.lock().unwrap() = says;
        minutes(15.0).await;
        let page = exporter.scrape().await;
        let now = ["delivered", "undelivered", "unknown"].map(|status| page.get(&test_devices(status)));
        assert_eq!(now, shown.map_or([None; 3], |shown| shown.map(Some)), "{says:?}");
        let failures = page.starting(&["push_poll_failing"]);
        assert_eq!(failures.len(), usize::from(failing.is_some()), "{says:?}: {failures:?}");
        let reason = failing.map(|reason| format!(r#"reason="{reason}""#)).unwrap_or_default();
        assert!(failures.keys().all(|series| series.contains(&reason)), "{says:?}: {failures:?}");
        // Back to a success, so that each case begins at its own pace.
        *answers.lock().unwrap() = [(200, ""); 2];
        minutes(70.0).await;
    }
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_test_devices_and_messages_are_asked_for_in_parts() {
    let scene = Scene::at("2026-03-10T09:00:00+08:00").await;
    scene.fake.say("/v3/received/detail", 200, "[]");
    scene.fake.say("/v3/status/message", 200, r#"{"d0":{"status":0}}"#);
    let devices: Vec<String> = (0..1001).map(|device| format!("d{device}")).collect();
    let keys = format!("test_devices: [{}], intervals: {{received_detail: 1d}}", devices.join(", "));
    let exporter = scene.start(&keys).await;
    let ids: Vec<String> = (1..=25).map(|id| format!(r#"{{"app":"shop","msg_id":{id}}}"#)).collect();
    register(&exporter, &format!("[{}]", ids.join(","))).await;
    minutes(11.0).await;
    let asked = scene.fake.take();
    let asked: Vec<&String> = asked.iter().filter(|request| request.contains("status/message")).collect();
    assert_eq!(asked.len(), 40, "20 messages, each in two parts");
    assert_eq!(asked.iter().filter(|request| request.ends_with(r#""registration_ids":["d1000"]}"#)).count(), 20);
    let page = exporter.scrape().await;
    assert_eq!(page.get(&test_devices("delivered")), Some(40.0));
    assert_eq!(page.get(&test_devices("unknown")), Some(20.0 * 999.0), "those that are not answered");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn quotas_have_a_budget_apart_and_leave_when_they_are_old() {
    let scene = Scene::at("2026-03-10T09:00:00+08:00").await;
    scene.fake.say("/p/push/quota", 200, include_str!("../../fixtures/jpush/push_quota.json"));
    scene.fake.say("/v3/users", 200, r#"{"items":[]}"#);
    *scene.fake.headers.lock().unwrap() = vec![
        ("x-rate-limit-limit", "600".to_owned()),
        ("x-rate-limit-remaining", "0".to_owned()),
        ("x-rate-limit-reset", "60".to_owned()),
    ];
    let exporter = scene.start("vendor_quota: true, users: [day], intervals: {users: 5m}").await;
    minutes(0.2).await;
    assert_eq!(scene.fake.take().len(), 2, "that the push API is used up is nothing to the report API");
    let page = exporter.scrape().await;
    let quota = |name: &str, channel: &str, class: &str| {
        page.get(&format!(r#"push_vendor_quota{name}{{{SHOP},channel="{channel}",class="{class}"}}"#))
    };
    assert_eq!(quota("", "xiaomi", "operation"), Some(50_000.0));
    assert_eq!(quota("_used", "vivo", "system"), Some(7.0));
    assert_eq!(quota("_used", "vivo", "operation"), None, "JPush did not say");
    assert_eq!(quota("", "newvendor", "operation"), Some(5.0));
    let unknown = r#"push_unknown_fields_total{provider="jpush",report="vendor_quota"}"#;
    assert_eq!(page.get(unknown), Some(1.0));
    for api in ["report", "push"] {
        assert_eq!(page.get(&format!(r#"push_api_quota_remaining{{{SHOP},api="{api}"}}"#)), Some(0.0));
    }

    // A code in a success is a refusal.
    scene.fake.say("/p/push/quota", 200, r#"{"code":3001,"message":"Basic authentication failed"}"#);
    minutes(15.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{SHOP},report="vendor_quota",reason="auth"}}"#)), Some(1.0));
    assert_eq!(page.get(&format!(r#"push_up{{{SHOP},report="users"}}"#)), Some(1.0));
    assert_eq!(page.starting(&["push_vendor_quota"]).len(), 6);
    // Polls of the one API say nothing of the other's quota.
    assert_eq!(page.starting(&["push_api_quota_limit"]).len(), 2);
    minutes(22.0).await;
    assert_eq!(exporter.scrape().await.starting(&["push_vendor_quota"]).len(), 0);
    // What no answer tells any more leaves when a third poll is missed, after 15 minutes and a little.
    scene.fake.say("/v3/users", 500, "");
    scene.fake.headers.lock().unwrap().clear();
    let shown = async |api: &str| {
        let quota = format!(r#"push_api_quota_remaining{{{SHOP},api="{api}"}}"#);
        exporter.scrape().await.get(&quota).is_some()
    };
    minutes(14.0).await;
    assert!(shown("report").await);
    minutes(8.0).await;
    assert!(!shown("report").await);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_without_the_right_goes_quiet_and_the_others_go_on() {
    let scene = Scene::at("2026-03-10T09:00:00+08:00").await;
    scene.fake.say("/v3/received/detail", 200, r#"[{"msg_id":"1","jpush_received":5}]"#);
    let no_right = r#"{"error":{"code":2003,"message":"无权使用此接口"}}"#;
    scene.fake.say("/v3/users", 403, no_right);
    scene.fake.say("/v3/status/message", 403, no_right);
    scene.fake.say("/p/push/quota", 200, include_str!("../../fixtures/jpush/push_quota.json"));
    let keys = "users: [day], test_devices: [a1], vendor_quota: true, messages: {ids: [1]}, intervals: {users: 10s}";
    let exporter = scene.start(keys).await;
    minutes(60.5).await;
    // After 5, 10, 20, 40 and 80 s, then every 100 s; after 5 s and twice as long each time up to an hour.
    assert_eq!(scene.fake.count("/v3/users"), 40);
    assert_eq!(scene.fake.count("/v3/status/message"), 10);
    assert_eq!(scene.fake.count("/p/push/quota"), 7);
    assert!(scene.fake.count("/v3/received/detail") > 19);
    let page = exporter.scrape().await;
    for (report, up) in [("users", 0.0), ("status_message", 0.0), ("vendor_quota", 1.0), ("received_detail", 1.0)] {
        assert_eq!(page.get(&format!(r#"push_up{{{SHOP},report="{report}"}}"#)), Some(up), "{report}");
    }
    let (_, status) = exporter.get("/api/v1/status").await;
    assert!(status.contains("remove users and test_devices"), "{status}");
    exporter.stop().await;
}
