//! Commits of a hundred messages with ten channels each, given to a ledger directly.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use push_exporter::ledger::{
    AppKey, Commit, CommitContent, DueQuery, NewMessage, NewMessages, NewestMessages, PolledMessage, Store,
    TrackedMessage,
};
use push_exporter::model::message_source::MessageSource;
use push_exporter::model::reading::{Label, Metric, Reading, SeriesKey};

const CHANNELS: [&str; 10] = ["jpush", "huawei", "xiaomi", "oppo", "vivo", "honor", "meizu", "fcm", "apns", "hmos"];
const METRICS: [Metric; 5] = [Metric::Targeted, Metric::Sent, Metric::Received, Metric::Displayed, Metric::Clicked];
const REPORT: &str = "messages_detail";
/// Number of messages in a commit.
pub const BATCH: usize = 100;

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

/// Registers messages; returns how long it took.
pub async fn register(store: &mut dyn Store, app: i64, ids: std::ops::Range<u64>, now: Timestamp) -> Duration {
    let pace = Duration::from_secs(60);
    let message =
        |id: u64| NewMessage { id: id.to_string(), sent_at: now, is_guessed: false, due: now, pace, category: None };
    let (messages, source) = (ids.map(message).collect(), MessageSource::Api);
    let new = NewMessages { app, report: REPORT, source, now, messages, earlier: Vec::new(), read: None };
    let started = Instant::now();
    store.add_messages(vec![new]).await.unwrap();
    started.elapsed()
}

pub fn now() -> Timestamp {
    "2026-03-10T04:00:00Z".parse().unwrap()
}

/// Makes two apps known: one whose messages are polled, and one whose messages are only stored.
pub async fn apps(store: &mut dyn Store) -> [i64; 2] {
    let key = |name: &str| AppKey {
        is_claimed: true,
        provider: "jpush",
        name: name.to_owned(),
        account: name.to_owned(),
        delivery: Some(REPORT),
        counters: Vec::new(),
    };
    let apps = store.register(vec![key("polled"), key("stored")], now()).await.unwrap();
    [apps[0].id, apps[1].id]
}

/// Registers a hundred messages and returns them.
pub async fn hundred(store: &mut dyn Store, app: i64) -> Vec<TrackedMessage> {
    register(store, app, 0..BATCH as u64, now()).await;
    let query = DueQuery { app, report: REPORT, now: now(), batch: BATCH, calls: 1, under_way: [].into() };
    let due = store.due_messages(query).await.unwrap().batch;
    assert_eq!(due.len(), BATCH);
    due
}

/// The answer for them in which each number is this one.
pub fn answer(app: i64, due: &[TrackedMessage], number: i64) -> Commit {
    let polled = |message: &TrackedMessage| PolledMessage {
        row: message.row,
        readings: readings(number),
        shape: "details".to_owned(),
        is_at_10m: false,
        unaccounted: None,
        next: Some((now(), Duration::from_secs(60))),
    };
    let polled = due.iter().map(polled).collect();
    Commit {
        app,
        report: REPORT,
        now: now(),
        sure: now(),
        confirmation: None,
        hold: Duration::ZERO,
        content: CommitContent::Messages { polled, failed: Vec::new(), newest: NewestMessages::default() },
        unknown: Vec::new(),
        state: None,
        succeeded: true,
        due: None,
    }
}
