//! Simulator of EngageLab: Basic authentication, statistics of messages and users, push plans, the rate limit of an AppKey, and
//! a month of data. Where the document has two spellings, answers have both in turn.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use http::{Method, Request, Response};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value, json};

use crate::simulator::deliveries::{Channel, Counts, Deliveries, channel};
pub use crate::simulator::deliveries::{Leaf, Outcome as EngagelabOutcome};
use crate::simulator::{SimulatedLimit, Simulator, Trouble, beijing, has_basic_auth, json as answer, parameter, text};
use crate::util::clock::Clock;

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct EngagelabApp {
    /// AppKey of the credentials.
    pub app_key: String,
    /// Master secret of the credentials.
    pub master_secret: String,
    /// True while the plan of the app has not expired.
    pub is_vip: bool,
    /// Rate limit of the AppKey, in requests per second.
    pub per_second: usize,
    /// Seconds during which the data of a message can be queried.
    pub answered: i64,
    /// Seconds for which a message is kept after that, for the truth.
    pub kept: i64,
    /// Seed of the events.
    pub seed: u64,
}

impl EngagelabApp {
    /// Creates an app with a valid plan.
    pub fn demo(app_key: &str) -> EngagelabApp {
        EngagelabApp {
            app_key: app_key.to_owned(),
            master_secret: "9f1d7a603a5b5a9d-demo".to_owned(),
            is_vip: true,
            per_second: 500,
            answered: 30 * beijing::DAY,
            kept: 2 * beijing::DAY,
            seed: 1,
        }
    }
}

/// The channels of notifications, then those of custom messages, of in-app messages, of live activities and of VoIP.
static CHANNELS: [Channel; 16] = [
    channel(("notification", "android", "engageLab_android"), 0.08, 4.0, 0.97, 0.62, 0.04),
    channel(("notification", "android", "huawei"), 0.06, 9.0, 0.98, 0.90, 0.05),
    channel(("notification", "android", "xiaomi"), 0.08, 14.0, 0.97, 0.86, 0.05),
    channel(("notification", "android", "oppo"), 0.05, 25.0, 0.93, 0.80, 0.03),
    channel(("notification", "android", "vivo"), 0.04, 18.0, 0.94, 0.83, 0.03),
    channel(("notification", "android", "honor"), 0.02, 12.0, 0.96, 0.88, 0.05),
    channel(("notification", "android", "meizu"), 0.01, 40.0, 0.90, 0.70, 0.02),
    channel(("notification", "android", "fcm"), 0.38, 5.0, 0.98, 0.84, 0.06),
    channel(("notification", "ios", "apns"), 0.26, 3.0, 0.99, 0.55, 0.07),
    channel(("notification", "hmos", "engageLab_hmos"), 0.01, 6.0, 0.97, 0.60, 0.04),
    channel(("notification", "hmos", "harmonyos"), 0.01, 8.0, 0.98, 0.91, 0.06),
    channel(("message", "android", "engageLab_android"), 0.7, 2.0, 0.99, 0.58, 0.02),
    channel(("message", "ios", "engageLab_ios"), 0.3, 5.0, 0.99, 0.35, 0.01),
    channel(("inapp_message", "android", "engageLab_android"), 0.6, 2.0, 0.99, 0.70, 0.10),
    channel(("live_activity", "ios", "apns"), 0.2, 3.0, 0.99, 0.80, 0.02),
    channel(("voip", "ios", "apns"), 0.2, 2.0, 0.99, 0.90, 0.0),
];
/// Indexes of the channels of notifications.
const NOTIFICATION: Range<usize> = 0..11;
/// Indexes of the channels of everything else.
const OTHERS: Range<usize> = 11..16;

/// Counts with their names in messages and channels, and in kinds: the document has two of them in another spelling there.
const OUTCOMES: [(EngagelabOutcome, &str, &str); 5] = [
    (EngagelabOutcome::Target, "targets", "target"),
    (EngagelabOutcome::Sent, "sent", "sent"),
    (EngagelabOutcome::Received, "delivered", "delivered"),
    (EngagelabOutcome::Display, "impressions", "impressions"),
    (EngagelabOutcome::Click, "clicks", "click"),
];

/// Seconds after the push from which the statistics of a message can be queried.
const DELAY: i64 = 3;
/// Days before today in which the range of a query of plans may begin, and its maximum length.
const PLAN_DAYS: (i64, i64) = (30, 31);
/// Number of devices of a push by the push API.
const DEVICES: i64 = 5_000;
/// Platforms and their shares of the users.
const PLATFORMS: [(&str, f64); 3] = [("android", 1.0), ("ios", 0.6), ("hmos", 0.03)];

/// Numbers of new, active and online users, by name.
pub type UserCounts = [(&'static str, i64); 3];

/// Simulator of one app.
pub struct EngagelabSimulator {
    clock: Clock,
    app: EngagelabApp,
    state: Mutex<EngagelabState>,
}

struct EngagelabState {
    deliveries: Deliveries,
    /// Messages whose answers have totals alone.
    without_parts: HashSet<u64>,
    refused_ids: HashSet<u64>,
    limit: SimulatedLimit,
    /// Plans with the messages that each has pushed.
    plans: Vec<(String, Vec<u64>)>,
    /// Number of calls, by their number of ids.
    calls: BTreeMap<usize, u64>,
    /// Number of answers so far, which decides the spelling.
    answers: u64,
}

impl EngagelabSimulator {
    /// Creates the simulator without any message.
    pub fn new(clock: Clock, app: EngagelabApp) -> EngagelabSimulator {
        let state = EngagelabState {
            deliveries: Deliveries::new(&CHANNELS, 8_000_000_000, app.seed),
            without_parts: HashSet::new(),
            refused_ids: HashSet::new(),
            limit: SimulatedLimit::new(app.per_second, 1000),
            plans: Vec::new(),
            calls: BTreeMap::new(),
            answers: 0,
        };
        EngagelabSimulator { clock, app, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, EngagelabState> {
        self.state.lock()
    }

    /// Pushes a notification to a number of devices, as a sender would, and returns its message id.
    pub fn push(&self, devices: i64) -> u64 {
        self.send(devices, NOTIFICATION)
    }

    /// Pushes a custom message, an in-app message, a live activity and a VoIP call under one id, and returns it.
    pub fn push_others(&self, devices: i64) -> u64 {
        self.send(devices, OTHERS)
    }

    /// Pushes a notification whose answers have totals and no parts, and returns its id.
    pub fn push_without_parts(&self, devices: i64) -> u64 {
        let id = self.push(devices);
        self.state().without_parts.insert(id);
        id
    }

    fn send(&self, devices: i64, channels: Range<usize>) -> u64 {
        let now = self.clock.now().as_second();
        let state = &mut *self.state();
        let id = state.deliveries.push(devices, channels, now, self.app.answered + self.app.kept);
        // What is forgotten is listed no more.
        let messages = &state.deliveries.messages;
        state.without_parts.retain(|id| messages.contains_key(id));
        state.plans.iter_mut().for_each(|(_, ids)| ids.retain(|id| messages.contains_key(id)));
        id
    }

    /// Creates a push plan.
    pub fn create_plan(&self, plan: &str) {
        self.state().plans.push((plan.to_owned(), Vec::new()));
    }

    /// Pushes a notification under a push plan, and returns its id, which only the list of the plan's messages contains.
    pub fn push_under(&self, plan: &str, devices: i64) -> u64 {
        let id = self.push(devices);
        self.state().plans.iter_mut().filter(|(name, _)| name == plan).for_each(|(_, ids)| ids.push(id));
        id
    }

    /// Returns the true counts of a message at a time in Unix seconds, by leaf and outcome.
    pub fn truth(&self, id: u64, by: i64) -> BTreeMap<(Leaf, EngagelabOutcome), i64> {
        self.state().deliveries.counts(id, by).unwrap_or_default()
    }

    /// Returns the true users by platform on a day in UTC+8, `yyyy-MM-dd`.
    pub fn users(&self, day: &str) -> BTreeMap<&'static str, UserCounts> {
        beijing::parse(day).map(|day| users(self.app.seed, day)).unwrap_or_default()
    }

    /// Sets the trouble of a channel, as named by `sub`, from the next push on; [`Trouble::NONE`] ends it.
    pub fn trouble(&self, channel: &'static str, trouble: Trouble) {
        self.state().deliveries.trouble(channel, trouble);
    }

    /// Hides all events from now on, so that a test can compare a consistent state.
    pub fn freeze(&self) {
        let now = self.clock.now().as_second();
        self.state().deliveries.freeze(Some(now));
    }

    /// Adds a correction by the provider to a number of a message, from now on.
    pub fn restate(&self, id: u64, leaf: Leaf, outcome: EngagelabOutcome, by: i64) {
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

    /// Returns the number of requests refused by the rate limit so far.
    pub fn refused(&self) -> u64 {
        self.state().limit.refused
    }

    /// Returns the error for a request without valid credentials, over the rate limit or without a valid plan.
    fn refusal(&self, request: &Request<Vec<u8>>, state: &mut EngagelabState) -> Option<Response<Vec<u8>>> {
        if !has_basic_auth(request, &self.app.app_key, &self.app.master_secret) {
            return Some(error(401, 21004, "basic authentication failed"));
        }
        if !state.limit.admit(self.clock.now().as_millisecond()) {
            return Some(error(400, 23008, "exceeds the qps limit of the app"));
        }
        let is_push = request.method() == Method::POST;
        (!is_push && !self.app.is_vip).then(|| error(401, 21038, "vip expired or not activated"))
    }

    /// Answers `GET /v4/status/detail`.
    fn detail(&self, request: &Request<Vec<u8>>, state: &mut EngagelabState) -> Response<Vec<u8>> {
        let ids = parameter(request, "message_ids").unwrap_or_default();
        let ids: Option<Vec<u64>> = ids.split(',').map(|id| id.parse().ok()).collect();
        let is_allowed = |ids: &Vec<u64>| ids.len() <= 100 && !ids.iter().any(|id| state.refused_ids.contains(id));
        let Some(ids) = ids.filter(is_allowed) else { return error(400, 1003, "message_ids is invalid") };
        *state.calls.entry(ids.len()).or_default() += 1;
        state.answers += 1;
        let now = self.clock.now().as_second();
        let mut messages = Map::new();
        for id in ids {
            let Some(counts) = state.deliveries.answered(id, now, DELAY..self.app.answered) else { continue };
            let plan = state.plans.iter().find(|(_, ids)| ids.contains(&id)).map(|(plan, _)| plan.as_str());
            messages.insert(id.to_string(), message(id, &counts, plan, state));
        }
        answer(200, &Value::Object(messages))
    }

    /// Answers `GET /v4/status/users`, by days alone.
    fn answer_users(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let first = parameter(request, "start").and_then(|start| beijing::parse(&start));
        let duration = parameter(request, "duration").and_then(|duration| duration.parse::<i64>().ok());
        let (Some(first), Some(duration), Some("DAY")) =
            (first, duration.filter(|days| (1..=60).contains(days)), parameter(request, "time_unit").as_deref())
        else {
            return error(400, 1003, "time_unit, start or duration is invalid");
        };
        if first + duration - 1 > beijing::day_of(self.clock.now().as_second()) {
            return error(400, 1003, "start is in the future");
        }
        let item = |day: i64| {
            let mut item = Map::from_iter([("time".to_owned(), json!(beijing::format(day)))]);
            for (platform, counts) in users(self.app.seed, day) {
                let counts = counts.map(|(name, count)| (name.to_owned(), json!(count)));
                item.insert(platform.to_owned(), Map::from_iter(counts).into());
            }
            Value::Object(item)
        };
        let items: Vec<Value> = (first..first + duration).map(item).collect();
        let start = beijing::format(first);
        answer(200, &json!({ "TimeUnit": "DAY", "start": start, "duration": duration, "items": items }))
    }

    /// Answers `GET /v4/status/plan/msg/`.
    fn plan_messages(&self, request: &Request<Vec<u8>>, state: &EngagelabState) -> Response<Vec<u8>> {
        let day = |name: &str| parameter(request, name).and_then(|day| beijing::parse(&day));
        let (Some(plans), Some(start), Some(end)) =
            (parameter(request, "plan_ids"), day("start_date"), day("end_date"))
        else {
            return error(400, 1003, "plan_ids, start_date or end_date is invalid");
        };
        let plans: HashSet<&str> = plans.split(',').collect();
        let oldest = beijing::day_of(self.clock.now().as_second()) - PLAN_DAYS.0;
        if plans.len() > 1000 || start < oldest || !(1..=PLAN_DAYS.1).contains(&(end - start + 1)) {
            return error(400, 1003, "plan_ids, start_date or end_date is out of range");
        }
        let is_of_range = |id: &&u64| {
            let sent_at = state.deliveries.messages.get(id).map(|message| beijing::day_of(message.sent_at));
            sent_at.is_some_and(|day| (start..=end).contains(&day))
        };
        let mut answered = Map::new();
        for (plan, ids) in state.plans.iter().filter(|(plan, _)| plans.contains(plan.as_str())) {
            let ids: Vec<String> = ids.iter().filter(is_of_range).map(u64::to_string).collect();
            answered.insert(plan.clone(), json!({ "msg_ids": ids }));
        }
        answer(200, &Value::Object(answered))
    }

    /// Answers `POST /v4/push`.
    fn take_push(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let push: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let body = &push["body"];
        let is_notification = body["notification"].is_object();
        if push["to"].is_null() || body["platform"].is_null() || !(is_notification || body["message"].is_object()) {
            return error(400, 21002, "parameter missing");
        }
        let id = match (is_notification, body["options"]["plan_id"].as_str()) {
            (true, Some(plan)) => self.push_under(plan, DEVICES),
            (true, None) => self.push(DEVICES),
            (false, _) => self.push_others(DEVICES),
        };
        answer(200, &json!({ "request_id": format!("{id:x}"), "msg_id": id.to_string() }))
    }
}

/// Returns the numbers of a message as the document writes them.
fn message(id: u64, counts: &Counts, plan: Option<&str>, state: &EngagelabState) -> Value {
    let five = |is_of_kind: bool, is_part: &dyn Fn(Leaf) -> bool| {
        // Kinds have one spelling in the document and another in newer SDKs.
        let has_other_names = is_of_kind && state.answers.is_multiple_of(2);
        let field = |(outcome, name, of_kind): (EngagelabOutcome, &str, &str)| {
            let parts = counts.iter().filter(|((leaf, of), _)| *of == outcome && is_part(*leaf));
            let name = if has_other_names { of_kind } else { name };
            (name.to_owned(), Value::from(parts.map(|(_, count)| count).sum::<i64>()))
        };
        Value::Object(Map::from_iter(OUTCOMES.map(field)))
    };
    let mut fields = five(false, &|_| true);
    fields["pushContent"] = json!({ "notification": { "alert": "a text that is nobody's business" } });
    if let Some(plan) = plan {
        fields["plan_id"] = plan.into();
    }
    let mut kinds: Map<String, Value> = ["notification", "message", "live_activity", "voip", "inapp_message"]
        .map(|kind| (kind.to_owned(), json!({})))
        .into_iter()
        .collect();
    if state.without_parts.contains(&id) {
        // The whole of `sub` may be absent.
        if id.is_multiple_of(2) {
            fields["sub"] = kinds.into();
        }
        return fields;
    }
    let leaves: BTreeMap<Leaf, ()> = counts.keys().map(|(leaf, _)| (*leaf, ())).collect();
    for (kind, platform, channel) in leaves.into_keys() {
        let totals = kinds.entry(kind).or_insert(json!({}));
        if totals.get("sent").is_none() {
            *totals = five(true, &|leaf| leaf.0 == kind);
        }
        let platform_name = format!("sub_{platform}");
        let counts = five(false, &|leaf| leaf == (kind, platform, channel));
        // The document does not say in which form the numbers of live activities come.
        if kind == "live_activity" && id.is_multiple_of(2) {
            totals[&platform_name] = counts;
            continue;
        }
        if totals.get(&platform_name).is_none() {
            totals[&platform_name] = json!({});
        }
        totals[&platform_name][channel] = counts;
    }
    fields["sub"] = kinds.into();
    fields
}

/// Answers `GET /v4/push_plan/list`.
fn list_plans(request: &Request<Vec<u8>>, state: &mut EngagelabState) -> Response<Vec<u8>> {
    let number = |name: &str| parameter(request, name).and_then(|number| number.parse::<usize>().ok());
    let (page, size) = (number("page_index").unwrap_or(1), number("page_size").unwrap_or(10));
    if page == 0 || !(1..=100).contains(&size) {
        return error(400, 21003, "page_index or page_size is invalid");
    }
    state.answers += 1;
    // SDKs before 0.1.1 read the id under another name.
    let name = if state.answers.is_multiple_of(2) { "push_id" } else { "plan_id" };
    let describe = |(plan, ids): &(String, Vec<u64>)| {
        json!({
            name: plan, "plan_description": "a text that is nobody's business", "count": ids.len(),
            "create_time": 1_754_000_000_000_i64, "last_used_time": 1_795_900_000_000_i64, "entity_tag": "",
        })
    };
    let plans: Vec<Value> = state.plans.iter().skip((page - 1) * size).take(size).map(describe).collect();
    answer(200, &json!({ "push_plan_info": plans, "total": state.plans.len() }))
}

/// Returns the users of a day.
fn users(seed: u64, day: i64) -> BTreeMap<&'static str, UserCounts> {
    let mut found = BTreeMap::new();
    for (index, (platform, share)) in PLATFORMS.into_iter().enumerate() {
        let mut random = fastrand::Rng::with_seed(seed ^ (day as u64) << 8 ^ index as u64);
        let mut count = |of: f64| (of * share * (0.8 + 0.4 * random.f64())) as i64;
        found.insert(platform, [("new", count(700.0)), ("active", count(5_000.0)), ("online", count(22_000.0))]);
    }
    found
}

impl Simulator for EngagelabSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path = request.uri().path();
        if request.method() == Method::POST && path == "/v4/push" {
            let refusal = self.refusal(request, &mut self.state());
            return refusal.unwrap_or_else(|| self.take_push(request));
        }
        const PATHS: [&str; 4] =
            ["/v4/status/detail", "/v4/status/users", "/v4/push_plan/list", "/v4/status/plan/msg/"];
        if !PATHS.contains(&path) {
            return text(404, "404 page not found");
        }
        if request.method() != Method::GET {
            return error(405, 21001, "method not allowed");
        }
        let mut state = self.state();
        self.refusal(request, &mut state).unwrap_or_else(|| match path {
            "/v4/status/detail" => self.detail(request, &mut state),
            "/v4/status/users" => self.answer_users(request),
            "/v4/push_plan/list" => list_plans(request, &mut state),
            _ => self.plan_messages(request, &state),
        })
    }
}

fn error(status: u16, code: u32, message: &str) -> Response<Vec<u8>> {
    answer(status, &json!({ "error": { "code": code, "message": message } }))
}
