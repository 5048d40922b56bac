//! Client of one report: every request is within the rate limit of its API, counted, and scrubbed of secrets.

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
    pub async fn fetch(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
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
    pub async fn fetch_for_token(&self, request: Request<Vec<u8>>) -> Result<Reply, ProviderError> {
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
