//! Calendar windows: an hour, a day, a week from Monday, a month from the 1st. Pure calendar arithmetic; the rhythm of
//! each provider decides which window is due when.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// Length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One hour of the clock.
    Hour,
    /// One calendar day.
    Day,
    /// Monday to Sunday.
    Week,
    /// The 1st to the last of a month.
    Month,
}

impl Unit {
    /// All units, as written in a configuration.
    pub const ALL: [(&'static str, Unit); 4] =
        [("hour", Unit::Hour), ("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];

    /// Returns the value of the label `window`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }

    /// Returns the unit with this name: the reverse of [`Unit::name`].
    pub fn from_name(name: &str) -> Option<Unit> {
        Unit::ALL.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }
}

/// A window of one unit, identified by its first day and, if it is an hour, also by the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Length of the window.
    pub unit: Unit,
    /// First day: any day, a Monday, or the 1st of a month.
    pub first: Date,
    /// Hour of that day, from 0 to 23; 0 if the window is longer than an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hour: i8,
}

fn is_zero(hour: &i8) -> bool {
    *hour == 0
}

impl Window {
    /// Returns the window of `unit` that contains the beginning of `day`.
    pub fn holding(unit: Unit, day: Date) -> Window {
        let first = match unit {
            Unit::Hour | Unit::Day => day,
            Unit::Week => plus_days(day, -i32::from(day.weekday().to_monday_zero_offset())),
            Unit::Month => day.first_of_month(),
        };
        Window { unit, first, hour: 0 }
    }

    /// Returns the window of one day.
    pub fn day(day: Date) -> Window {
        Window::holding(Unit::Day, day)
    }

    /// Returns the window of one hour, from 0 to 23.
    pub fn hour(day: Date, hour: i8) -> Window {
        Window { unit: Unit::Hour, first: day, hour }
    }

    /// Returns the windows of single days from the first day of `first` to the last day of `last`.
    pub fn days_between(first: Window, last: Window) -> Vec<Window> {
        let mut days = vec![Window::day(first.first)];
        let mut day = first.first;
        while day < last.last() && plus_days(day, 1) > day {
            day = plus_days(day, 1);
            days.push(Window::day(day));
        }
        days
    }

    /// Returns the key in the ledger, which sorts by date within a unit.
    pub fn key(self) -> String {
        match self.unit {
            Unit::Hour => format!("hour {} {:02}", self.first, self.hour),
            unit => format!("{} {}", unit.name(), self.first),
        }
    }

    /// Returns the last day.
    pub fn last(self) -> Date {
        match self.unit {
            Unit::Hour | Unit::Day => self.first,
            Unit::Week => plus_days(self.first, 6),
            Unit::Month => self.first.last_of_month(),
        }
    }

    /// Returns the window just before this one.
    pub fn previous(self) -> Window {
        let day_before = plus_days(self.first, -1);
        match (self.unit, self.hour) {
            (Unit::Hour, 0) => Window::hour(day_before, 23),
            (Unit::Hour, hour) => Window::hour(self.first, hour - 1),
            (unit, _) => Window::holding(unit, day_before),
        }
    }

    /// Returns the instant at which the window begins.
    pub fn begin(self, zone: &TimeZone) -> Timestamp {
        at(self.first, self.hour, zone)
    }

    /// Returns the instant at which the window ends: the first one after it.
    pub fn end(self, zone: &TimeZone) -> Timestamp {
        match (self.unit, self.hour) {
            (Unit::Hour, hour) if hour < 23 => at(self.first, hour + 1, zone),
            _ => midnight(plus_days(self.last(), 1), zone),
        }
    }
}

/// Returns the date `days` later, or earlier if negative; at the ends of the calendar, returns `day` unchanged.
pub fn plus_days(day: Date, days: i32) -> Date {
    day.checked_add(days.days()).unwrap_or(day)
}

/// Returns the first instant of `day`.
pub fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    at(day, 0, zone)
}

/// Returns the instant of a full hour on `day`; if summer time skips the hour, the first instant after it.
pub fn at(day: Date, hour: i8, zone: &TimeZone) -> Timestamp {
    day.at(hour.clamp(0, 23), 0, 0, 0)
        .to_zoned(zone.clone())
        .map(|zoned| zoned.timestamp())
        .unwrap_or(if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the date at an instant.
pub fn date_of(at: Timestamp, zone: &TimeZone) -> Date {
    zone.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        // The example of the document: the week of 2021-07-05 runs to 2021-07-11.
        let week = Window::holding(Unit::Week, date(2021, 7, 8));
        assert_eq!((week.first, week.last()), (date(2021, 7, 5), date(2021, 7, 11)));
        assert_eq!(week.previous().first, date(2021, 6, 28));
        let month = Window::holding(Unit::Month, date(2024, 2, 29));
        assert_eq!((month.first, month.last()), (date(2024, 2, 1), date(2024, 2, 29)));
        assert_eq!(month.previous().first, date(2024, 1, 1));
    }

    #[test]
    fn units_have_names() {
        for (name, unit) in Unit::ALL {
            assert_eq!((unit.name(), Unit::from_name(name)), (name, Some(unit)));
        }
        assert_eq!(Unit::from_name("year"), None);
    }

    #[test]
    fn days_of_a_range() {
        let days = |first, last| Window::days_between(first, last).iter().map(|day| day.first).collect::<Vec<_>>();
        let [monday, tuesday] = [date(2026, 3, 9), date(2026, 3, 10)];
        assert_eq!(days(Window::day(monday), Window::day(monday)), [monday]);
        assert_eq!(days(Window::day(monday), Window::day(tuesday)), [monday, tuesday]);
        assert_eq!(days(Window::day(tuesday), Window::holding(Unit::Month, monday)).len(), 22);
        // The calendar ends.
        assert_eq!(days(Window::day(Date::MAX), Window::day(Date::MAX)), [Date::MAX]);
    }

    #[test]
    fn days_of_shanghai_begin_at_16_utc() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let day = Window::day(date(2026, 1, 1));
        assert_eq!(day.begin(&zone).to_string(), "2025-12-31T16:00:00Z");
        assert_eq!(day.end(&zone).to_string(), "2026-01-01T16:00:00Z");
        assert_eq!(date_of("2026-01-01T15:59:59Z".parse().unwrap(), &zone), date(2026, 1, 1));
    }

    #[test]
    fn hours() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let nine = Window::hour(date(2014, 6, 11), 9);
        assert_eq!(nine.key(), "hour 2014-06-11 09");
        assert_eq!(
            (nine.begin(&zone).to_string(), nine.last()),
            ("2014-06-11T01:00:00Z".to_owned(), date(2014, 6, 11))
        );
        assert_eq!(nine.end(&zone).duration_since(nine.begin(&zone)).as_secs(), 3600);
        let first = Window::hour(date(2014, 6, 11), 0);
        assert_eq!((nine.previous().hour, first.previous()), (8, Window::hour(date(2014, 6, 10), 23)));
        assert_eq!(first.previous().end(&zone), first.begin(&zone));
        // Stored form: a day without the hour, an hour with it.
        let day = serde_json::to_string(&Window::day(date(2014, 6, 11))).unwrap();
        assert_eq!(day, r#"{"unit":"day","first":"2014-06-11"}"#);
        assert_eq!(serde_json::from_str::<Window>(&serde_json::to_string(&nine).unwrap()).unwrap(), nine);
    }

    #[test]
    fn a_summer_time_day_has_23_hours() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = Window::day(date(2026, 3, 29));
        assert_eq!(day.end(&zone).duration_since(day.begin(&zone)).as_hours(), 23);
    }
}
