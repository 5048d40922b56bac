//! `push-exporter check`: what works and what does not, report by report, beside a running exporter.

use std::net::SocketAddr;
use std::process::Output;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::simulator::engagelab::{EngagelabApp, EngagelabSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::simulator::getui::{GetuiApp, GetuiSimulator};
use push_exporter::simulator::jpush::{JpushApp, JpushSimulator};
use push_exporter::simulator::onesignal::{OnesignalApp, OnesignalSimulator};
use push_exporter::util::clock::Clock;
use tokio::runtime::Runtime;

use crate::support::onesignal_totals;
use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Program, eventually, simulate};

/// Simulated providers, and a configuration with every report.
struct World {
    runtime: Runtime,
    folder: tempfile::TempDir,
}

const SECRET: &str = "5e987ac6d2e04d95-demo";

impl World {
    fn new() -> World {
        World { runtime: Runtime::new().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn jpush(&self, app: JpushApp) -> SocketAddr {
        self.runtime.block_on(async { simulate(JpushSimulator::new(Clock::system(), app)).await.1 })
    }

    fn easemob(&self, app: EasemobApp) -> SocketAddr {
        self.runtime.block_on(async { simulate(EasemobSimulator::new(Clock::system(), app)).await.1 })
    }

    fn engagelab(&self, app: EngagelabApp) -> SocketAddr {
        self.runtime.block_on(async { simulate(EngagelabSimulator::new(Clock::system(), app)).await.1 })
    }

    fn feishu(&self, app: FeishuApp) -> SocketAddr {
        self.runtime.block_on(async { simulate(FeishuSimulator::new(Clock::system(), app)).await.1 })
    }

    fn getui(&self, app: GetuiApp) -> SocketAddr {
        self.runtime.block_on(async { simulate(GetuiSimulator::new(Clock::system(), app)).await.1 })
    }

    /// An app that has sent messages.
    fn onesignal(&self, app: OnesignalApp) -> SocketAddr {
        self.runtime.block_on(async {
            let (simulator, address) = simulate(OnesignalSimulator::new(Clock::system(), app)).await;
            (0..3).for_each(|_| drop(simulator.push(100)));
            address
        })
    }

    fn write(&self, text: &str) -> String {
        let file = self.folder.path().join("push-exporter.yml");
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Every report there is, all of which work.
    fn everything(&self) -> String {
        let app = |key: &str| JpushApp::demo(key);
        let jpush = |name: &str, address, key: &str, more: &str| {
            format!(
                "  - {{app: {name}, base_url: 'http://{address}/v3', push_url: 'http://{address}/v3', {key}, {more}}}\n"
            )
        };
        let key = |key: &str| format!("app_key: {key}, master_secret: {SECRET}");
        let mut text = "jpush:\n".to_owned();
        let everything = "delivery: messages_detail, users: [day], vendor_quota: true, discover: [schedules], test_devices: [02078f0f1b8]";
        text += &jpush("shop", self.jpush(app("a")), &key("a"), everything);
        text += &jpush("shop-free", self.jpush(JpushApp { is_vip: false, ..app("b") }), &key("b"), "");
        text += &jpush("shop-old", self.jpush(app("c")), &key("c"), "delivery: messages");
        text += &jpush("shop-old-free", self.jpush(app("d")), &key("d"), "delivery: received");
        let group = format!("group_key: g, group_master_secret: {SECRET}");
        text += &jpush("shop-group", self.jpush(app("group-g")), &group, "users: [day]");
        let easemob = EasemobApp { step: 60, ..EasemobApp::demo("acme", "chat") };
        text += &format!(
            "easemob:\n  - {{app: chat, base_url: 'http://{}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret}}\n",
            self.easemob(easemob)
        );
        let feishu = FeishuApp { step: 60, ..FeishuApp::demo("cli_1") };
        text += &format!(
            "feishu:\n  - {{app: bot, base_url: 'http://{}', app_id: cli_1, app_secret: demo-app-secret-feishu}}\n",
            self.feishu(feishu)
        );
        text += &format!(
            "engagelab:\n  - {{app: abroad, base_url: 'http://{}', app_key: e, master_secret: 9f1d7a603a5b5a9d-demo, users: [day], discover: [plans]}}\n",
            self.engagelab(EngagelabApp::demo("e"))
        );
        text += "getui:\n";
        for (name, more) in [("days", "users: [day], vendor_quota: true"), ("tasks", "delivery: push_task")] {
            let app = GetuiApp { published: 0, ..GetuiApp::demo(name) };
            let (key, secret) = (app.app_key.clone(), app.master_secret.clone());
            text += &format!(
                "  - {{app: {name}, base_url: 'http://{}/v2', app_id: {name}, app_key: {key}, master_secret: {secret}, {more}}}\n",
                self.getui(app)
            );
        }
        let onesignal = OnesignalApp::demo(onesignal_totals::APP_ID);
        text += &format!(
            "onesignal:\n  - {{app: game, app_id: {}, api_key: {}, base_url: 'http://{}'}}\n",
            onesignal.app_id,
            onesignal.api_key,
            self.onesignal(onesignal.clone())
        );
        text
    }
}

fn check(config: &str, more: &[&str]) -> (Option<i32>, String, String) {
    check_in("C.UTF-8", config, more)
}

/// Runs it in a terminal with this locale.
fn check_in(locale: &str, config: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Program::binary();
    command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", locale);
    let Output { status, stdout, stderr } =
        command.args(["check", "--config.file", config]).args(more).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The lines of the table without those below a failure, cut into cells.
fn rows(out: &str) -> Vec<Vec<String>> {
    let lines = out.lines().skip_while(|line| !line.starts_with("PROVIDER")).take_while(|line| !line.is_empty());
    lines
        .filter(|line| !line.starts_with("    "))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect())
        .collect()
}

/// The line of a report.
fn row_of<'a>(rows: &'a [Vec<String>], report: &str) -> &'a Vec<String> {
    rows.iter().find(|row| row[2] == report).unwrap()
}

#[test]
fn every_report_that_works() {
    let world = World::new();
    let config = world.write(&world.everything());
    // A running exporter is not disturbed, nor is its ledger needed.
    let mut exporter = Program::start(&["--config.file", &config]);
    // Its first walk through OneSignal's list takes what may be asked for in some seconds.
    eventually("the list was read", 60, || {
        let up = r#"push_up{provider="onesignal",app="game",report="notifications"}"#;
        (exporter.try_scrape()?.get(up)? == 1.0).then_some(())
    });
    let (code, out, err) = check(&config, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("the configuration is valid; apps: 11, reports: 21\n"), "{out}");
    assert!(out.contains("\nA running exporter retries failing reports at once after kill -HUP"), "{out}");
    let rows = rows(&out);
    assert_eq!(rows[0], ["PROVIDER", "APP", "REPORT", "RESULT", "DATA AGE", "QUOTA LEFT"]);
    let names: Vec<String> = rows[1..].iter().map(|row| row[..4].join(" ")).collect();
    let expected = [
        "jpush shop users works",
        "jpush shop status_message works",
        "jpush shop vendor_quota works",
        "jpush shop schedules works",
        "jpush shop messages_detail works",
        "jpush shop-free received_detail works",
        "jpush shop-old messages works",
        "jpush shop-old-free received works",
        "jpush shop-group group_users works",
        "jpush shop-group group_messages_detail works",
        "easemob chat offline_push works",
        "feishu bot message_push_overview works",
        "engagelab abroad status_users works",
        "engagelab abroad push_plans works",
        "engagelab abroad status_detail works",
        "getui days push_date works",
        "getui days user_date works",
        "getui days online_user works",
        "getui days push_count works",
        "getui tasks push_task works",
        "onesignal game notifications works",
    ];
    assert_eq!(names, expected);
    assert_eq!(row_of(&rows, "notifications")[4], "current (3 messages on the first page)");
    // Yesterday ended today at midnight; Feishu's newest day is the one before, or until ten o'clock the one before that.
    let row = |report: &str| row_of(&rows, report);
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let today = jiff::Timestamp::now().to_zoned(zone).date();
    assert!(row("users")[4].ends_with(&format!(" (day {})", today.yesterday().unwrap())), "{:?}", row("users"));
    let day = &row("push_date")[4];
    assert!(day.ends_with(&format!(" (day {})", today.yesterday().unwrap())), "{day}");
    let overview = &row("message_push_overview")[4];
    assert!(overview.starts_with("1 d ") || overview.starts_with("2 d "), "{overview}");
    // Until the first push of the day has been told, yesterday's numbers are the newest.
    let newest = &row("offline_push")[4];
    assert!(
        *newest == format!("current (day {today})")
            || newest.ends_with(&format!("(day {})", today.yesterday().unwrap())),
        "{newest}"
    );
    assert_eq!(row("schedules")[4], "current (0 listed)");
    let ids: Vec<Vec<&str>> = out
        .lines()
        .skip_while(|line| !line.contains("MESSAGE IDS FROM"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let lists = |provider, app| [provider, app, "the provider's lists"];
    let from: Vec<&[&str]> = ids.iter().map(|row| &row[..3]).collect();
    assert_eq!(from, [lists("jpush", "shop"), lists("engagelab", "abroad"), lists("onesignal", "game")]);
    assert_eq!([ids[0][3], ids[1][3]], ["-", "-"]);
    assert!(ids[2][3].ends_with(" ago"), "{ids:?}");
    assert_eq!(row("messages_detail")[4], "no message to query");
    assert!(row("messages_detail")[5].ends_with(" of 2400"), "{:?}", row("messages_detail"));
    assert_eq!(exporter.terminate().0, Some(0));
}

#[test]
fn what_fails_is_told_with_what_to_do() {
    let world = World::new();
    let free = world.jpush(JpushApp { is_vip: false, ..JpushApp::demo("a") });
    let easemob = world.easemob(EasemobApp { step: 60, is_opened: false, ..EasemobApp::demo("acme", "chat") });
    let feishu = world.feishu(FeishuApp { step: 60, ..FeishuApp::demo("cli_1") });
    let expired = world.engagelab(EngagelabApp { is_vip: false, ..EngagelabApp::demo("e") });
    let config = world.write(&format!(
        "jpush:
  - {{app: shop, base_url: 'http://{free}/v3', app_key: a, master_secret: {SECRET}, delivery: messages_detail}}
  - {{app: typo, base_url: 'http://{free}/v3', app_key: a2, master_secret: wrong-master-secret}}
  - {{app: gone, base_url: 'http://127.0.0.1:1/v3', app_key: a3, master_secret: {SECRET}}}
  - {{app: fine, base_url: 'http://{free}/v3', app_key: a, timezone: UTC, group_key: a, group_master_secret: x}}
"
    ));
    let (code, _, err) = check(&config, &[]);
    assert_eq!(code, Some(2), "a wrong configuration: {err}");
    assert!(err.contains("jpush[3]"), "{err}");

    let config = world.write(&format!(
        "jpush:
  - {{app: shop, base_url: 'http://{free}/v3', app_key: a, master_secret: {SECRET}, delivery: messages_detail}}
  - {{app: typo, base_url: 'http://{free}/v3', app_key: a2, master_secret: wrong-master-secret}}
  - {{app: gone, base_url: 'http://127.0.0.1:1/v3', app_key: a3, master_secret: {SECRET}}}
easemob:
  - {{app: chat, base_url: 'http://{easemob}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret}}
engagelab:
  - {{app: abroad, base_url: 'http://{expired}', app_key: e, master_secret: 9f1d7a603a5b5a9d-demo}}
feishu:
  - {{app: bot, base_url: 'http://{feishu}', app_id: cli_1, app_secret: wrong-app-secret}}
  - {{app: works, base_url: 'http://{feishu}', app_id: cli_1, timezone: UTC, app_secret_file: s}}
"
    ));
    std::fs::write(world.folder.path().join("s"), "demo-app-secret-feishu").unwrap();
    let (code, _, err) = check(&config, &["--offline"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("the same feishu account"), "{err}");

    let text = std::fs::read_to_string(&config).unwrap();
    let config = world.write(&text[..text.rfind("  - {app: works").unwrap()]);
    let (code, out, err) = check(&config, &["--offline"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("the configuration is valid; apps: 6, reports: 6\n") && !out.contains("PROVIDER"), "{out}");
    // Nobody says what these have pushed.
    let warned = out.lines().filter(|line| line.contains(": warning: this app has no source of message ids")).count();
    assert_eq!((warned, out.lines().count()), (4, 5), "{out}");
    let fed = text.replace("jpush:", "message_api: {token: t}\njpush:");
    let out = check(&world.write(&fed[..fed.rfind("  - {app: works").unwrap()]), &["--offline"]).1;
    assert_eq!(out.lines().count(), 1, "{out}");
    let config = world.write(&text[..text.rfind("  - {app: works").unwrap()]);

    let (code, out, err) = check(&config, &[]);
    assert_eq!(code, Some(1));
    assert!(!out.contains("kill -HUP"), "{out}");
    assert_eq!(err, "push-exporter: 6 of 6 reports failed\n");
    let names: Vec<String> = rows(&out)[1..].iter().map(|row| row[1..4].join(" ")).collect();
    let expected = [
        "shop messages_detail forbidden",
        "typo received_detail auth",
        "gone received_detail network",
        "chat offline_push forbidden",
        "bot message_push_overview auth",
        "abroad status_detail forbidden",
    ];
    assert_eq!(names, expected);
    for told in [
        "    HTTP 403, code 2003: 无权使用此接口\n    This report is not enabled for the AppKey.",
        "    HTTP 401, code 3001: Basic authentication failed\n    Check app_key and master_secret",
        "Connection refused",
        "    HTTP 403, code forbidden_op\n    Offline push statistics are not enabled",
        "    no access token: HTTP 200, code 10014: app secret invalid\n    Check app_id and app_secret",
        "    HTTP 401, code 21038: vip expired or not activated\n    The app's EngageLab plan has expired or is not activated",
    ] {
        assert!(out.contains(told), "{told}\n{out}");
    }
    let chinese = check_in("zh_CN.UTF-8", &config, &[]).1;
    for told in [
        "    HTTP 403, code 2003: 无权使用此接口\n    该 AppKey 未开通此报表。",
        "    HTTP 401, code 3001: Basic authentication failed\n    请对照极光控制台“应用设置 → 应用信息”核对 app_key 和 master_secret。",
        "\n    请检查 base_url、DNS、代理和 CA 证书（ca_file）；稍后会自动重试。",
        "    HTTP 403, code forbidden_op\n    该应用未开通离线推送结果统计，请联系环信商务开通。",
        "    no access token: HTTP 200, code 10014: app secret invalid\n    请对照飞书开发者后台“凭证与基础信息”核对",
        "    HTTP 401, code 21038: vip expired or not activated\n    该应用的 EngageLab 套餐已过期或未开通",
    ] {
        assert!(chinese.contains(told), "{told}\n{chinese}");
    }
    assert!(!out.contains("wrong-master-secret") && !out.contains("wrong-app-secret") && !out.contains(SECRET));
    // It leaves nothing behind.
    assert!(!world.folder.path().join("push-exporter.db").exists());
}

#[test]
fn each_report_is_asked_once_and_within_a_time() {
    let world = World::new();
    let (fake, address) = world.runtime.block_on(simulate(ScriptedProvider::default()));
    fake.say("/v3", 500, "");
    fake.say("/acme", 500, "");
    fake.say("/open-apis", 500, "");
    let text = format!(
        "jpush:
  - {{app: shop, base_url: 'http://{address}/v3', push_url: 'http://{address}/v3', app_key: k, master_secret: s3cret, users: [day], vendor_quota: true, test_devices: [a], messages: {{ids: [5, 7]}}}}
easemob:
  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: i, client_secret: s3cret}}
feishu:
  - {{app: bot, base_url: 'http://{address}', app_id: cli_1, app_secret: s3cret, departments: [od-1, od-2]}}
"
    );
    let (code, out, _) = check(&world.write(&text), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(rows(&out).iter().filter(|row| row[3] == "server").count(), 6, "{out}");
    let mut asked = fake.take();
    asked.sort();
    assert_eq!(asked.len(), 6, "{asked:#?}");
    // The newest of the configured ids, which it has numbers for if any has.
    assert!(asked.iter().any(|request| request.contains("received/detail?msg_ids=7")), "{asked:#?}");

    // A JPush that refuses that id has let us in all the same.
    fake.say("/v3", 400, r#"{"error":{"code":3002,"message":"Invalid parameter 'msg_id'."}}"#);
    let (_, out, _) = check(&world.write(&text), &[]);
    let rows = rows(&out);
    let row = |report: &str| rows.iter().find(|row| row[2] == report).unwrap();
    assert_eq!(row("received_detail")[3..5], ["works", "message 7 is refused"]);
    assert_eq!(row("status_message")[3..5], ["works", "message 7 is refused"]);
    assert_eq!(row("users")[3], "bad_request");
}
