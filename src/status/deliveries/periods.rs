//! Counters of an app by channel, and what they have gained between two times.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::ledger::{NOTED, SeriesTotal};
use crate::model::reading::SeriesId;

/// Deliveries of a channel in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Deliveries accepted.
    pub sent: i64,
    /// Deliveries that arrived on the device.
    pub received: i64,
    /// Deliveries given to the channel, as far as the provider tells what was refused.
    pub attempted: i64,
    /// Those of them that were accepted.
    pub accepted: i64,
    /// Accepted deliveries for which the provider reports arrivals.
    pub trackable: i64,
    /// Those of them that arrived.
    pub arrived: i64,
}

impl Period {
    /// Returns the number of refused deliveries, if the provider tells it.
    pub fn refused(&self) -> Option<i64> {
        (self.attempted > 0).then(|| (self.attempted - self.accepted).max(0))
    }

    /// Returns the share of the attempted deliveries that were accepted.
    pub fn accepted_ratio(&self) -> Option<f64> {
        ratio(self.accepted, self.attempted)
    }

    /// Returns the share of the accepted deliveries that arrived.
    pub fn received_ratio(&self) -> Option<f64> {
        ratio(self.arrived, self.trackable)
    }

    fn add(&mut self, other: &Period) {
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
        self.attempted = self.attempted.saturating_add(other.attempted);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.trackable = self.trackable.saturating_add(other.trackable);
        self.arrived = self.arrived.saturating_add(other.arrived);
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            sent: i64,
            refused: Option<i64>,
            received: i64,
            accepted_ratio: Option<f64>,
            received_ratio: Option<f64>,
        }
        let (sent, refused, received) = (self.sent, self.refused(), self.received);
        let (accepted_ratio, received_ratio) = (self.accepted_ratio(), self.received_ratio());
        Shown { sent, refused, received, accepted_ratio, received_ratio }.serialize(serializer)
    }
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Returns the median; that of two is their mean.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// Totals of counters at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals(Vec<(SeriesId, i64)>);

impl From<&Vec<(SeriesId, i64)>> for Totals {
    fn from(totals: &Vec<(SeriesId, i64)>) -> Totals {
        let mut totals = totals.clone();
        totals.sort_unstable();
        Totals(totals)
    }
}

impl Totals {
    /// Returns the total of a series, which is 0 if it was not there yet.
    fn of(&self, series: SeriesId) -> i64 {
        let place = self.0.binary_search_by_key(&series, |(id, _)| *id);
        place.ok().and_then(|place| self.0.get(place)).map_or(0, |(_, total)| *total)
    }
}

/// Counters of the same platform, channel and kind.
struct Group {
    platform: String,
    channel: String,
    kind: String,
    /// In the order of [`NOTED`].
    counters: [Option<(SeriesId, i64)>; 4],
}

/// Counters of an app.
#[derive(Default)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// Takes new totals. Returns true if one of them matters here.
    pub(super) fn update(&mut self, series: &[SeriesTotal]) -> bool {
        let mut is_new = false;
        for SeriesTotal { id, family, labels, total, .. } in series {
            let Some(place) = NOTED.iter().position(|noted| noted == family) else { continue };
            let value = |name: &str| labels.pairs().find(|(of, _)| *of == name).map_or("", |(_, value)| value);
            let key = [value("platform"), value("channel"), value("kind")];
            let is_its = |group: &&mut Group| [&*group.platform, &*group.channel, &*group.kind] == key;
            if let Some(group) = self.0.iter_mut().find(is_its) {
                group.counters[place] = Some((*id, *total));
            } else {
                let [platform, channel, kind] = key.map(str::to_owned);
                let mut counters = [None; 4];
                counters[place] = Some((*id, *total));
                self.0.push(Group { platform, channel, kind, counters });
            }
            is_new = true;
        }
        is_new
    }

    /// Returns the present totals.
    pub(super) fn totals(&self) -> Totals {
        Totals::from(&self.0.iter().flat_map(|group| group.counters).flatten().collect())
    }

    /// Returns what each channel did since a time.
    pub(super) fn since(&self, begin: &Totals) -> BTreeMap<(String, String), Period> {
        self.periods(|(series, total)| total - begin.of(series))
    }

    /// Returns what each channel did between two times.
    pub(super) fn between(&self, begin: &Totals, end: &Totals) -> BTreeMap<(String, String), Period> {
        self.periods(|(series, _)| end.of(series) - begin.of(series))
    }

    /// Sums the kinds of each channel. A share is taken over those that have both sides, as the recording rules do.
    fn periods(&self, gain: impl Fn((SeriesId, i64)) -> i64) -> BTreeMap<(String, String), Period> {
        let mut periods: BTreeMap<(String, String), Period> = BTreeMap::new();
        // A provider that tells what one channel refused tells it of the others: they refused nothing yet.
        let any_failed = self.0.iter().any(|Group { counters: [_, _, failed, _], .. }| failed.is_some());
        for Group { platform, channel, counters, .. } in &self.0 {
            let [targeted, sent, failed, received] =
                counters.map(|counter| counter.map(|counter| gain(counter).max(0)));
            let mut period = Period { sent: sent.unwrap_or(0), received: received.unwrap_or(0), ..Period::default() };
            if let (Some(sent), Some(failed)) = (sent, failed) {
                (period.attempted, period.accepted) = (sent.saturating_add(failed), sent);
            } else if let (Some(sent), Some(targeted)) = (sent, targeted) {
                (period.attempted, period.accepted) = (targeted, sent);
            } else if let (Some(sent), true) = (sent, any_failed) {
                (period.attempted, period.accepted) = (sent, sent);
            }
            if let (Some(sent), Some(received)) = (sent, received) {
                (period.trackable, period.arrived) = (sent, received);
            }
            periods.entry((platform.clone(), channel.clone())).or_default().add(&period);
        }
        periods
    }
}
