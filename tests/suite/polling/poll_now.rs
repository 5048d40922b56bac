//! Polls out of turn: what is failing is polled at once after a reload or by `POST /-/poll`, and nothing else is, unless
//! everything is asked for.

use std::time::Duration;

use push_exporter::util::clock::Clock;

use crate::support::jpush_script::{Scene, tracked};
use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Exporter, Page, fast_dir, post, simulate};
use crate::support::{minutes, window_scripts};

const REFUSED: &str = r#"{"error":"invalid_grant","error_description":"client_id or client_secret is wrong"}"#;
const NOTHING: &str = r#"{"status":"OK","data":{}}"#;

fn up(page: &Page, app: &str) -> Option<f64> {
    page.get(&format!(r#"push_up{{provider="easemob",app="{app}",report="offline_push"}}"#))
}

/// Asks for polls; status and answer.
async fn poll(exporter: &Exporter, query: &str) -> (u16, String) {
    let answered = post(exporter.address, &format!("/-/poll{query}"), &[], Vec::new()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    answered
}

#[tokio::test(start_paused = true)]
async fn what_is_failing_is_polled_at_once_when_somebody_says_so() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let (good, bad) = (simulate(ScriptedProvider::default()).await, simulate(ScriptedProvider::default()).await);
    good.0.say("/", 200, NOTHING);
    bad.0.say("/", 400, REFUSED);
    let folder = fast_dir();
    let app = |name: &str, address| {
        format!(
            "  - {{app: {name}, base_url: 'http://{address}', org_name: acme, app_name: {name}, app_token: token}}\n"
        )
    };
    let text = format!("easemob:\n{}{}", app("good", good.1), app("bad", bad.1));
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    // Long enough that polls of the failing one are 50 minutes apart.
    tokio::time::sleep(Duration::from_secs(4 * 3600 + 60)).await;
    let page = exporter.scrape().await;
    assert_eq!((up(&page, "good"), up(&page, "bad")), (Some(1.0), Some(0.0)));
    // The status page says at the top what fails, why, since when, and how to poll it now.
    let (_, status_page) = exporter.get("/").await;
    let top = status_page.split("<section").next().unwrap();
    assert!(top.contains("offline_push: auth for 4 h") && top.contains("/-/poll</code>"), "{top}");
    bad.0.say("/", 200, NOTHING);
    good.0.take();
    bad.0.take();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bad.0.take(), Vec::<String>::new(), "it keeps its distance");

    assert_eq!(exporter.get("/-/poll").await.0, 405);
    assert_eq!(poll(&exporter, "?app=nobody").await.0, 404);
    let (status, said) = poll(&exporter, "?ap=bad").await;
    assert_eq!((status, said.contains("provider=, app= and all")), (400, true), "{said}");
    let (status, said) = poll(&exporter, "?app=good").await;
    assert_eq!((status, said.starts_with("Nothing is failing")), (200, true), "{said}");
    assert_eq!(bad.0.take(), Vec::<String>::new());
    let good_requests = good.0.take().len();

    assert_eq!(poll(&exporter, "").await, (200, "1 report is polled now.\n".to_owned()));
    let page = exporter.scrape().await;
    assert_eq!(up(&page, "bad"), Some(1.0));
    assert_eq!((bad.0.take().len(), good.0.take().len()), (1, 0), "after {good_requests}");

    let (status, said) = poll(&exporter, "?all&provider=easemob").await;
    assert_eq!((status, said.as_str()), (200, "2 reports are polled now.\n"));
    assert_eq!((bad.0.take().len(), good.0.take().len()), (1, 1));
    let other_provider = poll(&exporter, "?all=true&provider=jpush").await;
    assert_eq!(other_provider.0, 404);

    // A reload does the same, though nothing has changed.
    bad.0.say("/", 400, REFUSED);
    tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
    assert_eq!(up(&exporter.scrape().await, "bad"), Some(0.0));
    bad.0.say("/", 200, NOTHING);
    exporter.reload(&text).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(up(&exporter.scrape().await, "bad"), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_part_is_asked_for_at_once_when_somebody_says_so() {
    let scene = window_scripts::Scene::feishu("2026-03-10T12:00:00+08:00", ", departments: [od-sales]").await;
    let is_refused = Box::new(|unit: &str, _: &str| {
        unit.ends_with(" od-sales").then(|| (403, r#"{"code":211004,"msg":"no authority"}"#.to_owned()))
    });
    *scene.script.spoil.lock().unwrap() = Some(is_refused);
    scene.say("day 2026-03-08", "30");
    let exporter = scene.start().await;
    minutes(6 * 60).await;
    assert_eq!(exporter.scrape().await.starting(&["push_poll_failing"]).len(), 1);
    *scene.script.spoil.lock().unwrap() = None;
    minutes(1).await;
    assert_eq!(exporter.scrape().await.starting(&["push_poll_failing"]).len(), 1, "it keeps its distance");
    assert_eq!(poll(&exporter, "?app=bot").await.0, 200);
    let page = exporter.scrape().await;
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    let shown = page.starting(&["push_department_window_messages_sent"]);
    assert_eq!(shown.values().sum::<i64>(), 30, "{shown:?}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_asked_for_at_once_when_somebody_says_so() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.script.broken.lock().unwrap().insert(2);
    scene.many(&exporter, 5).await;
    // It is alone by now, and its turns are far apart.
    minutes(91.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (1.0, 4.0));
    scene.script.broken.lock().unwrap().clear();
    let calls = scene.calls().len();
    assert_eq!(poll(&exporter, "?provider=jpush").await, (200, "1 report is polled now.\n".to_owned()));
    assert_eq!(scene.calls()[calls..], [vec![2]], "the others are not");
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 5.0));
    let calls = scene.calls().len();
    assert_eq!(poll(&exporter, "?all").await.0, 200);
    assert_eq!(scene.calls()[calls..], [vec![1, 2, 3, 4, 5]]);
    exporter.stop().await;
}
