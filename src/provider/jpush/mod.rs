//! JPush (极光): statistics of messages, by platform and vendor channel.
//!
//! Document: 统计 API (Report API v3): 送达统计详情 (`received/detail`, free) and 消息统计详情
//! (`messages/detail`, VIP).

mod api;
pub mod config;
pub mod details;
mod errors;
mod older;
pub mod readings;

use std::sync::Arc;
use std::time::Duration;

use super::error::PollError;
use super::http::Client;
use super::pace::{self, Pace};
use super::quota::Limit;
use super::{
    Account, AskedMessage, Blame, BoxFuture, MessageNumbers, MessageReport, Messages, Provider, Report, Surroundings,
};
use crate::config::{secret::Secret, section::Section};
use config::Settings;

/// The provider.
pub struct Jpush;

/// `GET received/detail`, the free delivery report.
pub const RECEIVED_DETAIL: &str = "received_detail";
/// `GET messages/detail`, the delivery report of the VIP plan.
pub const MESSAGES_DETAIL: &str = "messages_detail";

/// 最多支持 100 个 msg_id
const IDS_A_CALL: usize = 100;
/// `received/detail` answers for 28 days; the last call comes an hour before.
const RECEIVED_END: Duration = Duration::from_secs(28 * pace::DAY - 3600);

impl Provider for Jpush {
    fn name(&self) -> &'static str {
        "jpush"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[RECEIVED_DETAIL, MESSAGES_DETAIL]
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        Settings::read(section).map(|settings| Box::new(JpushAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct JpushAccount(Arc<Settings>);

impl Account for JpushAccount {
    fn id(&self) -> String {
        self.0.app_key.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.master_secret.clone()]
    }

    fn open(&self, _: &Surroundings) -> Vec<Box<dyn Report>> {
        Vec::new()
    }

    fn messages(&self, surroundings: &Surroundings) -> Option<Messages> {
        let report = |kind: Delivery| {
            let interval = surroundings.intervals.get(kind.name()).copied();
            let pace = match (&self.0.schedule, interval) {
                (Some(schedule), _) => schedule.clone(),
                (None, Some(interval)) => kind.pace().always(interval),
                (None, None) => kind.pace(),
            };
            Box::new(DeliveryReport { settings: Arc::clone(&self.0), kind, pace }) as Box<dyn MessageReport>
        };
        Some(Messages {
            delivery: self.0.delivery.map(Delivery::name),
            reports: [Delivery::Received, Delivery::Messages].map(report).into(),
            ids: self.0.ids.clone(),
            newest: self.0.newest_messages,
            read_id,
        })
    }
}

/// A message id: digits that fit 64 bits, without leading zeros.
pub(super) fn read_id(text: &str) -> Option<String> {
    let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse::<u64>().ok()).flatten().map(|id| id.to_string())
}

/// A delivery report; an app has one of them, or deliveries would count twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `received_detail`
    Received,
    /// `messages_detail`
    Messages,
}

impl Delivery {
    /// The label `report`.
    pub fn name(self) -> &'static str {
        match self {
            Delivery::Received => RECEIVED_DETAIL,
            Delivery::Messages => MESSAGES_DETAIL,
        }
    }

    fn pace(self) -> Pace {
        match self {
            Delivery::Received => Pace::until(RECEIVED_END),
            // 5天之后的送达数量不被计算在内
            Delivery::Messages => Pace::five_days(),
        }
    }
}

struct DeliveryReport {
    settings: Arc<Settings>,
    kind: Delivery,
    pace: Pace,
}

impl MessageReport for DeliveryReport {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn limit(&self) -> Limit {
        Limit { requests: self.settings.requests_per_minute, window: Duration::from_secs(60) }
    }

    fn batch(&self) -> usize {
        IDS_A_CALL
    }

    fn blames(&self, error: &PollError) -> Blame {
        errors::blames(error)
    }

    fn ask<'a>(
        &'a self,
        messages: &'a [AskedMessage],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, PollError>> {
        Box::pin(api::delivery(&self.settings, self.kind, messages, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_that_fit_64_bits() {
        assert_eq!(read_id("1613113584").as_deref(), Some("1613113584"));
        assert_eq!(read_id("18446744073709551615").as_deref(), Some("18446744073709551615"));
        assert_eq!(read_id("007").as_deref(), Some("7"), "the same message as 7");
        for bad in ["", "18446744073709551616", "99999999999999999999", "1.0", "-1", "+1", " 1", "1e3", "abc", "１"] {
            assert_eq!(read_id(bad), None, "{bad:?}");
        }
    }
}
