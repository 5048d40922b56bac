//! JPush over HTTP: Basic authentication with the AppKey or group key and its Master Secret, ids in the query.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::config::{Holder, Settings};
use super::{Delivery, errors};
use crate::provider::error::PollError;
use crate::provider::http::{Client, url};
use crate::provider::{AskedMessage, MessageNumbers};

/// The label `api` of its quota: all reports share it.
const API: &str = "report";

/// `GET received/detail?msg_ids=…` and its like.
pub(super) async fn delivery(
    settings: &Settings,
    kind: Delivery,
    messages: &[AskedMessage],
    client: &Client,
) -> Result<MessageNumbers, PollError> {
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let mut url = url(&settings.base_url, kind.path());
    let name = if settings.holder == Holder::Group { "group_msgids" } else { "msg_ids" };
    // Ids and commas, as the document writes them.
    url.set_query(Some(&format!("{name}={}", ids.join(","))));
    let credentials = credentials(settings);
    client.learn(&credentials);
    let request = Request::get(url.as_str())
        .header(header::AUTHORIZATION, format!("Basic {}", credentials.expose_secret()))
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|_| PollError::Decode("the credentials cannot be sent in a header".into()))?;
    let reply = client.send(request).await?;
    client.note_rate(API, errors::rate(&reply));
    if reply.status != StatusCode::OK {
        return Err(errors::refused(&reply));
    }
    let items: Vec<Value> = reply.json()?;
    Ok(kind.read(&items, messages))
}

/// What stands in the header, which is as secret as what it is made of.
fn credentials(settings: &Settings) -> SecretString {
    let secret = settings.master_secret.current();
    STANDARD.encode(format!("{}:{}", settings.user, secret.expose_secret())).into()
}
