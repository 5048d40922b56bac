//! Three days in which three requests of ten fail in one way or another, and the exporter is restarted
//! every few hours: at the end every counter of messages equals the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use push_exporter::clock::Clock;
use push_exporter::provider::BoxFuture;
use push_exporter::provider::http::{Reply, Reqwest, Transport, TransportError};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};

use crate::jpush_truth::add;
use crate::support::{Exporter, fast_dir, post, simulate};

/// Loses, delays and spoils requests and answers by chance.
struct Storm {
    inner: Reqwest,
    random: Mutex<fastrand::Rng>,
    is_calm: Mutex<bool>,
}

impl Transport for Storm {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        let fate = if *self.is_calm.lock().unwrap() { 99 } else { self.random.lock().unwrap().u32(0..20) };
        Box::pin(async move {
            match fate {
                0 => return Err(TransportError::Network("refused".to_owned())),
                1 => {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    return Err(TransportError::Timeout);
                }
                _ => {}
            }
            let mut reply = self.inner.send(request).await?;
            match fate {
                // It was answered, and the answer is lost.
                2 => return Err(TransportError::Network("reset".to_owned())),
                3 => reply.status = http::StatusCode::BAD_GATEWAY,
                4 => reply.body.truncate(reply.body.len() / 2),
                5 => reply.body.clear(),
                _ => {}
            }
            Ok(reply)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_every_counter_equals_the_truth() {
    let seed = std::env::var("PUSH_EXPORTER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("PUSH_EXPORTER_SEED={seed}");
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let app = JpushApp { seed, ..JpushApp::demo("key") };
    let secret = app.master_secret.clone();
    let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
    let folder = fast_dir();
    let text = format!(
        "message_api: {{token: t}}\njpush:\n  - {{app: shop, base_url: 'http://{address}/v3', app_key: key, master_secret: {secret}, delivery: messages_detail}}\n"
    );
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let storm = Arc::new(Storm {
        inner: Reqwest::new(None).unwrap(),
        random: Mutex::new(random.fork()),
        is_calm: Mutex::new(false),
    });
    let start = || Exporter::start_through(Arc::clone(&storm) as Arc<dyn Transport>, &text, folder.path(), &clock);
    let mut exporter = start().await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/json")];
    let mut pushed = Vec::new();
    while pushed.len() < 60 {
        tokio::time::sleep(Duration::from_secs(random.u64(60..8_000))).await;
        pushed.push(if random.u8(..4) == 0 { simulator.push_message(3_000) } else { simulator.push(20_000) });
        // Sent twice, since the first reply was not heard.
        let body = format!(r#"{{"app":"shop","msg_id":{}}}"#, pushed[pushed.len() - 1]);
        for new in [1, 0] {
            let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.clone().into()).await;
            assert_eq!((status, answer), (200, format!(r#"{{"received":1,"new":{new}}}"#)));
        }
        if random.u8(..5) == 0 {
            exporter.stop().await;
            exporter = start().await;
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    *storm.is_calm.lock().unwrap() = true;
    simulator.freeze();
    // A poll of every message, at the slowest pace of a failing report and of a message.
    tokio::time::sleep(Duration::from_secs(3 * 3600 + 900)).await;
    let page = exporter.scrape().await;
    let mut expected = BTreeMap::new();
    for id in &pushed {
        add(&mut expected, "shop", "messages_detail", &simulator.truth(*id, clock.now().as_second()), 1);
    }
    let mut counted = page.counters();
    counted
        .retain(|series, count| *count > 0 && !["_at_10m_", "registered"].iter().any(|other| series.contains(other)));
    assert_eq!(counted, expected, "PUSH_EXPORTER_SEED={seed}");
    assert!(expected.len() > 40);
    let tracked = page.get(r#"push_tracked_messages{provider="jpush",app="shop",state="live"}"#);
    assert_eq!(tracked, Some(60.0), "PUSH_EXPORTER_SEED={seed}");
    exporter.stop().await;
}
