//! When Wren is asked for what: every poll asks once, from the oldest day that is not final to today. Pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use push_exporter::model::window::{Window, date_of, plus_days};
use push_exporter::provider::{
    EarlierQueries, ReportState, WindowAnswer, WindowGauges, WindowNumbers, WindowQuery, WindowUpdate,
};

/// How often `statistics/daily` is polled unless the configuration says otherwise: its numbers change that often.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);
/// A day is final so many days later.
const FINAL_AFTER: i32 = 3;
/// How far back Wren answers.
const KEPT: i32 = 30;

pub(super) struct Schedule {
    /// The app's calendar.
    pub(super) zone: TimeZone,
    pub(super) interval: Duration,
}

impl Schedule {
    /// After a downtime the range is longer, but no longer than Wren keeps its numbers.
    pub(super) fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        let today = date_of(now, &self.zone);
        let (oldest, newest) = (plus_days(today, -KEPT), plus_days(today, -FINAL_AFTER));
        // A clock that was ahead may have written the memory.
        let first = state.settled_before.map_or(newest, |day| day.clamp(oldest, newest));
        earlier.queries.is_empty().then(|| WindowQuery {
            first: Window::day(first),
            last: Window::day(today),
            scope: None,
        })
    }

    /// Every day counts, yesterday is the newest closed day, and what is final is not asked for again.
    pub(super) fn interpret(&self, now: Timestamp, answer: WindowAnswer, state: &ReportState) -> WindowUpdate {
        let WindowAnswer::Numbers(WindowNumbers { windows, covers, unknown }) = answer else {
            return WindowUpdate { state: state.clone(), ..WindowUpdate::default() };
        };
        let today = date_of(now, &self.zone);
        let state = ReportState { settled_before: Some(plus_days(today, -FINAL_AFTER)), ..state.clone() };
        let yesterday = Window::day(plus_days(today, -1));
        let (closed, end) = (windows.iter().find(|day| day.window == yesterday).cloned(), yesterday.end(&self.zone));
        let gauges = closed.into_iter().map(|numbers| WindowGauges { scope: None, end, numbers }).collect();
        WindowUpdate { counted: windows, covers, gauges, unknown, state }
    }
}
