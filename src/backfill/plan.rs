//! Windows of the past to ask for, and the queries for them. Pure.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::window::{Window, date_of, plus_days};
use crate::provider::{PastWindows, WindowQuery, WindowReport};

/// Time that a history covers: it has samples after `from` up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Span {
    /// Returns true if the window lies within the span, so that it counts.
    pub(super) fn holds(&self, window: Window, zone: &TimeZone) -> bool {
        window.begin(zone) >= self.from && window.end(zone) <= self.to
    }
}

/// Windows of one unit and scope to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WindowGroup {
    pub(super) past: PastWindows,
    /// Queries, the newest first: a provider that no longer answers for old days is then noticed at once.
    pub(super) queries: Vec<WindowQuery>,
    /// Windows that are older than the provider answers for, the oldest first; they are not asked for.
    pub(super) out_of_reach: Vec<Window>,
}

/// Maximum number of windows before a span that may be shown at its start, for any unit.
const BEFORE: usize = 10;
/// Maximum number of windows of a group: a century of days.
const MAX_WINDOWS: usize = 36_600;

/// Returns the windows of a report to ask for at `now`. `counts` is true if the report is the account's source of counters.
pub(super) fn groups(
    report: &dyn WindowReport,
    counts: bool,
    zone: &TimeZone,
    span: Span,
    now: Timestamp,
) -> Vec<WindowGroup> {
    let today = date_of(now, zone);
    let group = |past: PastWindows| {
        let oldest = past.reach.map(|days| plus_days(today, -days));
        let (reached, out_of_reach): (Vec<Window>, Vec<Window>) = windows(report, &past, counts, zone, span, now)
            .into_iter()
            .partition(|window| oldest.is_none_or(|day| window.first >= day));
        let query = |windows: &[Window]| {
            let (first, last) = (windows.first().copied()?, windows.last().copied()?);
            Some(WindowQuery { first, last, scope: past.scope.clone() })
        };
        let queries = reached.rchunks(past.windows_a_query.max(1)).filter_map(query).collect();
        WindowGroup { past, queries, out_of_reach }
    };
    report.past_windows().into_iter().map(group).collect()
}

/// Returns the windows that count in the span or are shown in it, the oldest first.
fn windows(
    report: &dyn WindowReport,
    past: &PastWindows,
    counts: bool,
    zone: &TimeZone,
    span: Span,
    now: Timestamp,
) -> Vec<Window> {
    let is_shown = report.shows(past.scope.as_deref().unwrap_or_default(), past.unit);
    let shown_from = |window| report.shown_from(window, true);
    let mut window = Window::holding(past.unit, date_of(span.from, zone));
    for _ in 0..BEFORE {
        // The newest window that is shown at the start is the first of interest.
        if !is_shown || shown_from(window).is_some_and(|at| at <= span.from) {
            break;
        }
        window = window.previous();
    }
    let mut windows = Vec::new();
    for _ in 0..MAX_WINDOWS {
        let Some(from) = shown_from(window) else { break };
        if window.end(zone) > span.to || from > now {
            break;
        }
        let counts = counts && past.counts && span.holds(window, zone);
        if counts || (is_shown && from <= span.to) {
            windows.push(window);
        }
        window = next(window);
    }
    windows
}

/// Returns the window just after a day, week or month.
pub(super) fn next(window: Window) -> Window {
    Window::holding(window.unit, plus_days(window.last(), 1))
}

/// Returns the windows of a query, the oldest first.
pub(super) fn windows_of(query: &WindowQuery) -> Vec<Window> {
    let mut windows = vec![query.first];
    let mut window = query.first;
    while window < query.last && windows.len() < MAX_WINDOWS {
        window = next(window);
        windows.push(window);
    }
    windows
}

/// Returns the number of days in a query.
pub(super) fn days_of(query: &WindowQuery) -> u64 {
    Window::days_between(query.first, query.last).len() as u64
}
