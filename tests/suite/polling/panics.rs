//! A bug that panics in one report's poll ends that poll alone: it is counted, the report backs off and is polled
//! again, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use push_exporter::exporter::Parts;
use push_exporter::exporter::reload::Reload;
use push_exporter::provider::config;
use push_exporter::provider::error::TransportError;
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;
use push_exporter::web::config::watch::WatchedConfig;
use push_exporter::web::{ListenerRole, Options, Setup};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::failing_ledger::FailingLedger;
use crate::support::{Exporter, Log, Page, fast_dir, post};

/// Answers of all three providers, and a panic for some hosts.
struct Buggy {
    is_buggy: AtomicBool,
}

impl Transport for Buggy {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let host = request.uri().host().unwrap();
            assert!(!host.starts_with("buggy") || !self.is_buggy.load(Ordering::Relaxed), "on purpose");
            let body = match request.uri().path() {
                path if path.ends_with("/token") => r#"{"access_token":"t","expires_in":0}"#,
                path if path.contains("tenant_access_token") => r#"{"code":0,"tenant_access_token":"t","expire":7200}"#,
                path if path.contains("offline-push") => r#"{"status":"OK","data":{}}"#,
                path if path.contains("received") => r#"[{"msg_id":"1","jpush_received":5}]"#,
                _ => r#"{"code":0,"data":{"items":[{"metric_name":"send_msg_count","metric_value":7}]}}"#,
            };
            Ok(Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() })
        })
    }
}

const REPORTS: [&str; 3] = [
    r#"provider="jpush",app="shop",report="received_detail""#,
    r#"provider="easemob",app="chat",report="offline_push""#,
    r#"provider="feishu",app="bot",report="message_push_overview""#,
];

fn panics(page: &Page) -> f64 {
    page.get("push_exporter_task_panics_total").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_poll_alone() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let transport = Arc::new(Buggy { is_buggy: AtomicBool::new(false) });
    let folder = fast_dir();
    let text = "
jpush:
  - {app: shop, base_url: 'http://buggy/v3', app_key: k, master_secret: s3cret, interval: 1m, messages: {ids: [1]}}
easemob:
  - {app: chat, base_url: 'http://buggy', org_name: o, app_name: a, client_id: i, client_secret: s3cret, interval: 1m}
  - {app: fine, base_url: 'http://fine', org_name: o, app_name: b, client_id: i, client_secret: s3cret, interval: 1m}
feishu:
  - {app: bot, base_url: 'http://buggy', app_id: cli_1, app_secret: s3cret, interval: 1m}
";
    let log = Log::capture();
    let exporter =
        Exporter::start_through(Arc::clone(&transport) as Arc<dyn Transport>, text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    let before = exporter.scrape().await;
    assert_eq!((panics(&before), before.starting(&["push_up"]).values().sum::<i64>()), (0.0, 4));
    log.take_lines("");

    transport.is_buggy.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let page = exporter.scrape().await;
    for report in REPORTS {
        assert_eq!(page.get(&format!("push_up{{{report}}}")), Some(0.0), "{report}");
        // With longer and longer waits, up to ten minutes: 1, 2, 4, 8, 10 …
        let errors = page.get(&format!(r#"push_poll_errors_total{{{report},reason="decode"}}"#)).unwrap();
        assert!((5.0..=7.0).contains(&errors), "{report}: {errors} polls in half an hour");
    }
    let all: f64 = REPORTS
        .iter()
        .map(|report| page.get(&format!(r#"push_poll_errors_total{{{report},reason="decode"}}"#)).unwrap())
        .sum();
    assert_eq!(panics(&page), all, "each is counted");
    let lines = log.take_lines("the report is failing");
    assert_eq!(lines.len(), 3, "{lines:?}");
    let fine = r#"push_api_requests_total{provider="easemob",app="fine",report="offline_push",code="200"}"#;
    let polls = page.get(fine).unwrap() - before.get(fine).unwrap();
    assert!((29.0..=31.0).contains(&polls), "{polls} polls of another app");
    assert_eq!(page.counters(), before.counters());

    transport.is_buggy.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(660)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_up"]).values().sum::<i64>(), 4);
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_first_poll_backs_off_whatever_is_registered() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let transport = Arc::new(Buggy { is_buggy: AtomicBool::new(true) });
    let folder = fast_dir();
    let text = "
message_api: {token: t}
jpush:
  - {app: shop, base_url: 'http://buggy/v3', app_key: k, master_secret_file: secret, messages: {ids: [1]}}
";
    std::fs::write(folder.path().join("secret"), "s3cret").unwrap();
    let exporter =
        Exporter::start_through(Arc::clone(&transport) as Arc<dyn Transport>, text, folder.path(), &clock).await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/json")];
    for id in 2..32 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let body = format!(r#"{{"app":"shop","msg_id":{id}}}"#);
        assert_eq!(post(exporter.address, "/api/v1/messages", &headers, body.into()).await.0, 200);
    }
    let page = exporter.scrape().await;
    // After 5, 10, 20 and 40 s, then 1, 2, 4, 8 and 10 minutes.
    assert!((9.0..=11.0).contains(&panics(&page)), "{} panics in half an hour", panics(&page));
    assert_eq!(page.get(&format!("push_poll_duration_seconds{{{}}}", REPORTS[0])), None, "no poll has ended yet");
    // A changed secret restores the pace.
    transport.is_buggy.store(false, Ordering::Relaxed);
    std::fs::write(folder.path().join("secret"), "other").unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(exporter.scrape().await.get(&format!("push_up{{{}}}", REPORTS[0])), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_leaves_nothing_to_serve_ends_the_process() {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let text = "easemob: [{app: chat, base_url: 'http://fine', org_name: o, app_name: a, client_id: i, client_secret: s3cret}]";
    let config = config::parse("test.yml", text, folder.path(), &Default::default(), PROVIDERS).unwrap();
    let parts = Parts {
        providers: PROVIDERS,
        clock,
        web: Setup {
            listeners: vec![(TcpListener::bind("127.0.0.1:0").await.unwrap(), ListenerRole::Main)],
            options: Options::default(),
            settings: WatchedConfig::nothing(),
        },
        transport: Arc::new(Buggy { is_buggy: AtomicBool::new(false) }),
        store: Box::new(FailingLedger::new(&folder.path().join("push-exporter.db"), |_| panic!("on purpose"))),
        reload: Reload::never(),
    };
    let run = push_exporter::exporter::run(config, parts, CancellationToken::new());
    let ended = tokio::time::timeout(Duration::from_secs(60), run).await.expect("it goes on without its ledger");
    assert_eq!(ended.unwrap_err().to_string(), "the task of the ledger has panicked; please report this as a bug");
}
