//! The server: routes, methods, limits, and what a scrape gets.

use std::net::SocketAddr;
use std::time::Duration;

use push_exporter::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Exporter, Page, fast_dir};

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
async fn connections_have_a_limit() {
    let folder = fast_dir();
    let exporter = exporter(&folder).await;
    let address = exporter.address;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut idle = Vec::new();
    for _ in 0..256 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let started = tokio::time::Instant::now();
    let late = tokio::spawn(async move { request(address, "GET /-/healthy", "").await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!late.is_finished(), "it waits for a place");
    let (status, ..) = late.await.unwrap();
    assert_eq!(status, 200, "and gets it when idle connections have been closed");
    assert!(started.elapsed() < Duration::from_secs(100));
    drop(idle);
    exporter.stop().await;
}
