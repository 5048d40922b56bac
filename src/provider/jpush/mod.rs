//! JPush (极光): statistics of messages, by platform and vendor channel.
//!
//! Document: 统计 API (Report API v3): 送达统计详情 (`received/detail`, free), 消息统计详情
//! (`messages/detail`, VIP), the old 送达统计 and 消息统计, and 分组统计-消息统计 (`group/messages/detail`,
//! VIP).

mod api;
pub mod config;
mod details;
mod errors;
mod ids;
mod older;
mod readings;
mod table;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::error::PollError;
use super::http::Client;
use super::pace::{self, Pace};
use super::quota::Limit;
use super::{
    Account, AskedMessage, Blame, BoxFuture, MessageNumbers, MessageReport, Messages, Provider, Report, Surroundings,
};
use crate::config::{secret::Secret, section::Section};
use config::{Holder, Settings};

/// The provider.
pub struct Jpush;

/// `received/detail` answers for 28 days; the last call comes an hour before.
const RECEIVED_END: Duration = Duration::from_secs(28 * pace::DAY - 3600);

impl Provider for Jpush {
    fn name(&self) -> &'static str {
        "jpush"
    }

    fn reports(&self) -> &'static [&'static str] {
        const NAMES: [&str; 5] = [
            Delivery::ReceivedDetail.name(),
            Delivery::MessagesDetail.name(),
            Delivery::Received.name(),
            Delivery::Messages.name(),
            Delivery::GroupMessagesDetail.name(),
        ];
        &NAMES
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        Settings::read(section).map(|settings| Box::new(JpushAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct JpushAccount(Arc<Settings>);

impl Account for JpushAccount {
    fn id(&self) -> String {
        self.0.user.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.master_secret.clone()]
    }

    fn open(&self, _: &Surroundings) -> Vec<Box<dyn Report>> {
        Vec::new()
    }

    fn messages(&self, surroundings: &Surroundings) -> Option<Messages> {
        let report = |kind: &Delivery| {
            let interval = surroundings.intervals.get(kind.name()).copied();
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
            newest: self.0.newest_messages,
            read_id: self.0.holder.read_id(),
        })
    }
}

impl Holder {
    fn read_id(self) -> fn(&str) -> Option<String> {
        match self {
            Holder::App => ids::read_id,
            Holder::Group => ids::read_group_id,
        }
    }
}

/// A delivery report; an app has one of them, or deliveries would count twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// 送达统计详情, free.
    ReceivedDetail,
    /// 消息统计详情, VIP.
    MessagesDetail,
    /// 送达统计(旧), free.
    Received,
    /// 消息统计(旧), VIP.
    Messages,
    /// 分组统计-消息统计, VIP: the one of groups.
    GroupMessagesDetail,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Delivery; 5] = [
        Delivery::ReceivedDetail,
        Delivery::MessagesDetail,
        Delivery::Received,
        Delivery::Messages,
        Delivery::GroupMessagesDetail,
    ];

    /// The label `report`.
    pub const fn name(self) -> &'static str {
        match self {
            Delivery::ReceivedDetail => "received_detail",
            Delivery::MessagesDetail => "messages_detail",
            Delivery::Received => "received",
            Delivery::Messages => "messages",
            Delivery::GroupMessagesDetail => "group_messages_detail",
        }
    }

    fn holder(self) -> Holder {
        if self == Delivery::GroupMessagesDetail { Holder::Group } else { Holder::App }
    }

    fn pace(self) -> Pace {
        match self {
            Delivery::ReceivedDetail | Delivery::Received => Pace::until(RECEIVED_END),
            // 5天之后的送达数量不被计算在内
            Delivery::MessagesDetail | Delivery::Messages | Delivery::GroupMessagesDetail => Pace::five_days(),
        }
    }

    /// 最多支持 100 个 msg_id, 最多支持 10 个 group_msgids
    fn batch(self) -> usize {
        if self == Delivery::GroupMessagesDetail { 10 } else { 100 }
    }

    fn path(self) -> &'static [&'static str] {
        match self {
            Delivery::ReceivedDetail => &["received", "detail"],
            Delivery::MessagesDetail => &["messages", "detail"],
            Delivery::Received => &["received"],
            Delivery::Messages => &["messages"],
            Delivery::GroupMessagesDetail => &["group", "messages", "detail"],
        }
    }

    /// The field map.
    fn read(self, items: &[Value], asked: &[AskedMessage]) -> MessageNumbers {
        match self {
            Delivery::ReceivedDetail => readings::received_detail(items),
            Delivery::MessagesDetail => details::read(items, asked),
            Delivery::Received => readings::received(items),
            Delivery::Messages => readings::messages(items),
            Delivery::GroupMessagesDetail => details::read_group(items, asked),
        }
    }

    /// Parses the body of an answer to a question for `asked` as the client does, for tests and fuzzing.
    ///
    /// # Errors
    /// A body that is not an array.
    pub fn parse(self, body: &[u8], asked: &[AskedMessage]) -> Result<MessageNumbers, serde_json::Error> {
        Ok(self.read(&serde_json::from_slice::<Vec<Value>>(body)?, asked))
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
        self.kind.batch()
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
