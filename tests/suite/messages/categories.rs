//! Categories tell campaigns apart: a label of all delivery series of a message, fixed when it is first registered.

use crate::support::jpush_script::{OWNER, Scene};
use crate::support::{Exporter, Page, minutes, post};

async fn register(exporter: &Exporter, body: &str) -> (u16, String) {
    let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/x-ndjson")];
    post(exporter.address, "/api/v1/messages?app=shop", &headers, body.as_bytes().to_vec()).await
}

/// The counter of what arrived by JPush's own channel, of a category if it is given.
fn received(page: &Page, category: Option<&str>) -> Option<f64> {
    let category = category.map_or_else(String::new, |category| format!(r#",category="{category}""#));
    page.get(&format!(r#"push_messages_received_total{{{OWNER},platform="any",channel="jpush",kind="any"{category}}}"#))
}

#[tokio::test(start_paused = true)]
async fn a_message_keeps_the_category_of_its_first_registration() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("ids.log");
    std::fs::write(&file, "{\"msg_id\":\"5\",\"category\":\"news\"}\n{\"msg_id\":\"6\",\"category\":\"No\"}\n")
        .unwrap();
    let more = "messages: {files: [ids.log]}";
    let exporter = scene.start(more).await;
    for id in 1..=5_i64 {
        scene.say(id as u64, &format!(r#""jpush_received":{}"#, 10_i64.pow(id as u32)));
    }
    let lines = "{\"msg_id\":\"1\"}\n{\"msg_id\":\"2\",\"category\":\"news\"}\n{\"msg_id\":3,\"category\":\"sale_2026\"}\n{\"msg_id\":\"4\",\"category\":\"sale_2026\"}";
    let (status, answer) = register(&exporter, lines).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"received":4,"new":4,"too_old":0}"#));
    // Another one later changes nothing.
    let (_, answer) = register(
        &exporter,
        "{\"msg_id\":\"1\",\"category\":\"sale_2026\"}\n{\"msg_id\":\"2\",\"category\":\"other_news\"}",
    )
    .await;
    assert_eq!(answer, r#"{"received":2,"new":0,"too_old":0}"#);
    for (category, said) in [
        (r#""Sale""#, "category must be 1 to 32 of a-z, 0-9 and _"),
        (r#""""#, "category must be"),
        (&format!("\"{}\"", "x".repeat(33)), "category must be"),
        ("7", "category must be a string"),
    ] {
        let (status, answer) = register(&exporter, &format!(r#"{{"msg_id":"9","category":{category}}}"#)).await;
        assert!(status == 400 && answer.contains(said) && answer.contains("\"index\":0"), "{answer}");
    }
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!(received(&page, Some("news")), Some(0.0), "a new series shows 0 first");
    minutes(5.0).await;
    let totals = |page: &Page| [None, Some("news"), Some("sale_2026")].map(|category| received(page, category));
    let expected = [Some(10.0), Some(100.0 + 100_000.0), Some(1_000.0 + 10_000.0)];
    let page = exporter.scrape().await;
    assert_eq!(totals(&page), expected);
    assert_eq!(received(&page, Some("other_news")), None);
    let bad_lines = page.get(&format!("push_message_file_bad_lines_total{{{OWNER}}}"));
    assert!(bad_lines.is_none_or(|bad| bad == 1.0), "{bad_lines:?}");
    exporter.stop().await;

    let exporter = scene.start(more).await;
    assert_eq!(totals(&exporter.scrape().await), expected);
    scene.say(3, r#""jpush_received":1007"#);
    minutes(20.0).await;
    assert_eq!(received(&exporter.scrape().await, Some("sale_2026")), Some(11_007.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn categories_beyond_the_twentieth_are_counted_together() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    let line = |id: u64, category: &str| format!("{{\"msg_id\":\"{id}\",\"category\":\"{category}\"}}\n");
    for id in 1..=25 {
        scene.say(id, r#""jpush_received":1"#);
    }
    // 25 different ones in one request and a restart between: 20 are kept, of the rest a known one still counts by itself.
    let first: String = (1..=15).map(|id| line(id, &format!("c{id}"))).collect();
    assert_eq!(register(&exporter, &first).await.0, 200);
    exporter.stop().await;
    let exporter = scene.start("").await;
    let second: String = (16..=24).map(|id| line(id, &format!("c{id}"))).collect();
    assert_eq!(register(&exporter, &(second + &line(25, "c3"))).await.0, 200);
    minutes(6.0).await;
    let page = exporter.scrape().await;
    let counted = |category: &str| received(&page, Some(category));
    assert_eq!((counted("c1"), counted("c20"), counted("c21")), (Some(1.0), Some(1.0), None));
    assert_eq!((counted("c3"), counted("other")), (Some(2.0), Some(4.0)));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_gives_a_category_to_what_the_provider_brought_first() {
    let scene = Scene::new().await;
    let exporter = scene.start("callback_token: c4llback").await;
    for id in 1..=3 {
        scene.say(id, r#""jpush_received":10"#);
    }
    // The callback of a push arrives before its sender has registered it.
    let (status, _) =
        post(exporter.address, "/callback/jpush/shop?token=c4llback", &[], br#"[{"msg_id":1},{"msg_id":2}]"#.to_vec())
            .await;
    assert_eq!(status, 200);
    register(&exporter, r#"{"msg_id":"3"}"#).await;
    let lines = "{\"msg_id\":\"1\",\"category\":\"sale\"}\n{\"msg_id\":\"3\",\"category\":\"sale\"}";
    let (_, answer) = register(&exporter, lines).await;
    assert_eq!(answer, r#"{"received":2,"new":0,"too_old":0}"#);
    // It is fixed then.
    register(&exporter, r#"{"msg_id":"1","category":"news"}"#).await;
    minutes(5.0).await;
    let counted = |page: &Page| [None, Some("sale"), Some("news")].map(|category| received(page, category));
    // 2 has none yet, and 3 was registered by a sender without one.
    assert_eq!(counted(&exporter.scrape().await), [Some(20.0), Some(10.0), None]);
    // A message that has a number keeps its series.
    register(&exporter, r#"{"msg_id":"2","category":"sale"}"#).await;
    scene.say(2, r#""jpush_received":15"#);
    minutes(10.0).await;
    assert_eq!(counted(&exporter.scrape().await), [Some(25.0), Some(10.0), None]);
    exporter.stop().await;
}
