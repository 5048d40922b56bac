//! Field map of statistics of users by platform, as JPush's `users` and EngageLab's `status/users` have them, and the parameters
//! of their queries. Pure.

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, UserCount, WindowReadings, count, members};
use crate::model::window::{Unit, Window, plus_days};
use crate::provider::error::ProviderError;
use crate::provider::{WindowNumbers, WindowQuery};

/// Maximum number of items, more than one for each hour and platform of a day; the rest is not read.
const MAX_ITEMS: usize = 500;
/// Maximum numbers of one window, more than the twelve of the document; the rest is not read.
const MAX_NUMBERS: usize = 100;
const STATES: [&str; 3] = ["new", "online", "active"];

/// Reads an answer to `query`: `{"items":[{"time":"2014-06-10","android":{"new":5,…},…},…]}`. Items of the same
/// time are one window; items out of the queried range are not read. `documented` are the platforms of the document.
///
/// # Errors
/// Fails if there are no items.
pub fn read(
    answer: &Map<String, Value>,
    documented: &[&'static str],
    query: &WindowQuery,
) -> Result<WindowNumbers, ProviderError> {
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
            let known = documented.iter().find(|known| *known == platform);
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

/// Parses `2014-06-11 09`, `2014-06-11` or `2014-06`; ignores the rest of the text.
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

/// Returns the URL parameters of a query: time_unit, start and duration.
pub fn parameters(query: &WindowQuery) -> [(&'static str, String); 3] {
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

    fn query(first: Window, last: Window) -> WindowQuery {
        WindowQuery { scope: None, first, last }
    }

    /// The values are those of the document's examples: `start` by the unit, `duration` in units, both ends included.
    #[test]
    fn a_query_names_its_first_unit_and_how_many() {
        let day = |day: i8| Window::day(jiff::civil::date(2026, 3, day));
        let hour = |hour: i8| Window { hour, unit: Unit::Hour, ..day(10) };
        for (asked, unit, start, duration) in [
            (query(day(28), day(30)), "DAY", "2026-03-28", "3"),
            (query(day(10), day(10)), "DAY", "2026-03-10", "1"),
            (query(hour(5), hour(9)), "HOUR", "2026-03-10 05", "5"),
            (query(hour(7), hour(7)), "HOUR", "2026-03-10 07", "1"),
            (
                query(Window { unit: Unit::Month, ..day(1) }, Window { unit: Unit::Month, ..day(1) }),
                "MONTH",
                "2026-03",
                "1",
            ),
        ] {
            let parameters = parameters(&asked).map(|(name, value)| format!("{name}={value}"));
            assert_eq!(
                parameters,
                [format!("time_unit={unit}"), format!("start={start}"), format!("duration={duration}")]
            );
        }
    }

    #[test]
    fn a_number_that_is_null_is_absent_and_not_unknown() {
        let answer = serde_json::json!({
            "items": [{ "time": "2026-03-10", "android": { "new": null, "online": 3, "active": "x" } }]
        });
        let day = Window::day(jiff::civil::date(2026, 3, 10));
        let numbers = read(answer.as_object().unwrap(), &["android"], &query(day, day)).unwrap();
        assert_eq!(numbers.unknown, ["android.active"]);
        let users: Vec<_> = numbers.windows[0].users.iter().map(|users| (users.state, users.value)).collect();
        assert_eq!(users, [("online", 3)]);
    }
}
