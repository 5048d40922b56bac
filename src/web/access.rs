//! Access control before every route: the web configuration in use, with its rate limit, users and headers. The
//! health paths skip all of it except the headers: their clients have no password, and a rate limit must not make a
//! healthy process look dead.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::web::basic_auth::Authenticator;
use crate::web::config::RateLimit;
use crate::web::config::watch::WatchedConfig;
use crate::web::response::{Body, message};

/// Access control by the web configuration in use.
pub(super) struct AccessControl {
    watched: WatchedConfig,
    authenticator: Authenticator,
    bucket: Mutex<Option<Bucket>>,
}

/// Token bucket of a rate limit.
struct Bucket {
    limit: RateLimit,
    tokens: f64,
    at: Instant,
}

/// Credentials that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// No check at all, for a health path.
    Nothing,
    /// No user, since the handler checks a separate token.
    OwnToken,
    /// A user, if any users are configured.
    User,
}

impl AccessControl {
    /// Creates access control that follows changes of the web configuration.
    pub(super) fn new(watched: WatchedConfig) -> AccessControl {
        AccessControl { watched, authenticator: Authenticator::default(), bucket: Mutex::default() }
    }

    /// Checks if the request is allowed.
    ///
    /// # Errors
    /// Returns the answer to send if it is not.
    pub(super) async fn admit(&self, head: &Parts, needs: Needs) -> Result<(), Response<Body>> {
        if needs == Needs::Nothing {
            return Ok(());
        }
        let current = self.watched.now();
        if current.is_broken {
            let text = "The web configuration file is invalid; see the log of push-exporter.\n";
            return Err(message(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        if let Some(limit) = current.settings.rate_limit
            && !self.takes_token(limit)
        {
            let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n");
            let wait = HeaderValue::from(limit.interval.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, wait);
            return Err(response);
        }
        let users = &current.settings.users;
        if needs == Needs::OwnToken || users.is_empty() {
            return Ok(());
        }
        if self.authenticator.lets_in(users, head.headers.get(header::AUTHORIZATION)).await {
            return Ok(());
        }
        let mut response = message(StatusCode::UNAUTHORIZED, "Unauthorized\n");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        Err(response)
    }

    /// Adds the configured headers, which replace those of the exporter.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.watched.now().settings.headers {
            headers.insert(name, value.clone());
        }
    }

    fn takes_token(&self, limit: RateLimit) -> bool {
        let now = Instant::now();
        let mut bucket = self.bucket.lock();
        let burst = limit.burst as f64;
        let full = Bucket { limit, tokens: burst, at: now };
        let bucket = match &mut *bucket {
            Some(bucket) if bucket.limit == limit => bucket,
            other => other.insert(full),
        };
        let gained = now.duration_since(bucket.at).as_secs_f64() / limit.interval.as_secs_f64();
        (bucket.tokens, bucket.at) = ((bucket.tokens + gained).min(burst), now);
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_one_in_each_interval() {
        let gate = AccessControl::new(WatchedConfig::nothing());
        let limit = RateLimit { interval: Duration::from_secs(2), burst: 3 };
        let taken = |limit| (0..10).filter(|_| gate.takes_token(limit)).count();
        assert_eq!(taken(limit), 3);
        tokio::time::advance(Duration::from_millis(1999)).await;
        assert_eq!(taken(limit), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(limit), 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(limit), 3, "no more than the burst after any pause");
        assert_eq!(taken(RateLimit { burst: 5, ..limit }), 5, "another limit starts with a full bucket");
        assert_eq!(taken(RateLimit { burst: 0, ..limit }), 0);
    }
}
