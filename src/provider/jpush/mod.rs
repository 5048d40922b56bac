//! JPush (极光): statistics of messages by platform and vendor channel, statistics of users, and quotas of vendors.
//!
//! Document: 统计 API (Report API v3): 送达统计详情 (`received/detail`, free), 消息统计详情
//! (`messages/detail`, VIP), the old 送达统计 and 消息统计, 分组统计-消息统计 (`group/messages/detail`, VIP),
//! 送达状态查询 (`status/message`, VIP), 用户统计 and 分组统计-用户统计 (`users`, `group/users`, VIP). The
//! quotas of vendors and the ids of scheduled pushes come from the Push API (`push/quota`, `schedules`, free).

mod client;
pub mod config;
mod delivery;
mod detail_fields;
mod errors;
mod legacy_fields;
mod message_id;
mod message_reports;
mod received_fields;
mod schedules;
mod test_devices;
mod users;
mod vendor_quota;

use std::sync::Arc;

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::provider::error::ProviderError;
use crate::provider::message_id::IdFormat;
use crate::provider::{
    Account, CounterSource, DiscoveryReport, Example, FoundMessages, GaugeReport, Listing, MessageReport,
    MessageReports, Provider, ReportContext, SnapshotNumbers, WindowNumbers, WindowQuery,
};
use config::JpushSettings;
pub use delivery::Delivery;
use message_reports::DeliveryReport;
use schedules::{SCHEDULES, Schedules};
use test_devices::{STATUS_MESSAGE, TestDevices};
use users::{GROUP_USERS, USERS};
use vendor_quota::{VENDOR_QUOTA, VendorQuota};

/// The provider JPush.
pub struct Jpush;

/// Parses the body of an answer of `users` or `group/users` to `query` as the client does, for tests and
/// fuzzing.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_users(body: &[u8], query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    client::read_users(&object(body)?, query)
}

/// Parses the body of an answer of `status/message` about `asked` devices, as [`parse_users`] does.
///
/// # Errors
/// Fails if the body is not an object.
pub fn parse_devices(body: &[u8], asked: usize) -> Result<SnapshotNumbers, ProviderError> {
    Ok(test_devices::devices(&object(body)?, asked))
}

/// Parses the body of an answer of `schedules`, as [`parse_users`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_schedules(body: &[u8]) -> Result<Listing, ProviderError> {
    schedules::listing(&object(body)?, true)
}

/// Parses the body of an answer of `schedules/…/msg_ids`, as [`parse_users`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_schedule_messages(body: &[u8]) -> Result<FoundMessages, ProviderError> {
    schedules::messages(&object(body)?, None)
}

/// Parses the body of an answer of `push/quota`, as [`parse_users`] does.
///
/// # Errors
/// Fails if the body is not an object.
pub fn parse_quotas(body: &[u8]) -> Result<SnapshotNumbers, ProviderError> {
    Ok(vendor_quota::quotas(&object(body)?))
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, ProviderError> {
    serde_json::from_slice(body).map_err(|error| ProviderError::Decode(error.to_string()))
}

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 17] = [
    (Family::Targeted, "JPush messages/detail target"),
    (
        Family::Sent,
        "JPush received/detail *_sent; JPush messages/detail sent, where it means that the task to send was created",
    ),
    (Family::PushedOnline, "JPush online_push of messages and group/messages/detail"),
    (Family::Received, "JPush received/detail *_received, messages/detail received"),
    (Family::Displayed, "JPush messages/detail display"),
    (Family::Clicked, "JPush messages/detail click"),
    (Family::SentAt10m, "JPush sent, read once at an age of 10 to 20 minutes"),
    (Family::ReceivedAt10m, "JPush received, read once at an age of 10 to 20 minutes"),
    (Family::Users, "JPush users and group/users"),
    (Family::TestDevices, "JPush status/message status of the newest 20 messages of 24 hours"),
    (Family::VendorQuota, "JPush push/quota total"),
    (Family::VendorQuotaUsed, "JPush push/quota used"),
    (Family::NewestTargeted, "JPush target"),
    (Family::NewestSent, "JPush sent"),
    (Family::NewestReceived, "JPush received"),
    (Family::NewestDisplayed, "JPush display"),
    (Family::NewestClicked, "JPush click"),
];

impl Provider for Jpush {
    fn name(&self) -> &'static str {
        "jpush"
    }

    fn title(&self) -> &'static str {
        "JPush 极光"
    }

    fn reports(&self) -> &'static [&'static str] {
        const NAMES: [&str; 10] = [
            Delivery::ReceivedDetail.name(),
            Delivery::MessagesDetail.name(),
            Delivery::Received.name(),
            Delivery::Messages.name(),
            Delivery::GroupMessagesDetail.name(),
            STATUS_MESSAGE,
            USERS,
            GROUP_USERS,
            VENDOR_QUOTA,
            SCHEDULES,
        ];
        &NAMES
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: true }
    }

    fn id_formats(&self) -> &'static [IdFormat] {
        const FORMATS: [IdFormat; 2] = [message_id::MESSAGE_ID, message_id::GROUP_MESSAGE_ID];
        &FORMATS
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        JpushSettings::read(section).map(|settings| Box::new(JpushAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct JpushAccount(Arc<JpushSettings>);

impl Account for JpushAccount {
    fn id(&self) -> String {
        self.0.user.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.master_secret.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        let kinds = Delivery::ALL.into_iter().filter(|kind| kind.holder() == self.0.holder);
        let report = |kind| Box::new(DeliveryReport::new(&self.0, kind, context)) as Box<dyn MessageReport>;
        CounterSource::Messages(MessageReports {
            delivery: self.0.delivery.map(Delivery::name),
            reports: kinds.map(report).collect(),
            ids: self.0.ids.clone(),
            files: self.0.files.clone(),
            newest: self.0.newest_messages,
            id_format: *self.0.holder.id_format(),
        })
    }

    fn discovery_reports(&self, context: &ReportContext) -> Vec<Box<dyn DiscoveryReport>> {
        let schedules = self.0.discovers_schedules.then(|| Schedules::new(&self.0, context));
        schedules.into_iter().map(|report| Box::new(report) as Box<dyn DiscoveryReport>).collect()
    }

    fn callback_token(&self) -> Option<Secret> {
        self.0.callback_token.clone()
    }

    fn gauge_reports(&self, context: &ReportContext) -> Vec<GaugeReport> {
        let mut reports = Vec::new();
        if !self.0.users.is_empty() {
            reports.push(GaugeReport::Windows(users::report(&self.0, context)));
        }
        if !self.0.test_devices.is_empty() {
            reports.push(GaugeReport::Snapshot(Box::new(TestDevices::new(&self.0, context))));
        }
        if self.0.vendor_quota {
            reports.push(GaugeReport::Snapshot(Box::new(VendorQuota::new(&self.0, context))));
        }
        reports
    }
}
