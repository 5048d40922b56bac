//! Report `status_detail`: the numbers of each message of an app.

use std::sync::Arc;

use crate::provider::client::Client;
use crate::provider::engagelab::config::{EngagelabSettings, STATUS_DETAIL};
use crate::provider::engagelab::{client, errors};
use crate::provider::error::ProviderError;
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::{MessageNumbers, MessageQuery, MessageReport, ReportContext, ReportSpec};
use crate::util::future::BoxFuture;

/// Maximum number of ids in a call.
const BATCH: usize = 100;

/// The messages of one app.
pub(super) struct StatusDetail {
    spec: ReportSpec,
    settings: Arc<EngagelabSettings>,
    schedule: MessageSchedule,
}

impl StatusDetail {
    /// Creates the report. Its numbers come by the same pipeline as JPush's, and are final after five days.
    pub(super) fn new(settings: &Arc<EngagelabSettings>, context: &ReportContext) -> StatusDetail {
        let (own, configured) = (MessageSchedule::five_days(), settings.schedule.as_ref());
        let (spec, schedule) = context.message_spec(STATUS_DETAIL, own, configured, settings.limit());
        StatusDetail { spec, settings: Arc::clone(settings), schedule }
    }
}

impl MessageReport for StatusDetail {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn schedule(&self) -> &MessageSchedule {
        &self.schedule
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn blames_an_id(&self, error: &ProviderError) -> bool {
        errors::blames_an_id(error)
    }

    fn query<'a>(
        &'a self,
        messages: &'a [MessageQuery],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, ProviderError>> {
        Box::pin(client::fetch_detail(&self.settings, messages, client))
    }
}
