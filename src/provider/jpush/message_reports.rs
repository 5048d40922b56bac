//! Delivery reports, by message, of one app or group.

use std::sync::Arc;

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::jpush::delivery::Delivery;
use crate::provider::jpush::{client, errors};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::{MessageNumbers, MessageQuery, MessageReport, ReportContext, ReportSpec};
use crate::util::future::BoxFuture;

/// Delivery report of one app or group.
pub(super) struct DeliveryReport {
    spec: ReportSpec,
    settings: Arc<JpushSettings>,
    kind: Delivery,
    schedule: MessageSchedule,
}

impl DeliveryReport {
    pub(super) fn new(settings: &Arc<JpushSettings>, kind: Delivery, context: &ReportContext) -> DeliveryReport {
        let configured = settings.schedule.as_ref();
        let (spec, schedule) = context.message_spec(kind.name(), kind.schedule(), configured, settings.limit());
        DeliveryReport { spec, settings: Arc::clone(settings), kind, schedule }
    }
}

impl MessageReport for DeliveryReport {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn schedule(&self) -> &MessageSchedule {
        &self.schedule
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
        Box::pin(client::fetch_delivery(&self.settings, self.kind, messages, client))
    }
}
