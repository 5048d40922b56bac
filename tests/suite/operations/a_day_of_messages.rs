//! What so many messages a day take: requests, ledger, memory and time of a processor, in a simulated day that begins with
//! five days of messages behind it. PUSH_EXPORTER_A_DAY is the number, 300 or as in docs/operations.md.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;

use crate::support::{Exporter, fast_dir, post, ten_channels};

/// Messages of `messages_detail` are followed for so long.
const FOLLOWED: i64 = 5 * 86_400;
/// Polls of a message in its life, by hand: 10 of a minute, 22 of five, 44 of thirty, 32 of three hours, and the last.
const POLLS: u64 = 10 + 22 + 44 + 32 + 1;

/// JPush without a network: ten channels with all their numbers, which grow with every question.
#[derive(Default)]
struct Provider(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    requests: u64,
    asked: u64,
    ids: HashSet<String>,
}

impl Transport for Provider {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        let ids: Vec<&str> = request.uri().query().unwrap().strip_prefix("msg_ids=").unwrap().split(',').collect();
        let mut seen = self.0.lock().unwrap();
        seen.requests += 1;
        seen.asked += ids.len() as u64;
        seen.ids.extend(ids.iter().map(|id| (*id).to_owned()));
        let sent = 1000 + seen.requests;
        let leaf = format!(r#"{{"target":{sent},"sent":{sent},"received":{sent},"display":{},"click":50}}"#, sent / 2);
        let details = ten_channels(&leaf);
        let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"msg_id":"{id}","details":{details}}}"#)).collect();
        let body = format!("[{}]", items.join(",")).into_bytes();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Reply { status: StatusCode::OK, headers: HeaderMap::new(), body })
        })
    }
}

/// Seconds of a processor, and MiB that are resident, of this process.
fn used() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let [user, system, resident] = [11, 12, 21].map(|index: usize| fields[index].parse::<f64>().unwrap());
    ((user + system) / 100.0, resident * 4096.0 / 1_048_576.0)
}

#[tokio::test(start_paused = true)]
async fn what_a_day_of_messages_takes() {
    let a_day: i64 = std::env::var("PUSH_EXPORTER_A_DAY").map_or(300, |count| count.parse().unwrap());
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let provider = Arc::new(Provider::default());
    let folder = fast_dir();
    let text =
        "message_api: {token: t}\njpush:\n  - {app: shop, app_key: k, master_secret: s, delivery: messages_detail}\n";
    let exporter =
        Exporter::start_through(Arc::clone(&provider) as Arc<dyn Transport>, text, folder.path(), &clock).await;
    let register = async |from: i64, to: i64| {
        // One every so often, over the whole time.
        let times = (from * a_day / 86_400..to * a_day / 86_400).map(|number| number * 86_400 / a_day);
        let lines: Vec<String> = times
            .enumerate()
            .map(|(index, at)| format!(r#"{{"app":"shop","msg_id":{at}{index:07},"sent_at":{at}}}"#))
            .collect();
        for part in lines.chunks(10_000) {
            let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
            let (status, answer) =
                post(exporter.address, "/api/v1/messages", &headers, part.join("\n").into_bytes()).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    let began = clock.now().as_second();
    register(began - FOLLOWED, began).await;
    // The first numbers of those that are there already.
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    let mut known = clock.now().as_second();
    register(began, known).await;
    *provider.0.lock().unwrap() = Seen::default();
    let (cpu_before, _) = used();
    for _ in 0..24 * 12 {
        tokio::time::sleep(Duration::from_secs(300)).await;
        let now = clock.now().as_second();
        register(known, now).await;
        known = now;
    }
    let (cpu, resident) = used();
    let seen = std::mem::take(&mut *provider.0.lock().unwrap());
    let page = exporter.scrape().await;
    let live: i64 = page.starting(&["push_tracked_messages"]).values().sum();
    exporter.stop().await;
    let ledger = std::fs::metadata(folder.path().join("push-exporter.db")).unwrap().len();
    println!(
        "{a_day} messages a day: {live} tracked, {} requests ({:.1} % of 1200 a minute) with {} readings of messages, ledger {:.1} MB, \
         {:.1} s of a processor, {resident:.0} MiB resident, test and provider included",
        seen.requests,
        seen.requests as f64 / (1200.0 * 1440.0) * 100.0,
        seen.asked,
        ledger as f64 / 1e6,
        cpu - cpu_before,
    );
    // Five days of them, and what retires within its three hours.
    let tracked = live as f64 / (5.0 * a_day as f64);
    assert!((0.99..1.05).contains(&tracked), "{tracked}");
    // Every message is asked for as often as its age wants, or earlier, where that fills a call.
    let polls = a_day as u64 * POLLS;
    assert!(seen.asked as f64 > 0.95 * polls as f64, "{} of {polls}", seen.asked);
    assert!(seen.requests < polls && seen.requests >= seen.asked / 100, "{} of {polls}", seen.requests);
    assert!(seen.ids.len() as f64 >= 5.9 * a_day as f64, "every message was asked for: {}", seen.ids.len());
}
