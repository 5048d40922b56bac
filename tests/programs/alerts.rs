//! Alerts fire for real: a Prometheus server with the rules scrapes an exporter whose providers are told to fail, to be slow,
//! to take back, to be short of quota; whose ledger breaks, and which goes away.
//!
//! `for:` and the intervals of the rules are divided by ALERTS_SPEED (60 unless set; 1 takes an hour and changes nothing);
//! windows and thresholds stay. What needs a day or a week of history is in `history.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::{Timestamp, tz::TimeZone};
use push_exporter::simulator::Trouble;
use push_exporter::simulator::easemob::{EasemobApp, EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::util::clock::Clock;
use serde_json::{Value, json};

use crate::history::{TOKEN, register};
use crate::support::failing_ledger::FailingLedger;
use crate::support::fault_injection::{Fault, Faulty};
use crate::support::prometheus::Prometheus;
use crate::support::{Exporter, fast_dir, network, simulate, tool};

/// Alerts and labels of theirs, in the order in which they are waited for.
const WHILE_PROVIDERS_FAIL: &[(&str, &[(&str, &str)])] = &[
    ("PushReportRefused", &[("app", "refused"), ("reason", "auth"), ("report", "received_detail")]),
    ("PushReportFailing", &[("app", "office-bot"), ("report", "message_push_overview")]),
    ("PushChannelFailing", &[("app", "chat"), ("channel", "oppo")]),
    ("PushApiQuotaNearlyUsed", &[("app", "poor"), ("api", "report")]),
    ("PushVendorQuotaNearlyUsed", &[("app", "shop"), ("channel", "vivo")]),
    ("PushVendorQuotaExhausted", &[("app", "shop"), ("channel", "oppo")]),
    ("PushNumbersRestated", &[("app", "chat"), ("metric", "sent")]),
    ("PushUnknownFields", &[("provider", "easemob"), ("report", "offline_push")]),
    ("PushMessageIdsRejected", &[("app", "shop"), ("what", "ids that were refused")]),
    ("PushConfigReloadFailed", &[]),
];

/// How many times faster alerts fire.
fn speed() -> u32 {
    std::env::var("ALERTS_SPEED").map_or(60, |speed| speed.parse().expect("ALERTS_SPEED is a number"))
}

/// Copies of the rules with shorter `for:` and intervals, as a glob.
fn rules(folder: &Path) -> PathBuf {
    let speed = speed();
    let faster = |line: &str| -> String {
        let duration = ["for: ", "interval: "].iter().find_map(|key| line.trim_start().strip_prefix(key));
        let Some(duration) = duration else { return line.to_owned() };
        let (count, unit) = duration.split_at(duration.len() - 1);
        let unit = match unit {
            "m" => 60,
            "h" => 3600,
            other => panic!("a unit of time in the rules: {other}"),
        };
        let seconds = count.parse::<u32>().unwrap() * unit / speed;
        line.replace(duration, &format!("{}s", seconds.max(1)))
    };
    for name in ["recording", "deliveries", "polling", "exporter"] {
        let text = std::fs::read_to_string(format!("prometheus/rules/{name}.yml")).unwrap();
        let text: Vec<String> = text.lines().map(faster).collect();
        std::fs::write(folder.join(format!("{name}.rules.yml")), text.join("\n") + "\n").unwrap();
    }
    folder.join("*.rules.yml")
}

struct World {
    chat: Arc<EasemobSimulator>,
    chat_line: Faulty,
    office_line: Faulty,
    shop: Arc<JpushSimulator>,
    ledger_is_down: Arc<AtomicBool>,
    text: String,
    exporter: Exporter,
}

impl World {
    async fn start(folder: &Path) -> World {
        let clock = Clock::system();
        // So busy that a quiet hour of the night has enough pushes too.
        let easemob = EasemobApp {
            has_bad_hours: false,
            per_day: 40_000_000.0,
            step: 1,
            history: 1,
            ..EasemobApp::demo("acme", "chat")
        };
        let (chat, _) = simulate(EasemobSimulator::new(clock.clone(), easemob.clone())).await;
        let chat_line = Faulty::new(Arc::clone(&chat)).await;
        let feishu = FeishuApp::demo("cli_demo0000000001");
        let (office, _) = simulate(FeishuSimulator::new(clock.clone(), feishu.clone())).await;
        let office_line = Faulty::new(office).await;
        let shop_of = |key: &str| JpushApp::demo(key);
        let (shop, shop_at) = simulate(JpushSimulator::new(clock.clone(), shop_of("shop"))).await;
        let poor = JpushApp { per_minute: 20, ..shop_of("poor") };
        let (_, poor_at) = simulate(JpushSimulator::new(clock.clone(), poor)).await;
        let secret = shop_of("").master_secret;
        let text = format!(
            "new_series_hold: 4s\nmessage_api: {{token: {TOKEN}}}\n\
             jpush:\n  \
             - {{app: shop, app_key: shop, master_secret: {secret}, base_url: \"http://{shop_at}/v3\", push_url: \"http://{shop_at}/v3\", \
             delivery: messages_detail, vendor_quota: true, interval: 1s}}\n  \
             - {{app: poor, app_key: poor, master_secret: {secret}, base_url: \"http://{poor_at}/v3\", users: [day], interval: 3s}}\n  \
             - {{app: refused, app_key: other, master_secret: {secret}, base_url: \"http://{poor_at}/v3\", messages: {{ids: [\"1\"]}}, interval: 5s}}\n\
             easemob:\n  - {{app: chat, base_url: \"http://{}\", org_name: acme, app_name: chat, client_id: {}, client_secret: {}, interval: 1s}}\n\
             feishu:\n  - {{app: office-bot, base_url: \"http://{}\", app_id: {}, app_secret: {}, interval: 1s}}\n",
            chat_line.address,
            easemob.client_id,
            easemob.client_secret,
            office_line.address,
            feishu.app_id,
            feishu.app_secret,
        );
        let ledger_is_down = Arc::new(AtomicBool::new(false));
        let store = FailingLedger::switched(&folder.join("push-exporter.db"), &ledger_is_down);
        let exporter = Exporter::start_on(Box::new(store), network(), &text, folder, &clock).await;
        World { chat, chat_line, office_line, shop, ledger_is_down, text, exporter }
    }

    async fn break_providers(&self) {
        let today = Timestamp::now().to_zoned(TimeZone::get("Asia/Shanghai").unwrap()).date();
        let (yesterday, today) = (today.yesterday().unwrap().to_string(), today.to_string());
        self.chat.trouble("OPPOPUSH", Trouble { refused: 0.97, ..Trouble::NONE });
        self.chat.restate(&yesterday, "HUAWEIPUSH", EasemobOutcome::Success, -20_000);
        self.office_line.spoil(|_| Fault::answer(502, "<html>bad gateway</html>"));
        // Until OPPO's quota is used up and vivo's nearly.
        while self.shop.used("vivo") < 279_000 {
            self.shop.push(50_000);
        }
        // Beside one that passes, or nobody could tell that the id is to blame.
        let fine = self.shop.push(100);
        register(&self.exporter, "shop", fine).await;
        let refused = self.shop.push(100);
        self.shop.refuse(refused);
        register(&self.exporter, "shop", refused).await;
        let new_channel =
            json!({ "status": "OK", "data": { today: { "NEWPUSH": { "successCount": 5 } } } }).to_string();
        self.chat_line.spoil(move |request| {
            if request.uri().path().contains("offline-push") { Fault::answer(200, &new_channel) } else { Fault::None }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.chat_line.heal();
        self.exporter.reload("jpush: [{}]").await.unwrap_err();
    }
}

/// What fires, by alert and labels.
async fn firing(url: &str) -> Vec<BTreeMap<String, String>> {
    let url = format!("{url}/api/v1/alerts");
    let output = tokio::task::spawn_blocking(move || tool("curl", &["--silent", &url], b"")).await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let alerts = alerts.iter().filter(|alert| alert["state"] == "firing");
    alerts.map(|alert| serde_json::from_value(alert["labels"].clone()).unwrap()).collect()
}

/// Nothing else fires than these.
async fn assert_known(url: &str, alerts: &[&str]) {
    let firing = firing(url).await;
    assert!(firing.iter().all(|labels| alerts.contains(&labels["alertname"].as_str())), "{firing:?}");
}

/// Waits for an alert and says how long it took.
async fn await_alert(url: &str, alert: &str, labels: &[(&str, &str)], since: Instant) {
    let wanted = [&[("alertname", alert)], labels].concat();
    loop {
        let now = firing(url).await;
        let is_wanted = |labels: &BTreeMap<String, String>| {
            wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|label| label == value))
        };
        if let Some(found) = now.iter().find(|labels| is_wanted(labels)) {
            eprintln!("{alert:26} fires after {:5} s: {found:?}", since.elapsed().as_secs());
            return;
        }
        assert!(
            since.elapsed().as_secs() < 60 + 7200 / u64::from(speed()),
            "{wanted:?} does not fire; what does: {now:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fire_when_something_is_wrong_and_only_then() {
    // Vendors' quotas are of a day of Beijing, which shall not end meanwhile.
    let now = Timestamp::now().to_zoned(TimeZone::get("Asia/Shanghai").unwrap());
    if now.hour() == 23 && now.minute() >= 50 {
        tokio::time::sleep(Duration::from_secs(60 * (60 - now.minute().unsigned_abs() as u64))).await;
    }
    let folder = fast_dir();
    let world = World::start(folder.path()).await;
    let job = format!("    static_configs: [{{targets: [\"{}\"]}}]\n", world.exporter.address);
    let rules = rules(folder.path());
    let prometheus = Prometheus::with_rules(folder.path(), &job, &rules.display().to_string());
    let url = prometheus.url();

    // One app has a wrong key from the start; nothing else is wrong.
    await_alert(&url, "PushReportRefused", &[("app", "refused")], Instant::now()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_known(&url, &["PushReportRefused", "PushApiQuotaNearlyUsed"]).await;

    let since = Instant::now();
    world.break_providers().await;
    for (alert, labels) in WHILE_PROVIDERS_FAIL {
        await_alert(&url, alert, labels, since).await;
    }
    let names: Vec<&str> = WHILE_PROVIDERS_FAIL.iter().map(|(alert, _)| *alert).collect();
    assert_known(&url, &names).await;

    // What is mended is over at once, or when its hour is.
    world.office_line.heal();
    world.exporter.reload(&world.text).await.unwrap();
    let since = Instant::now();
    while firing(&url)
        .await
        .iter()
        .any(|labels| ["PushReportFailing", "PushConfigReloadFailed"].contains(&labels["alertname"].as_str()))
    {
        assert!(since.elapsed().as_secs() < 7200 / u64::from(speed()), "an alert does not end");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let since = Instant::now();
    world.ledger_is_down.store(true, Ordering::Relaxed);
    await_alert(&url, "PushLedgerFailing", &[], since).await;
    world.ledger_is_down.store(false, Ordering::Relaxed);
    let since = Instant::now();
    world.exporter.stop().await;
    await_alert(&url, "PushExporterDown", &[("job", "push-exporter")], since).await;
    await_alert(&url, "PushExporterAbsent", &[], since).await;
}
