//! HTTP transport shared by all providers: limits of time and size, redirects only on the same host, no URLs in errors.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderMap;
use http::{Request, StatusCode};
use reqwest::redirect;
use rustls::pki_types::CertificateDer;

use crate::provider::dns::Resolver;
use crate::provider::error::{ProviderError, TransportError};
use crate::provider::proxy::{self, ProxyError};
use crate::util::future::BoxFuture;
use crate::util::server_trust::{self, client_config};
use crate::util::supervise::joined;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_REDIRECTS: usize = 5;

/// An answer as received, within the size limit.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns a header as a whole number, from the first of these names that is present and valid.
    pub fn number(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.header(name)?.trim().parse().ok())
    }

    /// Returns a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns true if the body is small enough to be parsed in place.
    pub fn is_small(&self) -> bool {
        self.body.len() <= SMALL
    }

    /// Parses the body as JSON, regardless of its content type.
    ///
    /// # Errors
    /// Fails if the body is empty, not JSON, or not of the shape of `T`. The error quotes nothing of the body.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ProviderError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Err(ProviderError::Decode("the body is empty".into()));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "not of the documented shape",
                serde_json::error::Category::Eof => "cut short",
                _ if self.body.trim_ascii_start().starts_with(b"<") => "HTML instead of JSON",
                _ => "not JSON",
            };
            ProviderError::Decode(format!("{what} (line {}, column {})", error.line(), error.column()))
        })
    }
}

/// Maximum bytes of a body that is parsed in place; a larger one is parsed on a thread for blocking work.
const SMALL: usize = 64 * 1024;

/// Parses an answer without blocking other tasks: a large one takes longer than a scrape may wait.
///
/// # Errors
/// Fails with the error of `read`, or if the exporter is stopping.
pub async fn read<T: Send + 'static>(
    reply: Reply,
    read: impl FnOnce(Reply) -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    if reply.is_small() {
        return read(reply);
    }
    let read = tokio::task::spawn_blocking(move || read(reply)).await;
    joined(read).unwrap_or_else(|| Err(ProviderError::Decode("the exporter is stopping".into())))
}

/// A sender of requests, passed into the exporter so that tests can replace it.
pub trait Transport: Send + Sync {
    /// Sends one request and reads the whole answer.
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>>;
}

/// Error of setting up an HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A proxy variable is invalid.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP library rejects the settings.
    #[error("cannot set up HTTP")]
    Client(#[from] reqwest::Error),
}

/// The transport that sends requests over the network.
#[derive(Debug)]
pub struct Reqwest {
    client: reqwest::Client,
    /// True if the environment sets a proxy.
    is_proxied: bool,
}

/// Route of requests out of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the proxies of the environment, if it sets any.
    Proxied,
    /// Directly to the server.
    Direct,
}

/// Creates the builder of every HTTP client of the exporter. `trusted` are certificates of CAs, or of servers, in
/// addition to this machine's CAs.
///
/// # Errors
/// Fails if a proxy variable is invalid or TLS cannot be set up.
pub fn client(way: Way, trusted: &[CertificateDer<'static>]) -> Result<reqwest::ClientBuilder, SetupError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("push-exporter/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(client_config(trusted.to_vec())?);
    if way == Way::Direct {
        return Ok(builder.no_proxy());
    }
    proxy::check(|name| std::env::var_os(name))?;
    Ok(builder)
}

impl Reqwest {
    /// Creates the transport. `trusted` are certificates of CAs, or of providers, in addition to this machine's CAs.
    ///
    /// # Errors
    /// Fails if a proxy variable is invalid or TLS cannot be set up.
    pub fn new(way: Way, trusted: &[CertificateDer<'static>]) -> Result<Self, SetupError> {
        let same_host = redirect::Policy::custom(|attempt| {
            let from = attempt.previous().last();
            let same = from.is_some_and(|from| {
                (from.scheme(), from.host_str(), from.port_or_known_default())
                    == (attempt.url().scheme(), attempt.url().host_str(), attempt.url().port_or_known_default())
            });
            if same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
        });
        let client = client(way, trusted)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .dns_resolver(Arc::new(Resolver::new()))
            .redirect(same_host)
            .build()?;
        let is_proxied = way == Way::Proxied && proxy::is_set(|name| std::env::var_os(name));
        Ok(Reqwest { client, is_proxied })
    }
}

impl Transport for Reqwest {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            let classify = |error| classify(error, self.is_proxied);
            let request = reqwest::Request::try_from(request).map_err(classify)?;
            let mut response = self.client.execute(request).await.map_err(classify)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(classify)? {
                if body.len() + chunk.len() > MAX_BODY {
                    return Err(TransportError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Reply { status, headers, body })
        })
    }
}

fn classify(error: reqwest::Error, is_proxied: bool) -> TransportError {
    if error.is_timeout() {
        return if error.is_connect() { TransportError::ConnectTimeout } else { TransportError::Timeout };
    }
    let is_connect = error.is_connect();
    let error = error.without_url();
    // The outermost errors only say "error sending request"; the innermost gives the cause.
    let innermost = server_trust::innermost(&error);
    let cause = server_trust::tls_error(&error).unwrap_or_else(|| innermost.to_string());
    if cause.ends_with("proxy authorization required") {
        return TransportError::Proxy;
    }
    let by_proxy = if is_proxied && is_connect { " (the environment sets a proxy)" } else { "" };
    let text = format!("{error}: {cause}{by_proxy}");
    if is_connect { TransportError::Connect(text) } else { TransportError::Network(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_answers_are_read_beside() {
        let reply = |length| Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: vec![b' '; length] };
        let place = |length| read(reply(length), |_| Ok(std::thread::current().id()));
        assert_eq!(place(SMALL).await.unwrap(), std::thread::current().id());
        assert_ne!(place(SMALL + 1).await.unwrap(), std::thread::current().id());
    }
}
