//! What providers refuse, by their documents, and how the exporter takes it: the reason, the advice, the
//! pace, and recovery without a restart.

use std::net::SocketAddr;

use push_exporter::ledger::LedgerError;
use push_exporter::simulator::Simulator;
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::util::clock::Clock;

use crate::support::failing_ledger::FailingLedger;
use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Log, Page, fast_dir, network, post, seconds, simulate};

const EASEMOB: &str = r#"provider="easemob",app="chat",report="offline_push""#;
const FEISHU: &str = r#"provider="feishu",app="bot",report="message_push_overview""#;

fn clock() -> Clock {
    Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap())
}

fn easemob_app() -> EasemobApp {
    EasemobApp { step: 300, ..EasemobApp::demo("acme", "chat") }
}

fn feishu_app() -> FeishuApp {
    FeishuApp { step: 300, per_day: 500.0, ..FeishuApp::demo("cli_1") }
}

/// A configuration of Easemob with the simulator's credentials and further keys.
fn easemob_section(address: SocketAddr, more: &str) -> String {
    let account = "org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret";
    format!("easemob:\n  - {{app: chat, base_url: 'http://{address}', {account}, {more}}}\n")
}

/// The same of Feishu.
fn feishu_section(address: SocketAddr, more: &str) -> String {
    let account = "app_id: cli_1, app_secret: demo-app-secret-feishu";
    format!("feishu:\n  - {{app: bot, base_url: 'http://{address}', {account}, {more}}}\n")
}

fn failing(page: &Page, labels: &str, reason: &str) -> bool {
    is_failing(page, labels, &format!(r#"reason="{reason}""#))
}

fn is_failing(page: &Page, labels: &str, failing: &str) -> bool {
    page.get(&format!("push_up{{{labels}}}")) == Some(0.0)
        && page.get(&format!(r#"push_poll_failing{{{labels},{failing}}}"#)) == Some(1.0)
        && page.starting(&[&format!("push_poll_failing{{{labels}")]).len() == 1
}

fn is_up(page: &Page, labels: &str) -> bool {
    page.get(&format!("push_up{{{labels}}}")) == Some(1.0) && page.starting(&["push_poll_failing"]).is_empty()
}

#[tokio::test(start_paused = true)]
async fn easemob_refusals() {
    let secret = easemob_app().client_secret;
    let closed = EasemobApp { is_opened: false, ..easemob_app() };
    for (app, names, secret, reason, advice) in [
        (closed, "org_name: acme, app_name: chat", &*secret, "forbidden", "sales to enable them"),
        (easemob_app(), "org_name: acme, app_name: chat", "wrong-secret", "auth", "Check client_id and client_secret"),
        (easemob_app(), "org_name: acme, app_name: other", &*secret, "not_found", "own data centre"),
    ] {
        let clock = clock();
        let (simulator, address) = simulate(EasemobSimulator::new(clock.clone(), app)).await;
        let folder = fast_dir();
        let text = format!(
            "easemob:\n  - {{app: chat, base_url: 'http://{address}', {names}, client_id: YXA6-demo-client, client_secret: {secret}}}\n"
        );
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        seconds(5).await;
        let page = exporter.scrape().await;
        assert!(failing(&page, EASEMOB, reason), "{reason}: {page:#?}");
        assert!(page.counters().is_empty());
        assert!(exporter.get("/").await.1.contains(advice), "{reason}");
        // Asked again after 5 s and twice as long each time, up to the slowest pace of 50 minutes.
        let errors = format!(r#"push_poll_errors_total{{{EASEMOB},reason="{reason}"}}"#);
        let polls = async |pause: u32| {
            seconds(pause).await;
            exporter.scrape().await.get(&errors).unwrap()
        };
        assert_eq!(polls(170).await, 6.0, "{reason}: after 5, 10, 20, 40, 80 s");
        assert_eq!(polls(9 * 60).await, 8.0, "{reason}: after 160 s and 5 min");
        assert_eq!(polls(80 * 60).await, 11.0, "{reason}: after 10, 20, 40 min");
        assert_eq!(polls(150 * 60).await, 14.0, "{reason}: every 50 min");
        assert_eq!(simulator.refused(), 0);
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn feishu_refusals() {
    for (app, secret, reason, advice) in [
        (
            FeishuApp { has_scope: false, ..feishu_app() },
            "demo-app-secret-feishu",
            "forbidden",
            "app_message_stats.overview:readonly",
        ),
        (
            FeishuApp { is_enterprise: false, ..feishu_app() },
            "demo-app-secret-feishu",
            "forbidden",
            "Enterprise or Flagship edition",
        ),
        (feishu_app(), "wrong-secret", "auth", "Check app_id and app_secret"),
    ] {
        let clock = clock();
        let (_, address) = simulate(FeishuSimulator::new(clock.clone(), app)).await;
        let folder = fast_dir();
        let text =
            format!("feishu:\n  - {{app: bot, base_url: 'http://{address}', app_id: cli_1, app_secret: {secret}}}\n");
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        seconds(5).await;
        let page = exporter.scrape().await;
        assert!(failing(&page, FEISHU, reason), "{reason}: {page:#?}");
        assert!(exporter.get("/").await.1.contains(advice), "{advice}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_named_and_the_others_go_on() {
    let clock = clock();
    let (_, address) = simulate(refusing(FeishuSimulator::new(clock.clone(), feishu_app()))).await;
    let folder = fast_dir();
    let text = feishu_section(address, "departments: [od-wrong, od-sales]");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(5).await;
    let page = exporter.scrape().await;
    assert!(is_failing(&page, FEISHU, r#"reason="bad_request",scope="part""#), "{page:#?}");
    assert!(!page.starting(&[r#"push_window_messages_sent{provider="feishu""#]).is_empty(), "the tenant is shown");
    let departments = page.starting(&["push_department_window_messages_sent"]);
    assert!(departments.keys().all(|series| series.contains("od-sales")) && !departments.is_empty());
    let html = exporter.get("/").await.1;
    assert!(html.contains("department od-wrong: HTTP 400, code 211005: invalid app id"), "{html}");
    assert!(html.contains("Check this id in departments"), "{html}");
    exporter.stop().await;
}

/// Feishu, which refuses one department.
fn refusing(feishu: FeishuSimulator) -> ScriptedProvider {
    ScriptedProvider::answering(move |request| match String::from_utf8_lossy(request.body()).contains("od-wrong") {
        true => respond(400, r#"{"code":211005,"msg":"invalid app id"}"#),
        false => feishu.answer(request),
    })
}

#[tokio::test(start_paused = true)]
async fn jpush_refusals() {
    let free = JpushApp { is_vip: false, ..JpushApp::demo("key") };
    for (path, secret, report, reason, advice) in [
        ("/v3", "5e987ac6d2e04d95-demo", "messages_detail", "forbidden", "VIP plan"),
        ("/v3", "wrong-secret", "received_detail", "auth", "Check app_key and master_secret"),
        ("", "5e987ac6d2e04d95-demo", "received_detail", "not_found", "Check base_url"),
    ] {
        let clock = clock();
        let (jpush, address) = simulate(JpushSimulator::new(clock.clone(), free.clone())).await;
        let id = jpush.push(1000);
        let folder = fast_dir();
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let text = format!(
            "jpush:\n  - {{app: shop, base_url: 'http://{address}{path}', app_key: key, master_secret_file: secret, delivery: {report}, messages: {{ids: [{id}]}}}}\n"
        );
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        seconds(5).await;
        let labels = format!(r#"provider="jpush",app="shop",report="{report}""#);
        let page = exporter.scrape().await;
        assert!(failing(&page, &labels, reason), "{reason}: {page:#?}");
        assert!(exporter.get("/").await.1.contains(advice), "{reason}");
        // Asked again after 5, 10, 20 and 40 s, then 1, 2, 4, 8 minutes, then every 10.
        let requests = |page: &Page| page.starting(&["push_api_requests_total"]).values().sum::<i64>();
        for (wait, polls) in [(65, 4), (60, 5), (120, 6), (240, 7), (480, 8), (600, 9), (600, 10)] {
            seconds(wait).await;
            assert_eq!(requests(&exporter.scrape().await), polls, "{reason}");
        }
        // A changed secret is tried within seconds.
        std::fs::write(&file, "5e987ac6d2e04d95-demo").unwrap();
        seconds(10).await;
        assert_eq!(is_up(&exporter.scrape().await, &labels), reason == "auth");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn engagelab_refusals() {
    let expired = EngagelabApp { is_vip: false, ..EngagelabApp::demo("key") };
    for (path, secret, reason, advice) in [
        ("", expired.master_secret.as_str(), "forbidden", "has expired or is not activated"),
        ("", "wrong-secret", "auth", "that base_url is the app's data centre"),
        ("/elsewhere", expired.master_secret.as_str(), "not_found", "Check base_url"),
    ] {
        let clock = clock();
        let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), expired.clone())).await;
        let id = simulator.push(1000);
        let folder = fast_dir();
        let text = format!(
            "engagelab:\n  - {{app: abroad, base_url: 'http://{address}{path}', app_key: key, master_secret: {secret}, messages: {{ids: [{id}]}}}}\n"
        );
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        seconds(5).await;
        let labels = r#"provider="engagelab",app="abroad",report="status_detail""#;
        let page = exporter.scrape().await;
        assert!(failing(&page, labels, reason), "{reason}: {page:#?}");
        assert!(exporter.get("/").await.1.replace("&#39;", "'").contains(advice), "{reason}");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_id_that_engagelab_refuses_costs_no_other() {
    let clock = clock();
    let app = EngagelabApp::demo("key");
    let secret = app.master_secret.clone();
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), app)).await;
    let ids: Vec<u64> = (0..150).map(|_| simulator.push(1000)).collect();
    simulator.refuse(ids[70]);
    let written: Vec<String> = ids.iter().map(u64::to_string).collect();
    let text = format!(
        "engagelab:\n  - {{app: abroad, base_url: 'http://{address}', app_key: key, master_secret: {secret}, messages: {{ids: [{}]}}}}\n",
        written.join(", ")
    );
    let folder = fast_dir();
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(3600).await;
    let page = exporter.scrape().await;
    let owner = r#"provider="engagelab",app="abroad""#;
    assert_eq!(page.get(&format!("push_rejected_messages_total{{{owner}}}")), Some(1.0), "{page:#?}");
    let live = format!(r#"push_tracked_messages{{{owner},state="live"}}"#);
    assert_eq!(page.get(&live), Some(149.0), "{page:#?}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jpush_limits_are_kept_and_its_reset_is_waited_for() {
    let clock = clock();
    // The plan allows fewer requests than we think: 40 a minute instead of 60.
    let app = JpushApp { per_minute: 40, ..JpushApp::demo("key") };
    let secret = app.master_secret.clone();
    let (jpush, address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
    let ids: Vec<String> = (0..1500).map(|_| jpush.push(10).to_string()).collect();
    let folder = fast_dir();
    let text = |per_minute: u32| {
        format!(
            "jpush:\n  - {{app: shop, base_url: 'http://{address}/v3', app_key: key, master_secret: {secret}, interval: 5s, requests_per_minute: {per_minute}, messages: {{ids: [{}]}}}}\n",
            ids.join(", ")
        )
    };
    let labels = r#"provider="jpush",app="shop",report="received_detail""#;
    let requests = |page: &Page| page.starting(&[&format!("push_api_requests_total{{{labels}")]).values().sum::<i64>();
    let exporter = Exporter::start(&text(60), folder.path(), &clock).await;
    seconds(600).await;
    let page = exporter.scrape().await;
    // Its headers say what is left, and that is kept.
    let (asked, refused) = (requests(&page), jpush.refused());
    assert!((300..=400).contains(&asked) && refused <= 1, "{asked} asked, {refused} refused");
    let quota = |name: &str| page.get(&format!(r#"push_api_quota_{name}{{provider="jpush",app="shop",api="report"}}"#));
    assert_eq!(quota("limit"), Some(40.0));
    assert!((0.0..40.0).contains(&quota("remaining").unwrap()));
    exporter.stop().await;
    // With what it allows, none is refused, and the budget is used.
    let exporter = Exporter::start(&text(39), folder.path(), &clock).await;
    seconds(120).await;
    let (refused, before) = (jpush.refused(), requests(&exporter.scrape().await));
    seconds(600).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, labels));
    assert_eq!(jpush.refused(), refused);
    let duration = page.get(&format!("push_poll_duration_seconds{{{labels}}}")).unwrap();
    assert!(duration < 1.0, "{duration} s with the waiting for quota");
    assert!((375..=395).contains(&(requests(&page) - before)), "{}", requests(&page) - before);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_file_is_tried_at_once() {
    let clock = clock();
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), easemob_app())).await;
    let folder = fast_dir();
    let file = folder.path().join("secret");
    std::fs::write(&file, "wrong-secret").unwrap();
    let text = format!(
        "easemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret_file: secret}}\n"
    );
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(60).await;
    assert!(failing(&exporter.scrape().await, EASEMOB, "auth"));
    std::fs::write(&file, easemob_app().client_secret).unwrap();
    seconds(10).await;
    assert!(is_up(&exporter.scrape().await, EASEMOB));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_fetched_again_exactly_once() {
    let clock = clock();
    let (easemob, easemob_address) = simulate(EasemobSimulator::new(clock.clone(), easemob_app())).await;
    let (feishu, feishu_address) = simulate(FeishuSimulator::new(clock.clone(), feishu_app())).await;
    let folder = fast_dir();
    let text = easemob_section(easemob_address, "interval: 10s") + &feishu_section(feishu_address, "interval: 20s");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(5).await;
    assert_eq!((easemob.token_requests(), feishu.token_requests()), (1, 1));
    easemob.revoke_tokens();
    feishu.revoke_tokens();
    seconds(60).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, EASEMOB) && is_up(&page, FEISHU));
    assert_eq!((easemob.token_requests(), feishu.token_requests()), (2, 2));
    assert_eq!(page.starting(&["push_poll_errors_total"]).values().sum::<i64>(), 0, "no poll failed for it");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept_however_much_is_asked() {
    let clock = clock();
    let (easemob, easemob_address) = simulate(EasemobSimulator::new(clock.clone(), easemob_app())).await;
    let (feishu, feishu_address) = simulate(FeishuSimulator::new(clock.clone(), feishu_app())).await;
    let folder = fast_dir();
    let text = easemob_section(
        easemob_address,
        "interval: 1s, platforms: [APNS, ANDROID, XIAOMIPUSH, HUAWEIPUSH, MEIZUPUSH, OPPOPUSH, VIVOPUSH, HONOR]",
    ) + &feishu_section(feishu_address, "interval: 1s, departments: [od-sales, od-sales-east]");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(600).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, EASEMOB) && is_up(&page, FEISHU));
    assert_eq!((easemob.refused(), feishu.refused()), (0, 0));
    // And the budgets are used: 10 in 10.5 s for ten minutes is 571, 100 in 60.5 s is 991, but for half a window.
    let requests = |labels: &str| page.starting(&[&format!("push_api_requests_total{{{labels}")]).values().sum::<i64>();
    assert!(requests(EASEMOB) > 535 && requests(FEISHU) > 890, "{} {}", requests(EASEMOB), requests(FEISHU));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_gone_pauses_polling_and_comes_back() {
    let clock = clock();
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), easemob_app())).await;
    let folder = fast_dir();
    let text = easemob_section(address, "interval: 10s");
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(1000).await;
    let before = exporter.scrape().await;
    assert!(is_up(&before, EASEMOB) && before.counters().values().sum::<i64>() > 0);

    let (ledger, away) = (folder.path().join("push-exporter.db"), folder.path().join("away"));
    std::fs::rename(&ledger, &away).unwrap();
    seconds(300).await;
    let down = exporter.scrape().await;
    assert_eq!(down.get("push_exporter_ledger_up"), Some(0.0));
    assert!(failing(&down, EASEMOB, "ledger"));
    assert!(!ledger.exists(), "no fresh ledger was started in its place");
    let polls = |page: &Page| page.starting(&["push_api_requests_total"]).values().sum::<i64>();
    seconds(300).await;
    let still = exporter.scrape().await;
    assert_eq!(
        (still.counters(), polls(&still)),
        (down.counters(), polls(&down)),
        "the last page stays, polling pauses"
    );

    std::fs::rename(&away, &ledger).unwrap();
    seconds(30).await;
    let after = exporter.scrape().await;
    assert!(is_up(&after, EASEMOB), "{after:#?}");
    assert_eq!(after.get("push_exporter_ledger_up"), Some(1.0));
    for (series, count) in before.counters() {
        assert!(after.counters()[&series] >= count, "{series}");
    }
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_damaged_stays_down_until_a_restart() {
    let clock = clock();
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), easemob_app())).await;
    let folder = fast_dir();
    let log = Log::capture();
    let text = easemob_section(address, "interval: 10s");
    let damaged = |commit| {
        let (path, detail) = ("push-exporter.db".into(), "on purpose".to_owned());
        (commit == 5).then_some(LedgerError::Damaged { path, detail })
    };
    let store = FailingLedger::new(&folder.path().join("push-exporter.db"), damaged);
    let exporter = Exporter::start_on(Box::new(store), network(), &text, folder.path(), &clock).await;
    seconds(300).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get("push_exporter_ledger_up"), Some(0.0), "that others could be written does not count");
    assert!(failing(&page, EASEMOB, "ledger"));
    assert_eq!(log.take_lines("the ledger is damaged; polling pauses until a restart").len(), 1);
    exporter.stop().await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    seconds(20).await;
    assert!(is_up(&exporter.scrape().await, EASEMOB));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_shown_while_no_poll_is_missed() {
    let clock = clock();
    let (fake, address) = simulate(ScriptedProvider::default()).await;
    fake.say("/v3/received/detail", 200, r#"[{"msg_id":"1","jpush_received":5}]"#);
    let told = [("x-rate-limit-limit", "2400"), ("x-rate-limit-remaining", "2399"), ("x-rate-limit-reset", "60")];
    *fake.headers.lock().unwrap() = told.map(|(name, value)| (name, value.to_owned())).to_vec();
    let folder = fast_dir();
    let text = format!(
        "message_api: {{token: t}}\njpush: [{{app: shop, base_url: 'http://{address}/v3', app_key: k, master_secret: s3cret}}]\n"
    );
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/json")];
    let sent_at = clock.now().as_second() - 2 * 86_400;
    let body = format!(r#"{{"app":"shop","msg_id":1,"sent_at":{sent_at}}}"#);
    assert_eq!(post(exporter.address, "/api/v1/messages", &headers, body.into()).await.0, 200);
    let remaining = r#"push_api_quota_remaining{provider="jpush",app="shop",api="report"}"#;
    // Two days old, it is asked for every three hours: until then nothing is missed.
    seconds(3 * 3600 - 60).await;
    assert_eq!(exporter.scrape().await.get(remaining), Some(2399.0));
    fake.say("/v3/received/detail", 502, "");
    fake.headers.lock().unwrap().clear();
    seconds(300).await;
    assert_eq!(exporter.scrape().await.get(remaining), None);
    exporter.stop().await;
}

/// JPush's limit is waited out within the poll, by all reports of the account: that can be seen meanwhile.
#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_is_waited_out_is_seen_at_once() {
    let (fake, address) = simulate(ScriptedProvider::default()).await;
    fake.say("/v3/users", 200, r#"{"time_unit":"DAY","start":"2026-03-09","duration":1,"items":[]}"#);
    fake.say("/v3/push/quota", 200, r#"{"code":0,"data":{}}"#);
    let text = format!(
        "jpush:\n  - {{app: shop, base_url: 'http://{address}/v3', push_url: 'http://{address}/v3', app_key: a, master_secret: s3cret, \
         delivery: received_detail, messages: {{ids: [1]}}, users: [day], intervals: {{users: 10m}}}}\n"
    );
    let folder = fast_dir();
    fake.say("/v3/received/detail", 200, r#"[{"msg_id":"1","jpush_received":5}]"#);
    let log = Log::capture();
    let exporter = Exporter::start(&text, folder.path(), &clock()).await;
    let users = r#"provider="jpush",app="shop",report="users""#;
    let messages = r#"provider="jpush",app="shop",report="received_detail""#;
    seconds(30).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, users) && is_up(&page, messages), "{page:?}");
    // At the next poll of users, the account is told to wait for 100 s.
    *fake.headers.lock().unwrap() = vec![("x-rate-limit-reset", "100".to_owned())];
    fake.say("/v3/users", 429, r#"{"error":{"code":2002,"message":"Rate limit exceeded"}}"#);
    seconds(575).await;
    *fake.headers.lock().unwrap() = Vec::new();
    fake.say("/v3/users", 200, r#"{"time_unit":"DAY","start":"2026-03-09","duration":1,"items":[]}"#);
    let page = exporter.scrape().await;
    assert!(failing(&page, users, "rate_limited"), "{page:?}");
    let html = exporter.get("/").await.1;
    assert!(html.contains("code 2002: Rate limit exceeded; waiting 100 s before the next request"), "{html}");
    assert_eq!(
        page.get(&format!(r#"push_poll_errors_total{{{users},reason="rate_limited"}}"#)),
        Some(0.0),
        "no poll has failed"
    );
    // The report by message, due every minute until 10 and every five minutes from then on, waits as well.
    seconds(60).await;
    let page = exporter.scrape().await;
    assert!(failing(&page, messages, "rate_limited"), "{page:?}");
    let html = exporter.get("/").await.1;
    assert!(html.contains("another request of this account was rate-limited; waiting"), "{html}");
    seconds(60).await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, users) && is_up(&page, messages), "{page:?}");
    assert_eq!(
        log.take_lines("").iter().filter(|line| line.contains("failing") || line.contains("works again")).count(),
        0
    );
    exporter.stop().await;
}
