//! The delivery reports: one endpoint each, asked by message id, with its pace, its size of a call and its
//! field map. An app has one of them, or deliveries would count twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::provider::error::ProviderError;
use crate::provider::http::Client;
use crate::provider::jpush::config::{Holder, JpushSettings};
use crate::provider::jpush::{client, detail_fields, errors, received_fields};
use crate::provider::message_schedule::{self, MessageSchedule};
use crate::provider::rate_limit::Limit;
use crate::provider::{MessageNumbers, MessageQuery, MessageReport};
use crate::util::future::BoxFuture;

/// `received/detail` answers for 28 days; the last call comes an hour before.
const RECEIVED_END: Duration = Duration::from_secs(28 * message_schedule::DAY - 3600);

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

    pub(super) fn holder(self) -> Holder {
        if self == Delivery::GroupMessagesDetail { Holder::Group } else { Holder::App }
    }

    pub(super) fn pace(self) -> MessageSchedule {
        match self {
            Delivery::ReceivedDetail | Delivery::Received => MessageSchedule::until(RECEIVED_END),
            // 5天之后的送达数量不被计算在内
            Delivery::MessagesDetail | Delivery::Messages | Delivery::GroupMessagesDetail => {
                MessageSchedule::five_days()
            }
        }
    }

    /// 最多支持 100 个 msg_id, 最多支持 10 个 group_msgids
    fn batch(self) -> usize {
        if self == Delivery::GroupMessagesDetail { 10 } else { 100 }
    }

    pub(super) fn path(self) -> &'static [&'static str] {
        match self {
            Delivery::ReceivedDetail => &["received", "detail"],
            Delivery::MessagesDetail => &["messages", "detail"],
            Delivery::Received => &["received"],
            Delivery::Messages => &["messages"],
            Delivery::GroupMessagesDetail => &["group", "messages", "detail"],
        }
    }

    /// The field map.
    pub(super) fn read(self, items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
        match self {
            Delivery::ReceivedDetail => received_fields::received_detail(items),
            Delivery::MessagesDetail => detail_fields::read(items, earlier),
            Delivery::Received => received_fields::received(items),
            Delivery::Messages => received_fields::messages(items),
            Delivery::GroupMessagesDetail => detail_fields::read_group(items, earlier),
        }
    }

    /// Parses the body of an answer to a question for `earlier` as the client does, for tests and fuzzing.
    ///
    /// # Errors
    /// A body that is not an array.
    pub fn parse(self, body: &[u8], earlier: &[MessageQuery]) -> Result<MessageNumbers, serde_json::Error> {
        Ok(self.read(&serde_json::from_slice::<Vec<Value>>(body)?, earlier))
    }
}

/// The delivery report of one app.
pub(super) struct DeliveryReport {
    pub(super) settings: Arc<JpushSettings>,
    pub(super) kind: Delivery,
    pub(super) pace: MessageSchedule,
}

impl MessageReport for DeliveryReport {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn pace(&self) -> &MessageSchedule {
        &self.pace
    }

    fn limit(&self) -> Limit {
        self.settings.limit()
    }

    fn batch(&self) -> usize {
        self.kind.batch()
    }

    fn blames_an_id(&self, error: &ProviderError) -> bool {
        errors::blames_an_id(error)
    }

    fn query<'a>(
        &'a self,
        messages: &'a [MessageQuery],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, ProviderError>> {
        Box::pin(client::delivery(&self.settings, self.kind, messages, client))
    }
}
