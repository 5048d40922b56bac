//! Delivery report by task (`report/push/task`).

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::getui::client::GetuiApi;
use crate::provider::getui::{errors, fields};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::{MessageNumbers, MessageQuery, MessageReport, ReportContext, ReportSpec};
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const PUSH_TASK: &str = "push_task";
/// Maximum number of ids in a call. The document allows 200, whose URL of 8 KiB proxies may refuse.
const BATCH: usize = 100;

/// Report of the tasks of one app.
pub(super) struct PushTask {
    spec: ReportSpec,
    api: GetuiApi,
    schedule: MessageSchedule,
}

impl PushTask {
    /// Creates the report. Its tasks have the configured schedule, or one interval at all ages, or the default one.
    pub(super) fn new(api: GetuiApi, context: &ReportContext) -> PushTask {
        let (own, configured) = (MessageSchedule::five_days(), api.settings.schedule.as_ref());
        let (spec, schedule) = context.message_spec(PUSH_TASK, own, configured, api.settings.limit());
        PushTask { spec, api, schedule }
    }
}

impl MessageReport for PushTask {
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
        Box::pin(async move {
            let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
            let ids = ids.join(",");
            let earlier = messages.to_vec();
            self.api.fetch(&["push", "task", &ids], client, move |data| fields::tasks(data, &earlier)).await
        })
    }
}
