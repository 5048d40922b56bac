//! Calls that fail: no answer that does not blame an id costs an id, what spoils a call is soon alone, and the other
//! messages keep their pace.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use push_exporter::provider::error::TransportError;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::util::future::BoxFuture;

use crate::support::fault_injection::Fault;
use crate::support::jpush_script::{OWNER, Scene, received, register, tracked};
use crate::support::{Exporter, Log, Page, minutes, network};

/// A gateway's answer, which knows nothing of ids.
const GATEWAY: &str = "<html><head><title>400 Bad Request</title></head></html>";
/// JPush's own answer for an id that it does not take.
const BAD_ID: &str = r#"{"error":{"code":3002,"message":"Invalid parameter 'msg_id'."}}"#;
const REPORT: &str = r#"provider="jpush",app="shop",report="received_detail""#;

fn rejected(page: &Page) -> Option<f64> {
    page.get(&format!("push_rejected_messages_total{{{OWNER}}}"))
}

fn failed_polls(page: &Page) -> i64 {
    page.starting(&[&format!("push_poll_errors_total{{{REPORT}")]).values().sum()
}

/// Number of times that each id was asked for in these calls.
fn asked(calls: &[Vec<u64>]) -> HashMap<u64, usize> {
    let mut asked = HashMap::new();
    calls.iter().flatten().for_each(|id| *asked.entry(*id).or_default() += 1);
    asked
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_everything_for_a_while_costs_no_id_and_few_requests() {
    for body in [GATEWAY, BAD_ID] {
        let scene = Scene::new().await;
        let exporter = scene.start("interval: 5s").await;
        scene.many(&exporter, 800).await;
        minutes(0.5).await;
        assert_eq!(tracked(&exporter.scrape().await), (0.0, 800.0));
        let before = scene.calls().len();
        *scene.script.failure.lock().unwrap() = Some((400, body.to_owned()));
        minutes(2.0).await;
        let page = exporter.scrape().await;
        assert_eq!((rejected(&page), tracked(&page)), (Some(0.0), (0.0, 800.0)), "{body}");
        let (requests, polls) = (scene.calls().len() - before, failed_polls(&page) as usize);
        // Eight calls a poll, and two requests more for each at most.
        assert!(polls >= 4 && requests <= polls * 24, "{requests} requests in {polls} polls: {body}");
        assert_eq!(page.get(&format!(r#"push_poll_failing{{{REPORT},reason="bad_request"}}"#)), Some(1.0));
        *scene.script.failure.lock().unwrap() = None;
        for id in 1..=800 {
            scene.say(id, r#""jpush_received":2"#);
        }
        // The slowest pace is ten intervals.
        minutes(1.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(1600.0), "{body}");
        assert!(page.starting(&["push_poll_failing"]).is_empty());
        assert_eq!(page.get(&format!("push_up{{{REPORT}}}")), Some(1.0));
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_begins_to_refuse_in_the_middle_of_a_poll_costs_no_id() {
    for body in [GATEWAY, BAD_ID] {
        let scene = Scene::new().await;
        let exporter = scene.start("interval: 5s").await;
        scene.many(&exporter, 800).await;
        minutes(0.5).await;
        // The first three calls pass, then seven are refused, wherever they come.
        let calls = AtomicUsize::new(0);
        let refusal = body.to_owned();
        *scene.script.spoil.lock().unwrap() = Some(Box::new(move |_| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            (3..10).contains(&call).then(|| (400, refusal.clone()))
        }));
        for id in 1..=800 {
            scene.say(id, r#""jpush_received":2"#);
        }
        minutes(1.0).await;
        let page = exporter.scrape().await;
        assert_eq!((rejected(&page), tracked(&page)), (Some(0.0), (0.0, 800.0)), "{body}");
        minutes(2.0).await;
        let page = exporter.scrape().await;
        assert_eq!(received(&page, "any", "jpush", "any"), Some(1600.0), "{body}");
        assert!(page.starting(&["push_poll_failing"]).is_empty());
        let last = scene.calls().split_off(scene.calls().len() - 8);
        assert!(last.iter().all(|ids| ids.len() == 100), "calls are full again");
        exporter.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_that_no_call_gets_past_among_many_slows_itself_alone() {
    let scene = Scene::new().await;
    let exporter = scene.start("interval: 5s").await;
    scene.script.broken.lock().unwrap().insert(317);
    scene.many(&exporter, 600).await;
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), (1.0, 599.0), "it is alone within a few polls");
    let before = scene.calls().len();
    minutes(2.0).await;
    let later = scene.calls().split_off(before);
    let mut asked = asked(&later);
    // It backs off from 5 s to 50 s, alone.
    let poison = asked.remove(&317).unwrap_or_default();
    assert!((2..=6).contains(&poison), "{poison} times");
    assert!(later.iter().filter(|ids| ids.contains(&317)).all(|ids| ids.len() == 1));
    let (least, most) = (asked.values().min().unwrap(), asked.values().max().unwrap());
    assert!(asked.len() == 599 && *least >= 23 && *most <= 25, "{} ids, {least} to {most} times", asked.len());
    let failing = format!(r#"push_poll_failing{{{REPORT},reason="server",scope="part"}}"#);
    assert_eq!(exporter.scrape().await.get(&failing), Some(1.0));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_message_that_no_call_gets_past_among_five() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.script.broken.lock().unwrap().insert(2);
    scene.many(&exporter, 5).await;
    minutes(5.0).await;
    let page = exporter.scrape().await;
    assert_eq!((received(&page, "any", "jpush", "any"), tracked(&page)), (Some(4.0), (1.0, 4.0)));
    let html = exporter.get("/").await.1;
    assert!(html.contains("a part is failing"), "{html}");
    // It ends a day after its time, 28 days less an hour, whatever it is answered.
    minutes(28.5 * 1440.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (1.0, 0.0));
    minutes(0.6 * 1440.0).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), (0.0, 0.0));
    assert!(page.starting(&["push_poll_failing"]).is_empty(), "nothing fails any more");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stalls_holds_up_its_own_batch_alone() {
    let (scene, faulty) = Scene::behind_faults().await;
    let exporter = scene.start("interval: 5s").await;
    scene.many(&exporter, 800).await;
    minutes(1.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (0.0, 800.0));
    let stalled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&stalled);
    faulty.spoil(move |request| {
        let query = request.uri().query().unwrap();
        let has_it = query.trim_start_matches("msg_ids=").split(',').any(|id| id == "317");
        count.fetch_add(usize::from(has_it), Ordering::Relaxed);
        if has_it { Fault::StallHeaders } else { Fault::None }
    });
    // The first call for it takes three times 30 s; nothing else waits for that.
    minutes(0.2).await;
    let before = scene.calls().len();
    minutes(1.0).await;
    let asked = asked(&scene.calls().split_off(before));
    let on_time = asked.values().filter(|times| (10..=13).contains(*times)).count();
    assert_eq!(on_time, 700, "all but the hundred of one call are asked for every 5 s");
    assert!(stalled.load(Ordering::Relaxed) >= 1);
    exporter.stop().await;
}

/// A provider that is down, and when it is up again fails once more and then takes twelve seconds for each call.
struct Slow {
    network: Arc<dyn Transport>,
    is_down: AtomicBool,
    calls_since: AtomicUsize,
}

impl Transport for Slow {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            if self.is_down.load(Ordering::Relaxed) || self.calls_since.fetch_add(1, Ordering::Relaxed) == 0 {
                let status = http::StatusCode::INTERNAL_SERVER_ERROR;
                return Ok(Reply { status, headers: http::HeaderMap::new(), body: Vec::new() });
            }
            tokio::time::sleep(Duration::from_secs(12)).await;
            self.network.send(request).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_beside_a_call_that_fails_wait_for_no_later_poll() {
    let scene = Scene::new().await;
    let slow = Arc::new(Slow { network: network(), is_down: AtomicBool::new(true), calls_since: AtomicUsize::new(0) });
    let transport = Arc::clone(&slow) as Arc<dyn Transport>;
    let text = scene.text("interval: 5s");
    let exporter = Exporter::start_through(transport, &text, scene.folder.path(), &scene.clock).await;
    scene.many(&exporter, 200).await;
    // Polls that fail are minutes apart by now.
    minutes(10.0).await;
    slow.is_down.store(false, Ordering::Relaxed);
    while slow.calls_since.load(Ordering::Relaxed) == 0 {
        minutes(0.01).await;
    }
    minutes(0.25).await;
    // Six calls that name one message each by now, of which one fails.
    let (_, live) = tracked(&exporter.scrape().await);
    assert!(live >= 5.0, "{live} messages are live, though five answers came within 15 s");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_failed_in_one_call_is_no_success_over_a_restart_either() {
    let scene = Scene::new().await;
    let exporter = scene.start("").await;
    scene.script.broken.lock().unwrap().insert(2);
    scene.many(&exporter, 5).await;
    minutes(9.0).await;
    let success = format!("push_poll_last_success_timestamp_seconds{{{REPORT}}}");
    assert_eq!(exporter.scrape().await.get(&success), None, "no poll has succeeded in full");
    exporter.stop().await;
    let exporter = scene.start("").await;
    assert_eq!(exporter.scrape().await.get(&success), None);
    scene.script.broken.lock().unwrap().clear();
    minutes(15.0).await;
    assert!(exporter.scrape().await.get(&success).is_some());
    exporter.stop().await;
}

/// Whether the provider works is not known while nothing else is asked for: then no refusal blames an id.
#[tokio::test(start_paused = true)]
async fn a_refused_message_is_set_aside_only_if_others_pass() {
    let scene = Scene::new().await;
    let log = Log::capture();
    let exporter = scene.start("").await;
    scene.script.refused.lock().unwrap().insert(1);
    scene.many(&exporter, 1).await;
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (Some(0.0), (1.0, 0.0)));
    register(&exporter, &[(2, None)]).await;
    scene.say(2, r#""jpush_received":2"#);
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert_eq!((rejected(&page), tracked(&page)), (Some(1.0), (0.0, 1.0)));
    // It is asked for once a day, refused again, and that is told once.
    minutes(1.5 * 1440.0).await;
    assert_eq!(rejected(&exporter.scrape().await), Some(1.0));
    assert_eq!(log.take_lines("it is set aside").len(), 1);
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_alone_and_never_answered_ends_a_day_after_its_time() {
    let scene = Scene::new().await;
    let exporter = scene.start("delivery: messages_detail").await;
    scene.script.broken.lock().unwrap().insert(1);
    scene.many(&exporter, 1).await;
    minutes(5.9 * 1440.0).await;
    assert_eq!(tracked(&exporter.scrape().await), (1.0, 0.0));
    minutes(0.2 * 1440.0).await;
    minutes(60.0).await;
    let page = exporter.scrape().await;
    assert_eq!(tracked(&page), (0.0, 0.0));
    assert!(page.starting(&["push_poll_failing", "push_up"]).is_empty(), "there is nothing to ask for");
    exporter.stop().await;
}
