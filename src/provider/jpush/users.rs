//! `users` and `group/users`: how many users were new, online or active, by platform, in the newest closed
//! hour, day and month. Pure but for the asking: when what is asked, and what an answer says.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, UserCount, WindowReadings, count, members};
use crate::model::window::{Unit, Window, at, date_of, plus_days};
use crate::provider::error::ProviderError;
use crate::provider::http::Client;
use crate::provider::jpush::client;
use crate::provider::jpush::config::{Holder, JpushSettings};
use crate::provider::message_schedule::spread;
use crate::provider::rate_limit::Limit;
use crate::provider::{
    EarlierQueries, Report, ReportContext, ReportState, WindowAnswer, WindowGauges, WindowNumbers, WindowQuery,
    WindowState, WindowUpdate,
};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;

/// The report of an app.
pub(super) const USERS: &str = "users";
/// The report of a group.
pub(super) const GROUP_USERS: &str = "group_users";

const HOURLY: Duration = Duration::from_secs(3600);
/// An hour is asked for this long after it has ended, and a little later by account.
const DELAY: Duration = Duration::from_secs(300);
const SPREAD: Duration = Duration::from_secs(240);
/// A window without numbers counts as empty this long after its end; before, JPush may not be done with it.
const EMPTY_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// More items than the hours of a day have, one for each platform; the rest is not read.
const MAX_ITEMS: usize = 500;
/// More numbers of one window than the document has, twelve; the rest is not read.
const MAX_NUMBERS: usize = 100;
const STATES: [&str; 3] = ["new", "online", "active"];
/// 返回参数: the platforms of the document.
const PLATFORMS: [&str; 4] = ["android", "ios", "quickapp", "hmos"];

/// The report of one app or group.
pub(super) struct UsersReport {
    settings: Arc<JpushSettings>,
    zone: TimeZone,
    /// The explicit interval, if any.
    interval: Option<Duration>,
    spread: Duration,
}

impl UsersReport {
    pub(super) fn new(settings: Arc<JpushSettings>, context: &ReportContext) -> UsersReport {
        let interval = context.intervals.get(name(settings.holder)).copied();
        let spread = spread(&settings.user, SPREAD);
        UsersReport { zone: context.zone.clone(), interval, spread, settings }
    }

    /// The newest closed window of a unit, if it is in reach; of hours all of today's, since the newest may not be there yet.
    /// The end is never in the future.
    fn question(&self, now: Timestamp, unit: Unit) -> Option<WindowQuery> {
        let local = self.zone.to_datetime(now);
        let today = local.date();
        let (first, last) = match unit {
            // 只支持输出当天的统计结果: there is none before one o'clock.
            Unit::Hour if local.hour() == 0 => return None,
            Unit::Hour => (Window::hour(today, 0), Window::hour(today, local.hour() - 1)),
            unit => {
                let closed = Window::holding(unit, today).previous();
                // 只支持查询 60 天以内的用户信息; of groups 30: a month may begin before that.
                let answered = if self.settings.holder == Holder::Group { 30 } else { 60 };
                if closed.first < plus_days(today, -answered) {
                    return None;
                }
                (closed, closed)
            }
        };
        Some(WindowQuery { first, last, scope: None })
    }
}

fn name(holder: Holder) -> &'static str {
    match holder {
        Holder::App => USERS,
        Holder::Group => GROUP_USERS,
    }
}

impl Report for UsersReport {
    fn name(&self) -> &'static str {
        name(self.settings.holder)
    }

    fn interval(&self) -> Duration {
        self.interval.unwrap_or(HOURLY)
    }

    fn limit(&self) -> Limit {
        self.settings.limit()
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && self.settings.users.contains(&unit)
    }

    fn next(&self, now: Timestamp, _memory: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let units =
            self.settings.users.iter().filter(|unit| !earlier.queries.iter().any(|query| query.first.unit == **unit));
        units.copied().find_map(|unit| self.question(now, unit))
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::users(&self.settings, query, client))
    }

    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        let now = reading.now;
        let mut update = WindowUpdate { state: state.clone(), ..WindowUpdate::default() };
        // Out of reach: what was read stays.
        let WindowAnswer::Numbers(WindowNumbers { windows, unknown, .. }) = answer else { return update };
        update.unknown = unknown;
        let newest = windows.into_iter().filter(|window| !window.users.is_empty()).max_by_key(|found| found.window);
        let remembered = &mut update.state.windows;
        remembered
            .retain(|(_, window), _| window.unit != query.first.unit || (query.first..=query.last).contains(window));
        // Numbers that were there and vanish leave the gauges as they are.
        let had_numbers = remembered.keys().any(|(_, window)| window.unit == query.first.unit);
        if let Some(found) = &newest {
            let state = WindowState { answered: Some(now), has_numbers: true, ..WindowState::default() };
            remembered.insert((String::new(), found.window), state);
        }
        let is_empty = !had_numbers && now.duration_since(query.first.end(&self.zone)) >= EMPTY_AFTER;
        let numbers = newest.or_else(|| is_empty.then(|| WindowReadings::empty(query.last)));
        update.gauges.extend(numbers.map(|numbers| WindowGauges {
            scope: None,
            end: numbers.window.end(&self.zone),
            numbers,
        }));
        update
    }

    /// The explicit interval, or five minutes past the hour.
    fn next_due(&self, now: Timestamp, _memory: &ReportState) -> Timestamp {
        if let Some(interval) = self.interval {
            return now.saturating_add(interval).unwrap_or(now);
        }
        let hour = at(date_of(now, &self.zone), self.zone.to_datetime(now).hour(), &self.zone);
        let mut slot = hour.saturating_add(DELAY + self.spread).unwrap_or(now);
        // More than once in the hour that comes twice when summer time ends.
        while slot <= now && slot < Timestamp::MAX {
            slot = slot.saturating_add(HOURLY).unwrap_or(Timestamp::MAX);
        }
        slot
    }
}

/// Reads an answer to `query`: `{"items":[{"time":"2014-06-10","android":{"new":5,…},…},…]}`. Items of the same
/// time are one window; items out of the range that was asked for are not read.
///
/// # Errors
/// No items.
pub(super) fn read(answer: &Map<String, Value>, query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    let Some(Value::Array(items)) = answer.get("items") else {
        return Err(ProviderError::Decode("not of the documented shape: no items".to_owned()));
    };
    let mut numbers = WindowNumbers::default();
    for item in items.iter().take(MAX_ITEMS) {
        let time = item.get("time").and_then(Value::as_str).and_then(|time| window(time, query.first.unit));
        let (Some(window), Value::Object(platforms)) = (time, item) else {
            numbers.unknown.push("an item without a time".to_owned());
            continue;
        };
        if !(query.first..=query.last).contains(&window) {
            continue;
        }
        let index = match numbers.windows.iter().position(|known| known.window == window) {
            Some(index) => index,
            None => {
                numbers.windows.push(WindowReadings::empty(window));
                numbers.windows.len() - 1
            }
        };
        let users = &mut numbers.windows[index].users;
        for (platform, states) in members(platforms, &mut numbers.unknown) {
            if platform == "time" || states.is_null() {
                continue;
            }
            let known = PLATFORMS.iter().find(|known| *known == platform);
            let (label, states) = match (known, states) {
                (Some(known), Value::Object(states)) => (Label::known(known), states),
                (None, Value::Object(states)) => {
                    numbers.unknown.push(platform.clone());
                    (Label::unknown(platform), states)
                }
                _ => {
                    numbers.unknown.push(platform.clone());
                    continue;
                }
            };
            for (state, value) in members(states, &mut numbers.unknown) {
                match (STATES.iter().find(|known| *known == state), count(Some(value))) {
                    (_, Count::Absent) => {}
                    (Some(state), Count::Is(value)) => {
                        let is_same = |known: &UserCount| (&known.platform, known.state) == (&label, *state);
                        if users.len() < MAX_NUMBERS && !users.iter().any(is_same) {
                            users.push(UserCount { platform: label.clone(), state, value });
                        }
                    }
                    _ => numbers.unknown.push(format!("{platform}.{state}")),
                }
            }
        }
    }
    Ok(numbers)
}

/// `2014-06-11 09`, `2014-06-11` or `2014-06`; what stands behind is not looked at.
fn window(time: &str, unit: Unit) -> Option<Window> {
    let month = time.get(..7)?;
    if unit == Unit::Month {
        return Some(Window::holding(unit, format!("{month}-01").parse().ok()?));
    }
    let day: Date = time.get(..10)?.parse().ok()?;
    match unit {
        Unit::Hour => {
            let hour = time.get(10..13)?.trim_start_matches([' ', 'T']).parse().ok()?;
            (0..24).contains(&hour).then(|| Window::hour(day, hour))
        }
        _ => Some(Window::holding(unit, day)),
    }
}

/// The query of a question: time_unit, start and duration.
pub(super) fn query(query: &WindowQuery) -> [(&'static str, String); 3] {
    let Window { unit, first, hour } = query.first;
    let (unit, start, duration) = match unit {
        Unit::Hour => ("HOUR", format!("{first} {hour:02}"), i32::from(query.last.hour - hour) + 1),
        Unit::Month => ("MONTH", first.strftime("%Y-%m").to_string(), 1),
        Unit::Day | Unit::Week => ("DAY", first.to_string(), days(first, query.last.first)),
    };
    [("time_unit", unit.to_owned()), ("start", start), ("duration", duration.to_string())]
}

fn days(first: Date, last: Date) -> i32 {
    let mut days = 1;
    while plus_days(first, days) <= last {
        days += 1;
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{config, registry::PROVIDERS};

    /// When it is polled next, at these times, in a time zone.
    fn next(zone: &str, now: &str) -> String {
        let text = "jpush: [{app: a, app_key: k, master_secret: s, users: [day]}]";
        let config = config::parse("test", text, std::path::Path::new(""), &Default::default(), PROVIDERS).unwrap();
        let context = ReportContext {
            clock: crate::util::clock::Clock::system(),
            zone: TimeZone::get(zone).unwrap(),
            intervals: Default::default(),
        };
        let report = config.apps[0].account.open(&context).remove(0);
        let due = report.next_due(now.parse().unwrap(), &ReportState::default());
        // Up to four minutes later, by account.
        let minutes = due.strftime("%M").to_string().parse::<u8>().unwrap();
        assert!((5..9).contains(&minutes), "{due}");
        due.strftime("%d %H").to_string()
    }

    #[test]
    fn hourly_from_five_past() {
        assert_eq!(next("Asia/Shanghai", "2026-03-10T01:00:00Z"), "10 01");
        assert_eq!(next("Asia/Shanghai", "2026-03-10T01:09:00Z"), "10 02");
        assert_eq!(next("Asia/Shanghai", "2026-03-10T23:59:59Z"), "11 00");
        // The hour from 05:00 to 06:00 comes twice in New York.
        for (now, then) in [("05:30", "06"), ("06:04", "06"), ("06:30", "07"), ("06:59", "07"), ("07:30", "08")] {
            assert_eq!(next("America/New_York", &format!("2026-11-01T{now}:00Z")), format!("01 {then}"), "{now}");
        }
    }
}
