//! What all kinds of reports have in common: name, interval and rate limit, and what they may use of the world outside.

use std::collections::HashMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::provider::rate_limit::Limit;
use crate::util::clock::Clock;

/// Name, interval and rate limit of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportSpec {
    /// Value of the label `report`.
    pub name: &'static str,
    /// Polling interval while all is well; back-off is a multiple of it.
    pub interval: Duration,
    /// Rate limit of its API.
    pub limit: Limit,
    /// True if the configuration sets the interval.
    pub is_explicit: bool,
}

/// Parts of the exporter and of the configuration that a report may use.
pub struct ReportContext {
    /// The time.
    pub clock: Clock,
    /// The app's calendar.
    pub zone: TimeZone,
    /// Intervals that the configuration sets, by report.
    pub intervals: HashMap<&'static str, Duration>,
}

impl ReportContext {
    /// Returns the spec of a report with this default interval, or with the one that the configuration sets.
    pub fn spec(&self, name: &'static str, default_interval: Duration, limit: Limit) -> ReportSpec {
        let configured = self.intervals.get(name).copied();
        let interval = configured.unwrap_or(default_interval);
        ReportSpec { name, interval, limit, is_explicit: configured.is_some() }
    }
}
