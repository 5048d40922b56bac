//! Many messages: memory and start-up time do not grow with what is stored; and how soon after a start a scrape is
//! answered. Prints its figures; those of docs/operations.md come from
//! `PUSH_EXPORTER_BINARY=target/release/push-exporter` and a million messages.

use std::time::{Duration, Instant};

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Program, eventually, simulate, ten_channels, try_talk};

/// Knows every message, and says the same of all of them: ten channels.
fn plenty() -> ScriptedProvider {
    ScriptedProvider::answering(|request| {
        let ids = request.uri().query().and_then(|query| query.strip_prefix("msg_ids=")).unwrap();
        let leaf = r#"{"target":1000,"sent":990,"received":800,"display":700,"click":50}"#;
        let details = ten_channels(leaf);
        let items: Vec<String> =
            ids.split(',').map(|id| format!(r#"{{"msg_id":"{id}","details":{details}}}"#)).collect();
        respond(200, format!("[{}]", items.join(",")))
    })
}

/// Registers messages of an app, in one request.
fn register(program: &Program, app: &str, first: u64, count: u64) -> Duration {
    let sent_at = jiff::Timestamp::now().as_second() - 3000;
    let lines: Vec<String> = (first..first + count)
        .map(|id| format!(r#"{{"app":"{app}","msg_id":{},"sent_at":{sent_at}}}"#, 38_280_845_540_000_000 + id * 17))
        .collect();
    let body = lines.join("\n");
    let request = format!(
        "POST /api/v1/messages HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let started = Instant::now();
    let (status, answer) = try_talk(program.address, &request).unwrap();
    let took = started.elapsed();
    assert_eq!((status, answer), (200, format!(r#"{{"received":{count},"new":{count},"too_old":0}}"#)));
    took
}

fn resident_mib(program: &Program) -> f64 {
    program.try_scrape().unwrap().get("process_resident_memory_bytes").unwrap() / 1_048_576.0
}

/// Starts on what is stored: how long until the first whole page, and the memory a while later.
fn start_up(args: &[&str], live: u64) -> (Duration, f64) {
    let started = Instant::now();
    let program = Program::start(args);
    let page = program.try_scrape().unwrap();
    let took = started.elapsed();
    let state = r#"push_tracked_messages{provider="jpush",app="shop",state="live"}"#;
    assert_eq!(page.get(state), Some(live as f64), "the first page is complete");
    std::thread::sleep(Duration::from_secs(5));
    (took, resident_mib(&program))
}

/// Registers so many messages, waits until each has a number, and starts anew on them.
fn measure(messages: u64) -> (Duration, f64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, address) = runtime.block_on(simulate(plenty()));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("push-exporter.yml");
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://{address}/v3', app_key: k, master_secret: s, \
         delivery: messages_detail, requests_per_minute: 1000000}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let args = ["--config.file", config.to_str().unwrap()];
    let mut program = Program::start(&args);
    let mut took: Vec<Duration> = Vec::new();
    for first in (0..messages).step_by(10_000) {
        took.push(register(&program, "shop", first, (messages - first).min(10_000)));
    }
    took.sort();
    let live = r#"push_tracked_messages{provider="jpush",app="shop",state="live"}"#;
    let started = Instant::now();
    eventually("a number for each message", 3600, || {
        std::thread::sleep(Duration::from_millis(500));
        (program.try_scrape()?.get(live)? >= messages as f64).then_some(())
    });
    println!(
        "{messages} messages: registered at a median of {:?} a request of up to 10,000, {:.0} s until each had a number, {:.0} MiB resident, ledger {} MB",
        took[took.len() / 2],
        started.elapsed().as_secs_f64(),
        resident_mib(&program),
        std::fs::metadata(folder.path().join("push-exporter.db")).unwrap().len() / 1_000_000
    );
    program.terminate();
    let (took, resident) = start_up(&args, messages);
    println!("{messages} messages on disk: first page {took:?} after the start, {resident:.0} MiB resident after 5 s");
    (took, resident)
}

#[test]
fn memory_does_not_grow_with_messages() {
    let many = std::env::var("PUSH_EXPORTER_MESSAGES").map_or(20_000, |count| count.parse().unwrap());
    let (_, few_resident) = measure(1000);
    let (_, many_resident) = measure(many);
    assert!(many_resident < few_resident + 60.0, "{many_resident:.0} MiB with {many}, {few_resident:.0} with 1000");
}

#[test]
fn the_first_page_of_a_thousand_series_is_complete() {
    const APPS: usize = 15;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, address) = runtime.block_on(simulate(plenty()));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("push-exporter.yml");
    let app = |number: usize| {
        format!(
            "  - {{app: shop{number}, base_url: 'http://{address}/v3', app_key: k{number}, master_secret: s, delivery: messages_detail}}\n"
        )
    };
    let apps: String = (0..APPS).map(app).collect();
    std::fs::write(&config, format!("message_api: {{token: t0ken}}\njpush:\n{apps}")).unwrap();
    let args = ["--config.file", config.to_str().unwrap()];
    let mut program = Program::start(&args);
    for number in 0..APPS {
        register(&program, &format!("shop{number}"), number as u64, 1);
    }
    eventually("a number for each message", 60, || {
        let page = program.try_scrape()?;
        (page.starting(&["push_messages_sent_total"]).len() == APPS * 10).then_some(())
    });
    program.terminate();
    let mut starts: Vec<Duration> = (0..21)
        .map(|_| {
            let started = Instant::now();
            let mut program = Program::start(&args);
            let page = program.try_scrape().unwrap();
            let took = started.elapsed();
            assert!(page.0.len() >= 1000, "{} series", page.0.len());
            assert_eq!(page.starting(&["push_messages_sent_total"]).len(), APPS * 10, "the first page is complete");
            program.terminate();
            took
        })
        .collect();
    starts.sort();
    println!(
        "from the start of the process to the first whole page of a thousand series: median {:?} of {}, at most {:?}",
        starts[starts.len() / 2],
        starts.len(),
        starts[starts.len() - 1]
    );
}
