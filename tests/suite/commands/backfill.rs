//! `push-exporter backfill`: the history of simulated providers, at every hour by hand from the list of events; the same bytes
//! after an interruption; refused days; requests as estimated.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use push_exporter::backfill::{Backfill, BackfillError, Progress, Settings, Summary};
use push_exporter::metrics::help::HelpTexts;
use push_exporter::provider::config;
use push_exporter::provider::error::TransportError;
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::simulator::easemob::{EasemobApp, EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator, TimeUnit};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::support::fault_injection::{Fault, Faulty};
use crate::support::history::History;
use crate::support::jpush_totals::add;
use crate::support::window_totals::{beijing, days};
use crate::support::{Exporter, Program, eventually, fast_dir, network, signal, simulate, until};

/// The simulated providers at 09:00 on 2026-03-03, and a configuration of three apps.
struct World {
    clock: Clock,
    /// That time, at which the history ends.
    end: Timestamp,
    easemob: Arc<EasemobSimulator>,
    easemob_line: Faulty,
    feishu: Arc<FeishuSimulator>,
    jpush: Arc<JpushSimulator>,
    /// Messages with the hours in which they were sent.
    messages: Vec<(u64, Timestamp)>,
    text: String,
    folder: tempfile::TempDir,
}

const KEY: &str = "7d431e42dfa6a6d693ac2d04";
const OFFICE: &str = r#"provider="feishu",app="office-bot""#;
const OFFICE_LABELS: &str = r#"provider="feishu",app="office-bot",platform="any",channel="bot",kind="message""#;

impl World {
    async fn new() -> World {
        let clock = Clock::following_tokio(beijing("2026-02-20", 9.0));
        let easemob =
            EasemobApp { step: 3600, history: 30, kept: 60, per_day: 60_000.0, ..EasemobApp::demo("acme", "chat") };
        let feishu = FeishuApp { step: 3600, kept: 120, per_day: 600.0, users: 300, ..FeishuApp::demo("cli_month") };
        let jpush = JpushApp::demo(KEY);
        let (id, secret, app_secret, master) = (
            easemob.client_id.clone(),
            easemob.client_secret.clone(),
            feishu.app_secret.clone(),
            jpush.master_secret.clone(),
        );
        let (easemob, _) = simulate(EasemobSimulator::new(clock.clone(), easemob)).await;
        let easemob_line = Faulty::new(Arc::clone(&easemob)).await;
        let (feishu, feishu_address) = simulate(FeishuSimulator::new(clock.clone(), feishu)).await;
        let (jpush, jpush_address) = simulate(JpushSimulator::new(clock.clone(), jpush)).await;
        let text = format!(
            "jpush:\n  - {{app: shop, base_url: 'http://{jpush_address}/v3', app_key: {KEY}, master_secret: {master}, \
             delivery: messages_detail, users: [hour, day, month], messages: {{files: [ids.jsonl]}}}}\n\
             easemob:\n  - {{app: chat, base_url: 'http://{}', org_name: acme, app_name: chat, client_id: {id}, client_secret: {secret}}}\n\
             feishu:\n  - {{app: office-bot, base_url: 'http://{feishu_address}', app_id: cli_month, app_secret: {app_secret}, \
             departments: [od-sales]}}\n",
            easemob_line.address
        );
        let folder = fast_dir();
        let mut world = World {
            clock,
            end: beijing("2026-03-03", 9.0),
            easemob,
            easemob_line,
            feishu,
            jpush,
            messages: Vec::new(),
            text,
            folder,
        };
        world.push().await;
        until(&world.clock, world.end).await;
        world
    }

    /// Sends messages on five days, one in the first minute of an hour and one in its last.
    async fn push(&mut self) {
        let mut lines = "7\nnot json {\n".to_owned();
        for day in 20..=24 {
            for hours in [10.0, 10.99, 23.5] {
                let at = beijing(&format!("2026-02-{day}"), hours);
                until(&self.clock, at).await;
                let id = self.jpush.push(1000);
                lines += &format!("{{\"msg_id\":\"{id}\",\"sent_at\":{}}}\n", at.as_second());
                self.messages.push((id, at));
            }
        }
        std::fs::write(self.folder.path().join("ids.jsonl"), lines).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self, name: &str) -> Settings {
        Settings {
            from: "2026-02-01".parse().unwrap(),
            to: Some("2026-03-03".parse().unwrap()),
            step: Duration::from_secs(300),
            labels: Vec::new(),
            output: self.file(name),
            resume: false,
        }
    }

    async fn prepare(&self, settings: Settings) -> Result<Backfill, BackfillError> {
        let config = config::parse("test.yml", &self.text, self.folder.path(), &Default::default(), PROVIDERS);
        let help = HelpTexts::new(PROVIDERS.iter().flat_map(|provider| provider.help().iter().copied()));
        Backfill::prepare(&config.unwrap(), help, settings, &self.clock).await
    }

    async fn run(&self, settings: Settings) -> Summary {
        let prepared = self.prepare(settings).await.unwrap();
        prepared.run(network(), Arc::default(), CancellationToken::new()).await.unwrap()
    }
}

/// The network, which counts requests for statistics and stops the run at one of them.
struct Counting {
    network: Arc<dyn Transport>,
    requests: AtomicUsize,
    stops_at: usize,
    stop: CancellationToken,
}

impl Counting {
    fn new(stops_at: usize) -> Arc<Counting> {
        let (network, stop) = (network(), CancellationToken::new());
        Arc::new(Counting { network, requests: AtomicUsize::new(0), stops_at, stop })
    }
}

impl Transport for Counting {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        let is_for_token = request.uri().path().contains("token");
        let count = if is_for_token { 0 } else { self.requests.fetch_add(1, Ordering::Relaxed) + 1 };
        if count == self.stops_at && !is_for_token {
            self.stop.cancel();
        }
        self.network.send(request)
    }
}

/// Easemob's keys with platform and channel, by the field map.
const CHANNELS: [(&str, &str, &str); 3] =
    [("APNS", "ios", "apns"), ("HUAWEIPUSH", "android", "huawei"), ("VIVOPUSH", "android", "vivo")];
const OUTCOMES: [(EasemobOutcome, &str); 3] =
    [(EasemobOutcome::Success, "sent"), (EasemobOutcome::Fail, "failed"), (EasemobOutcome::Arrive, "received")];

#[tokio::test(start_paused = true)]
async fn every_value_is_that_of_the_events_at_its_time() {
    let world = World::new().await;
    let settings = Settings { to: None, ..world.settings("history.om") };
    let estimate = world.prepare(settings.clone()).await.unwrap().estimate();
    let transport = Counting::new(usize::MAX);
    let prepared = world.prepare(settings).await.unwrap();
    let progress = Arc::new(Progress::default());
    let summary = prepared.run(transport.clone(), Arc::clone(&progress), CancellationToken::new()).await.unwrap();
    let history = History::read(&world.file("history.om"));
    // 31 days of Easemob (the one before is shown on the first) in ranges of seven: 5. Feishu's days from 01-29 to 02-28, its
    // weeks from 01-19 to 02-16 (that of 02-23 ends on the day that appears at 10:00), three months, all again for the
    // department. JPush's days from 01-30 to 03-02 in two queries, February; a batch of messages.
    let office = 2 * (31 + 5 + 3);
    assert_eq!(estimate.requests(), 5 + office + 2 + 1 + 1);
    assert_eq!(
        (summary.requests, transport.requests.load(Ordering::Relaxed) as u64),
        (estimate.requests(), estimate.requests())
    );
    assert_eq!(progress.done.load(Ordering::Relaxed), progress.all.load(Ordering::Relaxed));
    assert_eq!(summary.written.series, history.0.len() as u64);
    assert_eq!(summary.written.samples, history.0.values().map(|samples| samples.len() as u64).sum::<u64>());
    // JPush answers for 60 days, which began on January 2nd.
    let refused: Vec<_> =
        summary.refused.iter().map(|part| (part.part.as_str(), part.unit, part.ranges.len())).collect();
    assert_eq!(refused, [("jpush shop users", "month", 1)]);
    assert!(!world.file("history.om.parts").exists());
    check_easemob(&world, &history);
    check_feishu(&world, &history);
    check_jpush(&world, &history);
}

/// Five minutes, the interval between samples.
const STEP: SignedDuration = SignedDuration::from_mins(5);

fn check_easemob(world: &World, history: &History) {
    for (key, platform, channel) in CHANNELS {
        for (outcome, metric) in OUTCOMES {
            let split = format!(
                r#"provider="easemob",app="chat",platform="{platform}",channel="{channel}",kind="notification""#
            );
            let (counter, gauge) = (
                format!("push_messages_{metric}_total{{{split}}}"),
                format!(r#"push_window_messages_{metric}{{{split},window="day"}}"#),
            );
            let whole: i64 =
                days("2026-02-01", "2026-03-02").iter().map(|day| world.easemob.truth(day, key, outcome)).sum();
            if whole == 0 {
                assert!(!history.0.contains_key(&counter), "{counter}");
                continue;
            }
            assert_eq!(
                history.at(&counter, beijing("2026-02-01", 0.0)),
                None,
                "the history begins after the first midnight"
            );
            assert_eq!(history.at(&counter, beijing("2026-02-01", 0.0) + STEP), Some(0));
            let mut sum = 0;
            for day in days("2026-02-01", "2026-03-02") {
                let (end, count) = (beijing(&day, 24.0), world.easemob.truth(&day, key, outcome));
                assert_eq!(history.at(&counter, end - STEP), Some(sum), "{counter} before the end of {day}");
                sum += count;
                assert_eq!(history.at(&counter, end), Some(sum), "{counter} at the end of {day}");
                assert_eq!(history.at(&gauge, end), Some(count), "{gauge} after {day}");
                let last = (end + SignedDuration::from_hours(24) - STEP).min(world.end);
                assert_eq!(history.at(&gauge, last), Some(count), "{gauge} until the next day ends");
            }
            // 09:00 is the last sample.
            assert_eq!(history.0[&counter].last_key_value().map(|(at, _)| *at), Some(world.end.as_second()));
        }
    }
    let end = r#"push_window_end_timestamp_seconds{provider="easemob",app="chat",report="offline_push",window="day"}"#;
    let noon = beijing("2026-02-10", 12.0);
    assert_eq!(history.at(end, noon), Some(beijing("2026-02-10", 0.0).as_second()));
}

fn check_feishu(world: &World, history: &History) {
    let counter = |metric: &str| format!("push_messages_{metric}_total{{{OFFICE_LABELS}}}");
    let (mut sent, mut read) = (0, 0);
    for day in days("2026-02-01", "2026-02-28") {
        let (truth, end) = (world.feishu.truth(&day, &day, None), beijing(&day, 24.0));
        sent += truth.send_msg_count;
        read += truth.read_in_12h_count;
        assert_eq!(history.at(&counter("sent"), end), Some(sent), "{day}");
        assert_eq!(history.at(&counter("read_within_12h"), end), Some(read), "{day}");
        // Shown from two days later, when it appears (by 10:10), to the next day at that time.
        let shown = end + SignedDuration::from_hours(24 + 11);
        let gauge = format!(r#"push_window_users_reached{{{OFFICE},window="day"}}"#);
        if shown <= world.end {
            assert_eq!(history.at(&gauge, shown), Some(truth.send_user_count), "{day}");
        }
    }
    // Its first of March appears on the third at 10:00.
    assert_eq!(history.at(&counter("sent"), world.end), Some(sent));
    let sales = |metric: &str, window: &str| {
        format!(
            r#"push_department_window_messages_{metric}{{{OFFICE_LABELS},window="{window}",department="od-sales"}}"#
        )
    };
    // The week that ended on Sunday the 15th appears on Tuesday; January on the 2nd of February.
    for (at, window, first, last) in [
        (beijing("2026-02-17", 9.9), "week", "2026-02-02", "2026-02-08"),
        (beijing("2026-02-17", 10.5), "week", "2026-02-09", "2026-02-15"),
        (beijing("2026-02-02", 9.9), "month", "2025-12-01", "2025-12-31"),
        (beijing("2026-02-02", 10.5), "month", "2026-01-01", "2026-01-31"),
        (beijing("2026-03-02", 9.9), "month", "2026-01-01", "2026-01-31"),
        (beijing("2026-03-02", 10.5), "month", "2026-02-01", "2026-02-28"),
    ] {
        let at = Timestamp::from_second(at.as_second().div_euclid(300) * 300).unwrap();
        let truth = world.feishu.truth(first, last, None);
        let gauge = format!(r#"push_window_messages_sent{{{OFFICE_LABELS},window="{window}"}}"#);
        assert_eq!(history.at(&gauge, at), Some(truth.send_msg_count), "{window} at {at}");
        let truth = world.feishu.truth(first, last, Some("od-sales"));
        assert_eq!(history.at(&sales("sent", window), at), Some(truth.send_msg_count), "{window} at {at}");
        let end = format!(
            r#"push_window_end_timestamp_seconds{{{OFFICE},report="message_push_overview",window="{window}"}}"#
        );
        assert_eq!(history.at(&end, at), Some(beijing(last, 24.0).as_second()));
    }
}

fn check_jpush(world: &World, history: &History) {
    // A message counts at the end of its hour, whatever its minute.
    for at in [beijing("2026-02-20", 10.0), beijing("2026-02-21", 11.0), beijing("2026-02-25", 0.0), world.end] {
        let mut expected = BTreeMap::new();
        for (id, sent) in &world.messages {
            let counts = world.jpush.truth(*id, world.end.as_second());
            add(&mut expected, "shop", "messages_detail", &counts, 0);
            if (sent.as_second() / 3600 + 1) * 3600 <= at.as_second() {
                add(&mut expected, "shop", "messages_detail", &counts, 1);
            }
        }
        assert!(expected.len() > 20);
        for (series, count) in expected {
            assert_eq!(history.at(&series, at), Some(count), "{series} at {at}");
        }
    }
    let users = |platform: &str, state: &str, window: &str| {
        format!(r#"push_users{{provider="jpush",app="shop",platform="{platform}",state="{state}",window="{window}"}}"#)
    };
    for day in days("2026-01-31", "2026-03-01") {
        for (platform, counts) in world.jpush.users(TimeUnit::Day, &day) {
            for (state, count) in counts {
                let noon = beijing(&day, 36.0);
                assert_eq!(history.at(&users(platform, state, "day"), noon), Some(count), "{platform} on {day}");
            }
        }
    }
    let february = world.jpush.users(TimeUnit::Month, "2026-02");
    let active = february["ios"].iter().find(|(state, _)| *state == "active").unwrap().1;
    assert_eq!(history.at(&users("ios", "active", "month"), beijing("2026-03-01", 1.0)), Some(active));
    assert_eq!(
        history.at(&users("ios", "active", "month"), beijing("2026-02-28", 1.0)),
        None,
        "January is out of reach"
    );
    let hours = history.0.keys().filter(|series| series.contains(r#"window="hour""#)).count();
    assert_eq!(hours, 0, "hours are only told on their day");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let world = World::new().await;
    world.run(world.settings("whole.om")).await;
    let whole = std::fs::read(world.file("whole.om")).unwrap();
    let ids = std::fs::read_to_string(world.file("ids.jsonl")).unwrap();
    // Stopped again and again, each time a few requests further.
    let settings = Settings { resume: true, ..world.settings("parts.om") };
    let (mut asked, mut stops) = (0, 0);
    let summary = loop {
        let transport = Counting::new(10);
        let prepared = world.prepare(settings.clone()).await.unwrap();
        let result = prepared.run(transport.clone(), Arc::default(), transport.stop.clone()).await;
        asked += transport.requests.load(Ordering::Relaxed);
        match result {
            Ok(summary) => break summary,
            Err(BackfillError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(!world.file("parts.om").exists());
        // Files of message ids grow meanwhile, which changes nothing.
        let id = world.jpush.push(10);
        let line = format!("{{\"msg_id\":\"{id}\",\"sent_at\":{}}}\n", beijing("2026-02-22", 1.0).as_second());
        let before = std::fs::read_to_string(world.file("ids.jsonl")).unwrap();
        std::fs::write(world.file("ids.jsonl"), before + &line).unwrap();
        let other = Settings { from: "2026-02-02".parse().unwrap(), ..settings.clone() };
        let error = world.prepare(other).await.map(drop).unwrap_err();
        assert!(matches!(error, BackfillError::OtherSettings { what: "--from", .. }), "{error}");
        let error = world.prepare(Settings { resume: false, ..settings.clone() }).await.map(drop).unwrap_err();
        assert!(matches!(error, BackfillError::Interrupted(_)), "{error}");
    };
    assert!(stops >= 5, "{stops}");
    assert!(std::fs::read(world.file("parts.om")).unwrap() == whole, "other bytes after {stops} stops");
    // An answer under way when it was stopped is asked for again, and nothing else: three reports ask at a time.
    assert!(asked <= 87 + 4 * stops, "{asked} requests, {stops} stops, {summary:?}");
    std::fs::write(world.file("ids.jsonl"), ids).unwrap();
    // Compressed, with labels, it is the same.
    let labels = vec![("job".to_owned(), "push-exporter".to_owned())];
    world.run(Settings { labels, ..world.settings("whole.om.gz") }).await;
    let mut text = String::new();
    let file = std::fs::File::open(world.file("whole.om.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let labelled = text.replace(r#",job="push-exporter"}"#, "}");
    assert!(labelled.len() < text.len() && labelled.as_bytes() == whole);
}

#[tokio::test(start_paused = true)]
async fn refused_days_are_listed_and_no_failure() {
    let world = World::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // Easemob answers from the 12th on: 2026-02-09 to 15 is a range across that day.
    world.easemob_line.spoil(move |request| {
        let path = request.uri().path();
        let Some((_, rest)) = path.split_once("/begin/") else { return Fault::None };
        counted.fetch_add(1, Ordering::Relaxed);
        let body = r#"{"error":"illegal_argument","error_description":"begin is too early"}"#;
        if rest < "2026-02-12" { Fault::answer(400, body) } else { Fault::None }
    });
    let summary = world.run(world.settings("history.om")).await;
    let chat = summary.refused.iter().find(|part| part.part == "easemob chat offline_push").unwrap();
    let day = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    assert_eq!((chat.unit, chat.ranges.as_slice()), ("day", [(day("2026-01-31"), day("2026-02-11"))].as_slice()));
    // Ranges from the newest: 02-24, 02-17 and the refused 02-10, its days down to the third refused one in a row (from 02-16
    // to 02-10 only two are refused), the refused range before and its newest day.
    assert_eq!(asked.load(Ordering::Relaxed), 3 + 7 + 1 + 1);
    let history = History::read(&world.file("history.om"));
    let sent =
        r#"push_messages_sent_total{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification"}"#;
    let (before, first) =
        (beijing("2026-02-12", 0.0), world.easemob.truth("2026-02-12", "APNS", EasemobOutcome::Success));
    assert_eq!(history.at(sent, before - STEP), None, "nothing is known, not even that there was nothing");
    assert_eq!(history.at(sent, before + STEP), Some(0));
    assert_eq!(history.at(sent, beijing("2026-02-13", 0.0)), Some(first));
    // What fails otherwise is a failure, and the others are asked all the same; then it goes on.
    world.easemob_line.spoil(|_| Fault::answer(503, "<html>maintenance</html>"));
    let prepared = world.prepare(world.settings("failed.om")).await.unwrap();
    let failed = prepared.run(network(), Arc::default(), CancellationToken::new()).await;
    let Err(BackfillError::Failed(reports)) = failed else { panic!("{failed:?}") };
    let reports: Vec<_> = reports.iter().map(|failed| failed.report.as_str()).collect();
    assert_eq!(reports, ["easemob chat offline_push"]);
    assert!(!world.file("failed.om").exists());
    world.easemob_line.heal();
    world.run(Settings { resume: true, ..world.settings("failed.om") }).await;
    world.run(world.settings("whole.om")).await;
    let read = |name: &str| std::fs::read(world.file(name)).unwrap();
    assert!(read("failed.om") == read("whole.om"));
}

#[tokio::test(start_paused = true)]
async fn the_history_ends_where_the_ledger_first_knew_the_app() {
    let world = World::new().await;
    let exporter = Exporter::start(&world.text, world.folder.path(), &world.clock).await;
    let first_known = world.clock.now();
    until(&world.clock, first_known + SignedDuration::from_hours(30)).await;
    // The exporter is running and uses its ledger.
    let path = world.folder.path().to_owned();
    world.run(Settings { to: None, ..world.settings("history.om") }).await;
    exporter.stop().await;
    let history = History::read(&path.join("history.om"));
    let last = history.0.values().filter_map(|samples| samples.keys().last()).max().unwrap();
    assert_eq!(*last, first_known.as_second(), "{}", Path::new(&path).display());
    // The day in which it was first known is the exporter's.
    let sent =
        r#"push_messages_sent_total{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification"}"#;
    let whole: i64 = days("2026-02-01", "2026-03-02")
        .iter()
        .map(|day| world.easemob.truth(day, "APNS", EasemobOutcome::Success))
        .sum();
    assert_eq!(history.at(sent, first_known), Some(whole));
}

/// A program that writes a history of four weeks of Easemob, whose rate limit makes it take ten seconds.
fn command(folder: &Path, output: &str, more: &[&str]) -> std::process::Command {
    let mut command = Program::binary();
    let (config, output) = (folder.join("push-exporter.yml"), folder.join(output));
    command.args(["backfill", "--config.file"]).arg(config).arg("--output").arg(output).args(more);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

#[test]
fn killed_in_the_middle_and_resumed_it_writes_the_same_bytes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = EasemobApp { step: 3600, history: 40, kept: 60, ..EasemobApp::demo("acme", "chat") };
    let (id, secret) = (app.client_id.clone(), app.client_secret.clone());
    let (_, address) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
    let folder = fast_dir();
    let text = format!(
        "easemob: [{{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: {id}, client_secret: {secret}}}]\n"
    );
    std::fs::write(folder.path().join("push-exporter.yml"), text).unwrap();
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Shanghai").unwrap()).date();
    let day = |before: i64| today.checked_sub(jiff::Span::new().days(before)).unwrap().to_string();
    let (from, to) = (day(28), day(1));
    let span = ["--from", &from, "--to", &to];
    let mut whole = command(folder.path(), "whole.om", &span).spawn().unwrap();
    let journal = folder.path().join("killed.om.parts/00000-offline_push.jsonl");
    let asked = || std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
    let again = [span.as_slice(), &["--resume"]].concat();
    for (signal_name, answers) in [("KILL", 1), ("INT", 3)] {
        let mut killed = command(folder.path(), "killed.om", &again).spawn().unwrap();
        eventually("an answer", 60, || (asked() >= answers).then_some(()));
        signal(&killed, signal_name);
        assert!(!killed.wait().unwrap().success());
        assert!(!folder.path().join("killed.om").exists());
    }
    assert_eq!(command(folder.path(), "killed.om", &span).status().unwrap().code(), Some(2), "without --resume");
    assert!(command(folder.path(), "killed.om", &again).status().unwrap().success());
    assert!(whole.wait().unwrap().success());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("killed.om").len() > 100_000 && read("killed.om") == read("whole.om"));
    assert!(!journal.exists());
}
