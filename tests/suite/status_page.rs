//! The status page in a real browser: every app and report is listed, without scripts.

use crate::support::{Program, eventually, tool};

/// The page's text as Chromium has it after loading, and a picture where `PUSH_EXPORTER_SCREENSHOT` says.
fn dom(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", profile.path().display());
    let base = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-javascript", "--hide-scrollbars", &profile];
    if let Ok(file) = std::env::var("PUSH_EXPORTER_SCREENSHOT") {
        let shot = format!("--screenshot={file}");
        let args: Vec<&str> = base.iter().copied().chain([shot.as_str(), "--window-size=1100,420", url]).collect();
        assert!(tool("chromium", &args, b"").status.success());
    }
    let args: Vec<&str> = base.iter().copied().chain(["--dump-dom", url]).collect();
    let output = tool("chromium", &args, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn lists_every_report_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push-exporter.yml");
    std::fs::write(
        &file,
        "easemob:\n  - {app: 'chat <b>&', base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: secret}\n\
         feishu:\n  - {app: office-bot, base_url: 'http://127.0.0.1:1', app_id: cli_x, app_secret: secret}\n",
    )
    .unwrap();
    let program = Program::start(&["--config.file", file.to_str().unwrap()]);
    eventually("both failing", 60, || {
        (program.get("/api/v1/status").1.matches("\"failing\"").count() == 2).then_some(())
    });
    let html = dom(&format!("http://{}/", program.address));
    for text in [
        "2 of 2 reports are failing.",
        "<td>easemob</td><td>chat &lt;b&gt;&amp;</td><td>offline_push</td>",
        "<td>feishu</td><td>office-bot</td><td>message_push_overview</td>",
        "<td class=\"state failing\">failing</td>",
        "never",
        "no data yet",
        ">network</span> for ",
        "<td class=\"time\">network, ",
        "Connection refused",
        "Check base_url, DNS, the proxy and the CA certificates",
    ] {
        assert!(html.contains(text), "{text:?} is not on the page:\n{html}");
    }
    let (_, json) = program.get("/api/v1/status");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let report = &json["reports"][1];
    assert_eq!(report["provider"], "feishu");
    assert_eq!((&report["app"], &report["report"]), (&"office-bot".into(), &"message_push_overview".into()));
    assert_eq!((&report["state"], &report["error"]["reason"]), (&"failing".into(), &"network".into()));
    assert!(report["last_success"].is_null() && report["next_poll"].is_string());
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
        "offline_push",
        "message_push_overview",
    ];
    expected.sort_unstable();
    eventually("all up", 60, || {
        let status: serde_json::Value = serde_json::from_str(&program.get("/api/v1/status").1).unwrap();
        let up = status["reports"].as_array()?.iter().filter(|report| report["state"] == "up");
        let mut up: Vec<&str> = up.filter_map(|report| report["report"].as_str()).collect();
        up.sort_unstable();
        (up == expected).then_some(())
    });
    let html = dom(&format!("http://{}/", program.address));
    assert!(html.contains("All 11 reports work.") && html.contains("ids.log"), "{html}");
    // What is not a counter of deliveries.
    let page = eventually("gauges", 60, || {
        let page = program.try_scrape()?;
        let families = ["push_users{", "push_test_devices{", "push_vendor_quota{", "push_newest_message_sent{"];
        families.iter().all(|family| !page.starting(&[family]).is_empty()).then_some(page)
    });
    let file = r#"push_messages_registered_total{provider="jpush",app="shop-free",source="file"}"#;
    assert!(page.get(file) > Some(0.0));
}
