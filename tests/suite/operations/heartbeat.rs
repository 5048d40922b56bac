//! The hourly line in the log that says what the exporter did.

use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Exporter, Log, fast_dir, minutes, post, simulate};

#[tokio::test(start_paused = true)]
async fn an_hour_of_work_is_one_line() {
    let log = Log::capture();
    let provider = ScriptedProvider::default();
    provider.say("/acme/chat/token", 200, r#"{"access_token":"t","expires_in":9999999}"#);
    provider.say("/acme/chat/push/data", 200, r#"{"status":"OK","data":{}}"#);
    provider.say("/v3", 200, "[]");
    let (provider, address) = simulate(provider).await;
    let text = format!(
        "message_api: {{token: t}}\neasemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: a, client_secret: b, interval: 7m}}\n\
         jpush:\n  - {{app: shop, app_key: 7d431e42dfa6a6d693ac2d04, master_secret: s, base_url: 'http://{address}/v3'}}\n"
    );
    let (folder, clock) = (fast_dir(), Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap()));
    let exporter = Exporter::start(&text, folder.path(), &clock).await;

    // Minutes 0, 7, … 56. No message is known, so the other report has nothing to poll.
    minutes(59.0).await;
    assert_eq!(log.take_lines("work of the last hour"), Vec::<String>::new());
    minutes(1.5).await;
    let line = log.take_lines("work of the last hour").pop().unwrap();
    assert!(line.ends_with("polls=9 failed_polls=0 new_message_ids=0 reports=2 failing_reports=0"), "{line}");

    // An hour in which one report is refused, and three ids are registered, one of them twice.
    provider.take();
    provider.say("/acme/chat/push/data", 400, r#"{"error":"illegal_argument"}"#);
    let body = br#"[{"app":"shop","msg_id":"1"},{"app":"shop","msg_id":"2"},{"app":"shop","msg_id":"2"},{"app":"shop","msg_id":"3"}]"#;
    let json = [("authorization", "Bearer t"), ("content-type", "application/json")];
    assert_eq!(post(exporter.address, "/api/v1/messages", &json, body.to_vec()).await.0, 200);
    minutes(60.0).await;
    let line = log.take_lines("work of the last hour").pop().unwrap();
    let refused = provider.count("offline-push");
    assert!(line.contains(&format!("failed_polls={refused} new_message_ids=3 reports=2 failing_reports=")), "{line}");
    assert!(refused > 0);
}
