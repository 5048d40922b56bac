//! An Easemob and a Feishu whose numbers are set by hand, day by day, and which remember what they were asked:
//! for what a believable simulator never does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use jiff::Timestamp;
use push_exporter::util::clock::Clock;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Page, fast_dir, simulate, until};

/// Numbers by window, and what was asked.
#[derive(Default)]
pub struct Script {
    /// Easemob: by day (`2026-03-10`) the platforms as JSON without braces. Feishu: by `day 2026-03-10` the
    /// number of messages sent.
    pub windows: Mutex<BTreeMap<String, String>>,
    /// Feishu answers 211010 for windows that begin before this day.
    pub too_old_before: Mutex<String>,
    /// A status and body for some questions, by their [`Script::asked`].
    pub spoil: Mutex<Option<Spoil>>,
    /// The clock that answers are dated by, if they are.
    pub dated_by: Mutex<Option<Clock>>,
    /// Begin and end of each question to Easemob, unit and day of each to Feishu.
    pub asked: Mutex<Vec<(String, String)>>,
}

/// Says what a question is answered in the place of numbers, if anything.
pub type Spoil = Box<dyn Fn(&str, &str) -> Option<(u16, String)> + Send>;

/// Answers a request by a script.
type AnswerBy = fn(&Script, &Request<Vec<u8>>) -> Response<Vec<u8>>;

impl Script {
    fn spoilt(&self, first: &str, second: &str) -> Option<Response<Vec<u8>>> {
        let (status, body) = self.spoil.lock().unwrap().as_ref()?(first, second)?;
        Some(respond(status, body))
    }

    /// The provider that answers by it.
    fn provider(self: &Arc<Script>, answer: AnswerBy) -> ScriptedProvider {
        let (script, dates) = (Arc::clone(self), Arc::clone(self));
        let provider = ScriptedProvider::answering(move |request| answer(&script, request));
        provider.dated(move || dates.dated_by.lock().unwrap().as_ref().map(Clock::now))
    }

    fn answer_easemob(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path: Vec<&str> = request.uri().path().split('/').collect();
        let [.., "begin", begin, "end", end] = path.as_slice() else {
            return respond(200, r#"{"access_token":"t","expires_in":0}"#.to_owned());
        };
        self.asked.lock().unwrap().push(((*begin).to_owned(), (*end).to_owned()));
        if let Some(spoilt) = self.spoilt(begin, end) {
            return spoilt;
        }
        let windows = self.windows.lock().unwrap();
        let days = windows.range((*begin).to_owned()..=(*end).to_owned());
        let days: Vec<String> = days.map(|(day, platforms)| format!(r#""{day}":{{{platforms}}}"#)).collect();
        respond(200, format!(r#"{{"status":"OK","data":{{{}}}}}"#, days.join(",")))
    }

    fn answer_feishu(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if request.uri().path().contains("tenant_access_token") {
            return respond(200, r#"{"code":0,"msg":"ok","tenant_access_token":"t","expire":7200}"#.to_owned());
        }
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let date = body["date"].as_str().unwrap();
        let unit = ["day", "week", "month"][body["cycle_type"].as_u64().unwrap() as usize - 1];
        self.asked.lock().unwrap().push((unit.to_owned(), date.to_owned()));
        let department = body["department_id"].as_str().map(|id| format!(" {id}")).unwrap_or_default();
        if let Some(spoilt) = self.spoilt(&format!("{unit}{department}"), date) {
            return spoilt;
        }
        if date < self.too_old_before.lock().unwrap().as_str() {
            return respond(403, r#"{"code":211010,"msg":"invalid date range"}"#.to_owned());
        }
        match self.windows.lock().unwrap().get(&format!("{unit} {date}")) {
            Some(count) => respond(
                200,
                format!(
                    r#"{{"code":0,"data":{{"items":[{{"metric_name":"send_msg_count","metric_value":{count}}}]}}}}"#
                ),
            ),
            None => respond(404, r#"{"code":211011,"msg":"data not found"}"#.to_owned()),
        }
    }
}

/// A provider whose windows are set by hand, and what an exporter in front of it needs.
pub struct Scene {
    pub clock: Clock,
    pub script: Arc<Script>,
    pub folder: tempfile::TempDir,
    pub text: String,
}

impl Scene {
    /// Easemob, from an instant on, with further keys.
    pub async fn easemob(start: &str, more: &str) -> Scene {
        let account = "app: chat, org_name: acme, app_name: chat, client_id: a, client_secret: b";
        Scene::new(start, Script::answer_easemob, "easemob", &format!("{account}{more}")).await
    }

    /// Feishu, from an instant on, with further keys.
    pub async fn feishu(start: &str, more: &str) -> Scene {
        Scene::new(start, Script::answer_feishu, "feishu", &format!("app: bot, app_id: cli_1, app_secret: s{more}"))
            .await
    }

    async fn new(start: &str, answer: AnswerBy, provider: &str, keys: &str) -> Scene {
        let clock = Clock::following_tokio(start.parse().unwrap());
        let script = Arc::new(Script::default());
        let (_, address) = simulate(script.provider(answer)).await;
        let text = format!("new_series_hold: 0s\n{provider}:\n  - {{base_url: 'http://{address}', {keys}}}\n");
        Scene { clock, script, folder: fast_dir(), text }
    }

    pub async fn start(&self) -> Exporter {
        Exporter::start(&self.text, self.folder.path(), &self.clock).await
    }

    /// What the provider says of a window from now on.
    pub fn say(&self, window: &str, says: &str) {
        self.script.windows.lock().unwrap().insert(window.to_owned(), says.to_owned());
    }

    /// What APNs has accepted on a day, as Easemob says it.
    pub fn apns(&self, day: &str, count: i64) {
        self.say(day, &format!(r#""APNS":{{"successCount":{count}}}"#));
    }

    /// Has nothing to say of a window any more.
    pub fn withdraw(&self, window: &str) {
        self.script.windows.lock().unwrap().remove(window);
    }

    /// The last question.
    pub fn last_asked(&self) -> (String, String) {
        self.script.asked.lock().unwrap().last().unwrap().clone()
    }

    /// Lets time pass until an instant.
    pub async fn until(&self, at: &str) {
        until(&self.clock, at.parse().unwrap()).await;
    }
}

/// How far a metric has been restated downwards.
pub fn restated(page: &Page) -> f64 {
    let restated = page.starting(&["push_messages_restated_total"]);
    restated.values().sum::<i64>() as f64
}

/// A clock of its own, for the provider.
pub fn right_clock(at: &str) -> Clock {
    Clock::following_tokio(at.parse().unwrap())
}
