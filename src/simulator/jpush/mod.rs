//! Simulator of JPush: Basic authentication, every report of apps and groups with its permissions and rate limits, rate
//! limit headers, 28 days of data. The deliveries of a message are events over time: most within minutes, then a long
//! tail of days; channels differ in speed and loss.

mod answers;
mod pushes;
mod reports;
mod schedules;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use http::{HeaderValue, Method, Request, Response, header};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::simulator::{SimulatedLimit, Simulator, Trouble, beijing, text};
use crate::util::clock::Clock;
pub use answers::group_id;
use answers::{JpushCounts, details, messages_old, of_group_id, older, received, received_old};
use reports::parameter;
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

/// Outcome of a number of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JpushOutcome {
    /// The device remained after filtering.
    Target,
    /// The sending task was created.
    Sent,
    /// The push arrived on the device.
    Received,
    /// The push was displayed.
    Display,
    /// The push was clicked.
    Click,
}

const OUTCOMES: [(JpushOutcome, &str); 5] = [
    (JpushOutcome::Target, "target"),
    (JpushOutcome::Sent, "sent"),
    (JpushOutcome::Received, "received"),
    (JpushOutcome::Display, "display"),
    (JpushOutcome::Click, "click"),
];

/// A leaf of `details`: kind, platform and channel as the document writes them.
pub type Leaf = (&'static str, &'static str, &'static str);

/// A number of deliveries with the same outcome at the same time. Small, since a message has hundreds of them and a
/// demo pushes many messages.
#[derive(Clone, Copy, Debug)]
struct JpushEvent {
    /// Index of its channel in [`CHANNELS`].
    channel: u8,
    /// Seconds after the push; events in the future are not reported yet.
    after: i32,
    outcome: JpushOutcome,
    /// Number of deliveries; may be negative in a correction.
    count: i32,
}

/// A channel: its leaf, its share of a push, the seconds until half of it has arrived, and the shares that are sent,
/// that arrive, and that are clicked.
struct Channel {
    leaf: Leaf,
    share: f64,
    speed: f64,
    sent: f64,
    arrives: f64,
    clicked: f64,
}

const fn channel(leaf: Leaf, share: f64, speed: f64, sent: f64, arrives: f64, clicked: f64) -> Channel {
    Channel { leaf, share, speed, sent, arrives, clicked }
}

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

/// Arrival times and their shares of the deliveries: in multiples of the speed of the channel, then a tail in seconds.
const SOON: [(f64, f64); 5] = [(0.5, 0.30), (1.0, 0.25), (2.0, 0.18), (5.0, 0.12), (12.0, 0.07)];
const TAIL: [(i64, f64); 5] =
    [(1_800, 0.03), (7_200, 0.02), (6 * 3_600, 0.015), (30 * 3_600, 0.01), (4 * beijing::DAY, 0.005)];

/// Seconds after the push from which the statistics of a message can be queried.
const DELAY: i64 = 3;

/// Simulator of one app.
pub struct JpushSimulator {
    clock: Clock,
    app: JpushApp,
    state: Mutex<JpushState>,
}

struct JpushState {
    random: fastrand::Rng,
    last_id: u64,
    messages: BTreeMap<u64, JpushMessage>,
    refused_ids: HashSet<u64>,
    limit: SimulatedLimit,
    /// Rate limit of the Push API.
    push_limit: SimulatedLimit,
    /// Number of sent pushes, by day and channel.
    used: BTreeMap<(i64, &'static str), i64>,
    /// Number of calls, by their number of ids.
    calls: BTreeMap<usize, u64>,
    troubles: HashMap<&'static str, Trouble>,
    schedules: Vec<Schedule>,
    /// Time after which events are not reported, in Unix seconds.
    frozen_at: Option<i64>,
}

struct JpushMessage {
    sent_at: i64,
    events: Vec<JpushEvent>,
    has_vanished: bool,
}

impl JpushSimulator {
    /// Creates the simulator without any message.
    pub fn new(clock: Clock, app: JpushApp) -> JpushSimulator {
        let state = JpushState {
            random: fastrand::Rng::with_seed(app.seed),
            // Beyond 2^53, as real ids are.
            last_id: 38_280_845_540_235_675,
            messages: BTreeMap::new(),
            refused_ids: HashSet::new(),
            limit: SimulatedLimit::new(app.per_minute, 60_000),
            push_limit: SimulatedLimit::new(600, 60_000),
            used: BTreeMap::new(),
            calls: BTreeMap::new(),
            troubles: HashMap::new(),
            schedules: Vec::new(),
            frozen_at: None,
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
        state.last_id += state.random.u64(1..5_000);
        state.messages.retain(|_, message| message.sent_at + self.app.answered + self.app.kept > now);
        let today = beijing::day_of(now);
        state.used.retain(|(day, _), _| *day >= today);
        let mut events = Vec::new();
        for place in channels {
            let vendor = CHANNELS[place].leaf.2;
            let trouble = state.troubles.get(vendor).copied().unwrap_or(Trouble::NONE);
            let from = events.len();
            course(place, trouble, devices, &mut state.random, &mut events);
            for event in events[from..].iter().filter(|event| event.outcome == JpushOutcome::Sent) {
                let day = beijing::day_of(now + i64::from(event.after));
                *state.used.entry((day, vendor)).or_default() += i64::from(event.count);
            }
        }
        // Later events would never be reported.
        events.retain(|event| i64::from(event.after) <= self.app.answered + self.app.kept);
        events.shrink_to_fit();
        state.messages.insert(state.last_id, JpushMessage { sent_at: now, events, has_vanished: false });
        state.last_id
    }

    /// Returns the true counts of a message at a time in Unix seconds, by leaf and outcome.
    pub fn truth(&self, id: u64, by: i64) -> BTreeMap<(Leaf, JpushOutcome), i64> {
        let state = self.state();
        state.messages.get(&id).map(|message| message.counts(state.happened(by))).unwrap_or_default()
    }

    /// Sets the trouble of a channel, as named by `details`, from the next push on; [`Trouble::NONE`] ends it.
    pub fn trouble(&self, channel: &'static str, trouble: Trouble) {
        self.state().troubles.insert(channel, trouble);
    }

    /// Hides all events from now on, so that a test can compare a consistent state.
    pub fn freeze(&self) {
        let now = self.clock.now().as_second();
        self.state().frozen_at = Some(now);
    }

    /// Ends [`Self::freeze`]: reports the events since then too.
    pub fn thaw(&self) {
        self.state().frozen_at = None;
    }

    /// Adds a correction by the provider to a number of a message, from now on.
    pub fn restate(&self, id: u64, leaf: Leaf, outcome: JpushOutcome, by: i64) {
        let at = self.clock.now().as_second();
        let place = CHANNELS.iter().position(|channel| channel.leaf == leaf).unwrap_or(CHANNELS.len());
        assert!(place < CHANNELS.len(), "no channel has the leaf {leaf:?}");
        if let Some(message) = self.state().messages.get_mut(&id) {
            let after = (at - message.sent_at) as i32;
            message.events.push(JpushEvent { channel: place as u8, after, outcome, count: by as i32 });
        }
    }

    /// Removes the numbers of a message from all answers.
    pub fn vanish(&self, id: u64) {
        if let Some(message) = self.state().messages.get_mut(&id) {
            message.has_vanished = true;
        }
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
        if !self.knows(request) {
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
                if let (Some(message), Some(fields)) = (state.messages.get(id), item.as_object_mut())
                    && message.sent_at <= state.happened(now)
                    && message.has_data(now, self.app.answered)
                {
                    let counts = message.counts(state.happened(now));
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

    fn knows(&self, request: &Request<Vec<u8>>) -> bool {
        use base64::Engine;
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Basic "));
        let shown = shown.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        shown == Some(format!("{}:{}", self.app.app_key, self.app.master_secret).into_bytes())
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

    /// Returns the time until which events are reported.
    fn happened(&self, now: i64) -> i64 {
        self.frozen_at.map_or(now, |frozen| frozen.min(now))
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

/// Adds the events of a push to `devices` on the channel with this index.
fn course(place: usize, trouble: Trouble, devices: i64, random: &mut fastrand::Rng, events: &mut Vec<JpushEvent>) {
    let channel = &CHANNELS[place];
    let mut share = |of: i64, share: f64| {
        let expected = of as f64 * (share * (0.9 + 0.2 * random.f64())).min(1.0);
        ((expected + random.f64()).floor() as i64).min(of)
    };
    let mut event = |after: i64, outcome, count: i64| {
        if count > 0 {
            events.push(JpushEvent { channel: place as u8, after: after as i32 + 1, outcome, count: count as i32 });
        }
    };
    let target = share(devices, channel.share);
    let sent = share(target, channel.sent * (1.0 - trouble.refused));
    event(0, JpushOutcome::Target, target);
    event(0, JpushOutcome::Sent, sent);
    let arriving = share(sent, channel.arrives * (1.0 - trouble.lost));
    let speed = channel.speed * trouble.slower;
    let soon = SOON.map(|(speeds, share)| ((speeds * speed).ceil() as i64, share));
    let mut left = arriving;
    for (after, part) in soon.into_iter().chain(TAIL) {
        let received = share(arriving, part).min(left);
        left -= received;
        event(after, JpushOutcome::Received, received);
        let displayed = share(received, 0.95);
        event(after + 2, JpushOutcome::Display, displayed);
        event(after + 60, JpushOutcome::Click, share(displayed, channel.clicked * (1.0 - trouble.unclicked)));
    }
}

impl JpushMessage {
    fn has_data(&self, now: i64, answered: i64) -> bool {
        !self.has_vanished && (DELAY..answered).contains(&(now - self.sent_at))
    }

    fn counts(&self, now: i64) -> JpushCounts {
        let mut counts = BTreeMap::new();
        for event in self.events.iter().filter(|event| self.sent_at + i64::from(event.after) <= now) {
            *counts.entry((CHANNELS[usize::from(event.channel)].leaf, event.outcome)).or_default() +=
                i64::from(event.count);
        }
        counts
    }
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
