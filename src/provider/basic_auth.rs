//! Basic authentication (RFC 7617) with a key and its secret: the key in the configuration, and requests with the header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, header};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::provider::client::Client;
use crate::provider::error::ProviderError;

/// Reads a required key that is the user name; `None` after an error was noted.
pub fn read_user(section: &mut Section<'_>, name: &str) -> Option<String> {
    let key = section.required_identifier(name)?;
    // In Basic authentication a colon ends the user name.
    if key.contains(':') || key.chars().any(|c| !c.is_ascii_graphic()) {
        let found = section.find(name)?;
        section.context().error(
            found.place,
            &found.path,
            "is not a key; use letters and digits, without colons or spaces",
        );
        return None;
    }
    Some(key)
}

/// Returns a request for JSON, by POST if it has a body. The client learns the credentials, so that they are removed from
/// texts.
///
/// # Errors
/// Fails if the credentials cannot be sent in a header.
pub fn request(
    url: &Url,
    user: &str,
    secret: &Secret,
    body: Option<&Value>,
    client: &Client,
) -> Result<Request<Vec<u8>>, ProviderError> {
    let credentials = credentials(user, secret);
    client.learn(&credentials);
    let mut request = Request::builder()
        .method(if body.is_some() { Method::POST } else { Method::GET })
        .uri(url.as_str())
        .header(header::AUTHORIZATION, format!("Basic {}", credentials.expose_secret()))
        .header(header::ACCEPT, "application/json");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request
        .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
        .map_err(|_| ProviderError::Decode("the credentials cannot be sent in a header".into()))
}

/// Returns the value of the header, which is as secret as the secret that it contains.
fn credentials(user: &str, secret: &Secret) -> SecretString {
    STANDARD.encode(format!("{user}:{}", secret.current().expose_secret())).into()
}
