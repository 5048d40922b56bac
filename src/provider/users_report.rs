//! A report of the users of an account: the numbers of new, online and active users by platform, in the newest closed hour,
//! day and month. Schedule and interpretation are pure; the provider has the endpoint.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window, at, date_of, plus_days};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_schedule::spread;
use crate::provider::{
    EarlierQueries, PastWindows, ReportSpec, ReportState, WindowAnswer, WindowGauges, WindowNumbers, WindowQuery,
    WindowReport, WindowState, WindowUpdate,
};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;

/// Default interval of the report.
pub const HOURLY: Duration = Duration::from_secs(3600);
/// Delay between the end of an hour and its query; `SPREAD` is added by account.
const DELAY: Duration = Duration::from_secs(300);
const SPREAD: Duration = Duration::from_secs(240);
/// Number of days in a query about the past, for endpoints of several days.
pub const DAYS_A_QUERY: usize = 30;
/// Time after its end at which a window without numbers counts as empty; before, the provider may not have finished it.
const EMPTY_AFTER: SignedDuration = SignedDuration::from_hours(6);

/// Endpoint of the users of one account.
pub trait UsersEndpoint: Send + Sync {
    /// Queries the provider once.
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>>;
}

/// Users that are shown, and the days for which the provider answers.
pub struct ShownUsers {
    /// Windows whose users are shown.
    pub units: Vec<Unit>,
    /// Number of days before today for which the provider answers, if it is documented.
    pub answered_days: Option<i32>,
    /// Maximum number of days in a query about the past.
    pub days_a_query: usize,
}

/// Report of the users of one account.
pub struct UsersReport<E> {
    spec: ReportSpec,
    endpoint: E,
    shown: ShownUsers,
    zone: TimeZone,
    spread: Duration,
}

impl<E: UsersEndpoint> UsersReport<E> {
    /// Creates the report. `account` spreads the queries of many accounts over some minutes.
    pub fn new(spec: ReportSpec, account: &str, shown: ShownUsers, endpoint: E, zone: &TimeZone) -> UsersReport<E> {
        UsersReport { spec, endpoint, shown, zone: zone.clone(), spread: spread(account, SPREAD) }
    }

    /// Returns the query for the newest closed window of a unit, if the provider still answers for it; for hours, all of
    /// today's, since the newest may not be available yet. The end is never in the future.
    fn question(&self, now: Timestamp, unit: Unit) -> Option<WindowQuery> {
        let local = self.zone.to_datetime(now);
        let today = local.date();
        let (first, last) = match unit {
            // 只支持输出当天的统计结果: before one o'clock no hour of today has ended.
            Unit::Hour if local.hour() == 0 => return None,
            Unit::Hour => (Window::hour(today, 0), Window::hour(today, local.hour() - 1)),
            unit => {
                let closed = Window::holding(unit, today).previous();
                // A month may begin before that.
                if self.shown.answered_days.is_some_and(|days| closed.first < plus_days(today, -days)) {
                    return None;
                }
                (closed, closed)
            }
        };
        Some(WindowQuery { first, last, scope: None })
    }
}

impl<E: UsersEndpoint> WindowReport for UsersReport<E> {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        scope.is_empty() && self.shown.units.contains(&unit)
    }

    fn next(&self, now: Timestamp, _memory: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let units =
            self.shown.units.iter().filter(|unit| !earlier.queries.iter().any(|query| query.first.unit == **unit));
        units.copied().find_map(|unit| self.question(now, unit))
    }

    /// Returns days, several in a query if the endpoint takes them, and months; hours are only answered on their day.
    fn past_windows(&self) -> Vec<PastWindows> {
        let units = self.shown.units.iter().filter(|unit| **unit != Unit::Hour);
        let windows = |unit: &Unit| PastWindows {
            scope: None,
            unit: *unit,
            counts: false,
            windows_a_query: if *unit == Unit::Day { self.shown.days_a_query } else { 1 },
            requests_a_query: 1,
            reach: self.shown.answered_days,
        };
        units.map(windows).collect()
    }

    fn shown_from(&self, window: Window, has_numbers: bool) -> Option<Timestamp> {
        let delay = if has_numbers { SignedDuration::try_from(DELAY + self.spread).ok()? } else { EMPTY_AFTER };
        window.end(&self.zone).checked_add(delay).ok()
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        self.endpoint.query(query, client)
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
        // The window is out of reach: earlier readings stay.
        let WindowAnswer::Numbers(WindowNumbers { windows, unknown, .. }) = answer else { return update };
        update.unknown = unknown;
        let newest = windows.into_iter().filter(|window| !window.users.is_empty()).max_by_key(|found| found.window);
        let remembered = &mut update.state.windows;
        remembered
            .retain(|(_, window), _| window.unit != query.first.unit || (query.first..=query.last).contains(window));
        // If numbers disappear again, the gauges keep their values.
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

    /// Returns the time after the explicit interval, or five minutes past the next hour.
    fn next_due(&self, now: Timestamp, _memory: &ReportState) -> Timestamp {
        if self.spec.is_explicit {
            return now.saturating_add(self.spec.interval).unwrap_or(now);
        }
        let hour = at(date_of(now, &self.zone), self.zone.to_datetime(now).hour(), &self.zone);
        let mut slot = hour.saturating_add(DELAY + self.spread).unwrap_or(now);
        // Repeats in the hour that occurs twice when summer time ends.
        while slot <= now && slot < Timestamp::MAX {
            slot = slot.saturating_add(HOURLY).unwrap_or(Timestamp::MAX);
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rate_limit::Limit;

    struct Unasked;

    impl UsersEndpoint for Unasked {
        fn query<'a>(
            &'a self,
            _query: &'a WindowQuery,
            _client: &'a Client,
        ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
            Box::pin(async { Ok(WindowAnswer::Lost) })
        }
    }

    /// Returns day and hour of the next poll after this time, in a time zone.
    fn next(zone: &str, now: &str) -> String {
        let limit = Limit { api: "report", requests: 1, window: HOURLY };
        let spec = ReportSpec { name: "users", interval: HOURLY, limit, is_explicit: false };
        let shown = ShownUsers { units: vec![Unit::Day], answered_days: Some(60), days_a_query: DAYS_A_QUERY };
        let report = UsersReport::new(spec, "k", shown, Unasked, &TimeZone::get(zone).unwrap());
        let due = report.next_due(now.parse().unwrap(), &ReportState::default());
        // The poll is up to four minutes later, by account.
        let minutes = due.strftime("%M").to_string().parse::<u8>().unwrap();
        assert!((5..9).contains(&minutes), "{due}");
        due.strftime("%d %H").to_string()
    }

    #[test]
    fn hourly_from_five_past() {
        assert_eq!(next("Asia/Shanghai", "2026-03-10T01:00:00Z"), "10 01");
        assert_eq!(next("Asia/Shanghai", "2026-03-10T01:09:00Z"), "10 02");
        assert_eq!(next("Asia/Shanghai", "2026-03-10T23:59:59Z"), "11 00");
        // In New York the hour that begins at 05:00 UTC occurs twice.
        for (now, then) in [("05:30", "06"), ("06:04", "06"), ("06:30", "07"), ("06:59", "07"), ("07:30", "08")] {
            assert_eq!(next("America/New_York", &format!("2026-11-01T{now}:00Z")), format!("01 {then}"), "{now}");
        }
    }
}
