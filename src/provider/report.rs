//! Common parts of all reports: name, interval and rate limit, and the context that they may use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::provider::message_schedule::MessageSchedule;
use crate::provider::rate_limit::Limit;
use crate::provider::token::TokenCache;
use crate::util::clock::Clock;

/// Name, interval and rate limit of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportSpec {
    /// Value of the label `report`.
    pub name: &'static str,
    /// Polling interval while polls succeed; back-off is a multiple of it.
    pub interval: Duration,
    /// Rate limit of its API.
    pub limit: Limit,
    /// True if the configuration sets the interval.
    pub is_explicit: bool,
}

/// Parts of the exporter and of the configuration that a report may use.
pub struct ReportContext {
    /// Clock of the exporter.
    pub clock: Clock,
    /// Time zone of the app's calendar.
    pub zone: TimeZone,
    /// Configured intervals, by report.
    pub intervals: HashMap<&'static str, Duration>,
    /// Cache of the account's token, which all its reports share.
    pub token: Arc<TokenCache>,
}

impl ReportContext {
    /// Creates the context of an account's reports, without a token.
    pub fn new(clock: Clock, zone: TimeZone, intervals: HashMap<&'static str, Duration>) -> ReportContext {
        let token = Arc::new(TokenCache::new(clock.clone()));
        ReportContext { clock, zone, intervals, token }
    }

    /// Returns the spec of a report with the configured interval, or this default.
    pub fn spec(&self, name: &'static str, default_interval: Duration, limit: Limit) -> ReportSpec {
        let configured = self.intervals.get(name).copied();
        let interval = configured.unwrap_or(default_interval);
        ReportSpec { name, interval, limit, is_explicit: configured.is_some() }
    }

    /// Returns the spec of a report by message and the schedule of its messages: the configured schedule, or one interval at
    /// all ages, or the report's own.
    pub fn message_spec(
        &self,
        name: &'static str,
        own: MessageSchedule,
        configured: Option<&MessageSchedule>,
        limit: Limit,
    ) -> (ReportSpec, MessageSchedule) {
        let mut spec = self.spec(name, own.fastest(), limit);
        let schedule = match configured {
            Some(schedule) => schedule.clone(),
            None if spec.is_explicit => own.always(spec.interval),
            None => own,
        };
        spec.interval = schedule.fastest();
        (spec, schedule)
    }
}
