//! A day of many messages with a budget that is too small for the first minutes: how many calls, how late
//! by age, and what is due as the page tells it. In paused time, without sockets to the provider. With
//! PUSH_EXPORTER_TRACKED=100000 as in docs/counters.md, else a twentieth of it, budget included.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;

use crate::support::{Exporter, fast_dir, post};

/// Until which age in seconds, polled how often: the table of docs/counters.md, by hand.
const PACES: [(i64, i64, &str); 5] = [
    (600, 60, "until 10 min"),
    (7_200, 300, "until 2 h"),
    (86_400, 1_800, "until 24 h"),
    (432_000, 10_800, "until 5 d"),
    (i64::MAX, 86_400, "until 28 d"),
];

fn pace(age_ms: i64) -> (usize, i64) {
    let step = PACES.iter().position(|(until, ..)| age_ms / 1000 < *until).unwrap();
    (step, PACES[step].1 * 1000)
}

struct Message {
    sent_ms: i64,
    /// When it should be asked for next, and how often at its age; what follows from the first question.
    due_ms: i64,
    step: usize,
    pace_ms: i64,
    asked: u64,
}

#[derive(Default)]
struct Seen {
    messages: HashMap<u64, Message>,
    calls: u64,
    asked: u64,
    /// Asked for before they were due.
    filled: u64,
    /// The largest lateness by step, in ms and as a share of the pace.
    late_ms: [i64; 5],
    late: [f64; 5],
    starts: VecDeque<i64>,
    most_in_a_minute: usize,
}

/// JPush without a network: answers after a tenth of a second.
struct Provider {
    clock: Clock,
    seen: Mutex<Seen>,
}

impl Transport for Provider {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            let now = self.clock.now().as_millisecond();
            let query = request.uri().query().unwrap();
            let ids: Vec<u64> =
                query.strip_prefix("msg_ids=").unwrap().split(',').map(|id| id.parse().unwrap()).collect();
            assert!(ids.len() <= 100);
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.seen.lock().unwrap().note(now, now + 100, &ids);
            let items: Vec<String> =
                ids.iter().map(|id| format!(r#"{{"msg_id":"{id}","jpush_received":{}}}"#, id % 7)).collect();
            let body = format!("[{}]", items.join(",")).into_bytes();
            Ok(Reply { status: StatusCode::OK, headers: HeaderMap::new(), body })
        })
    }
}

impl Seen {
    fn note(&mut self, now: i64, answered: i64, ids: &[u64]) {
        self.calls += 1;
        self.asked += ids.len() as u64;
        self.starts.push_back(now);
        while self.starts.front().is_some_and(|start| now - start >= 60_000) {
            self.starts.pop_front();
        }
        self.most_in_a_minute = self.most_in_a_minute.max(self.starts.len());
        for id in ids {
            let message = self.messages.get_mut(id).unwrap();
            let late = now - message.due_ms;
            if late < 0 {
                self.filled += 1;
            }
            self.late_ms[message.step] = self.late_ms[message.step].max(late);
            self.late[message.step] = self.late[message.step].max(late as f64 / message.pace_ms as f64);
            (message.step, message.pace_ms) = pace(answered - message.sent_ms);
            message.due_ms = answered + message.pace_ms;
            message.asked += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lateness_is_shared_and_nothing_starves() {
    let count: u64 = std::env::var("PUSH_EXPORTER_TRACKED").map_or(5_000, |count| count.parse().unwrap());
    let per_minute = usize::try_from(count * 600 / 100_000).unwrap();
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let provider = Arc::new(Provider { clock: clock.clone(), seen: Mutex::default() });
    let folder = fast_dir();
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, app_key: key, master_secret: s, requests_per_minute: {per_minute}}}\n"
    );
    let exporter =
        Exporter::start_through(Arc::clone(&provider) as Arc<dyn Transport>, &text, folder.path(), &clock).await;

    // The first minute takes half of the budget.
    tokio::time::sleep(Duration::from_secs(61)).await;

    // Four of five have just been sent; the others over the last two hours, day and five days.
    let mut random = fastrand::Rng::with_seed(4);
    let entries: Vec<(u64, i64)> = (1..=count)
        .map(|id| {
            let age = match id % 50 {
                0..40 => 0,
                40..45 => random.i64(600..7_200),
                45..48 => random.i64(7_200..86_400),
                _ => random.i64(86_400..432_000),
            };
            (id, clock.now().as_second() - age)
        })
        .collect();
    for part in entries.chunks(10_000) {
        let now = clock.now().as_millisecond();
        let lines: Vec<String> =
            part.iter().map(|(id, sent)| format!(r#"{{"app":"shop","msg_id":{id},"sent_at":{sent}}}"#)).collect();
        for (id, sent) in part {
            let first = Message { sent_ms: sent * 1000, due_ms: now + 5_000, step: 0, pace_ms: 60_000, asked: 0 };
            provider.seen.lock().unwrap().messages.insert(*id, first);
        }
        let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/x-ndjson")];
        let (status, answer) =
            post(exporter.address, "/api/v1/messages", &headers, lines.join("\n").into_bytes()).await;
        assert_eq!(status, 200, "{answer}");
    }

    // What is said to be due is what is due, while it is most and when all is well.
    for minutes in [4, 8, 60] {
        tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
        let due = r#"push_poll_due_timestamp_seconds{provider="jpush",app="shop",report="received_detail"}"#;
        let shown = exporter.scrape().await.get(due).unwrap();
        let seen = provider.seen.lock().unwrap();
        let oldest = seen.messages.values().map(|message| message.due_ms).min().unwrap() as f64 / 1000.0;
        // A poll of eight calls is under way.
        let poll = 8.0 * 60.0 / per_minute as f64 + 2.0;
        assert!((shown - oldest).abs() <= poll, "after {minutes} min: shown {shown}, is {oldest}");
    }
    tokio::time::sleep(Duration::from_secs(86_400 - 72 * 60)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.starting(&["push_poll_failing"]), BTreeMap::new());
    exporter.stop().await;

    let seen = provider.seen.lock().unwrap();
    println!("{count} messages, {per_minute} requests a minute, 24 h");
    println!("calls {}, messages asked {}, of them filled in {}", seen.calls, seen.asked, seen.filled);
    println!("most calls in a minute {}", seen.most_in_a_minute);
    for (index, (_, every, age)) in PACES.iter().enumerate() {
        println!(
            "{age}, every {every} s: at most {:.1} s late, {:.2} of the pace",
            seen.late_ms[index] as f64 / 1000.0,
            seen.late[index]
        );
    }
    assert!(seen.most_in_a_minute <= per_minute, "{}", seen.most_in_a_minute);
    // The first minutes want four calls where three are allowed; nobody waits for more than twice the pace.
    assert!(seen.late[0] > 0.2, "the budget was never short");
    assert!(seen.late.iter().all(|late| *late < 2.0), "{:?}", seen.late);
    // By the table: those just sent 10 + 22 + 44 times but for what was late, those that passed
    // five days a last time in that step and then daily.
    let asked = |ids: &dyn Fn(u64) -> bool| {
        let counts = seen.messages.iter().filter(|(id, _)| ids(**id)).map(|(_, message)| message.asked);
        counts.min().unwrap()
    };
    assert!(asked(&|id| id % 50 < 40) >= 60, "{}", asked(&|id| id % 50 < 40));
    assert!(asked(&|id| id % 50 >= 48) >= 2, "{}", asked(&|id| id % 50 >= 48));
}
