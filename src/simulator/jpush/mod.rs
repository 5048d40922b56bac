//! Simulator of JPush: Basic authentication, every report of apps and groups with its permissions and rate limits, rate
//! limit headers, 28 days of data. The deliveries of a message are events over time: most within minutes, then a long
//! tail of days; channels differ in speed and loss.

mod answers;
mod pushes;
mod reports;
mod schedules;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use http::{HeaderValue, Method, Request, Response};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::simulator::deliveries::{Channel, Deliveries, channel};
pub use crate::simulator::deliveries::{Leaf, Outcome as JpushOutcome};
use crate::simulator::{SimulatedLimit, Simulator, Trouble, beijing, has_basic_auth, parameter, text};
use crate::util::clock::Clock;
pub use answers::group_id;
use answers::{details, messages_old, of_group_id, older, received, received_old};
pub use reports::{TimeUnit, UserCounts};
use schedules::Schedule;

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct JpushApp {
    /// AppKey of the credentials, or `group-` and the group key for a group of apps.
    pub app_key: String,
    /// Master secret of the credentials.
    pub master_secret: String,
    /// True with the VIP plan, which all reports except `received`, `received/detail` and the Push API require.
    pub is_vip: bool,
    /// Registration ids of its test devices.
    pub devices: Vec<String>,
    /// Rate limit of the plan, in requests per minute.
    pub per_minute: usize,
    /// Vendor quotas, as a multiple of those of a small app.
    pub quotas: i64,
    /// Seconds during which the data of a message can be queried.
    pub answered: i64,
    /// Seconds for which a message is kept after that, for the truth.
    pub kept: i64,
    /// Seed of the events.
    pub seed: u64,
}

impl JpushApp {
    /// Creates an app with the VIP plan.
    pub fn demo(app_key: &str) -> JpushApp {
        JpushApp {
            app_key: app_key.to_owned(),
            master_secret: "5e987ac6d2e04d95-demo".to_owned(),
            is_vip: true,
            devices: vec!["1506bfd3a7c568d4761".to_owned(), "02078f0f1b8".to_owned(), "0207870a9b8".to_owned()],
            per_minute: 2400,
            quotas: 1,
            answered: 28 * beijing::DAY,
            kept: 2 * beijing::DAY,
            seed: 1,
        }
    }
}

const OUTCOMES: [(JpushOutcome, &str); 5] = [
    (JpushOutcome::Target, "target"),
    (JpushOutcome::Sent, "sent"),
    (JpushOutcome::Received, "received"),
    (JpushOutcome::Display, "display"),
    (JpushOutcome::Click, "click"),
];

/// The ten channels of notifications, then the two of custom messages.
static CHANNELS: [Channel; 12] = [
    channel(("notification", "android", "jg_android"), 0.14, 4.0, 0.97, 0.62, 0.04),
    channel(("notification", "android", "huawei"), 0.18, 9.0, 0.98, 0.90, 0.05),
    channel(("notification", "android", "xiaomi"), 0.14, 14.0, 0.97, 0.86, 0.05),
    channel(("notification", "android", "oppo"), 0.12, 25.0, 0.93, 0.80, 0.03),
    channel(("notification", "android", "vivo"), 0.11, 18.0, 0.94, 0.83, 0.03),
    channel(("notification", "android", "honor"), 0.05, 12.0, 0.96, 0.88, 0.05),
    channel(("notification", "android", "meizu"), 0.01, 40.0, 0.90, 0.70, 0.02),
    channel(("notification", "ios", "apns"), 0.20, 3.0, 0.99, 0.55, 0.07),
    channel(("notification", "hmos", "hmpns"), 0.03, 8.0, 0.98, 0.91, 0.06),
    channel(("notification", "quickapp", "quick_jg"), 0.02, 30.0, 0.90, 0.40, 0.01),
    channel(("message", "android", "jg_android"), 0.7, 2.0, 0.99, 0.58, 0.02),
    channel(("message", "ios", "jg_ios"), 0.3, 5.0, 0.99, 0.35, 0.0),
];
/// Indexes of the channels of notifications.
const NOTIFICATION: Range<usize> = 0..10;
/// Indexes of the channels of custom messages.
const MESSAGE: Range<usize> = 10..12;

/// Seconds after the push from which the statistics of a message can be queried.
const DELAY: i64 = 3;

/// Simulator of one app.
pub struct JpushSimulator {
    clock: Clock,
    app: JpushApp,
    state: Mutex<JpushState>,
}

struct JpushState {
    deliveries: Deliveries,
    refused_ids: HashSet<u64>,
    limit: SimulatedLimit,
    /// Rate limit of the Push API.
    push_limit: SimulatedLimit,
    /// Number of sent pushes, by day and channel.
    used: BTreeMap<(i64, &'static str), i64>,
    /// Number of calls, by their number of ids.
    calls: BTreeMap<usize, u64>,
    schedules: Vec<Schedule>,
}

impl JpushSimulator {
    /// Creates the simulator without any message.
    pub fn new(clock: Clock, app: JpushApp) -> JpushSimulator {
        let state = JpushState {
            // Beyond 2^53, as real ids are.
            deliveries: Deliveries::new(&CHANNELS, 38_280_845_540_235_675, app.seed),
            refused_ids: HashSet::new(),
            limit: SimulatedLimit::new(app.per_minute, 60_000),
            push_limit: SimulatedLimit::new(600, 60_000),
            used: BTreeMap::new(),
            calls: BTreeMap::new(),
            schedules: Vec::new(),
        };
        JpushSimulator { clock, app, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, JpushState> {
        self.state.lock()
    }

    /// Pushes a notification to a number of devices, as a sender would, and returns its msg_id.
    pub fn push(&self, devices: i64) -> u64 {
        self.send(devices, NOTIFICATION)
    }

    /// Pushes a custom message to a number of devices and returns its msg_id.
    pub fn push_message(&self, devices: i64) -> u64 {
        self.send(devices, MESSAGE)
    }

    fn send(&self, devices: i64, channels: Range<usize>) -> u64 {
        let now = self.clock.now().as_second();
        let mut state = self.state();
        let state = &mut *state;
        let id = state.deliveries.push(devices, channels, now, self.app.answered + self.app.kept);
        let today = beijing::day_of(now);
        state.used.retain(|(day, _), _| *day >= today);
        for (after, vendor, count) in state.deliveries.sent(id) {
            *state.used.entry((beijing::day_of(now + i64::from(after)), vendor)).or_default() += i64::from(count);
        }
        id
    }

    /// Returns the true counts of a message at a time in Unix seconds, by leaf and outcome.
    pub fn truth(&self, id: u64, by: i64) -> BTreeMap<(Leaf, JpushOutcome), i64> {
        self.state().deliveries.counts(id, by).unwrap_or_default()
    }

    /// Sets the trouble of a channel, as named by `details`, from the next push on; [`Trouble::NONE`] ends it.
    pub fn trouble(&self, channel: &'static str, trouble: Trouble) {
        self.state().deliveries.trouble(channel, trouble);
    }

    /// Hides all events from now on, so that a test can compare a consistent state.
    pub fn freeze(&self) {
        let now = self.clock.now().as_second();
        self.state().deliveries.freeze(Some(now));
    }

    /// Ends [`Self::freeze`]: reports the events since then too.
    pub fn thaw(&self) {
        self.state().deliveries.freeze(None);
    }

    /// Adds a correction by the provider to a number of a message, from now on.
    pub fn restate(&self, id: u64, leaf: Leaf, outcome: JpushOutcome, by: i64) {
        let at = self.clock.now().as_second();
        self.state().deliveries.restate(id, leaf, outcome, by, at);
    }

    /// Removes the numbers of a message from all answers.
    pub fn vanish(&self, id: u64) {
        self.state().deliveries.vanish(id);
    }

    /// Refuses every call that names this id.
    pub fn refuse(&self, id: u64) {
        self.state().refused_ids.insert(id);
    }

    /// Returns the number of calls, by their number of ids.
    pub fn calls(&self) -> BTreeMap<usize, u64> {
        self.state().calls.clone()
    }

    /// Returns the number of requests refused by the rate limits so far.
    pub fn refused(&self) -> u64 {
        let state = self.state();
        state.limit.refused + state.push_limit.refused
    }

    /// Returns the error for a request without valid credentials, over the rate limit or without permission.
    fn refusal(&self, request: &Request<Vec<u8>>, path: &str, state: &mut JpushState) -> Option<Response<Vec<u8>>> {
        if !has_basic_auth(request, &self.app.app_key, &self.app.master_secret) {
            return Some(error(401, 3001, "Basic authentication failed"));
        }
        let now = self.clock.now().as_millisecond();
        if !state.limit_of(path).admit(now) {
            return Some(error(429, 2002, "Rate limit exceeded"));
        }
        let is_free = matches!(path, "received" | "received/detail") || is_of_push_api(path);
        let is_of_groups = path.starts_with("group/");
        let has_right = (is_free || self.app.is_vip) && is_of_groups == self.app.app_key.starts_with("group-");
        (!has_right).then(|| error(403, 2003, "无权使用此接口"))
    }

    fn report(&self, request: &Request<Vec<u8>>, path: &str, state: &mut JpushState) -> Response<Vec<u8>> {
        let is_group = path.starts_with("group/");
        let (name, most) = if is_group { ("group_msgids", 10) } else { ("msg_ids", 100) };
        let ids: Option<Vec<u64>> = parameter(request, name).and_then(|ids| {
            ids.split(',').map(|id| if is_group { of_group_id(id) } else { id.parse().ok() }).collect()
        });
        let Some(ids) = ids.filter(|ids| ids.len() <= most && !ids.iter().any(|id| state.refused_ids.contains(id)))
        else {
            return error(400, 3002, "Invalid parameter 'msg_id'.");
        };
        *state.calls.entry(ids.len()).or_default() += 1;
        let now = self.clock.now().as_second();
        let items: Vec<Value> = ids
            .iter()
            .map(|id| {
                // Ids are numbers in some answers, strings in others; groups use both spellings of the document.
                let mut item = match (is_group, id % 2) {
                    (true, 0) => json!({ "group_msgid": group_id(*id) }),
                    (true, _) => json!({ "group_msgids": group_id(*id) }),
                    (false, 0) => json!({ "msg_id": id }),
                    (false, _) => json!({ "msg_id": id.to_string() }),
                };
                let counts = state.deliveries.answered(*id, now, DELAY..self.app.answered);
                if let (Some(counts), Some(fields)) = (counts, item.as_object_mut()) {
                    fields.extend(match path {
                        "messages/detail" => details(&counts),
                        "received" => received_old(&counts),
                        "messages" => messages_old(&counts),
                        "group/messages/detail" => older(&counts, true),
                        _ => received(&counts),
                    });
                }
                item
            })
            .collect();
        super::json(200, &Value::Array(items))
    }
}

impl JpushState {
    /// Returns the rate limit to which a path belongs.
    fn limit_of(&mut self, path: &str) -> &mut SimulatedLimit {
        if is_of_push_api(path) { &mut self.push_limit } else { &mut self.limit }
    }

    /// Returns the number of pushes sent through a channel today.
    fn used_today(&self, channel: &str, now: i64) -> i64 {
        let of_today = self.used.iter().filter(|((day, of), _)| (*day, *of) == (beijing::day_of(now), channel));
        of_today.map(|(_, count)| count).sum()
    }
}

/// Returns true if a path belongs to the Push API.
fn is_of_push_api(path: &str) -> bool {
    matches!(path, "push" | "push/quota") || path.split('/').next() == Some("schedules")
}

/// Returns the id in `schedules/{schedule_id}/msg_ids`.
fn schedule_of(path: &str) -> Option<&str> {
    path.strip_prefix("schedules/")?.strip_suffix("/msg_ids").filter(|id| !id.contains('/'))
}

impl Simulator for JpushSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        const BY_MESSAGE: [&str; 5] =
            ["received/detail", "messages/detail", "received", "messages", "group/messages/detail"];
        let path = request.uri().path().trim_start_matches("/v3/").to_owned();
        if request.method() == Method::POST && ["push", "schedules"].contains(&path.as_str()) {
            let refusal = self.refusal(request, &path, &mut self.state());
            return refusal.unwrap_or_else(|| self.take_push(request, &path));
        }
        let mut state = self.state();
        let answer = |state: &mut JpushState| {
            self.refusal(request, &path, state).unwrap_or_else(|| match path.as_str() {
                "users" | "group/users" => self.answer_users(request),
                "status/message" => self.answer_status(request, state),
                "push/quota" => self.answer_quota(state),
                "schedules" => schedules::list(request, &state.schedules),
                path => match schedule_of(path) {
                    Some(id) => schedules::messages(id, &state.schedules),
                    None => self.report(request, path, state),
                },
            })
        };
        let mut response = match (request.method(), path.as_str()) {
            (&Method::GET, "users" | "group/users" | "push/quota" | "schedules")
            | (&Method::POST, "status/message") => answer(&mut state),
            (&Method::GET, path) if schedule_of(path).is_some() => answer(&mut state),
            (&Method::GET, path) if BY_MESSAGE.contains(&path) => answer(&mut state),
            _ => return text(404, "404 page not found"),
        };
        let now = self.clock.now().as_millisecond();
        let limit = state.limit_of(&path);
        let left = limit.requests.saturating_sub(limit.starts.len());
        let headers: HashMap<&'static str, i64> = HashMap::from([
            ("x-rate-limit-limit", limit.requests as i64),
            ("x-rate-limit-remaining", left as i64),
            ("x-rate-limit-reset", limit.reset_seconds(now)),
        ]);
        response.headers_mut().extend(
            headers.into_iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from(value))),
        );
        response
    }
}

fn error(status: u16, code: u32, message: &str) -> Response<Vec<u8>> {
    super::json(status, &json!({ "error": { "code": code, "message": message } }))
}
