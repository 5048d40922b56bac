//! Simulator of Easemob: app tokens and `offline-push`, 10 requests in 10 seconds.

use std::collections::{BTreeMap, HashMap};

use http::{Method, Request, Response};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::simulator::{SimulatedLimit, Simulator, Trouble, around, bearer, beijing, text};
use crate::util::clock::Clock;

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct EasemobApp {
    /// Id of the organization (企业 ID).
    pub org_name: String,
    /// Name of the application (应用名).
    pub app_name: String,
    /// Client id of the credentials.
    pub client_id: String,
    /// Client secret of the credentials.
    pub client_secret: String,
    /// True if the provider has opened the statistics for the app.
    pub is_opened: bool,
    /// Lifetime of a token in seconds.
    pub token_life: i64,
    /// Pushes per day over all channels.
    pub per_day: f64,
    /// Seconds between events of a channel.
    pub step: i64,
    /// Number of past days with events at the start.
    pub history: i64,
    /// Number of days for which events are kept.
    pub kept: i64,
    /// True if channels that report failures occasionally have many of them for an hour.
    pub has_bad_hours: bool,
    /// Seed of the events.
    pub seed: u64,
}

impl EasemobApp {
    /// Creates a busy app with a week of history.
    pub fn demo(org_name: &str, app_name: &str) -> EasemobApp {
        EasemobApp {
            org_name: org_name.to_owned(),
            app_name: app_name.to_owned(),
            client_id: "YXA6-demo-client".to_owned(),
            client_secret: "YXA6-demo-secret".to_owned(),
            is_opened: true,
            token_life: 7200,
            per_day: 400_000.0,
            step: 5,
            history: 7,
            kept: 10,
            has_bad_hours: true,
            seed: 1,
        }
    }
}

/// Outcome of a number of pushes of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EasemobOutcome {
    /// Accepted by the vendor.
    Success,
    /// Refused by the vendor.
    Fail,
    /// Arrived on the device.
    Arrive,
}

/// A number of pushes of a day with the same outcome at the same time.
#[derive(Clone, Copy, Debug)]
struct EasemobEvent {
    /// Day for which the event counts.
    day: i64,
    /// Key of the vendor.
    platform: &'static str,
    outcome: EasemobOutcome,
    /// Number of pushes.
    count: i64,
}

/// Counts by vendor key and outcome.
type EasemobCounts = HashMap<(&'static str, EasemobOutcome), i64>;

/// The channels: key, share of all pushes, usual share of failures, and true if arrivals are reported.
const CHANNELS: [(&str, f64, f64, bool); 8] = [
    ("APNS", 0.24, 0.004, false),
    ("ANDROID", 0.03, 0.02, false),
    ("XIAOMIPUSH", 0.14, 0.0, false),
    ("HUAWEIPUSH", 0.22, 0.03, false),
    ("MEIZUPUSH", 0.01, 0.05, false),
    ("OPPOPUSH", 0.17, 0.05, false),
    ("VIVOPUSH", 0.14, 0.05, true),
    ("HONOR", 0.05, 0.08, false),
];

/// Simulator of one app.
pub struct EasemobSimulator {
    clock: Clock,
    app: EasemobApp,
    state: Mutex<EasemobState>,
}

struct EasemobState {
    random: fastrand::Rng,
    grown_until: i64,
    /// The truth: counts of the events until now, by the day for which they count.
    happened: BTreeMap<i64, EasemobCounts>,
    /// Future events, by Unix seconds.
    to_come: BTreeMap<i64, Vec<EasemobEvent>>,
    /// Days that are missing from all answers before a time in Unix seconds.
    late: HashMap<i64, i64>,
    troubles: HashMap<String, Trouble>,
    tokens: HashMap<String, i64>,
    token_requests: u64,
    limit: SimulatedLimit,
}

impl EasemobSimulator {
    /// Creates the simulator with the history of the app up to now.
    pub fn new(clock: Clock, app: EasemobApp) -> EasemobSimulator {
        let now = clock.now().as_second();
        let state = EasemobState {
            random: fastrand::Rng::with_seed(app.seed),
            grown_until: beijing::start_of(beijing::day_of(now) - app.history),
            happened: BTreeMap::new(),
            to_come: BTreeMap::new(),
            late: HashMap::new(),
            troubles: HashMap::new(),
            tokens: HashMap::new(),
            token_requests: 0,
            limit: SimulatedLimit::new(10, 10_000),
        };
        EasemobSimulator { clock, app, state: Mutex::new(state) }
    }

    /// Locks the state and advances it to now.
    fn state(&self) -> MutexGuard<'_, EasemobState> {
        let mut state = self.state.lock();
        state.grow(self.clock.now().as_second(), &self.app);
        state
    }

    /// Returns the true count of an outcome until now, for the pushes of a day (`yyyy-MM-dd`) on one channel.
    pub fn truth(&self, day: &str, platform: &str, outcome: EasemobOutcome) -> i64 {
        let state = self.state();
        let counts = beijing::parse(day).and_then(|day| state.happened.get(&day)).into_iter().flatten();
        counts.filter(|(key, _)| **key == (platform, outcome)).map(|(_, count)| *count).sum()
    }

    /// Adds a correction by the provider to the numbers of a day, from now on.
    pub fn restate(&self, day: &str, platform: &'static str, outcome: EasemobOutcome, by: i64) {
        if let Some(day) = beijing::parse(day) {
            self.state().happen(EasemobEvent { day, platform, outcome, count: by });
        }
    }

    /// Sets the trouble of a channel from now on, beyond the usual failures; [`Trouble::NONE`] ends it.
    pub fn trouble(&self, platform: &str, trouble: Trouble) {
        self.state().troubles.insert(platform.to_owned(), trouble);
    }

    /// Omits a day from all answers until a time in Unix seconds.
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

    fn token(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let now = self.clock.now().as_second();
        let mut state = self.state();
        state.token_requests += 1;
        if body["grant_type"] != "client_credentials" {
            return error(400, "invalid_request", "grant_type is not supported", now);
        }
        if body["client_id"] != *self.app.client_id {
            return error(400, "invalid_grant", "client_id does not match", now);
        }
        if body["client_secret"] != *self.app.client_secret {
            return error(400, "invalid_grant", "client_secret does not match", now);
        }
        let token = format!("YWMt{:032x}", state.random.u128(..));
        state.tokens.insert(token.clone(), now + self.app.token_life);
        state.tokens.retain(|_, expiry| *expiry > now);
        let answer = json!({ "access_token": token, "expires_in": self.app.token_life, "application": "8be024f0-e978-11e8-b697-5d598d5f8402" });
        super::json(200, &answer)
    }

    fn offline_push(&self, request: &Request<Vec<u8>>, begin: &str, end: &str) -> Response<Vec<u8>> {
        let time = self.clock.now();
        let (now, now_ms) = (time.as_second(), time.as_millisecond());
        let mut state = self.state();
        let is_known = bearer(request).and_then(|token| state.tokens.get(token)).is_some_and(|expiry| *expiry > now);
        if !is_known {
            return error(401, "unauthorized", "Unable to authenticate (OAuth)", now);
        }
        if !state.limit.admit(now_ms) {
            return error(
                429,
                "reach_limit",
                "This request has reached api limit. If you have a higher need, please contact us.",
                now,
            );
        }
        if !self.app.is_opened {
            return error(403, "forbidden_op", "", now);
        }
        let (Some(begin), Some(end)) = (beijing::parse(begin), beijing::parse(end)) else {
            return error(400, "illegal_argument", "date must be yyyy-MM-dd", now);
        };
        let platform =
            request.uri().query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("platform=")));
        let Some(platform) =
            platform.filter(|name| *name == "ALL" || CHANNELS.iter().any(|channel| channel.0 == *name))
        else {
            return error(400, "illegal_argument", "platform is required", now);
        };
        let mut days = serde_json::Map::new();
        for day in begin..=end.min(begin + 31) {
            let mut platforms = serde_json::Map::new();
            // Zeros are omitted, as in the example of the document.
            for (&(name, outcome), &count) in state.happened.get(&day).into_iter().flatten() {
                if count > 0 && (platform == "ALL" || platform == name) {
                    let field = match outcome {
                        EasemobOutcome::Success => "successCount",
                        EasemobOutcome::Fail => "failCount",
                        EasemobOutcome::Arrive => "arriveCount",
                    };
                    let counts = platforms.entry(name).or_insert_with(|| json!({}));
                    counts[field] = count.into();
                }
            }
            let is_late = state.late.get(&day).is_some_and(|until| now < *until);
            if !platforms.is_empty() && !is_late {
                days.insert(beijing::format(day), platforms.into());
            }
        }
        super::json(200, &json!({ "status": "OK", "data": days }))
    }
}

impl EasemobState {
    fn grow(&mut self, now: i64, app: &EasemobApp) {
        while self.grown_until + app.step <= now {
            let at = self.grown_until;
            let day = beijing::day_of(at);
            let expected = app.per_day * beijing::rhythm(at) * app.step as f64 / beijing::DAY as f64;
            for (index, (platform, share, usual_failures, arrives)) in CHANNELS.into_iter().enumerate() {
                let pushes = around(&mut self.random, expected * share);
                let hour = at / 3600;
                let is_bad_hour = app.has_bad_hours && usual_failures > 0.0 && (hour * 7 + index as i64 * 13) % 61 == 0;
                let usual_failures = if is_bad_hour { 0.35 } else { usual_failures };
                let trouble = self.troubles.get(platform).copied().unwrap_or(Trouble::NONE);
                let failures = usual_failures.max(trouble.refused);
                // Draws each push separately, so that a small number of pushes is not rounded to zero.
                let random = &mut self.random;
                let mut some = |of: i64, share: f64| (0..of).filter(|_| random.f64() < share).count() as i64;
                let failed = some(pushes, failures);
                let sent = pushes - failed;
                let mut event = |at, outcome, count| {
                    if count > 0 {
                        self.to_come.entry(at).or_default().push(EasemobEvent { day, platform, outcome, count });
                    }
                };
                event(at, EasemobOutcome::Success, sent);
                event(at, EasemobOutcome::Fail, failed);
                if arrives {
                    let arriving = some(sent, 1.0 - trouble.lost);
                    let at_once = some(arriving, 0.7);
                    event(at + (app.step as f64 * trouble.slower) as i64, EasemobOutcome::Arrive, at_once);
                    event(at + (900.0 * trouble.slower) as i64, EasemobOutcome::Arrive, some(arriving - at_once, 0.9));
                }
            }
            self.grown_until += app.step;
            self.pass(now);
        }
        self.pass(now);
        let oldest = beijing::day_of(now) - app.kept;
        self.happened.retain(|day, _| *day >= oldest);
    }

    /// Counts the events until now and drops them, so that a demo does not keep every event.
    fn pass(&mut self, now: i64) {
        while let Some(first) = self.to_come.first_entry().filter(|first| *first.key() <= now) {
            first.remove().into_iter().for_each(|event| self.happen(event));
        }
    }

    fn happen(&mut self, event: EasemobEvent) {
        let counts = self.happened.entry(event.day).or_default();
        *counts.entry((event.platform, event.outcome)).or_default() += event.count;
    }
}

impl Simulator for EasemobSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let now = self.clock.now().as_second();
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let [org, app, rest @ ..] = path.as_slice() else { return text(404, "Not Found") };
        if (*org, *app) != (self.app.org_name.as_str(), self.app.app_name.as_str()) {
            let description = format!("Could not find application for {org}/{app} from URI: {}", request.uri().path());
            return error(404, "organization_application_not_found", &description, now);
        }
        match (request.method(), rest) {
            (&Method::POST, ["token"]) => self.token(request),
            (&Method::GET, ["push", "data", "offline-push", "begin", begin, "end", end]) => {
                self.offline_push(request, begin, end)
            }
            _ => text(404, "Not Found"),
        }
    }
}

fn error(status: u16, error: &str, description: &str, now: i64) -> Response<Vec<u8>> {
    let exception = match error {
        "forbidden_op" => "EasemobForbiddenOpException",
        "unauthorized" => "org.apache.usergrid.rest.exceptions.SecurityException",
        _ => "com.easemob.RestException",
    };
    let body = json!({ "error": error, "exception": exception, "timestamp": now * 1000, "duration": 0, "error_description": description });
    super::json(status, &body)
}
