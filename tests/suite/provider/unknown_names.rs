//! A provider that makes up names without end takes the room of its own app's unknown names alone: documented
//! fields, of that app and of others, are counted, and what is not counted is told.

use std::fmt::Write as _;
use std::time::Duration;

use push_exporter::provider::jpush::Delivery;
use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Log, Page, fast_dir, post, simulate};

/// JPush with 190 channels of its own making for each message, and Easemob as its documents say.
fn inventive() -> ScriptedProvider {
    ScriptedProvider::answering(|request| {
        if request.uri().path().ends_with("/token") {
            return respond(200, r#"{"access_token":"t","expires_in":0}"#);
        }
        let Some(ids) = request.uri().query().and_then(|query| query.strip_prefix("msg_ids=")) else {
            return respond(200, r#"{"status":"OK","data":{"2026-03-11":{"HONOR":{"successCount":60}}}}"#);
        };
        let leaf = r#"{"target":1,"sent":1,"received":1,"display":1,"click":1}"#;
        let items = ids.split(',').map(|id| {
            let mut channels = String::new();
            for number in 0..190 {
                let _ = write!(channels, r#""a{id}of{number}":{leaf},"#);
            }
            format!(
                r#"{{"msg_id":"{id}","details":{{"notification":{{"sub_android":{{{channels}"huawei":{leaf}}}}}}}}}"#
            )
        });
        respond(200, format!("[{}]", items.collect::<Vec<_>>().join(",")).into_bytes())
    })
}

const FULL: &str = r#"push_unknown_fields_full{provider="jpush",app="shop"}"#;

fn honor(page: &Page) -> Option<f64> {
    page.get(
        r#"push_messages_sent_total{provider="easemob",app="chat",platform="android",channel="honor",kind="notification"}"#,
    )
}

fn sent(page: &Page, channel: &str) -> Option<f64> {
    page.get(&format!(
        r#"push_messages_sent_total{{provider="jpush",app="shop",platform="android",channel="{channel}",kind="notification"}}"#
    ))
}

#[tokio::test(start_paused = true)]
async fn names_that_are_made_up_starve_nobody_and_are_told_of() {
    let clock = Clock::following_tokio("2026-03-10T23:30:00+08:00".parse().unwrap());
    let (_, address) = simulate(inventive()).await;
    let folder = fast_dir();
    let shop = format!(
        "message_api: {{token: t}}\njpush:\n  - {{app: shop, base_url: 'http://{address}/v3', app_key: a, master_secret: s3cret, \
         delivery: messages_detail, schedule: [{{until: 2h, every: 10m}}]}}\n"
    );
    let both = format!(
        "{shop}easemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: a, client_secret: b}}\n"
    );
    let log = Log::capture();
    let exporter = Exporter::start(&shop, folder.path(), &clock).await;
    assert_eq!(exporter.scrape().await.get(FULL), None);
    let register = async |exporter: &Exporter, ids: std::ops::Range<u64>| {
        let lines: Vec<String> = ids.map(|id| format!(r#"{{"app":"shop","msg_id":{id}}}"#)).collect();
        let headers = [("authorization", "Bearer t"), ("content-type", "application/x-ndjson")];
        assert_eq!(post(exporter.address, "/api/v1/messages", &headers, lines.join("\n").into()).await.0, 200);
    };
    // 22 messages with 190 channels of five counts: 20,900 fields that nobody ever heard of.
    register(&exporter, 1..23).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(FULL), Some(1.0));
    assert_eq!(sent(&page, "huawei"), Some(22.0), "what the documents name is counted of every message");
    // 1,000 fields of five counts are 200 channels: sixteen by their names, the others as one.
    let others: i64 = page.starting(&["push_messages_sent_total"]).values().sum::<i64>() - 22;
    assert_eq!((others, sent(&page, "other")), (200, Some(184.0)));
    assert_eq!(log.take_lines("more unknown names than are remembered").len(), 1);
    let (_, status) = exporter.get("/").await;
    assert!(status.contains("too many; further ones are not counted"), "{status}");
    let (_, json) = exporter.get("/api/v1/status").await;
    assert!(json.contains(r#""unknown_fields_full":true"#), "{json}");

    // An app that comes later is counted from its first day on.
    exporter.reload(&both).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(honor(&exporter.scrape().await), Some(60.0));
    exporter.stop().await;
    // A restart remembers it, and new messages of the app are counted where documents name the field.
    let exporter = Exporter::start(&both, folder.path(), &clock).await;
    assert_eq!(exporter.scrape().await.get(FULL), Some(1.0));
    register(&exporter, 23..33).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(sent(&exporter.scrape().await, "huawei"), Some(32.0));
    exporter.stop().await;
}

/// More than a thousand numbers of one message: the documented ones are taken wherever they stand.
#[test]
fn one_message_with_too_many_numbers_keeps_the_documented_ones() {
    let leaf = r#"{"target":1,"sent":1,"received":1,"display":1,"click":1}"#;
    let made_up: String = (0..300).map(|number| format!(r#""a{number}":{leaf},"#)).collect();
    let item =
        format!(r#"{{"msg_id":"1","details":{{"notification":{{"sub_android":{{{made_up}"huawei":{leaf}}}}}}}}}"#);
    let read = Delivery::MessagesDetail.parse(format!("[{item}]").as_bytes(), &[]).unwrap();
    let numbers = &read.messages[0];
    assert_eq!(numbers.readings.iter().filter(|reading| reading.series.channel.as_str() == "huawei").count(), 5);
    assert_eq!(numbers.readings.len(), 1005);
    assert!(read.unknown.iter().any(|name| name == "more than 1000 numbers of one message or window"));
}
