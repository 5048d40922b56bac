//! HTTP requests to JPush: Basic authentication with the AppKey or group key and its Master Secret, parameters in the
//! query string.

use ::http::StatusCode;
use jiff::civil::Date;
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::model::window::Unit;
use crate::provider::basic_auth;
use crate::provider::client::{Client, url};
use crate::provider::error::ProviderError;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::jpush::delivery::{Delivery, Holder};
use crate::provider::jpush::errors;
use crate::provider::transport;
use crate::provider::transport::Reply;
use crate::provider::user_fields;
use crate::provider::{MessageNumbers, MessageQuery, WindowAnswer, WindowNumbers, WindowQuery};

/// Queries a delivery report: `GET received/detail?msg_ids=…` or similar.
pub(super) async fn fetch_delivery(
    settings: &JpushSettings,
    kind: Delivery,
    messages: &[MessageQuery],
    client: &Client,
) -> Result<MessageNumbers, ProviderError> {
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let mut url = url(&settings.base_url, kind.path());
    let name = if settings.holder == Holder::Group { "group_msgids" } else { "msg_ids" };
    // Ids and commas, as the document writes them.
    url.set_query(Some(&format!("{name}={}", ids.join(","))));
    let earlier = messages.to_vec();
    query(settings, &url, None, client, move |reply| Ok(kind.read(&reply.json::<Vec<Value>>()?, &earlier))).await
}

/// Queries users: `GET users?time_unit=…&start=…&duration=…`, or `group/users` for a group.
pub(super) async fn fetch_users(
    settings: &JpushSettings,
    question: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let path: &[&str] = if settings.holder == Holder::Group { &["group", "users"] } else { &["users"] };
    let mut url = url(&settings.base_url, path);
    url.query_pairs_mut().extend_pairs(user_fields::parameters(question));
    let of = question.clone();
    let read = move |reply: Reply| read_users(&reply.json()?, &of).map(WindowAnswer::Numbers);
    match query(settings, &url, None, client, read).await {
        // Soon after a month is over, it begins before the 60 or 30 days that JPush answers for.
        Err(error) if question.first.unit == Unit::Month && errors::is_too_old(&error) => Ok(WindowAnswer::Lost),
        answer => answer,
    }
}

/// Documented platforms of users (返回参数).
const USER_PLATFORMS: [&str; 4] = ["android", "ios", "quickapp", "hmos"];

/// Reads an answer of `users` or `group/users` to `query`.
pub(super) fn read_users(answer: &Map<String, Value>, query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    user_fields::read(answer, &USER_PLATFORMS, query)
}

/// Queries the status of one message that was sent on `date`: `POST status/message`.
pub(super) async fn fetch_status_message(
    settings: &JpushSettings,
    id: &str,
    date: Date,
    devices: &[String],
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    let url = url(&settings.base_url, &["status", "message"]);
    // JPush refuses a string (3002), and a float would be another id.
    let id: u64 = id.parse().map_err(|_| ProviderError::Decode("the message id is not a number".to_owned()))?;
    let body = json!({ "msg_id": id, "registration_ids": devices, "date": date.to_string() });
    query(settings, &url, Some(body), client, |reply| reply.json()).await
}

/// Queries the vendors' quotas: `GET push/quota` of the Push API.
pub(super) async fn fetch_vendor_quota(
    settings: &JpushSettings,
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    let url = url(&settings.push_url, &["push", "quota"]);
    query(settings, &url, None, client, |reply| {
        let answer: Map<String, Value> = reply.json()?;
        match answer.get("code") {
            None | Some(Value::Null) => Ok(answer),
            Some(code) if code.as_i64() == Some(0) => Ok(answer),
            Some(_) => Err(errors::refused(&reply)),
        }
    })
    .await
}

/// Host of the Beijing data centre.
const BEIJING: &str = "bjapi.push.jiguang.cn";

/// Returns the URL of the schedules, or of a path below them: in Beijing they are below `push`.
fn schedules_url(settings: &JpushSettings, below: &[&str]) -> Url {
    let is_beijing = settings.push_url.host_str() == Some(BEIJING);
    let path: &[&str] = if is_beijing { &["push", "schedules"] } else { &["schedules"] };
    url(&settings.push_url, &[path, below].concat())
}

/// Queries a page of the schedules that have not ended: `GET schedules?page=…` of the Push API.
pub(super) async fn fetch_schedules(
    settings: &JpushSettings,
    page: u32,
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    let mut url = schedules_url(settings, &[]);
    url.set_query(Some(&format!("page={page}")));
    query(settings, &url, None, client, |reply| reply.json()).await
}

/// Queries the messages of a schedule: `GET schedules/{schedule_id}/msg_ids` of the Push API.
pub(super) async fn fetch_schedule_messages(
    settings: &JpushSettings,
    schedule: &str,
    client: &Client,
) -> Result<Map<String, Value>, ProviderError> {
    let url = schedules_url(settings, &[schedule, "msg_ids"]);
    query(settings, &url, None, client, |reply| reply.json()).await
}

/// Sends a request, by POST if it has a body, and reads the answer if it is a success.
async fn query<T: Send + 'static>(
    settings: &JpushSettings,
    url: &Url,
    body: Option<Value>,
    client: &Client,
    read: impl FnOnce(Reply) -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    let request = basic_auth::request(url, &settings.user, &settings.master_secret, body.as_ref(), client)?;
    let reply = client.fetch(request).await?;
    client.note_rate(errors::rate(&reply));
    transport::read(reply, |reply| {
        let is_success = reply.status == StatusCode::OK && !errors::is_refusal(&reply);
        if is_success { read(reply) } else { Err(errors::refused(&reply)) }
    })
    .await
}
