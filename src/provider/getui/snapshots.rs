//! Snapshots: the quotas of vendors and of Getui's own calls (`report/push/count`), and the devices that are online
//! (`report/online_user`).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::reading::SentMessage;
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::getui::client::GetuiApi;
use crate::provider::getui::fields;
use crate::provider::{ReportContext, ReportSpec, SnapshotNumbers, SnapshotQuery, SnapshotReport};
use crate::util::future::BoxFuture;

/// Name of the report of quotas.
pub(super) const PUSH_COUNT: &str = "push_count";
/// Name of the report of online devices.
pub(super) const ONLINE_USER: &str = "online_user";
/// Default interval: quotas must not be queried often (请勿频繁调用), and online devices have a point for each ten minutes.
const INTERVAL: Duration = Duration::from_secs(600);

/// Snapshot report of one app.
pub(super) struct Snapshot {
    spec: ReportSpec,
    api: GetuiApi,
    path: &'static [&'static str],
    read: fn(&Map<String, Value>) -> SnapshotNumbers,
}

impl Snapshot {
    /// Creates the report of quotas.
    pub(super) fn push_count(api: GetuiApi, context: &ReportContext) -> Snapshot {
        let spec = context.spec(PUSH_COUNT, INTERVAL, api.settings.limit());
        Snapshot { spec, api, path: &["push", "count"], read: fields::quotas }
    }

    /// Creates the report of online devices.
    pub(super) fn online_user(api: GetuiApi, context: &ReportContext) -> Snapshot {
        let spec = context.spec(ONLINE_USER, INTERVAL, api.settings.limit());
        Snapshot { spec, api, path: &["online_user"], read: fields::online_users }
    }
}

impl SnapshotReport for Snapshot {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn queries(&self, _messages: &[SentMessage]) -> Vec<SnapshotQuery> {
        vec![SnapshotQuery { message: None, part: 0 }]
    }

    fn query<'a>(
        &'a self,
        _query: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>> {
        Box::pin(self.api.fetch(self.path, client, self.read))
    }
}
