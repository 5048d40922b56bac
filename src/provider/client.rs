//! Client of one report: every request keeps to the rate limit of its API and is counted, and secrets are removed from
//! texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, StatusCode};
use parking_lot::Mutex;
use reqwest::Url;
use secrecy::SecretString;

use crate::config::secret::Scrubber;
use crate::provider::error::{ProviderError, TransportError, redirected, shorten};
use crate::provider::rate_limit::{Limit, Priority, Rate, RateLimiter};
use crate::provider::request_counts::Requests;
use crate::provider::transport::{CONNECT_TIMEOUT, Reply, TIMEOUT, Transport};
use crate::util::clock::{Clock, ProviderTime};

/// HTTP client of one report.
pub struct Client {
    transport: Arc<dyn Transport>,
    rate_limiter: Arc<RateLimiter>,
    priority: Priority,
    requests: Arc<Requests>,
    token_requests: Arc<Requests>,
    token_expiry: Arc<Mutex<Option<jiff::Timestamp>>>,
    rates: Arc<Rates>,
    scrubber: Scrubber,
    provider_time: Arc<ProviderTime>,
}

impl Client {
    /// Creates the client of a report. The reports of an account share the rate limiter of an API, the token and its
    /// requests.
    pub fn new(
        transport: Arc<dyn Transport>,
        account: &AccountClient,
        report: &'static str,
        limit: Limit,
        priority: Priority,
    ) -> Self {
        Client {
            transport,
            rate_limiter: account.rate_limiters.of(limit),
            priority,
            requests: Arc::clone(account.requests.lock().entry(report).or_default()),
            token_requests: Arc::clone(&account.token_requests),
            token_expiry: Arc::clone(&account.token_expiry),
            rates: Arc::clone(&account.rates),
            scrubber: account.scrubber.clone(),
            provider_time: Arc::clone(&account.provider_time),
        }
    }

    /// Sends a request for statistics, within the rate limit.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn fetch(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
        let waits = self.requests.wait();
        self.rate_limiter.acquire(self.priority).await;
        drop(waits);
        self.transmit(request, &self.requests).await
    }

    /// Sends a request for a token, which is not rate-limited; a pause that the provider requested is kept.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn fetch_for_token(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
        let waits = self.requests.wait();
        self.rate_limiter.pause().await;
        drop(waits);
        self.transmit(request, &self.token_requests).await
    }

    /// Records the quota of the report's API from the headers of an answer.
    pub fn note_rate(&self, rate: Rate) {
        self.rate_limiter.correct(rate);
        if rate.limit.is_some() || rate.remaining.is_some() {
            self.rates.lock().insert(self.rate_limiter.api(), rate);
        }
    }

    /// Remembers a secret that is sent, so that it is removed from texts.
    pub fn learn(&self, secret: &SecretString) {
        self.scrubber.learn(secret);
    }

    /// Remembers a fetched token, so that it is removed from texts, and its expiry is shown.
    pub fn learn_token(&self, value: &SecretString, expiry: Option<jiff::Timestamp>) {
        self.scrubber.learn(value);
        *self.token_expiry.lock() = expiry;
    }

    /// Returns the request counts of this report.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Returns the rate limiter of the report's API.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    async fn transmit(&self, request: Request<Vec<u8>>, requests: &Requests) -> Result<Reply, ProviderError> {
        let uri = request.uri().clone();
        // The transport has its own time limits; this one applies to any transport that is passed in.
        let result = tokio::time::timeout(TIMEOUT + CONNECT_TIMEOUT, self.transport.send(request)).await;
        let result = result.unwrap_or(Err(TransportError::Timeout));
        // Only proxies answer with 407: the request did not reach the provider.
        let is_proxys = |reply: &Reply| reply.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        let result = result.and_then(|reply| if is_proxys(&reply) { Err(TransportError::Proxy) } else { Ok(reply) });
        let code = result.as_ref().ok().map(|reply| reply.status.as_u16());
        // Only a success is from the provider for sure: a gateway may answer in its place.
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

/// Latest quotas from the provider's headers by API, until they are taken to be shown.
type Rates = Mutex<BTreeMap<&'static str, Rate>>;

/// Rate limiters of an account, by API.
#[derive(Debug, Default)]
pub struct RateLimiters(Mutex<BTreeMap<&'static str, Arc<RateLimiter>>>);

impl RateLimiters {
    /// Returns the rate limiter of an API, created by its first report. A changed limit applies from now on.
    fn of(&self, limit: Limit) -> Arc<RateLimiter> {
        let mut rate_limiters = self.0.lock();
        let rate_limiter = rate_limiters.entry(limit.api).or_insert_with(|| Arc::new(RateLimiter::new(limit)));
        rate_limiter.set_limit(limit);
        Arc::clone(rate_limiter)
    }
}

/// State that the reports of one account share.
pub struct AccountClient {
    /// Request counts by report.
    requests: Mutex<BTreeMap<&'static str, Arc<Requests>>>,
    rates: Arc<Rates>,
    rate_limiters: Arc<RateLimiters>,
    token_requests: Arc<Requests>,
    token_expiry: Arc<Mutex<Option<jiff::Timestamp>>>,
    scrubber: Scrubber,
    provider_time: Arc<ProviderTime>,
}

impl AccountClient {
    /// Creates the state of an account without requests; `wall` is the clock that the provider's time is compared with.
    pub fn new(wall: &Clock) -> AccountClient {
        AccountClient::within(wall, Arc::default())
    }

    /// Creates the state with the rate limiters that another app of the account has used.
    pub fn within(wall: &Clock, rate_limiters: Arc<RateLimiters>) -> AccountClient {
        AccountClient {
            requests: Mutex::default(),
            rates: Arc::default(),
            rate_limiters,
            token_requests: Arc::default(),
            token_expiry: Arc::default(),
            scrubber: Scrubber::default(),
            provider_time: Arc::new(ProviderTime::new(wall.clone())),
        }
    }

    /// Returns the provider's time, taken from its answers.
    pub fn provider_time(&self) -> &Arc<ProviderTime> {
        &self.provider_time
    }

    /// Returns the rate limiters, which belong to the account even if its app is renamed.
    pub fn rate_limiters(&self) -> Arc<RateLimiters> {
        Arc::clone(&self.rate_limiters)
    }

    /// Returns the counts of requests for tokens.
    pub fn token_requests(&self) -> &Requests {
        &self.token_requests
    }

    /// Returns the expiry of the current token, if known.
    pub fn token_expiry(&self) -> Option<jiff::Timestamp> {
        *self.token_expiry.lock()
    }

    /// Takes the latest quota of an API from the provider's headers; `None` if there is none since the last call.
    pub fn take_rate(&self, api: &'static str) -> Option<Rate> {
        self.rates.lock().remove(api)
    }

    /// Returns the scrubber, which removes secrets from texts.
    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Formats an error with its causes, without secrets, on one short line.
    pub fn in_words(&self, error: &dyn std::error::Error) -> String {
        shorten(&self.scrubber.scrub(&crate::util::error::error_chain(error)))
    }
}

/// Returns `base` with path segments appended to its path, each escaped.
pub fn url(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
