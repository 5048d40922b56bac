//! New series begin at 0, so that `increase()` sees their first events: also when the process ends meanwhile.

use crate::support::jpush_script::{Scene, received, register};
use crate::support::minutes;

#[tokio::test(start_paused = true)]
async fn a_hold_that_the_process_did_not_outlive_begins_again() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":7"#);
    register(&exporter, &[(1, None)]).await;
    minutes(0.5).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(0.0));
    exporter.stop().await;
    // Away for longer than the hold of two minutes.
    minutes(60.0).await;
    scene.say(1, r#""jpush_received":9"#);
    let exporter = scene.start("").await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(0.0));
    minutes(1.9).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(0.0));
    minutes(0.2).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(9.0));
    exporter.stop().await;
    // It has shown its total, and never shows less again.
    minutes(60.0).await;
    let exporter = scene.start("").await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(9.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_total_is_not_shown_while_the_ledger_cannot_note_it() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.say(1, r#""jpush_received":7"#);
    register(&exporter, &[(1, None)]).await;
    minutes(0.5).await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let away = scene.folder.path().join("away");
    std::fs::rename(&ledger, &away).unwrap();
    minutes(10.0).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(0.0));
    std::fs::rename(&away, &ledger).unwrap();
    minutes(0.5).await;
    assert_eq!(received(&exporter.scrape().await, "any", "jpush", "any"), Some(7.0));
    exporter.stop().await;
}
