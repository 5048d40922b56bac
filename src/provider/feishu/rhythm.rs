//! When Feishu is asked for what. The data of a day appear about 10:00 two days later; days feed
//! counters, and the newest closed day, week and month are gauges. Pure.
//!
//! On day D, the days D-2 and D-3 are unsettled, and so is every earlier day that has not been seen.
//! In its own rhythm a report is polled from 10:00 (with jitter) hourly until D-2 is there, when D-3 is
//! read once more; with an explicit interval it asks for all unsettled windows at that pace.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::provider::{Answer, Ask, Digest, Memory, WindowGauges, WindowState};
use crate::reading::WindowReadings;
use crate::window::{Unit, Window, at, date_of, plus_days};

/// The pace while a day is awaited.
pub const HOURLY: Duration = Duration::from_secs(3600);
/// The wait for what a changed configuration asks for.
const SHORTLY: Duration = Duration::from_secs(60);
/// A day's data appear this many days later …
const DAYS_LATE: i32 = 2;
/// … at about this hour.
const HOUR: i8 = 10;
/// How far back catching up goes.
const LONGEST_DOWNTIME: i32 = 366;
/// Windows remembered for each unit and department besides the tenant's unsettled days.
const REMEMBERED: usize = 6;

/// The rhythm of one app.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// The app's calendar.
    pub zone: TimeZone,
    /// An explicit interval, if configured.
    pub interval: Option<Duration>,
    /// Which windows are shown as gauges.
    pub units: Vec<Unit>,
    /// Departments besides the tenant.
    pub departments: Vec<String>,
    /// Added to 10:00, so that not all apps of the world ask at once.
    pub jitter: Duration,
}

/// Up to ten minutes, always the same for an app.
pub fn jitter(app_id: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    app_id.hash(&mut hasher);
    Duration::from_secs(hasher.finish() % 600)
}

impl Rhythm {
    /// The next window to ask for: the tenant's days in order, then its weeks and months, then the
    /// departments' windows.
    pub fn next(&self, now: Timestamp, memory: &Memory, asked: &[Ask]) -> Option<Ask> {
        let new = |ask: &Ask| !asked.contains(ask);
        let days = self.days(now, memory).into_iter().filter(|day| self.wants_day(now, memory, *day));
        if let Some(ask) = days.map(|day| question(Window::day(day), None)).find(new) {
            return Some(ask);
        }
        let tenant = self.windows(now, memory, None).into_iter().filter(|window| window.unit != Unit::Day);
        let departments = self.departments.iter().flat_map(|department| {
            let windows = self.windows(now, memory, Some(department));
            windows.into_iter().map(move |window| question(window, Some(department)))
        });
        tenant.map(|window| question(window, None)).chain(departments).find(new)
    }

    /// The tenant's days that are not settled, oldest first.
    fn days(&self, now: Timestamp, memory: &Memory) -> Vec<Date> {
        let newest = self.newest_day(now);
        let mut day = memory
            .settled_before
            .map_or(plus_days(newest, -1), |day| day.min(plus_days(newest, -1)))
            .max(plus_days(newest, -LONGEST_DOWNTIME));
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

    /// When the data of a day are due.
    fn due(&self, day: Date) -> Timestamp {
        at(plus_days(day, DAYS_LATE), HOUR, &self.zone)
    }

    /// Whether a day after it was due has come, when what is not there will not come.
    fn is_overdue(&self, now: Timestamp, day: Date) -> bool {
        now >= at(plus_days(day, DAYS_LATE + 1), HOUR, &self.zone)
    }

    /// Whether the window lies before the two newest days, so that asking for it is catching up.
    pub fn is_past(&self, now: Timestamp, ask: &Ask) -> bool {
        ask.last.last() < plus_days(self.newest_day(now), -1)
    }

    fn wants_day(&self, now: Timestamp, memory: &Memory, day: Date) -> bool {
        let state = state(memory, None, Window::day(day));
        let still_unsettled = day >= plus_days(self.newest_day(now), -1);
        if self.interval.is_some() && still_unsettled {
            return true;
        }
        !self.is_settled(memory, day)
            && (!state.has_numbers || (self.is_overdue(now, day) && !self.read_when_overdue(state, day)))
    }

    fn read_when_overdue(&self, state: WindowState, day: Date) -> bool {
        state.answered.is_some_and(|at| self.is_overdue(at, day))
    }

    /// Whether a day needs no more asking: read a day after it was due, or known to stay empty.
    fn is_settled(&self, memory: &Memory, day: Date) -> bool {
        let state = state(memory, None, Window::day(day));
        state.empty || (state.has_numbers && self.read_when_overdue(state, day))
    }

    /// Whether the provider has produced a day: it has numbers, or will have none.
    fn is_produced(&self, now: Timestamp, memory: &Memory, day: Date) -> bool {
        let state = state(memory, None, Window::day(day));
        let first_open = memory.settled_before.unwrap_or_else(|| plus_days(self.newest_day(now), -1));
        state.has_numbers || state.empty || day < first_open
    }

    /// The newest window of a unit whose last day has been produced.
    fn newest_closed(&self, now: Timestamp, memory: &Memory, unit: Unit) -> Window {
        let mut day = self.newest_day(now);
        for _ in 0..LONGEST_DOWNTIME {
            if self.is_produced(now, memory, day) {
                break;
            }
            day = plus_days(day, -1);
        }
        let window = Window::holding(unit, day);
        if window.last() == day { window } else { window.previous() }
    }

    /// The windows of the configured units to ask for: those that hold one of the two newest days, and
    /// the newest closed one until it has been answered as closed.
    fn windows(&self, now: Timestamp, memory: &Memory, department: Option<&str>) -> Vec<Window> {
        let newest = self.newest_day(now);
        let mut windows = Vec::new();
        for unit in &self.units {
            let closed = self.newest_closed(now, memory, *unit);
            let holding = [Window::holding(*unit, plus_days(newest, -1)), Window::holding(*unit, newest)];
            if !holding.contains(&closed) && !state(memory, department, closed).closed {
                windows.push(closed);
            }
            for window in holding {
                if !windows.contains(&window) {
                    windows.push(window);
                }
            }
        }
        windows
    }

    /// What an answer counts, closes and settles.
    pub fn digest(&self, now: Timestamp, ask: &Ask, answer: Answer, memory: &Memory) -> Digest {
        let window = ask.first;
        let department = ask.department.as_deref();
        let mut memory = memory.clone();
        let mut digest = Digest::default();
        let is_tenant_day = window.unit == Unit::Day && department.is_none();

        let mut new = state(&memory, department, window);
        new.answered = Some(now);
        let mut numbers = WindowReadings { window, readings: Vec::new(), users_reached: None };
        match answer {
            Answer::Numbers(found) => {
                digest.unknown = found.unknown;
                new.has_numbers = true;
                new.empty = false;
                if let Some(found) = found.windows.into_iter().find(|found| found.window == window) {
                    numbers = found;
                }
                if is_tenant_day {
                    digest.counted.push(numbers.clone());
                }
            }
            Answer::NoData => new.empty = !new.has_numbers && self.is_overdue(now, window.last()),
            Answer::Lost => new.empty = !new.has_numbers,
        }
        remember(&mut memory, department, window, new);
        if is_tenant_day {
            self.settle(now, window, new, &mut memory);
        }

        if self.units.contains(&window.unit) && self.newest_closed(now, &memory, window.unit) == window {
            new.closed = true;
            remember(&mut memory, department, window, new);
            let end = window.end(&self.zone);
            digest.gauges.push(WindowGauges { department: ask.department.clone(), end, numbers });
        }
        digest.memory = memory;
        digest
    }

    /// Draws the conclusions from the answer for a day: earlier days that had nothing will have nothing,
    /// and settled days are not looked at again.
    fn settle(&self, now: Timestamp, window: Window, new: WindowState, memory: &mut Memory) {
        let days = self.days(now, memory);
        if new.has_numbers {
            for day in days.iter().filter(|day| **day < window.first) {
                let mut earlier = state(memory, None, Window::day(*day));
                if earlier.answered.is_some() && !earlier.has_numbers {
                    earlier.empty = true;
                    remember(memory, None, Window::day(*day), earlier);
                }
            }
        }
        let settled = days.iter().take_while(|day| self.is_settled(memory, **day)).last();
        let open = settled.map(|day| plus_days(*day, 1)).or(days.first().copied());
        memory.settled_before = memory.settled_before.max(open);
    }

    /// Whether a closed window was never asked for: a department or unit is new in the configuration.
    fn has_unanswered(&self, now: Timestamp, memory: &Memory) -> bool {
        let departments = self.departments.iter().map(|department| Some(department.as_str()));
        [None].into_iter().chain(departments).any(|department| {
            let mut closed = self.units.iter().map(|unit| self.newest_closed(now, memory, *unit));
            // The tenant's days are asked for in any case.
            closed.any(|window| {
                let is_asked_anyway = department.is_none() && window.unit == Unit::Day;
                !is_asked_anyway && !state(memory, department, window).closed
            })
        })
    }

    /// The explicit interval, or the next of: 10:00 with jitter, an hour from now while a day is awaited.
    pub fn next_due(&self, now: Timestamp, memory: &Memory) -> Timestamp {
        if let Some(interval) = self.interval {
            return now.saturating_add(interval).unwrap_or(now);
        }
        let today = date_of(now, &self.zone);
        let slot = |day| at(day, HOUR, &self.zone).saturating_add(self.jitter).unwrap_or(now);
        let next_slot = if now < slot(today) { slot(today) } else { slot(plus_days(today, 1)) };
        let awaited = self.days(now, memory).into_iter().any(|day| {
            self.due(day) <= now && !state(memory, None, Window::day(day)).has_numbers && !self.is_settled(memory, day)
        });
        let soon = |wait: Duration| next_slot.min(now.saturating_add(wait).unwrap_or(now));
        if self.has_unanswered(now, memory) {
            soon(SHORTLY)
        } else if awaited {
            soon(HOURLY)
        } else {
            next_slot
        }
    }
}

fn question(window: Window, department: Option<&str>) -> Ask {
    Ask { first: window, last: window, department: department.map(str::to_owned) }
}

fn state(memory: &Memory, department: Option<&str>, window: Window) -> WindowState {
    memory.windows.get(&(department.unwrap_or_default().to_owned(), window)).copied().unwrap_or_default()
}

/// Keeps the state of a window, and forgets those that nobody will ask about again.
fn remember(memory: &mut Memory, department: Option<&str>, window: Window, state: WindowState) {
    let department = department.unwrap_or_default();
    memory.windows.insert((department.to_owned(), window), state);
    let settled_before = memory.settled_before;
    let is_open = |window: &Window| {
        department.is_empty() && window.unit == Unit::Day && settled_before.is_some_and(|day| window.first >= day)
    };
    let forgettable: Vec<Window> = memory
        .windows
        .keys()
        .filter(|(of, other)| of == department && other.unit == window.unit && !is_open(other))
        .map(|(_, other)| *other)
        .collect();
    for old in forgettable.iter().rev().skip(REMEMBERED) {
        memory.windows.remove(&(department.to_owned(), *old));
    }
}
