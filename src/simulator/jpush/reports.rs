//! Other reports of the simulated JPush: users by hour, day and month, the status of a message on test devices, and
//! vendor quotas. Everything follows from the seed and the events, so the truth can be queried at any time.

use std::collections::BTreeMap;

use http::{Request, Response};
use serde_json::{Map, Value, json};

use crate::simulator::jpush::{JpushApp, JpushSimulator, JpushState, error};
use crate::simulator::{beijing, json as answer, parameter};

/// Numbers of new, online and active users, by name.
pub type UserCounts = [(&'static str, i64); 3];

const HOUR: i64 = 3600;
/// Platforms and their shares of the users.
const PLATFORMS: [(&str, f64); 4] = [("android", 1.0), ("ios", 0.45), ("hmos", 0.08), ("quickapp", 0.02)];

/// Length of a window, as in `time_unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// An hour of today.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

impl TimeUnit {
    fn parse(text: &str) -> Option<TimeUnit> {
        match text.to_ascii_uppercase().as_str() {
            "HOUR" => Some(TimeUnit::Hour),
            "DAY" => Some(TimeUnit::Day),
            "MONTH" => Some(TimeUnit::Month),
            _ => None,
        }
    }

    /// Parses the number of the window that `start` names: hours or days since 1970, months since year 0.
    fn number(self, start: &str) -> Option<i64> {
        match self {
            TimeUnit::Hour => {
                let (day, hour) = start.split_once(' ')?;
                let hour: i64 = Some(hour).filter(|hour| hour.len() == 2)?.parse().ok()?;
                (0..24).contains(&hour).then_some(beijing::parse(day)? * 24 + hour)
            }
            TimeUnit::Day => beijing::parse(start),
            TimeUnit::Month => {
                let (year, month, _) = beijing::civil(beijing::parse(&format!("{start}-01"))?);
                Some(year * 12 + month - 1)
            }
        }
    }

    /// Formats the number of a window as JPush does.
    fn write(self, number: i64) -> String {
        match self {
            TimeUnit::Hour => format!("{} {:02}", beijing::format(number.div_euclid(24)), number.rem_euclid(24)),
            TimeUnit::Day => beijing::format(number),
            TimeUnit::Month => format!("{:04}-{:02}", number.div_euclid(12), number.rem_euclid(12) + 1),
        }
    }

    /// Returns the days of a window, the first included and the last excluded.
    fn days(self, number: i64) -> std::ops::Range<i64> {
        let first = |number: i64| beijing::parse(&format!("{}-01", TimeUnit::Month.write(number))).unwrap_or_default();
        match self {
            TimeUnit::Hour => number.div_euclid(24)..number.div_euclid(24) + 1,
            TimeUnit::Day => number..number + 1,
            TimeUnit::Month => first(number)..first(number + 1),
        }
    }

    /// Returns the number of the window at a time in Unix seconds.
    fn now(self, seconds: i64) -> i64 {
        let day = beijing::day_of(seconds);
        match self {
            TimeUnit::Hour => day * 24 + beijing::hour_of(seconds) as i64,
            TimeUnit::Day => day,
            TimeUnit::Month => {
                let (year, month, _) = beijing::civil(day);
                year * 12 + month - 1
            }
        }
    }
}

impl JpushSimulator {
    /// Returns the true users by platform in the window that `start` names, in the format of JPush.
    pub fn users(&self, unit: TimeUnit, start: &str) -> BTreeMap<&'static str, UserCounts> {
        unit.number(start).map(|number| users(&self.app, unit, number)).unwrap_or_default()
    }

    /// Returns the true status of a message on a device, by the codes 0 to 4 of JPush.
    pub fn status(&self, id: u64, device: &str) -> Option<i64> {
        let now = self.clock.now().as_second();
        let state = self.state();
        let message = state.deliveries.messages.get(&id)?;
        Some(status(&self.app, id, device, state.deliveries.happened(now) - message.sent_at))
    }

    /// Returns the true number of messages of today that count against the quota of a vendor.
    pub fn used(&self, channel: &str) -> i64 {
        self.state().used_today(channel, self.clock.now().as_second())
    }

    pub(super) fn answer_users(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let now = self.clock.now().as_second();
        let is_group = self.app.app_key.starts_with("group-");
        let asked = |name| parameter(request, name);
        let Some(start) = asked("start") else { return error(400, 3006, "missing start") };
        let unit = asked("time_unit").and_then(|unit| TimeUnit::parse(&unit));
        let Some((unit, first)) = unit.and_then(|unit| Some((unit, unit.number(&start)?))) else {
            return error(400, 3004, "time_unit and start do not match");
        };
        let duration: i64 = asked("duration").and_then(|duration| duration.parse().ok()).unwrap_or(1);
        let last = first + duration - 1;
        if !(1..=1000).contains(&duration) || last > unit.now(now) {
            return error(400, 3007, "end time must not be in the future");
        }
        let (today, kept) = (beijing::day_of(now), if is_group { 30 } else { 60 });
        let first_day = unit.days(first).start;
        if first_day < today - kept || (unit == TimeUnit::Hour && first_day != today) {
            return error(400, 3005, "out of the days that can be queried");
        }
        let mut items = Vec::new();
        let mut apart = Vec::new();
        for number in first..=last {
            let time = unit.write(number);
            let mut item = Map::from_iter([("time".to_owned(), json!(time))]);
            for (platform, counts) in users(&self.app, unit, number) {
                let counts: Map<String, Value> =
                    counts.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                // Harmony is a later addition and has a separate item.
                if platform == "hmos" {
                    apart.push(json!({ "time": time, "hmos": counts }));
                } else {
                    item.insert(platform.to_owned(), counts.into());
                }
            }
            items.push(Value::Object(item));
        }
        items.append(&mut apart);
        if first % 3 == 0 {
            // As in the example of the document: an item that was not queried.
            items.push(json!({ "time": unit.write(first - 40), "hmos": { "active": 7, "new": 5, "online": 11 } }));
        }
        let unit = format!("{unit:?}");
        let unit = if is_group { unit.to_lowercase() } else { unit.to_uppercase() };
        answer(200, &json!({ "time_unit": unit, "start": start, "duration": duration, "items": items }))
    }

    pub(super) fn answer_status(&self, request: &Request<Vec<u8>>, state: &JpushState) -> Response<Vec<u8>> {
        let now = self.clock.now().as_second();
        let invalid = |what: &str| error(400, 3002, &format!("Invalid parameter '{what}'."));
        let Ok(body) = serde_json::from_slice::<Value>(request.body()) else { return invalid("body") };
        let Some(id) = body["msg_id"].as_u64().filter(|id| !state.refused_ids.contains(id)) else {
            return invalid("msg_id");
        };
        let Some(message) = state.deliveries.messages.get(&id) else { return invalid("msg_id") };
        let devices = body["registration_ids"].as_array().filter(|devices| (1..=1000).contains(&devices.len()));
        let Some(devices) = devices else { return invalid("registration_ids") };
        let date = body["date"].as_str().map_or(Some(beijing::day_of(now)), beijing::parse);
        let Some(date) = date else { return invalid("date") };
        let mut statuses = Map::new();
        for device in devices.iter().filter_map(Value::as_str) {
            let is_its_day = date == beijing::day_of(message.sent_at);
            let age = if is_its_day { state.deliveries.happened(now) - message.sent_at } else { 0 };
            statuses.insert(device.to_owned(), json!({ "status": status(&self.app, id, device, age) }));
        }
        answer(200, &Value::Object(statuses))
    }

    pub(super) fn answer_quota(&self, state: &JpushState) -> Response<Vec<u8>> {
        let now = self.clock.now().as_second();
        let quota = |channel: &str, total: i64| json!({ "total": total * self.app.quotas, "used": state.used_today(channel, now) });
        let data = json!({
            "xiaomi_quota": { "operation": quota("xiaomi", 500_000) },
            "oppo_quota": { "operation": quota("oppo", 200_000) },
            "vivo_quota": { "system": { "total": 1_000_000 }, "operation": quota("vivo", 300_000) },
        });
        answer(200, &json!({ "code": 0, "message": "success", "data": data }))
    }
}

/// Returns the users of a window. A day or month has fewer than the sum of its hours, since most users return.
fn users(app: &JpushApp, unit: TimeUnit, number: i64) -> BTreeMap<&'static str, UserCounts> {
    let days = unit.days(number);
    let hours = match unit {
        TimeUnit::Hour => number..number + 1,
        _ => days.start * 24..days.end * 24,
    };
    let distinct = match unit {
        TimeUnit::Hour => 1,
        TimeUnit::Day => 4,
        TimeUnit::Month => 60,
    };
    let mut found = BTreeMap::new();
    for (index, (platform, share)) in PLATFORMS.iter().enumerate() {
        let [mut new, mut online, mut active] = [0; 3];
        for hour in hours.clone() {
            let mut random = fastrand::Rng::with_seed(app.seed ^ (hour as u64) << 8 ^ index as u64);
            let busy = share * beijing::rhythm(hour * HOUR - 8 * HOUR) * (0.8 + 0.4 * random.f64());
            new += (30.0 * busy) as i64;
            online += (4_000.0 * busy) as i64;
            active += (900.0 * busy) as i64;
        }
        let counts = [("new", new), ("online", online / distinct), ("active", active / distinct)];
        if counts.iter().any(|(_, count)| *count > 0) {
            found.insert(*platform, counts);
        }
    }
    found
}

/// Returns the status of a message on a device after `age` seconds: 0 delivered, 1 not delivered yet, 2 the device
/// belongs to another app, 3 the device was not a target.
fn status(app: &JpushApp, id: u64, device: &str, age: i64) -> i64 {
    if !app.devices.iter().any(|known| known == device) {
        return 2;
    }
    let mut random =
        fastrand::Rng::with_seed(device.bytes().fold(id, |hash, byte| hash.rotate_left(7) ^ u64::from(byte)));
    match random.u8(..10) {
        0 => 3,
        1 => 1,
        _ if age > random.i64(2..40) => 0,
        _ => 1,
    }
}
