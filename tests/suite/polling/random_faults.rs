//! A week in which three of ten requests fail, each in one of many ways, providers are away for a while, and
//! the exporter is restarted every few hours: at the end every counter of all providers equals the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::getui::{GetuiApp, GetuiSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::{Fault, Faulty, Listen, quick_faults, seed};
use crate::support::jpush_totals::add;
use crate::support::window_totals::{WindowTruth, assert_same, beijing, days};
use crate::support::{Exporter, Page, engagelab_totals, fast_dir, getui_totals, onesignal_totals, post};

/// All of them, and those that last until our time limit.
fn all_faults() -> Vec<Fault> {
    let more = [Fault::StallHeaders, Fault::StallBody, Fault::Drip, Fault::answer(403, ""), Fault::answer(404, "")];
    quick_faults().into_iter().chain(more).collect()
}

fn errors(page: &Page) -> i64 {
    page.starting(&["push_poll_errors_total"]).values().sum()
}

const WEEK: u64 = 7 * 86_400;
/// Devices of each task of Getui.
const TASK: i64 = 6_000;

#[tokio::test(start_paused = true)]
async fn after_a_storm_every_counter_equals_the_truth() {
    // One week, or as many as tests/long.sh asks for.
    let weeks = std::env::var("PUSH_EXPORTER_STORMS").map_or(1, |weeks| weeks.parse().unwrap());
    for _ in 0..weeks {
        storm(seed()).await;
    }
}

async fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // Ten seconds past a multiple of five minutes, so that polls fall between events.
    let start = beijing("2026-03-10", 9.0) + SignedDuration::from_secs(10);
    let clock = Clock::following_tokio(start);
    let app = JpushApp { seed, ..JpushApp::demo("key") };
    let easemob = EasemobApp { step: 300, kept: 30, per_day: 60_000.0, seed, ..EasemobApp::demo("acme", "chat") };
    let feishu = FeishuApp { step: 300, per_day: 600.0, users: 300, seed, ..FeishuApp::demo("cli_storm") };
    let engagelab = EngagelabApp { seed, ..EngagelabApp::demo("key") };
    let (secret, client_secret, app_secret, abroad_secret) = (
        app.master_secret.clone(),
        easemob.client_secret.clone(),
        feishu.app_secret.clone(),
        engagelab.master_secret.clone(),
    );
    let jpush = Arc::new(JpushSimulator::new(clock.clone(), app));
    let easemob = Arc::new(EasemobSimulator::new(clock.clone(), easemob));
    let feishu = Arc::new(FeishuSimulator::new(clock.clone(), feishu));
    let abroad = Arc::new(EngagelabSimulator::new(clock.clone(), engagelab));
    abroad.create_plan("storm");
    let game = OnesignalApp { seed, ..OnesignalApp::demo(onesignal_totals::APP_ID) };
    let api_key = game.api_key.clone();
    let onesignal = Arc::new(OnesignalSimulator::new(clock.clone(), game));
    // Its first push is tomorrow, so that it has no baseline. The other app has tasks only.
    let by_day = GetuiApp { seed, history: -1, step: 600, per_day: 20_000.0, ..GetuiApp::demo("by-day") };
    let by_task = GetuiApp { seed, history: 0, per_day: 0.0, ..GetuiApp::demo("by-task") };
    let (getui_key, getui_secret) = (by_day.app_key.clone(), by_day.master_secret.clone());
    let by_day = Arc::new(GetuiSimulator::new(clock.clone(), by_day));
    let by_task = Arc::new(GetuiSimulator::new(clock.clone(), by_task));
    let layers = [
        Faulty::new(Arc::clone(&jpush)).await,
        Faulty::new(Arc::clone(&easemob)).await,
        Faulty::new(Arc::clone(&feishu)).await,
        Faulty::new(Arc::clone(&abroad)).await,
        Faulty::new(Arc::clone(&onesignal)).await,
        Faulty::new(Arc::clone(&by_day)).await,
        Faulty::new(Arc::clone(&by_task)).await,
    ];
    let [jpush_at, easemob_at, feishu_at, abroad_at, onesignal_at, by_day_at, by_task_at] =
        layers.each_ref().map(|layer| layer.address);
    let text = format!(
        "message_api: {{token: t}}
jpush:
  - {{app: shop, base_url: 'http://{jpush_at}/v3', app_key: key, master_secret: {secret}, delivery: messages_detail}}
easemob:
  - {{app: chat, base_url: 'http://{easemob_at}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: {client_secret}, interval: 1m}}
feishu:
  - {{app: office-bot, base_url: 'http://{feishu_at}', app_id: cli_storm, app_secret: {app_secret}}}
engagelab:
  - {{app: abroad, base_url: 'http://{abroad_at}', app_key: key, master_secret: {abroad_secret}, discover: [plans]}}
onesignal:
  - {{app: game, base_url: 'http://{onesignal_at}', app_id: {}, api_key: {api_key}, schedule: [{{until: 2h, every: 30m}}, {{until: 5d, every: 6h}}]}}
getui:
  - {{app: by-day, base_url: 'http://{by_day_at}/v2', app_id: by-day, app_key: {getui_key}, master_secret: {getui_secret}}}
  - {{app: by-task, base_url: 'http://{by_task_at}/v2', app_id: by-task, app_key: {getui_key}, master_secret: {getui_secret}, delivery: push_task}}
",
        onesignal_totals::APP_ID
    );
    let truth = WindowTruth::new(Arc::clone(&easemob), Arc::clone(&feishu), "2026-03-10");
    let folder = fast_dir();
    let mut exporter = Exporter::start(&text, folder.path(), &clock).await;
    // What was there before is known; then the storm begins.
    tokio::time::sleep(Duration::from_secs(90)).await;
    for layer in &layers {
        layer.storm(random.fork(), all_faults());
    }
    let headers = [("authorization", "Bearer t"), ("content-type", "application/json")];
    let mut pushed = Vec::new();
    let (mut pushed_abroad, mut listed, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed_polls = 0;
    let over = tokio::time::Instant::now() + Duration::from_secs(WEEK);
    while tokio::time::Instant::now() < over {
        tokio::time::sleep(Duration::from_secs(random.u64(60..15_000))).await;
        pushed.push(if random.u8(..4) == 0 { jpush.push_message(3_000) } else { jpush.push(20_000) });
        // Every second push abroad is under a plan, and nobody tells of it.
        let is_told = pushed.len() % 2 == 0;
        let id = if is_told { abroad.push(9_000) } else { abroad.push_under("storm", 9_000) };
        pushed_abroad.push(id);
        if is_told {
            let body = format!(r#"{{"app":"abroad","msg_id":"{id}"}}"#);
            assert_eq!(post(exporter.address, "/api/v1/messages", &headers, body.into()).await.0, 200);
        }
        listed.push(onesignal.push(10_000));
        tasks.push(by_task.push(TASK));
        let body = format!(r#"{{"app":"by-task","msg_id":"{}"}}"#, tasks[tasks.len() - 1]);
        assert_eq!(post(exporter.address, "/api/v1/messages", &headers, body.into()).await.0, 200);
        // Sent twice, since the first reply was not heard.
        let body = format!(r#"{{"app":"shop","msg_id":{}}}"#, pushed[pushed.len() - 1]);
        for new in [1, 0] {
            let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.clone().into()).await;
            assert_eq!((status, answer), (200, format!(r#"{{"received":1,"new":{new},"too_old":0}}"#)));
        }
        match random.u8(..8) {
            0 => {
                failed_polls += errors(&exporter.scrape().await);
                exporter.stop().await;
                tokio::time::sleep(Duration::from_secs(random.u64(..3_600))).await;
                exporter = Exporter::start(&text, folder.path(), &clock).await;
            }
            1 => {
                let layer = &layers[random.usize(..layers.len())];
                layer.listen(if random.bool() { Listen::No } else { Listen::Stalls });
                tokio::time::sleep(Duration::from_secs(random.u64(60..7_200))).await;
                layer.listen(Listen::Yes);
            }
            _ => {}
        }
    }
    failed_polls += errors(&exporter.scrape().await);
    assert!(failed_polls > 50, "{failed_polls} failed polls, PUSH_EXPORTER_SEED={seed}");
    for layer in &layers {
        layer.heal();
    }
    jpush.freeze();
    abroad.freeze();
    onesignal.freeze();
    by_day.freeze();
    by_task.freeze();
    // Time for every report at its slowest pace, for Feishu's day of 10:00, and for every message.
    let calm = beijing("2026-03-18", 13.0) + SignedDuration::from_secs(100);
    tokio::time::sleep(Duration::try_from(calm.duration_since(clock.now())).expect("a week is over before")).await;
    let page = exporter.scrape().await;
    let mut expected = truth.counters("2026-03-18", "2026-03-16");
    let mut messages = BTreeMap::new();
    for id in &pushed {
        add(&mut messages, "shop", "messages_detail", &jpush.truth(*id, clock.now().as_second()), 1);
    }
    for id in &pushed_abroad {
        engagelab_totals::add(&mut messages, "abroad", &abroad.truth(*id, clock.now().as_second()), true, 1);
    }
    assert!(messages.len() > 80 && pushed.len() > 50, "PUSH_EXPORTER_SEED={seed}");
    let now = clock.now().as_second();
    listed.iter().for_each(|id| onesignal_totals::add(&mut messages, &onesignal.truth(id, now), 1));
    messages.retain(|_, count| *count > 0);
    expected.extend(messages);
    expected.extend(getui_totals::of_days(&by_day, "by-day", &days("2026-03-11", "2026-03-17")));
    expected.extend(getui_totals::of_tasks(&by_task, "by-task", &tasks, TASK));
    let mut counted = page.counters();
    counted.retain(|series, count| {
        let is_other = ["_at_10m_", "registered", "tracked"].iter().any(|other| series.contains(other));
        let is_absent_at_zero =
            ["jpush", "engagelab", "onesignal", "getui"].iter().any(|provider| series.contains(provider));
        !is_other && (*count > 0 || !is_absent_at_zero)
    });
    println!("{} messages, {failed_polls} failed polls", pushed.len());
    assert_same(counted, expected, &format!("PUSH_EXPORTER_SEED={seed}"));
    let registered = r#"push_messages_registered_total{provider="jpush",app="shop",source="api"}"#;
    assert_eq!(page.get(registered), Some(pushed.len() as f64), "PUSH_EXPORTER_SEED={seed}");
    let sources = ["api", "discovery"].map(|source| {
        page.get(&format!(r#"push_messages_registered_total{{provider="engagelab",app="abroad",source="{source}"}}"#))
    });
    let told = pushed_abroad.len() / 2;
    assert_eq!(
        sources,
        [told, pushed_abroad.len() - told].map(|count| Some(count as f64)),
        "PUSH_EXPORTER_SEED={seed}"
    );
    let found = format!(r#"push_messages_registered_total{{{},source="discovery"}}"#, onesignal_totals::GAME);
    let sent = listed.iter().filter(|id| !onesignal.truth(id, now).is_empty()).count();
    assert_eq!(page.get(&found), Some(sent as f64), "PUSH_EXPORTER_SEED={seed}");
    for (series, count) in page.starting(&["push_messages_received_at_10m_total", "push_messages_sent_at_10m_total"]) {
        let whole = page.counters()[&series.replace("_at_10m", "")];
        assert!((whole.min(1)..=whole).contains(&count), "{series}: {count} of {whole}, PUSH_EXPORTER_SEED={seed}");
    }
    assert_eq!(page.starting(&["push_poll_failing"]), BTreeMap::new(), "PUSH_EXPORTER_SEED={seed}");
    exporter.stop().await;
}
