//! HTTP requests to Getui: the token endpoint and the reports. The meaning of the numbers is in [`super::fields`].

use std::sync::Arc;

use ::http::{Request, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::reading::{Count, count};
use crate::provider::client::{Client, url};
use crate::provider::error::ProviderError;
use crate::provider::getui::config::GetuiSettings;
use crate::provider::getui::errors;
use crate::provider::getui::sign::sign;
use crate::provider::token::{Token, TokenCache};
use crate::provider::transport;

/// The API of one app: its settings and its token.
#[derive(Clone)]
pub(super) struct GetuiApi {
    pub(super) settings: Arc<GetuiSettings>,
    pub(super) token: Arc<TokenCache>,
}

/// Content of a token's answer, under `data`.
#[derive(Deserialize)]
struct GetuiTokenBody {
    data: GetuiToken,
}

#[derive(Deserialize)]
struct GetuiToken {
    token: SecretString,
    #[serde(default)]
    expire_time: Option<Value>,
}

/// Envelope of a successful answer. The data may be absent, `null` or `{}` if there is nothing.
#[derive(Deserialize)]
struct ReportBody {
    #[serde(default)]
    data: Option<Value>,
}

/// Media type of requests and answers.
const JSON: &str = "application/json;charset=utf-8";
/// Longest life of a token that is believed; the document says a day.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(400 * 24);

impl GetuiApi {
    /// Queries a report: `GET /report/…`. Returns the content of `data`, read by `read`.
    pub(super) async fn fetch<T: Send + 'static>(
        &self,
        path: &[&str],
        client: &Client,
        read: impl FnOnce(&Map<String, Value>) -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        let path: Vec<&str> = [&*self.settings.app_id, "report"].into_iter().chain(path.iter().copied()).collect();
        let url = url(&self.settings.base_url, &path);
        let send = |token: Token| {
            let request = Request::get(url.as_str())
                .header("token", token.value.expose_secret())
                .header(header::CONTENT_TYPE, JSON)
                .body(Vec::new())
                .map_err(|_| ProviderError::Decode("the token cannot be sent in a header".into()));
            async move { client.fetch(request?).await }
        };
        let reply = self.token.send(|| self.fetch_token(client), send, errors::refuses_token).await?;
        transport::read(reply, |reply| {
            if !errors::is_success(&reply)? {
                return Err(errors::refused(&reply));
            }
            let body: ReportBody = reply.json()?;
            match body.data {
                Some(Value::Object(data)) => Ok(read(&data)),
                // An empty list is how some languages write an empty object.
                Some(Value::Array(data)) if data.is_empty() => Ok(read(&Map::new())),
                None | Some(Value::Null) => Ok(read(&Map::new())),
                Some(_) => Err(ProviderError::Decode("data is not an object".into())),
            }
        })
        .await
    }

    /// Fetches a token: `POST /auth`. It lives for a day, and others may live beside it.
    async fn fetch_token(&self, client: &Client) -> Result<Token, ProviderError> {
        let GetuiSettings { app_id, app_key, master_secret, base_url, .. } = &*self.settings;
        let now = self.token.clock().now();
        let timestamp = now.as_millisecond().to_string();
        let sign = sign(app_key, &timestamp, master_secret.current().expose_secret());
        // Whoever knows the signature can fetch a token with it.
        client.learn(&sign.clone().into());
        let body = serde_json::json!({ "sign": sign, "timestamp": timestamp, "appkey": app_key });
        let request = Request::post(url(base_url, &[app_id, "auth"]).as_str())
            .header(header::CONTENT_TYPE, JSON)
            .body(body.to_string().into_bytes())
            .map_err(|_| ProviderError::Decode("the URL of the token endpoint is invalid".into()))?;
        let reply = client.fetch_for_token(request).await?;
        if !errors::is_success(&reply)? {
            return Err(errors::refused_token(&reply));
        }
        let GetuiToken { token: value, expire_time } = reply.json::<GetuiTokenBody>()?.data;
        let token = Token { value, expiry: expiry(now, expire_time.as_ref()) };
        client.learn_token(&token.value, token.expiry);
        Ok(token)
    }
}

/// Returns the expiry of a token from its time in Unix milliseconds, a number or a number as text. A time that is past by our
/// clock gives none, or a clock that is ahead would fetch a token for each request.
fn expiry(now: Timestamp, milliseconds: Option<&Value>) -> Option<Timestamp> {
    let Count::Is(milliseconds) = count(milliseconds) else { return None };
    let expiry = Timestamp::from_millisecond(milliseconds).ok()?;
    (expiry > now && expiry.duration_since(now) <= LONGEST_LIFE).then_some(expiry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_expires_at_a_time_in_milliseconds() {
        // 1795910400000 is 2026-11-29T00:00:00Z, and a day later the token of the document expires.
        let now = Timestamp::from_millisecond(1_795_910_400_000).unwrap();
        let day_later = Some(Timestamp::from_millisecond(1_795_996_800_000).unwrap());
        for (said, expected) in [
            (json!("1795996800000"), day_later),
            (json!(1_795_996_800_000_i64), day_later),
            (json!("1795910400000"), None),
            (json!("1795996800"), None),
            (json!("never"), None),
            (json!(-1), None),
            (json!(9_999_999_999_999_i64), None),
        ] {
            assert_eq!(expiry(now, Some(&said)), expected, "{said}");
        }
        assert_eq!(expiry(now, None), None);
    }
}
