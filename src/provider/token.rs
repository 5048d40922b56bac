//! Cache of access tokens: any number of waiting callers share one request. Tokens are renewed early, kept if a renewal
//! fails, and dropped if the API refuses them.

use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::model::reading::{Count, count};
use crate::provider::error::ProviderError;
use crate::provider::transport::Reply;
use crate::util::clock::Clock;

/// A token and its expiry.
#[derive(Clone, Debug)]
pub struct Token {
    /// Value that follows `Bearer `.
    pub value: SecretString,
    /// Expiry, if the provider gives one.
    pub expiry: Option<Timestamp>,
}

#[derive(Debug)]
struct HeldToken {
    token: Token,
    renew_at: Option<Timestamp>,
}

/// Cache of one account's token, in memory only.
#[derive(Debug)]
pub struct TokenCache {
    clock: Clock,
    /// Held during the request for a new token, so that other callers wait for it.
    held: tokio::sync::Mutex<Option<HeldToken>>,
}

/// Time between a failed renewal and the next attempt, during which the old token stays in use.
const RENEW_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Time before its expiry at which a token is renewed; half its lifetime if that is shorter.
const EARLY: SignedDuration = SignedDuration::from_mins(10);

impl TokenCache {
    /// Creates an empty cache.
    pub fn new(clock: Clock) -> Self {
        TokenCache { clock, held: tokio::sync::Mutex::new(None) }
    }

    /// Returns the clock that expiry times are compared with.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the token; calls `fetch` if there is none or its renewal is due.
    ///
    /// # Errors
    /// Fails with [`ProviderError::Token`] and the error of `fetch` if there is no valid token left to use.
    async fn get<F, Fetched>(&self, fetch: F) -> Result<Token, ProviderError>
    where
        F: FnOnce() -> Fetched,
        Fetched: Future<Output = Result<Token, ProviderError>>,
    {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        if let Some(HeldToken { token, renew_at }) = &*held
            && renew_at.is_none_or(|at| now < at)
        {
            return Ok(token.clone());
        }
        match fetch().await {
            Ok(token) => {
                let renew_at = token.expiry.map(|expiry| renewal(now, expiry));
                *held = Some(HeldToken { token: token.clone(), renew_at });
                Ok(token)
            }
            Err(error) => match &mut *held {
                Some(HeldToken { token, renew_at }) if token.expiry.is_none_or(|expiry| now < expiry) => {
                    // Only the reason: the provider's message may repeat the secret.
                    let reason = error.reason().name();
                    tracing::debug!(reason, "cannot renew a token; still using the old one");
                    *renew_at = now.checked_add(RENEW_AGAIN).ok();
                    Ok(token.clone())
                }
                _ => Err(ProviderError::Token(Box::new(error))),
            },
        }
    }

    /// Sends a request with a token; if the API refuses the token, drops it and sends once more with a new one.
    ///
    /// # Errors
    /// Fails if there is no token or no answer. A refusal of the new token is an answer.
    pub async fn send<F, Fetched, S, Sent>(
        &self,
        fetch: F,
        send: S,
        refuses: impl Fn(&Reply) -> bool,
    ) -> Result<Reply, ProviderError>
    where
        F: Fn() -> Fetched,
        Fetched: Future<Output = Result<Token, ProviderError>>,
        S: Fn(Token) -> Sent,
        Sent: Future<Output = Result<Reply, ProviderError>>,
    {
        let token = self.get(&fetch).await?;
        let reply = send(token.clone()).await?;
        if !refuses(&reply) {
            return Ok(reply);
        }
        self.refuse(&token).await;
        send(self.get(&fetch).await?).await
    }

    /// Drops a token that the API refused, unless another caller has replaced it already.
    async fn refuse(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token.value.expose_secret() == refused.value.expose_secret()) {
            *held = None;
        }
    }
}

fn renewal(now: Timestamp, expiry: Timestamp) -> Timestamp {
    let life = expiry.duration_since(now);
    let early = if life / 2 < EARLY { life / 2 } else { EARLY };
    expiry.checked_sub(early).unwrap_or(now)
}

/// Returns the expiry of a token from its lifetime in seconds, which providers send as a number or as text. A lifetime
/// of 0 or of more than 400 days gives none: some clusters count milliseconds, and a permanent token has 0.
pub fn expiry(now: Timestamp, seconds: Option<&Value>) -> Option<Timestamp> {
    const LONGEST: i64 = 400 * 86_400;
    let Count::Is(seconds) = count(seconds) else { return None };
    let seconds = (1..=LONGEST).contains(&seconds).then_some(seconds)?;
    now.checked_add(Duration::from_secs(seconds.unsigned_abs())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::error::TransportError;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn token(clock: &Clock, name: &str, seconds: i64) -> Token {
        Token { value: name.into(), expiry: expiry(clock.now(), Some(&seconds.into())) }
    }

    fn clock() -> Clock {
        Clock::following_tokio("2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_make_one_request() {
        let clock = clock();
        let cache = Arc::new(TokenCache::new(clock.clone()));
        let fetched = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let (cache, clock, fetched) = (Arc::clone(&cache), clock.clone(), Arc::clone(&fetched));
                tokio::spawn(async move {
                    cache
                        .get(|| async {
                            fetched.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            Ok(token(&clock, "t", 7200))
                        })
                        .await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap().value.expose_secret(), "t");
        }
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_early_and_kept_when_renewing_fails() {
        let clock = clock();
        let cache = TokenCache::new(clock.clone());
        cache.get(|| async { Ok(token(&clock, "old", 7200)) }).await.unwrap();
        tokio::time::advance(Duration::from_secs(7200 - 601)).await;
        let same = cache.get(|| async { Ok(token(&clock, "new", 7200)) }).await.unwrap();
        assert_eq!(same.value.expose_secret(), "old");
        tokio::time::advance(Duration::from_secs(2)).await;
        let kept = cache.get(|| async { Err(TransportError::Timeout.into()) }).await.unwrap();
        assert_eq!(kept.value.expose_secret(), "old");
        tokio::time::advance(Duration::from_secs(61)).await;
        let new = cache.get(|| async { Ok(token(&clock, "new", 7200)) }).await.unwrap();
        assert_eq!(new.value.expose_secret(), "new");
        tokio::time::advance(Duration::from_secs(7200)).await;
        assert!(
            cache.get(|| async { Err(TransportError::Timeout.into()) }).await.is_err(),
            "an expired one is not used"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_lived_one_is_renewed_at_half_of_its_life() {
        let clock = clock();
        let cache = TokenCache::new(clock.clone());
        cache.get(|| async { Ok(token(&clock, "old", 600)) }).await.unwrap();
        tokio::time::advance(Duration::from_secs(299)).await;
        let same = cache.get(|| async { Ok(token(&clock, "new", 600)) }).await.unwrap();
        assert_eq!(same.value.expose_secret(), "old");
        tokio::time::advance(Duration::from_secs(2)).await;
        let new = cache.get(|| async { Ok(token(&clock, "new", 600)) }).await.unwrap();
        assert_eq!(new.value.expose_secret(), "new");
    }

    #[test]
    fn a_life_is_a_number_or_text() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let two_hours = Some("2026-01-01T02:00:00Z".parse().unwrap());
        for (said, expected) in [
            (serde_json::json!(7200), two_hours),
            (serde_json::json!("7200"), two_hours),
            (serde_json::json!(0), None),
            (serde_json::json!("soon"), None),
            (serde_json::json!(5_184_000_000_i64), None),
        ] {
            assert_eq!(expiry(now, Some(&said)), expected, "{said}");
        }
        assert_eq!(expiry(now, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_dropped_once() {
        let clock = clock();
        let cache = TokenCache::new(clock.clone());
        let old = cache.get(|| async { Ok(token(&clock, "old", 0)) }).await.unwrap();
        assert_eq!(old.expiry, None);
        cache.refuse(&old).await;
        let new = cache.get(|| async { Ok(token(&clock, "new", 5_184_000_000)) }).await.unwrap();
        assert_eq!((new.value.expose_secret(), new.expiry), ("new", None));
        cache.refuse(&old).await;
        let same = cache.get(|| async { Ok(token(&clock, "newer", 0)) }).await.unwrap();
        assert_eq!(same.value.expose_secret(), "new");
    }
}
