//! The exporter killed 50 times while numbers grow and messages are registered: at random moments, and by
//! fault hooks just before and just after the COMMIT of an answer or of a registration, so that its sender
//! gets no reply and sends it again; and fewer times while three of ten requests fail. No counter is ever
//! lower than what was scraped before, and at the end all totals equal the truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use push_exporter::simulator::easemob::{EasemobApp, EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator, Publishing};
use push_exporter::simulator::getui::{GetuiApp, GetuiOutcome, GetuiSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::{Faulty, quick_faults, seed};
use crate::support::jpush_totals::add;
use crate::support::{
    Page, Program, engagelab_totals, eventually, fast_dir, getui_totals, ledger_line, onesignal_totals, try_talk,
};

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

struct World {
    abroad: Arc<EngagelabSimulator>,
    easemob: Arc<EasemobSimulator>,
    feishu: Arc<FeishuSimulator>,
    getui: Arc<GetuiSimulator>,
    jpush: Arc<JpushSimulator>,
    onesignal: Arc<OnesignalSimulator>,
    /// Every message pushed so far, by JPush and by EngageLab.
    pushed: Mutex<Vec<u64>>,
    pushed_abroad: Mutex<Vec<u64>>,
    /// Those of the provider that lists them.
    listed: Mutex<Vec<String>>,
    /// Where the exporter is now.
    exporter: Mutex<Option<SocketAddr>>,
    is_over: AtomicBool,
}

/// More would only make the test longer.
const MAX_PUSHES: usize = 150;

impl World {
    /// Everything published until now that counters can hold, by series.
    fn published(&self) -> BTreeMap<String, i64> {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        let today = jiff::Timestamp::now().to_zoned(zone).date();
        let day = |back: i64| (today - jiff::Span::new().days(back)).to_string();
        let mut totals = BTreeMap::new();
        for (key, platform, channel) in
            [("APNS", "ios", "apns"), ("VIVOPUSH", "android", "vivo"), ("HONOR", "android", "honor")]
        {
            for (outcome, name) in [
                (EasemobOutcome::Success, "sent"),
                (EasemobOutcome::Fail, "failed"),
                (EasemobOutcome::Arrive, "received"),
            ] {
                let total: i64 = (0..=4).map(|back| self.easemob.truth(&day(back), key, outcome)).sum();
                if total > 0 {
                    let labels = format!(
                        r#"provider="easemob",app="chat",platform="{platform}",channel="{channel}",kind="notification""#
                    );
                    totals.insert(format!("push_messages_{name}_total{{{labels}}}"), total);
                }
            }
        }
        let labels = r#"provider="feishu",app="bot",platform="any",channel="bot",kind="message""#;
        let days: Vec<_> = (1..=4).map(|back| self.feishu.published(&day(back), &day(back), None)).collect();
        totals.insert(format!("push_messages_sent_total{{{labels}}}"), days.iter().map(|day| day.send_msg_count).sum());
        totals.insert(
            format!("push_messages_read_within_1h_total{{{labels}}}"),
            days.iter().map(|day| day.read_in_1h_count).sum(),
        );
        totals.insert(
            format!("push_messages_read_within_12h_total{{{labels}}}"),
            days.iter().map(|day| day.read_in_12h_count).sum(),
        );
        let days: Vec<String> = (1..=4).map(day).collect();
        totals.extend(getui_totals::of_days(&self.getui, "days", &days));
        totals
    }

    /// What the messages pushed so far have come to.
    fn messages(&self) -> BTreeMap<String, i64> {
        let now = jiff::Timestamp::now().as_second();
        let pushed = self.pushed.lock().unwrap().clone();
        let mut totals = BTreeMap::new();
        for id in &pushed {
            add(&mut totals, "shop", "messages_detail", &self.jpush.truth(*id, now), 1);
        }
        let registered = r#"push_messages_registered_total{provider="jpush",app="shop",source="api"}"#;
        totals.insert(registered.to_owned(), pushed.len() as i64);
        for id in self.pushed_abroad.lock().unwrap().iter() {
            engagelab_totals::add(&mut totals, "abroad", &self.abroad.truth(*id, now), true, 1);
        }
        let registered = r#"push_messages_registered_total{provider="engagelab",app="abroad",source="api"}"#;
        totals.insert(registered.to_owned(), self.pushed_abroad.lock().unwrap().len() as i64);
        let mut found = 0;
        for id in self.listed.lock().unwrap().iter() {
            let counts = self.onesignal.truth(id, now);
            found += i64::from(!counts.is_empty());
            onesignal_totals::add(&mut totals, &counts, 1);
        }
        let registered = format!(r#"push_messages_registered_total{{{},source="discovery"}}"#, onesignal_totals::GAME);
        totals.insert(registered, found);
        totals.retain(|_, count| *count > 0);
        totals
    }

    /// Pushes now and then and registers each message, again and again until it is told that it was taken.
    fn send(&self) {
        while !self.is_over.load(Ordering::Relaxed) && self.pushed.lock().unwrap().len() < MAX_PUSHES {
            let id = self.jpush.push(300);
            let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
            let yesterday = jiff::Timestamp::now().to_zoned(zone).date().yesterday().unwrap();
            self.getui.restate(&yesterday.to_string(), "hw", GetuiOutcome::Receive, 7);
            self.pushed.lock().unwrap().push(id);
            self.listed.lock().unwrap().push(self.onesignal.push(300));
            let abroad = self.abroad.push(300);
            self.pushed_abroad.lock().unwrap().push(abroad);
            let body = format!(r#"[{{"app":"shop","msg_id":{id}}},{{"app":"abroad","msg_id":"{abroad}"}}]"#);
            let request = format!(
                "POST /api/v1/messages HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            loop {
                let exporter = *self.exporter.lock().unwrap();
                match exporter.and_then(|exporter| try_talk(exporter, &request)) {
                    Some((200, _)) => break,
                    Some((status, answer)) => panic!("{status} {answer}"),
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// No counter is lower than ever before, and none is missing.
fn assert_goes_on(page: &Page, highest: &mut BTreeMap<String, i64>, when: &str) {
    page.assert_not_below(highest, when);
    highest.extend(page.counters());
}

fn start(config: &Path, die: Option<&str>) -> Option<Program> {
    let environment: Vec<(&str, &str)> = die.iter().map(|die| ("PUSH_EXPORTER_DIE", *die)).collect();
    Program::try_start(&["--config.file", config.to_str().unwrap()], &environment)
}

/// How often it is killed; `tests/long.sh` asks for more.
fn rounds() -> u32 {
    std::env::var("PUSH_EXPORTER_KILLS").map_or(50, |kills| kills.parse().expect("a number of kills"))
}

#[test]
fn killed_fifty_times_nothing_is_lost_or_counted_twice() {
    kill(rounds(), 50, false);
}

#[test]
fn killed_in_a_storm_nothing_is_lost_or_counted_twice() {
    kill(rounds() / 5, seed(), true);
}

/// Kills it so often; in a storm while three of ten requests fail.
fn kill(rounds: u32, seed: u64, is_stormy: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Clock::system();
    let easemob = EasemobApp { step: 4, history: 1, per_day: 150_000.0, ..EasemobApp::demo("acme", "chat") };
    let feishu = FeishuApp {
        publishing: Publishing::PieceByPiece,
        step: 4,
        history: 5,
        per_day: 40_000.0,
        ..FeishuApp::demo("cli_crash")
    };
    let (client_secret, app_secret) = (easemob.client_secret.clone(), feishu.app_secret.clone());
    let easemob = Arc::new(EasemobSimulator::new(clock.clone(), easemob));
    let feishu = Arc::new(FeishuSimulator::new(clock.clone(), feishu));
    let app = JpushApp::demo("key-crash");
    let master_secret = app.master_secret.clone();
    let jpush = Arc::new(JpushSimulator::new(clock.clone(), app));
    let game = OnesignalApp::demo(onesignal_totals::APP_ID);
    let api_key = game.api_key.clone();
    let onesignal = Arc::new(OnesignalSimulator::new(clock.clone(), game));
    // What changes is what the sender adds to yesterday.
    let days = GetuiApp { step: 3600, published: 0, per_day: 2_000.0, per_minute: 10_000, ..GetuiApp::demo("days") };
    let (getui_key, getui_secret) = (days.app_key.clone(), days.master_secret.clone());
    let getui = Arc::new(GetuiSimulator::new(clock.clone(), days));
    let app = EngagelabApp::demo("key-abroad");
    let abroad_secret = app.master_secret.clone();
    let abroad = Arc::new(EngagelabSimulator::new(clock, app));
    let layers = [
        runtime.block_on(Faulty::new(Arc::clone(&jpush))),
        runtime.block_on(Faulty::new(Arc::clone(&easemob))),
        runtime.block_on(Faulty::new(Arc::clone(&feishu))),
        runtime.block_on(Faulty::new(Arc::clone(&onesignal))),
        runtime.block_on(Faulty::new(Arc::clone(&getui))),
        runtime.block_on(Faulty::new(Arc::clone(&abroad))),
    ];
    let [jpush_address, easemob_address, feishu_address, onesignal_address, getui_address, abroad_address] =
        layers.each_ref().map(|layer| layer.address);
    let world = Arc::new(World {
        abroad,
        easemob,
        feishu,
        getui,
        jpush,
        onesignal,
        pushed: Mutex::default(),
        pushed_abroad: Mutex::default(),
        listed: Mutex::default(),
        exporter: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let text = format!(
        "new_series_hold: 1s\nmessage_api: {{token: t0ken}}\n\
         jpush:\n  - {{app: shop, base_url: 'http://{jpush_address}/v3', app_key: key-crash, master_secret: {master_secret}, delivery: messages_detail, interval: 1s}}\n\
         easemob:\n  - {{app: chat, base_url: 'http://{easemob_address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: {client_secret}, interval: 1s, platforms: [APNS, VIVOPUSH, HONOR]}}\n\
         feishu:\n  - {{app: bot, base_url: 'http://{feishu_address}', app_id: cli_crash, app_secret: {app_secret}, interval: 3s, windows: [day]}}\n\
         onesignal:\n  - {{app: game, base_url: 'http://{onesignal_address}', app_id: {}, api_key: {api_key}, interval: 1s}}\n\
         getui:\n  - {{app: days, base_url: 'http://{getui_address}/v2', app_id: days, app_key: {getui_key}, master_secret: {getui_secret}, interval: 1s, requests_per_minute: 5000}}\n\
         engagelab:\n  - {{app: abroad, base_url: 'http://{abroad_address}', app_key: key-abroad, master_secret: {abroad_secret}, interval: 1s}}\n",
        onesignal_totals::APP_ID
    );

    // A first start whose baseline is known for certain: nothing was published while it was read.
    let (folder, config, before) = (0..20)
        .find_map(|_| {
            let folder = fast_dir();
            let config = folder.path().join("push-exporter.yml");
            std::fs::write(&config, ledger_line(folder.path()) + &text).unwrap();
            let before = world.published();
            let program = start(&config, None).unwrap();
            let page = eventually("a first result of all", 20, || {
                let page = program.try_scrape()?;
                (page.starting(&["push_up"]).values().sum::<i64>() == 4).then_some(page)
            });
            let is_known = world.published() == before && page.counters().values().all(|count| *count == 0);
            is_known.then_some((folder, config, before))
        })
        .expect("a quiet moment for the baseline");

    let sender = std::thread::spawn({
        let world = Arc::clone(&world);
        move || world.send()
    });
    let mut highest = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(seed);
    for layer in layers.iter().filter(|_| is_stormy) {
        layer.storm(random.fork(), quick_faults());
    }
    let (mut by_hook, mut by_signal) = (0, 0);
    for round in 0..rounds {
        let when = format!("round {round}, PUSH_EXPORTER_SEED={seed}");
        // Only commits that change a counter, or register a message, are counted by the hook.
        let registers = world.pushed.lock().unwrap().len() < MAX_PUSHES;
        let die = match round % 7 {
            3 if registers => Some("before_register:1".to_owned()),
            4 if registers => Some("after_register:1".to_owned()),
            5 => Some(format!("before_count:{}", random.u32(1..3))),
            6 => Some(format!("after_count:{}", random.u32(1..3))),
            _ => None,
        };
        let mut program = start(&config, die.as_deref()).unwrap_or_else(|| panic!("{when}: it did not start"));
        *world.exporter.lock().unwrap() = Some(program.address);
        let kill_at = die.is_none().then(|| Instant::now() + Duration::from_millis(random.u64(20..1200)));
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(page) = program.try_scrape() {
                assert_goes_on(&page, &mut highest, &when);
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                program.child.kill().unwrap();
                break program.child.wait().unwrap();
            }
            if let Some(status) = program.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{when}: it did not die at {die:?}\n{}", program.log());
        };
        match (die, status.signal()) {
            (Some(_), Some(SIGABRT)) => by_hook += 1,
            (None, Some(SIGKILL)) => by_signal += 1,
            (die, signal) => panic!("{when}: ended with {signal:?} instead of {die:?}\n{}", program.log()),
        }
    }
    assert!(by_hook * 5 > by_signal, "{by_hook} ends by a hook, {by_signal} by a signal");

    for layer in &layers {
        layer.heal();
    }
    let program = start(&config, None).unwrap();
    *world.exporter.lock().unwrap() = Some(program.address);
    world.is_over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    assert!(world.pushed.lock().unwrap().len() > (rounds as usize).min(MAX_PUSHES) / 2);
    world.jpush.freeze();
    world.onesignal.freeze();
    world.abroad.freeze();
    let messages = world.messages();
    let matters = |series: &str, count: i64| {
        count > 0 || !["jpush", "engagelab", "onesignal", "getui"].iter().any(|provider| series.contains(provider))
    };
    eventually("totals that equal the truth", 60, || {
        let page = program.try_scrape()?;
        assert_goes_on(&page, &mut highest, "at the end");
        let now = world.published();
        let mut expected: BTreeMap<_, _> =
            now.iter().map(|(series, total)| (series.clone(), total - before.get(series).unwrap_or(&0))).collect();
        expected.retain(|series, count| matters(series, *count));
        expected.extend(messages.clone());
        let counted: BTreeMap<_, _> = page
            .counters()
            .into_iter()
            .filter(|(series, count)| !series.contains("restated") && matters(series, *count))
            .collect();
        let is_quiet = world.published() == now;
        (is_quiet && counted == expected).then_some(())
    });
    let page = program.try_scrape().unwrap();
    assert_eq!(page.starting(&["push_messages_restated"]).values().sum::<i64>(), 0);
    drop(folder);
}
