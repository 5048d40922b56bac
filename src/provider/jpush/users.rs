//! Reports `users` and `group_users` of one app or group.

use std::sync::Arc;

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::jpush::client;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::jpush::delivery::Holder;
use crate::provider::users_report::{self, DAYS_A_QUERY, ShownUsers, UsersEndpoint, UsersReport};
use crate::provider::{ReportContext, WindowAnswer, WindowQuery, WindowReport};
use crate::util::future::BoxFuture;

/// Name of the report of an app.
pub(super) const USERS: &str = "users";
/// Name of the report of a group.
pub(super) const GROUP_USERS: &str = "group_users";

struct Users(Arc<JpushSettings>);

/// Creates the report of an app or group.
pub(super) fn report(settings: &Arc<JpushSettings>, context: &ReportContext) -> Box<dyn WindowReport> {
    // 只支持查询 60 天以内的用户信息, 30 for groups.
    let (name, answered_days) = match settings.holder {
        Holder::App => (USERS, 60),
        Holder::Group => (GROUP_USERS, 30),
    };
    let spec = context.spec(name, users_report::HOURLY, settings.limit());
    let shown =
        ShownUsers { units: settings.users.clone(), answered_days: Some(answered_days), days_a_query: DAYS_A_QUERY };
    Box::new(UsersReport::new(spec, &settings.user, shown, Users(Arc::clone(settings)), &context.zone))
}

impl UsersEndpoint for Users {
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(client::fetch_users(&self.0, query, client))
    }
}
