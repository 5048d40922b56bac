//! Report `status_users` of one app.

use std::sync::Arc;

use crate::provider::client::Client;
use crate::provider::engagelab::client;
use crate::provider::engagelab::config::EngagelabSettings;
use crate::provider::error::ProviderError;
use crate::provider::users_report::{self, DAYS_A_QUERY, ShownUsers, UsersEndpoint, UsersReport};
use crate::provider::{ReportContext, WindowAnswer, WindowQuery, WindowReport};
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const STATUS_USERS: &str = "status_users";
/// Number of days for which EngageLab answers; the document is silent, and JPush answers for more.
const ANSWERED_DAYS: i32 = 30;

struct StatusUsers(Arc<EngagelabSettings>);

/// Creates the report of an app.
pub(super) fn report(settings: &Arc<EngagelabSettings>, context: &ReportContext) -> Box<dyn WindowReport> {
    let spec = context.spec(STATUS_USERS, users_report::HOURLY, settings.limit());
    let shown =
        ShownUsers { units: settings.users.clone(), answered_days: Some(ANSWERED_DAYS), days_a_query: DAYS_A_QUERY };
    Box::new(UsersReport::new(spec, &settings.app_key, shown, StatusUsers(Arc::clone(settings)), &context.zone))
}

impl UsersEndpoint for StatusUsers {
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::fetch_users(&self.0, query, client))
    }
}
