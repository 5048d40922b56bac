//! HTTP requests to EngageLab: Basic authentication with the AppKey and the Master Secret, parameters in the query string,
//! objects as answers.

use http::StatusCode;
use jiff::civil::Date;
use reqwest::Url;
use serde_json::{Map, Value};

use crate::provider::client::{Client, url};
use crate::provider::engagelab::config::EngagelabSettings;
use crate::provider::engagelab::{errors, fields};
use crate::provider::error::ProviderError;
use crate::provider::{MessageNumbers, MessageQuery, WindowAnswer, WindowQuery, basic_auth, transport, user_fields};

/// Maximum number of plans on a page.
pub(super) const PLANS_PER_PAGE: u32 = 100;

/// Queries messages: `GET /v4/status/detail?message_ids=…`.
pub(super) async fn fetch_detail(
    settings: &EngagelabSettings,
    messages: &[MessageQuery],
    client: &Client,
) -> Result<MessageNumbers, ProviderError> {
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let mut url = url(&settings.base_url, &["v4", "status", "detail"]);
    // Ids and commas, as the document writes them.
    url.set_query(Some(&format!("message_ids={}", ids.join(","))));
    let earlier = messages.to_vec();
    query(settings, &url, client, move |answer| Ok(fields::read_detail(&answer, &earlier))).await
}

/// Queries users: `GET /v4/status/users?time_unit=…&start=…&duration=…`.
pub(super) async fn fetch_users(
    settings: &EngagelabSettings,
    question: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let mut url = url(&settings.base_url, &["v4", "status", "users"]);
    url.query_pairs_mut().extend_pairs(user_fields::parameters(question));
    let of = question.clone();
    query(settings, &url, client, move |answer| fields::read_users(&answer, &of).map(WindowAnswer::Numbers)).await
}

/// Queries a page of the push plans: `GET /v4/push_plan/list?page_index=…&page_size=100`.
pub(super) async fn fetch_plans(
    settings: &EngagelabSettings,
    page: u32,
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    let mut url = url(&settings.base_url, &["v4", "push_plan", "list"]);
    url.set_query(Some(&format!("page_index={page}&page_size={PLANS_PER_PAGE}")));
    query(settings, &url, client, Ok).await
}

/// Queries the messages of a plan from one day to another: `GET /v4/status/plan/msg/?plan_ids=…&start_date=…&end_date=…`.
pub(super) async fn fetch_plan_messages(
    settings: &EngagelabSettings,
    plan: &str,
    (first, last): (Date, Date),
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    // The document writes this path with a slash at its end.
    let mut url = url(&settings.base_url, &["v4", "status", "plan", "msg", ""]);
    let (start, end) = (first.to_string(), last.to_string());
    url.query_pairs_mut().extend_pairs([("plan_ids", plan), ("start_date", &start), ("end_date", &end)]);
    query(settings, &url, client, Ok).await
}

/// Sends a request, and reads the answer if it is a success without an error in it.
async fn query<T: Send + 'static>(
    settings: &EngagelabSettings,
    url: &Url,
    client: &Client,
    read: impl FnOnce(Map<String, Value>) -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    let request = basic_auth::request(url, &settings.app_key, &settings.master_secret, None, client)?;
    let reply = client.fetch(request).await?;
    transport::read(reply, |reply| {
        if reply.status != StatusCode::OK {
            return Err(errors::refused(&reply));
        }
        let answer: Map<String, Value> = reply.json()?;
        if is_refusal(&answer) { Err(errors::refused(&reply)) } else { read(answer) }
    })
    .await
}

/// Returns true if a success contains an error instead of numbers, in either form of an error body.
fn is_refusal(answer: &Map<String, Value>) -> bool {
    let is_flat = answer.contains_key("code") && answer.contains_key("message");
    answer.get("error").is_some_and(Value::is_object) || is_flat
}
