//! Callbacks of JPush: any JSON with message ids in it registers them, and nothing else in it matters.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::jpush_script::{OWNER, Scene};
use crate::support::{Exporter, Log, Page, get, minutes, post};

const TOKEN: &str = "c4llback-t0ken";

fn registered(page: &Page) -> f64 {
    page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="callback"}}"#)).unwrap()
}

async fn call_back(exporter: &Exporter, query: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
    let path = format!("/callback/jpush/shop?{query}");
    post(exporter.address, &path, &[("content-type", "application/json")], body.into()).await
}

#[tokio::test(start_paused = true)]
async fn ids_in_callbacks_are_registered() {
    let scene = Scene::new().await;
    let exporter = scene.start(&format!("callback_token: {TOKEN}")).await;
    assert_eq!(registered(&exporter.scrape().await), 0.0);
    for id in 1..=5 {
        scene.say(id, r#""jpush_received":7"#);
    }
    let right = format!("token={TOKEN}");
    // Shapes of any kind: an object, an array of them, ids as numbers, in either spelling, at any depth.
    for (body, answer) in [
        (r#"{"msg_id":"1","app_key":"x","registration_id":"r"}"#, r#"{"received":1,"new":1,"too_old":0}"#),
        (r#"[{"msgid":2},{"msg_id":1},{"msgid":"2","platform":"a"}]"#, r#"{"received":2,"new":1,"too_old":0}"#),
        (r#"{"events":[{"push":{"msg_id":3}}],"msg_id":null}"#, r#"{"received":1,"new":1,"too_old":0}"#),
        (r#"{"msg_id":"not-an-id","other":[1,2]}"#, r#"{"received":1,"new":0,"too_old":0}"#),
        ("[]", r#"{"received":0,"new":0,"too_old":0}"#),
    ] {
        assert_eq!(call_back(&exporter, &right, body).await, (200, answer.to_owned()), "{body}");
    }
    // Repeated for each device, without a word to the ledger.
    for _ in 0..3 {
        let (status, answer) = call_back(&exporter, &right, r#"{"msg_id":"1"}"#).await;
        assert_eq!((status, answer.as_str()), (200, r#"{"received":1,"new":0,"too_old":0}"#));
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(br#"{"msg_id":"4"}"#).unwrap();
    let headers = [("content-encoding", "gzip")];
    let path = format!("/callback/jpush/shop?{right}&category=sale");
    let (status, answer) = post(exporter.address, &path, &headers, gzip.finish().unwrap()).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"received":1,"new":1,"too_old":0}"#));
    minutes(5.0).await;
    let page = exporter.scrape().await;
    assert_eq!(registered(&page), 4.0);
    let received = |category: &str| {
        let labels = format!(r#"{OWNER},platform="any",channel="jpush",kind="any"{category}"#);
        page.get(&format!("push_messages_received_total{{{labels}}}"))
    };
    assert_eq!((received(""), received(r#",category="sale""#)), (Some(21.0), Some(7.0)));
    exporter.stop().await;

    // They are in the ledger.
    let exporter = scene.start(&format!("callback_token: {TOKEN}")).await;
    let (_, answer) = call_back(&exporter, &right, r#"[{"msg_id":"1"},{"msg_id":"4"},{"msg_id":"5"}]"#).await;
    assert_eq!(answer, r#"{"received":3,"new":1,"too_old":0}"#);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_address_is_checked_by_jpush_and_refuses_others() {
    let scene = Scene::new().await;
    let log = Log::capture();
    let exporter = scene.start(&format!("callback_token: {TOKEN}")).await;
    let address = exporter.address;
    let right = format!("token={TOKEN}");
    let path = |query: &str| format!("/callback/jpush/shop?{query}");
    let echo = get(address, &path(&format!("{right}&echostr=a%20b%3Cc%3E"))).await;
    assert_eq!(echo, (200, "a b<c>".to_owned()));
    assert_eq!(get(address, &path(&right)).await.0, 200);
    assert_eq!(get(address, &path("echostr=x")).await.0, 401, "nothing is echoed without the token");
    for (query, body, status, said) in [
        ("", "{}", 401, "missing or wrong token"),
        ("token=wrong", "{}", 401, "missing or wrong token"),
        (right.as_str(), "msg_id=1", 400, "not JSON"),
        (right.as_str(), "", 400, "not JSON"),
        (&format!("{right}&category=Big%20Sale"), r#"{"msg_id":"1"}"#, 400, "category must be"),
    ] {
        let (found, answer) = call_back(&exporter, query, body).await;
        assert_eq!(found, status, "{answer}");
        assert!(answer.contains(said), "{answer}");
    }
    let many: Vec<String> = (0..10_001).map(|id| format!(r#"{{"msg_id":{id}}}"#)).collect();
    assert_eq!(call_back(&exporter, &right, format!("[{}]", many.join(","))).await.0, 413);
    assert_eq!(call_back(&exporter, &right, vec![b' '; 1024 * 1024 + 1]).await.0, 413);
    assert_eq!(call_back(&exporter, &right, "[".repeat(100_000)).await.0, 400);
    assert_eq!(post(address, &format!("/callback/jpush/other?{right}"), &[], b"{}".to_vec()).await.0, 404);
    assert_eq!(post(address, &format!("/callback/easemob/shop?{right}"), &[], b"{}".to_vec()).await.0, 404);
    assert_eq!(post(address, "/callback/", &[], b"{}".to_vec()).await.0, 404);
    assert_eq!(registered(&exporter.scrape().await), 0.0);
    let (_, status) = exporter.get("/api/v1/status").await;
    let list: serde_json::Value = serde_json::from_str(&status).unwrap();
    let refused = list["senders"].as_array().unwrap();
    assert!(refused.iter().all(|one| one["interface"] == "callback"), "{refused:?}");
    // Those without the right token, or at a wrong address, are told together.
    for (status, sender, said) in
        [(401, "unknown", "missing or wrong token"), (404, "unknown", "no app takes"), (400, "127.0.0.1", "not JSON")]
    {
        let one = refused.iter().find(|one| one["status"] == status).unwrap();
        assert_eq!(one["sender"], sender, "{one}");
        assert!(one["error"].as_str().unwrap().contains(said), "{one}");
    }
    assert!(!status.contains(TOKEN) && log.take_lines(TOKEN).is_empty());
    exporter.stop().await;
    // Without a token there is no such address.
    let exporter = scene.start("").await;
    assert_eq!(call_back(&exporter, &right, "{}").await.0, 404);
    exporter.stop().await;
}
