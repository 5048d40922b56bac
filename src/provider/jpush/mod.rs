//! JPush (极光): statistics of messages by platform and vendor channel, of users, and quotas of vendors.
//!
//! Document: 统计 API (Report API v3): 送达统计详情 (`received/detail`, free), 消息统计详情
//! (`messages/detail`, VIP), the old 送达统计 and 消息统计, 分组统计-消息统计 (`group/messages/detail`, VIP),
//! 送达状态查询 (`status/message`, VIP), 用户统计 and 分组统计-用户统计 (`users`, `group/users`, VIP). The
//! quota of vendors is of the Push API (`push/quota`, free).

mod client;
pub mod config;
mod detail_fields;
mod errors;
mod legacy_fields;
pub mod message_id;
mod message_reports;
mod moments;
mod received_fields;
mod table;
mod users;

use std::sync::Arc;

use crate::config::{secret::Secret, section::Section};
use crate::provider::error::ProviderError;
use crate::provider::{
    Account, MessageReport, Messages, Provider, Report, ReportContext, SnapshotNumbers, SnapshotReport, WindowNumbers,
    WindowQuery,
};
use config::{Holder, JpushSettings};
pub use message_reports::Delivery;
use message_reports::DeliveryReport;
use moments::{STATUS_MESSAGE, TestDevices, VENDOR_QUOTA, VendorQuota};
use users::{GROUP_USERS, USERS, UsersReport};

/// The provider.
pub struct Jpush;

/// Parses the body of an answer of `users` or `group/users` to `query` as the client does, for tests and
/// fuzzing.
///
/// # Errors
/// A body that is not of the documented shape.
pub fn parse_users(body: &[u8], query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    users::read(&object(body)?, query)
}

/// The same for `status/message` about `earlier` devices.
///
/// # Errors
/// A body that is not an object.
pub fn parse_devices(body: &[u8], earlier: usize) -> Result<SnapshotNumbers, ProviderError> {
    Ok(moments::devices(&object(body)?, earlier))
}

/// The same for `push/quota`.
///
/// # Errors
/// A body that is not an object.
pub fn parse_quotas(body: &[u8]) -> Result<SnapshotNumbers, ProviderError> {
    Ok(moments::quotas(&object(body)?))
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, ProviderError> {
    serde_json::from_slice(body).map_err(|error| ProviderError::Decode(error.to_string()))
}

impl Provider for Jpush {
    fn name(&self) -> &'static str {
        "jpush"
    }

    fn title(&self) -> &'static str {
        "JPush 极光"
    }

    fn reports(&self) -> &'static [&'static str] {
        const NAMES: [&str; 9] = [
            Delivery::ReceivedDetail.name(),
            Delivery::MessagesDetail.name(),
            Delivery::Received.name(),
            Delivery::Messages.name(),
            Delivery::GroupMessagesDetail.name(),
            STATUS_MESSAGE,
            USERS,
            GROUP_USERS,
            VENDOR_QUOTA,
        ];
        &NAMES
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

    fn open(&self, context: &ReportContext) -> Vec<Box<dyn Report>> {
        if self.0.users.is_empty() {
            return Vec::new();
        }
        vec![Box::new(UsersReport::new(Arc::clone(&self.0), context))]
    }

    fn moments(&self, context: &ReportContext) -> Vec<Box<dyn SnapshotReport>> {
        let settings = || Arc::clone(&self.0);
        let interval = |report| context.intervals.get(report).copied().unwrap_or(moments::INTERVAL);
        let mut reports: Vec<Box<dyn SnapshotReport>> = Vec::new();
        if !self.0.test_devices.is_empty() {
            let zone = context.zone.clone();
            reports.push(Box::new(TestDevices { settings: settings(), zone, interval: interval(STATUS_MESSAGE) }));
        }
        if self.0.vendor_quota {
            reports.push(Box::new(VendorQuota { settings: settings(), interval: interval(VENDOR_QUOTA) }));
        }
        reports
    }

    fn messages(&self, context: &ReportContext) -> Option<Messages> {
        let report = |kind: &Delivery| {
            let interval = context.intervals.get(kind.name()).copied();
            let pace = match (&self.0.schedule, interval) {
                (Some(schedule), _) => schedule.clone(),
                (None, Some(interval)) => kind.pace().always(interval),
                (None, None) => kind.pace(),
            };
            Box::new(DeliveryReport { settings: Arc::clone(&self.0), kind: *kind, pace }) as Box<dyn MessageReport>
        };
        let reports = Delivery::ALL.iter().filter(|kind| kind.holder() == self.0.holder);
        Some(Messages {
            delivery: self.0.delivery.map(Delivery::name),
            reports: reports.map(report).collect(),
            ids: self.0.ids.clone(),
            files: self.0.files.clone(),
            newest: self.0.newest_messages,
            read_id: self.0.holder.read_id(),
        })
    }
}

impl Holder {
    fn read_id(self) -> fn(&str) -> Option<String> {
        match self {
            Holder::App => message_id::read_id,
            Holder::Group => message_id::read_group_id,
        }
    }
}
