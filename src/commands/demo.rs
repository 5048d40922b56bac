//! `push-exporter demo`: the exporter with the built-in simulators, without configuration and with every report in use,
//! and a sender that pushes simulated messages and registers them through the message API and a file.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::commands::CommandFailure;
use crate::commands::cli::Flags;
use crate::exporter::Parts;
use crate::exporter::reload::Reload;
use crate::provider::config::{self, Config};
use crate::provider::registry::PROVIDERS;
use crate::provider::transport::{Reqwest, SetupError, Transport, Way};
use crate::simulator::easemob::{EasemobApp, EasemobSimulator};
use crate::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use crate::simulator::feishu::{FeishuApp, FeishuSimulator, Publishing};
use crate::simulator::getui::{GetuiApp, GetuiSimulator};
use crate::simulator::jpush::{JpushApp, JpushSimulator, group_id};
use crate::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use crate::simulator::{Simulator, Trouble};
use crate::util::clock::Clock;
use crate::web::{self, ListenerRole, Options};

/// Interval between pushes.
const PUSHES: Duration = Duration::from_secs(8);
/// Maximum number of ids kept for a retry while the exporter accepts none.
const MAX_UNREGISTERED: usize = 1000;
/// File to which the sender of one app writes its ids.
const FILE: &str = "ids.log";
/// Phases of the simulated trouble, three hours in all: before, during and after the trouble of two channels. The last
/// phase is long enough that rules over the last hour recover before the next round.
const ROUND: [Duration; 3] = [Duration::from_secs(300), Duration::from_secs(1500), Duration::from_secs(9000)];
/// Polling of messages by age: for an hour here, for days or weeks in a real app.
const SCHEDULE: &str = "[{until: 2m, every: 2s}, {until: 15m, every: 15s}, {until: 1h, every: 1m}]";
/// The app at EngageLab, and the plan under which some of its pushes are made.
const ABROAD: &str = "shop-abroad";
const PLAN: &str = "autumn_sale";
/// Name of the app of Getui that counts by task.
const TASKS: &str = "shop-getui-tasks";
/// Schedule of the app whose provider lists its messages, which needs a request for each 50 of them.
const SCHEDULE_OF_LIST: &str = "[{until: 2m, every: 8s}, {until: 15m, every: 1m}, {until: 1h, every: 5m}]";
/// Token of the message API; docs/messages.md shows it, so that users can register their own ids with the demo.
const TOKEN: &str = "demo-token";

/// Starts the simulators on separate ports, and the exporter with a ledger in a temporary folder.
///
/// # Errors
/// Fails if `--config.file` is given (exit code 2) or an address cannot be used (1).
pub(crate) fn run(flags: &Flags) -> Result<(), CommandFailure> {
    if flags.config_file.is_some() {
        return Err(CommandFailure::Usage(
            "the demo needs no configuration; remove --config.file, or use the command serve".to_owned(),
        ));
    }
    let folder =
        tempfile::Builder::new().prefix("push-exporter-demo-").tempdir().context("cannot create a temporary folder")?;
    let stop = CancellationToken::new();
    super::block_on(async {
        super::stop_on_signals(stop.clone())?;
        let clock = Clock::system();
        let jpush = Shop::all(&clock);
        let easemob = EasemobApp::demo("acme", "chat");
        let chat = Arc::new(EasemobSimulator::new(clock.clone(), easemob.clone()));
        let engagelab = EngagelabApp { answered: 4500, kept: 0, ..EngagelabApp::demo("3a5b5a9d4b0c4c2e9f1d7a60") };
        let abroad = Arc::new(EngagelabSimulator::new(clock.clone(), engagelab.clone()));
        let feishu = FeishuApp { publishing: Publishing::PieceByPiece, ..FeishuApp::demo("cli_demo0000000001") };
        // Days appear at midnight, and grow by what arrives late.
        let days = GetuiApp { published: 0, ..GetuiApp::demo("demo-getui-days") };
        let tasks = GetuiApp { per_day: 0.0, history: 0, step: 5, seed: 2, ..GetuiApp::demo(TASKS) };
        let getui = Arc::new(GetuiSimulator::new(clock.clone(), tasks.clone()));
        // A push every few seconds, and an hour of them to read again.
        let onesignal =
            OnesignalApp { listed: 4500, kept: 0, ..OnesignalApp::demo("5eb5a37e-b458-11e3-ac11-000c2940e62c") };
        let game = Arc::new(OnesignalSimulator::new(clock.clone(), onesignal.clone()));
        let mut sections = String::new();
        for shop in &jpush {
            sections += &shop.section(start(Arc::clone(&shop.simulator)).await?);
        }
        let text = format!(
            "ledger: sqlite:demo.db\nnew_series_hold: 5s\nmessage_api: {{token: {TOKEN}}}\njpush:\n{sections}\
             easemob:\n  - {{app: chat, base_url: \"http://{}\", org_name: acme, app_name: chat, client_id: {}, client_secret: {}, interval: 2s}}\n\
             feishu:\n  - {{app: office-bot, base_url: \"http://{}\", app_id: {}, app_secret: {}, departments: [{}], interval: 15s}}\n\
             engagelab:\n  - {{app: {ABROAD}, base_url: \"http://{}\", app_key: {}, master_secret: {}, discover: [plans], users: [day], \
             schedule: {SCHEDULE}, intervals: {{push_plans: 10s, status_users: 15s}}}}\n\
             getui:\n{}{}\
             onesignal:\n  - {{app: game, base_url: \"http://{}\", app_id: {}, api_key: {}, schedule: {SCHEDULE_OF_LIST}}}\n",
            start(Arc::clone(&chat)).await?,
            easemob.client_id,
            easemob.client_secret,
            start(Arc::new(FeishuSimulator::new(clock.clone(), feishu.clone()))).await?,
            feishu.app_id,
            feishu.app_secret,
            feishu.departments.join(", "),
            start(Arc::clone(&abroad)).await?,
            engagelab.app_key,
            engagelab.master_secret,
            getui_section(
                "shop-getui",
                start(Arc::new(GetuiSimulator::new(clock.clone(), days.clone()))).await?,
                &days,
                "users: [day], vendor_quota: true, interval: 15s"
            ),
            getui_section(
                TASKS,
                start(Arc::clone(&getui)).await?,
                &tasks,
                &format!("delivery: push_task, schedule: {SCHEDULE}")
            ),
            start(Arc::clone(&game)).await?,
            onesignal.app_id,
            onesignal.api_key,
        );
        let config = config::parse("demo", &text, folder.path(), &Default::default(), PROVIDERS)
            .context("invalid built-in configuration of the demo")?;
        tracing::info!("this is a demo: the providers are simulated, the numbers are invented, nothing is kept");
        let settings = super::web_settings(flags)?;
        let store = super::serve::open_ledger(&config.ledger).await?;
        let mut listeners = super::announce(super::bind(flags).await?)?;
        // The senders use a separate listener, which the web configuration does not restrict.
        let door = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for the demo's senders")?;
        let address = door.local_addr().context("cannot listen for the demo's senders")?;
        listeners.push((door, ListenerRole::Senders));
        let options = Options { about: super::about(&config, "built-in demo"), ..super::web_options(flags) };
        let url = format!("http://{address}{}/api/v1/messages", options.route_prefix);
        tokio::spawn(incidents(chat, jpush.iter().map(|shop| Arc::clone(&shop.simulator)).collect()));
        tokio::spawn(push(jpush, abroad, getui, game, url, folder.path().join(FILE)));
        let web = web::Setup { listeners, options, settings };
        // A reload changes nothing in the demo, but shows that it works.
        let home = folder.path().to_owned();
        let read = move || config::parse("demo", &text, &home, &Default::default(), PROVIDERS);
        let connect =
            |_: &Config| -> Result<Arc<dyn Transport>, SetupError> { Ok(Arc::new(Reqwest::new(Way::Direct, &[])?)) };
        let transport = connect(&config).context("cannot reach the simulators")?;
        let reload = Reload::new(read, connect);
        super::reload_on_signals(reload.reloader())?;
        let parts = Parts { providers: PROVIDERS, clock, web, transport, store, reload };
        super::serve::serve(config, parts, stop).await?;
        Ok(())
    })
}

/// Serves a simulator on a free port of this machine and returns its address.
async fn start(simulator: Arc<impl Simulator>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for a simulator")?;
    let address = listener.local_addr().context("cannot listen for a simulator")?;
    tokio::spawn(crate::simulator::serve(listener, simulator));
    Ok(address)
}

/// A JPush app of the demo; there is one for each delivery report.
struct Shop {
    name: &'static str,
    /// Additional keys of its section in the configuration.
    keys: String,
    simulator: Arc<JpushSimulator>,
    app: JpushApp,
}

impl Shop {
    fn all(clock: &Clock) -> Vec<Shop> {
        let shop = |seed: u64, name: &'static str, key: &str, is_vip: bool, keys: &str| {
            let demo = JpushApp::demo(key);
            // A push every few seconds would use up a small app's quotas in minutes.
            let app = JpushApp { answered: 4500, kept: 0, quotas: 100, is_vip, seed, ..demo };
            let simulator = Arc::new(JpushSimulator::new(clock.clone(), app.clone()));
            Shop { name, keys: keys.to_owned(), simulator, app }
        };
        let devices = JpushApp::demo("").devices.join(", ");
        let everything = format!(
            "delivery: messages_detail, newest_messages: 5, users: [hour, day, month], vendor_quota: true, \
             discover: [schedules], schedule_name_as_category: true, test_devices: [{devices}], \
             intervals: {{users: 15s, vendor_quota: 10s, status_message: 10s, schedules: 10s}}"
        );
        vec![
            shop(1, "shop", "7d431e42dfa6a6d693ac2d04", true, &everything),
            shop(2, "shop-free", "dd1066407b044738b6479275", false, &format!("messages: {{files: [{FILE}]}}")),
            shop(3, "shop-old", "29ea851419f747be7b5785a0", true, "delivery: messages"),
            shop(4, "shop-old-free", "5e987ac6d2e04d95a9d8f0d1", false, "delivery: received"),
            shop(
                5,
                "shop-group",
                "group-9439ee12e91bd4c895d1b0f5",
                true,
                "users: [day], intervals: {group_users: 15s}",
            ),
        ]
    }

    /// Creates a schedule if the exporter finds ids of this app by itself, and returns its id.
    fn schedule(&self) -> Option<String> {
        self.keys.contains("discover").then(|| self.simulator.schedule("daily"))
    }

    fn is_group(&self) -> bool {
        self.app.app_key.starts_with("group-")
    }

    /// Returns its section of the configuration.
    fn section(&self, address: SocketAddr) -> String {
        let Shop { name, keys, app, .. } = self;
        let (key, secret) =
            if self.is_group() { ("group_key", "group_master_secret") } else { ("app_key", "master_secret") };
        format!(
            "  - {{app: {name}, base_url: \"http://{address}/v3\", push_url: \"http://{address}/v3\", {key}: {}, {secret}: {}, schedule: {SCHEDULE}, {keys}}}\n",
            app.app_key, app.master_secret
        )
    }
}

/// Returns the section of an app of Getui.
fn getui_section(name: &str, address: SocketAddr, app: &GetuiApp, keys: &str) -> String {
    let GetuiApp { app_id, app_key, master_secret, .. } = app;
    format!(
        "  - {{app: {name}, base_url: \"http://{address}/v2\", app_id: {app_id}, app_key: {app_key}, master_secret: {master_secret}, {keys}}}\n"
    )
}

/// Number of pushes after which one is made on the schedule or under the plan, if an app has one.
const SCHEDULED: u64 = 3;
/// Categories of the messages of the app that tells campaigns apart, by how often they come.
const CATEGORIES: [(u64, &str); 2] = [(4, "sale"), (2, "news")];

/// Pushes a message to each app at an interval and registers it as senders would: one app through a file, the others
/// through the message API; scheduled ones and those under a plan are found. The messages of `game` need no registration.
async fn push(
    apps: Vec<Shop>,
    abroad: Arc<EngagelabSimulator>,
    getui: Arc<GetuiSimulator>,
    game: Arc<OnesignalSimulator>,
    url: String,
    file: PathBuf,
) {
    abroad.create_plan(PLAN);
    let schedules: Vec<Option<String>> = apps.iter().map(Shop::schedule).collect();
    let Ok(client) = reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PUSHES).build() else { return };
    let mut unregistered: Vec<serde_json::Value> = Vec::new();
    for count in 0_u64.. {
        let mut lines = String::new();
        game.push(fastrand::i64(200..20_000));
        for (shop, schedule) in apps.iter().zip(&schedules) {
            let Shop { name, keys, simulator, .. } = shop;
            let devices = fastrand::i64(200..20_000);
            if let Some(schedule) = schedule.as_ref().filter(|_| count % SCHEDULED == 0) {
                simulator.push_on_schedule(schedule, devices);
            }
            let id = if count % 5 == 4 { simulator.push_message(devices) } else { simulator.push(devices) };
            let id = if shop.is_group() { group_id(id) } else { id.to_string() };
            if keys.contains(FILE) {
                lines += &format!("{id}\n");
            } else {
                let category = CATEGORIES.iter().find(|(every, _)| count % every == 0).map(|(_, category)| *category);
                let mut entry = serde_json::json!({ "app": name, "msg_id": id });
                if let Some(category) = category.filter(|_| schedule.is_some()) {
                    entry["category"] = category.into();
                }
                unregistered.push(entry);
            }
        }
        unregistered.extend(push_abroad(&abroad, count));
        let id = getui.push(fastrand::i64(200..20_000));
        unregistered.push(serde_json::json!({ "app": TASKS, "msg_id": id }));
        if let Err(error) = append(&file, lines).await {
            tracing::debug!(error = error.to_string(), "the demo cannot write its file of message ids");
        }
        unregistered.truncate(MAX_UNREGISTERED);
        // Ids that could not be registered are sent again; an id counts only once.
        let body = serde_json::Value::from(unregistered.clone()).to_string();
        let request = client.post(&url).bearer_auth(TOKEN).header("content-type", "application/json").body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => unregistered.clear(),
            Ok(response) => tracing::debug!(status = response.status().as_u16(), "the demo's messages were refused"),
            Err(error) => tracing::debug!(
                error = crate::util::error::error_chain(&error),
                "the demo cannot register its messages"
            ),
        }
        tokio::time::sleep(PUSHES).await;
    }
}

/// Pushes to the app at EngageLab, and returns the entry to register unless the push is under a plan, whose messages the
/// exporter finds.
fn push_abroad(abroad: &EngagelabSimulator, count: u64) -> Option<serde_json::Value> {
    let devices = fastrand::i64(200..20_000);
    let id = match count % SCHEDULED {
        0 => {
            abroad.push_under(PLAN, devices);
            return None;
        }
        1 if count.is_multiple_of(2) => abroad.push_others(devices),
        _ => abroad.push(devices),
    };
    Some(serde_json::json!({ "app": ABROAD, "msg_id": id.to_string() }))
}

/// Simulates incidents for dashboards and alerts: every three hours OPPO refuses most pushes of Easemob, and Xiaomi is
/// slow for JPush.
async fn incidents(chat: Arc<EasemobSimulator>, shops: Vec<Arc<JpushSimulator>>) {
    let [before, trouble, after] = ROUND;
    let set = |refused: f64, slower: f64| {
        chat.trouble("OPPOPUSH", Trouble { refused, ..Trouble::NONE });
        shops.iter().for_each(|shop| shop.trouble("xiaomi", Trouble { slower, ..Trouble::NONE }));
    };
    loop {
        tokio::time::sleep(before).await;
        tracing::info!(
            minutes = trouble.as_secs() / 60,
            "simulated trouble: OPPO refuses pushes of Easemob, Xiaomi is slow for JPush"
        );
        set(0.9, 200.0);
        tokio::time::sleep(trouble).await;
        tracing::info!("simulated trouble is over");
        set(0.0, 1.0);
        tokio::time::sleep(after).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
async fn append(file: &Path, lines: String) -> std::io::Result<()> {
    let file = file.to_owned();
    let appending = tokio::task::spawn_blocking(move || {
        std::fs::File::options().create(true).append(true).open(file)?.write_all(lines.as_bytes())
    });
    appending.await?
}
