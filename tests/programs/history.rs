//! Nine days of an exporter against simulated providers, in one paused runtime, written down as a Prometheus would have
//! scraped it: what rules and dashboards need that look back. A week is good; then things go wrong, one after another, and
//! each must raise its alert, while nothing else may.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use push_exporter::simulator::Trouble;
use push_exporter::simulator::easemob::{EasemobApp, EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator, group_id};
use push_exporter::util::clock::Clock;
use serde_json::json;

use crate::support::fault_injection::{Fault, Faulty};
use crate::support::prometheus::Prometheus;
use crate::support::{Exporter, eventually, fast_dir, post, python, simulate};

/// From scrape to scrape: below the five minutes after which Prometheus forgets a sample.
const STEP: Duration = Duration::from_secs(240);
/// Every so many scrapes each JPush app pushes.
const PUSH_EVERY: u64 = 4;
const DAYS: i64 = 9;
pub const TOKEN: &str = "t";

type Labels = &'static [(&'static str, &'static str)];

/// Alerts that must fire, by their name, their labels, and the hours before the end between which they may: from the incident
/// until its last trace has left the window that the rule looks at.
const EXPECTED: &[(&str, Labels, f64, f64)] = &[
    ("PushUnknownFields", &[("provider", "easemob"), ("report", "offline_push")], 56.0, 31.0),
    ("PushConfigReloadFailed", &[], 54.0, 52.5),
    ("PushMessageIdsRejected", &[("app", "shop"), ("what", "ids that were refused")], 50.0, 48.5),
    ("PushTokenNotRenewed", &[("app", "chat")], 46.0, 40.5),
    ("PushReportFailing", &[("app", "chat"), ("report", "offline_push")], 46.0, 40.5),
    ("PushDataLate", &[("app", "chat")], 46.0, 40.5),
    ("PushReportFailing", &[("app", "shop-free"), ("report", "received_detail")], 39.0, 35.0),
    ("PushDataLate", &[("app", "shop-free")], 39.0, 35.0),
    ("PushReportRefused", &[("app", "shop-free"), ("reason", "forbidden")], 34.0, 31.0),
    ("PushDataLate", &[("app", "shop-free")], 34.0, 31.0),
    (
        "PushChannelBadThroughOneProvider",
        &[("provider", "easemob"), ("channel", "vivo"), ("fault", "provider")],
        30.0,
        25.5,
    ),
    ("PushDeliveryRatioFell", &[("app", "chat"), ("channel", "vivo")], 30.0, 25.5),
    ("PushNumbersRestated", &[("app", "chat"), ("metric", "sent")], 26.0, 0.0),
    ("PushDeliveryRatioFell", &[("app", "shop"), ("channel", "xiaomi")], 24.0, 14.5),
    ("PushChannelSlow", &[("app", "shop"), ("channel", "xiaomi")], 24.0, 14.5),
    ("PushClicksVanished", &[("app", "shop"), ("channel", "apns")], 24.0, 10.0),
    ("PushChannelFailing", &[("app", "chat"), ("channel", "oppo")], 22.0, 18.5),
    ("PushChannelSuccessFell", &[("app", "chat"), ("channel", "oppo")], 22.0, 18.5),
    ("PushVolumeDoubled", &[("app", "shop-group")], 30.0, 0.0),
    ("PushChannelSlow", &[("app", "shop"), ("channel", "huawei")], 20.0, 15.5),
    ("PushVendorBadThroughAllProviders", &[("channel", "honor"), ("fault", "vendor")], 14.0, 5.5),
    ("PushChannelFailing", &[("app", "chat"), ("channel", "honor")], 14.0, 5.5),
    ("PushChannelSuccessFell", &[("app", "chat"), ("channel", "honor")], 14.0, 5.5),
    ("PushChannelSlow", &[("app", "shop"), ("channel", "honor")], 14.0, 5.5),
    ("PushChannelSlow", &[("app", "shop-group"), ("channel", "honor")], 14.0, 5.5),
    // The numbers of the group are held back until six hours before the end, and tell of Honor then.
    ("PushDeliveryRatioFell", &[("app", "shop-group"), ("channel", "honor")], 6.0, 4.0),
    ("PushMessageFeedDead", &[("app", "shop-free")], 13.0, 4.0),
    ("PushVolumeCollapsed", &[("app", "shop-free")], 13.0, 0.0),
    ("PushDataLate", &[("provider", "jpush"), ("app", "shop-group")], 9.0, 5.5),
    ("PushDataLate", &[("provider", "easemob"), ("app", "chat")], 5.0, 1.5),
    ("PushDataLate", &[("provider", "feishu"), ("app", "office-bot")], 40.0, 0.0),
];

/// What happens at a time.
enum What<'a> {
    Do(Box<dyn Fn() + 'a>),
    /// A reload of another configuration; of the first one if it is empty.
    Reload(&'static str),
    /// A message that the provider refuses is registered.
    Refused,
}

struct Shop {
    name: &'static str,
    simulator: Arc<JpushSimulator>,
}

struct World {
    clock: Clock,
    end: Timestamp,
    /// The configuration.
    text: String,
    chat: Arc<EasemobSimulator>,
    chat_line: Faulty,
    office: Arc<FeishuSimulator>,
    shops: Vec<Shop>,
    free_line: Faulty,
}

impl World {
    async fn new(clock: Clock, end: Timestamp) -> World {
        let easemob = EasemobApp { step: 60, has_bad_hours: false, ..EasemobApp::demo("acme", "chat") };
        let (chat, _) = simulate(EasemobSimulator::new(clock.clone(), easemob.clone())).await;
        let chat_line = Faulty::new(Arc::clone(&chat)).await;
        let feishu = FeishuApp { history: 40, ..FeishuApp::demo("cli_demo0000000001") };
        let (office, office_at) = simulate(FeishuSimulator::new(clock.clone(), feishu.clone())).await;
        let jpush = |seed, key| {
            let app = JpushApp { seed, answered: 6 * 86_400, kept: 0, ..JpushApp::demo(key) };
            JpushSimulator::new(clock.clone(), app)
        };
        let (shop, shop_at) = simulate(jpush(1, "7d431e42dfa6a6d693ac2d04")).await;
        let (free, _) = simulate(jpush(2, "dd1066407b044738b6479275")).await;
        let free_line = Faulty::new(Arc::clone(&free)).await;
        let (group, group_at) = simulate(jpush(5, "group-9439ee12e91bd4c895d1b0f5")).await;
        let demo = JpushApp::demo("");
        let schedule = "schedule: [{until: 20m, every: 2m}, {until: 2h, every: 10m}, {until: 1d, every: 1h}, {until: 5d, every: 12h}]";
        let secret = &demo.master_secret;
        let text = format!(
            "new_series_hold: 10m\nmessage_api: {{token: {TOKEN}}}\n\
             jpush:\n  \
             - {{app: shop, app_key: 7d431e42dfa6a6d693ac2d04, base_url: \"http://{shop_at}/v3\", push_url: \"http://{shop_at}/v3\", {schedule}, master_secret: {secret}, \
             delivery: messages_detail, newest_messages: 5, users: [hour, day, month], vendor_quota: true, test_devices: [{}]}}\n  \
             - {{app: shop-free, app_key: dd1066407b044738b6479275, base_url: \"http://{}/v3\", {schedule}, master_secret: {secret}, messages: {{files: [ids.log]}}}}\n  \
             - {{app: shop-group, group_key: group-9439ee12e91bd4c895d1b0f5, base_url: \"http://{group_at}/v3\", {schedule}, group_master_secret: {secret}, users: [day]}}\n\
             easemob:\n  - {{app: chat, base_url: \"http://{}\", org_name: acme, app_name: chat, client_id: {}, client_secret: {}}}\n\
             feishu:\n  - {{app: office-bot, base_url: \"http://{office_at}\", app_id: {}, app_secret: {}, departments: [{}]}}\n",
            demo.devices.join(", "),
            free_line.address,
            chat_line.address,
            easemob.client_id,
            easemob.client_secret,
            feishu.app_id,
            feishu.app_secret,
            feishu.departments.join(", "),
        );
        let shops = vec![
            Shop { name: "shop", simulator: shop },
            Shop { name: "shop-free", simulator: free },
            Shop { name: "shop-group", simulator: group },
        ];
        World { clock, end, text, chat, chat_line, office, shops, free_line }
    }

    fn shop(&self, name: &str) -> &JpushSimulator {
        &self.shops.iter().find(|shop| shop.name == name).unwrap().simulator
    }

    /// The day in Beijing so many days before the end.
    fn day(&self, before: i64) -> String {
        let zoned = self.end.to_zoned(TimeZone::get("Asia/Shanghai").unwrap());
        zoned.checked_sub(before.days()).unwrap().date().to_string()
    }

    fn before_end(&self, hours: f64) -> Timestamp {
        self.end - SignedDuration::from_secs((hours * 3600.0) as i64)
    }

    /// What goes wrong, in order of time.
    fn incidents<'a>(&'a self) -> Vec<(Timestamp, What<'a>)> {
        let none = Trouble::NONE;
        let mut incidents: Vec<(Timestamp, What<'a>)> = Vec::new();
        let mut at = |hours: f64, what: What<'a>| incidents.push((self.before_end(hours), what));
        let todo = |what: Box<dyn Fn() + 'a>| What::Do(what);

        // Easemob has a channel that nobody knows.
        let new_channel =
            json!({ "status": "OK", "data": { self.day(2): { "NEWPUSH": { "successCount": 5, "surprise": 1 } } } });
        at(
            56.0,
            todo(Box::new(move || {
                let answer = new_channel.to_string();
                self.chat_line.spoil(move |request| {
                    if request.uri().path().contains("offline-push") {
                        Fault::answer(200, &answer)
                    } else {
                        Fault::None
                    }
                });
            })),
        );
        at(55.8, todo(Box::new(|| self.chat_line.heal())));
        at(54.0, What::Reload("jpush: [{}]"));
        at(53.0, What::Reload(""));
        at(50.0, What::Refused);
        // Easemob gives no new tokens.
        at(
            46.0,
            todo(Box::new(|| {
                self.chat_line.spoil(|request| {
                    if request.uri().path().ends_with("/token") { Fault::answer(500, "down") } else { Fault::None }
                });
            })),
        );
        at(42.0, todo(Box::new(|| self.chat_line.heal())));
        // JPush is down, then the right is gone.
        at(39.0, todo(Box::new(|| self.free_line.spoil(|_| Fault::answer(503, "<html>maintenance</html>")))));
        at(36.5, todo(Box::new(|| self.free_line.heal())));
        at(
            34.0,
            todo(Box::new(|| {
                let refusal = json!({ "error": { "code": 2003, "message": "无权使用此接口" } }).to_string();
                self.free_line.spoil(move |_| Fault::answer(403, &refusal));
            })),
        );
        at(32.5, todo(Box::new(|| self.free_line.heal())));
        // vivo loses what comes from Easemob, and works for JPush.
        at(30.0, todo(Box::new(move || self.chat.trouble("VIVOPUSH", Trouble { lost: 0.7, ..none }))));
        at(27.0, todo(Box::new(move || self.chat.trouble("VIVOPUSH", none))));
        // Easemob takes a part of a day back.
        at(26.0, todo(Box::new(|| self.chat.restate(&self.day(2), "HUAWEIPUSH", EasemobOutcome::Success, -40_000))));
        // Xiaomi loses most of what it accepts; of iOS no clicks are told.
        at(24.0, todo(Box::new(move || self.shop("shop").trouble("xiaomi", Trouble { lost: 0.6, ..none }))));
        at(16.0, todo(Box::new(move || self.shop("shop").trouble("xiaomi", none))));
        at(24.0, todo(Box::new(move || self.shop("shop").trouble("apns", Trouble { unclicked: 1.0, ..none }))));
        at(16.0, todo(Box::new(move || self.shop("shop").trouble("apns", none))));
        // OPPO refuses six of ten.
        at(22.0, todo(Box::new(move || self.chat.trouble("OPPOPUSH", Trouble { refused: 0.6, ..none }))));
        at(20.0, todo(Box::new(move || self.chat.trouble("OPPOPUSH", none))));
        // What Huawei has accepted takes an hour.
        at(20.0, todo(Box::new(move || self.shop("shop").trouble("huawei", Trouble { slower: 400.0, ..none }))));
        at(17.0, todo(Box::new(move || self.shop("shop").trouble("huawei", none))));
        // Honor refuses and loses, whoever sends.
        let honor = move |lost: f64| {
            self.chat.trouble("HONOR", Trouble { refused: lost / 2.0, ..none });
            self.shops.iter().for_each(|shop| shop.simulator.trouble("honor", Trouble { lost, ..none }));
        };
        at(14.0, todo(Box::new(move || honor(0.8))));
        at(7.0, todo(Box::new(move || honor(0.0))));
        // Numbers are held back: of a JPush group, of Easemob, of two days of Feishu.
        at(9.0, todo(Box::new(|| self.shop("shop-group").freeze())));
        at(6.0, todo(Box::new(|| self.shop("shop-group").thaw())));
        let until = self.before_end(2.0).as_second();
        at(5.0, todo(Box::new(move || (0..4).for_each(|before| self.chat.delay(&self.day(before), until)))));
        let until = self.end.as_second();
        at(60.0, todo(Box::new(move || [2, 3].iter().for_each(|before| self.office.delay(&self.day(*before), until)))));
        incidents.sort_by_key(|(at, _)| *at);
        incidents
    }

    /// To how many devices an app pushes now: to none while its sender is away, to more in a campaign.
    fn devices(&self, shop: &Shop) -> i64 {
        let hours = self.end.duration_since(self.clock.now()).as_secs_f64() / 3600.0;
        match shop.name {
            "shop-free" if (4.5..13.0).contains(&hours) => 0,
            "shop-group" if hours < 30.0 => 30_000,
            _ => 8_000,
        }
    }

    /// Pushes to every app and registers the messages.
    async fn push(&self, exporter: &Exporter) {
        for shop in &self.shops {
            let devices = self.devices(shop);
            if devices > 0 {
                register(exporter, shop.name, shop.simulator.push(devices)).await;
            }
        }
    }
}

/// Registers a message, of an exporter whose message API takes [`TOKEN`].
pub async fn register(exporter: &Exporter, app: &str, id: u64) {
    let id = if app == "shop-group" { group_id(id) } else { id.to_string() };
    let body = json!({ "app": app, "msg_id": id }).to_string();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.into()).await;
    assert_eq!(status, 200, "{answer}");
}

/// Writes a page down, each sample with the labels of a scrape and a time, and what Prometheus adds of the scrape itself.
pub fn write_page(file: &mut impl std::io::Write, page: &str, took: Duration, at: i64) {
    let added = format!("up 1\nscrape_duration_seconds {}", took.as_secs_f64());
    for line in page.lines().filter(|line| !line.starts_with('#')).chain(added.lines()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series
            .split_once('{')
            .map_or((series, String::new()), |(name, rest)| (name, format!(",{}", rest.trim_end_matches('}'))));
        writeln!(file, "{name}{{job=\"push-exporter\",instance=\"push-exporter:10110\"{labels}}} {value} {at}")
            .unwrap();
    }
}

/// Writes the history that ends at `end` into `file` as OpenMetrics with timestamps, and the alerts that it must raise into
/// `expected` as JSON.
fn record(file: &Path, expected: &Path, end: Timestamp) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let start = end - SignedDuration::from_hours(24 * DAYS);
        let world = World::new(Clock::following_tokio(start), end).await;
        let folder = fast_dir();
        std::fs::write(folder.path().join("ids.log"), "").unwrap();
        let exporter = Exporter::start(&world.text, folder.path(), &world.clock).await;
        let mut incidents = world.incidents().into_iter().peekable();
        let mut file = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
        for step in 0_u64.. {
            let next = start + SignedDuration::try_from(STEP * u32::try_from(step).unwrap()).unwrap();
            if next > end {
                break;
            }
            let wait = next.duration_since(world.clock.now());
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
            while let Some((_, what)) = incidents.next_if(|(at, _)| *at <= next) {
                match what {
                    What::Do(happens) => happens(),
                    What::Reload("") => drop(exporter.reload(&world.text).await.unwrap()),
                    What::Reload(text) => drop(exporter.reload(text).await.unwrap_err()),
                    What::Refused => {
                        let id = world.shop("shop").push(100);
                        world.shop("shop").refuse(id);
                        register(&exporter, "shop", id).await;
                    }
                }
            }
            if step % PUSH_EVERY == 0 {
                world.push(&exporter).await;
            }
            let began = Instant::now();
            let (status, page) = exporter.get("/metrics").await;
            assert_eq!(status, 200);
            write_page(&mut file, &page, began.elapsed(), next.as_second());
        }
        writeln!(file, "# EOF").unwrap();
        exporter.stop().await;
        let alerts: Vec<_> = EXPECTED
            .iter()
            .map(|(alert, labels, from, to)| {
                let labels: BTreeMap<_, _> = labels.iter().copied().collect();
                let time = |hours| world.before_end(hours).as_second();
                json!({ "alert": alert, "labels": labels, "from": time(*from), "to": time(*to) })
            })
            .collect();
        let history = json!({ "start": start.as_second(), "end": end.as_second(), "alerts": alerts });
        std::fs::write(expected, history.to_string()).unwrap();
    });
}

#[test]
fn nine_days_raise_the_alerts_that_they_must_and_no_others_and_fill_the_dashboards() {
    let folder = tempfile::tempdir().unwrap();
    // Kept for the pictures of the dashboards where this says so: tests/grafana/pictures.sh.
    let kept = std::env::var_os("PUSH_EXPORTER_HISTORY").map(PathBuf::from);
    let place = kept.as_deref().unwrap_or(folder.path());
    let path = |name: &str| place.join(name).display().to_string();
    let (history, expected, data) = (path("history.om"), path("expected.json"), path("data"));
    // Whole seconds, as a scrape has them; so late in a day of Beijing that the newest day of Feishu is due.
    let end: Timestamp = "2026-03-20T22:40:00+08:00".parse().unwrap();
    record(Path::new(&history), Path::new(&expected), end);
    python(&["tests/rules/backfill.py", &history, &data, "--rules", "prometheus/rules/*.yml"]);
    eprintln!("{}", python(&["tests/rules/fires.py", &data, &expected, "--rules", "prometheus/rules/*.yml"]));
    // While Honor is in trouble.
    let time = (end - SignedDuration::from_mins(450)).as_second().to_string();
    let prometheus = Prometheus::start(place, "    static_configs: []\n");
    eventually("Prometheus", 30, || prometheus.query("vector(1)").first().copied());
    let empty = "tests/grafana/expect-empty-history.yml";
    let url = prometheus.url();
    eprintln!(
        "{}",
        python(&["tests/grafana/queries.py", "--prometheus", &url, "--time", &time, "--expect-empty", empty])
    );
}
