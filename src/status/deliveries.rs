//! Deliveries of each channel in the last quarter of an hour, hour, six hours and day, compared with the past week: from the
//! counters, and from the totals that the ledger has noted by hour. Channels are judged as the alert rules do, so that one that
//! refuses everything is seen without Prometheus.

mod judgement;
mod periods;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

pub use self::judgement::ChannelState;
use self::judgement::{Usual, Windows, judge};
pub use self::periods::Period;
use self::periods::{Groups, Totals, median};
use crate::ledger::{AppId, HourTotals, Ledger, LedgerError, SeriesTotal, StoredApp};
use crate::util::clock::Clock;
use crate::util::clock_guard::ClockGuard;

/// Interval at which the totals of the last hour are remembered.
const QUARTER: Duration = Duration::from_secs(900);
const HOUR: Duration = Duration::from_secs(3600);
/// Number of past days that tell what is usual.
const USUAL_DAYS: i64 = 7;
/// Interval at which channels are judged.
const JUDGED_EVERY: Duration = Duration::from_secs(15);
/// Maximum number of apps whose totals are noted in one transaction, so that none takes long.
const NOTED_AT_ONCE: usize = 100;

/// Platform and channel.
type ChannelKey = (String, String);
/// Name of a provider and of its app.
type AppName = (&'static str, String);

/// Deliveries of one channel of an app.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelDeliveries {
    /// Platform, as in the label.
    pub platform: String,
    /// Channel, as in the label.
    pub channel: String,
    /// Judgement.
    pub state: ChannelState,
    /// Time since which the channel is bad.
    pub since: Option<Timestamp>,
    /// The last hour.
    pub hour: Period,
    /// The last day.
    pub day: Period,
    /// Median share of the past week's days that the channel accepted.
    pub usual_accepted_ratio: Option<f64>,
    /// Median share of the past week's days that arrived.
    pub usual_received_ratio: Option<f64>,
}

/// Deliveries of all apps of this process.
#[derive(Default)]
pub struct Deliveries(Mutex<BTreeMap<AppName, AppDeliveries>>);

struct AppDeliveries {
    app: AppId,
    /// The hour in which the app was first known: before it, nothing was counted.
    created: i64,
    /// Share of its pushes that channels should accept.
    objective: f64,
    groups: Groups,
    /// Totals of the last hour, a quarter of an hour apart, the oldest first.
    marks: VecDeque<(Instant, Totals)>,
    /// The hour that the ledger has noted, and what it knows of those before.
    past: Option<(i64, Past)>,
    /// Time since which channels are bad.
    bad_since: BTreeMap<ChannelKey, Timestamp>,
    /// True if something has changed since the channels were judged.
    is_new: bool,
    judged: Vec<ChannelDeliveries>,
}

/// Totals of past hours from the ledger.
#[derive(Default)]
struct Past {
    /// Totals an hour to two ago, six hours ago and a day ago.
    hour: Totals,
    six_hours: Totals,
    day: Totals,
    usual: BTreeMap<ChannelKey, Usual>,
    /// Begin of the bad hours before this one, without a good one between them.
    bad_since: BTreeMap<ChannelKey, Timestamp>,
}

impl Deliveries {
    /// Adds an app with its counters, or replaces it. `objective` is the share of its pushes that channels should accept, if
    /// the configuration says so.
    pub fn add(&self, name: AppName, stored: &StoredApp, objective: Option<f64>) {
        let mut groups = Groups::default();
        groups.update(&stored.series);
        let objective = objective.unwrap_or(judgement::OBJECTIVE);
        let added = AppDeliveries {
            app: stored.id,
            created: stored.created.as_second().div_euclid(3600),
            objective,
            groups,
            marks: VecDeque::new(),
            past: None,
            bad_since: BTreeMap::new(),
            is_new: true,
            judged: Vec::new(),
        };
        self.0.lock().insert(name, added);
    }

    /// Takes the counters that have increased.
    pub fn counted(&self, provider: &'static str, app: &str, series: &[SeriesTotal]) {
        if let Some(app) = self.0.lock().get_mut(&(provider, app.to_owned())) {
            app.is_new |= app.groups.update(series);
        }
    }

    /// Removes an app.
    pub(super) fn forget(&self, provider: &str, app: &str) {
        self.0.lock().retain(|(of, name), _| (*of, name.as_str()) != (provider, app));
    }

    /// Returns the channels of all apps, as they were judged last.
    pub fn all(&self) -> BTreeMap<AppName, Vec<ChannelDeliveries>> {
        self.0.lock().iter().map(|(name, app)| (name.clone(), app.judged.clone())).collect()
    }

    /// Notes totals by hour in the ledger and judges channels, until it is cancelled.
    pub async fn follow(&self, ledger: &Ledger, clock: &Clock) {
        let mut guard = ClockGuard::new(clock, None);
        loop {
            let reading = guard.read(clock);
            // Without the ledger, channels are judged by what is known.
            if let Err(error) = self.note(ledger, reading.sure.as_second().div_euclid(3600)).await {
                tracing::debug!(error = error.to_string(), "cannot note deliveries by hour");
            }
            self.judge(reading.now);
            tokio::time::sleep(JUDGED_EVERY).await;
        }
    }

    async fn note(&self, ledger: &Ledger, hour: i64) -> Result<(), LedgerError> {
        let is_noted = |app: &&AppDeliveries| app.past.as_ref().is_none_or(|(noted, _)| *noted != hour);
        let apps: Vec<AppId> = self.0.lock().values().filter(is_noted).map(|app| app.app).collect();
        for apps in apps.chunks(NOTED_AT_ONCE) {
            if !*ledger.watch().borrow() {
                break;
            }
            self.noted(hour, &ledger.note_hour(apps.to_vec(), hour).await?);
        }
        Ok(())
    }

    /// Takes what the ledger has noted of some apps, the oldest hours of each first.
    fn noted(&self, hour: i64, kept: &[HourTotals]) {
        for of_app in kept.chunk_by(|a, b| a.app == b.app) {
            let Some(id) = of_app.first().map(|first| first.app) else { continue };
            if let Some(app) = self.0.lock().values_mut().find(|app| app.app == id) {
                app.past = Some((hour, Past::new(hour, of_app, app)));
                app.is_new = true;
            }
        }
    }

    fn judge(&self, now: Timestamp) {
        let names: Vec<AppName> = self.0.lock().keys().cloned().collect();
        for name in names {
            if let Some(app) = self.0.lock().get_mut(&name) {
                app.mark();
                app.judge(now);
            }
        }
    }
}

impl AppDeliveries {
    /// Remembers the present totals once in a quarter of an hour.
    fn mark(&mut self) {
        if self.marks.back().is_some_and(|(at, _)| at.elapsed() < QUARTER) {
            return;
        }
        self.marks.push_back((Instant::now(), self.groups.totals()));
        // One that is an hour old is enough.
        while self.marks.get(1).is_some_and(|(at, _)| at.elapsed() >= HOUR) {
            self.marks.pop_front();
        }
        self.is_new = true;
    }

    fn judge(&mut self, now: Timestamp) {
        let Some((_, past)) = self.past.as_ref().filter(|_| self.is_new) else { return };
        let since = |totals: &Totals| self.groups.since(totals);
        let quarter = self.marks.iter().rev().find(|(at, _)| at.elapsed() >= QUARTER).map(|(_, totals)| since(totals));
        let marked = self.marks.front().filter(|(at, _)| at.elapsed() >= HOUR);
        let hour = since(marked.map_or(&past.hour, |(_, totals)| totals));
        let (six_hours, day) = (since(&past.six_hours), since(&past.day));
        let mut judged = Vec::new();
        let mut bad_since = BTreeMap::new();
        for (key, day) in day {
            let of = |periods: &BTreeMap<ChannelKey, Period>| periods.get(&key).copied().unwrap_or_default();
            let windows =
                Windows { quarter: quarter.as_ref().map(of), hour: of(&hour), six_hours: of(&six_hours), day };
            let usual = past.usual.get(&key).copied().unwrap_or_default();
            let state = judge(&windows, &usual, self.objective);
            let since = state.is_bad().then(|| {
                let known = self.bad_since.get(&key).or_else(|| past.bad_since.get(&key));
                known.copied().unwrap_or(now)
            });
            if let Some(since) = since {
                bad_since.insert(key.clone(), since);
            }
            let (platform, channel) = key;
            judged.push(ChannelDeliveries {
                platform,
                channel,
                state,
                since,
                hour: windows.hour,
                day,
                usual_accepted_ratio: usual.accepted,
                usual_received_ratio: usual.received,
            });
        }
        // The worst first; of the same state the one with the most pushes.
        judged.sort_by_key(|channel| (channel.state, -channel.day.sent));
        if let Some((_, past)) = &mut self.past {
            // An incident that has ended starts a new one if it returns.
            past.bad_since.retain(|key, _| bad_since.contains_key(key));
        }
        (self.judged, self.bad_since, self.is_new) = (judged, bad_since, false);
    }
}

impl Past {
    /// Reads what the ledger has kept, the oldest hour first, at the beginning of an hour.
    fn new(now: i64, kept: &[HourTotals], app: &AppDeliveries) -> Past {
        let AppDeliveries { created, objective, ref groups, .. } = *app;
        let at = |hour: i64| kept.iter().find(|kept| kept.hour == hour).map(|kept| Totals::from(&kept.totals));
        // While nothing was running, nothing was counted.
        let from = |hour: i64| kept.iter().find(|kept| kept.hour >= hour).map(|kept| Totals::from(&kept.totals));
        let ago = |hours: i64| from(now - hours).filter(|_| created < now - hours).unwrap_or_default();
        let mut shares: BTreeMap<ChannelKey, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for days in 1..=USUAL_DAYS {
            let (Some(begin), Some(end)) = (at(now - 24 * (days + 1)), at(now - 24 * days)) else { continue };
            for (key, period) in groups.between(&begin, &end) {
                let (accepted, received) = shares.entry(key).or_default();
                accepted.extend(period.accepted_ratio().filter(|_| period.attempted > judgement::HOUR_VOLUME));
                received.extend(period.received_ratio().filter(|_| period.trackable > judgement::HOUR_VOLUME));
            }
        }
        let usual = shares
            .into_iter()
            .map(|(key, (accepted, received))| (key, Usual { accepted: median(accepted), received: median(received) }));
        let usual: BTreeMap<ChannelKey, Usual> = usual.collect();
        let mut past = Past { hour: ago(1), six_hours: ago(6), day: ago(24), usual, ..Past::default() };
        let mut was_well = BTreeSet::new();
        for hour in (now - 24..now).rev() {
            let (Some(begin), Some(end)) = (at(hour), at(hour + 1)) else { break };
            for (key, period) in groups.between(&begin, &end) {
                let usual = past.usual.get(&key).copied().unwrap_or_default();
                let state = judge(&Windows::of_hour(period), &usual, objective);
                if state == ChannelState::AsUsual {
                    was_well.insert(key);
                } else if state.is_bad() && !was_well.contains(&key) {
                    past.bad_since.extend(Timestamp::from_second(hour * 3600).ok().map(|began| (key, began)));
                }
            }
        }
        past
    }
}

#[cfg(test)]
mod tests;
