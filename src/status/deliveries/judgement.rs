//! Judgement of a channel by what it did, as the alert rules judge it: their thresholds are the defaults of
//! `mixin/config.libsonnet`.

use serde::Serialize;

use crate::status::deliveries::periods::Period;

/// Share of its pushes that a channel should accept, for apps that configure no objective.
pub(super) const OBJECTIVE: f64 = 0.95;
/// Errors of a quarter of an hour may be this many times as many as the objective allows, and this share of the objective is
/// the least.
const FAST: (f64, f64) = (10.0, 0.5);
/// The same for an hour and more.
const SLOW: (f64, f64) = (6.0, 0.7);
/// Volumes below which a share says nothing.
const QUARTER_VOLUME: i64 = 50;
const WELL_VOLUME: i64 = 10;
pub(super) const HOUR_VOLUME: i64 = 100;
const SIX_HOURS_VOLUME: i64 = 500;
/// Nothing arrives: pushes, the share that arrives, and the share that usually does.
const NOTHING: (i64, f64, f64) = (50, 0.02, 0.2);
/// Shares of what is usual.
const ACCEPTS_LESS: f64 = 0.9;
const DELIVERS_LESS: f64 = 0.8;

/// State of a channel, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// It accepts far less than it should.
    Failing,
    /// It accepts pushes, and none arrives.
    NothingArrives,
    /// It accepts less than usual.
    AcceptsLess,
    /// Less arrives than usual.
    DeliversLess,
    /// It works.
    AsUsual,
    /// There were too few pushes, or the provider tells no shares.
    Unjudged,
    /// Nothing was sent in a day.
    Idle,
}

impl ChannelState {
    /// Returns true if something is wrong.
    pub fn is_bad(self) -> bool {
        self <= ChannelState::DeliversLess
    }

    /// Returns true if the channel does not work.
    pub fn is_failing(self) -> bool {
        self <= ChannelState::NothingArrives
    }
}

/// Deliveries of a channel in each window.
pub(super) struct Windows {
    /// The last quarter of an hour, once the process has run for that long.
    pub(super) quarter: Option<Period>,
    pub(super) hour: Period,
    pub(super) six_hours: Period,
    pub(super) day: Period,
}

impl Windows {
    /// Judges by one past hour.
    pub(super) fn of_hour(hour: Period) -> Windows {
        Windows { quarter: None, hour, six_hours: hour, day: hour }
    }
}

/// Median shares of the past week.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual {
    pub(super) accepted: Option<f64>,
    pub(super) received: Option<f64>,
}

/// Judges a channel.
pub(super) fn judge(windows: &Windows, usual: &Usual, objective: f64) -> ChannelState {
    let Windows { quarter, hour, six_hours, day } = windows;
    let failing_below = |(burn, share): (f64, f64)| (share * objective).max(1.0 - burn * (1.0 - objective));
    let accepts_below = |period: &Period, below: f64| period.accepted_ratio().is_some_and(|ratio| ratio < below);
    let below = failing_below(SLOW);
    let is_well_again =
        quarter.as_ref().is_some_and(|quarter| quarter.attempted > WELL_VOLUME && !accepts_below(quarter, below));
    let by_quarter = quarter
        .as_ref()
        .is_some_and(|quarter| quarter.attempted > QUARTER_VOLUME && accepts_below(quarter, failing_below(FAST)));
    // The shortest window that has enough pushes.
    let enough = [hour, six_hours, day].into_iter().find(|period| period.attempted > HOUR_VOLUME);
    if by_quarter || (!is_well_again && enough.is_some_and(|period| accepts_below(period, below))) {
        return ChannelState::Failing;
    }
    let (volume, nothing, once) = NOTHING;
    let has_arrived = [usual.received, day.received_ratio()].into_iter().flatten().any(|ratio| ratio >= once);
    if hour.trackable > volume && has_arrived && hour.received_ratio().is_some_and(|ratio| ratio < nothing) {
        return ChannelState::NothingArrives;
    }
    let is_less = |ratio: Option<f64>, usual: Option<f64>, share: f64| {
        ratio.zip(usual).is_some_and(|(ratio, usual)| ratio < share * usual)
    };
    if hour.attempted > HOUR_VOLUME && is_less(hour.accepted_ratio(), usual.accepted, ACCEPTS_LESS) {
        return ChannelState::AcceptsLess;
    }
    if six_hours.trackable > SIX_HOURS_VOLUME && is_less(six_hours.received_ratio(), usual.received, DELIVERS_LESS) {
        return ChannelState::DeliversLess;
    }
    if day.sent == 0 && day.attempted == 0 && day.received == 0 {
        ChannelState::Idle
    } else if day.attempted > HOUR_VOLUME || day.trackable > HOUR_VOLUME {
        ChannelState::AsUsual
    } else {
        ChannelState::Unjudged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_rules() {
        let settings = include_str!("../../../mixin/config.libsonnet");
        for (name, value) in [
            ("objective", OBJECTIVE),
            ("fastBurn", FAST.0),
            ("fastShare", FAST.1),
            ("slowBurn", SLOW.0),
            ("slowShare", SLOW.1),
            ("quarterVolume", QUARTER_VOLUME as f64),
            ("wellVolume", WELL_VOLUME as f64),
            ("hourVolume", HOUR_VOLUME as f64),
            ("sixHoursVolume", SIX_HOURS_VOLUME as f64),
            ("deliversNothingVolume", NOTHING.0 as f64),
            ("deliversNothingRatio", NOTHING.1),
            ("deliveredRatio", NOTHING.2),
            ("successFellRatio", ACCEPTS_LESS),
            ("deliveryFellRatio", DELIVERS_LESS),
        ] {
            assert!(settings.contains(&format!("    {name}: {value},\n")), "{name}: {value}");
        }
    }
}
