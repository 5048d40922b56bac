//! Simulator of OneSignal: the list of an app's messages with both of its pagers, single messages, the rate limit and the
//! error bodies. Most deliveries of a message happen within minutes; confirmed deliveries and clicks have a tail of days.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Request, Response, header};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value, json};

use crate::simulator::{SimulatedLimit, Simulator, beijing, text};
use crate::util::clock::Clock;

/// Settings of a simulated app.
#[derive(Clone, Debug)]
pub struct OnesignalApp {
    /// App ID.
    pub app_id: String,
    /// App API Key.
    pub api_key: String,
    /// True if the plan has confirmed deliveries; `received` is 0 without.
    pub is_paid: bool,
    /// Seconds for which messages are listed.
    pub listed: i64,
    /// Seconds for which a message is kept after that, for the truth.
    pub kept: i64,
    /// Seed of the ids.
    pub seed: u64,
}

impl OnesignalApp {
    /// Creates an app with a paid plan.
    pub fn demo(app_id: &str) -> OnesignalApp {
        OnesignalApp {
            app_id: app_id.to_owned(),
            api_key: "os_v2_app_demo0000000000000001".to_owned(),
            is_paid: true,
            listed: 30 * beijing::DAY,
            kept: 10 * beijing::DAY,
            seed: 1,
        }
    }
}

/// Outcome of a number of deliveries, as the document names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnesignalOutcome {
    /// Accepted by the push service.
    Successful,
    /// The device has unsubscribed.
    Failed,
    /// Another error.
    Errored,
    /// Confirmed by the SDK.
    Received,
    /// Clicked.
    Converted,
}

const OUTCOMES: [(OnesignalOutcome, &str); 5] = [
    (OnesignalOutcome::Successful, "successful"),
    (OnesignalOutcome::Failed, "failed"),
    (OnesignalOutcome::Errored, "errored"),
    (OnesignalOutcome::Received, "received"),
    (OnesignalOutcome::Converted, "converted"),
];

/// Counts of a message by platform key and outcome.
pub type OnesignalCounts = BTreeMap<(&'static str, OnesignalOutcome), i64>;

/// The platforms of a push: key and share, and true if confirmed deliveries are measured.
const PLATFORMS: [(&str, f64, bool); 7] = [
    ("ios", 0.36, true),
    ("android", 0.38, true),
    ("huawei", 0.09, true),
    ("chrome_web_push", 0.1, true),
    ("safari_web_push", 0.03, false),
    ("edge_web_push", 0.02, true),
    ("firefox_web_push", 0.02, true),
];
/// The only channel of an e-mail.
const EMAIL: [(&str, f64, bool); 1] = [("email", 1.0, true)];

/// Shares of an outcome that have happened at an age in seconds.
type Curve = &'static [(i64, f64)];

const SENDING: Curve = &[(3, 0.4), (20, 0.8), (90, 1.0)];
const ARRIVING: Curve = &[(6, 0.3), (60, 0.7), (900, 0.9), (7_200, 0.95), (30 * 3_600, 0.99), (4 * beijing::DAY, 1.0)];
const CLICKING: Curve =
    &[(45, 0.2), (600, 0.5), (7_200, 0.75), (beijing::DAY, 0.9), (3 * beijing::DAY, 0.97), (100 * 3_600, 1.0)];

/// Returns the share of the audience that an outcome has in the end, and how it gets there.
fn course(outcome: OnesignalOutcome) -> (f64, Curve) {
    match outcome {
        OnesignalOutcome::Successful => (0.93, SENDING),
        OnesignalOutcome::Failed => (0.055, SENDING),
        OnesignalOutcome::Errored => (0.015, SENDING),
        OnesignalOutcome::Received => (0.78, ARRIVING),
        OnesignalOutcome::Converted => (0.06, CLICKING),
    }
}

/// Simulator of one app.
pub struct OnesignalSimulator {
    clock: Clock,
    app: OnesignalApp,
    state: Mutex<OnesignalState>,
}

struct OnesignalState {
    random: fastrand::Rng,
    /// Messages by send time and id, which is the order of the list.
    messages: BTreeMap<(i64, String), OnesignalMessage>,
    limit: SimulatedLimit,
    calls: u64,
    /// True if cursors that were given before are refused.
    refuses_cursors: bool,
    /// True once the plan has confirmed deliveries.
    is_paid: bool,
    /// Time after which nothing happens, in Unix seconds.
    frozen_at: Option<i64>,
}

struct OnesignalMessage {
    queued_at: i64,
    devices: i64,
    platforms: &'static [(&'static str, f64, bool)],
    is_canceled: bool,
    has_vanished: bool,
    /// Corrections by the provider: time, platform, outcome and difference.
    corrections: Vec<(i64, &'static str, OnesignalOutcome, i64)>,
}

impl OnesignalSimulator {
    /// Creates the simulator without any message.
    pub fn new(clock: Clock, app: OnesignalApp) -> OnesignalSimulator {
        let state = OnesignalState {
            random: fastrand::Rng::with_seed(app.seed),
            messages: BTreeMap::new(),
            limit: SimulatedLimit::new(1, 1000),
            calls: 0,
            refuses_cursors: false,
            is_paid: app.is_paid,
            frozen_at: None,
        };
        OnesignalSimulator { clock, app, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, OnesignalState> {
        self.state.lock()
    }

    /// Sends a push to some devices now, and returns its id.
    pub fn push(&self, devices: i64) -> String {
        self.push_at(devices, self.clock.now().as_second())
    }

    /// Queues a push that is sent at a time in Unix seconds, which may have passed.
    pub fn push_at(&self, devices: i64, send_after: i64) -> String {
        self.queue(devices, send_after, &PLATFORMS)
    }

    /// Sends an e-mail, which is listed among the pushes.
    pub fn mail(&self, receivers: i64) -> String {
        self.queue(receivers, self.clock.now().as_second(), &EMAIL)
    }

    fn queue(&self, devices: i64, send_after: i64, platforms: &'static [(&'static str, f64, bool)]) -> String {
        let now = self.clock.now().as_second();
        let mut state = self.state();
        let random = state.random.u128(..);
        let hex = format!("{random:032x}");
        let id = format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
        let message = OnesignalMessage {
            queued_at: now.min(send_after),
            devices,
            platforms,
            is_canceled: false,
            has_vanished: false,
            corrections: Vec::new(),
        };
        state.messages.insert((send_after, id.clone()), message);
        let oldest = now - self.app.listed - self.app.kept;
        state.messages.retain(|(at, _), _| *at >= oldest);
        id
    }

    /// Cancels a message before its send time.
    pub fn cancel(&self, id: &str) {
        self.change(id, |message| message.is_canceled = true);
    }

    /// Deletes a message, so that it is not listed any more.
    pub fn delete(&self, id: &str) {
        self.change(id, |message| message.has_vanished = true);
    }

    /// Adds a correction to a number of a message from now on.
    pub fn restate(&self, id: &str, platform: &'static str, outcome: OnesignalOutcome, by: i64) {
        let now = self.clock.now().as_second();
        self.change(id, |message| message.corrections.push((now, platform, outcome, by)));
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut OnesignalMessage)) {
        let mut state = self.state();
        if let Some((_, message)) = state.messages.iter_mut().find(|((_, of), _)| of == id) {
            change(message);
        }
    }

    /// Refuses cursors that were given before; new ones work.
    pub fn expire_cursors(&self) {
        self.state().refuses_cursors = true;
    }

    /// Changes the plan to one with confirmed deliveries.
    pub fn upgrade(&self) {
        self.state().is_paid = true;
    }

    /// Stops everything: no number changes from now on.
    pub fn freeze(&self) {
        self.state().frozen_at = Some(self.clock.now().as_second());
    }

    /// Returns the true counts of a message at a time in Unix seconds.
    pub fn truth(&self, id: &str, at: i64) -> OnesignalCounts {
        let state = self.state();
        let found = state.messages.iter().find(|((_, of), _)| of == id);
        found.map(|((sent, _), message)| state.counts(*sent, message, at)).unwrap_or_default()
    }

    /// Returns the number of requests that the rate limit has refused so far.
    pub fn refused(&self) -> u64 {
        self.state().limit.refused
    }

    /// Returns the number of answered requests for the list so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    fn list(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let now = self.clock.now().as_second();
        let mut state = self.state();
        state.calls += 1;
        let limit: usize = match parameter(request, "limit").map_or(Ok(50), |limit| limit.parse()) {
            Ok(limit @ 1..=50) => limit,
            _ => return error(400, "limit must be a number from 1 to 50"),
        };
        let listed = |state: &OnesignalState| -> Vec<(i64, String)> {
            let is_listed = |((at, _), message): &(&(i64, String), &OnesignalMessage)| {
                !message.has_vanished && (*at).max(message.queued_at) >= now - self.app.listed
            };
            state.messages.iter().filter(is_listed).map(|(key, _)| key.clone()).collect()
        };
        let all = listed(&state);
        let mut answer = json!({ "total_count": all.len(), "offset": 0, "limit": limit });
        let page: Vec<(i64, String)> = match (parameter(request, "time_offset"), parameter(request, "offset")) {
            (Some(_), Some(_)) => return error(400, "offset may not be used with time_offset"),
            (Some(time_offset), None) => {
                let from = match (instant(&time_offset), position(&time_offset)) {
                    (Some(at), _) => (at, String::new()),
                    (None, Some(_)) if std::mem::take(&mut state.refuses_cursors) => {
                        return error(400, "time_offset is invalid");
                    }
                    (None, Some((at, id))) => (at, format!("{id}~")),
                    (None, None) => return error(400, "time_offset is invalid"),
                };
                let page: Vec<(i64, String)> = all.into_iter().filter(|key| *key >= from).take(limit).collect();
                answer["time_offset"] = time_offset.clone().into();
                // A page without messages has no place of its own.
                answer["next_time_offset"] = match page.last() {
                    Some((at, id)) => STANDARD.encode(format!("{at} {id}")).into(),
                    None => time_offset.clone().into(),
                };
                page
            }
            (None, offset) => {
                let Ok(offset) = offset.map_or(Ok(0), |offset| offset.parse::<usize>()) else {
                    return error(400, "offset must be a number");
                };
                answer["offset"] = offset.into();
                let mut all = all;
                all.sort_by_key(|key| std::cmp::Reverse(state.messages.get(key).map(|message| message.queued_at)));
                all.into_iter().skip(offset).take(limit).collect()
            }
        };
        let shown = page.iter().filter_map(|key| Some(self.shown(&state, key, state.messages.get(key)?, now)));
        answer["notifications"] = shown.collect();
        super::json(200, &answer)
    }

    fn one(&self, id: &str) -> Response<Vec<u8>> {
        let state = self.state();
        let found = state.messages.iter().find(|((_, of), message)| of == id && !message.has_vanished);
        match found {
            Some((key, message)) => super::json(200, &self.shown(&state, key, message, self.clock.now().as_second())),
            None => error(404, "Notification not found"),
        }
    }

    /// Returns a message as the list has it.
    fn shown(&self, state: &OnesignalState, (sent, id): &(i64, String), message: &OnesignalMessage, now: i64) -> Value {
        let counts = state.counts(*sent, message, now);
        let mut platforms = Map::new();
        for ((platform, outcome), count) in &counts {
            let part = platforms.entry(*platform).or_insert_with(|| json!({}));
            for (_, name) in OUTCOMES.iter().filter(|(of, _)| of == outcome) {
                part[*name] = (*count).into();
            }
        }
        let sum =
            |outcome| -> i64 { counts.iter().filter(|((_, of), _)| *of == outcome).map(|(_, count)| count).sum() };
        let mut shown = json!({
            "id": id,
            "app_id": self.app.app_id,
            "queued_at": message.queued_at,
            "send_after": sent,
            "canceled": message.is_canceled,
            "platform_delivery_stats": platforms,
            "name": null,
            "headings": { "en": "Today" },
            "contents": { "en": "nobody's business" },
            "include_aliases": null,
            "ttl": 259_200,
        });
        let mut attempted = 0;
        for (outcome, name) in OUTCOMES {
            shown[name] = sum(outcome).into();
            if !matches!(outcome, OnesignalOutcome::Received | OnesignalOutcome::Converted) {
                attempted += sum(outcome);
            }
        }
        let remaining = if message.is_canceled { 0 } else { (message.devices - attempted).max(0) };
        shown["remaining"] = remaining.into();
        shown["completed_at"] = if now >= sent + 90 { (sent + 90).into() } else { Value::Null };
        shown
    }
}

impl OnesignalState {
    /// Returns the counts of a message that was sent at `sent`; none before its sending begins.
    fn counts(&self, sent: i64, message: &OnesignalMessage, at: i64) -> OnesignalCounts {
        let at = self.frozen_at.map_or(at, |frozen| frozen.min(at));
        let age = at - sent;
        let mut counts = OnesignalCounts::new();
        if message.is_canceled || age < SENDING[0].0 {
            return counts;
        }
        for (platform, share, is_measured) in message.platforms {
            let devices = message.devices as f64 * share;
            for (outcome, _) in OUTCOMES {
                let (part, curve) = course(outcome);
                let happened = curve.iter().rev().find(|(since, _)| age >= *since).map_or(0.0, |(_, share)| *share);
                let is_told = outcome != OnesignalOutcome::Received || (*is_measured && self.is_paid);
                let count = if is_told { (devices * part * happened) as i64 } else { 0 };
                counts.insert((*platform, outcome), count);
            }
        }
        for (since, platform, outcome, by) in &message.corrections {
            if at >= *since
                && let Some(count) = counts.get_mut(&(*platform, *outcome))
            {
                *count += by;
            }
        }
        counts
    }
}

impl Simulator for OnesignalSimulator {
    fn date(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let path = path.strip_prefix(["api", "v1"].as_slice()).unwrap_or(&path);
        if request.method() != Method::GET || path.first() != Some(&"notifications") || path.len() > 2 {
            return text(404, "Not Found");
        }
        let key = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if key.and_then(|key| key.strip_prefix("Key ")) != Some(&self.app.api_key) {
            return error(
                403,
                "Access denied.  Please include an 'Authorization: ...' header with a valid API key (https://documentation.onesignal.com/docs/accounts-and-keys).",
            );
        }
        if parameter(request, "app_id").as_deref() != Some(&self.app.app_id) {
            return error(400, "app_id not found. You may be missing a Content-Type: application/json header.");
        }
        let now_ms = self.clock.now().as_millisecond();
        let refusal = {
            let limit = &mut self.state().limit;
            (!limit.admit(now_ms)).then(|| limit.reset_seconds(now_ms))
        };
        if let Some(seconds) = refusal {
            let mut refused = error(429, "API rate limit exceeded.");
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            return refused;
        }
        match path {
            [_, id] => self.one(id),
            _ => self.list(request),
        }
    }
}

fn error(status: u16, message: &str) -> Response<Vec<u8>> {
    super::json(status, &json!({ "errors": [message] }))
}

/// Returns a parameter of the query, decoded.
fn parameter(request: &Request<Vec<u8>>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns the Unix seconds of a time such as `2026-11-01T00:00:00.000Z`.
fn instant(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(['.', ':']).map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    Some(beijing::parse(date)? * beijing::DAY + hour * 3_600 + minute * 60 + second)
}

/// Returns the place in the list that a cursor stands for.
fn position(cursor: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (at, id) = text.split_once(' ')?;
    Some((at.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_by_hand() {
        // The send time in the document's example.
        assert_eq!(instant("2026-11-29T00:00:00.000Z"), Some(1_795_910_400));
        assert_eq!(instant("2026-11-29T00:00:07Z"), Some(1_795_910_407));
        assert_eq!([instant("2026-11-29"), instant("MTc5NTkx")], [None, None]);
    }
}
