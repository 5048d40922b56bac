//! Report `notifications`: the app's messages with their numbers.

use std::sync::Arc;
use std::time::Duration;

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_schedule::{DAY, MessageSchedule};
use crate::provider::onesignal::config::{ConfirmedDelivery, OnesignalSettings};
use crate::provider::onesignal::{client, fields};
use crate::provider::rate_limit::Limit;
use crate::provider::{
    ListPage, ListReport, ListStart, ListedMessage, MessageNumbers, MessageQuery, ReportContext, ReportSpec,
};
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const NOTIFICATIONS: &str = "notifications";

/// Documented rate limit of the view endpoints: one request a second for each app.
const LIMIT: Limit = Limit { api: NOTIFICATIONS, requests: 1, window: Duration::from_secs(1) };

/// Age until which messages that were sent by API are listed.
const LISTED_FOR: Duration = Duration::from_secs(30 * DAY);

/// Word of the report's memory after a message of the app has had a confirmed delivery.
const HAS_CONFIRMED: &str = "confirmed";

/// List of the messages of one app.
pub(super) struct Notifications {
    spec: ReportSpec,
    settings: Arc<OnesignalSettings>,
    schedule: MessageSchedule,
}

impl Notifications {
    /// Creates the report. Its messages have the configured schedule, or one interval at all ages, or that of five days.
    pub(super) fn new(settings: &Arc<OnesignalSettings>, context: &ReportContext) -> Notifications {
        let own = MessageSchedule::five_days();
        let mut spec = context.spec(NOTIFICATIONS, own.fastest(), LIMIT);
        let schedule = settings.schedule.clone();
        let schedule = schedule.unwrap_or_else(|| if spec.is_explicit { own.always(spec.interval) } else { own });
        spec.interval = schedule.fastest();
        Notifications { spec, settings: Arc::clone(settings), schedule }
    }
}

impl ListReport for Notifications {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn schedule(&self) -> &MessageSchedule {
        &self.schedule
    }

    fn listed_for(&self) -> Duration {
        LISTED_FOR
    }

    fn newest(&self) -> usize {
        self.settings.newest_messages
    }

    fn query<'a>(&'a self, from: &'a ListStart, client: &'a Client) -> BoxFuture<'a, Result<ListPage, ProviderError>> {
        Box::pin(client::fetch_notifications(&self.settings, from, client))
    }

    fn read(&self, messages: &[(ListedMessage, MessageQuery)], memory: &mut String) -> MessageNumbers {
        if memory != HAS_CONFIRMED && messages.iter().any(|(listed, _)| fields::has_confirmed(&listed.content)) {
            HAS_CONFIRMED.clone_into(memory);
        }
        let received = match self.settings.confirmed_delivery {
            ConfirmedDelivery::On => fields::Received::Read,
            ConfirmedDelivery::Off => fields::Received::Refused,
            ConfirmedDelivery::Auto if memory == HAS_CONFIRMED => fields::Received::Read,
            ConfirmedDelivery::Auto => fields::Received::Unknown,
        };
        fields::read(messages, received)
    }
}
