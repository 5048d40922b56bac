//! One provider that accepts and never answers delays neither the other nor a scrape.

use std::time::Duration;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;
use tokio::net::TcpListener;

use crate::support::{Exporter, fast_dir, simulate};

#[tokio::test(start_paused = true)]
async fn a_silent_provider_delays_nobody() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let app = EasemobApp { step: 300, ..EasemobApp::demo("acme", "chat") };
    let secret = app.client_secret.clone();
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), app)).await;
    let folder = fast_dir();
    let text = format!(
        "easemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: {secret}, interval: 10s}}\n\
         feishu:\n  - {{app: bot, base_url: 'http://{silent_address}', app_id: cli_x, app_secret: y}}\n"
    );
    let started = tokio::time::Instant::now();
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let easemob = r#"provider="easemob",app="chat",report="offline_push""#;
    let feishu = r#"provider="feishu",app="bot",report="message_push_overview""#;

    // Feishu's first request is still under way; Easemob is polled at its pace, and scrapes are answered.
    tokio::time::sleep_until(started + Duration::from_secs(25)).await;
    let before = tokio::time::Instant::now();
    let page = exporter.scrape().await;
    assert!(before.elapsed() < Duration::from_secs(1), "a scrape waited");
    assert_eq!(page.get(&format!("push_up{{{easemob}}}")), Some(1.0));
    let polls = page.get(&format!(r#"push_api_requests_total{{{easemob},code="200"}}"#)).unwrap();
    assert!((2.0..=4.0).contains(&polls), "{polls} polls in 25 s at 10 s");
    assert_eq!(page.get(&format!("push_up{{{feishu}}}")), None, "no result yet");
    let (status, text) = exporter.get("/-/ready").await;
    assert_eq!((status, text.as_str()), (503, "Waiting for the first result of:\nfeishu bot message_push_overview\n"));

    // Three requests of 30 s each, then the poll has failed, and that is a first result.
    tokio::time::sleep_until(started + Duration::from_secs(110)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!("push_up{{{feishu}}}")), Some(0.0));
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{feishu},reason="timeout"}}"#)), Some(1.0));
    let tokens = r#"push_api_requests_total{provider="feishu",app="bot",report="token",code="none"}"#;
    assert_eq!(page.get(tokens), Some(3.0));
    // Paused time jumps while a socket is slow, so the count may be one off; a delayed report would be far below.
    let polls = page.get(&format!(r#"push_api_requests_total{{{easemob},code="200"}}"#)).unwrap();
    assert!((10.0..=13.0).contains(&polls), "{polls} polls in 110 s at 10 s");
    assert_eq!(exporter.get("/-/ready").await.0, 200);
    exporter.stop().await;
}
