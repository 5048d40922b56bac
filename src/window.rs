//! Calendar windows: a day, a week from Monday, a month from the 1st. Pure calendar arithmetic; what
//! is due when is decided by each provider's rhythm.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// The length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One calendar day.
    Day,
    /// Monday to Sunday.
    Week,
    /// The 1st to the last of a month.
    Month,
}

impl Unit {
    /// All units, as written in a configuration.
    pub const ALL: [(&'static str, Unit); 3] = [("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];

    /// The value of the label `window`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }

    /// The reverse of [`Unit::name`].
    pub fn from_name(name: &str) -> Option<Unit> {
        Unit::ALL.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }
}

/// A window of one unit, named by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// How long it is.
    pub unit: Unit,
    /// Its first day: any day, a Monday, or the 1st of a month.
    pub first: Date,
}

impl Window {
    /// The window of `unit` that `day` lies in.
    pub fn holding(unit: Unit, day: Date) -> Window {
        let first = match unit {
            Unit::Day => day,
            Unit::Week => plus_days(day, -i32::from(day.weekday().to_monday_zero_offset())),
            Unit::Month => day.first_of_month(),
        };
        Window { unit, first }
    }

    /// The window of one day.
    pub fn day(day: Date) -> Window {
        Window { unit: Unit::Day, first: day }
    }

    /// What the ledger keys it by; sorts by date within a unit.
    pub fn key(self) -> String {
        format!("{} {}", self.unit.name(), self.first)
    }

    /// Its last day.
    pub fn last(self) -> Date {
        match self.unit {
            Unit::Day => self.first,
            Unit::Week => plus_days(self.first, 6),
            Unit::Month => self.first.last_of_month(),
        }
    }

    /// The window just before this one.
    pub fn previous(self) -> Window {
        Window::holding(self.unit, plus_days(self.first, -1))
    }

    /// The instant it begins.
    pub fn begin(self, zone: &TimeZone) -> Timestamp {
        midnight(self.first, zone)
    }

    /// The instant it ends: the first that is not in it any more.
    pub fn end(self, zone: &TimeZone) -> Timestamp {
        midnight(plus_days(self.last(), 1), zone)
    }
}

/// The date `days` later, or earlier if negative; stays put at the ends of the calendar.
pub fn plus_days(day: Date, days: i32) -> Date {
    day.checked_add(days.days()).unwrap_or(day)
}

/// The first instant of `day`.
pub fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    at(day, 0, zone)
}

/// The instant of a full hour on `day`; where summer time skips it, the first instant after.
pub fn at(day: Date, hour: i8, zone: &TimeZone) -> Timestamp {
    day.at(hour.clamp(0, 23), 0, 0, 0)
        .to_zoned(zone.clone())
        .map(|zoned| zoned.timestamp())
        .unwrap_or(if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The date at an instant.
pub fn date_of(at: Timestamp, zone: &TimeZone) -> Date {
    zone.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        // The document's own example: the week of 2021-07-05 runs to 2021-07-11.
        let week = Window::holding(Unit::Week, date(2021, 7, 8));
        assert_eq!((week.first, week.last()), (date(2021, 7, 5), date(2021, 7, 11)));
        assert_eq!(week.previous().first, date(2021, 6, 28));
        let month = Window::holding(Unit::Month, date(2024, 2, 29));
        assert_eq!((month.first, month.last()), (date(2024, 2, 1), date(2024, 2, 29)));
        assert_eq!(month.previous().first, date(2024, 1, 1));
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
    fn a_summer_time_day_has_23_hours() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = Window::day(date(2026, 3, 29));
        assert_eq!(day.end(&zone).duration_since(day.begin(&zone)).as_hours(), 23);
    }
}
