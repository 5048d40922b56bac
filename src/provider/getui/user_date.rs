//! Users of the newest closed day (`report/user/date`).

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::getui::client::GetuiApi;
use crate::provider::getui::fields;
use crate::provider::users_report::{self, ShownUsers, UsersEndpoint, UsersReport};
use crate::provider::{ReportContext, WindowAnswer, WindowQuery, WindowReport};
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const USER_DATE: &str = "user_date";

struct UserDate(GetuiApi);

/// Creates the report of an app. The document does not say how far back the API answers.
pub(super) fn report(api: GetuiApi, context: &ReportContext) -> Box<dyn WindowReport> {
    let spec = context.spec(USER_DATE, users_report::HOURLY, api.settings.limit());
    let shown = ShownUsers { units: api.settings.users.clone(), answered_days: None, days_a_query: 1 };
    let app_id = api.settings.app_id.clone();
    Box::new(UsersReport::new(spec, &app_id, shown, UserDate(api), &context.zone))
}

impl UsersEndpoint for UserDate {
    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(async move {
            let window = query.first;
            let day = window.first.to_string();
            self.0.fetch(&["user", "date", &day], client, move |data| fields::users(data, window)).await
        })
    }
}
