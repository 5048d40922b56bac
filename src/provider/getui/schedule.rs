//! Schedule of `push_date`. A day appears at an unknown hour of the next one; what devices receive later of its pushes is added
//! to it for three days. Pure.
//!
//! On day D, D-1 is queried hourly from 00:10 (with jitter) until it has numbers; then D-1 to D-3 are queried every three
//! hours. D-4 is queried once more, and settles four days after its end; D-8 is
//! read once more and compared with what was counted. Days missed by downtime are queried once. With an
//! explicit interval, every poll queries all unsettled days.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::model::reading::WindowReadings;
use crate::model::window::{Unit, Window, date_of, midnight, plus_days};
use crate::provider::getui::fields::select;
use crate::provider::{
    EarlierQueries, PastWindows, ReportState, WindowAnswer, WindowGauges, WindowNumbers, WindowQuery, WindowTotals,
    WindowUpdate,
};
use crate::util::clock_guard::ClockReading;

/// Polling interval while a day is awaited.
pub(super) const HOURLY: Duration = Duration::from_secs(3600);
/// Polling interval of the days that still grow.
const GROWING: Duration = Duration::from_secs(3 * 3600);
/// Time after midnight from which yesterday is awaited …
const DELAY: Duration = Duration::from_secs(600);
/// … and the period over which apps are spread after it.
pub(super) const SPREAD: Duration = Duration::from_secs(600);
/// Number of newest days that still grow: the longest life of a message is three days.
const GROWING_DAYS: i32 = 3;
/// Number of days after its end at which a day settles.
const SETTLES_AFTER: i32 = 4;
/// Number of days after which a day is read once more, to compare it with what was counted: a week after its end.
const READ_AGAIN_AFTER: i32 = 8;
/// Longest downtime that is caught up, in days: tasks are kept for as long.
const LONGEST_DOWNTIME: i32 = 90;
/// Number of settled days that are remembered.
const REMEMBERED: usize = 6;

/// Schedule of one app.
#[derive(Clone, Debug)]
pub(super) struct PushDays {
    /// Time zone of the app's calendar.
    pub(super) zone: TimeZone,
    /// Configured interval, if any.
    pub(super) interval: Option<Duration>,
    /// Delay after 00:10, so that not all apps query at once.
    pub(super) jitter: Duration,
}

impl PushDays {
    /// Returns the next day to query, the newest first.
    pub(super) fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let state = &self.heal(now, state);
        let days = self.unsettled(now, state).into_iter().rev().filter(|day| self.wants(now, state, *day));
        let mut queries = days.map(WindowQuery::of_day);
        let next = queries.find(|query| !earlier.queries.contains(query));
        // A poll always sends a query; otherwise it could not detect that the report fails.
        let next = next.or_else(|| {
            let again = WindowQuery::of_day(self.read_again(now));
            let is_wanted = state.awaits_reconciliation(again.first) && !earlier.has_failed;
            (is_wanted && !earlier.queries.contains(&again)).then_some(again)
        });
        next.or_else(|| earlier.queries.is_empty().then(|| WindowQuery::of_day(self.yesterday(now))))
    }

    /// Returns true if a query is for a day that no poll would ask for without downtime.
    pub(super) fn is_past(&self, now: Timestamp, query: &WindowQuery) -> bool {
        query.last.first < plus_days(date_of(now, &self.zone), -SETTLES_AFTER)
    }

    /// Returns the state without entries from a clock that was ahead. Querying again is harmless: the ledger counts nothing
    /// twice.
    fn heal(&self, now: Timestamp, state: &ReportState) -> ReportState {
        let mut state = state.clone();
        for known in state.windows.values_mut().filter(|known| known.answered.is_some_and(|at| at > now)) {
            (known.answered, known.has_numbers, known.empty, known.lost) = (None, false, false, false);
        }
        let newest = plus_days(date_of(now, &self.zone), -SETTLES_AFTER);
        let oldest = plus_days(newest, -LONGEST_DOWNTIME);
        state.settled_before = state.settled_before.map(|day| day.clamp(oldest, newest));
        state.read_since = state.read_since.map(|day| day.min(newest));
        state.reconciled.retain(|window| window.last() <= newest);
        state
    }

    /// Returns the day that is read once more, if it is settled.
    fn read_again(&self, now: Timestamp) -> Date {
        plus_days(date_of(now, &self.zone), -READ_AGAIN_AFTER)
    }

    /// Returns the past days. The document does not say how far back the API answers.
    pub(super) fn past(&self) -> PastWindows {
        PastWindows { scope: None, unit: Unit::Day, counts: true, windows_a_query: 1, requests_a_query: 1, reach: None }
    }

    /// Returns the time from which on a day may be the newest closed one: the first query for it, or a day later if it has no
    /// numbers.
    pub(super) fn shown_from(&self, window: Window, has_numbers: bool) -> Timestamp {
        self.slot(plus_days(window.first, if has_numbers { 1 } else { 2 }))
    }

    /// Returns the time on a day from which the day before is awaited.
    fn slot(&self, day: Date) -> Timestamp {
        midnight(day, &self.zone).saturating_add(DELAY + self.jitter).unwrap_or(Timestamp::MAX)
    }

    fn yesterday(&self, now: Timestamp) -> Date {
        plus_days(date_of(now, &self.zone), -1)
    }

    /// Returns the unsettled days, the oldest first.
    fn unsettled(&self, now: Timestamp, state: &ReportState) -> Vec<Date> {
        let yesterday = self.yesterday(now);
        let oldest = plus_days(yesterday, 1 - SETTLES_AFTER);
        let mut day = state.settled_before.map_or(oldest, |day| day.min(oldest));
        let mut days = Vec::new();
        while day <= yesterday {
            days.push(day);
            day = plus_days(day, 1);
        }
        days
    }

    /// Returns true if a poll now queries a day.
    fn wants(&self, now: Timestamp, state: &ReportState, day: Date) -> bool {
        let known = state.of(None, Window::day(day));
        if known.lost {
            return false;
        }
        let Some(answered) = known.answered.filter(|_| self.interval.is_none()) else { return true };
        let yesterday = self.yesterday(now);
        if day == yesterday && !known.has_numbers {
            true
        } else if day > plus_days(yesterday, -GROWING_DAYS) {
            now.duration_since(answered) >= SignedDuration::try_from(GROWING).unwrap_or_default()
        } else {
            // What came after the last query of yesterday.
            answered < midnight(date_of(now, &self.zone), &self.zone)
        }
    }

    /// Returns the newest day that the provider has produced, with numbers or without.
    fn newest_closed(&self, now: Timestamp, state: &ReportState) -> Date {
        let is_produced = |day: &Date| {
            let known = state.of(None, Window::day(*day));
            known.has_numbers || known.empty
        };
        let yesterday = self.yesterday(now);
        let days = self.unsettled(now, state);
        days.into_iter().rev().find(is_produced).unwrap_or(plus_days(yesterday, -1))
    }

    /// Interprets an answer: counts, the newest closed day and settled days.
    pub(super) fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        let (now, window) = (reading.now, query.first);
        let mut state = self.heal(now, state);
        // Another report of the app may have counted the deliveries of earlier days.
        state.counts_since.get_or_insert(now);
        if window == Window::day(self.read_again(now)) {
            if state.awaits_reconciliation(window) {
                return self.compare(window, answer, state);
            }
            // After downtime it is read for the first time now, and not again.
            state.note_reconciled(window);
        }
        let first = self.unsettled(now, &state).first().copied();
        state.read_since = state.read_since.or(first);
        let mut update = WindowUpdate::default();
        let mut known = state.of(None, window);
        known.answered = Some(now);
        let mut numbers = WindowReadings::empty(window);
        match answer {
            WindowAnswer::Numbers(found) => {
                update.unknown = found.unknown;
                if let Some(found) = found.windows.into_iter().find(|found| found.window == window) {
                    numbers = found;
                }
                known.by_totals = select(&mut numbers, known.by_totals);
                known.has_numbers |= numbers.readings.iter().any(|reading| reading.value > 0);
                update.counted.push(numbers.clone());
            }
            WindowAnswer::NoData => {}
            WindowAnswer::Lost => {
                known.lost = true;
                state.note_lost(window.first);
            }
        }
        // A day without numbers a day after its end had no pushes.
        known.empty = !known.has_numbers && (known.lost || window.first < self.yesterday(now));
        let is_news = !numbers.readings.is_empty() || known.empty;
        state.windows.insert((String::new(), window), known);
        self.settle(reading, &mut state);
        if is_news && self.newest_closed(now, &state) == window.first {
            update.gauges.push(WindowGauges { scope: None, end: window.end(&self.zone), numbers });
        }
        update.state = state;
        update
    }

    /// Interprets the answer about a settled day: nothing is counted.
    fn compare(&self, day: Window, answer: WindowAnswer, mut state: ReportState) -> WindowUpdate {
        state.note_reconciled(day);
        let WindowAnswer::Numbers(WindowNumbers { windows, unknown, .. }) = answer else {
            return WindowUpdate { state, ..WindowUpdate::default() };
        };
        let found = windows.into_iter().find(|numbers| numbers.window == day);
        let mut numbers = found.unwrap_or_else(|| WindowReadings::empty(day));
        select(&mut numbers, state.of(None, day).by_totals);
        let totals = Some(WindowTotals::new(&numbers, day.end(&self.zone)));
        WindowUpdate { totals, unknown, state, ..WindowUpdate::default() }
    }

    /// Settles days that were answered four days after their end, and all days before one that is lost; forgets those that
    /// are not needed any more.
    fn settle(&self, reading: ClockReading, state: &mut ReportState) {
        let days = self.unsettled(reading.now, state);
        let open = plus_days(date_of(reading.sure, &self.zone), -SETTLES_AFTER);
        let is_over = |day: &Date| {
            let known = state.of(None, Window::day(*day));
            let was_asked_late =
                known.answered.is_some_and(|at| date_of(at, &self.zone) >= plus_days(*day, SETTLES_AFTER));
            known.lost || (*day < open && was_asked_late)
        };
        let lost = days.iter().rposition(|day| state.of(None, Window::day(*day)).lost).map_or(0, |last| last + 1);
        let over = lost + days.iter().skip(lost).take_while(|day| is_over(day)).count();
        let first_open = days.get(over).copied();
        let settled_before = state.settled_before.max(first_open);
        state.settled_before = settled_before;
        let is_settled = |window: &Window| settled_before.is_some_and(|day| window.first < day);
        let settled: Vec<_> = state.windows.keys().filter(|(_, window)| is_settled(window)).cloned().collect();
        for key in settled.iter().rev().skip(REMEMBERED) {
            state.windows.remove(key);
        }
    }

    /// Returns the time of the next poll: after the explicit interval; hourly while yesterday is awaited; every three hours
    /// otherwise; and at 00:10 with jitter in any case.
    pub(super) fn next_due(&self, now: Timestamp, state: &ReportState) -> Timestamp {
        let after = |wait: Duration| now.saturating_add(wait).unwrap_or(now);
        if let Some(interval) = self.interval {
            return after(interval);
        }
        let state = &self.heal(now, state);
        let today = date_of(now, &self.zone);
        let slot = self.slot(today);
        let next_slot = if now < slot { slot } else { self.slot(plus_days(today, 1)) };
        let is_awaited = !state.of(None, Window::day(self.yesterday(now))).has_numbers;
        next_slot.min(after(if is_awaited { HOURLY } else { GROWING }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::getui::fields::day as read;
    use jiff::civil::date;

    /// Returns a time in Beijing on a day of March 2026.
    fn at(day: i8, hour: i8, minute: i8) -> Timestamp {
        format!("2026-03-{day:02}T{hour:02}:{minute:02}:00+08:00").parse().unwrap()
    }

    fn march(day: i8) -> Window {
        Window::day(date(2026, 3, day))
    }

    fn schedule() -> PushDays {
        PushDays { zone: TimeZone::get("Asia/Shanghai").unwrap(), interval: None, jitter: Duration::from_secs(60) }
    }

    /// Returns the answer for a day with these blocks.
    fn says(window: Window, blocks: &str) -> WindowAnswer {
        let data = serde_json::from_str(&format!(r#"{{"{}":{{{blocks}}}}}"#, window.first)).unwrap();
        read(&data, window)
    }

    const GT: &str = r#""gt":{"target_num":7}"#;

    /// Polls once; `blocks` are those of each day. Returns the days of March that were asked for.
    fn poll(reading: ClockReading, state: &mut ReportState, blocks: impl Fn(i8) -> &'static str) -> Vec<i8> {
        let mut earlier = EarlierQueries::default();
        while let Some(query) = schedule().next(reading.now, state, &earlier) {
            let answer = says(query.first, blocks(query.first.first.day()));
            *state = schedule().interpret(reading, &query, answer, state).state;
            earlier.queries.push(query);
        }
        earlier.queries.iter().map(|query| query.first.first.day()).collect()
    }

    #[test]
    fn yesterday_is_awaited_hourly_and_days_that_grow_are_asked_every_three_hours() {
        let mut state = ReportState::default();
        let now = ClockReading::sure(at(10, 0, 30));
        assert_eq!(poll(now, &mut state, |day| if day == 9 { "" } else { GT }), [9, 8, 7, 6]);
        assert_eq!(schedule().next_due(at(10, 0, 30), &state), at(10, 1, 30));
        assert_eq!(poll(ClockReading::sure(at(10, 1, 30)), &mut state, |_| GT), [9]);
        assert_eq!(schedule().next_due(at(10, 1, 30), &state), at(10, 4, 30));
        assert_eq!(poll(ClockReading::sure(at(10, 4, 30)), &mut state, |_| GT), [9, 8, 7]);
        // The next day begins at 00:10, and one minute by the account.
        assert_eq!(schedule().next_due(at(10, 22, 0), &state), at(11, 0, 11));
        assert_eq!(poll(ClockReading::sure(at(11, 0, 11)), &mut state, |_| GT), [10, 9, 8, 7]);
        assert_eq!(state.settled_before, Some(date(2026, 3, 7)), "the 6th settled four days after its end");
        // A poll that has nothing to ask for asks for yesterday.
        assert_eq!(poll(ClockReading::sure(at(11, 0, 12)), &mut state, |_| GT), [10]);
    }

    #[test]
    fn downtime_is_caught_up_and_days_before_a_lost_one_are_lost() {
        let mut state = ReportState { settled_before: Some(date(2026, 3, 1)), ..ReportState::default() };
        let now = ClockReading::sure(at(10, 12, 0));
        let query = WindowQuery::of_one(march(3), None);
        assert!(
            schedule().is_past(now.now, &query) && !schedule().is_past(now.now, &WindowQuery::of_one(march(6), None))
        );
        let update = schedule().interpret(now, &query, WindowAnswer::Lost, &state);
        assert_eq!((update.state.settled_before, update.counted.len()), (Some(date(2026, 3, 4)), 0));
        assert_eq!(poll(now, &mut state, |_| GT), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(state.settled_before, Some(date(2026, 3, 6)));
    }

    #[test]
    fn a_clock_that_is_ahead_settles_nothing() {
        let mut state = ReportState { settled_before: Some(date(2026, 3, 6)), ..ReportState::default() };
        let ahead = ClockReading { sure: at(10, 12, 0), ..ClockReading::sure(at(20, 12, 0)) };
        poll(ahead, &mut state, |_| GT);
        assert_eq!(state.settled_before, Some(date(2026, 3, 6)));
        // When it is set right, what was answered ahead of time is asked for again.
        assert_eq!(poll(ClockReading::sure(at(10, 12, 5)), &mut state, |_| GT), [9, 8, 7, 6]);
    }

    #[test]
    fn the_first_number_of_a_day_decides_between_totals_and_channels() {
        let now = ClockReading::sure(at(10, 12, 0));
        let query = WindowQuery::of_one(march(9), None);
        let both = r#""total":{"target_num":9},"gt":{"target_num":7}"#;
        let fields = |update: &WindowUpdate| -> Vec<String> {
            update.counted[0].readings.iter().map(|reading| reading.field.clone()).collect()
        };
        let read = |blocks: &str, state: &ReportState| schedule().interpret(now, &query, says(march(9), blocks), state);
        let totals = read(r#""total":{"target_num":9}"#, &ReportState::default());
        assert_eq!(fields(&totals), ["total.target_num"]);
        let later = read(both, &totals.state);
        assert_eq!(fields(&later), ["total.target_num"]);
        let channels = read(both, &ReportState::default());
        assert_eq!(fields(&channels), ["gt.target_num"]);
        assert_eq!(fields(&read(r#""total":{"target_num":9}"#, &channels.state)), Vec::<String>::new());
        // The choice survives the stored form.
        let stored: ReportState = serde_json::from_str(&serde_json::to_string(&totals.state).unwrap()).unwrap();
        assert_eq!(fields(&read(both, &stored)), ["total.target_num"]);
    }

    #[test]
    fn the_newest_day_with_numbers_is_shown_and_one_without_closes_a_day_later() {
        let shown = |now: Timestamp, day: i8, blocks: &str, state: &ReportState| {
            let query = WindowQuery::of_one(march(day), None);
            let update = schedule().interpret(ClockReading::sure(now), &query, says(march(day), blocks), state);
            (update.gauges.iter().map(|gauges| gauges.numbers.readings.len()).collect::<Vec<_>>(), update.state)
        };
        let (gauges, state) = shown(at(10, 1, 0), 9, "", &ReportState::default());
        assert_eq!(gauges, Vec::<usize>::new(), "the 9th is awaited");
        let (gauges, state) = shown(at(10, 1, 0), 8, GT, &state);
        assert_eq!(gauges, [1], "the 8th is the newest");
        let (gauges, _) = shown(at(11, 1, 0), 9, "", &state);
        assert_eq!(gauges, [0], "the 9th had no pushes");
    }
}
