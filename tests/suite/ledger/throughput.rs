//! How long commits and registrations take: commits of a hundred messages with ten channels each, beside messages that
//! are only stored. Prints its figures. `PUSH_EXPORTER_MESSAGES` is the number of stored messages: 2,000, or a million as
//! in docs/operations.md.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use push_exporter::ledger::sqlite::Sqlite;
use push_exporter::ledger::{
    AppKey, Commit, CommitContent, DueQuery, MessageSource, NewMessage, NewMessages, NewestMessages, PolledMessage,
    Store,
};
use push_exporter::model::reading::{Label, Metric, Reading, SeriesKey};

const CHANNELS: [&str; 10] = ["jpush", "huawei", "xiaomi", "oppo", "vivo", "honor", "meizu", "fcm", "apns", "hmos"];
const METRICS: [Metric; 5] = [Metric::Targeted, Metric::Sent, Metric::Received, Metric::Displayed, Metric::Clicked];
const REPORT: &str = "messages_detail";
const BATCH: usize = 100;
const COMMITS: i64 = 200;

fn readings(value: i64) -> Vec<Reading> {
    let one = |channel: &'static str, metric: Metric| Reading {
        field: format!("notification.{channel}.{}", metric.name()),
        series: SeriesKey {
            metric,
            platform: Label::known("android"),
            channel: Label::known(channel),
            kind: Label::known("notification"),
        },
        value,
    };
    CHANNELS.into_iter().flat_map(|channel| METRICS.map(|metric| one(channel, metric))).collect()
}

async fn register(store: &mut dyn Store, app: i64, ids: std::ops::Range<u64>, now: Timestamp) -> Duration {
    let pace = Duration::from_secs(60);
    let message = |id: u64| NewMessage { id: id.to_string(), sent_at: now, is_guessed: false, due: now, pace };
    let (messages, source) = (ids.map(message).collect(), MessageSource::Api);
    let new = NewMessages { app, report: REPORT, source, now, messages, read: None };
    let started = Instant::now();
    store.add_messages(vec![new]).await.unwrap();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn measure(path: &Path, stored: u64) {
    let mut store: Box<dyn Store> = Box::new(Sqlite::open(path).unwrap());
    let now: Timestamp = "2026-03-10T04:00:00Z".parse().unwrap();
    let key = |name: &str| AppKey {
        provider: "jpush",
        name: name.to_owned(),
        account: name.to_owned(),
        delivery: Some(REPORT),
        counters: Vec::new(),
    };
    let apps = store.register(vec![key("polled"), key("stored")], now).await.unwrap();
    let mut registrations = Vec::new();
    for first in (0..stored).step_by(1000) {
        registrations.push(register(store.as_mut(), apps[1].id, first..first + 1000, now).await);
    }
    register(store.as_mut(), apps[0].id, 0..BATCH as u64, now).await;
    let query = DueQuery { app: apps[0].id, report: REPORT, now, batch: BATCH, calls: 1, under_way: [].into() };
    let due = store.due_messages(query).await.unwrap().batch;
    assert_eq!(due.len(), BATCH);
    let mut commits = Vec::new();
    for round in 1..=COMMITS {
        let polled = |message: &push_exporter::ledger::TrackedMessage| PolledMessage {
            row: message.row,
            readings: readings(round),
            shape: "details".to_owned(),
            is_at_10m: false,
            next: Some((now, Duration::from_secs(60))),
        };
        let polled = due.iter().map(polled).collect();
        let commit = Commit {
            app: apps[0].id,
            report: REPORT,
            now,
            sure: now,
            confirmation: None,
            hold: Duration::ZERO,
            content: CommitContent::Messages { polled, failed: Vec::new(), newest: NewestMessages::default() },
            unknown: Vec::new(),
            state: None,
            succeeded: true,
            due: None,
        };
        let started = Instant::now();
        let receipt = store.commit(commit).await.unwrap();
        commits.push(started.elapsed());
        let total = receipt.series.iter().map(|series| series.total).max();
        assert_eq!(total, Some(round * BATCH as i64), "each series counts every message once");
    }
    println!("{stored} messages stored: a thousand registered in {:?}", median(registrations));
    println!("a hundred messages of ten channels committed in {:?}, medians", median(commits));
}

#[tokio::test]
async fn a_hundred_messages_are_committed() {
    let stored = std::env::var("PUSH_EXPORTER_MESSAGES").map_or(2000, |count| count.parse().unwrap());
    // On a disk, since commits are synced to it.
    let folder = tempfile::tempdir_in("target").unwrap();
    measure(&folder.path().join("push-exporter.db"), stored).await;
}
