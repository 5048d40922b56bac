//! Wren on the wire: one request and its answer. What the numbers mean is in [`super::readings`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, header};
use jiff::civil::Date;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Settings;
use super::{errors, fields};
use push_exporter::provider::client::{Client, url};
use push_exporter::provider::error::ProviderError;
use push_exporter::provider::{WindowAnswer, WindowQuery};

/// The body of a successful answer.
#[derive(Deserialize)]
pub(super) struct Daily {
    pub(super) days: Vec<Day>,
}

/// One day. Channels and their fields stay as they came: new ones are noticed, not refused.
#[derive(Deserialize)]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) channels: Map<String, Value>,
}

/// `GET /v1/apps/{app_id}/statistics/daily` for the days of `query`.
pub(super) async fn fetch_statistics_daily(
    settings: &Settings,
    query: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let mut url = url(&settings.base_url, &["v1", "apps", &settings.app_id, "statistics", "daily"]);
    url.set_query(Some(&format!("from={}&to={}", query.first.first, query.last.last())));
    let secret = settings.api_secret.current();
    let credentials: SecretString = STANDARD.encode(format!("{}:{}", settings.app_id, secret.expose_secret())).into();
    // The secret in another form, to be taken out of all texts too.
    client.learn(&credentials);
    let request = Request::get(url.as_str())
        .header(header::AUTHORIZATION, format!("Basic {}", credentials.expose_secret()))
        .body(Vec::new())
        .map_err(|_| ProviderError::Decode("the credentials cannot be sent in a header".into()))?;
    let reply = client.fetch(request).await?;
    if reply.status != StatusCode::OK {
        return Err(errors::refused(&reply));
    }
    let Daily { days } = reply.json()?;
    Ok(WindowAnswer::Numbers(fields::read(query, days)))
}
