//! Messages when something is in the way: senders that hang up, ledgers that are gone for a while,
//! providers that refuse everything, accounts that were wrong.

use tokio::io::AsyncWriteExt;

use crate::support::jpush_script::{OWNER, Scene, received, register, tracked};
use crate::support::{Log, Page, minutes, sqlite};

const REPORT: &str = r#"provider="jpush",app="shop",report="received_detail""#;

fn rejected(page: &Page) -> Option<f64> {
    page.get(&format!("push_rejected_messages_total{{{OWNER}}}"))
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_hangs_up_leaves_no_message_behind() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    minutes(0.1).await;
    for id in 1..=30 {
        let body = format!(r#"{{"app":"shop","msg_id":{id}}}"#);
        let mut stream = tokio::net::TcpStream::connect(exporter.address).await.unwrap();
        let request = format!(
            "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        if id % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(stream);
        // Nothing else is tracked: whoever took it must be asked for it.
        minutes(0.2).await;
        let is_known = register(&exporter, &[(id, None)]).await == 0;
        minutes(0.2).await;
        assert!(scene.calls().iter().any(|ids| ids.contains(&id)), "{id} was never asked for (known: {is_known})");
    }
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page).0, 30.0);
    assert_eq!(page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="api"}}"#)), Some(30.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_ledger_ends_for_reports_without_anything_due() {
    let scene = Scene::new().await;
    let text = scene.text("newest_messages: 1")
        + "  - {app: idle, app_key: key2, master_secret: m4ster, base_url: 'http://127.0.0.1:1'}\n";
    let exporter = scene.start_with(&text).await;
    scene.say(1, r#""android_pns_sent":1"#);
    register(&exporter, &[(1, None)]).await;
    minutes(200.0).await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let away = scene.folder.path().join("away");
    let idle = r#"provider="jpush",app="idle",report="received_detail""#;

    std::fs::rename(&ledger, &away).unwrap();
    // The next poll in half an hour fails on it, and a newer message is answered meanwhile.
    minutes(31.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get("push_exporter_ledger_up"), Some(0.0));
    for report in [REPORT, idle] {
        assert_eq!(page.get(&format!("push_up{{{report}}}")), Some(0.0), "{report}");
        assert_eq!(page.get(&format!(r#"push_poll_failing{{{report},reason="ledger"}}"#)), Some(1.0), "{report}");
    }
    std::fs::rename(&away, &ledger).unwrap();
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get("push_exporter_ledger_up"), Some(1.0));
    assert_eq!(page.starting(&["push_poll_failing"]).len(), 0);
    assert_eq!(page.get(&format!("push_up{{{idle}}}")), None, "absent before the first call");
    assert_eq!(page.get(&format!("push_up{{{REPORT}}}")), Some(1.0));
    assert_eq!(exporter.get("/-/ready").await.0, 200);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn newest_messages_do_not_stay_behind_a_failed_commit() {
    let scene = Scene::new().await;
    let exporter = scene.start("newest_messages: 1").await;
    for id in 1..=2 {
        scene.say(id, r#""android_pns_sent":1"#);
    }
    let now = scene.now();
    register(&exporter, &[(1, Some(now - 30))]).await;
    minutes(0.5).await;
    register(&exporter, &[(2, None)]).await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let away = scene.folder.path().join("away");
    // Gone between the question and the commit.
    let calls = scene.calls().len();
    *scene.script.on_call.lock().unwrap() = Some(Box::new({
        let (ledger, away) = (ledger.clone(), away.clone());
        move || std::fs::rename(&ledger, &away).unwrap()
    }));
    minutes(0.5).await;
    assert!(scene.calls().len() > calls && away.exists(), "it was asked and could not be written");
    std::fs::rename(&away, &ledger).unwrap();
    minutes(5.0).await;
    let newest = exporter.scrape().await.starting(&["push_newest_message_sent"]);
    assert_eq!(newest.into_keys().collect::<Vec<_>>(), [format!(r#"push_newest_message_sent{{{OWNER},msg_id="2"}}"#)]);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_changed_does_not_keep_it_from_being_ready() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    register(&exporter, &[(1, Some(scene.now() - 6 * 86_400))]).await;
    minutes(1.0).await;
    exporter.stop().await;
    let exporter = scene.start("schedule: [{until: 20d, every: 20h}]").await;
    minutes(1.0).await;
    assert_eq!(exporter.get("/-/ready").await, (200, "push-exporter is ready.\n".to_owned()));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_everything_loses_nothing_at_once() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    for id in 1..=10 {
        scene.say(id, r#""jpush_received":1"#);
    }
    let all: Vec<_> = (1..=10).map(|id| (id, None)).collect();
    for (status, body) in [(405, ""), (400, r#"{"error":{"code":3002,"message":"Invalid parameter 'msg_id'."}}"#)] {
        *scene.script.failure.lock().unwrap() = Some((status, body.to_owned()));
        register(&exporter, &all).await;
        minutes(35.0).await;
        let page = exporter.scrape().await;
        assert_eq!((rejected(&page), tracked(&page)), (Some(0.0), (10.0, 0.0)), "{status}");
        assert_eq!(page.get(&format!(r#"push_poll_failing{{{REPORT},reason="bad_request"}}"#)), Some(1.0));
    }
    *scene.script.failure.lock().unwrap() = None;
    minutes(15.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(10.0), (0.0, 10.0)));

    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_call_gets_past_does_not_hold_up_the_others() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    for id in 1..=60 {
        scene.say(id, r#""jpush_received":1"#);
    }
    scene.script.broken.lock().unwrap().insert(17);
    let all: Vec<_> = (1..=60).map(|id| (id, None)).collect();
    register(&exporter, &all).await;
    // Asked again in thirds: 60, 20, 7, 3, 1.
    minutes(6.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(59.0), (1.0, 59.0)));
    let failing = format!(r#"push_poll_failing{{{REPORT},reason="server",scope="part"}}"#);
    assert_eq!((page.get(&failing), page.get(&format!("push_up{{{REPORT}}}"))), (Some(1.0), Some(0.0)));
    for id in 1..=60 {
        scene.say(id, r#""jpush_received":2"#);
    }
    minutes(6.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(118.0));
    minutes(300.0).await;
    // And with it, calls are full again.
    scene.script.broken.lock().unwrap().clear();
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(120.0), (0.0, 60.0)));
    assert!(scene.calls().iter().rev().take(3).any(|ids| ids.len() > 50), "{:?}", scene.calls().last());
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_refusal_does_not_end_a_message_that_had_numbers() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":7"#);
    register(&exporter, &[(1, None)]).await;
    minutes(5.0).await;
    scene.script.refused.lock().unwrap().insert(1);
    minutes(15.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (Some(0.0), (0.0, 1.0)));
    assert_eq!(page.get(&format!(r#"push_poll_failing{{{REPORT},reason="bad_request"}}"#)), Some(1.0));
    scene.script.refused.lock().unwrap().clear();
    scene.say(1, r#""jpush_received":9"#);
    minutes(15.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(9.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_was_wrong_for_a_while_counts_nothing_twice() {
    let scene = Scene::new().await;
    let right = scene.text("messages: {ids: [1]}");
    let exporter = scene.start_with(&right).await;
    scene.say(1, r#""jpush_received":1000"#);
    scene.say(2, r#""jpush_received":20"#);
    register(&exporter, &[(2, None)]).await;
    minutes(10.0).await;
    exporter.stop().await;
    // Whatever the other account says of these ids is its baseline.
    scene.say(1, r#""jpush_received":5000"#);
    let exporter = scene.start_with(&right.replace("app_key: key", "app_key: typo")).await;
    assert_eq!(tracked(&exporter.scrape().await), (2.0, 0.0));
    minutes(10.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(1020.0));
    exporter.stop().await;
    // Right again: a new baseline, and from there on what grows.
    scene.say(1, r#""jpush_received":1001"#);
    let exporter = scene.start_with(&right).await;
    minutes(10.0).await;
    scene.say(1, r#""jpush_received":1003,"ios_apns_received":4"#);
    minutes(40.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(1022.0), (0.0, 2.0)));
    assert_eq!(received(&page, "ios", "apns", "notification"), Some(4.0));
    exporter.stop().await;
}

/// A watermark that cannot be read is the trouble of its message alone, which goes on from a new baseline.
#[tokio::test(start_paused = true)]
async fn an_unreadable_watermark_costs_its_message_alone_a_step() {
    let scene = Scene::new().await;
    let says = |id: u64, received: i64| scene.say(id, &format!(r#""jpush_received":{received}"#));
    let exporter = scene.start("").await;
    register(&exporter, &[(1, None), (2, None)]).await;
    says(1, 10);
    says(2, 10);
    minutes(4.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(20.0));
    exporter.stop().await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let sql = "UPDATE message SET watermark = x'00' WHERE subject = '1'";
    sqlite(&ledger, sql);
    says(1, 15);
    says(2, 16);
    let log = Log::capture();
    let exporter = scene.start("").await;
    minutes(3.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(26.0), "what message 1 had until now is not known");
    assert_eq!(page.get("push_exporter_ledger_errors_total"), Some(1.0));
    let told =
        log.take_lines("cannot read the stored state of this message or window; it continues from a new baseline");
    assert!(told.len() == 1 && told[0].contains(r#"subject="1""#), "{told:?}");
    says(1, 18);
    minutes(2.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, "any", "jpush", "any"), Some(29.0));
    assert_eq!(tracked(&page), (0.0, 2.0));
    exporter.stop().await;
}
