//! The HTTP that all providers share: limits of time and size, redirects on the same host only, no
//! URL in an error, every request counted and within its budget.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderMap;
use http::{Request, StatusCode};
use reqwest::Url;
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::config::secret::Scrubber;
use crate::provider::dns::Resolver;
use crate::provider::error::{ProviderError, redirected, shorten};
use crate::provider::proxy::{self, ProxyError};
use crate::provider::rate_limit::{Limit, Priority, Rate, RateLimiter};
use crate::util::clock::{Clock, ProviderTime};
use crate::util::future::BoxFuture;
use crate::util::server_trust::{self, client_config};
use crate::util::supervise::joined;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_REDIRECTS: usize = 5;

/// An answer as received, within the size limit.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header that is a whole number, by the first of its spellings that is there.
    pub fn number(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.header(name)?.trim().parse().ok())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns true if the body is read in no time.
    pub fn is_small(&self) -> bool {
        self.body.len() <= SMALL
    }

    /// The body as JSON, whatever its content type says.
    ///
    /// # Errors
    /// Empty, not JSON, or not of the shape of `T`. The text quotes nothing of the body.
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

/// Bytes of a body that are read where they came; more is read on a thread for such work.
const SMALL: usize = 64 * 1024;

/// Reads an answer where that holds up nobody: a large one takes longer than a scrape may wait.
///
/// # Errors
/// Those of `read`.
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

/// Why there is no answer. Says nothing of the URL, which may hold names that are not ours to print.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody answered to a connection.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The whole request took too long.
    #[error("no answer in time")]
    Timeout,
    /// No connection: refused, no such host, no TLS.
    #[error("{0}")]
    Connect(String),
    /// The proxy of the environment wants other credentials.
    #[error("the proxy refuses the request (407): its user or password is missing or wrong")]
    Proxy,
    /// A connection that ended before a complete answer.
    #[error("{0}")]
    Network(String),
    /// More than 8 MiB.
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
}

/// Sends requests. Passed into the exporter, so that tests can put something else in its place.
pub trait Transport: Send + Sync {
    /// Sends one request and reads the whole answer.
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>>;
}

/// A client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A proxy variable that cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// No TLS.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP library does not take the settings.
    #[error("cannot set up HTTP")]
    Client(#[from] reqwest::Error),
}

/// The real transport.
#[derive(Debug)]
pub struct Reqwest {
    client: reqwest::Client,
    /// True if the environment names a proxy.
    is_proxied: bool,
}

/// The way of requests out of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the proxies of the environment, if it names any.
    Proxied,
    /// Straight to the server.
    Direct,
}

/// The beginning of every client of ours. `trusted` are certificates of CAs, or of servers, besides this machine's CAs.
///
/// # Errors
/// A proxy variable that cannot be used, or no TLS.
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
    /// `trusted` are certificates of CAs, or of providers, besides this machine's CAs.
    ///
    /// # Errors
    /// A proxy variable that cannot be used, or no TLS.
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
    // The outermost texts only say "error sending request"; the innermost says why.
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // One of input and output passes over what it wraps itself.
    while let Some(inside) = innermost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        innermost = inside;
    }
    let tls = innermost.downcast_ref::<rustls::Error>();
    let cause = tls.map_or_else(|| innermost.to_string(), server_trust::in_words);
    if cause.ends_with("proxy authorization required") {
        return TransportError::Proxy;
    }
    let by_proxy = if is_proxied && is_connect { " (the environment names a proxy)" } else { "" };
    let text = format!("{error}: {cause}{by_proxy}");
    if is_connect { TransportError::Connect(text) } else { TransportError::Network(text) }
}

/// Counts the requests of one report by status code.
#[derive(Debug, Default)]
pub struct Requests {
    codes: Mutex<BTreeMap<Option<u16>, u64>>,
    waiting: Mutex<Waiting>,
}

/// How long requests have waited for quota; those that waited side by side count once.
#[derive(Debug, Default)]
struct Waiting {
    requests: usize,
    since: Option<Instant>,
    total: Duration,
}

/// A request that waits.
struct Waits<'a>(&'a Requests);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.requests = waiting.requests.saturating_sub(1);
        if waiting.requests == 0
            && let Some(since) = waiting.since.take()
        {
            waiting.total += since.elapsed();
        }
    }
}

impl Requests {
    /// Requests so far by status code, `None` for those without an answer.
    pub fn by_code(&self) -> Vec<(Option<u16>, u64)> {
        let codes = self.codes.lock();
        codes.iter().map(|(code, count)| (*code, *count)).collect()
    }

    /// Takes the time that was spent waiting for quota since the last call.
    pub fn take_waited(&self) -> Duration {
        let mut waiting = self.waiting();
        if let Some(since) = &mut waiting.since {
            let waited = since.elapsed();
            *since = Instant::now();
            waiting.total += waited;
        }
        std::mem::take(&mut waiting.total)
    }

    fn wait(&self) -> Waits<'_> {
        let mut waiting = self.waiting();
        waiting.requests += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Waits(self)
    }

    fn waiting(&self) -> parking_lot::MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    fn count(&self, code: Option<u16>) {
        let mut codes = self.codes.lock();
        *codes.entry(code).or_default() += 1;
    }
}

/// What one report sends its requests through.
pub struct Client {
    transport: Arc<dyn Transport>,
    budget: Arc<RateLimiter>,
    priority: Priority,
    requests: Arc<Requests>,
    token_requests: Arc<Requests>,
    token_expiry: Arc<Mutex<Option<jiff::Timestamp>>>,
    rates: Arc<Rates>,
    scrubber: Scrubber,
    provider_time: Arc<ProviderTime>,
}

impl Client {
    /// For a report. The budget of an API, the token and its requests are shared by the reports of an account.
    pub fn new(
        transport: Arc<dyn Transport>,
        account: &AccountClient,
        report: &'static str,
        limit: Limit,
        priority: Priority,
    ) -> Self {
        Client {
            transport,
            budget: account.budgets.of(limit),
            priority,
            requests: Arc::clone(account.requests.lock().entry(report).or_default()),
            token_requests: Arc::clone(&account.token_requests),
            token_expiry: Arc::clone(&account.token_expiry),
            rates: Arc::clone(&account.rates),
            scrubber: account.scrubber.clone(),
            provider_time: Arc::clone(&account.provider_time),
        }
    }

    /// Sends a request for statistics, within the budget.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
        let waits = self.requests.wait();
        self.budget.acquire(self.priority).await;
        drop(waits);
        self.transmit(request, &self.requests).await
    }

    /// Sends a request for a token, which no budget of ours limits; but a pause that the provider has asked
    /// for is kept.
    ///
    /// # Errors
    /// No answer.
    pub async fn send_for_token(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
        let waits = self.requests.wait();
        self.budget.pause().await;
        drop(waits);
        self.transmit(request, &self.token_requests).await
    }

    /// Takes what the headers of an answer say of the quota of the report's API.
    pub fn note_rate(&self, rate: Rate) {
        self.budget.correct(rate);
        if rate.limit.is_some() || rate.remaining.is_some() {
            self.rates.lock().insert(self.budget.api(), rate);
        }
    }

    /// Remembers a secret that is sent, to keep it out of texts.
    pub fn learn(&self, secret: &SecretString) {
        self.scrubber.learn(secret);
    }

    /// Remembers a fetched token: to keep it out of texts, and to show when it expires.
    pub fn learn_token(&self, value: &SecretString, expiry: Option<jiff::Timestamp>) {
        self.scrubber.learn(value);
        *self.token_expiry.lock() = expiry;
    }

    /// The requests of this report.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The budget.
    pub fn budget(&self) -> &RateLimiter {
        &self.budget
    }

    async fn transmit(&self, request: Request<Vec<u8>>, requests: &Requests) -> Result<Reply, ProviderError> {
        let uri = request.uri().clone();
        // The transport has time limits of its own; this one holds whatever transport is passed in.
        let result = tokio::time::timeout(TIMEOUT + CONNECT_TIMEOUT, self.transport.send(request)).await;
        let result = result.unwrap_or(Err(TransportError::Timeout));
        // Only proxies answer so: the provider was not asked.
        let is_proxys = |reply: &Reply| reply.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        let result = result.and_then(|reply| if is_proxys(&reply) { Err(TransportError::Proxy) } else { Ok(reply) });
        let code = result.as_ref().ok().map(|reply| reply.status.as_u16());
        // Not what stands before the provider and answers in its place.
        if let Ok(reply) = &result
            && reply.status.is_success()
            && let Some(date) = reply.header("date")
        {
            self.provider_time.note(date);
        }
        requests.count(code);
        tracing::debug!(path = uri.path(), code, "request");
        let reply = result?;
        if reply.status.is_redirection() {
            return Err(redirected(reply.status.as_u16(), &uri.to_string(), reply.header("location")));
        }
        Ok(reply)
    }
}

/// What the provider's headers said last, by API, until somebody has shown it.
type Rates = Mutex<BTreeMap<&'static str, Rate>>;

/// The budgets of an account, by API.
#[derive(Debug, Default)]
pub struct RateLimiters(Mutex<BTreeMap<&'static str, Arc<RateLimiter>>>);

impl RateLimiters {
    /// The budget of an API, which its first report sets up; another limit than before is kept from now on.
    fn of(&self, limit: Limit) -> Arc<RateLimiter> {
        let mut budgets = self.0.lock();
        let budget = budgets.entry(limit.api).or_insert_with(|| Arc::new(RateLimiter::new(limit)));
        budget.set_limit(limit);
        Arc::clone(budget)
    }
}

/// What the reports of one account share.
pub struct AccountClient {
    /// By report.
    requests: Mutex<BTreeMap<&'static str, Arc<Requests>>>,
    rates: Arc<Rates>,
    budgets: Arc<RateLimiters>,
    token_requests: Arc<Requests>,
    token_expiry: Arc<Mutex<Option<jiff::Timestamp>>>,
    scrubber: Scrubber,
    provider_time: Arc<ProviderTime>,
}

impl AccountClient {
    /// Nothing asked yet; `wall` is the clock that the provider's is held against.
    pub fn new(wall: &Clock) -> AccountClient {
        AccountClient::within(wall, Arc::default())
    }

    /// The same with budgets that another app of the account has used.
    pub fn within(wall: &Clock, budgets: Arc<RateLimiters>) -> AccountClient {
        AccountClient {
            requests: Mutex::default(),
            rates: Arc::default(),
            budgets,
            token_requests: Arc::default(),
            token_expiry: Arc::default(),
            scrubber: Scrubber::default(),
            provider_time: Arc::new(ProviderTime::new(wall.clone())),
        }
    }

    /// The time as the provider's answers tell it.
    pub fn provider_time(&self) -> &Arc<ProviderTime> {
        &self.provider_time
    }

    /// The budgets, which belong to the account whatever its app is called.
    pub fn budgets(&self) -> Arc<RateLimiters> {
        Arc::clone(&self.budgets)
    }

    /// Requests for tokens.
    pub fn token_requests(&self) -> &Requests {
        &self.token_requests
    }

    /// When the current token expires, where known.
    pub fn token_expiry(&self) -> Option<jiff::Timestamp> {
        *self.token_expiry.lock()
    }

    /// What the provider's headers said of the quota of an API since this was asked last.
    pub fn take_rate(&self, api: &'static str) -> Option<Rate> {
        self.rates.lock().remove(api)
    }

    /// What takes secrets out of texts.
    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// An error with its causes, without secrets, on one short line.
    pub fn in_words(&self, error: &dyn std::error::Error) -> String {
        shorten(&self.scrubber.scrub(&crate::util::error::error_chain(error)))
    }
}

/// `base` with path segments behind its own path, each escaped.
pub fn url(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
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
