//! Schedule of Feishu's queries. The data of a day appear at about 10:00 two days later, or even later; days feed
//! counters, and the newest closed day, week and month are gauges. Pure.
//!
//! On day D, the days D-2 to D-8 are unsettled, and so is every earlier day that has not been answered. By default, the
//! report is polled hourly from 10:00 (with jitter) until D-2 is available, and the other unsettled days are queried
//! once a day; with an explicit interval, every poll queries all of them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window, at, date_of, plus_days};
use crate::provider::{
    EarlierQueries, PastWindows, ReportState, WindowAnswer, WindowGauges, WindowQuery, WindowState, WindowTotals,
    WindowUpdate,
};
use crate::util::clock_guard::ClockReading;

/// Polling interval while a day is awaited.
pub const HOURLY: Duration = Duration::from_secs(3600);
/// Time until windows are polled that a changed configuration adds.
const SHORTLY: Duration = Duration::from_secs(60);
/// Number of days after which the data of a day appear …
const DAYS_LATE: i32 = 2;
/// … and the approximate hour at which they do.
const HOUR: i8 = 10;
/// Number of newest days that are queried again once a day: a day may appear late, or be restated.
const UNSETTLED: i32 = 7;
/// Longest downtime that is caught up, in days.
const LONGEST_DOWNTIME: i32 = 366;
/// Number of windows remembered for each unit and department, in addition to the tenant's unsettled days.
const REMEMBERED: usize = 6;

/// Schedule of one app.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Time zone of the app's calendar.
    pub zone: TimeZone,
    /// Configured interval, if any.
    pub interval: Option<Duration>,
    /// Units of the windows that are shown as gauges.
    pub units: Vec<Unit>,
    /// Departments in addition to the tenant.
    pub departments: Vec<String>,
    /// Delay after 10:00, so that not all apps query at once.
    pub jitter: Duration,
}

/// Period after 10:00 over which apps are spread.
pub const SPREAD: Duration = Duration::from_secs(600);

impl Schedule {
    /// Returns the next window to query: the tenant's days, the newest first, then its weeks and months, then the
    /// departments' windows.
    pub fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let state = &self.heal(now, state);
        let new = |query: &WindowQuery| !earlier.queries.contains(query);
        let days = self.days(now, state).into_iter().rev().filter(|day| self.wants_day(now, state, *day));
        if let Some(query) = days.map(WindowQuery::of_day).find(new) {
            return Some(query);
        }
        let tenant = self.windows(now, state, None).into_iter().filter(|window| window.unit != Unit::Day);
        let departments = self.departments.iter().flat_map(|scope| {
            let windows = self.windows(now, state, Some(scope));
            windows.into_iter().map(move |window| WindowQuery::of_one(window, Some(scope)))
        });
        let settled = self.unreconciled(state).into_iter();
        let next = tenant.chain(settled).map(|window| WindowQuery::of_one(window, None)).chain(departments).find(new);
        // A poll always sends a query; otherwise it could not detect that the report fails.
        next.or_else(|| earlier.queries.is_empty().then(|| WindowQuery::of_day(self.newest_day(now))))
    }

    /// Returns the newest settled week and month whose totals were not compared with their days yet.
    fn unreconciled(&self, state: &ReportState) -> Vec<Window> {
        let Some(settled_before) = state.settled_before else { return Vec::new() };
        let newest = |unit: &Unit| {
            let window = Window::holding(*unit, settled_before);
            if window.last() < settled_before { window } else { window.previous() }
        };
        let units = self.units.iter().filter(|unit| matches!(unit, Unit::Week | Unit::Month));
        units.map(newest).filter(|window| state.awaits_reconciliation(*window)).collect()
    }

    /// Returns the state without entries from a clock that was ahead. Querying again is harmless: the ledger counts
    /// nothing twice.
    fn heal(&self, now: Timestamp, state: &ReportState) -> ReportState {
        let mut state = state.clone();
        state.windows.retain(|_, known| known.answered.is_none_or(|at| at <= now));
        let newest = self.newest_day(now);
        state.settled_before = state.settled_before.map(|day| day.min(newest));
        state.read_since = state.read_since.map(|day| day.min(newest));
        state.reconciled.retain(|window| window.last() <= newest);
        state
    }

    /// Returns the tenant's unsettled days, the oldest first.
    fn days(&self, now: Timestamp, state: &ReportState) -> Vec<Date> {
        let newest = self.newest_day(now);
        let oldest = plus_days(newest, 1 - UNSETTLED);
        let mut day =
            state.settled_before.map_or(oldest, |day| day.min(oldest)).max(plus_days(newest, -LONGEST_DOWNTIME));
        let mut days = Vec::new();
        while day <= newest {
            days.push(day);
            day = plus_days(day, 1);
        }
        days
    }

    fn newest_day(&self, now: Timestamp) -> Date {
        plus_days(date_of(now, &self.zone), -DAYS_LATE)
    }

    /// Returns the time on a day at which new data appear.
    fn slot(&self, day: Date) -> Timestamp {
        at(day, HOUR, &self.zone)
    }

    /// Returns the time at which the data of a day are due.
    fn due(&self, day: Date) -> Timestamp {
        self.slot(plus_days(day, DAYS_LATE))
    }

    /// Returns true a day after the data were due: data that are still missing then are not expected any more.
    fn is_overdue(&self, now: Timestamp, day: Date) -> bool {
        now >= self.slot(plus_days(day, DAYS_LATE + 1))
    }

    /// Returns true if the window lies before the two newest days, so that a query for it is catching up.
    pub fn is_past(&self, now: Timestamp, query: &WindowQuery) -> bool {
        query.last.last() < plus_days(self.newest_day(now), -1)
    }

    /// Returns true if a poll now queries a day: once a day, the newest in every poll until it is available.
    fn wants_day(&self, now: Timestamp, state: &ReportState, day: Date) -> bool {
        let known = state.of(None, Window::day(day));
        let is_newest = day == self.newest_day(now);
        !known.lost && (self.interval.is_some() || self.is_stale(now, known) || (is_newest && !known.has_numbers))
    }

    /// Returns true if a window has not been answered since data were last due.
    fn is_stale(&self, now: Timestamp, known: WindowState) -> bool {
        let today = date_of(now, &self.zone);
        let last = if now < self.slot(today) { self.slot(plus_days(today, -1)) } else { self.slot(today) };
        known.answered.is_none_or(|answered| answered < last)
    }

    /// Returns true if the provider has finished a day: it has numbers, or will have none.
    fn is_produced(&self, now: Timestamp, state: &ReportState, day: Date) -> bool {
        let known = state.of(None, Window::day(day));
        let first_open = state.settled_before.unwrap_or_else(|| plus_days(self.newest_day(now), -1));
        known.has_numbers || known.empty || day < first_open
    }

    /// Returns the newest window of a unit whose last day is finished.
    fn newest_closed(&self, now: Timestamp, state: &ReportState, unit: Unit) -> Window {
        let mut day = self.newest_day(now);
        for _ in 0..LONGEST_DOWNTIME {
            if self.is_produced(now, state, day) {
                break;
            }
            day = plus_days(day, -1);
        }
        let window = Window::holding(unit, day);
        if window.last() == day { window } else { window.previous() }
    }

    /// Returns the windows of the configured units to query: those that contain an unsettled day (for a department one
    /// of the two newest, since departments feed no counters), once a day, and the newest closed one until it has been
    /// answered as closed.
    fn windows(&self, now: Timestamp, state: &ReportState, scope: Option<&str>) -> Vec<Window> {
        let newest = self.newest_day(now);
        let oldest = plus_days(newest, if scope.is_none() { 1 - UNSETTLED } else { -1 });
        let mut windows = Vec::new();
        for unit in &self.units {
            let mut add = |window: Window, is_wanted: bool| {
                if is_wanted && !windows.contains(&window) {
                    windows.push(window);
                }
            };
            let closed = self.newest_closed(now, state, *unit);
            let is_answered = state.of(scope, closed).closed;
            let mut window = Window::holding(*unit, oldest);
            add(closed, !is_answered && closed < window);
            while window.first <= newest {
                let is_due = self.interval.is_some() || self.is_stale(now, state.of(scope, window));
                add(window, is_due || (window == closed && !is_answered));
                window = Window::holding(*unit, plus_days(window.last(), 1));
            }
        }
        windows
    }

    /// Returns the past windows: the tenant's days, which feed counters, and those that are shown as gauges.
    pub fn past(&self) -> Vec<PastWindows> {
        let windows = |scope: Option<&String>, unit| PastWindows {
            scope: scope.cloned(),
            unit,
            counts: scope.is_none() && unit == Unit::Day,
            windows_a_query: 1,
            requests_a_query: 1,
            reach: None,
        };
        let tenant = self.units.iter().filter(|unit| **unit != Unit::Day).map(|unit| windows(None, *unit));
        let departments =
            self.departments.iter().flat_map(|scope| self.units.iter().map(move |unit| windows(Some(scope), *unit)));
        [windows(None, Unit::Day)].into_iter().chain(tenant).chain(departments).collect()
    }

    /// Returns the time at which a window closes: when the data of its last day are due, or a day later if there are none.
    pub fn shown_from(&self, window: Window, has_numbers: bool) -> Timestamp {
        let day = if has_numbers { window.last() } else { plus_days(window.last(), 1) };
        self.due(day).saturating_add(self.jitter).unwrap_or(Timestamp::MAX)
    }

    /// Interprets an answer: counts, closed windows and settled days.
    pub fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        let now = reading.now;
        let window = query.first;
        let scope = query.scope.as_deref();
        let mut state = self.heal(now, state);
        let mut update = WindowUpdate::default();
        let is_tenant_day = window.unit == Unit::Day && scope.is_none();
        let found_numbers = matches!(answer, WindowAnswer::Numbers(_));

        if is_tenant_day {
            let first = self.days(now, &state).first().copied();
            state.read_since = state.read_since.or(first);
        }
        let mut new = state.of(scope, window);
        new.answered = Some(now);
        let mut numbers = WindowReadings::empty(window);
        match answer {
            WindowAnswer::Numbers(found) => {
                update.unknown = found.unknown;
                new.has_numbers = true;
                new.empty = false;
                if let Some(found) = found.windows.into_iter().find(|found| found.window == window) {
                    numbers = found;
                }
                if is_tenant_day {
                    update.counted.push(numbers.clone());
                }
            }
            WindowAnswer::NoData => new.empty = !new.has_numbers && self.is_overdue(now, window.last()),
            WindowAnswer::Lost => {
                new.empty = !new.has_numbers;
                new.lost = true;
                if is_tenant_day && !new.has_numbers {
                    state.note_lost(window.first);
                }
            }
        }
        remember(&mut state, scope, window, new);
        if is_tenant_day {
            self.settle(reading, &mut state);
        }

        if scope.is_none() && window.unit != Unit::Day && state.awaits_reconciliation(window) {
            // Feishu may say nothing of a window in which nothing was sent.
            state.note_reconciled(window);
            update.totals = found_numbers.then(|| WindowTotals::new(&numbers, window.end(&self.zone)));
        }

        if self.units.contains(&window.unit) && self.newest_closed(now, &state, window.unit) == window {
            new.closed = true;
            remember(&mut state, scope, window, new);
            let end = window.end(&self.zone);
            // If numbers disappear again, the gauges keep their values.
            let is_news = found_numbers || !new.has_numbers;
            update.gauges.extend(is_news.then(|| WindowGauges { scope: query.scope.clone(), end, numbers }));
        }
        update.state = state;
        update
    }

    /// Settles days that are no longer among the newest seven and have been answered, with or without numbers.
    fn settle(&self, reading: ClockReading, state: &mut ReportState) {
        let oldest = plus_days(self.newest_day(reading.sure), 1 - UNSETTLED);
        let days = self.days(reading.now, state);
        let is_over = |day: &Date| {
            let known = state.of(None, Window::day(*day));
            known.lost || (*day < oldest && known.answered.is_some())
        };
        let settled = days.iter().take_while(|day| is_over(day)).last();
        let open = settled.map(|day| plus_days(*day, 1)).or(days.first().copied());
        state.settled_before = state.settled_before.max(open);
    }

    /// Returns true if a closed window was never queried: a department or unit is new in the configuration.
    fn has_unanswered(&self, now: Timestamp, state: &ReportState) -> bool {
        let departments = self.departments.iter().map(|scope| Some(scope.as_str()));
        [None].into_iter().chain(departments).any(|scope| {
            let mut closed = self.units.iter().map(|unit| self.newest_closed(now, state, *unit));
            // The tenant's days are always queried.
            closed.any(|window| {
                let is_asked_anyway = scope.is_none() && window.unit == Unit::Day;
                !is_asked_anyway && !state.of(scope, window).closed
            })
        })
    }

    /// Returns the time of the next poll: after the explicit interval, or at 10:00 with jitter, and hourly while a day
    /// is awaited.
    pub fn next_due(&self, now: Timestamp, state: &ReportState) -> Timestamp {
        if let Some(interval) = self.interval {
            return now.saturating_add(interval).unwrap_or(now);
        }
        let state = &self.heal(now, state);
        let today = date_of(now, &self.zone);
        let slot = |day| self.slot(day).saturating_add(self.jitter).unwrap_or(now);
        let next_slot = if now < slot(today) { slot(today) } else { slot(plus_days(today, 1)) };
        let newest = self.newest_day(now);
        let awaited = self.due(newest) <= now && !state.of(None, Window::day(newest)).has_numbers;
        let soon = |wait: Duration| next_slot.min(now.saturating_add(wait).unwrap_or(now));
        if self.has_unanswered(now, state) {
            soon(SHORTLY)
        } else if awaited {
            soon(HOURLY)
        } else {
            next_slot
        }
    }
}

/// Stores the state of a window, and drops those of windows that will not be queried again.
fn remember(state: &mut ReportState, scope: Option<&str>, window: Window, known: WindowState) {
    let scope = scope.unwrap_or_default();
    state.windows.insert((scope.to_owned(), window), known);
    let settled_before = state.settled_before;
    let is_open = |window: &Window| {
        scope.is_empty() && window.unit == Unit::Day && settled_before.is_some_and(|day| window.first >= day)
    };
    let forgettable: Vec<Window> = state
        .windows
        .keys()
        .filter(|(of, other)| of == scope && other.unit == window.unit && !is_open(other))
        .map(|(_, other)| *other)
        .collect();
    for old in forgettable.iter().rev().skip(REMEMBERED) {
        state.windows.remove(&(scope.to_owned(), *old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::WindowNumbers;
    use jiff::civil::date;

    /// Returns the time this many hours after midnight in Beijing.
    fn beijing(day: &str, hours: i64) -> Timestamp {
        let midnight: Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
        midnight + jiff::SignedDuration::from_hours(hours)
    }

    fn schedule() -> Schedule {
        Schedule {
            zone: TimeZone::get("Asia/Shanghai").unwrap(),
            interval: None,
            units: vec![Unit::Day, Unit::Week, Unit::Month],
            departments: Vec::new(),
            jitter: Duration::from_secs(60),
        }
    }

    /// Windows that a poll queried, and windows whose gauges it set (true if with numbers).
    struct Polled {
        earlier: Vec<String>,
        closed: Vec<(String, bool)>,
    }

    /// Polls once; `answer` returns the data that Feishu has for a query.
    fn poll(
        schedule: &Schedule,
        state: &mut ReportState,
        now: Timestamp,
        answer: impl Fn(&WindowQuery) -> WindowAnswer,
    ) -> Polled {
        poll_at(schedule, state, ClockReading::sure(now), answer)
    }

    fn poll_at(
        schedule: &Schedule,
        state: &mut ReportState,
        reading: ClockReading,
        answer: impl Fn(&WindowQuery) -> WindowAnswer,
    ) -> Polled {
        let mut earlier = EarlierQueries::default();
        let mut polled = Polled { earlier: Vec::new(), closed: Vec::new() };
        while let Some(query) = schedule.next(reading.now, state, &earlier) {
            earlier.queries.push(query.clone());
            assert!(earlier.queries.len() < 500, "the poll does not end");
            let scope = query.scope.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            polled.earlier.push(format!("{}{scope}", query.first.key()));
            let given = answer(&query);
            let has_numbers = matches!(given, WindowAnswer::Numbers(_));
            let update = schedule.interpret(reading, &query, given, state);
            polled.closed.extend(update.gauges.iter().map(|gauges| (gauges.numbers.window.key(), has_numbers)));
            assert_eq!(
                update.counted.len(),
                usize::from(has_numbers && query.first.unit == Unit::Day && scope.is_empty())
            );
            *state = update.state;
        }
        polled
    }

    /// Returns these days of March 2026 in the order in which they are queried.
    fn days(days: impl DoubleEndedIterator<Item = i8>) -> Vec<String> {
        days.rev().map(|day| format!("day 2026-03-{day:02}")).collect()
    }

    fn numbers() -> WindowAnswer {
        WindowAnswer::Numbers(WindowNumbers::default())
    }

    /// Returns answers with data up to a day; a week or month has data if its first day has.
    fn up_to(day: Date) -> impl Fn(&WindowQuery) -> WindowAnswer {
        move |query| if query.first.first <= day { numbers() } else { WindowAnswer::NoData }
    }

    #[test]
    fn the_first_start_asks_the_newest_seven_days_at_any_hour_and_the_newest_closed_week_and_month() {
        // Tuesday 2026-03-10 03:00: the 8th (Sunday) is not available before 10:00, the 7th is.
        let mut state = ReportState::default();
        let polled = poll(&schedule(), &mut state, beijing("2026-03-10", 3), up_to(date(2026, 3, 7)));
        let windows = ["week 2026-02-23", "week 2026-03-02", "month 2026-02-01", "month 2026-03-01"];
        assert_eq!(polled.earlier, [days(2..=8), windows.map(str::to_owned).to_vec()].concat());
        let closed = [("day 2026-03-07", true), ("week 2026-02-23", true), ("month 2026-02-01", true)];
        assert_eq!(polled.closed, closed.map(|(window, has)| (window.to_owned(), has)));
        assert_eq!(schedule().next_due(beijing("2026-03-10", 3), &state).to_string(), "2026-03-10T02:01:00Z", "10:01");

        // At 10:01 Sunday is available and closes its week; the other days are queried once more.
        let now = beijing("2026-03-10", 10) + jiff::SignedDuration::from_secs(60);
        let polled = poll(&schedule(), &mut state, now, up_to(date(2026, 3, 8)));
        let windows = ["week 2026-03-02", "month 2026-03-01"];
        assert_eq!(polled.earlier, [days(2..=8), windows.map(str::to_owned).to_vec()].concat());
        let closed = [("day 2026-03-08", true), ("week 2026-03-02", true)];
        assert_eq!(polled.closed, closed.map(|(window, has)| (window.to_owned(), has)));
        assert_eq!(schedule().next_due(now, &state).to_string(), "2026-03-11T02:01:00Z", "tomorrow");
    }

    #[test]
    fn a_day_that_is_lost_is_a_closed_one_without_numbers() {
        // Away since January; of all before the 7th Feishu has nothing any more, and the 7th and 8th may still come.
        let mut state = ReportState { settled_before: Some(date(2026, 1, 20)), ..ReportState::default() };
        let answer = |query: &WindowQuery| {
            if query.first.last() < date(2026, 3, 7) { WindowAnswer::Lost } else { WindowAnswer::NoData }
        };
        let polled = poll(&schedule(), &mut state, beijing("2026-03-10", 9), answer);
        assert!(polled.closed.contains(&("day 2026-03-06".to_owned(), false)), "{:?}", polled.closed);
    }

    #[test]
    fn the_newest_day_is_asked_for_hourly_until_it_is_there() {
        let mut state = ReportState::default();
        let start = beijing("2026-03-10", 11);
        poll(&schedule(), &mut state, start, up_to(date(2026, 3, 7)));
        assert_eq!(schedule().next_due(start, &state), beijing("2026-03-10", 12));
        let polled = poll(&schedule(), &mut state, beijing("2026-03-10", 12), up_to(date(2026, 3, 7)));
        assert_eq!(polled.earlier, days(8..=8), "the others have been queried today");
        let polled = poll(&schedule(), &mut state, beijing("2026-03-10", 13), up_to(date(2026, 3, 8)));
        assert_eq!(polled.earlier[..1], days(8..=8));
        assert!(polled.closed.contains(&("week 2026-03-02".to_owned(), true)), "its week closes with it");
        let tomorrow = beijing("2026-03-11", 10) + jiff::SignedDuration::from_secs(60);
        assert_eq!(schedule().next_due(beijing("2026-03-10", 13), &state), tomorrow);
    }

    #[test]
    fn a_day_that_comes_days_late_is_still_counted_and_one_that_never_comes_settles() {
        let mut state = ReportState::default();
        let late = |is_there: bool| {
            move |query: &WindowQuery| match query.first {
                window if window == Window::day(date(2026, 3, 8)) && !is_there => WindowAnswer::NoData,
                _ => numbers(),
            }
        };
        for day in 10..=13 {
            let polled = poll(&schedule(), &mut state, beijing(&format!("2026-03-{day}"), 12), late(false));
            assert!(polled.earlier.contains(&"day 2026-03-08".to_owned()), "on the {day}th");
        }
        // The day is counted: the helper asserts that every tenant day with numbers is.
        let polled = poll(&schedule(), &mut state, beijing("2026-03-14", 12), late(true));
        assert!(polled.earlier.contains(&"day 2026-03-08".to_owned()));
        assert!(!polled.closed.contains(&("day 2026-03-08".to_owned(), true)), "later days have closed");
        assert_eq!(state.settled_before, Some(date(2026, 3, 6)));
        poll(&schedule(), &mut state, beijing("2026-03-17", 12), late(false));
        assert_eq!(state.settled_before, Some(date(2026, 3, 9)), "the day is no longer among the newest seven");
    }

    #[test]
    fn a_day_without_numbers_closes_empty_a_day_after_it_was_due() {
        let mut state = ReportState::default();
        poll(&schedule(), &mut state, beijing("2026-03-10", 11), up_to(date(2026, 3, 7)));
        let polled = poll(&schedule(), &mut state, beijing("2026-03-11", 10), up_to(date(2026, 3, 7)));
        assert!(polled.closed.contains(&("day 2026-03-08".to_owned(), false)), "{:?}", polled.closed);
        assert!(polled.closed.contains(&("week 2026-03-02".to_owned(), true)), "its week closes with it");
        assert_eq!(state.settled_before, Some(date(2026, 3, 3)), "the day may still appear");
    }

    #[test]
    fn a_clock_that_was_ahead_settles_nothing() {
        let mut state = ReportState::default();
        poll(&schedule(), &mut state, beijing("2026-03-10", 12), up_to(date(2026, 3, 8)));
        // The clock is a month ahead for one poll, and unconfirmed.
        let ahead = ClockReading {
            now: beijing("2026-04-09", 12),
            sure: beijing("2026-03-10", 13),
            was_set_back: false,
            is_steady: true,
        };
        poll_at(&schedule(), &mut state, ahead, up_to(date(2026, 3, 8)));
        assert_eq!(state.settled_before, Some(date(2026, 3, 2)));
        let polled = poll(&schedule(), &mut state, beijing("2026-03-11", 12), up_to(date(2026, 3, 9)));
        assert_eq!(polled.earlier[..7], days(3..=9));
        assert!(polled.closed.contains(&("day 2026-03-09".to_owned(), true)));
    }

    #[test]
    fn downtime_is_caught_up_and_what_is_too_old_is_lost() {
        let mut state = ReportState { settled_before: Some(date(2026, 2, 26)), ..ReportState::default() };
        let answer = |query: &WindowQuery| match query.first.first {
            day if day < date(2026, 2, 28) && query.first.unit == Unit::Day => WindowAnswer::Lost,
            day if day > date(2026, 3, 8) => WindowAnswer::NoData,
            _ => numbers(),
        };
        let now = beijing("2026-03-10", 12);
        let polled = poll(&schedule(), &mut state, now, answer);
        let days: Vec<&String> = polled.earlier.iter().filter(|window| window.starts_with("day")).collect();
        assert_eq!((days.len(), days[0].as_str(), days[10].as_str()), (11, "day 2026-03-08", "day 2026-02-26"));
        assert_eq!(state.settled_before, Some(date(2026, 3, 2)));
        let late = |day| WindowQuery { first: Window::day(day), last: Window::day(day), scope: None };
        assert!(schedule().is_past(now, &late(date(2026, 3, 6))));
        assert!(!schedule().is_past(now, &late(date(2026, 3, 7))), "one of the newest two is not catching up");
    }

    #[test]
    fn an_explicit_interval_asks_for_all_unsettled_windows_each_time() {
        let schedule = Schedule { interval: Some(Duration::from_secs(5)), units: vec![Unit::Day], ..schedule() };
        let mut state = ReportState::default();
        let now = beijing("2026-03-10", 20);
        for _ in 0..3 {
            let polled = poll(&schedule, &mut state, now, up_to(date(2026, 3, 8)));
            assert_eq!(polled.earlier, days(2..=8));
        }
        assert_eq!(schedule.next_due(now, &state), now + jiff::SignedDuration::from_secs(5));
    }

    #[test]
    fn a_department_that_is_new_in_the_configuration_is_asked_soon() {
        let mut state = ReportState::default();
        let now = beijing("2026-03-10", 12);
        poll(&schedule(), &mut state, now, up_to(date(2026, 3, 8)));
        let with = Schedule { departments: vec!["od-1".to_owned()], ..schedule() };
        assert_eq!(with.next_due(now, &state), now + jiff::SignedDuration::from_secs(60));
        let polled = poll(&with, &mut state, now, up_to(date(2026, 3, 8)));
        assert!(polled.closed.contains(&("month 2026-02-01".to_owned(), true)));
        assert!(polled.earlier.contains(&"day 2026-03-08 od-1".to_owned()));
        assert_eq!(with.next_due(now, &state), beijing("2026-03-11", 10) + jiff::SignedDuration::from_secs(60));
    }

    #[test]
    fn what_is_remembered_stays_small_and_survives_its_stored_form() {
        let with = Schedule { departments: vec!["od-1".to_owned(), "od-2".to_owned()], ..schedule() };
        let mut state = ReportState::default();
        for day in 0..400 {
            let now = beijing("2026-03-10", 11 + 24 * day);
            poll(&with, &mut state, now, |query| up_to(plus_days(date(2026, 3, 8), day as i32))(query));
            let stored = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<ReportState>(&stored).unwrap(), state);
        }
        assert!(state.windows.len() < 80, "{} windows", state.windows.len());
    }
}
