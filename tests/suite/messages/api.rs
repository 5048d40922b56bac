//! `POST /api/v1/messages`: the contract, answer by answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::jpush_script::{OWNER, Scene, tracked};
use crate::support::{Exporter, Log, minutes, post};

const JSON: [(&str, &str); 2] = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
type Headers = &'static [(&'static str, &'static str)];
const LINES: [(&str, &str); 2] =
    [("Authorization", "bearer t0ken"), ("Content-Type", "Application/X-NDJSON; charset=utf-8")];

async fn send(exporter: &Exporter, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> (u16, serde_json::Value) {
    let (status, text) = post(exporter.address, "/api/v1/messages", headers, body.into()).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

fn registered(received: usize, new: usize) -> serde_json::Value {
    serde_json::json!({ "received": received, "new": new, "too_old": 0 })
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(text.as_bytes()).unwrap();
    zipped.finish().unwrap()
}

/// An exporter with two apps that take messages and two that do not.
async fn exporter(scene: &Scene) -> Exporter {
    let text = scene.text("messages: {ids: [5]}")
        + "  - {app: second, app_key: key2, master_secret: m4ster, base_url: 'http://127.0.0.1:1'}\n"
        + "  - {app: quiet, app_key: key3, master_secret: m4ster, delivery: none}\n"
        + "getui:\n  - {app: tasks, base_url: 'http://127.0.0.1:1/v2', app_id: a1, app_key: k, master_secret: s, delivery: push_task}\n"
        + "easemob:\n  - {app: chat, base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: s}\n";
    scene.start_with(&text).await
}

#[tokio::test(start_paused = true)]
async fn what_is_taken() {
    let scene = Scene::new().await;
    let exporter = exporter(&scene).await;
    for (headers, body, received, new) in [
        (&JSON, r#"{"app":"shop","msg_id":"1"}"#, 1, 1),
        (&JSON, r#"[{"app":"shop","msg_id":1},{"app":"shop","msg_id":2},{"msg_id":"2","app":"second"}]"#, 3, 2),
        (&JSON, "[]", 0, 0),
        (&JSON, r#"[{"app":"shop","msg_id":"3"},{"app":"shop","msg_id":"0003"},{"app":"shop","msg_id":3}]"#, 3, 1),
        (&JSON, r#" {"app":"shop","msg_id":18446744073709551615,"sent_at":1773104400,"sendno":"7"} "#, 1, 1),
        (&JSON, r#"{"app":"shop","msg_id":"5"}"#, 1, 0),
        // A little later than now is now.
        (&JSON, r#"{"app":"shop","msg_id":"6","sent_at":"2026-03-10T09:59:00+08:00"}"#, 1, 1),
        (&JSON, r#"{"app":"shop","msg_id":"8","sent_at":null}"#, 1, 1),
        (
            &LINES,
            "{\"app\":\"shop\",\"msg_id\":\"10\"}\n\n{\"app\":\"shop\",\"msg_id\":11,\"sent_at\":1773104400.5}\r\n{\"app\":\"shop\",\"msg_id\":12}",
            3,
            3,
        ),
        (&LINES, "", 0, 0),
        // As log shippers send them: a mark of the byte order, several in a line.
        (&JSON, "\u{feff}{\"app\":\"shop\",\"msg_id\":\"5\"}", 1, 0),
        (
            &LINES,
            "\u{feff}[{\"app\":\"shop\",\"msg_id\":10},{\"app\":\"shop\",\"msg_id\":11}]\n{\"app\":\"shop\",\"msg_id\":12}\n",
            3,
            0,
        ),
    ] {
        assert_eq!(send(&exporter, headers, body).await, (200, registered(received, new)), "{body}");
    }
    // Longer ago than the report keeps them, in seconds and in milliseconds.
    for sent_at in ["1768035600", "1768035600000", "\"2026-01-10T09:00:00Z\""] {
        let body = format!(r#"[{{"app":"shop","msg_id":7,"sent_at":{sent_at}}},{{"app":"shop","msg_id":5}}]"#);
        let expected = serde_json::json!({ "received": 2, "new": 0, "too_old": 1 });
        assert_eq!(send(&exporter, &JSON, body).await, (200, expected), "{sent_at}");
    }
    let zipped = gzip(r#"{"app":"shop","msg_id":5}"#);
    for encoding in ["gzip", "X-GZIP", " gzip "] {
        let headers = [JSON[0], JSON[1], ("content-encoding", encoding)];
        assert_eq!(send(&exporter, &headers, zipped.clone()).await, (200, registered(1, 0)), "{encoding}");
    }
    minutes(0.01).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page).0 + tracked(&page).1, 10.0);
    let source = |name: &str| page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="{name}"}}"#));
    assert_eq!((source("config"), source("api")), (Some(1.0), Some(9.0)));
    assert_eq!(page.get(&format!("push_newest_message_timestamp_seconds{{{OWNER}}}")), Some(scene.now() as f64));
    exporter.stop().await;
}

/// One line behind any push call: `… | curl -H 'Authorization: Bearer t0ken' -d @- '…/api/v1/messages?app=shop'`.
#[tokio::test(start_paused = true)]
async fn what_a_push_call_was_answered_is_taken_as_it_is() {
    let scene = Scene::new().await;
    let exporter = exporter(&scene).await;
    let curl = [JSON[0], ("content-type", "application/x-www-form-urlencoded")];
    let send = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let (status, text) = post(exporter.address, path, headers, body.into()).await;
        (status, serde_json::from_str::<serde_json::Value>(&text).unwrap())
    };
    let shop = "/api/v1/messages?app=shop";
    for (headers, body, received, new) in [
        // As JPush answers, as curl sends it, and again.
        (&curl, r#"{"sendno":"0","msg_id":"18100287008546331"}"#, 1, 1),
        (&JSON, r#"{"sendno":"0","msg_id":"18100287008546331"}"#, 1, 0),
        // Two lines of a file, of which `curl -d` removes the line ends.
        (&curl, r#"{"sendno":"1","msg_id":"21"}{"sendno":"2","msg_id":"22","more":[1]}"#, 2, 2),
        (&LINES, "{\"msg_id\":23}\n{\"msg_id\":24,\"sent_at\":1773104400}\n", 2, 2),
        (&JSON, r#"[{"msg_id":25},{"msg_id":26,"app":"second"}]"#, 2, 2),
        // Several pushes in one call, of which one was refused.
        (&JSON, r#"{"a":{"msg_id":"31"},"b":{"error":{"code":1011,"message":"x"}},"c":{"msg_id":"32"}}"#, 2, 2),
        (&curl, "", 0, 0),
    ] {
        assert_eq!(send(shop, headers, body).await, (200, registered(received, new)), "{body}");
    }
    // As Getui answers, for tasks and for tasks with their receivers.
    let tasks = "/api/v1/messages?app=tasks";
    for (body, received, new) in [
        (r#"{"code":0,"msg":"success","data":{"taskid":"RASL_1128_a1"}}"#, 1, 1),
        (
            r#"{"code":0,"data":{"RASL_1128_a1":{"c1":"successed_online"},"RASL_1128_b2":{"c2":"successed_ignore"}}}"#,
            2,
            1,
        ),
    ] {
        assert_eq!(send(tasks, &curl, body).await, (200, registered(received, new)), "{body}");
    }
    for (path, headers, body, status, reason) in [
        (tasks, &curl, r#"{"code":20001,"msg":"target user is invalid"}"#, 400, "did not accept the push"),
        (tasks, &curl, r#"{"code":0,"data":{"taskid":"no id"}}"#, 400, "msg_id must be a taskid of Getui"),
        (shop, &curl, r#"{"code":0,"data":{"taskid":"RASL_1128_a1"}}"#, 400, "did not accept the push"),
        (shop, &curl, r#"{"error":{"code":1011,"message":"cannot find user"}}"#, 400, "did not accept the push"),
        (shop, &JSON, r#"[{"msg_id":1},{"msg_id":2,"sentat":5}]"#, 400, "unknown field `sentat`"),
        (shop, &JSON, r#"{"sendno":"0","msg_id":"x7"}"#, 400, "msg_id must be digits"),
        ("/api/v1/messages?app=nobody", &JSON, r#"{"msg_id":1}"#, 400, "nobody"),
        ("/api/v1/messages?app=chat", &JSON, r#"{"msg_id":1}"#, 400, "takes no messages"),
        ("/api/v1/messages?app=", &JSON, r#"{"msg_id":1}"#, 400, "names no app"),
        ("/api/v1/messages?app=shop&app=second", &JSON, r#"{"msg_id":1}"#, 400, "more than one"),
        ("/api/v1/messages", &curl, r#"{"app":"shop","msg_id":1}"#, 415, "Content-Type"),
        ("/api/v1/messages", &JSON, r#"{"msg_id":1}"#, 400, "?app=NAME"),
    ] {
        let (found, answer) = send(path, headers, body).await;
        let told = answer["error"].as_str().unwrap();
        assert_eq!((found, told.contains(reason)), (status, true), "{path} {body}: {told}");
    }
    let (_, answer) = send(shop, &JSON, r#"[{"msg_id":91},{"msg_id":92},{"msg_id":"no id"}]"#).await;
    assert_eq!(answer["index"], 2);
    minutes(0.01).await;
    let page = exporter.scrape().await;
    let api = |app: &str| {
        page.get(&format!(r#"push_messages_registered_total{{provider="jpush",app="{app}",source="api"}}"#))
    };
    assert_eq!((api("shop"), api("second")), (Some(8.0), Some(1.0)), "nothing of what was refused");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_and_leaves_nothing() {
    let scene = Scene::new().await;
    let exporter = exporter(&scene).await;
    let good = r#"{"app":"shop","msg_id":"100"}"#;
    const ZSTD: Headers = &[JSON[0], JSON[1], ("content-encoding", "zstd")];
    const DEFLATE: Headers = &[JSON[0], JSON[1], ("content-encoding", "deflate")];
    const GZIP: Headers = &[JSON[0], JSON[1], ("content-encoding", "gzip")];
    const TWICE: Headers = &[JSON[0], JSON[1], ("content-encoding", "gzip, gzip")];
    let timed = |sent_at: &str| format!(r#"[{good},{{"app":"shop","msg_id":"1","sent_at":{sent_at}}}]"#);
    let cases = [
        (&JSON as Headers, timed("0"), 400, Some(1), "sent_at lies before 2010"),
        (&JSON, timed(r#""0001-01-01T00:00:00Z""#), 400, Some(1), "sent_at lies before 2010"),
        (&JSON, timed("1773108060"), 400, Some(1), "more than an hour ahead of the exporter's clock"),
        (
            &JSON,
            timed("1773108060000"),
            400,
            Some(1),
            "more than an hour ahead of the exporter's clock (2026-03-10T01:0",
        ),
        (&JSON, timed("1773104400000000"), 400, Some(1), "more than an hour ahead"),
        (&JSON, r#"{"app":"shop","msg_id":"1","sentAt":1773104400}"#.into(), 400, Some(0), "unknown field `sentAt`"),
        (&LINES, format!("{good}\n{{\"app\":\"shop\",\"msg_id\":1,\"x\":1}}"), 400, Some(1), "unknown field `x`"),
        (&LINES, format!("[{good},{good}]\n[{good},7]"), 400, Some(3), "invalid type"),
        (ZSTD, good.into(), 415, None, "Content-Encoding \"zstd\" is not supported; send gzip"),
        (DEFLATE, good.into(), 415, None, "send gzip, or omit the header"),
        (TWICE, good.into(), 415, None, "send gzip, or omit the header"),
        (GZIP, good.into(), 400, None, "the body is not gzip"),
        (&JSON, "".into(), 400, Some(0), "EOF"),
        (&JSON, "nonsense".into(), 400, Some(0), "expected"),
        (&JSON, "7".into(), 400, Some(0), "expected an object with app and msg_id, or an array"),
        (&JSON, format!("[{good},7]"), 400, Some(1), "invalid type"),
        (&JSON, format!("[{good},{good}"), 400, Some(2), "EOF"),
        (&JSON, format!("{good}{good}"), 400, None, "trailing"),
        (&JSON, format!(r#"[{good},{{"app":"shop"}}]"#), 400, Some(1), "missing field `msg_id`"),
        (&JSON, format!(r#"[{good},{{"msg_id":"1"}}]"#), 400, Some(1), "missing field `app`"),
        (&JSON, r#"{"app":"shop","msg_id":"1a"}"#.into(), 400, Some(0), "digits that fit 64 bits"),
        (&JSON, r#"{"app":"shop","msg_id":""}"#.into(), 400, Some(0), "digits that fit 64 bits"),
        (&JSON, r#"{"app":"shop","msg_id":-1}"#.into(), 400, Some(0), "string or an unsigned 64-bit number"),
        (&JSON, r#"{"app":"shop","msg_id":1.5}"#.into(), 400, Some(0), "string or an unsigned 64-bit number"),
        (&JSON, r#"{"app":"shop","msg_id":18446744073709551616}"#.into(), 400, Some(0), "64-bit"),
        (
            &JSON,
            format!(r#"[{good},{good},{{"app":"shopp","msg_id":"1"}}]"#),
            400,
            Some(2),
            "no app \"shopp\" is configured",
        ),
        (&JSON, r#"{"app":"chat","msg_id":"1"}"#.into(), 400, Some(0), "takes no messages"),
        (&JSON, r#"{"app":"quiet","msg_id":"1"}"#.into(), 400, Some(0), "takes no messages"),
        (&JSON, r#"{"app":"shop","msg_id":"1","sent_at":"yesterday"}"#.into(), 400, Some(0), "sent_at"),
        (&LINES, format!("{good}\n{good}\n{{\"app\"\n"), 400, Some(2), "EOF"),
        (&[("content-type", "application/json")], good.into(), 401, None, "token"),
        (&[("authorization", "Bearer t0keN"), ("content-type", "application/json")], good.into(), 401, None, "token"),
        (&[("authorization", "Basic t0ken"), ("content-type", "application/json")], good.into(), 401, None, "token"),
        (&[("authorization", "Bearer t0ken"), ("content-type", "text/plain")], good.into(), 415, None, "Content-Type"),
        (&[("authorization", "Bearer t0ken")], good.into(), 415, None, "Content-Type"),
    ];
    for (headers, body, status, index, error) in cases {
        let (got, answer) = send(&exporter, headers, body.clone()).await;
        assert_eq!(got, status, "{body}: {answer}");
        assert!(index.is_none() || answer["index"] == index.unwrap(), "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(error), "{body}: {answer}");
    }
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page).0 + tracked(&page).1, 1.0, "all or nothing: only the one of the configuration");
    assert_eq!(page.get(r#"push_exporter_http_requests_total{code="401",handler="messages"}"#), Some(3.0));
    let (status, _) = exporter.get("/api/v1/messages").await;
    assert_eq!(status, 405);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn senders_that_are_refused_are_told_of() {
    let log = Log::capture();
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    let told = || log.take_lines("messages of a sender are refused");
    for _ in 0..3 {
        assert_eq!(send(&exporter, &JSON, r#"{"app":"shopp","msg_id":1}"#).await.0, 400);
    }
    let lines = told();
    assert!(lines.len() == 1 && lines[0].contains("127.0.0.1") && lines[0].contains("status=400"), "{lines:?}");
    assert!(lines[0].contains(r#"no app \"shopp\" is configured"#) && lines[0].contains("count=1"), "{lines:?}");
    assert_eq!(send(&exporter, &[JSON[1]], r#"{"app":"shop","msg_id":1}"#).await.0, 401);
    assert_eq!(told().len(), 1, "another kind of error");
    minutes(61.0).await;
    assert_eq!(send(&exporter, &JSON, "x").await.0, 400);
    let lines = told();
    assert!(lines.len() == 1 && lines[0].contains("count=3"), "three since the last line: {lines:?}");
    let status: serde_json::Value = serde_json::from_str(&exporter.get("/api/v1/status").await.1).unwrap();
    let shown = |index: usize| (&status["senders"][index]["status"], &status["senders"][index]["count"]);
    assert_eq!((shown(0), shown(1)), ((&400.into(), &4.into()), (&401.into(), &1.into())));
    let html = exporter.get("/").await.1;
    assert!(html.contains("Refused senders") && html.contains("4 requests with 400"), "{html}");
    minutes(1441.0).await;
    assert!(!exporter.get("/").await.1.contains("Refused senders"));
    exporter.stop().await;
    // The API may be off.
    let text = scene.text("").replace("message_api: {token: t0ken}\n", "");
    let exporter = scene.start_with(&text).await;
    assert_eq!(post(exporter.address, "/api/v1/messages", &JSON, Vec::new()).await.0, 404);
    assert!(told()[0].contains("The message API is off"));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limits_of_size_and_number() {
    let scene = Scene::new().await;
    let exporter = exporter(&scene).await;
    let ids = |count: u64, end: &str| -> Vec<String> {
        (1..=count).map(|id| format!(r#"{{"app":"shop","msg_id":{}}}{end}"#, 1000 + id)).collect()
    };
    let array = |count| format!("[{}]", ids(count, "").join(","));
    assert_eq!(send(&exporter, &JSON, array(10_001)).await.0, 413);
    assert_eq!(send(&exporter, &LINES, ids(10_001, "\n").concat()).await.0, 413);
    let padded = format!(r#"{{"app":"shop","msg_id":1}}{}"#, " ".repeat(1024 * 1024));
    assert_eq!(send(&exporter, &JSON, padded.clone()).await.0, 413);
    assert_eq!(send(&exporter, &[JSON[0], JSON[1], ("content-encoding", "gzip")], gzip(&padded)).await.0, 413);
    assert_eq!(send(&exporter, &JSON, array(10_000)).await, (200, registered(10_000, 10_000)));
    assert_eq!(send(&exporter, &LINES, ids(10_000, "\n").concat()).await, (200, registered(10_000, 0)));
    // Without a length, and without an end.
    let mut stream = tokio::net::TcpStream::connect(exporter.address).await.unwrap();
    let head = "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    // A body that does not come.
    let mut stream = tokio::net::TcpStream::connect(exporter.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let started = tokio::time::Instant::now();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    assert!(started.elapsed() < Duration::from_secs(30));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_off_without_a_token_and_reads_it_anew() {
    let scene = Scene::new().await;
    let body = r#"{"app":"shop","msg_id":"1"}"#;
    let text = scene.text("");
    let exporter = scene.start_with(text.split_once('\n').unwrap().1).await;
    assert_eq!(post(exporter.address, "/api/v1/messages", &JSON, body.into()).await.0, 404);
    assert_eq!(exporter.get("/api/v1/messages").await.0, 404);
    exporter.stop().await;

    let file = scene.folder.path().join("token");
    std::fs::write(&file, "t0ken\n").unwrap();
    let exporter = scene.start_with(&text.replace("token: t0ken", "token_file: token")).await;
    assert_eq!(send(&exporter, &JSON, body).await, (200, registered(1, 1)));
    std::fs::write(&file, "new").unwrap();
    // Files of secrets are looked at once a second.
    minutes(0.1).await;
    assert_eq!(send(&exporter, &JSON, body).await.0, 401);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_it_says_so() {
    let scene = Scene::new().await;
    let exporter = exporter(&scene).await;
    minutes(0.1).await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let away = scene.folder.path().join("away");
    std::fs::rename(&ledger, &away).unwrap();
    let (status, answer) = send(&exporter, &JSON, r#"{"app":"shop","msg_id":"1"}"#).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("send it again"), "{answer}");
    std::fs::rename(&away, &ledger).unwrap();
    minutes(1.0).await;
    assert_eq!(send(&exporter, &JSON, r#"{"app":"shop","msg_id":"1"}"#).await, (200, registered(1, 1)));
    exporter.stop().await;
}
