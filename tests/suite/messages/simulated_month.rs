//! A month of messages in one paused runtime: four JPush apps and a group, one for each delivery report,
//! three pushes a day registered through the message API. At three points every counter equals the truth; the exporter is
//! away for two days, one message is restated down, one vanishes, old ones retire.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use push_exporter::simulator::jpush::{JpushApp, JpushOutcome, JpushSimulator, Leaf, group_id};
use push_exporter::util::clock::Clock;

use crate::support::jpush_totals::{Counts, add, add_at_10m};
use crate::support::{Exporter, fast_dir, post, simulate, until};

const DAY: i64 = 86_400;
const HUAWEI: Leaf = ("notification", "android", "huawei");

struct Message {
    id: u64,
    sent_at: i64,
    /// What the first answer held.
    baseline: Counts,
    /// Whether it was polled between ten and twenty minutes after sending.
    has_10m: bool,
    /// Its numbers are as they were then.
    vanished_at: Option<i64>,
    /// What a field that was restated down had before.
    taken_back: Option<i64>,
    /// The truth of a message whose time is over; the simulator forgets it.
    finals: Option<Counts>,
}

struct App {
    name: &'static str,
    report: &'static str,
    /// How long messages are followed.
    life: i64,
    simulator: Arc<JpushSimulator>,
    messages: Vec<Message>,
    /// Registered when the exporter is there again.
    unregistered: Vec<(u64, i64)>,
}

struct Month {
    clock: Clock,
    apps: [App; 5],
    exporter: Option<Exporter>,
}

fn beijing(day: &str, hours: i64) -> Timestamp {
    let midnight: Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
    midnight + SignedDuration::from_hours(hours)
}

impl App {
    fn truth(&self, message: &Message, now: i64) -> Counts {
        let by = message.vanished_at.unwrap_or(now);
        message.finals.clone().unwrap_or_else(|| self.simulator.truth(message.id, by))
    }

    /// The field that Huawei's received is part of: its own leaf, or all vendors of Android in one number.
    fn restated_field(&self, counts: &Counts) -> i64 {
        let is_part = |leaf: &Leaf| match self.report {
            "messages_detail" | "group_messages_detail" => *leaf == HUAWEI,
            "received_detail" => leaf.1 == "android" && leaf.2 != "jg_android",
            _ => leaf.1 == "android",
        };
        let received = counts.iter().filter(|((leaf, outcome), _)| *outcome == JpushOutcome::Received && is_part(leaf));
        received.map(|(_, count)| count).sum()
    }

    /// Every counter of deliveries that is not 0.
    fn counters(&self, now: i64) -> BTreeMap<String, i64> {
        let mut totals = BTreeMap::new();
        for message in &self.messages {
            let truth = self.truth(message, now);
            add(&mut totals, self.name, self.report, &truth, 1);
            add(&mut totals, self.name, self.report, &message.baseline, -1);
            if let Some(before) = message.taken_back {
                // Until the field has grown past what it was, the counter stays.
                let fallen = before - self.restated_field(&truth);
                let stays = Counts::from([((HUAWEI, JpushOutcome::Received), fallen.max(0))]);
                add(&mut totals, self.name, self.report, &stays, 1);
            }
            if message.has_10m && now > message.sent_at + 1300 {
                let then = message.finals.is_none().then(|| self.simulator.truth(message.id, message.sent_at + 700));
                add_at_10m(&mut totals, self.name, self.report, &then.unwrap_or_default());
            }
        }
        totals.retain(|_, count| *count != 0);
        totals
    }
}

impl Month {
    /// Pushes to all apps; registered at once if there is an exporter.
    async fn push(&mut self, devices: i64) {
        let now = self.clock.now().as_second();
        let is_up = self.exporter.is_some();
        for app in &mut self.apps {
            let is_custom = app.messages.len() % 4 == 3;
            let id = if is_custom { app.simulator.push_message(devices) } else { app.simulator.push(devices) };
            app.messages.push(Message {
                id,
                sent_at: now,
                baseline: Counts::new(),
                has_10m: is_up,
                vanished_at: None,
                taken_back: None,
                finals: None,
            });
            app.unregistered.push((id, now));
        }
        self.register().await;
    }

    async fn register(&mut self) {
        let Some(exporter) = &self.exporter else { return };
        let lines = self.apps.iter_mut().flat_map(|app| {
            let (name, is_group) = (app.name, app.report == "group_messages_detail");
            app.unregistered.drain(..).map(move |(id, at)| {
                let id = if is_group { format!("\"{}\"", group_id(id)) } else { id.to_string() };
                format!(r#"{{"app":"{name}","msg_id":{id},"sent_at":{at}}}"#)
            })
        });
        let body: Vec<String> = lines.collect();
        let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
        let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.join("\n").into()).await;
        assert_eq!((status, answer), (200, format!(r#"{{"received":{0},"new":{0},"too_old":0}}"#, body.len())));
    }

    /// A day: pushes at 13:00 and 20:00 and at 8:00 the next morning.
    async fn day(&mut self, day: &str) {
        for (hour, devices) in [(13, 9_000), (20, 30_000), (32, 400)] {
            until(&self.clock, beijing(day, hour)).await;
            self.push(devices).await;
        }
        // What is old changes no more; it is kept here, since the simulator forgets.
        let now = self.clock.now().as_second();
        for app in &mut self.apps {
            for index in 0..app.messages.len() {
                if now - app.messages[index].sent_at > 27 * DAY && app.messages[index].finals.is_none() {
                    let truth = app.truth(&app.messages[index], now);
                    app.messages[index].finals = Some(truth);
                }
            }
        }
    }

    async fn assert_true(&mut self, day: &str) {
        // Noon: no event of a message happens between its last poll and now.
        until(&self.clock, beijing(day, 12) + SignedDuration::from_secs(100)).await;
        let now = self.clock.now().as_second();
        let page = self.exporter.as_ref().unwrap().scrape().await;
        let mut counted = page.counters();
        let health = ["push_messages_registered_total", "push_messages_restated_total"];
        counted.retain(|series, count| *count != 0 && !health.iter().any(|name| series.starts_with(name)));
        let mut expected = BTreeMap::new();
        for app in &self.apps {
            // Of messages that the simulator has forgotten, the first ten minutes cannot be told any more.
            assert!(app.messages.iter().all(|message| message.finals.is_none() || day == "2026-04-03"));
            expected.extend(app.counters(now));
            let owner = format!(r#"provider="jpush",app="{}""#, app.name);
            let tracked = app.messages.iter().filter(|message| now - message.sent_at < app.life).count();
            let state = |state: &str| page.get(&format!(r#"push_tracked_messages{{{owner},state="{state}"}}"#));
            assert_eq!((state("waiting"), state("live")), (Some(0.0), Some(tracked as f64)), "{day} {}", app.name);
            let registered = format!(r#"push_messages_registered_total{{{owner},source="api"}}"#);
            assert_eq!(page.get(&registered), Some(app.messages.len() as f64), "{day}");
        }
        if day == "2026-04-03" {
            for totals in [&mut counted, &mut expected] {
                totals.retain(|series, _| !series.contains("_at_10m_"));
            }
        }
        let differ: Vec<_> = counted
            .keys()
            .chain(expected.keys())
            .filter(|series| counted.get(*series) != expected.get(*series))
            .map(|series| (series, counted.get(series), expected.get(series)))
            .collect();
        assert!(differ.is_empty(), "{day}: counted and true differ: {differ:#?}");
        assert!(expected.len() > 100, "{}", expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_month_of_messages() {
    let clock = Clock::following_tokio(beijing("2026-03-03", 6));
    let folder = fast_dir();
    let mut text = "message_api: {token: t}\njpush:\n".to_owned();
    let mut apps = Vec::new();
    let (short, long) = (5 * DAY, 28 * DAY - 3600);
    for (name, report, life) in [
        ("shop", "messages_detail", short),
        ("shop-free", "received_detail", long),
        ("shop-old", "messages", short),
        ("shop-old-free", "received", long),
        ("everywhere", "group_messages_detail", short),
    ] {
        let is_group = name == "everywhere";
        let key = if is_group { "group-key".to_owned() } else { format!("key-{name}") };
        let app = JpushApp { is_vip: life == short, seed: name.len() as u64, ..JpushApp::demo(&key) };
        let secret = &app.master_secret;
        let account = match is_group {
            true => format!("group_key: key, group_master_secret: {secret}"),
            false => format!("app_key: {key}, master_secret: {secret}, delivery: {report}"),
        };
        let (simulator, address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
        text.push_str(&format!("  - {{app: {name}, base_url: 'http://{address}/v3', {account}}}\n"));
        apps.push(App { name, report, life, simulator, messages: Vec::new(), unregistered: Vec::new() });
    }
    let apps = apps.try_into().unwrap_or_else(|_| panic!("five apps"));
    let mut month = Month { clock: clock.clone(), apps, exporter: None };

    // Pushed before the exporter was first started: three hours, which is the baseline, and half an hour,
    // which counts.
    month.push(50_000).await;
    until(&month.clock, beijing("2026-03-03", 8) + SignedDuration::from_mins(30)).await;
    month.push(2_000).await;
    until(&month.clock, beijing("2026-03-03", 9)).await;
    month.exporter = Some(Exporter::start(&text, folder.path(), &clock).await);
    until(&month.clock, beijing("2026-03-03", 9) + SignedDuration::from_mins(5)).await;
    month.register().await;
    for app in &mut month.apps {
        let now = month.clock.now().as_second();
        app.messages[0].baseline = app.simulator.truth(app.messages[0].id, now);
    }
    for day in 3..=5 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    month.assert_true("2026-03-06").await;

    // A restart: the first scrape is complete, and nothing has changed.
    let before = month.exporter.as_ref().unwrap().scrape().await;
    month.exporter.take().unwrap().stop().await;
    month.exporter = Some(Exporter::start(&text, folder.path(), &clock).await);
    assert_eq!(month.exporter.as_ref().unwrap().scrape().await.counters(), before.counters());

    // One message of each app is restated down when it is four hours old, one of a day vanishes.
    let now = month.clock.now().as_second();
    for app in &mut month.apps {
        let newest = app.messages.iter().rposition(|message| now - message.sent_at > 3 * 3600).unwrap();
        let truth = app.simulator.truth(app.messages[newest].id, now);
        assert!(truth[&(HUAWEI, JpushOutcome::Received)] > 30, "it is a notification");
        app.simulator.restate(app.messages[newest].id, HUAWEI, JpushOutcome::Received, -30);
        app.messages[newest].taken_back = Some(app.restated_field(&truth));
        let of_yesterday =
            app.messages.iter_mut().rev().find(|message| (20..24).contains(&((now - message.sent_at) / 3600))).unwrap();
        app.simulator.vanish(of_yesterday.id);
        of_yesterday.vanished_at = Some(now);
    }
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
    month.assert_true("2026-03-20").await;
    let page = month.exporter.as_ref().unwrap().scrape().await;
    for app in &month.apps {
        let labels = format!(r#"provider="jpush",app="{}",report="{}",metric="received""#, app.name, app.report);
        assert_eq!(page.get(&format!("push_messages_restated_total{{{labels}}}")), Some(30.0));
    }
    for day in 20..=31 {
        month.day(&format!("2026-03-{day:02}")).await;
    }
    for day in 1..=2 {
        month.day(&format!("2026-04-{day:02}")).await;
    }
    month.assert_true("2026-04-03").await;

    // Within the limits, no errors, and calls that are shared.
    let page = month.exporter.as_ref().unwrap().scrape().await;
    assert_eq!(page.starting(&["push_poll_errors_total"]).values().sum::<i64>(), 0);
    assert_eq!(page.starting(&["push_messages_rejected", "push_rejected"]).values().sum::<i64>(), 0);
    for app in &month.apps {
        assert_eq!(app.simulator.refused(), 0);
        let calls = app.simulator.calls();
        let asked: usize = calls.iter().map(|(ids, count)| ids * *count as usize).sum();
        let calls = calls.values().sum::<u64>() as usize;
        // By itself each message would be asked for 109 or 132 times.
        let alone = app.messages.len() * if app.life == short { 109 } else { 132 };
        assert!(calls * 2 < alone, "{}: {} calls for {asked} ids", app.name, calls);
        assert!(asked < alone * 2, "{}: {asked} ids asked for", app.name);
    }
    month.exporter.take().unwrap().stop().await;
}
