//! Walks through a list of messages: the part of the list that is read next, and how far each walk has come. Pure.
//!
//! The list is in the order of send times, and each step of the schedule is a band of it: the messages that are older than
//! those of the step before. A band is walked once in its interval. The youngest band is at most ten minutes wide, so new
//! messages are read every interval even while an older band has more pages than fit into its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::provider::message_schedule::{MessageSchedule, Step};
use crate::provider::{ListPage, ListStart};

/// Maximum age of the messages of the youngest band.
const YOUNGEST: Duration = Duration::from_secs(600);
/// Lead of a stored time over the clock from which the clock was wrong when it was stored.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// A part of the list by age, with the interval in which it is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// Age of its youngest messages.
    pub(super) from: Duration,
    /// Age of its oldest messages, which also identifies the band.
    pub(super) until: Duration,
    /// Interval between the beginnings of two walks.
    pub(super) every: Duration,
}

/// Returns the bands of a schedule, the youngest first.
pub(super) fn bands(schedule: &MessageSchedule) -> Vec<Band> {
    let first = schedule.steps().first().filter(|first| first.until > YOUNGEST);
    let youngest = first.map(|first| Step { until: YOUNGEST, every: first.every });
    let mut from = Duration::ZERO;
    let band = |step: Step| {
        let Step { until, every } = step;
        Band { from: std::mem::replace(&mut from, until), until, every }
    };
    youngest.into_iter().chain(schedule.steps().iter().copied()).map(band).collect()
}

/// State of all walks, which is kept over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ListState {
    /// State by the age of a band's oldest messages in seconds.
    bands: BTreeMap<u64, BandState>,
    /// Begin of the last complete walk of the oldest band: everything that was sent before it and had reached the end of
    /// the schedule has been read a last time.
    walked_until: Option<Timestamp>,
    /// Memory of the provider's report.
    pub(super) memory: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct BandState {
    /// Begin of the last complete walk.
    walked: Option<Timestamp>,
    /// Walk in progress.
    walk: Option<Walk>,
}

/// A walk in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// Time at which it began.
    pub(super) began: Timestamp,
    /// Send time up to which it reads.
    until: Timestamp,
    /// Send time that it has reached, from which it can continue without a cursor.
    reached: Timestamp,
    /// Cursor of the next page; without one it is queried by time. It is not stored, since nobody says how long it is valid.
    #[serde(skip)]
    cursor: Option<String>,
    /// Place at which the provider last refused a cursor.
    #[serde(skip)]
    refused_at: Option<Timestamp>,
}

impl ListState {
    /// Forgets the bands of an earlier schedule.
    pub(super) fn keep(&mut self, bands: &[Band]) {
        self.bands.retain(|until, _| bands.iter().any(|band| band.until.as_secs() == *until));
    }

    /// Makes all bands due.
    pub(super) fn hurry(&mut self) {
        self.bands.values_mut().for_each(|state| state.walked = None);
    }

    /// Returns the due time of a band; one that has never been walked, or was walked while the clock was ahead, is due now.
    pub(super) fn due(&self, band: &Band, now: Timestamp) -> Timestamp {
        let walked = self.bands.get(&band.until.as_secs()).and_then(|state| state.walked);
        match walked.filter(|walked| !is_ahead(*walked, now)) {
            Some(walked) => walked.saturating_add(band.every).unwrap_or(now),
            None => now,
        }
    }

    /// Returns the walk of a band that is in progress, or a new one. `listed_for` is the age until which the provider lists
    /// messages.
    pub(super) fn walk(&self, band: &Band, is_oldest: bool, listed_for: Duration, now: Timestamp) -> Walk {
        let in_progress = self.bands.get(&band.until.as_secs()).and_then(|state| state.walk.clone());
        if let Some(walk) = in_progress.filter(|walk| !is_ahead(walk.began, now)) {
            return walk;
        }
        let before = |time: Timestamp, age: Duration| time.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut from = before(now, band.until);
        // Messages that have reached the end since the last walk are read once more; after a downtime, all of them.
        if is_oldest && let Some(walked) = self.walked_until {
            from = before(walked.min(now), band.until).max(before(now, listed_for));
        }
        Walk { began: now, until: before(now, band.from), reached: from, cursor: None, refused_at: None }
    }

    /// Takes the progress of a band's walk: the walk to continue, or `None` for the end of the one that `began` then.
    pub(super) fn take(&mut self, band: &Band, is_oldest: bool, began: Timestamp, walk: Option<Walk>) {
        let state = self.bands.entry(band.until.as_secs()).or_default();
        if walk.is_none() {
            state.walked = Some(began);
            if is_oldest {
                self.walked_until = Some(began);
            }
        }
        state.walk = walk;
    }
}

fn is_ahead(stored: Timestamp, now: Timestamp) -> bool {
    stored.duration_since(now) > AHEAD
}

impl Walk {
    /// Returns the start of the next page.
    pub(super) fn start(&self) -> ListStart {
        match &self.cursor {
            Some(cursor) => ListStart::Cursor(cursor.clone()),
            // The second before: the document does not say on which side of the time a message of that very second is.
            None => ListStart::SentAt(self.reached.checked_sub(SignedDuration::from_secs(1)).unwrap_or(self.reached)),
        }
    }

    /// Returns true if the walk began while the clock was ahead of `now`, which is known to be right.
    pub(super) fn is_invalid(&self, now: Timestamp) -> bool {
        is_ahead(self.began, now)
    }

    /// Returns the walk that continues by time after the provider has refused the cursor; `None` if there is none, or if
    /// that did not help before.
    pub(super) fn without_cursor(&self) -> Option<Walk> {
        let helps = self.cursor.is_some() && self.refused_at != Some(self.reached);
        helps.then(|| Walk { cursor: None, refused_at: Some(self.reached), ..self.clone() })
    }

    /// Returns the walk after a page, or `None` if it is complete. Fails with the reason if it would not come any further.
    pub(super) fn advance(mut self, page: &ListPage) -> Result<Option<Walk>, &'static str> {
        let (Some((first, last)), Some(next)) = (page.reach, &page.next) else { return Ok(None) };
        if first > self.until {
            return Ok(None);
        }
        if self.cursor.as_ref() == Some(next) {
            return Err("the cursor of the next page is that of this one");
        }
        self.cursor = Some(next.clone());
        self.reached = self.reached.max(last);
        Ok(Some(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn page(first: &str, last: &str, next: &str) -> ListPage {
        ListPage { reach: Some((time(first), time(last))), next: Some(next.to_owned()), ..ListPage::default() }
    }

    #[test]
    fn the_steps_of_a_schedule_are_bands_that_meet() {
        let edges = |schedule: &MessageSchedule| -> Vec<(u64, u64, u64)> {
            let edges = |band: &Band| (band.from.as_secs(), band.until.as_secs(), band.every.as_secs());
            bands(schedule).iter().map(edges).collect()
        };
        let five_days = MessageSchedule::five_days();
        let expected = [
            (0, 10 * MINUTE, MINUTE),
            (10 * MINUTE, 2 * HOUR, 5 * MINUTE),
            (2 * HOUR, DAY, 30 * MINUTE),
            (DAY, 5 * DAY, 3 * HOUR),
        ];
        assert_eq!(edges(&five_days), expected);
        // With one interval at all ages, new messages are still read apart.
        let always = five_days.always(secs(20));
        assert_eq!(edges(&always), [(0, 10 * MINUTE, 20), (10 * MINUTE, 5 * DAY, 20)]);
        let short = MessageSchedule::new(vec![Step { until: secs(60), every: secs(5) }]);
        assert_eq!(edges(&short), [(0, 60, 5)]);
    }

    #[test]
    fn a_walk_ends_at_the_younger_edge_of_its_band() {
        let bands = bands(&MessageSchedule::five_days());
        let (state, now) = (ListState::default(), time("2026-03-06T12:00:00Z"));
        let walk = state.walk(&bands[3], true, secs(30 * DAY), now);
        assert_eq!(walk.start(), ListStart::SentAt(time("2026-03-01T11:59:59Z")));
        let walk = walk.advance(&page("2026-03-01T12:00:00Z", "2026-03-03T00:00:00Z", "a")).unwrap().unwrap();
        assert_eq!(walk.start(), ListStart::Cursor("a".to_owned()));
        // A page across the edge still belongs to it; the next one does not.
        let walk = walk.advance(&page("2026-03-03T00:00:00Z", "2026-03-05T13:00:00Z", "b")).unwrap().unwrap();
        assert_eq!(walk.clone().advance(&page("2026-03-05T13:00:00Z", "2026-03-06T00:00:00Z", "c")), Ok(None));
        assert_eq!(walk.clone().advance(&ListPage::default()), Ok(None), "the list has ended");
        assert!(walk.advance(&page("2026-03-05T00:00:00Z", "2026-03-05T01:00:00Z", "b")).is_err(), "a page for ever");
    }

    #[test]
    fn a_band_is_due_once_in_its_interval() {
        let bands = bands(&MessageSchedule::five_days());
        let (mut state, now) = (ListState::default(), time("2026-03-06T12:00:00Z"));
        assert_eq!(state.due(&bands[1], now), now);
        let walk = state.walk(&bands[1], false, secs(30 * DAY), now);
        state.take(&bands[1], false, now, Some(walk.clone()));
        let later = time("2026-03-06T12:01:00Z");
        assert_eq!((state.due(&bands[1], later), state.walk(&bands[1], false, secs(30 * DAY), later)), (later, walk));
        state.take(&bands[1], false, now, None);
        assert_eq!(state.due(&bands[1], later), time("2026-03-06T12:05:00Z"));
        assert_eq!(state.due(&bands[1], time("2026-03-06T11:00:00Z")), time("2026-03-06T11:00:00Z"), "set back");
        state.hurry();
        assert_eq!(state.due(&bands[1], later), later);
    }

    #[test]
    fn the_oldest_band_begins_where_the_last_walk_left_off() {
        let bands = bands(&MessageSchedule::five_days());
        let start = |state: &ListState, now: &str| state.walk(&bands[3], true, secs(30 * DAY), time(now)).start();
        let mut state = ListState::default();
        state.take(&bands[3], true, time("2026-03-06T12:00:00Z"), None);
        let expected = ListStart::SentAt(time("2026-03-01T11:59:59Z"));
        assert_eq!(start(&state, "2026-03-06T15:00:00Z"), expected, "those that have become five days old");
        assert_eq!(start(&state, "2026-03-20T15:00:00Z"), expected, "after a downtime");
        let listed = ListStart::SentAt(time("2026-03-31T11:59:59Z"));
        assert_eq!(start(&state, "2026-04-30T12:00:00Z"), listed, "what the provider still lists");
        let behind = ListStart::SentAt(time("2026-02-28T11:59:59Z"));
        assert_eq!(start(&state, "2026-03-05T12:00:00Z"), behind, "the clock was ahead");
        // Another schedule does not lose it.
        state.keep(&[]);
        assert_eq!(start(&state, "2026-03-20T15:00:00Z"), expected);
    }

    #[test]
    fn a_refused_cursor_is_replaced_by_a_time_once() {
        let bands = bands(&MessageSchedule::five_days());
        let walk = ListState::default().walk(&bands[3], true, secs(30 * DAY), time("2026-03-06T12:00:00Z"));
        assert_eq!(walk.without_cursor(), None);
        let walk = walk.advance(&page("2026-03-02T00:00:00Z", "2026-03-02T08:00:00Z", "a")).unwrap().unwrap();
        let walk = walk.without_cursor().unwrap();
        assert_eq!(walk.start(), ListStart::SentAt(time("2026-03-02T07:59:59Z")));
        let same = walk.clone().advance(&page("2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z", "b")).unwrap().unwrap();
        assert_eq!(same.without_cursor(), None, "it came no further");
        let further = walk.advance(&page("2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z", "b")).unwrap().unwrap();
        assert!(further.without_cursor().is_some());
    }
}
