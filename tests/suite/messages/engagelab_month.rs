//! A month of EngageLab in one paused runtime: messages that senders register, messages that a push plan brings, messages of
//! all kinds and messages without parts, and the users of each day. At three points the page equals the truth; the exporter is
//! away for two days, one message is restated down, one vanishes, old ones retire.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabOutcome, EngagelabSimulator, Leaf};
use push_exporter::util::clock::Clock;

use crate::support::engagelab_totals::{Counts, add};
use crate::support::jpush_totals::add_plain_at_10m;
use crate::support::{Exporter, fast_dir, post, simulate, until};

const DAY: i64 = 86_400;
const FCM: Leaf = ("notification", "android", "fcm");
const OWNER: &str = r#"provider="engagelab",app="abroad""#;

struct Message {
    id: u64,
    sent_at: i64,
    /// Whether its answers have parts.
    has_parts: bool,
    /// What the first answer held.
    baseline: Counts,
    /// Whether it was polled between ten and twenty minutes after sending.
    has_10m: bool,
    /// Its numbers are as they were then.
    vanished_at: Option<i64>,
    /// What FCM's received had before it was restated down.
    taken_back: Option<i64>,
}

struct Month {
    clock: Clock,
    simulator: Arc<EngagelabSimulator>,
    exporter: Option<Exporter>,
    messages: Vec<Message>,
    /// Registered when the exporter is there again.
    unregistered: Vec<(u64, i64)>,
    told: usize,
    found: usize,
}

fn beijing(day: &str, hours: i64) -> Timestamp {
    let midnight: Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
    midnight + SignedDuration::from_hours(hours)
}

impl Month {
    fn remember(&mut self, id: u64, has_parts: bool) {
        self.messages.push(Message {
            id,
            sent_at: self.clock.now().as_second(),
            has_parts,
            baseline: Counts::new(),
            has_10m: self.exporter.is_some(),
            vanished_at: None,
            taken_back: None,
        });
    }

    /// Pushes what senders register.
    async fn push(&mut self, devices: i64) {
        let now = self.clock.now().as_second();
        let notification = self.simulator.push(devices);
        self.remember(notification, true);
        let others = self.simulator.push_others(devices / 3);
        self.remember(others, true);
        let totals = self.simulator.push_without_parts(devices / 2);
        self.remember(totals, false);
        self.unregistered.extend([notification, others, totals].map(|id| (id, now)));
        self.register().await;
    }

    async fn register(&mut self) {
        let Some(exporter) = &self.exporter else { return };
        let line = |(id, at)| format!(r#"{{"app":"abroad","msg_id":"{id}","sent_at":{at}}}"#);
        let body: Vec<String> = self.unregistered.drain(..).map(line).collect();
        self.told += body.len();
        let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
        let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.join("\n").into()).await;
        assert_eq!((status, answer), (200, format!(r#"{{"received":{0},"new":{0},"too_old":0}}"#, body.len())));
    }

    /// A day: pushes at 13:00 and 20:00 and at 8:00 the next morning, the second also under a plan.
    async fn day(&mut self, day: &str) {
        for (hour, devices) in [(13, 9_000), (20, 30_000), (32, 400)] {
            until(&self.clock, beijing(day, hour)).await;
            self.push(devices).await;
            if hour == 20 && self.exporter.is_some() {
                let id = self.simulator.push_under("autumn sale", 20_000);
                self.remember(id, true);
                self.found += 1;
            }
        }
    }

    /// Every counter of deliveries that is not 0.
    fn counters(&self, now: i64) -> BTreeMap<String, i64> {
        let mut totals = BTreeMap::new();
        for message in &self.messages {
            let truth = self.simulator.truth(message.id, message.vanished_at.unwrap_or(now));
            add(&mut totals, "abroad", &truth, message.has_parts, 1);
            add(&mut totals, "abroad", &message.baseline, message.has_parts, -1);
            if let Some(before) = message.taken_back {
                // Until the field has grown past what it was, the counter stays.
                let fallen = before - truth[&(FCM, EngagelabOutcome::Received)];
                let stays = Counts::from([((FCM, EngagelabOutcome::Received), fallen.max(0))]);
                add(&mut totals, "abroad", &stays, true, 1);
            }
            if message.has_10m {
                // Nothing happens between ten minutes and half an hour after a push.
                let then = self.simulator.truth(message.id, message.sent_at + 700);
                let mut plain = BTreeMap::new();
                add(&mut plain, "abroad", &then, message.has_parts, 1);
                add_plain_at_10m(&mut totals, plain);
            }
        }
        totals.retain(|_, count| *count != 0);
        totals
    }

    async fn assert_true(&self, day: &str, yesterday: &str) {
        // Noon: no event of a message happens between its last poll and now.
        until(&self.clock, beijing(day, 12) + SignedDuration::from_secs(100)).await;
        let now = self.clock.now().as_second();
        let page = self.exporter.as_ref().unwrap().scrape().await;
        let mut counted = page.counters();
        let health = ["push_messages_registered_total", "push_messages_restated_total"];
        counted.retain(|series, count| *count != 0 && !health.iter().any(|name| series.starts_with(name)));
        let expected = self.counters(now);
        let differ: Vec<_> = counted
            .keys()
            .chain(expected.keys())
            .filter(|series| counted.get(*series) != expected.get(*series))
            .map(|series| (series, counted.get(series), expected.get(series)))
            .collect();
        assert!(differ.is_empty(), "{day}: counted and true differ: {differ:#?}");
        assert!(expected.len() > 90, "{}", expected.len());
        let tracked = self.messages.iter().filter(|message| now - message.sent_at < 5 * DAY).count();
        let state = |state: &str| page.get(&format!(r#"push_tracked_messages{{{OWNER},state="{state}"}}"#));
        assert_eq!((state("waiting"), state("live")), (Some(0.0), Some(tracked as f64)), "{day}");
        let registered =
            |source: &str| page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="{source}"}}"#));
        assert_eq!(registered("api"), Some(self.told as f64), "{day}");
        assert_eq!(registered("discovery"), Some(self.found as f64), "{day}");
        let mut users = BTreeMap::new();
        for (platform, counts) in self.simulator.users(yesterday) {
            for (state, count) in counts {
                let labels = format!(r#"{OWNER},platform="{platform}",state="{state}",window="day""#);
                users.insert(format!("push_users{{{labels}}}"), count);
            }
        }
        assert_eq!((page.starting(&["push_users"]), users.len()), (users, 9), "{day}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_month_of_messages() {
    let clock = Clock::following_tokio(beijing("2026-03-03", 6));
    let folder = fast_dir();
    let app = EngagelabApp::demo("key");
    let secret = app.master_secret.clone();
    let (simulator, address) = simulate(EngagelabSimulator::new(clock.clone(), app)).await;
    let text = format!(
        "message_api: {{token: t}}\nengagelab:\n  - {{app: abroad, base_url: 'http://{address}', app_key: key, master_secret: {secret}, \
         discover: [plans], users: [day]}}\n"
    );
    let (messages, unregistered) = (Vec::new(), Vec::new());
    let mut month =
        Month { clock: clock.clone(), simulator, exporter: None, messages, unregistered, told: 0, found: 0 };

    // Pushed before the exporter was first started: three hours, which is the baseline, and half an hour,
    // which counts. What a plan pushed before then has no time, and is no news.
    month.simulator.create_plan("autumn sale");
    month.simulator.create_plan("empty");
    month.simulator.push_under("autumn sale", 70_000);
    month.push(50_000).await;
    until(&month.clock, beijing("2026-03-03", 8) + SignedDuration::from_mins(30)).await;
    month.push(2_000).await;
    until(&month.clock, beijing("2026-03-03", 9)).await;
    month.exporter = Some(Exporter::start(&text, folder.path(), &clock).await);
    until(&month.clock, beijing("2026-03-03", 9) + SignedDuration::from_mins(5)).await;
    month.register().await;
    let now = month.clock.now().as_second();
    for index in 0..3 {
        month.messages[index].baseline = month.simulator.truth(month.messages[index].id, now);
    }
    for day in 3..=5 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    month.assert_true("2026-03-06", "2026-03-05").await;

    // A restart: the first scrape is complete, and nothing has changed.
    let before = month.exporter.as_ref().unwrap().scrape().await;
    month.exporter.take().unwrap().stop().await;
    month.exporter = Some(Exporter::start(&text, folder.path(), &clock).await);
    assert_eq!(month.exporter.as_ref().unwrap().scrape().await.counters(), before.counters());

    // A notification is restated down when it is four hours old, and one of a day vanishes.
    let now = month.clock.now().as_second();
    let of_age = |messages: &[Message], hours: i64| {
        let is_it = |message: &Message| (hours..hours + 1).contains(&((now - message.sent_at) / 3600));
        messages.iter().position(|message| is_it(message) && message.has_parts).unwrap()
    };
    let restated = of_age(&month.messages, 4);
    let truth = month.simulator.truth(month.messages[restated].id, now);
    let received = truth[&(FCM, EngagelabOutcome::Received)];
    assert!(received > 30);
    month.simulator.restate(month.messages[restated].id, FCM, EngagelabOutcome::Received, -30);
    month.messages[restated].taken_back = Some(received);
    let vanished = of_age(&month.messages, 23);
    month.simulator.vanish(month.messages[vanished].id);
    month.messages[vanished].vanished_at = Some(now);
    for day in 6..=13 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    // Two days away; what was pushed meanwhile is registered afterwards.
    until(&month.clock, beijing("2026-03-14", 9)).await;
    month.exporter.take().unwrap().stop().await;
    for day in 14..=15 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    until(&month.clock, beijing("2026-03-16", 9)).await;
    month.exporter = Some(Exporter::start(&text, folder.path(), &clock).await);
    month.register().await;
    for day in 16..=19 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    month.assert_true("2026-03-20", "2026-03-19").await;
    let page = month.exporter.as_ref().unwrap().scrape().await;
    let restated = format!(r#"push_messages_restated_total{{{OWNER},report="status_detail",metric="received"}}"#);
    assert_eq!(page.get(&restated), Some(30.0));
    for day in 20..=31 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    for day in 1..=2 {
        month.day(&format!("2026-04-{day:02}")).await;
    }
    month.assert_true("2026-04-03", "2026-04-02").await;

    // Within the limit, no errors, nothing unknown, and calls that are shared.
    let page = month.exporter.as_ref().unwrap().scrape().await;
    assert_eq!(page.starting(&["push_poll_errors_total", "push_rejected"]).values().sum::<i64>(), 0);
    assert_eq!(page.starting(&["push_unknown_fields_total"]).values().sum::<i64>(), 0);
    assert_eq!(month.simulator.refused(), 0);
    let calls = month.simulator.calls().values().sum::<u64>() as usize;
    // By itself each message would be asked for 109 times.
    assert!(calls * 2 < month.messages.len() * 109, "{calls} calls for {} messages", month.messages.len());
    month.exporter.take().unwrap().stop().await;
}
