//! Providers and their reports: the traits that a provider implements, and the parts that all providers share.
//!
//! A provider is a folder with `config.rs` (its keys), `client.rs` (HTTP), `fields.rs` (the field map: a pure function from an
//! answer to readings) and `errors.rs` (its error table: reason and advice), and a line in [`registry::PROVIDERS`].
//! `docs/adding-a-provider.md` has the whole list and a worked example.
//!
//! A provider knows neither the ledger nor the exposition. Retries, rate limits, counting of requests, durations and back-off
//! belong to [`crate::poll`], so that no provider can forget them.

pub mod basic_auth;
pub mod client;
pub mod config;
pub mod detail_fields;
mod discovery_report;
mod dns;
pub mod easemob;
pub mod engagelab;
pub mod error;
pub mod error_body;
pub mod feishu;
pub mod field_map;
pub mod getui;
pub mod jpush;
mod list_report;
pub mod message_config;
pub mod message_fields;
pub mod message_id;
mod message_report;
pub mod message_schedule;
pub mod message_shape;
pub mod onesignal;
mod proxy;
pub mod rate_limit;
pub mod registry;
mod report;
pub mod request_counts;
pub mod rolling_days;
mod snapshot_report;
pub mod token;
pub mod transport;
pub mod user_fields;
pub mod users_report;
mod window_report;

use jiff::tz::TimeZone;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::metrics::help::HelpFragment;
use message_id::IdFormat;

pub use discovery_report::{DiscoveryReport, FoundMessage, FoundMessages, Listing, Origin};
pub use list_report::{ListPage, ListReport, ListStart, ListedMessage};
pub use message_report::{MessageNumbers, MessageQuery, MessageReadings, MessageReport, MessageReports};
pub use report::{ReportContext, ReportSpec};
pub use snapshot_report::{Choice, SnapshotNumbers, SnapshotQuery, SnapshotReport};
pub use window_report::{
    EarlierQueries, PastWindows, ReportState, WindowAnswer, WindowGauges, WindowKey, WindowNumbers, WindowQuery,
    WindowReport, WindowState, WindowTotals, WindowUpdate,
};

/// A kind of account: its name, its reports and its configuration keys.
pub trait Provider: Send + Sync {
    /// Returns the value of the label `provider`, which is also the section of the configuration.
    fn name(&self) -> &'static str;
    /// Returns the name shown to people.
    fn title(&self) -> &'static str;
    /// Returns the names of its reports, which are values of the label `report` and keys of `intervals`.
    fn reports(&self) -> &'static [&'static str];
    /// Returns the time zone of its numbers, if it is the same for all accounts; a configured one still comes first.
    fn zone(&self) -> Option<TimeZone> {
        None
    }
    /// Returns what its documents call the metrics, for HELP.
    fn help(&self) -> &'static [HelpFragment];
    /// Returns its part of the example configuration, with every key; optional keys are commented out.
    fn example(&self) -> Example;
    /// Returns the formats of the message ids that its apps take.
    fn id_formats(&self) -> &'static [IdFormat] {
        &[]
    }
    /// Reads the provider's own keys in an app's section; `None` after an error was noted.
    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>>;
}

/// A provider's part of the example configuration.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// YAML from the provider's section on.
    pub text: &'static str,
    /// True if its message ids are registered by the message API, which the example then turns on.
    pub has_message_ids: bool,
}

/// Providers that can be configured, in the order of the status page.
pub type Providers = &'static [&'static dyn Provider];

/// Credentials and settings of one app.
pub trait Account: Send + Sync {
    /// Returns the id of the account at the provider; two apps with the same id are the same account.
    fn id(&self) -> String;
    /// Returns all secrets of the account, which are removed from texts and watched for changes.
    fn secrets(&self) -> Vec<Secret>;
    /// Returns the single source of its delivery counters: two reports of the same deliveries would count them twice.
    fn counter_source(&self, context: &ReportContext) -> CounterSource;
    /// Returns the reports that find message ids.
    fn discovery_reports(&self, _context: &ReportContext) -> Vec<Box<dyn DiscoveryReport>> {
        Vec::new()
    }
    /// Returns the token of the provider's callbacks, if they are taken.
    fn callback_token(&self) -> Option<Secret> {
        None
    }
    /// Returns the other reports, whose numbers are gauges.
    fn gauge_reports(&self, _context: &ReportContext) -> Vec<GaugeReport> {
        Vec::new()
    }
}

/// Source of an account's delivery counters.
pub enum CounterSource {
    /// A report by window.
    Windows(Box<dyn WindowReport>),
    /// Reports by message; each message is counted by one of them.
    Messages(MessageReports),
    /// A report whose list brings messages with their numbers; `None` if deliveries are not counted.
    List(Option<Box<dyn ListReport>>),
}

impl CounterSource {
    /// Returns the reports by message, if they are the source.
    pub fn messages(self) -> Option<MessageReports> {
        match self {
            CounterSource::Messages(messages) => Some(messages),
            CounterSource::Windows(_) | CounterSource::List(_) => None,
        }
    }
}

/// A report whose numbers are only gauges: readings that could feed counters are not counted.
pub enum GaugeReport {
    /// A report by window.
    Windows(Box<dyn WindowReport>),
    /// A report of the current moment.
    Snapshot(Box<dyn SnapshotReport>),
}
