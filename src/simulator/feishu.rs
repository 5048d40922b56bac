//! Simulator of Feishu: tenant tokens and `message_push_overview`, 100 requests per minute, data two days late at
//! 10:00, weeks named by their Monday, months by their first day.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU16;

use http::{HeaderValue, Method, Request, Response};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::simulator::{SimulatedLimit, Simulator, around, bearer, beijing, text};
use crate::util::clock::Clock;

/// Time at which the numbers of a day are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// The whole day at 10:00 two days later, as documented.
    TwoDaysLater,
    /// Each event 48 hours after it happened, so that a demo has continuous data.
    PieceByPiece,
}

impl Publishing {
    /// Returns true if an event at `at`, counted for `day`, is published at `now`.
    fn shows(self, day: i64, at: i64, now: i64, late: &HashMap<i64, i64>) -> bool {
        match self {
            Publishing::PieceByPiece => at + 2 * beijing::DAY <= now,
            Publishing::TwoDaysLater => {
                let due = beijing::start_of(day + 2) + 10 * 3600;
                now >= late.get(&day).copied().unwrap_or(due)
            }
        }
    }
}

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct FeishuApp {
    /// App id: `cli_…`.
    pub app_id: String,
    /// App secret of the credentials.
    pub app_secret: String,
    /// True if the tenant has the edition that the statistics require.
    pub is_enterprise: bool,
    /// True if the scope is granted.
    pub has_scope: bool,
    /// Time at which numbers are published.
    pub publishing: Publishing,
    /// Messages per day.
    pub per_day: f64,
    /// Seconds between bursts of messages.
    pub step: i64,
    /// Number of users of the tenant.
    pub users: u16,
    /// Ids of the departments: the first holds half of the users, the second, inside the first, a quarter.
    pub departments: Vec<String>,
    /// Number of past days with messages at the start.
    pub history: i64,
    /// Number of days for which messages are kept.
    pub kept: i64,
    /// Seed of the events.
    pub seed: u64,
}

impl FeishuApp {
    /// Creates a tenant of 800 users with two departments and two months of history.
    pub fn demo(app_id: &str) -> FeishuApp {
        FeishuApp {
            app_id: app_id.to_owned(),
            app_secret: "demo-app-secret-feishu".to_owned(),
            is_enterprise: true,
            has_scope: true,
            publishing: Publishing::TwoDaysLater,
            per_day: 40_000.0,
            step: 10,
            users: 800,
            departments: vec!["od-sales".to_owned(), "od-sales-east".to_owned()],
            history: 70,
            kept: 75,
            seed: 2,
        }
    }
}

/// A message to one user. Small, since a demo keeps 200,000 of them.
#[derive(Clone, Copy, Debug)]
struct FeishuMessage {
    /// Seconds since the start of the day.
    sent: u32,
    user: u16,
    /// Number of steps until it was read, plus one; `None` if it was not read within 12 hours.
    read_after: Option<NonZeroU16>,
}

/// Numbers of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Number of messages sent.
    pub send_msg_count: i64,
    /// Number of distinct users.
    pub send_user_count: i64,
    /// Number of messages read within an hour.
    pub read_in_1h_count: i64,
    /// Number of messages read within twelve hours.
    pub read_in_12h_count: i64,
}

impl Overview {
    /// Adds all numbers except the users, who may be the same.
    fn add(&mut self, other: &Overview) {
        self.send_msg_count += other.send_msg_count;
        self.read_in_1h_count += other.read_in_1h_count;
        self.read_in_12h_count += other.read_in_12h_count;
    }
}

/// The totals of a day without further events: its single messages would fill the memory of a demo.
struct Past {
    /// Numbers of the tenant, then of each department.
    overviews: Vec<Overview>,
    users: BTreeSet<u16>,
}

/// Number of days after which every message and its reading are published, for any [`Publishing`].
const ALL_PUBLISHED: i64 = 4;

/// Simulator of one app.
pub struct FeishuSimulator {
    clock: Clock,
    app: FeishuApp,
    state: Mutex<FeishuState>,
}

struct FeishuState {
    random: fastrand::Rng,
    grown_until: i64,
    /// The truth, by the day of sending.
    messages: BTreeMap<i64, Vec<FeishuMessage>>,
    /// The truth of the days before those.
    past: BTreeMap<i64, Past>,
    /// Corrections: day, time from which it applies, and number of sent messages to add.
    corrections: Vec<(i64, i64, i64)>,
    /// Days whose data are late, with the time of publication in Unix seconds.
    late: HashMap<i64, i64>,
    /// Tokens and their expiry, the newest last.
    tokens: Vec<(String, i64)>,
    token_requests: u64,
    limit: SimulatedLimit,
}

const TOKEN_LIFE: i64 = 7200;

impl FeishuSimulator {
    /// Creates the simulator with the history of the app up to now.
    pub fn new(clock: Clock, app: FeishuApp) -> FeishuSimulator {
        let now = clock.now().as_second();
        let state = FeishuState {
            random: fastrand::Rng::with_seed(app.seed),
            grown_until: beijing::start_of(beijing::day_of(now) - app.history),
            messages: BTreeMap::new(),
            past: BTreeMap::new(),
            corrections: Vec::new(),
            late: HashMap::new(),
            tokens: Vec::new(),
            token_requests: 0,
            limit: SimulatedLimit::new(100, 60_000),
        };
        FeishuSimulator { clock, app, state: Mutex::new(state) }
    }

    /// Locks the state and advances it to now.
    fn state(&self) -> MutexGuard<'_, FeishuState> {
        let mut state = self.state.lock();
        state.grow(self.clock.now().as_second(), &self.app);
        state
    }

    /// Returns the true numbers of the days from `first` to `last` (`yyyy-MM-dd`), published or not, of the tenant
    /// (`None`) or a department.
    pub fn truth(&self, first: &str, last: &str, department: Option<&str>) -> Overview {
        let now = self.clock.now().as_second();
        let state = self.state();
        match (beijing::parse(first), beijing::parse(last)) {
            (Some(first), Some(last)) => state.overview(&self.app, first..=last, department, now, |_, _| true),
            _ => Overview::default(),
        }
    }

    /// Returns the part of [`Self::truth`] that is published by now.
    pub fn published(&self, first: &str, last: &str, department: Option<&str>) -> Overview {
        let now = self.clock.now().as_second();
        let state = self.state();
        match (beijing::parse(first), beijing::parse(last)) {
            (Some(first), Some(last)) => {
                let is_seen = |day, at| self.app.publishing.shows(day, at, now, &state.late);
                state.overview(&self.app, first..=last, department, now, is_seen)
            }
            _ => Overview::default(),
        }
    }

    /// Adds a correction, which may be negative, to the sent messages of a day, from now on.
    pub fn restate(&self, day: &str, by: i64) {
        let now = self.clock.now().as_second();
        if let Some(day) = beijing::parse(day) {
            self.state().corrections.push((day, now, by));
        }
    }

    /// Delays the publication of a day until a time in Unix seconds.
    pub fn delay(&self, day: &str, until: i64) {
        if let Some(day) = beijing::parse(day) {
            self.state().late.insert(day, until);
        }
    }

    /// Revokes all tokens, including those that have not expired.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Returns the number of requests for a token so far.
    pub fn token_requests(&self) -> u64 {
        self.state().token_requests
    }

    /// Returns the number of requests refused by the rate limit so far.
    pub fn refused(&self) -> u64 {
        self.state().limit.refused
    }

    /// Answers with the current token if it is valid for at least 30 minutes, otherwise with a new one; both are valid.
    fn token(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let now = self.clock.now().as_second();
        let mut state = self.state();
        state.token_requests += 1;
        if !body["app_id"].as_str().is_some_and(|id| id.starts_with("cli_")) {
            return super::json(200, &json!({ "code": 10003, "data": {}, "msg": "invalid param" }));
        }
        if body["app_id"] != *self.app.app_id {
            return super::json(200, &json!({ "code": 10014, "msg": "app id not exists" }));
        }
        if body["app_secret"] != *self.app.app_secret {
            return super::json(200, &json!({ "code": 10014, "msg": "app secret invalid" }));
        }
        state.tokens.retain(|(_, expiry)| *expiry > now);
        let (token, expiry) = match state.tokens.last() {
            Some((token, expiry)) if expiry - now >= 1800 => (token.clone(), *expiry),
            _ => {
                let new = (format!("t-{:032x}", state.random.u128(..)), now + TOKEN_LIFE);
                state.tokens.push(new.clone());
                new
            }
        };
        super::json(200, &json!({ "code": 0, "msg": "ok", "tenant_access_token": token, "expire": expiry - now }))
    }

    fn message_push_overview(&self, request: &Request<Vec<u8>>, app_id: &str) -> Response<Vec<u8>> {
        let time = self.clock.now();
        let (now, now_ms) = (time.as_second(), time.as_millisecond());
        let mut state = self.state();
        let Some(token) = bearer(request) else {
            return error(
                400,
                99_991_661,
                "Missing access token for authorization. Please make a request with token attached.",
            );
        };
        if !state.tokens.iter().any(|(known, expiry)| known == token && *expiry > now) {
            return error(
                400,
                99_991_663,
                "Invalid access token for authorization. Please make a test attempt with the correct token.",
            );
        }
        if !state.limit.admit(now_ms) {
            let mut limited = error(429, 99_991_400, "request trigger frequency limit");
            let headers = limited.headers_mut();
            headers.insert("x-ogw-ratelimit-limit", HeaderValue::from_static("100"));
            headers.insert("x-ogw-ratelimit-reset", HeaderValue::from(state.limit.reset_seconds(now_ms)));
            return limited;
        }
        if !self.app.has_scope {
            return error(
                400,
                99_991_672,
                "Access denied. One of the following scopes is required: [application:application.app_message_stats.overview:readonly].",
            );
        }
        if app_id != self.app.app_id {
            return error(400, 211_005, "invalid app id");
        }
        if !self.app.is_enterprise {
            return error(403, 211_004, "no authority for quota limit");
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let Some(first) = body["date"].as_str().and_then(beijing::parse) else {
            return error(400, 211_007, "invalid date format");
        };
        // The example of the document sends the number as a string.
        let cycle = body["cycle_type"].as_i64().or_else(|| body["cycle_type"].as_str()?.parse().ok());
        let department = body["department_id"].as_str();
        let today = beijing::day_of(now);
        let last = match cycle {
            Some(1) => first,
            Some(2) if beijing::weekday(first) == 0 => first + 6,
            Some(3) if beijing::civil(first).2 == 1 => {
                let (_, month, _) = beijing::civil(first);
                (first..first + 31).take_while(|day| beijing::civil(*day).1 == month).last().unwrap_or(first)
            }
            _ => return error(403, 211_010, "invalid date range"),
        };
        if first > today {
            return error(403, 211_010, "invalid date range");
        }
        let is_seen = |day, at| self.app.publishing.shows(day, at, now, &state.late);
        let overview = state.overview(&self.app, first..=last, department, now, is_seen);
        if overview == Overview::default() {
            return error(404, 211_011, "data not found");
        }
        let items = json!([
            { "metric_name": "send_msg_count", "metric_value": overview.send_msg_count },
            { "metric_name": "send_user_count", "metric_value": overview.send_user_count },
            { "metric_name": "read_in_1h_count", "metric_value": overview.read_in_1h_count },
            { "metric_name": "read_in_12h_count", "metric_value": overview.read_in_12h_count },
        ]);
        super::json(200, &json!({ "code": 0, "data": { "items": items }, "msg": "success" }))
    }
}

impl FeishuState {
    fn grow(&mut self, now: i64, app: &FeishuApp) {
        while self.grown_until + app.step <= now {
            let at = self.grown_until;
            let expected = app.per_day * beijing::rhythm(at) * app.step as f64 / beijing::DAY as f64;
            for _ in 0..around(&mut self.random, expected) {
                let user = self.random.u16(0..app.users.max(1));
                // Half of the messages are read within minutes, some within hours, some never.
                let read_after = match self.random.u32(0..10) {
                    0..5 => Some(self.random.i64(5..3600)),
                    5..8 => Some(self.random.i64(3600..12 * 3600)),
                    _ => None,
                };
                // Nothing happens between two steps, so that a test can read a consistent state.
                let read_after =
                    read_after.and_then(|after: i64| NonZeroU16::new(u16::try_from(after / app.step + 1).ok()?));
                let day = beijing::day_of(at);
                let message = FeishuMessage { sent: (at - beijing::start_of(day)) as u32, user, read_after };
                self.messages.entry(day).or_default().push(message);
            }
            self.grown_until += app.step;
            while let Some((&day, _)) = self.messages.first_key_value()
                && day + ALL_PUBLISHED <= beijing::day_of(at)
            {
                self.fold(day, app);
            }
        }
        let oldest = beijing::day_of(now) - app.kept;
        self.past.retain(|day, _| *day >= oldest);
    }

    /// Replaces the messages of a day by their totals.
    fn fold(&mut self, day: i64, app: &FeishuApp) {
        let places = std::iter::once(None).chain(app.departments.iter().map(|id| Some(id.as_str())));
        // Corrections are kept separately, since more may follow.
        let overviews = places.map(|place| self.overview(app, day..=day, place, i64::MIN, |_, _| true)).collect();
        let messages = self.messages.remove(&day).unwrap_or_default();
        self.past.insert(day, Past { overviews, users: messages.iter().map(|message| message.user).collect() });
    }

    /// Returns the numbers of the events for which `is_seen` holds; it takes the day and the time of an event.
    fn overview(
        &self,
        app: &FeishuApp,
        days: std::ops::RangeInclusive<i64>,
        department: Option<&str>,
        now: i64,
        is_seen: impl Fn(i64, i64) -> bool,
    ) -> Overview {
        let place = department.map(|id| app.departments.iter().position(|known| known == id));
        let is_member = |user: u16| match place {
            None => true,
            Some(Some(place)) => user.is_multiple_of(2 << place),
            Some(None) => false,
        };
        let mut users = BTreeSet::new();
        let mut overview = Overview::default();
        for (day, past) in self.past.range(days.clone()) {
            if is_seen(*day, beijing::start_of(*day)) {
                let index = place.map_or(Some(0), |place| place.map(|place| place + 1));
                index.and_then(|index| past.overviews.get(index)).into_iter().for_each(|numbers| overview.add(numbers));
                users.extend(past.users.iter().filter(|user| is_member(**user)));
            }
        }
        for (day, messages) in self.messages.range(days.clone()) {
            let sent = |message: &FeishuMessage| beijing::start_of(*day) + i64::from(message.sent);
            for message in messages.iter().filter(|message| is_member(message.user) && is_seen(*day, sent(message))) {
                overview.send_msg_count += 1;
                users.insert(message.user);
                let read_after = message.read_after.map(|steps| i64::from(steps.get() - 1) * app.step);
                if let Some(after) = read_after.filter(|after| is_seen(*day, sent(message) + after)) {
                    overview.read_in_1h_count += i64::from(after <= 3600);
                    overview.read_in_12h_count += 1;
                }
            }
        }
        overview.send_user_count = users.len() as i64;
        if department.is_none() && overview != Overview::default() {
            let of_window = |(day, from, _): &&(i64, i64, i64)| days.contains(day) && *from <= now;
            overview.send_msg_count += self.corrections.iter().filter(of_window).map(|(_, _, by)| by).sum::<i64>();
        }
        overview
    }
}

impl Simulator for FeishuSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::POST, ["open-apis", "auth", "v3", "tenant_access_token", "internal"]) => self.token(request),
            (
                &Method::POST,
                ["open-apis", "application", "v6", "applications", app_id, "app_usage", "message_push_overview"],
            ) => self.message_push_overview(request, app_id),
            _ => text(404, "404 page not found"),
        }
    }
}

fn error(status: u16, code: i64, message: &str) -> Response<Vec<u8>> {
    let body = json!({ "code": code, "msg": message, "error": { "log_id": "202603010000000000000000000000", "troubleshooter": "排查建议查看(Troubleshooting suggestions): https://open.feishu.cn" } });
    super::json(status, &body)
}
