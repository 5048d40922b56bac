//! A JPush whose answers are set by hand, and an exporter in front of it: for what a believable simulator
//! never does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use push_exporter::util::clock::Clock;

use crate::support::fault_injection::Faulty;
use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Page, fast_dir, post, simulate};

/// What the fake provider says.
#[derive(Default)]
pub struct Script {
    /// The fields of a message as JSON without braces; a message that is not here has none.
    pub items: Mutex<BTreeMap<u64, String>>,
    /// Ids that a call must not name.
    pub refused: Mutex<BTreeSet<u64>>,
    /// Ids that a call does not get past: it ends in a 500.
    pub broken: Mutex<BTreeSet<u64>>,
    /// A status and body for every call.
    pub failure: Mutex<Option<(u16, String)>>,
    /// A status and body for some calls, by their ids.
    pub spoil: Mutex<Option<Spoil>>,
    /// The clock that answers are dated by, if they are.
    pub dated_by: Mutex<Option<Clock>>,
    /// Done once, at the next call.
    pub on_call: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Path and ids of every call.
    pub calls: Mutex<Vec<(String, Vec<u64>)>>,
}

/// Says what a call for these ids is answered in the place of numbers, if anything.
pub type Spoil = Box<dyn FnMut(&[u64]) -> Option<(u16, String)> + Send>;

impl Script {
    /// The provider that answers by it.
    fn provider(self: &Arc<Script>) -> ScriptedProvider {
        let (script, dates) = (Arc::clone(self), Arc::clone(self));
        let provider = ScriptedProvider::answering(move |request| script.answer(request));
        provider.dated(move || dates.dated_by.lock().unwrap().as_ref().map(Clock::now))
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let ids: Vec<u64> = request
            .uri()
            .query()
            .and_then(|query| query.strip_prefix("msg_ids="))
            .unwrap_or_else(|| panic!("{}", request.uri()))
            .split(',')
            .map(|id| id.parse().unwrap())
            .collect();
        self.calls.lock().unwrap().push((request.uri().path().to_owned(), ids.clone()));
        if let Some(act) = self.on_call.lock().unwrap().take() {
            act();
        }
        let spoilt = self.spoil.lock().unwrap().as_mut().and_then(|spoil| spoil(&ids));
        if let Some((status, body)) = spoilt.or_else(|| self.failure.lock().unwrap().clone()) {
            return respond(status, body);
        }
        if ids.iter().any(|id| self.broken.lock().unwrap().contains(id)) {
            return respond(500, "");
        }
        if ids.iter().any(|id| self.refused.lock().unwrap().contains(id)) {
            return respond(400, r#"{"error":{"code":3002,"message":"Invalid parameter 'msg_id'."}}"#);
        }
        let items = self.items.lock().unwrap();
        let answers: Vec<String> = ids
            .iter()
            .map(|id| match items.get(id) {
                Some(fields) => format!(r#"{{"msg_id":"{id}",{fields}}}"#),
                None => format!(r#"{{"msg_id":"{id}"}}"#),
            })
            .collect();
        respond(200, format!("[{}]", answers.join(",")))
    }
}

/// The fake provider, and what an exporter in front of it needs.
pub struct Scene {
    pub clock: Clock,
    pub script: Arc<Script>,
    pub folder: tempfile::TempDir,
    base_url: String,
}

/// The labels of the app.
pub const OWNER: &str = r#"provider="jpush",app="shop""#;

impl Scene {
    /// 2026-03-10, 09:00 in Beijing.
    pub async fn new() -> Scene {
        let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
        let script = Arc::new(Script::default());
        let (_, address) = simulate(script.provider()).await;
        Scene { clock, script, folder: fast_dir(), base_url: format!("http://{address}/v3") }
    }

    /// The same, behind a layer that spoils connections.
    pub async fn behind_faults() -> (Scene, Faulty) {
        let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
        let script = Arc::new(Script::default());
        let faulty = Faulty::new(Arc::new(script.provider())).await;
        let base_url = format!("http://{}/v3", faulty.address);
        (Scene { clock, script, folder: fast_dir(), base_url }, faulty)
    }

    /// Registers the ids from 1 to `count`, each with one delivery.
    pub async fn many(&self, exporter: &Exporter, count: u64) {
        for id in 1..=count {
            self.say(id, r#""jpush_received":1"#);
        }
        let all: Vec<_> = (1..=count).map(|id| (id, None)).collect();
        assert_eq!(register(exporter, &all).await, count as i64);
    }

    /// A configuration with these further keys of the app.
    pub fn text(&self, more: &str) -> String {
        format!(
            "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: '{}', app_key: key, master_secret: m4ster, {more}}}\n",
            self.base_url
        )
    }

    pub async fn start(&self, more: &str) -> Exporter {
        self.start_with(&self.text(more)).await
    }

    pub async fn start_with(&self, text: &str) -> Exporter {
        Exporter::start(text, self.folder.path(), &self.clock).await
    }

    /// What the provider says of a message from now on.
    pub fn say(&self, id: u64, fields: &str) {
        self.script.items.lock().unwrap().insert(id, fields.to_owned());
    }

    /// The ids of every call so far, each call's in order.
    pub fn calls(&self) -> Vec<Vec<u64>> {
        let calls = self.script.calls.lock().unwrap();
        calls
            .iter()
            .map(|(_, ids)| {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids
            })
            .collect()
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

/// Registers messages and returns how many were new.
pub async fn register(exporter: &Exporter, messages: &[(u64, Option<i64>)]) -> i64 {
    let entries: Vec<String> = messages
        .iter()
        .map(|(id, sent_at)| match sent_at {
            Some(at) => format!(r#"{{"app":"shop","msg_id":{id},"sent_at":{at}}}"#),
            None => format!(r#"{{"app":"shop","msg_id":"{id}"}}"#),
        })
        .collect();
    let body = format!("[{}]", entries.join(","));
    let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
    let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body.into()).await;
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["received"], messages.len());
    answer["new"].as_i64().unwrap()
}

/// A counter of received, of a series of `received_detail`.
pub fn received(page: &Page, platform: &str, channel: &str, kind: &str) -> Option<f64> {
    delivery(page, "received", platform, channel, kind)
}

/// A delivery counter.
pub fn delivery(page: &Page, metric: &str, platform: &str, channel: &str, kind: &str) -> Option<f64> {
    let labels = format!(r#"{OWNER},platform="{platform}",channel="{channel}",kind="{kind}""#);
    page.get(&format!("push_messages_{metric}_total{{{labels}}}"))
}

/// Messages without and with a number.
pub fn tracked(page: &Page) -> (f64, f64) {
    let state = |state: &str| page.get(&format!(r#"push_tracked_messages{{{OWNER},state="{state}"}}"#)).unwrap();
    (state("waiting"), state("live"))
}
