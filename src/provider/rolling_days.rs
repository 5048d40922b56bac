//! Schedule of reports by day whose numbers grow during the day and are restated for some days. Pure.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window, date_of, plus_days};
use crate::provider::{
    EarlierQueries, PastWindows, ReportState, WindowAnswer, WindowGauges, WindowNumbers, WindowQuery, WindowTotals,
    WindowUpdate,
};
use crate::util::clock_guard::ClockReading;

/// Number of days after which a day is read once more, to compare it with what was counted: a week after its end.
const READ_AGAIN_AFTER: i32 = 8;

/// Schedule of a report whose days grow, and are restated, until they settle: every poll queries from the oldest
/// unsettled day to today.
#[derive(Clone, Debug)]
pub struct RollingDays {
    /// Time zone of the app's calendar.
    pub zone: TimeZone,
    /// Number of days after its end at which a day settles.
    pub settles_after: i32,
    /// Longest range of one query, in days.
    pub days_a_query: i32,
    /// Longest downtime that is caught up, in days.
    pub longest_downtime: i32,
}

impl RollingDays {
    /// Returns the next range to query: at most `days_a_query` days, the oldest first unless a query has failed.
    pub fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let mut ranges = self.ranges(now, state, earlier);
        if earlier.has_failed {
            ranges.reverse();
        }
        let next = ranges.into_iter().find(|query| !earlier.queries.iter().any(|other| other.first == query.first));
        next.or_else(|| {
            let again = WindowQuery::of_day(self.read_again(now));
            let is_wanted = state.awaits_reconciliation(again.first) && !earlier.has_failed;
            (is_wanted && !earlier.queries.contains(&again)).then_some(again)
        })
    }

    /// Returns the day that is read once more, if it is settled.
    fn read_again(&self, now: Timestamp) -> Date {
        plus_days(date_of(now, &self.zone), -READ_AGAIN_AFTER)
    }

    /// Returns the ranges of a poll, as they were at its first query even if days have settled since.
    fn ranges(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Vec<WindowQuery> {
        let today = date_of(now, &self.zone);
        // The last days are queried whatever the clock did.
        let oldest_open = self.settled_before(state, today).unwrap_or(plus_days(today, -self.settles_after));
        let again = WindowQuery::of_day(self.read_again(now));
        let is_open = |query: &&WindowQuery| **query != again || again.first.first >= oldest_open;
        let first = earlier.queries.iter().filter(is_open).map(|query| query.first.first).min().unwrap_or(oldest_open);
        let mut ranges = Vec::new();
        let mut day = first.min(oldest_open);
        while day <= today {
            let last = plus_days(day, self.days_a_query - 1).min(today);
            ranges.push(WindowQuery { first: Window::day(day), last: Window::day(last), scope: None });
            day = plus_days(last, 1);
        }
        ranges.retain(|query| query.last.first >= oldest_open);
        ranges
    }

    /// Returns the past days, for a report that takes this many requests a query.
    pub fn past(&self, requests_a_query: u64) -> PastWindows {
        let windows_a_query = usize::try_from(self.days_a_query).unwrap_or(1);
        PastWindows { scope: None, unit: Unit::Day, counts: true, windows_a_query, requests_a_query, reach: None }
    }

    /// Returns true if a range begins before the days that are always queried.
    pub fn is_past(&self, now: Timestamp, query: &WindowQuery) -> bool {
        query.first.first < plus_days(date_of(now, &self.zone), -self.settles_after)
    }

    /// Interprets an answer: every queried day is covered, with or without numbers. Yesterday is the newest closed day.
    pub fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        let today = date_of(reading.now, &self.zone);
        let mut state = state.clone();
        if *query == WindowQuery::of_day(self.read_again(reading.now)) && state.awaits_reconciliation(query.first) {
            return self.compare(query.first, answer, state);
        }
        // Days that the provider refuses are lost whatever the clock says, and so are the days before.
        let is_lost = answer == WindowAnswer::Lost;
        // An earlier range that failed keeps its days unsettled, and so does a clock that was ahead.
        let oldest_open =
            plus_days(if is_lost { today } else { date_of(reading.sure, &self.zone) }, -self.settles_after);
        let settled_before = self.settled_before(&state, today);
        if is_lost || settled_before.is_none_or(|day| query.first.first <= day) {
            let covered = plus_days(query.last.first, 1).min(oldest_open);
            state.settled_before = settled_before.max(Some(covered));
        }
        if is_lost {
            state.note_lost(query.last.first);
        }
        state.read_since.get_or_insert(query.first.first);
        // After downtime it is read for the first time now, and not again.
        let again = Window::day(self.read_again(reading.now));
        if (query.first..=query.last).contains(&again) {
            state.note_reconciled(again);
        }
        let WindowAnswer::Numbers(WindowNumbers { mut windows, covers, unknown }) = answer else {
            return WindowUpdate { state, ..WindowUpdate::default() };
        };

        let mut counted = Vec::new();
        let mut day = query.first;
        while day <= query.last {
            let found = windows.iter().position(|numbers| numbers.window == day);
            counted.push(found.map_or_else(|| WindowReadings::empty(day), |place| windows.swap_remove(place)));
            day = Window::holding(Unit::Day, plus_days(day.first, 1));
        }
        let yesterday = Window::day(plus_days(today, -1));
        let gauges = counted
            .iter()
            .filter(|numbers| numbers.window == yesterday)
            .map(|numbers| WindowGauges { scope: None, end: yesterday.end(&self.zone), numbers: numbers.clone() })
            .collect();
        WindowUpdate { counted, covers, gauges, totals: None, unknown, state }
    }

    /// Interprets the answer about a settled day: nothing is counted.
    fn compare(&self, day: Window, answer: WindowAnswer, mut state: ReportState) -> WindowUpdate {
        state.note_reconciled(day);
        let WindowAnswer::Numbers(WindowNumbers { windows, unknown, .. }) = answer else {
            return WindowUpdate { state, ..WindowUpdate::default() };
        };
        let found = windows.into_iter().find(|numbers| numbers.window == day);
        let numbers = found.unwrap_or_else(|| WindowReadings::empty(day));
        let totals = Some(WindowTotals::new(&numbers, day.end(&self.zone)));
        WindowUpdate { totals, unknown, state, ..WindowUpdate::default() }
    }

    /// Returns the day before which every day is settled, limited to the days between the longest downtime and the days
    /// that are open whatever a clock said.
    fn settled_before(&self, state: &ReportState, today: Date) -> Option<Date> {
        let (oldest, newest) = (plus_days(today, -self.longest_downtime), plus_days(today, -self.settles_after));
        state.settled_before.map(|day| day.clamp(oldest, newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn schedule() -> RollingDays {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        RollingDays { zone, settles_after: 3, days_a_query: 7, longest_downtime: 366 }
    }

    fn ranges(now: &str, state: &ReportState) -> Vec<(String, String)> {
        let now = now.parse().unwrap();
        let mut earlier = EarlierQueries::default();
        while let Some(query) = schedule().next(now, state, &earlier) {
            earlier.queries.push(query);
        }
        earlier.queries.iter().map(|query| (query.first.first.to_string(), query.last.first.to_string())).collect()
    }

    fn range(first: &str, last: &str) -> (String, String) {
        (first.to_owned(), last.to_owned())
    }

    #[test]
    fn asks_from_the_oldest_unsettled_day_to_today() {
        // 2026-03-10 00:30 in Shanghai: the 7th ended on the 8th at 00:00 and settles on the 11th.
        let at = "2026-03-09T16:30:00Z";
        assert_eq!(ranges(at, &ReportState::default()), [range("2026-03-07", "2026-03-10")]);
        let state = ReportState { settled_before: Some(date(2026, 3, 7)), ..ReportState::default() };
        assert_eq!(ranges(at, &state), [range("2026-03-07", "2026-03-10")]);
    }

    #[test]
    fn catches_up_in_calls_of_seven_days() {
        let state = ReportState { settled_before: Some(date(2026, 2, 27)), ..ReportState::default() };
        assert_eq!(
            ranges("2026-03-10T04:00:00Z", &state),
            [range("2026-02-27", "2026-03-05"), range("2026-03-06", "2026-03-10")]
        );
    }

    #[test]
    fn a_clock_that_was_ahead_loses_no_day() {
        let state = ReportState { settled_before: Some(date(2027, 3, 1)), ..ReportState::default() };
        assert_eq!(ranges("2026-03-10T04:00:00Z", &state), [range("2026-03-07", "2026-03-10")]);
        let state = ReportState { settled_before: Some(date(1970, 1, 1)), ..ReportState::default() };
        assert_eq!(ranges("2026-03-10T04:00:00Z", &state).len(), 53);
    }

    #[test]
    fn catching_up_on_years_ends() {
        let now = "2026-03-10T04:00:00Z".parse().unwrap();
        let mut state = ReportState { settled_before: Some(date(2020, 1, 1)), ..ReportState::default() };
        let mut earlier = EarlierQueries::default();
        while let Some(query) = schedule().next(now, &state, &earlier) {
            let reading = ClockReading::sure(now);
            state =
                schedule().interpret(reading, &query, WindowAnswer::Numbers(WindowNumbers::default()), &state).state;
            earlier.queries.push(query);
        }
        assert_eq!((earlier.queries.len(), state.settled_before), (53, Some(date(2026, 3, 7))));
        assert_eq!(ranges("2026-03-10T04:05:00Z", &state), [range("2026-03-07", "2026-03-10")]);
    }

    #[test]
    fn a_range_that_failed_is_asked_for_again() {
        let now = ClockReading::sure("2026-03-10T04:00:00Z".parse().unwrap());
        let state = ReportState { settled_before: Some(date(2026, 2, 27)), ..ReportState::default() };
        let query =
            WindowQuery { first: Window::day(date(2026, 3, 6)), last: Window::day(date(2026, 3, 10)), scope: None };
        let update = schedule().interpret(now, &query, WindowAnswer::Numbers(WindowNumbers::default()), &state);
        assert_eq!(update.state.settled_before, Some(date(2026, 2, 27)));
    }

    #[test]
    fn settles_by_answers_only() {
        let now = ClockReading::sure("2026-03-10T04:00:00Z".parse().unwrap());
        let query =
            WindowQuery { first: Window::day(date(2026, 2, 27)), last: Window::day(date(2026, 3, 5)), scope: None };
        let update =
            schedule().interpret(now, &query, WindowAnswer::Numbers(WindowNumbers::default()), &ReportState::default());
        assert_eq!(update.state.settled_before, Some(date(2026, 3, 6)));
        assert_eq!(update.counted.len(), 7, "an answer covers the days that it has no numbers for");
        assert!(update.gauges.is_empty());
        let query =
            WindowQuery { first: Window::day(date(2026, 3, 6)), last: Window::day(date(2026, 3, 10)), scope: None };
        let update = schedule().interpret(now, &query, WindowAnswer::Numbers(WindowNumbers::default()), &update.state);
        assert_eq!(update.state.settled_before, Some(date(2026, 3, 7)));
        assert_eq!(update.gauges[0].numbers.window, Window::day(date(2026, 3, 9)));
        assert_eq!(update.gauges[0].end.to_string(), "2026-03-09T16:00:00Z");
    }

    #[test]
    fn the_newest_range_goes_first_after_a_failure() {
        let now = "2026-03-10T04:00:00Z".parse().unwrap();
        let state = ReportState { settled_before: Some(date(2026, 2, 27)), ..ReportState::default() };
        let mut earlier = EarlierQueries { has_failed: true, ..EarlierQueries::default() };
        let mut first = Vec::new();
        while let Some(query) = schedule().next(now, &state, &earlier) {
            first.push(query.first.first.to_string());
            earlier.queries.push(query);
        }
        assert_eq!(first, ["2026-03-06", "2026-02-27"]);
    }

    #[test]
    fn what_lies_before_a_lost_day_is_lost_too() {
        let reading = ClockReading::sure("2026-03-10T04:00:00Z".parse().unwrap());
        let state = ReportState { settled_before: Some(date(2026, 1, 1)), ..ReportState::default() };
        let lost =
            WindowQuery { first: Window::day(date(2026, 2, 5)), last: Window::day(date(2026, 2, 8)), scope: None };
        let update = schedule().interpret(reading, &lost, WindowAnswer::Lost, &state);
        assert_eq!(update.state.settled_before, Some(date(2026, 2, 9)));
        assert!(update.counted.is_empty());
    }

    #[test]
    fn nothing_settles_by_a_time_that_is_not_sure() {
        let now: Timestamp = "2026-04-09T04:00:00Z".parse().unwrap();
        let reading =
            ClockReading { now, sure: "2026-03-10T04:00:00Z".parse().unwrap(), was_set_back: false, is_steady: true };
        let state = ReportState { settled_before: Some(date(2026, 3, 7)), ..ReportState::default() };
        let query =
            WindowQuery { first: Window::day(date(2026, 3, 7)), last: Window::day(date(2026, 3, 13)), scope: None };
        let update = schedule().interpret(reading, &query, WindowAnswer::Numbers(WindowNumbers::default()), &state);
        assert_eq!(update.state.settled_before, Some(date(2026, 3, 7)));
    }
}
