//! The providers' own SDKs for Python against the simulators: what they read is what the exporter shows. So
//! neither the simulators nor the clients are right only for each other.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use push_exporter::util::clock::Clock;

use crate::support::onesignal_totals::{APP_ID, config};
use crate::support::{Exporter, Page, fast_dir, post, simulate, tool};

/// Runs a script of tests/sdk and reads the series that it prints.
async fn numbers(script: &'static str, args: Vec<String>) -> BTreeMap<String, i64> {
    serde_json::from_slice(&run(script, args).await).unwrap()
}

/// Runs a script of tests/sdk and returns what it prints.
async fn run(script: &'static str, args: Vec<String>) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python").display().to_string();
    let script = root.join("tests/sdk").join(script).display().to_string();
    let args: Vec<String> = std::iter::once(script).chain(args).collect();
    let output = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        tool(&python, &args, b"")
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Scrapes until a page is as it should be.
async fn scrape_until(exporter: &Exporter, what: &str, is_it: impl Fn(&Page) -> bool) -> Page {
    for _ in 0..300 {
        let page = exporter.scrape().await;
        if is_it(&page) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("still not: {what}; {:#?}", exporter.scrape().await);
}

/// The delivery counters of these metrics that are not 0.
fn deliveries<const N: usize>(page: &Page, metrics: [&str; N]) -> BTreeMap<String, i64> {
    let prefixes = metrics.map(|metric| format!("push_messages_{metric}_total{{"));
    let mut shown = page.starting(&prefixes.each_ref().map(String::as_str));
    shown.retain(|_, count| *count != 0);
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn jpush() {
    // A calendar of its own, in real time, since the SDK is another process.
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let mut text = "new_series_hold: 0s\nmessage_api: {token: t0ken}\njpush:\n".to_owned();
    let mut apps = Vec::new();
    for (index, report) in ["received", "received_detail", "messages", "messages_detail"].into_iter().enumerate() {
        let app = JpushApp { seed: index as u64 + 7, ..JpushApp::demo(&format!("key{index}")) };
        let (key, secret) = (app.app_key.clone(), app.master_secret.clone());
        let devices = format!("{},ffff", app.devices.join(","));
        let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
        let more = if report == "messages_detail" {
            format!("users: [day, month], test_devices: [{devices}]")
        } else {
            String::new()
        };
        text += &format!(
            "  - {{app: {report}, base_url: 'http://{address}/v3', app_key: {key}, master_secret: {secret}, delivery: {report}, interval: 1s, {more}}}\n"
        );
        apps.push((report, simulator, format!("http://{address}/v3/"), key, secret, devices));
    }
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let mut ids = BTreeMap::new();
    for (report, simulator, ..) in &apps {
        let pushed = [simulator.push(50_000), simulator.push_message(9_000), simulator.push(400)];
        let body: Vec<String> = pushed.iter().map(|id| format!(r#"{{"app":"{report}","msg_id":"{id}"}}"#)).collect();
        let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
        let body = format!("[{}]", body.join(",")).into_bytes();
        assert_eq!(post(exporter.address, "/api/v1/messages", &headers, body).await.0, 200);
        ids.insert(*report, pushed.map(|id| id.to_string()).join(","));
    }
    // Some of it has arrived; nothing happens any more.
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (_, simulator, ..) in &apps {
        simulator.freeze();
    }
    for (report, _, url, key, secret, devices) in apps {
        let args = [&url, report, &key, &secret, report, &ids[report], "2026-03-09", "2026-02", "2026-03-10", &devices];
        let mut expected = numbers("jpush_numbers.py", args.map(str::to_owned).to_vec()).await;
        expected.retain(|_, count| *count != 0);
        assert!(expected.len() >= 4, "{expected:?}");
        let owner = format!(r#"provider="jpush",app="{report}""#);
        let of_app = |page: &Page| -> BTreeMap<String, i64> {
            let metrics = ["targeted", "sent", "pushed_online", "received", "displayed", "clicked"];
            let mut shown = page.starting(
                &metrics.map(|metric| format!("push_messages_{metric}_total{{{owner}")).each_ref().map(String::as_str),
            );
            shown.extend(page.starting(&[&format!("push_users{{{owner}"), &format!("push_test_devices{{{owner}")]));
            shown.retain(|_, count| *count != 0);
            shown
        };
        let page = scrape_until(&exporter, "the SDK's numbers", |page| of_app(page) == expected).await;
        assert_eq!(of_app(&page), expected);
    }
    exporter.stop().await;
}

/// Runs a script of tests/sdk and returns the lines that it prints.
async fn lines(script: &'static str, args: Vec<String>) -> Vec<String> {
    let printed = run(script, args).await;
    String::from_utf8(printed).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_answers_of_jpush_bring_the_numbers() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let app = JpushApp::demo("key");
    let secret = app.master_secret.clone();
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
    let text = format!(
        "new_series_hold: 0s\nmessage_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://{address}/v3', push_url: 'http://{address}/v3', \
         app_key: key, master_secret: {secret}, delivery: messages_detail, discover: [schedules], intervals: {{messages_detail: 1s, schedules: 1s}}}}\n"
    );
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let url = format!("http://{address}/v3/");
    let mut said = lines("jpush_push.py", vec![url.clone(), "key".to_owned(), secret.clone()]).await;
    let schedule = said.pop().unwrap();
    assert_eq!(said.len(), 3, "{said:?}");
    // A line behind each push call: what JPush said, as it came.
    for answer in &said {
        let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/x-www-form-urlencoded")];
        let (status, answer) =
            post(exporter.address, "/api/v1/messages?app=shop", &headers, answer.clone().into_bytes()).await;
        assert_eq!((status, answer.as_str()), (200, r#"{"received":1,"new":1,"too_old":0}"#));
    }
    // And one that nobody tells.
    let mut ids: Vec<String> = said
        .iter()
        .map(|answer| serde_json::from_str::<serde_json::Value>(answer).unwrap()["msg_id"].as_str().unwrap().to_owned())
        .collect();
    ids.push(simulator.push_on_schedule(&schedule, 7_000).to_string());
    tokio::time::sleep(Duration::from_secs(8)).await;
    simulator.freeze();
    let (day, month, sent) = ("2026-03-09", "2026-02", "2026-03-10");
    let args = [&url, "shop", "key", &secret, "messages_detail", &ids.join(","), day, month, sent, "ffff"];
    let mut expected = numbers("jpush_numbers.py", args.map(str::to_owned).to_vec()).await;
    expected.retain(|series, count| *count != 0 && series.starts_with("push_messages_"));
    assert!(expected.len() > 20, "{expected:?}");
    let shown = |page: &Page| deliveries(page, ["targeted", "sent", "received", "displayed", "clicked"]);
    let page = scrape_until(&exporter, "the SDK's numbers", |page| shown(page) == expected).await;
    assert_eq!(shown(&page), expected);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engagelab() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let app = EngagelabApp::demo("key");
    let secret = app.master_secret.clone();
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), app)).await;
    simulator.create_plan("autumn sale");
    let url = format!("http://{address}");
    let text = format!(
        "new_series_hold: 0s\nmessage_api: {{token: t0ken}}\nengagelab:\n  - {{app: abroad, base_url: '{url}', app_key: key, \
         master_secret: {secret}, discover: [plans], users: [day], interval: 1s}}\n"
    );
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    // What a plan has pushed before the first look is no news.
    let plans = r#"push_up{provider="engagelab",app="abroad",report="push_plans"}"#;
    scrape_until(&exporter, "a look at the plans", |page| page.get(plans) == Some(1.0)).await;
    let args = [&url, "key", &secret, "autumn sale"].map(str::to_owned);
    let answers = lines("engagelab_push.py", args.to_vec()).await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    let mut ids = Vec::new();
    for answer in answers {
        let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
        let path = "/api/v1/messages?app=abroad";
        let (status, told) = post(exporter.address, path, &headers, answer.clone().into_bytes()).await;
        assert_eq!((status, told.as_str()), (200, r#"{"received":1,"new":1,"too_old":0}"#));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        ids.push(answer["msg_id"].as_str().unwrap().to_owned());
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    simulator.freeze();
    let args = [&url, "abroad", "key", &secret, &ids.join(","), "2026-03-09", "2026-03-05", "2026-03-11"];
    let mut expected = numbers("engagelab_numbers.py", args.map(str::to_owned).to_vec()).await;
    expected.retain(|_, count| *count != 0);
    assert!(expected.len() > 40, "{expected:?}");
    let metrics = ["targeted", "sent", "received", "displayed", "clicked"]
        .map(|metric| format!("push_messages_{metric}_total{{"));
    let shown = |page: &Page| {
        let mut shown = page.starting(&metrics.each_ref().map(String::as_str));
        shown.extend(page.starting(&["push_users{"]));
        shown.retain(|_, count| *count != 0);
        shown
    };
    let page = scrape_until(&exporter, "the SDK's numbers", |page| shown(page) == expected).await;
    assert_eq!(shown(&page), expected);
    let found = r#"push_messages_registered_total{provider="engagelab",app="abroad",source="discovery"}"#;
    assert_eq!(page.get(found), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feishu() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let app = FeishuApp { step: 600, per_day: 900.0, ..FeishuApp::demo("cli_1") };
    let secret = app.app_secret.clone();
    let (_, address) = simulate(FeishuSimulator::new(clock.clone(), app)).await;
    let folder = fast_dir();
    let text =
        format!("feishu:\n  - {{app: bot, base_url: 'http://{address}', app_id: cli_1, app_secret: {secret}}}\n");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    // Tuesday: the newest day is Sunday, the newest closed week that of the 2nd, the month February.
    let url = format!("http://{address}");
    let args = [&url, "bot", "cli_1", &secret, "2026-03-08", "2026-03-02", "2026-02-01"];
    let expected = numbers("feishu_numbers.py", args.map(str::to_owned).to_vec()).await;
    assert_eq!(expected.len(), 12, "{expected:?}");
    let shown = |page: &Page| page.starting(&["push_window_messages_", "push_window_users_reached"]);
    let page = scrape_until(&exporter, "the SDK's numbers", |page| shown(page).len() >= 12).await;
    assert_eq!(shown(&page), expected);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn onesignal() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00Z".parse().unwrap());
    let (simulator, address) = simulate(OnesignalSimulator::new(clock.clone(), OnesignalApp::demo(APP_ID))).await;
    // Old enough for all that happens within an hour, young enough to count.
    let now = clock.now().as_second();
    for (minutes, devices) in [(55, 40_000), (50, 900), (42, 17_000), (35, 5), (31, 60_000), (30, 1_000), (28, 3_000)] {
        simulator.push_at(devices, now - minutes * 60);
    }
    simulator.mail(800);
    simulator.freeze();
    let folder = fast_dir();
    let exporter = Exporter::start(&config(address, ""), folder.path(), &clock).await;
    let since = "2026-03-10T11:00:00.000Z";
    let args = [&format!("http://{address}"), "game", APP_ID, "os_v2_app_demo0000000000000001", since];
    let mut expected = numbers("onesignal_numbers.py", args.map(str::to_owned).to_vec()).await;
    expected.retain(|_, count| *count != 0);
    assert!(expected.len() > 20, "{expected:?}");
    let shown = |page: &Page| deliveries(page, ["sent", "failed", "received", "clicked"]);
    let page = scrape_until(&exporter, "the SDK's numbers", |page| shown(page) == expected).await;
    assert_eq!(shown(&page), expected);
    exporter.stop().await;
}
