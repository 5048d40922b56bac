//! Reading the configuration again: apps come, go and change while the others notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use push_exporter::poll::manager::Changes;
use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::support::failing_ledger::FailingLedger;
use crate::support::{Exporter, Page, Program, eventually, fast_dir, network, post, signal, simulate};

/// The section of an app of the simulator.
fn section(address: std::net::SocketAddr, app: &EasemobApp, more: &str) -> String {
    let EasemobApp { org_name, app_name, client_id, client_secret, .. } = app;
    format!(
        "  - {{app: {app_name}, base_url: \"http://{address}\", org_name: {org_name}, app_name: {app_name}, client_id: {client_id}, client_secret: {client_secret}{more}}}\n"
    )
}

fn requests(page: &Page, app: &str) -> i64 {
    let name = format!(r#"push_api_requests_total{{provider="easemob",app="{app}",report="offline_push","#);
    page.starting(&[&name]).values().sum()
}

fn of(page: &Page, app: &str) -> usize {
    page.0.keys().filter(|series| series.contains(&format!("app=\"{app}\""))).count()
}

/// A network in which requests to one address wait until they are let through.
struct Gated {
    inner: Arc<dyn Transport>,
    address: String,
    gate: Semaphore,
}

impl Transport for Gated {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async {
            if request.uri().authority().is_some_and(|authority| authority.as_str() == self.address) {
                drop(self.gate.acquire().await);
            }
            self.inner.send(request).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn apps_come_go_and_change() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (one, two, three) =
        (EasemobApp::demo("acme", "one"), EasemobApp::demo("acme", "two"), EasemobApp::demo("acme", "three"));
    let mut addresses = Vec::new();
    for app in [&one, &two, &three] {
        addresses.push(simulate(EasemobSimulator::new(clock.clone(), app.clone())).await.1);
    }
    let folder = fast_dir();
    let text = |sections: &[String]| format!("easemob:\n{}", sections.concat());
    let (a, b) = (section(addresses[0], &one, ""), section(addresses[1], &two, ""));
    let gated = Arc::new(Gated { inner: network(), address: addresses[2].to_string(), gate: Semaphore::new(0) });
    let transport = Arc::clone(&gated) as Arc<dyn Transport>;
    let exporter = Exporter::start_through(transport, &text(&[a.clone(), b.clone()]), folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(3 * 3600 + 60)).await;
    let before = exporter.scrape().await;
    assert!(of(&before, "one") > 20 && of(&before, "two") > 20 && of(&before, "three") == 0);

    // One is added, one goes on.
    let c = section(addresses[2], &three, "");
    let changes = exporter.reload(&text(&[a.clone(), b.clone(), c.clone()])).await.unwrap();
    assert_eq!(changes, Changes { added: 1, kept: 2, ..Changes::default() });
    let (status, said) = exporter.get("/-/ready").await;
    assert_eq!((status, said.contains("easemob three offline_push")), (503, true), "{said}");
    gated.gate.add_permits(1);
    let after = exporter.scrape().await;
    for (series, value) in &before.0 {
        if series.contains("app=\"one\"") || series.contains("app=\"two\"") {
            assert_eq!(after.get(series), Some(*value), "{series}");
        }
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(exporter.get("/-/ready").await.0, 200);
    let grown = exporter.scrape().await;
    assert_eq!(grown.get(r#"push_up{provider="easemob",app="three",report="offline_push"}"#), Some(1.0));
    // Polled every five minutes, no more often and no less.
    let polled = requests(&grown, "one") - requests(&before, "one");
    assert!((2..=3).contains(&polled), "{polled} polls in ten minutes");

    // One goes: its series are gone at once, and nobody polls it.
    let changes = exporter.reload(&text(&[a.clone(), c.clone()])).await.unwrap();
    assert_eq!(changes, Changes { removed: 1, kept: 2, ..Changes::default() });
    let page = exporter.scrape().await;
    assert_eq!(of(&page, "two"), 0);
    let (_, status) = exporter.get("/api/v1/status").await;
    assert!(!status.contains("\"two\"") && status.contains("\"three\""), "{status}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(of(&exporter.scrape().await, "two"), 0);

    // It comes back, and its counters go on.
    exporter.reload(&text(&[a.clone(), b, c.clone()])).await.unwrap();
    let page = exporter.scrape().await;
    let (was, is) = (before.starting(&["push_messages_"]), page.starting(&["push_messages_"]));
    for (series, value) in was.iter().filter(|(series, _)| series.contains("app=\"two\"")) {
        assert!(is.get(series) >= Some(value), "{series}: {value} and now {:?}", is.get(series));
    }

    // One changes; its counters, its failed polls and its requests go on.
    let earlier = exporter.scrape().await;
    let changes = exporter.reload(&text(&[section(addresses[0], &one, ", interval: 1m"), c])).await.unwrap();
    assert_eq!(changes, Changes { changed: 1, removed: 1, kept: 1, ..Changes::default() });
    let page = exporter.scrape().await;
    page.assert_not_below(&earlier.starting(&[r#"push_messages_sent_total{provider="easemob",app="one""#]), "changed");
    tokio::time::sleep(Duration::from_secs(601)).await;
    let page = exporter.scrape().await;
    let polled = requests(&page, "one") - requests(&earlier, "one");
    assert!((10..=11).contains(&polled), "{polled} polls in ten minutes");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_changes_nothing() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let text = "feishu: [{app: office-bot, base_url: 'http://127.0.0.1:1', app_id: cli_x, app_secret: secret}]\n";
    let exporter = Exporter::start(text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = exporter.scrape().await;
    assert_eq!(before.get("push_exporter_config_last_reload_successful"), Some(1.0));
    let loaded = "push_exporter_config_last_reload_success_timestamp_seconds";
    for (bad, reason) in [
        ("feishu: [{app: office-bot}]\n", "app_id: is required"),
        (
            "ledger: sqlite:other.db\nfeishu: [{app: a, app_id: b, app_secret: c}]\n",
            "ledger or replica cannot be changed",
        ),
        ("", "the file is empty"),
    ] {
        let error = exporter.reload(bad).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        let page = exporter.scrape().await;
        assert_eq!(page.get("push_exporter_config_last_reload_successful"), Some(0.0), "{bad:?}");
        assert_eq!(page.get(loaded), before.get(loaded), "{bad:?}");
        assert!(of(&page, "office-bot") >= of(&before, "office-bot"));
    }
    exporter.reload(text).await.unwrap();
    let page = exporter.scrape().await;
    assert_eq!(page.get("push_exporter_config_last_reload_successful"), Some(1.0));
    assert!(page.get(loaded) > before.get(loaded));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_is_waited_for() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let app = |name: &str, more: &str| {
        format!(
            "  - {{app: {name}, base_url: 'http://127.0.0.1:1', app_id: cli_{name}, app_secret: secret, interval: 1h{more}}}\n"
        )
    };
    // One whose polls write.
    let writing = EasemobApp::demo("acme", "chat");
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), writing.clone())).await;
    let text =
        |sections: &[String]| format!("easemob:\n{}feishu:\n{}", section(address, &writing, ""), sections.concat());
    let is_down = Arc::new(AtomicBool::new(false));
    let store = FailingLedger::switched(&folder.path().join("push-exporter.db"), &is_down);
    let both = text(&[app("a", ""), app("b", "")]);
    let exporter = Exporter::start_on(Box::new(store), network(), &both, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let errors =
        |page: &Page| -> i64 { page.starting(&[r#"push_poll_errors_total{provider="feishu",app="b""#]).values().sum() };
    let before = exporter.scrape().await;
    assert!(errors(&before) > 0);
    // It fails in the middle: what has been stopped is started when the ledger works again.
    is_down.store(true, Ordering::Relaxed);
    let changed = text(&[app("a", ""), app("b", ", timezone: UTC"), app("c", "")]);
    let reloaded = async {
        let changes = exporter.reload(&changed).await;
        (changes, tokio::time::Instant::now())
    };
    let mended = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        let page = exporter.scrape().await;
        assert_eq!(page.get("push_exporter_config_last_reload_successful"), Some(0.0));
        assert!(of(&page, "a") > 0 && of(&page, "b") == 0, "one goes on, one waits");
        is_down.store(false, Ordering::Relaxed);
        tokio::time::Instant::now()
    };
    let ((changes, done), mended) = tokio::join!(reloaded, mended);
    assert_eq!(changes.unwrap(), Changes { added: 1, changed: 1, kept: 2, ..Changes::default() });
    assert!(done > mended);
    let after = exporter.scrape().await;
    assert!(of(&after, "b") > 0 && of(&after, "c") > 0);
    assert!(errors(&after) >= errors(&before), "{} and then {}", errors(&before), errors(&after));
    assert_eq!(after.get("push_exporter_config_last_reload_successful"), Some(1.0));

    // While it is known to be down, nothing is begun.
    is_down.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let outcome = exporter.reload(&both).await.unwrap_err().to_string();
    assert!(outcome.contains("the ledger cannot be written now"), "{outcome}");
    assert!(of(&exporter.scrape().await, "c") > 0);
    is_down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(exporter.reload(&both).await.unwrap().removed, 1);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_apps_that_come_and_go() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let shop = |name: &str, key: char, more: &str| {
        let key = key.to_string().repeat(24);
        format!("  - {{app: {name}, app_key: {key}, master_secret: secret, base_url: 'http://127.0.0.1:1'{more}}}\n")
    };
    let text =
        |sections: &[String], token: &str| format!("message_api: {{token: {token}}}\njpush:\n{}", sections.concat());
    let exporter = Exporter::start(&text(&[shop("a", 'a', "")], "first"), folder.path(), &clock).await;
    let add = async |token: &str, app: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = format!("{{\"app\": \"{app}\", \"msg_id\": 7}}").into_bytes();
        post(exporter.address, "/api/v1/messages", &headers, body).await.0
    };
    assert_eq!((add("first", "a").await, add("first", "b").await), (200, 400));
    let ids = folder.path().join("ids.log");
    std::fs::write(&ids, "11\n12\n").unwrap();
    let both = [shop("a", 'a', ""), shop("b", 'b', ", messages: {files: [ids.log], ids: [13]}")];
    exporter.reload(&text(&both, "second")).await.unwrap();
    assert_eq!((add("first", "b").await, add("second", "b").await), (401, 200));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let registered = |page: &Page, app: &str, source: &str| {
        page.get(&format!(r#"push_messages_registered_total{{provider="jpush",app="{app}",source="{source}"}}"#))
    };
    let page = exporter.scrape().await;
    assert_eq!(registered(&page, "b", "file"), Some(2.0));
    assert_eq!((registered(&page, "b", "config"), registered(&page, "b", "api")), (Some(1.0), Some(1.0)));
    assert_eq!(registered(&page, "a", "api"), Some(1.0));
    // Without the app its file is not followed any more.
    exporter.reload(&text(&both[..1], "second")).await.unwrap();
    assert_eq!(add("second", "b").await, 400);
    std::fs::write(&ids, "11\n12\n14\n15\n").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(of(&exporter.scrape().await, "b"), 0);
    // Back again, what was written meanwhile is read once.
    exporter.reload(&text(&both, "second")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(registered(&exporter.scrape().await, "b", "file"), Some(4.0));
    // Without a token the way in is closed.
    exporter.reload(&format!("jpush:\n{}", both.concat())).await.unwrap();
    assert_eq!(add("second", "b").await, 404);
    exporter.stop().await;
}

#[test]
fn by_signal_and_by_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push-exporter.yml");
    let app = |name: &str, id: &str| {
        format!("  - {{app: {name}, base_url: 'http://127.0.0.1:1', app_id: {id}, app_secret: secret}}\n")
    };
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(&format!("feishu:\n{}", app("a", "cli_a")));
    let args = ["--config.file", file.to_str().unwrap()];
    let program = Program::start(&args);
    let apps = |program: &Program| {
        let status: serde_json::Value = serde_json::from_str(&program.get("/api/v1/status").1).unwrap();
        status["apps"].as_array().unwrap().len()
    };
    let post = |program: &Program| {
        let request = "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        crate::support::try_talk(program.address, request).unwrap()
    };
    let (status, said) = post(&program);
    assert_eq!((status, said.contains("--web.enable-lifecycle")), (403, true), "{said}");
    assert_eq!(program.get("/-/reload").0, 405);

    write(&format!("feishu:\n{}{}", app("a", "cli_a"), app("b", "cli_b")));
    signal(&program.child, "HUP");
    eventually("two apps", 20, || (apps(&program) == 2).then_some(()));
    program.logged("1 apps added, 0 removed, 0 changed, 1 as before");
    // A file that is wrong is said, and the process goes on.
    write("feishu: nonsense\n");
    signal(&program.child, "HUP");
    eventually("an error", 20, || program.log().contains("expected a list").then_some(()));
    assert_eq!(apps(&program), 2);
    drop(program);

    write(&format!("feishu:\n{}", app("a", "cli_a")));
    let program = Program::start(&[args[0], args[1], "--web.enable-lifecycle"]);
    let (status, said) = post(&program);
    assert_eq!((status, said.contains("1 as before")), (200, true), "{said}");
    write("feishu: nonsense\n");
    let (status, said) = post(&program);
    assert_eq!(status, 500);
    assert!(said.contains("push-exporter.yml:1:9: feishu: expected a list, found a text"), "{said}");
    drop(program);

    // By itself, and by the swap of a link as Kubernetes does it.
    let ledger = format!("ledger: sqlite:{}\n", folder.path().join("beside.db").display());
    let folders = [("one", app("a", "cli_a")), ("two", app("a", "cli_a") + &app("b", "cli_b"))];
    for (name, apps) in folders {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("push-exporter.yml"), format!("{ledger}feishu:\n{apps}")).unwrap();
    }
    let link = |to: &str| {
        let (new, current) = (folder.path().join("new"), folder.path().join("current"));
        std::os::unix::fs::symlink(to, &new).unwrap();
        std::fs::rename(new, current).unwrap();
    };
    link("one");
    let linked = folder.path().join("current/push-exporter.yml");
    let program = Program::start(&["--config.file", linked.to_str().unwrap(), "--config.watch"]);
    assert_eq!(apps(&program), 1);
    link("two");
    eventually("two apps by themselves", 30, || (apps(&program) == 2).then_some(()));
    program.logged("the configuration has changed; reloading it");
    std::fs::write(&linked, "feishu: nonsense\n").unwrap();
    eventually("an error by itself", 30, || program.log().contains("expected a list").then_some(()));
    assert_eq!(apps(&program), 2);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(program.log().matches("reloading it").count(), 2, "each change once");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_leaves_waits_for_registrations_under_way() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let folder = fast_dir();
    let gate = Arc::new(Semaphore::new(0));
    let store = Box::new(FailingLedger::gated(&folder.path().join("push-exporter.db"), &gate));
    let app = |name: &str| {
        format!("  - {{app: {name}, base_url: 'http://127.0.0.1:1', app_key: {name}, master_secret: m}}\n")
    };
    let text = |apps: &[&str]| {
        let apps: String = apps.iter().map(|name| app(name)).collect();
        format!("message_api: {{token: t}}\njpush:\n{apps}")
    };
    let exporter = Exporter::start_on(store, network(), &text(&["shop", "game"]), folder.path(), &clock).await;
    let address = exporter.address;
    let registering = tokio::spawn(async move {
        let headers = [("authorization", "Bearer t"), ("content-type", "application/json")];
        post(address, "/api/v1/messages", &headers, br#"{"app":"shop","msg_id":1}"#.to_vec()).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The id is on its way into the ledger when its app leaves.
    let without = text(&["game"]);
    let mut reloading = Box::pin(exporter.reload(&without));
    let early = tokio::time::timeout(Duration::from_secs(5), &mut reloading).await;
    assert!(early.is_err(), "the app left before its ids were registered");
    gate.add_permits(1);
    assert_eq!(registering.await.unwrap().0, 200);
    assert_eq!(reloading.await.unwrap().removed, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(of(&exporter.scrape().await, "shop"), 0, "nothing of it is shown any more");
    // It is known when the app is back.
    exporter.reload(&text(&["shop", "game"])).await.unwrap();
    let tracked = r#"push_tracked_messages{provider="jpush",app="shop",state="waiting"}"#;
    assert_eq!(exporter.scrape().await.get(tracked), Some(1.0));
    exporter.stop().await;
}

/// Where the apps of a new configuration cannot be started, those of the one before are polled on.
#[tokio::test(start_paused = true)]
async fn a_configuration_whose_apps_cannot_be_started_is_taken_back() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let [one, two, bad] = ["one", "two", "bad"].map(|name| EasemobApp::demo("acme", name));
    let mut sections = Vec::new();
    for app in [&one, &two, &bad] {
        let (_, address) = simulate(EasemobSimulator::new(clock.clone(), app.clone())).await;
        sections.push(section(address, app, ""));
    }
    let folder = fast_dir();
    let store = Box::new(FailingLedger::refusing(&folder.path().join("push-exporter.db"), "bad"));
    let text = format!("easemob:\n{}{}", sections[0], sections[1]);
    let exporter = Exporter::start_on(store, network(), &text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let before = exporter.scrape().await;
    // One is gone, two has changed, and the third cannot be made known.
    let changed = sections[1].replace("}}", ", interval: 1m}}").replace("}\n", ", interval: 1m}\n");
    let error = exporter.reload(&format!("easemob:\n{changed}{}", sections[2])).await.unwrap_err();
    assert!(error.to_string().contains("apps cannot be started"), "{error}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let page = exporter.scrape().await;
    for app in ["one", "two"] {
        assert_eq!(requests(&page, app) - requests(&before, app), 2, "{app} is polled as before, every five minutes");
        page.assert_not_below(&before.counters(), app);
    }
    assert_eq!(of(&page, "bad"), 0);
    assert_eq!(page.get("push_exporter_config_last_reload_successful"), Some(0.0));
    exporter.stop().await;
}

/// Apps that were shown before it turned out that they cannot be started leave nothing behind.
#[tokio::test(start_paused = true)]
async fn apps_that_cannot_be_opened_leave_nothing_behind() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let one = EasemobApp::demo("acme", "one");
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), one.clone())).await;
    let folder = fast_dir();
    let store = Box::new(FailingLedger::unreadable(&folder.path().join("push-exporter.db")));
    let text = format!("easemob:\n{}", section(address, &one, ""));
    let exporter = Exporter::start_on(store, network(), &text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let shop = format!(
        "jpush:\n  - {{app: shop, base_url: 'http://{address}/v3', app_key: a, master_secret: s3cret, users: [day], messages: {{ids: [1]}}}}\n"
    );
    let error = exporter.reload(&format!("{text}{shop}")).await.unwrap_err();
    assert!(error.to_string().contains("apps cannot be started"), "{error}");
    let page = exporter.scrape().await;
    assert_eq!(of(&page, "shop"), 0);
    assert_eq!(exporter.get("/-/ready").await.0, 200);
    assert!(!exporter.get("/api/v1/status").await.1.contains("shop"));
    assert!(of(&page, "one") > 0);
    // And a good one is taken afterwards.
    assert_eq!(exporter.reload(&text).await.unwrap(), Changes { kept: 1, ..Changes::default() });
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_objective_is_shown_as_configured_now() {
    let folder = fast_dir();
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let text = |objective: &str| {
        format!(
            "jpush:\n  - {{app: shop, app_key: 7d431e42dfa6a6d693ac2d04, master_secret: s, base_url: 'http://127.0.0.1:1'{objective}}}\n"
        )
    };
    let series = r#"push_objective_ratio{provider="jpush",app="shop"}"#;
    let exporter = Exporter::start(&text(", objective: 0.995"), folder.path(), &clock).await;
    assert_eq!(exporter.scrape().await.get(series), Some(0.995));
    exporter.reload(&text(", objective: 0.9")).await.unwrap();
    assert_eq!(exporter.scrape().await.get(series), Some(0.9));
    exporter.reload(&text("")).await.unwrap();
    assert_eq!(exporter.scrape().await.get(series), None);
}
