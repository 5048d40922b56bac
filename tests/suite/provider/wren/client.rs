//! HTTP requests to Wren: one request and its answer. The meaning of the numbers is in [`super::fields`].

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

/// Body of a successful answer.
#[derive(Deserialize)]
pub(super) struct Daily {
    pub(super) days: Vec<Day>,
}

/// One day. Channels and their fields are kept as received: new ones are reported, not refused.
#[derive(Deserialize)]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) channels: Map<String, Value>,
}

/// Queries the days of `query`: `GET /v1/apps/{app_id}/statistics/daily`.
pub(super) async fn fetch_statistics_daily(
    settings: &Settings,
    query: &WindowQuery,
    client: &Client,
) -> Result<WindowAnswer, ProviderError> {
    let mut url = url(&settings.base_url, &["v1", "apps", &settings.app_id, "statistics", "daily"]);
    url.set_query(Some(&format!("from={}&to={}", query.first.first, query.last.last())));
    let secret = settings.api_secret.current();
    let credentials: SecretString = STANDARD.encode(format!("{}:{}", settings.app_id, secret.expose_secret())).into();
    // This form of the secret must be removed from texts too.
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
