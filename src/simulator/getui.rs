//! Simulator of Getui: tokens by signature, days and tasks by channel, users, and quotas. What devices receive up to three
//! days after a push is added to the day of the push.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use http::{Method, Request, Response};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value, json};

use crate::simulator::{SimulatedLimit, Simulator, Trouble, around, beijing};
use crate::util::clock::Clock;

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct GetuiApp {
    /// Id of the app (appId).
    pub app_id: String,
    /// Key of the app (appKey).
    pub app_key: String,
    /// Secret of the app (masterSecret).
    pub master_secret: String,
    /// Lifetime of a token in seconds.
    pub token_life: i64,
    /// Maximum number of report calls in a minute.
    pub per_minute: usize,
    /// Pushes per day to single users, over all channels.
    pub per_day: f64,
    /// Seconds between events of a channel.
    pub step: i64,
    /// Number of past days with events at the start.
    pub history: i64,
    /// Number of days for which events are kept.
    pub kept: i64,
    /// Seconds after midnight at which the day before appears.
    pub published: i64,
    /// Seed of the events.
    pub seed: u64,
}

impl GetuiApp {
    /// Creates a busy app with some days of history, whose days appear at two o'clock.
    pub fn demo(app_id: &str) -> GetuiApp {
        GetuiApp {
            app_id: app_id.to_owned(),
            app_key: "demo-app-key-getui".to_owned(),
            master_secret: "demo-master-secret-getui".to_owned(),
            token_life: beijing::DAY,
            per_minute: 120,
            per_day: 60_000.0,
            step: 60,
            history: 4,
            kept: 10,
            published: 2 * 3600,
            seed: 1,
        }
    }
}

/// Outcome of a number of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GetuiOutcome {
    /// Sent (`target_num`).
    Target,
    /// Arrived on the device.
    Receive,
    /// Shown.
    Display,
    /// Clicked.
    Click,
}

impl GetuiOutcome {
    /// All outcomes.
    pub const ALL: [GetuiOutcome; 4] =
        [GetuiOutcome::Target, GetuiOutcome::Receive, GetuiOutcome::Display, GetuiOutcome::Click];

    fn field(self) -> &'static str {
        match self {
            GetuiOutcome::Target => "target_num",
            GetuiOutcome::Receive => "receive_num",
            GetuiOutcome::Display => "display_num",
            GetuiOutcome::Click => "click_num",
        }
    }
}

/// Users of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetuiUsers {
    /// New on the day.
    pub register_num: i64,
    /// Connected on the day.
    pub active_num: i64,
    /// Highest number that was online.
    pub online_num: i64,
}

/// The channels: key, share of all pushes, and true if the vendor sends receipts.
const CHANNELS: [(&str, f64, bool); 8] = [
    ("gt", 0.3, true),
    ("ios", 0.2, true),
    ("hw", 0.2, true),
    ("xm", 0.12, true),
    ("op", 0.1, true),
    ("vv", 0.06, true),
    ("mz", 0.01, false),
    ("st", 0.01, false),
];
/// Longest time in seconds after which a device still receives a push.
const LONGEST_LIFE: i64 = 3 * beijing::DAY;
/// Days for which reports are kept.
const ANSWERED: i64 = 90;
/// Maximum number of ids in a call.
const MAX_IDS: usize = 200;
/// Maximum deviation of a request's clock in milliseconds.
const MAX_SKEW: i64 = 600_000;

/// Counts by channel and outcome.
type GetuiCounts = HashMap<(&'static str, GetuiOutcome), i64>;

#[derive(Clone, Debug)]
struct GetuiEvent {
    /// Day of the push, for which the event counts.
    day: i64,
    /// Task of the push, unless it was to a single user.
    task: Option<String>,
    channel: &'static str,
    outcome: GetuiOutcome,
    count: i64,
}

struct GetuiTask {
    day: i64,
    /// Devices after filtering.
    devices: i64,
    counts: GetuiCounts,
}

/// Simulator of one app.
pub struct GetuiSimulator {
    clock: Clock,
    app: GetuiApp,
    state: Mutex<GetuiState>,
}

struct GetuiState {
    random: fastrand::Rng,
    grown_until: i64,
    /// The truth: counts of the events until now, by the day of the push.
    days: BTreeMap<i64, GetuiCounts>,
    tasks: HashMap<String, GetuiTask>,
    /// Future events, by Unix seconds.
    to_come: BTreeMap<i64, Vec<GetuiEvent>>,
    /// Unix seconds after which nothing happens.
    frozen_at: Option<i64>,
    /// Days that are missing from all answers before a time in Unix seconds.
    late: HashMap<i64, i64>,
    troubles: HashMap<String, Trouble>,
    tokens: HashMap<String, i64>,
    token_requests: u64,
    limit: SimulatedLimit,
    token_limit: SimulatedLimit,
}

impl GetuiSimulator {
    /// Creates the simulator with the history of the app up to now.
    pub fn new(clock: Clock, app: GetuiApp) -> GetuiSimulator {
        let now = clock.now().as_second();
        let state = GetuiState {
            random: fastrand::Rng::with_seed(app.seed),
            grown_until: beijing::start_of(beijing::day_of(now) - app.history),
            days: BTreeMap::new(),
            tasks: HashMap::new(),
            to_come: BTreeMap::new(),
            frozen_at: None,
            late: HashMap::new(),
            troubles: HashMap::new(),
            tokens: HashMap::new(),
            token_requests: 0,
            limit: SimulatedLimit::new(app.per_minute, 60_000),
            token_limit: SimulatedLimit::new(100, 60_000),
        };
        GetuiSimulator { clock, app, state: Mutex::new(state) }
    }

    /// Locks the state and advances it to now.
    fn state(&self) -> MutexGuard<'_, GetuiState> {
        let mut state = self.state.lock();
        let now = self.clock.now().as_second();
        let until = state.frozen_at.map_or(now, |at| at.min(now));
        state.grow(until, &self.app);
        state
    }

    /// Pushes a task to a number of devices, and returns its id.
    pub fn push(&self, devices: i64) -> String {
        let now = self.clock.now().as_second();
        let mut state = self.state();
        let day = beijing::day_of(now);
        let (_, month, of_month) = beijing::civil(day);
        let id = format!("RASL_{month:02}{of_month:02}_{:032x}", state.random.u128(..));
        state.tasks.insert(id.clone(), GetuiTask { day, devices, counts: GetuiCounts::new() });
        for (channel, share, has_receipts) in CHANNELS {
            let pushes = (devices as f64 * share) as i64;
            state.schedule(now, (day, Some(&id)), (channel, has_receipts), pushes, self.app.step);
        }
        id
    }

    /// Stops everything: no number changes from now on.
    pub fn freeze(&self) {
        self.state().frozen_at = Some(self.clock.now().as_second());
    }

    /// Returns the true count of an outcome until now, for all pushes of a day (`yyyy-MM-dd`) on one channel.
    pub fn truth(&self, day: &str, channel: &str, outcome: GetuiOutcome) -> i64 {
        let state = self.state();
        let counts = beijing::parse(day).and_then(|day| state.days.get(&day));
        counts.map_or(0, |counts| count_of(counts, channel, outcome))
    }

    /// Returns the true count of an outcome until now, for one task on one channel.
    pub fn truth_of_task(&self, id: &str, channel: &str, outcome: GetuiOutcome) -> i64 {
        self.state().tasks.get(id).map_or(0, |task| count_of(&task.counts, channel, outcome))
    }

    /// Returns the true users of a day (`yyyy-MM-dd`).
    pub fn users(&self, day: &str) -> Option<GetuiUsers> {
        beijing::parse(day).map(users)
    }

    /// Returns the number of devices that are online at a time in Unix seconds.
    pub fn online(&self, at: i64) -> i64 {
        online(at)
    }

    /// Adds a correction by the provider to the numbers of a day, from now on.
    pub fn restate(&self, day: &str, channel: &'static str, outcome: GetuiOutcome, by: i64) {
        if let Some(day) = beijing::parse(day) {
            self.state().happen(GetuiEvent { day, task: None, channel, outcome, count: by });
        }
    }

    /// Omits a day from all answers until a time in Unix seconds.
    pub fn delay(&self, day: &str, until: i64) {
        if let Some(day) = beijing::parse(day) {
            self.state().late.insert(day, until);
        }
    }

    /// Sets the trouble of a channel from now on; [`Trouble::NONE`] ends it.
    pub fn trouble(&self, channel: &str, trouble: Trouble) {
        self.state().troubles.insert(channel.to_owned(), trouble);
    }

    /// Revokes all tokens, including those that have not expired.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Returns the number of requests for a token so far.
    pub fn token_requests(&self) -> u64 {
        self.state().token_requests
    }

    /// Returns the number of requests refused by a rate limit so far.
    pub fn refused(&self) -> u64 {
        let state = self.state();
        state.limit.refused + state.token_limit.refused
    }

    fn token(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let now = self.clock.now().as_millisecond();
        let mut state = self.state();
        state.token_requests += 1;
        if !state.token_limit.admit(now) {
            return error(401, 10_003, "auth request too frequently");
        }
        let timestamp = match &body["timestamp"] {
            Value::String(timestamp) => timestamp.clone(),
            Value::Number(timestamp) => timestamp.to_string(),
            _ => return error(400, 20_001, "timestamp is null"),
        };
        if body["appkey"] != *self.app.app_key {
            return error(400, 20_001, "appkey is error");
        }
        if timestamp.parse::<i64>().is_ok_and(|sent| (sent - now).abs() > MAX_SKEW) || timestamp.len() != 13 {
            return error(400, 20_001, "timestamp is expired");
        }
        let signed = format!("{}{timestamp}{}", self.app.app_key, self.app.master_secret);
        let sign: String =
            digest(&SHA256, signed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if body["sign"] != *sign {
            return error(400, 20_001, "sign is error");
        }
        let token = format!("{:032x}", state.random.u128(..));
        let expiry = now + self.app.token_life * 1000;
        state.tokens.insert(token.clone(), expiry);
        state.tokens.retain(|_, expiry| *expiry > now);
        success(json!({ "expire_time": expiry.to_string(), "token": token }))
    }

    fn report(&self, request: &Request<Vec<u8>>, path: &[&str]) -> Response<Vec<u8>> {
        let now = self.clock.now();
        let mut state = self.state();
        let token = request.headers().get("token").and_then(|token| token.to_str().ok());
        let is_known =
            token.and_then(|token| state.tokens.get(token)).is_some_and(|expiry| *expiry > now.as_millisecond());
        if !is_known {
            return error(401, 10_001, "token is invalid or expired");
        }
        if !state.limit.admit(now.as_millisecond()) {
            return error(401, 10_005, "request too frequently");
        }
        let now = now.as_second();
        match path {
            ["push", "date", day] => match past_day(day, now) {
                Some(day) => state.push_date(day, now, self.app.published),
                None => error(400, 20_001, "date is error"),
            },
            ["push", "task", ids] => {
                let ids: Vec<&str> = ids.split(',').collect();
                if ids.len() > MAX_IDS {
                    return error(400, 20_001, "taskid num is over limit");
                }
                success(ids.into_iter().filter_map(|id| Some((id.to_owned(), state.task(id, now)?))).collect())
            }
            ["push", "count"] => state.push_count(now),
            ["user", "date", day] => match past_day(day, now) {
                Some(number) if now >= beijing::start_of(number + 1) + self.app.published => {
                    let GetuiUsers { register_num, active_num, online_num } = users(number);
                    success(json!({ *day: {
                        "accumulative_num": 50_000 + number, "register_num": register_num,
                        "active_num": active_num, "online_num": online_num,
                    } }))
                }
                Some(_) => success(json!({})),
                None => error(400, 20_001, "date is error"),
            },
            ["online_user"] => {
                let last = now.div_euclid(600) * 600;
                let points: Map<String, Value> = (0..144)
                    .map(|back| last - back * 600)
                    .map(|at| ((at * 1000).to_string(), online(at).into()))
                    .collect();
                success(json!({ "online_statics": points }))
            }
            _ => error(404, 404, "Not Found"),
        }
    }
}

impl GetuiState {
    fn grow(&mut self, now: i64, app: &GetuiApp) {
        while self.grown_until + app.step <= now {
            let at = self.grown_until;
            let expected = app.per_day * beijing::rhythm(at) * app.step as f64 / beijing::DAY as f64;
            for (channel, share, has_receipts) in CHANNELS {
                let pushes = around(&mut self.random, expected * share);
                self.schedule(at, (beijing::day_of(at), None), (channel, has_receipts), pushes, app.step);
            }
            self.grown_until += app.step;
            self.pass(now);
        }
        self.pass(now);
        let oldest = beijing::day_of(now) - app.kept;
        self.days.retain(|day, _| *day >= oldest);
        self.tasks.retain(|_, task| task.day >= oldest);
    }

    /// Schedules what becomes of pushes on one channel: most arrive at once, the others when their device is online again.
    fn schedule(
        &mut self,
        at: i64,
        (day, task): (i64, Option<&str>),
        (channel, has_receipts): (&'static str, bool),
        pushes: i64,
        step: i64,
    ) {
        let trouble = self.troubles.get(channel).copied().unwrap_or(Trouble::NONE);
        let random = &mut self.random;
        let mut some = |of: i64, share: f64| (0..of).filter(|_| random.f64() < share).count() as i64;
        let sent = pushes - some(pushes, trouble.refused);
        let receivers = if has_receipts { some(sent, 0.85 * (1.0 - trouble.lost)) } else { 0 };
        let at_once = some(receivers, 0.8);
        let mut event = |at: i64, outcome, count: i64| {
            if count > 0 {
                let task = task.map(str::to_owned);
                self.to_come.entry(at).or_default().push(GetuiEvent { day, task, channel, outcome, count });
            }
        };
        event(at, GetuiOutcome::Target, sent);
        let late_at = at + random.i64(3600..LONGEST_LIFE - 3600);
        for (at, received) in [(at + (step as f64 * trouble.slower) as i64, at_once), (late_at, receivers - at_once)] {
            let displayed = (received as f64 * 0.7) as i64;
            event(at, GetuiOutcome::Receive, received);
            event(at + 30, GetuiOutcome::Display, displayed);
            event(at + 300, GetuiOutcome::Click, (displayed as f64 * 0.07 * (1.0 - trouble.unclicked)) as i64);
        }
    }

    /// Counts the events until now and drops them, so that a demo does not keep every event.
    fn pass(&mut self, now: i64) {
        while let Some(first) = self.to_come.first_entry().filter(|first| *first.key() <= now) {
            first.remove().into_iter().for_each(|event| self.happen(event));
        }
    }

    fn happen(&mut self, event: GetuiEvent) {
        let GetuiEvent { day, task, channel, outcome, count } = event;
        *self.days.entry(day).or_default().entry((channel, outcome)).or_default() += count;
        if let Some(task) = task.and_then(|task| self.tasks.get_mut(&task)) {
            *task.counts.entry((channel, outcome)).or_default() += count;
        }
    }

    fn push_date(&self, day: i64, now: i64, published: i64) -> Response<Vec<u8>> {
        let is_late = self.late.get(&day).is_some_and(|until| now < *until);
        match self.days.get(&day).filter(|_| !is_late && now >= beijing::start_of(day + 1) + published) {
            Some(counts) => success(json!({ beijing::format(day): blocks(counts) })),
            None => success(Value::Null),
        }
    }

    /// Returns the blocks of a task; nothing for one that is unknown or has expired.
    fn task(&self, id: &str, now: i64) -> Option<Value> {
        let task = self.tasks.get(id).filter(|task| beijing::day_of(now) - task.day <= ANSWERED)?;
        let mut blocks = blocks(&task.counts);
        blocks["total"]["msg_num"] = task.devices.into();
        Some(blocks)
    }

    /// Answers today's quotas, with numbers and texts mixed as in the document.
    fn push_count(&self, now: i64) -> Response<Vec<u8>> {
        let today = self.days.get(&beijing::day_of(now));
        let sent = |channel| today.map_or(0, |counts| count_of(counts, channel, GetuiOutcome::Target));
        let (vivo, oppo, xiaomi) = (sent("vv"), sent("op"), sent("xm"));
        let left = |total: i64, used: i64| (total - used).max(0);
        success(json!({
            // Requests, of which more may be made than there are arrivals.
            "vv": {
                "special": { "push_num": vivo / 10, "total_num": "8000", "limit": vivo / 10 >= 8000 },
                "general": { "push_num": vivo, "total_num": "6000", "limit": vivo >= 6000 },
                "grouppush": { "push_num": 3, "total_num": "500", "limit": false },
            },
            "op": { "general": {
                "total_num": "70000", "remain_num": left(70_000, oppo).to_string(), "limit": oppo >= 70_000,
            } },
            "xm": { "general": {
                "total_num": 30_000, "remain_num": left(30_000, xiaomi), "limit": xiaomi >= 30_000,
            } },
            "gt": {
                "app": { "total_num": 100, "remain_num": 98, "limit": false },
                "app_with_tag": { "total_num": 200, "remain_num": 200, "limit": false },
                "list": { "total_num": 500_000, "remain_num": left(500_000, self.tasks.len() as i64), "limit": false },
            },
        }))
    }
}

impl Simulator for GetuiSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let ["v2", app_id, rest @ ..] = path.as_slice() else { return error(404, 404, "Not Found") };
        if *app_id != self.app.app_id {
            return error(200, 301, "the app belongs to another host");
        }
        match (request.method(), rest) {
            (&Method::POST, ["auth"]) => self.token(request),
            (&Method::GET, ["report", path @ ..]) => self.report(request, path),
            (_, ["auth"] | ["report", ..]) => error(405, 405, "Method Not Allowed"),
            _ => error(404, 404, "Not Found"),
        }
    }
}

fn count_of(counts: &GetuiCounts, channel: &str, outcome: GetuiOutcome) -> i64 {
    counts.iter().filter(|(key, _)| **key == (channel, outcome)).map(|(_, count)| *count).sum()
}

/// Returns the totals and the channels that had traffic, each with all four counts.
fn blocks(counts: &GetuiCounts) -> Value {
    let block = |of: &dyn Fn(GetuiOutcome) -> i64| -> Value {
        GetuiOutcome::ALL.into_iter().map(|outcome| (outcome.field().to_owned(), Value::from(of(outcome)))).collect()
    };
    let total = |outcome| CHANNELS.iter().map(|(channel, ..)| count_of(counts, channel, outcome)).sum();
    let mut blocks = json!({ "total": block(&total) });
    for (channel, ..) in CHANNELS {
        if GetuiOutcome::ALL.into_iter().any(|outcome| count_of(counts, channel, outcome) != 0) {
            blocks[channel] = block(&|outcome| count_of(counts, channel, outcome));
        }
    }
    blocks
}

/// Returns a day before today that still has numbers.
fn past_day(text: &str, now: i64) -> Option<i64> {
    let today = beijing::day_of(now);
    beijing::parse(text).filter(|day| (today - ANSWERED..today).contains(day))
}

fn users(day: i64) -> GetuiUsers {
    GetuiUsers { register_num: 200 + day % 7, active_num: 9000 + day % 11, online_num: 3300 + day % 13 }
}

fn online(at: i64) -> i64 {
    (2000.0 * beijing::rhythm(at)) as i64
}

fn success(data: Value) -> Response<Vec<u8>> {
    super::json(200, &json!({ "code": 0, "msg": "success", "data": data }))
}

fn error(status: u16, code: u32, message: &str) -> Response<Vec<u8>> {
    super::json(status, &json!({ "code": code, "msg": message }))
}
