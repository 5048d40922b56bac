//! How messages are polled and counted, against a JPush whose answers are set by hand: baseline, shapes,
//! bad ids, full calls, the first ten minutes, the newest ones, reports that change.

use std::sync::Arc;
use std::time::Duration;

use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Reqwest, Transport, Way};
use push_exporter::util::future::BoxFuture;

use crate::support::jpush_script::{OWNER, Scene, delivery, received, register, tracked};
use crate::support::{Exporter, Log, days, minutes, sqlite};

fn rejected(page: &crate::support::Page) -> f64 {
    page.get(&format!("push_rejected_messages_total{{{OWNER}}}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_is_remembered_and_not_counted() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    let now = scene.now();
    // 1 was sent two hours before the ledger knew the app, 2 half an hour before, 3 now; 4 was sent long
    // before and has no numbers yet.
    scene.say(1, r#""jpush_received":100"#);
    scene.say(2, r#""jpush_received":20"#);
    scene.say(3, r#""jpush_received":3"#);
    let old = now - 7200;
    assert_eq!(register(&exporter, &[(1, Some(old)), (2, Some(now - 1800)), (3, None), (4, Some(old))]).await, 4);
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(0.0), "a new series shows 0 first");
    assert_eq!(tracked(&page), (1.0, 3.0));
    minutes(2.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(23.0));

    // What grows counts, a field that was not there at the baseline from 0; and 4 has its baseline now.
    scene.say(1, r#""jpush_received":101,"ios_apns_received":7"#);
    scene.say(4, r#""jpush_received":4000"#);
    minutes(40.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(24.0));
    assert_eq!(received(&page, "ios", "apns", "notification"), Some(7.0));
    assert_eq!(tracked(&page), (0.0, 4.0));
    scene.say(4, r#""jpush_received":4005"#);
    minutes(40.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(29.0));

    // Downtime is no first start: the day that was missed is caught up.
    exporter.stop().await;
    scene.say(3, r#""jpush_received":503"#);
    days(1.0).await;
    let exporter = scene.start("").await;
    minutes(1.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(529.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn falling_and_vanishing_numbers_keep_their_count() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":100,"android_pns_received":50"#);
    register(&exporter, &[(1, None)]).await;
    minutes(3.0).await;
    for (fields, restated) in [
        (r#""jpush_received":90,"android_pns_received":50"#, 10.0),
        (r#""jpush_received":95,"android_pns_received":null"#, 10.0),
        (r#""jpush_received":80"#, 20.0),
    ] {
        scene.say(1, fields);
        minutes(1.1).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(100.0));
        assert_eq!(received(&page, "android", "vendor", "any"), Some(50.0));
        let labels = format!(r#"{OWNER},report="received_detail",metric="received""#);
        assert_eq!(page.get(&format!("push_messages_restated_total{{{labels}}}")), Some(restated));
    }
    scene.script.items.lock().unwrap().clear();
    minutes(5.0).await;
    scene.say(1, r#""jpush_received":120"#);
    minutes(5.1).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(120.0));
    assert_eq!(received(&page, "android", "vendor", "any"), Some(50.0));
    assert_eq!(tracked(&page), (0.0, 1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_changes_shape_is_counted_once() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    let details = |target: i64| {
        format!(
            r#""details":{{"notification":{{"target":{target},"sub_android":{{"huawei":{{"target":{target}}}}}}}}}"#
        )
    };
    let older = |target: i64| format!(r#""android_pns":{{"pns_target":{target},"hw_detail":{{"target":{target}}}}}"#);
    scene.say(1, &older(10));
    scene.say(2, &details(200));
    scene.say(3, r#""details":{"notification":{"target":3000}}"#);
    // The third is older than ten minutes, from when on totals without parts count.
    register(&exporter, &[(1, None), (2, None), (3, Some(scene.now() - 700))]).await;
    minutes(7.0).await;
    let page = exporter.scrape().await;
    let huawei = |page: &crate::support::Page, kind| delivery(page, "targeted", "android", "huawei", kind);
    assert_eq!((huawei(&page, "any"), huawei(&page, "notification")), (Some(10.0), Some(200.0)));
    assert_eq!(delivery(&page, "targeted", "any", "any", "notification"), Some(3000.0));

    // Answers without any of them change nothing.
    scene.script.items.lock().unwrap().clear();
    minutes(6.0).await;

    // Each in the other shape, then in both; over a restart too.
    scene.say(1, &details(11));
    scene.say(2, &older(201));
    scene.say(3, r#""details":{"notification":{"target":3001,"sub_android":{"huawei":{"target":3001}}}}"#);
    minutes(6.0).await;
    let page = exporter.scrape().await;
    assert_eq!((huawei(&page, "any"), huawei(&page, "notification")), (Some(10.0), Some(200.0)));
    assert_eq!(delivery(&page, "targeted", "any", "any", "notification"), Some(3001.0));
    exporter.stop().await;
    let exporter = scene.start("delivery: messages_detail").await;
    scene.say(1, &format!("{},{}", details(12), older(12)));
    scene.say(2, &format!("{},{}", details(202), older(202)));
    minutes(6.0).await;
    let page = exporter.scrape().await;
    assert_eq!((huawei(&page, "any"), huawei(&page, "notification")), (Some(12.0), Some(202.0)));
    assert_eq!(page.starting(&["push_messages_targeted_total"]).values().sum::<i64>(), 12 + 202 + 3001);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_id_is_found_and_set_aside() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    for id in 1..=60 {
        scene.say(id, r#""jpush_received":1"#);
    }
    scene.script.refused.lock().unwrap().insert(37);
    let all: Vec<_> = (1..=60).map(|id| (id, None)).collect();
    assert_eq!(register(&exporter, &all).await, 60);
    minutes(0.5).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (0.0, (30.0, 30.0)), "one half of the call passes");
    let failing = format!(r#"push_poll_failing{{{OWNER},report="received_detail",reason="bad_request",scope="part"}}"#);
    assert_eq!(page.get(&failing), Some(1.0));
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="received_detail"}}"#)), Some(0.0));
    assert_eq!(scene.calls().len(), 3, "two more than the call itself");
    minutes(8.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (1.0, (0.0, 59.0)));
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="received_detail"}}"#)), Some(1.0));
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    assert_eq!(received(&page, "any", "jpush", "any"), Some(59.0));
    let calls = scene.calls();
    assert_eq!(calls.iter().filter(|ids| **ids == [37]).count(), 3, "three polls refused it alone");
    // It is asked for once a day, and not with others.
    days(3.0).await;
    let later = scene.calls().split_off(calls.len());
    assert_eq!(later.iter().filter(|ids| ids.contains(&37)).collect::<Vec<_>>(), [&[37]; 3]);
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!(r#"push_up{{{OWNER},report="received_detail"}}"#)), Some(1.0));
    exporter.stop().await;

    // Over a restart too. Registered again, it is tracked again; what the provider had against it is over.
    let exporter = scene.start("").await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (1.0, (0.0, 59.0)));
    scene.script.refused.lock().unwrap().clear();
    assert_eq!(register(&exporter, &[(37, None)]).await, 1);
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(60.0), (0.0, 60.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_set_aside_comes_back_by_itself_when_it_is_answered() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":1"#);
    scene.say(2, r#""jpush_received":20"#);
    scene.script.refused.lock().unwrap().insert(2);
    register(&exporter, &[(1, None), (2, None)]).await;
    minutes(30.0).await;
    assert_eq!((rejected(&exporter.scrape().await), tracked(&exporter.scrape().await)), (1.0, (0.0, 1.0)));
    scene.script.refused.lock().unwrap().clear();
    days(1.1).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(21.0), (0.0, 2.0)));
    // One that is never answered ends with its time, 28 days less an hour.
    scene.script.refused.lock().unwrap().insert(2);
    days(28.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 0.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_refused_while_nothing_else_passes_is_not_set_aside() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.script.refused.lock().unwrap().extend([98, 99]);
    register(&exporter, &[(98, None), (99, None)]).await;
    minutes(600.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (0.0, (2.0, 0.0)));
    let failing = format!(r#"push_poll_failing{{{OWNER},report="received_detail",reason="bad_request"}}"#);
    assert_eq!(page.get(&failing), Some(1.0));
    // Another id passes: now it is known that these are to blame.
    scene.say(1, r#""jpush_received":1"#);
    register(&exporter, &[(1, None)]).await;
    minutes(120.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (2.0, (0.0, 1.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_always_refused_blames_no_id() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    *scene.script.failure.lock().unwrap() = Some((400, r#"{"error":{"code":3007,"message":"x"}}"#.to_owned()));
    for id in 1..=4 {
        scene.say(id, r#""jpush_received":1"#);
    }
    register(&exporter, &[(1, None), (2, None), (3, None), (4, None)]).await;
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (0.0, (4.0, 0.0)));
    let labels = format!(r#"{OWNER},report="received_detail""#);
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{labels},reason="bad_request"}}"#)), Some(1.0));
    // The due time stays where it was: the backlog is its age.
    let due = page.get(&format!("push_poll_due_timestamp_seconds{{{labels}}}")).unwrap();
    assert!((50..70).contains(&(scene.now() - due as i64)), "{due}");
    *scene.script.failure.lock().unwrap() = None;
    // Asked again after 5, 10, 20 and 40 s.
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(0.0), (0.0, 4.0)));
    minutes(2.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(4.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_lose_nothing_and_keep_others_going() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":5"#);
    register(&exporter, &[(1, None)]).await;
    minutes(3.0).await;
    let labels = format!(r#"{OWNER},report="received_detail""#);
    for (status, body, reason) in [
        (200, "", "decode"),
        (200, "{}", "decode"),
        (200, r#"[{"msg_id":"1","jpush_rec"#, "decode"),
        (502, "<html></html>", "server"),
        (401, r#"{"error":{"code":3001,"message":"Basic authentication failed"}}"#, "auth"),
        (403, r#"{"error":{"code":2003,"message":"x"}}"#, "forbidden"),
        (404, "", "not_found"),
        (429, r#"{"error":{"code":2002,"message":"Rate limit exceeded"}}"#, "rate_limited"),
    ] {
        *scene.script.failure.lock().unwrap() = Some((status, body.to_owned()));
        minutes(12.0).await;
        let page = exporter.scrape().await;
        assert_eq!(page.get(&format!(r#"push_poll_failing{{{labels},reason="{reason}"}}"#)), Some(1.0), "{body}");
        assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(0.0));
        assert_eq!(received(&page, "any", "jpush", "any"), Some(5.0));
    }
    // New ids are taken while it fails, and do not make it ask faster.
    let before = scene.calls().len();
    register(&exporter, &[(2, None)]).await;
    scene.say(2, r#""jpush_received":3"#);
    minutes(2.0).await;
    assert!(scene.calls().len() <= before + 3);
    *scene.script.failure.lock().unwrap() = None;
    minutes(12.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(1.0));
    assert_eq!(received(&page, "any", "jpush", "any"), Some(8.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_filled_with_what_is_nearly_due() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    // 250 messages in one request: three calls of 100, 100 and 50, again and again.
    let all: Vec<_> = (1..=250).map(|id| (id, None)).collect();
    register(&exporter, &all).await;
    minutes(1.5).await;
    let sizes: Vec<usize> = scene.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 100, 50, 100, 100, 50]);

    // Two messages whose minutes are 20 seconds apart share their calls from the second on.
    let scene = Scene::new().await;
    let exporter_of_two = scene.start("").await;
    register(&exporter_of_two, &[(1, None)]).await;
    minutes(20.0 / 60.0).await;
    register(&exporter_of_two, &[(2, None)]).await;
    minutes(5.0).await;
    let calls = scene.calls();
    assert_eq!(calls[..3], [vec![1], vec![2], vec![1, 2]]);
    assert!(calls[3..].iter().all(|ids| *ids == [1, 2]) && calls.len() <= 8, "{calls:?}");
    exporter.stop().await;
    exporter_of_two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_nobody_feeds_is_told_of() {
    let log = Log::capture();
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    let never = "no message was ever registered; have senders POST to /api/v1/messages";
    assert!(exporter.get("/").await.1.contains(never));
    assert_eq!(log.take_lines("this app has no source of message ids"), Vec::<String>::new(), "senders may come");
    register(&exporter, &[(1, None)]).await;
    assert!(!exporter.get("/").await.1.contains(never));
    exporter.stop().await;
    // Neither senders nor files nor ids.
    let text = scene.text("").replace("message_api: {token: t0ken}\n", "").replace("app: shop", "app: quiet");
    let exporter = scene.start_with(&text).await;
    assert!(exporter.get("/").await.1.contains(never));
    let told = log.take_lines("this app has no source of message ids");
    assert!(told.len() == 1 && told[0].contains("quiet") && told[0].contains("set message_api.token_file"), "{told:?}");
    exporter.stop().await;
    let exporter =
        scene.start_with(&text.replace("master_secret: m4ster", "master_secret: m4ster, delivery: none")).await;
    assert!(!exporter.get("/").await.1.contains(never), "it takes none");
    assert_eq!(log.take_lines("this app has no source of message ids"), Vec::<String>::new());
    exporter.stop().await;
}

/// A provider that takes half a second for each answer.
struct Slow(Reqwest);

impl Transport for Slow {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.0.send(request).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_asked_as_often_as_the_budget_allows() {
    let scene = Scene::new().await;
    // 20,000 messages every minute are 200 calls; one after the other they would take 100 s.
    let all: Vec<_> = (1..=10_000).map(|id| (id, None)).collect();
    let text = scene.text("interval: 1m");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let transport = Arc::new(Slow(Reqwest::new(Way::Direct, &[]).unwrap()));
    let exporter = Exporter::start_through(transport, &text, scene.folder.path(), &scene.clock).await;
    register(&exporter, &all).await;
    let more: Vec<_> = (10_001..=20_000).map(|id| (id, None)).collect();
    register(&exporter, &more).await;
    minutes(10.0).await;
    let calls = scene.calls().len();
    assert!((1800..=2300).contains(&calls), "{calls} calls in ten minutes");
    let due =
        exporter.scrape().await.get(&format!(r#"push_poll_due_timestamp_seconds{{{OWNER},report="received_detail"}}"#));
    assert!(due.unwrap() as i64 > scene.now() - 15, "no backlog");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_after_sending_is_read_once() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    let at_10m = |page: &crate::support::Page| {
        let android = |metric: &str| delivery(page, &format!("{metric}_at_10m"), "android", "vendor", "any");
        (android("sent"), android("received"))
    };
    scene.say(1, r#""android_pns_sent":100,"android_pns_received":60"#);
    scene.say(2, r#""android_pns_sent":1000,"android_pns_received":500"#);
    // 2 is registered when it is 25 minutes old: no poll with its age between 10 and 20.
    register(&exporter, &[(1, None), (2, Some(scene.now() - 1500))]).await;
    minutes(9.5).await;
    assert_eq!(at_10m(&exporter.scrape().await), (None, None));
    minutes(1.5).await;
    assert_eq!(at_10m(&exporter.scrape().await), (Some(0.0), Some(0.0)));
    scene.say(1, r#""android_pns_sent":100,"android_pns_received":90"#);
    minutes(20.0).await;
    assert_eq!(at_10m(&exporter.scrape().await), (Some(100.0), Some(60.0)), "as read once");
    exporter.stop().await;
    let exporter = scene.start("").await;
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert_eq!(at_10m(&page), (Some(100.0), Some(60.0)));
    assert_eq!(received(&page, "android", "vendor", "any"), Some(590.0));
    exporter.stop().await;
}

/// Undoes what the migrations to schema 7 and later did.
const WITHOUT_SCHEMA_7: &str = r#"
    DROP TABLE delivery_hour; DROP TABLE category; DROP TABLE id_source; ALTER TABLE message DROP COLUMN category;
    ALTER TABLE series RENAME COLUMN label_pairs TO labels;
    UPDATE series SET labels = CASE labels WHEN '[]' THEN '' ELSE
        replace(replace(substr(labels, 4, length(labels) - 5), '"],["', '",'), '","', '="') END;
    ALTER TABLE window_gauge_value RENAME COLUMN label_pairs TO labels;
    ALTER TABLE window_gauge_value RENAME COLUMN scope TO department;
    ALTER TABLE window_gauge RENAME COLUMN scope TO department;
    ALTER TABLE report RENAME COLUMN state TO memory;
    UPDATE report SET memory = json_extract(memory, '$.state') WHERE memory <> '';"#;

#[tokio::test(start_paused = true)]
async fn the_newest_messages_are_shown_one_by_one() {
    let scene = Scene::new().await;
    let more = "delivery: messages_detail, newest_messages: 2";
    let exporter = scene.start(more).await;
    for id in 1..=3 {
        let (display, click) = (3 * id, 5 * id);
        let counts = format!(r#"{{"target":{id}0,"received":{id},"display":{display},"click":{click}}}"#);
        scene.say(
            id,
            &format!(r#""details":{{"notification":{{"sub_android":{{"huawei":{counts},"oppo":{counts}}}}}}}"#),
        );
    }
    let now = scene.now();
    register(&exporter, &[(1, Some(now - 30)), (2, Some(now - 20))]).await;
    minutes(0.5).await;
    let newest = |page: &crate::support::Page| -> Vec<(String, i64)> {
        page.starting(&["push_newest_message_targeted", "push_newest_message_received", "push_newest_message_sent"])
            .into_iter()
            .collect()
    };
    let row = |metric: &str, id: u64, value: i64| {
        (format!(r#"push_newest_message_{metric}{{{OWNER},msg_id="{id}"}}"#), value)
    };
    let two = [row("received", 1, 2), row("received", 2, 4), row("targeted", 1, 20), row("targeted", 2, 40)];
    let page = exporter.scrape().await;
    assert_eq!(newest(&page), two);
    let seen = page.starting(&["push_newest_message_displayed", "push_newest_message_clicked"]);
    let expected = [row("clicked", 1, 10), row("clicked", 2, 20), row("displayed", 1, 6), row("displayed", 2, 12)];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    register(&exporter, &[(3, Some(now))]).await;
    minutes(0.5).await;
    let two = [row("received", 2, 4), row("received", 3, 6), row("targeted", 2, 40), row("targeted", 3, 60)];
    let page = exporter.scrape().await;
    assert_eq!(newest(&page), two);
    assert_eq!(page.get(&format!("push_newest_message_timestamp_seconds{{{OWNER}}}")), Some(now as f64));
    exporter.stop().await;
    // They are there at once after a restart.
    let exporter = scene.start(more).await;
    assert_eq!(newest(&exporter.scrape().await), two);
    exporter.stop().await;
    // As an earlier release has left them, and so that no more than two stay.
    let listed = |id: u64| {
        let sent = jiff::Timestamp::from_second(now - 20 + 20 * (id as i64 - 2)).unwrap();
        format!(r#"{{"id":"{id}","sent_at":"{sent}","values":[{id}0,null,{},null,null]}}"#, 2 * id)
    };
    let sql = format!(
        "DROP TABLE newest_message; DROP TABLE unknown_field; PRAGMA user_version = 5; {WITHOUT_SCHEMA_7} \
         UPDATE report SET memory = json_set(memory, '$.newest', json('[{},{}]')) WHERE report = 'messages_detail';",
        listed(3).replace("30,null,6", "60,null,6"),
        listed(2).replace("20,null,4", "40,null,4")
    );
    let ledger = scene.folder.path().join("push-exporter.db");
    sqlite(&ledger, &sql);
    // And they leave when they retire.
    let exporter = scene.start(more).await;
    assert_eq!(newest(&exporter.scrape().await), two);
    days(6.0).await;
    assert_eq!(newest(&exporter.scrape().await), []);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_delivery_changes_messages_with_a_number_stay_with_their_report() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: received_detail").await;
    let says = |received: i64| {
        format!(r#""jpush_received":{received},"details":{{"notification":{{"received":{received}}}}}"#)
    };
    scene.say(1, &says(10));
    // Older than ten minutes, from when on totals without parts count.
    let sent = Some(scene.now() - 700);
    register(&exporter, &[(1, sent), (2, sent)]).await;
    minutes(6.0).await;
    exporter.stop().await;

    let exporter = scene.start("delivery: messages_detail").await;
    scene.say(1, &says(11));
    scene.say(2, &says(200));
    scene.say(3, &says(3000));
    let before = scene.script.calls.lock().unwrap().len();
    register(&exporter, &[(3, sent), (1, sent)]).await;
    minutes(6.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(11.0), "the first stays with the report that counted it");
    assert_eq!(received(&page, "any", "any", "notification"), Some(3200.0));
    let calls = scene.script.calls.lock().unwrap()[before..].to_vec();
    let asked = |path: &str, id: u64| calls.iter().any(|(of, ids)| of == path && ids.contains(&id));
    let (old, new) = ("/v3/received/detail", "/v3/messages/detail");
    assert!(asked(old, 1) && !asked(old, 2) && !asked(old, 3));
    assert!(!asked(new, 1) && asked(new, 2) && asked(new, 3));
    // Back again: each stays where it is, and the old report goes when its last message has retired.
    exporter.stop().await;
    let exporter = scene.start("delivery: none").await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 3.0));
    days(27.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 1.0));
    days(1.5).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), (0.0, 0.0));
    assert_eq!(received(&page, "any", "jpush", "any"), Some(11.0));
    exporter.stop().await;
}

/// What is due goes by the schedule and the clock as they are now.
#[tokio::test(start_paused = true)]
async fn a_schedule_or_clock_that_changed_is_taken_up_at_a_restart() {
    let scene = Scene::new().await;
    let slow = "schedule: [{until: 2d, every: 6h}]";
    let exporter = scene.start(slow).await;
    register(&exporter, &[(1, None)]).await;
    minutes(10.0).await;
    assert_eq!(scene.calls().len(), 1);
    exporter.stop().await;
    // More often than before.
    let exporter = scene.start("schedule: [{until: 2d, every: 1m}]").await;
    minutes(3.5).await;
    assert_eq!(scene.calls().len(), 4, "at once, and every minute");
    exporter.stop().await;
    let exporter = scene.start(slow).await;
    minutes(30.0).await;
    let calls = scene.calls().len();
    exporter.stop().await;
    // Registered and asked for by a clock that was a day ahead.
    scene.clock.step(jiff::SignedDuration::from_hours(24));
    let exporter = scene.start(slow).await;
    register(&exporter, &[(2, None)]).await;
    minutes(1.0).await;
    exporter.stop().await;
    scene.clock.step(jiff::SignedDuration::from_hours(-24));
    let exporter = scene.start(slow).await;
    let asked = |calls: &[Vec<u64>]| calls.iter().filter(|call| call.contains(&2)).count();
    let before = asked(&scene.calls());
    minutes(6.0 * 60.0 + 5.0).await;
    let now = scene.calls();
    assert!(now.len() > calls && asked(&now) > before, "not a day later");
    exporter.stop().await;
}
