//! The status page in a real browser, by `tests/browser/status.mjs`: every app and report is listed, with and
//! without scripts, accessible, in the dark and on a phone; and its JSON is as documented.

use crate::support::{Program, eventually, tool};

/// Looks at the page in Chromium, and returns what was found good.
fn browse(program: &Program, args: &[&str], expected: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expected.json");
    std::fs::write(&file, serde_json::to_vec(expected).unwrap()).unwrap();
    let url = format!("http://{}/", program.address);
    let all: Vec<&str> =
        ["tests/browser/status.mjs", &url, "--expect", file.to_str().unwrap()].iter().chain(args).copied().collect();
    let output = tool("node", &all, b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// The JSON, which must be as its schema says.
fn status(program: &Program) -> serde_json::Value {
    let (code, json) = program.get("/api/v1/status");
    assert_eq!(code, 200);
    let script = "import json,sys,jsonschema\n\
        schema=json.load(open('docs/status.schema.json'))\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        jsonschema.validate(json.load(sys.stdin),schema,cls=jsonschema.Draft202012Validator)";
    let output = tool("target/python/bin/python", &["-c", script], json.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&json).unwrap()
}

#[test]
fn says_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push-exporter.yml");
    std::fs::write(
        &file,
        "easemob:\n  - {app: 'chat <b>&', base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: secret}\n\
         feishu:\n  - {app: office-bot, base_url: 'http://127.0.0.1:1', app_id: cli_x, app_secret: secret}\n\
         jpush:\n  - {app: shop, base_url: 'http://127.0.0.1:1', app_key: 7d431e42dfa6a6d693ac2d04, master_secret: secret, messages: {files: [no/ids.log]}}\n",
    )
    .unwrap();
    let program = Program::start(&["--config.file", file.to_str().unwrap()]);
    eventually("both failing, and the file not there", 60, || {
        let json = program.get("/api/v1/status").1;
        (json.matches("\"state\":\"failing\",\"last_success\"").count() == 2 && !json.contains("\"trouble\":null"))
            .then_some(())
    });
    let expected = [
        "2 of 3 reports are failing.",
        "JPush",
        "Easemob",
        "Feishu",
        "chat <b>&",
        "office-bot",
        "its only report is failing",
        "offline_push",
        "message_push_overview",
        "received_detail",
        "never",
        "no data yet",
        "Connection refused",
        "Check base_url, DNS, the proxy and the CA certificates",
        "tracked messages",
        "0 live, 0 waiting",
        "no/ids.log",
        "nothing due",
    ];
    browse(&program, &["--apps", "3"], &expected);
    let json = status(&program);
    assert_eq!(json["state"], "failing");
    let report = &json["reports"][1];
    assert_eq!((&report["provider"], &report["app"]), (&"feishu".into(), &"office-bot".into()));
    assert_eq!((&report["state"], &report["error"]["reason"]), (&"failing".into(), &"network".into()));
    assert_eq!(report["last_errors"][0]["message"], report["error"]["message"]);
    assert!(report["last_success"].is_null() && report["next_poll"].is_string());
    let app = &json["apps"][2];
    assert_eq!((&app["app"], &app["tracked_messages"]["live"]), (&"shop".into(), &0.into()));
    // Nothing of what is secret, in any form.
    assert!(!json.to_string().contains("secret") && !program.get("/").1.contains("secret"));
}

#[test]
fn the_demo_works() {
    let program = Program::start(&["demo"]);
    // Every report there is, each once.
    let mut expected = [
        "received_detail",
        "received",
        "messages_detail",
        "messages",
        "group_messages_detail",
        "status_message",
        "users",
        "group_users",
        "vendor_quota",
        "schedules",
        "offline_push",
        "message_push_overview",
        "status_detail",
        "status_users",
        "push_plans",
        "notifications",
        "push_date",
        "push_task",
        "user_date",
        "online_user",
        "push_count",
    ];
    expected.sort_unstable();
    eventually("all up", 60, || {
        let status: serde_json::Value = serde_json::from_str(&program.get("/api/v1/status").1).unwrap();
        let up = status["reports"].as_array()?.iter().filter(|report| report["state"] == "up");
        let mut up: Vec<&str> = up.filter_map(|report| report["report"].as_str()).collect();
        up.sort_unstable();
        (up == expected).then_some(())
    });
    let more = ["All 21 reports work.", "ids.log", "quota of report", "newest message", "expires in"];
    let texts: Vec<&str> = expected.iter().chain(&more).copied().collect();
    let screenshots = std::env::var("PUSH_EXPORTER_SCREENSHOTS");
    let mut args = vec!["--apps", "11"];
    args.extend(screenshots.iter().flat_map(|folder| ["--screenshot", folder.as_str()]));
    browse(&program, &args, &texts);
    let json = status(&program);
    let shop = json["apps"].as_array().unwrap().iter().find(|app| app["app"] == "shop").unwrap();
    assert!(shop["quotas"]["report"]["remaining"].as_u64() > Some(0), "{shop}");
    assert_eq!(json["files"][0]["app"], "shop-free");
    // What is not a counter of deliveries.
    let page = eventually("gauges", 60, || {
        let page = program.try_scrape()?;
        let families = ["push_users{", "push_test_devices{", "push_vendor_quota{", "push_newest_message_sent{"];
        families.iter().all(|family| !page.starting(&[family]).is_empty()).then_some(page)
    });
    let file = r#"push_messages_registered_total{provider="jpush",app="shop-free",source="file"}"#;
    assert!(page.get(file) > Some(0.0));
}

#[test]
fn a_thousand_apps_are_there_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push-exporter.yml");
    let mut text = "jpush:\n".to_owned();
    for app in 0..1000 {
        text += &format!(
            "  - {{app: app-{app:04}, app_key: {app:024}, master_secret: secret, base_url: 'http://127.0.0.1:1', push_url: 'http://127.0.0.1:1', users: [day], vendor_quota: true}}\n"
        );
    }
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["--config.file", file.to_str().unwrap()]);
    // All of them, so that the page stands still.
    eventually("two of the three reports of each are failing", 240, || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let json = program.get("/api/v1/status").1;
        (json.matches("\"state\":\"failing\",\"last_success\"").count() == 2000).then_some(())
    });
    let said = browse(&program, &["--apps", "1000", "--within", "1000"], &["app-0000", "app-0999"]);
    println!("{said}");
}
