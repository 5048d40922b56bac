//! Messages pass through for three days, and nothing stays behind: no memory, no descriptor, no task, and in the
//! ledger one short row for 90 days. PUSH_EXPORTER_PASSING is the number of apps, with a thousand messages each:
//! 10, or 100 as in docs/promises.md.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Page, fast_dir, post, simulate, sqlite};

/// Knows every message by its id, which begins with when it was sent, and has a channel and a field of its own
/// for each: a provider that makes up new names for ever.
fn inventive(clock: Clock) -> ScriptedProvider {
    ScriptedProvider::answering(move |request| {
        let ids = request.uri().query().and_then(|query| query.strip_prefix("msg_ids=")).unwrap();
        let now = clock.now().as_second();
        let item = |id: &str| {
            let age = now - id[..10].parse::<i64>().unwrap();
            let leaf = |count: i64| {
                format!(r#"{{"target":{count},"sent":{count},"received":{},"display":1,"click":0}}"#, count / 2)
            };
            let android = format!(r#"{{"huawei":{},"new{id}":{}}}"#, leaf(100 + age / 60), leaf(3));
            format!(r#"{{"msg_id":"{id}","made_up_{id}":7,"details":{{"notification":{{"sub_android":{android}}}}}}}"#)
        };
        respond(200, format!("[{}]", ids.split(',').map(item).collect::<Vec<_>>().join(",")))
    })
}

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: f64,
    descriptors: usize,
    tasks: usize,
}

fn held() -> Held {
    let pages: f64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    Held {
        resident: pages * 4096.0 / 1_048_576.0,
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    }
}

/// Messages of a day, of each app.
const A_DAY: u64 = 334;

fn tracked(page: &Page) -> i64 {
    page.starting(&["push_tracked_messages"]).values().sum()
}

/// Asks the ledger, which nobody else uses meanwhile.
fn ask(ledger: &Path, sql: &str) -> f64 {
    sqlite(ledger, sql)[0].parse().unwrap()
}

#[test]
fn three_days_leave_nothing_behind() {
    // In a process of its own, where no other test takes memory.
    let inside = "operations::memory_growth::inside_a_process_of_its_own";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([inside, "--exact", "--ignored", "--nocapture"])
        .env("PUSH_EXPORTER_INSIDE", "1")
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(start_paused = true)]
#[ignore = "run by three_days_leave_nothing_behind"]
async fn inside_a_process_of_its_own() {
    if std::env::var_os("PUSH_EXPORTER_INSIDE").is_none() {
        return;
    }
    let apps: u64 = std::env::var("PUSH_EXPORTER_PASSING").map_or(10, |apps| apps.parse().unwrap());
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (_, address) = simulate(inventive(clock.clone())).await;
    let folder = fast_dir();
    let ledger = folder.path().join("push-exporter.db");
    let mut text = "message_api: {token: t}\njpush:\n".to_owned();
    for app in 0..apps {
        let _ = writeln!(
            text,
            "  - {{app: shop{app}, base_url: 'http://{address}/v3', app_key: k{app}, master_secret: s3cret, delivery: messages_detail, \
             newest_messages: 5, schedule: [{{until: 10m, every: 5m}}, {{until: 2h, every: 30m}}, {{until: 12h, every: 3h}}]}}"
        );
    }
    let start = || Exporter::start(&text, folder.path(), &clock);
    let exporter = start().await;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
    let mut days = Vec::new();
    let mut quietest = None;
    for hour in 0..3 * 24 {
        for app in 0..apps {
            let now = clock.now().as_second();
            let count = A_DAY * (hour % 24 + 1) / 24 - A_DAY * (hour % 24) / 24;
            let lines: Vec<String> =
                (0..count).map(|n| format!(r#"{{"app":"shop{app}","msg_id":"{now}{:06}"}}"#, app * 100 + n)).collect();
            let (status, answer) =
                post(exporter.address, "/api/v1/messages", &headers, lines.join("\n").into_bytes()).await;
            assert_eq!(status, 200, "{answer}");
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let page = exporter.scrape().await;
        assert_eq!(page.starting(&["push_newest_message_sent"]).len() as u64, 5 * apps);
        // Connections come and go; what leaks is there at the quietest moment too.
        let now = held();
        quietest = quietest.map_or(Some(now), |before: Held| {
            let (descriptors, tasks) = (before.descriptors.min(now.descriptors), before.tasks.min(now.tasks));
            Some(Held { descriptors, tasks, ..now })
        });
        if let Some(held) = quietest.take_if(|_| hour % 24 == 23) {
            println!("day {}: {held:?}, {} tracked, {} series", hour / 24 + 1, tracked(&page), page.0.len());
            days.push(held);
        }
    }
    let passed = apps * A_DAY * 3;
    println!("{passed} messages of {apps} apps");
    assert!(days[2].resident < days[0].resident * 1.1, "{days:?}");
    assert!(days[2].descriptors <= days[0].descriptors + 2, "{days:?}");
    assert!(days[2].tasks <= days[0].tasks + 2, "{days:?}");

    // The last of them retire.
    tokio::time::sleep(Duration::from_secs(13 * 3600)).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), 0);
    assert_eq!(page.starting(&["push_newest_message_sent"]).len(), 0);
    let sent = r#"push_messages_sent_total{provider="jpush",app="shop0",platform="android",channel="huawei",kind="notification"}"#;
    // The last poll of each is at twelve hours: 100 + 720.
    assert_eq!(page.get(sent), Some((A_DAY * 3 * 820) as f64));
    exporter.stop().await;
    let count = |table: &str| ask(&ledger, &format!("SELECT count(*) FROM {table}"));
    assert_eq!((count("message"), count("tombstone")), (0.0, passed as f64));
    let [payload, pages] = ["payload", "pgsize"]
        .map(|what| ask(&ledger, &format!("SELECT sum({what}) FROM dbstat WHERE name = 'tombstone'")) / passed as f64);
    println!("a retired message: a row of {payload:.1} bytes, {pages:.1} with the table's pages");
    assert!(payload <= 40.0, "{payload} bytes");
    // What a provider makes up is not kept without end.
    assert!(count("field") <= 20_000.0 && count("unknown_name") <= 1000.0 * apps as f64);
    assert_eq!(count("unknown_label"), 16.0 * apps as f64);

    // For 90 days, and then nothing.
    for (wait, left) in [(85, passed as f64), (4, 0.0)] {
        tokio::time::sleep(Duration::from_secs(wait * 86_400)).await;
        let exporter = start().await;
        tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
        exporter.stop().await;
        assert_eq!(count("tombstone"), left, "after {wait} more days");
    }
}
