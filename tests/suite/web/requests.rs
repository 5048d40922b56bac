//! The server: routes, methods, limits, and what a scrape gets.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use push_exporter::util::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Exporter, Page, Program, USERS, eventually, fast_dir, try_get};

/// An exporter whose only provider refuses connections.
async fn exporter(folder: &tempfile::TempDir) -> Exporter {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let text = "easemob:\n  - {app: chat, base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: s}\n";
    Exporter::start(text, folder.path(), &clock).await
}

/// Sends bytes, reads what comes until the server closes.
async fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn request(address: SocketAddr, first_line: &str, headers: &str) -> (u16, String, String) {
    let answer =
        talk(address, &format!("{first_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test(start_paused = true)]
async fn routes() {
    let folder = fast_dir();
    let exporter = exporter(&folder).await;
    let address = exporter.address;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for (path, status, content_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/-/healthy", 200, "text/plain; charset=utf-8"),
        ("/-/ready", 200, "text/plain; charset=utf-8"),
        ("/api/v1/status", 200, "application/json"),
        ("/metrics/", 404, "text/plain; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/api/v1/messages", 404, "text/plain; charset=utf-8"),
    ] {
        let (got, head, body) = request(address, &format!("GET {path}"), "").await;
        assert_eq!(got, status, "{path}");
        assert!(head.contains(&format!("content-type: {content_type}")), "{path}: {head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{path}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"));
    }
    let (status, head, body) = request(address, "HEAD /metrics", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: ") && !head.contains("content-length: 0"));
    let (status, head, _) = request(address, "POST /metrics", "Content-Length: 0\r\n").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"));

    let (_, _, text) = request(address, "GET /metrics", "").await;
    let page = Page::parse(&text);
    assert_eq!(page.get(r#"push_exporter_http_requests_total{code="404",handler="other"}"#), Some(2.0));
    assert_eq!(page.get(r#"push_exporter_http_requests_total{code="405",handler="metrics"}"#), Some(1.0));
    assert_eq!(page.get(r#"push_up{provider="easemob",app="chat",report="offline_push"}"#), Some(0.0));
    assert_eq!(
        page.get(r#"push_poll_failing{provider="easemob",app="chat",report="offline_push",reason="network"}"#),
        Some(1.0)
    );

    // Families stand together, each with one HELP and one TYPE, and no family is empty.
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        families.push(line.split(' ').next().unwrap());
    }
    let mut unique = families.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), families.len());
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn heads_have_limits() {
    let folder = fast_dir();
    let exporter = exporter(&folder).await;
    let address = exporter.address;
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(request(address, "GET /metrics", &many).await.0, 431);
    let large = format!("X: {}\r\n", "y".repeat(100_000));
    assert_eq!(request(address, "GET /metrics", &large).await.0, 431);
    assert_eq!(request(address, "nonsense", "").await.0, 400);
    // A body that nobody asked for is not read.
    assert_eq!(request(address, "POST /-/ready", "Content-Length: 99999999\r\n").await.0, 405);

    // A head that never ends, and silence, are both closed.
    let started = tokio::time::Instant::now();
    for half in ["GET /metrics HTTP/1.1\r\nHost:", "", "PRI"] {
        assert!(!talk(address, half).await.contains("200 OK"));
    }
    assert!(started.elapsed() < Duration::from_secs(300));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_keep_nobody_out() {
    let folder = fast_dir();
    let exporter = exporter(&folder).await;
    let address = exporter.address;
    let mut idle = Vec::new();
    for _ in 0..700 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let started = tokio::time::Instant::now();
    assert_eq!(request(address, "GET /-/healthy", "").await.0, 200);
    assert!(started.elapsed() < Duration::from_secs(1), "it was answered at once");
    // Those that came first had to give way.
    let open = exporter.scrape().await.get("push_exporter_http_connections").unwrap();
    assert!(open <= 514.0, "{open} connections");
    let mut first = [0];
    assert_eq!(idle[0].read(&mut first).await.unwrap_or(0), 0);
    // The others end after a while.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let open = exporter.scrape().await.get("push_exporter_http_connections").unwrap();
    assert!(open <= 2.0, "{open} connections");
    exporter.stop().await;
}

/// A configuration that asks nobody.
fn quiet(folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("push-exporter.yml");
    let text = "feishu:\n  - {app: office-bot, base_url: 'http://127.0.0.1:1', app_id: cli_x, app_secret: secret}\n";
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Starts the program with flags, and with a ledger that stays as long as the folder.
fn with_flags(folder: &tempfile::TempDir, flags: &[&str]) -> Program {
    let file = quiet(folder);
    let args: Vec<&str> = ["--config.file", &file].into_iter().chain(flags.iter().copied()).collect();
    Program::start(&args)
}

#[test]
fn a_prefix_stands_in_front_of_every_path() {
    for (flags, prefix, links) in [
        (vec!["--web.route-prefix=/push"], "/push", "/push"),
        (vec!["--web.external-url=https://example.org/push/"], "/push", "/push"),
        // A proxy takes the prefix away.
        (vec!["--web.external-url=https://example.org/push/", "--web.route-prefix=/"], "", "/push"),
        (vec!["--web.external-url=https://example.org/"], "", ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let program = with_flags(&folder, &flags);
        for path in ["/", "/metrics", "/-/healthy", "/api/v1/status"] {
            assert_eq!(program.get(&format!("{prefix}{path}")).0, 200, "{flags:?} {path}");
        }
        let (_, html) = program.get(&format!("{prefix}/"));
        assert!(html.contains(&format!("href=\"{links}/metrics\"")), "{flags:?}: {html}");
        assert!(html.contains(&format!("href=\"{links}/api/v1/status\"")), "{flags:?}");
        if !prefix.is_empty() {
            assert_eq!(program.get("/metrics").0, 404, "{flags:?}");
            assert_eq!(program.get("/push").0, 302, "{flags:?}");
            assert_eq!(program.get("/").0, 302, "{flags:?}");
        }
    }
}

#[test]
fn the_exporters_own_metrics_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let page = with_flags(&folder, &["--web.disable-exporter-metrics"]).get("/metrics").1;
    assert!(page.contains("push_poll_due_timestamp_seconds"), "{page}");
    assert!(!page.contains("push_exporter_") && !page.contains("process_"), "{page}");
    let page = with_flags(&folder, &[]).get("/metrics").1;
    assert!(page.contains("push_exporter_build_info") && page.contains("process_cpu_seconds_total"));
}

#[test]
fn several_addresses_are_served_and_health_on_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("web.yml");
    std::fs::write(&users, USERS).unwrap();
    let flags = [
        "--web.listen-address=[::1]:0",
        "--web.listen-address=localhost:0",
        "--web.probe-address=127.0.0.1:0",
        "--web.config.file",
        users.to_str().unwrap(),
    ];
    let program = with_flags(&folder, &flags);
    let said = eventually("all ports", 20, || {
        let said = program.out();
        (said.lines().count() == 4).then_some(said)
    });
    let ports: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("listening on ")).collect();
    let probe = said.lines().find_map(|line| line.strip_prefix("probes on ")).unwrap();
    assert_eq!(ports.len(), 3, "{said}");
    let get = |address: &str, path: &str| try_get(address.parse().unwrap(), path).unwrap().0;
    for port in ports {
        assert_eq!((get(port, "/metrics"), get(port, "/-/healthy")), (401, 200), "{port}");
    }
    let codes = ["/-/healthy", "/metrics", "/", "/api/v1/status", "/-/reload"].map(|path| get(probe, path));
    assert_eq!(codes, [200, 404, 404, 404, 404]);
    assert!([200, 503].contains(&get(probe, "/-/ready")));
}

#[test]
fn wrong_flags_are_refused() {
    for flags in [
        ["--web.route-prefix", "/a b"],
        ["--web.external-url", "example.org"],
        ["--web.max-requests", "-1"],
        ["--web.probe-address", "nonsense"],
        ["--web.config.file", "/nowhere/web.yml"],
    ] {
        let output =
            Program::binary().args(["demo", "--web.listen-address", "127.0.0.1:0"]).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
    // No socket was passed.
    let output = Program::binary().args(["demo", "--web.systemd-socket"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no sockets were passed"), "{said}");
}

/// A connection that takes little at a time.
fn narrow(address: SocketAddr) -> std::net::TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(512 * 1024).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

#[test]
fn only_so_many_scrapes_are_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "feishu:\n".to_owned();
    // Enough reports that no buffer between us takes the whole page.
    for app in 0..8000 {
        text +=
            &format!("  - {{app: app-{app}, base_url: 'http://127.0.0.1:1', app_id: cli_{app}, app_secret: secret}}\n");
    }
    let file = folder.path().join("push-exporter.yml");
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["--config.file", file.to_str().unwrap(), "--web.max-requests=2"]);
    let length = program.get("/metrics").1.len();
    assert!(length > 8_000_000, "{length}");
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = narrow(program.address);
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            // Its answer has begun.
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    // They take a little now and then.
    let reading = Arc::new(AtomicBool::new(true));
    let readers: Vec<_> = slow
        .into_iter()
        .map(|mut stream| {
            let reading = Arc::clone(&reading);
            std::thread::spawn(move || {
                let mut some = vec![0; 16 * 1024];
                while reading.load(Ordering::Relaxed) && stream.read(&mut some).is_ok_and(|read| read > 0) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        })
        .collect();
    let (status, said) = program.get("/metrics");
    assert_eq!(status, 503);
    assert!(said.contains("Limit of concurrent requests reached (2)"), "{said}");
    assert_eq!(program.get("/-/healthy").0, 200, "only scrapes are limited");
    reading.store(false, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    eventually("they have hung up", 30, || (program.get("/metrics").0 == 200).then_some(()));
}
