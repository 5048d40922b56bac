//! Delivery reports: one endpoint each, with its path, batch size, schedule and field map.

use std::time::Duration;

use serde_json::Value;

use crate::provider::jpush::message_id::{GROUP_MESSAGE_ID, MESSAGE_ID};
use crate::provider::jpush::{detail_fields, received_fields};
use crate::provider::message_id::IdFormat;
use crate::provider::message_schedule::{self, MessageSchedule};
use crate::provider::{MessageNumbers, MessageQuery};

/// Kind of account that has statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An app, by its AppKey.
    App,
    /// A group of apps, by its group key.
    Group,
}

impl Holder {
    /// Returns the format of the account's message ids.
    pub(super) fn id_format(self) -> &'static IdFormat {
        match self {
            Holder::App => &MESSAGE_ID,
            Holder::Group => &GROUP_MESSAGE_ID,
        }
    }
}

/// Age of the last call of `received/detail`, an hour before the 28 days for which it answers.
const RECEIVED_END: Duration = Duration::from_secs(28 * message_schedule::DAY - 3600);

/// A delivery report. An app has only one of them, or deliveries would count twice.
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
    /// 分组统计-消息统计, VIP: the only one for groups.
    GroupMessagesDetail,
}

impl Delivery {
    /// All delivery reports.
    pub const ALL: [Delivery; 5] = [
        Delivery::ReceivedDetail,
        Delivery::MessagesDetail,
        Delivery::Received,
        Delivery::Messages,
        Delivery::GroupMessagesDetail,
    ];

    /// Returns the value of the label `report`.
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

    pub(super) fn schedule(self) -> MessageSchedule {
        match self {
            Delivery::ReceivedDetail | Delivery::Received => MessageSchedule::until(RECEIVED_END),
            // 5天之后的送达数量不被计算在内
            Delivery::MessagesDetail | Delivery::Messages | Delivery::GroupMessagesDetail => {
                MessageSchedule::five_days()
            }
        }
    }

    /// Returns the maximum number of ids in a call: 最多支持 100 个 msg_id, 最多支持 10 个 group_msgids.
    pub(super) fn batch(self) -> usize {
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

    /// Reads items with the field map of the report.
    pub(super) fn read(self, items: &[Value], earlier: &[MessageQuery]) -> MessageNumbers {
        match self {
            Delivery::ReceivedDetail => received_fields::received_detail(items),
            Delivery::MessagesDetail => detail_fields::read(items, earlier),
            Delivery::Received => received_fields::received(items),
            Delivery::Messages => received_fields::messages(items),
            Delivery::GroupMessagesDetail => detail_fields::read_group(items, earlier),
        }
    }

    /// Parses the body of an answer to a query for `earlier` as the client does, for tests and fuzzing.
    ///
    /// # Errors
    /// Fails if the body is not an array.
    pub fn parse(self, body: &[u8], earlier: &[MessageQuery]) -> Result<MessageNumbers, serde_json::Error> {
        Ok(self.read(&serde_json::from_slice::<Vec<Value>>(body)?, earlier))
    }
}
