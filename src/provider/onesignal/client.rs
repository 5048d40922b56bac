//! HTTP requests to OneSignal: the list of notifications.

use ::http::{Request, StatusCode, header};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use crate::provider::client::{Client, url};
use crate::provider::error::ProviderError;
use crate::provider::onesignal::config::OnesignalSettings;
use crate::provider::onesignal::{errors, fields};
use crate::provider::transport;
use crate::provider::{ListPage, ListStart};

/// Maximum number of notifications in an answer, which is also the default.
pub(super) const LIMIT: &str = "50";

/// Queries a page: `GET notifications?app_id=…&limit=50&time_offset=…`.
pub(super) async fn fetch_notifications(
    settings: &OnesignalSettings,
    from: &ListStart,
    client: &Client,
) -> Result<ListPage, ProviderError> {
    let mut url = url(&settings.base_url, &["notifications"]);
    let time_offset = match from {
        ListStart::SentAt(time) => text(*time),
        ListStart::Cursor(cursor) => cursor.clone(),
    };
    let parameters = [("app_id", settings.app_id.as_str()), ("limit", LIMIT), ("time_offset", &time_offset)];
    url.query_pairs_mut().extend_pairs(parameters);
    let key = settings.api_key.current();
    client.learn(&key);
    let request = Request::get(url.as_str())
        .header(header::AUTHORIZATION, format!("Key {}", key.expose_secret()))
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|_| ProviderError::Decode("the key cannot be sent in a header".into()))?;
    let reply = client.fetch(request).await?;
    transport::read(reply, |reply| {
        if reply.status == StatusCode::OK { fields::page(&reply.json()?) } else { Err(errors::refused(&reply)) }
    })
    .await
}

/// Returns a time as the document writes it: `2026-11-01T00:00:00.000Z`.
fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_document() {
        assert_eq!(text("2026-11-01T00:00:00Z".parse().unwrap()), "2026-11-01T00:00:00.000Z");
    }
}
