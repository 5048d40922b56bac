//! HTTP requests to Feishu: the token endpoint and `message_push_overview`. The meaning of the numbers is in
//! [`super::fields`].

use ::http::{Request, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::window::Unit;
use crate::provider::client::{Client, url};
use crate::provider::error::ProviderError;
use crate::provider::feishu::config::FeishuSettings;
use crate::provider::feishu::errors::{self, Envelope};
use crate::provider::feishu::fields::{self, OverviewBody};
use crate::provider::rate_limit::Rate;
use crate::provider::token::{Token, TokenCache, expiry};
use crate::provider::transport;
use crate::provider::transport::Reply;
use crate::provider::{WindowAnswer, WindowQuery};
use crate::util::clock::Clock;

/// Answer of the token endpoint. Its fields are at the top level, not under `data`.
#[derive(Deserialize)]
struct FeishuTokenBody {
    tenant_access_token: SecretString,
    #[serde(default)]
    expire: Option<Value>,
}

/// Queries one window.
pub(super) async fn fetch_message_push_overview(
    settings: &FeishuSettings,
    cache: &TokenCache,
    query: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let fetch = || fetch_token(settings, cache.clock(), client);
    let send = |token: Token| async move { client.fetch(request(settings, query, &token)?).await };
    // A gateway may answer in Feishu's place, without a code. A refusal is a few hundred bytes.
    let code = |reply: &Reply| reply.is_small().then(|| code_of(reply).ok().flatten()).flatten();
    let refuses = |reply: &Reply| code(reply).map_or(reply.status == StatusCode::UNAUTHORIZED, errors::refuses_token);
    let reply = cache.send(fetch, send, refuses).await?;
    // Only answers to requests over the limit have this header.
    let limit = reply.number(&["x-ogw-ratelimit-limit"]);
    client.note_rate(Rate { limit, ..Rate::default() });
    let query = query.clone();
    transport::read(reply, move |reply| match code_of(&reply)? {
        Some(0) if reply.status == StatusCode::OK => {
            let overview: OverviewBody = reply.json()?;
            Ok(fields::answer(&query, overview.data.items.unwrap_or_default()))
        }
        Some(errors::NO_DATA) => Ok(WindowAnswer::NoData),
        _ => Err(errors::refused(&reply)),
    })
    .await
}

/// Returns the code of the envelope. A success must have one; a failure may have any body.
fn code_of(reply: &Reply) -> Result<Option<i64>, ProviderError> {
    match reply.json::<Envelope>() {
        Ok(envelope) if reply.status == StatusCode::OK && envelope.code.is_none() => {
            Err(ProviderError::Decode("there is no code in the answer".into()))
        }
        Ok(envelope) => Ok(envelope.code),
        Err(error) if reply.status == StatusCode::OK => Err(error),
        Err(_) => Ok(None),
    }
}

fn request(settings: &FeishuSettings, query: &WindowQuery, token: &Token) -> Result<Request<Vec<u8>>, ProviderError> {
    let path =
        ["open-apis", "application", "v6", "applications", &settings.app_id, "app_usage", "message_push_overview"];
    let mut url = url(&settings.base_url, &path);
    url.set_query(Some(&format!("department_id_type={}", settings.department_id_type)));
    let cycle_type = match query.first.unit {
        // Feishu has no shorter window.
        Unit::Hour | Unit::Day => 1,
        Unit::Week => 2,
        Unit::Month => 3,
    };
    let mut body = json!({ "date": query.first.first.to_string(), "cycle_type": cycle_type });
    if let Some(scope) = &query.scope {
        body["department_id"] = json!(scope);
    }
    Request::post(url.as_str())
        .header(header::AUTHORIZATION, format!("Bearer {}", token.value.expose_secret()))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(body.to_string().into_bytes())
        .map_err(|_| ProviderError::Decode("the token cannot be sent in a header".into()))
}

async fn fetch_token(settings: &FeishuSettings, clock: &Clock, client: &Client) -> Result<Token, ProviderError> {
    let secret = settings.app_secret.current();
    let body = json!({ "app_id": settings.app_id, "app_secret": secret.expose_secret() });
    let url = url(&settings.base_url, &["open-apis", "auth", "v3", "tenant_access_token", "internal"]);
    let request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(body.to_string().into_bytes())
        .map_err(|_| ProviderError::Decode("the URL of the token endpoint is invalid".into()))?;
    let reply = client.fetch_for_token(request).await?;
    match code_of(&reply)? {
        Some(0) if reply.status == StatusCode::OK => {}
        _ => return Err(errors::refused(&reply)),
    }
    let body: FeishuTokenBody = reply.json()?;
    let token = Token { expiry: expiry(clock.now(), body.expire.as_ref()), value: body.tenant_access_token };
    client.learn_token(&token.value, token.expiry);
    Ok(token)
}
