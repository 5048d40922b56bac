//! HTTP requests to Easemob: the token endpoint and `offline-push`. The meaning of the numbers is in [`super::fields`].

use ::http::{Request, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::provider::client::{Client, url};
use crate::provider::easemob::config::{Credentials, EasemobSettings};
use crate::provider::easemob::fields::OfflinePushBody;
use crate::provider::easemob::{errors, fields};
use crate::provider::error::ProviderError;
use crate::provider::token::{Token, TokenCache, expiry};
use crate::provider::transport;
use crate::provider::transport::Reply;
use crate::provider::{WindowAnswer, WindowNumbers, WindowQuery};
use crate::util::clock::Clock;

#[derive(Deserialize)]
struct EasemobTokenBody {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<Value>,
}

/// Queries the days of `query`, once for each platform of the settings.
pub(super) async fn fetch_offline_push(
    settings: &EasemobSettings,
    cache: &TokenCache,
    query: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let mut numbers = WindowNumbers::default();
    let mut is_silent = false;
    for platform in &settings.platforms {
        let reply = authorized(settings, cache, query, platform, client).await?;
        let (of, before) = (query.clone(), std::mem::take(&mut numbers));
        let says;
        (numbers, says) = transport::read(reply, move |reply| read(&of, &reply, before)).await?;
        is_silent |= !says;
        numbers.covers.extend((says && *platform != "ALL").then(|| fields::path(platform, "")));
    }
    Ok(if is_silent && numbers.windows.is_empty() { WindowAnswer::NoData } else { WindowAnswer::Numbers(numbers) })
}

/// Adds the numbers of an answer to `numbers`; the flag is false if the answer has no information.
fn read(
    query: &WindowQuery,
    reply: &Reply,
    mut numbers: WindowNumbers,
) -> Result<(WindowNumbers, bool), ProviderError> {
    if reply.status != StatusCode::OK {
        return Err(errors::refused(reply));
    }
    let body: OfflinePushBody = reply.json()?;
    if body.status != "OK" {
        return Err(errors::not_ok(&body.status));
    }
    let data = match body.data {
        None => return Err(ProviderError::Decode("there is no data in the answer".into())),
        Some(Value::Object(data)) => data,
        // An empty list is how some languages write an empty object.
        Some(Value::Array(data)) if data.is_empty() => Map::new(),
        // `null` has no information, not even that there were no pushes.
        Some(Value::Null) => return Ok((numbers, false)),
        Some(_) => return Err(ProviderError::Decode("data is not an object".into())),
    };
    fields::read(query, &data, &mut numbers);
    Ok((numbers, true))
}

/// Sends the request with the configured token or a fetched one.
async fn authorized(
    settings: &EasemobSettings,
    cache: &TokenCache,
    query: &WindowQuery,
    platform: &str,
    client: &Client,
) -> Result<Reply, ProviderError> {
    let send = |token: Token| async move { client.fetch(request(settings, query, platform, &token)?).await };
    match &settings.credentials {
        Credentials::AppToken(token) => {
            let value = token.current();
            client.learn_token(&value, None);
            send(Token { value, expiry: None }).await
        }
        Credentials::Client { id, secret } => {
            let fetch = || fetch_token(settings, id, secret.current(), cache.clock(), client);
            cache.send(fetch, send, |reply| reply.status == StatusCode::UNAUTHORIZED).await
        }
    }
}

fn request(
    settings: &EasemobSettings,
    query: &WindowQuery,
    platform: &str,
    token: &Token,
) -> Result<Request<Vec<u8>>, ProviderError> {
    let (begin, end) = (query.first.first.to_string(), query.last.last().to_string());
    let path = [&*settings.org_name, &settings.app_name, "push", "data", "offline-push", "begin", &begin, "end", &end];
    let mut url = url(&settings.base_url, &path);
    url.set_query(Some(&format!("platform={platform}")));
    Request::get(url.as_str())
        .header(header::AUTHORIZATION, format!("Bearer {}", token.value.expose_secret()))
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|_| ProviderError::Decode("the token cannot be sent in a header".into()))
}

/// Fetches a token by `POST …/token` with `client_credentials`. Its lifetime is the one set in the console.
async fn fetch_token(
    settings: &EasemobSettings,
    id: &str,
    secret: SecretString,
    clock: &Clock,
    client: &Client,
) -> Result<Token, ProviderError> {
    let body = json!({
        "grant_type": "client_credentials",
        "client_id": id,
        "client_secret": secret.expose_secret(),
    });
    let url = url(&settings.base_url, &[&settings.org_name, &settings.app_name, "token"]);
    let request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|_| ProviderError::Decode("the URL of the token endpoint is invalid".into()))?;
    let reply = client.fetch_for_token(request).await?;
    if reply.status != StatusCode::OK {
        return Err(errors::refused(&reply));
    }
    let body: EasemobTokenBody = reply.json()?;
    let token = Token { expiry: expiry(clock.now(), body.expires_in.as_ref()), value: body.access_token };
    client.learn_token(&token.value, token.expiry);
    Ok(token)
}
