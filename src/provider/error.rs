//! Why a poll failed: a closed set of reasons, so that the label has few values, and a sentence of
//! advice from the provider's own error table.

use std::time::Duration;

use reqwest::Url;

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

/// The value of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Credentials are refused.
    Auth,
    /// The account has no right to the endpoint.
    Forbidden,
    /// Too many requests.
    RateLimited,
    /// The provider does not accept the question.
    BadRequest,
    /// Wrong host, path or account.
    NotFound,
    /// The provider failed.
    Server,
    /// Our time limit.
    Timeout,
    /// DNS, TLS, refused, reset, cut short.
    Network,
    /// A success that cannot be read.
    Decode,
    /// The answer could not be committed.
    Ledger,
}

impl Reason {
    /// All reasons, each of which starts at 0.
    pub const ALL: [Reason; 10] = [
        Reason::Auth,
        Reason::Forbidden,
        Reason::RateLimited,
        Reason::BadRequest,
        Reason::NotFound,
        Reason::Server,
        Reason::Timeout,
        Reason::Network,
        Reason::Decode,
        Reason::Ledger,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Auth => "auth",
            Reason::Forbidden => "forbidden",
            Reason::RateLimited => "rate_limited",
            Reason::BadRequest => "bad_request",
            Reason::NotFound => "not_found",
            Reason::Server => "server",
            Reason::Timeout => "timeout",
            Reason::Network => "network",
            Reason::Decode => "decode",
            Reason::Ledger => "ledger",
        }
    }

    /// Whether asking again within the poll may help. The others need a person.
    pub fn is_transient(self) -> bool {
        matches!(self, Reason::RateLimited | Reason::Server | Reason::Timeout | Reason::Network | Reason::Decode)
    }
}

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The provider refused, by HTTP status or by a code of its own.
    #[error("{}", describe(*status, code, message))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The provider's code, empty if it gave none.
        code: String,
        /// The provider's words; they may repeat a secret, and be long.
        message: String,
        /// The provider's id of the request, for its support.
        log_id: Option<String>,
        /// Our word for it.
        reason: Reason,
        /// What to do.
        advice: &'static str,
        /// When the provider said to come back.
        reset: Option<Duration>,
    },
    /// The provider sends us elsewhere, or in circles.
    #[error("HTTP {status}: sent to {to}")]
    Redirected {
        /// HTTP status.
        status: u16,
        /// The place without path and query, which may hold names that are not ours to print.
        to: String,
        /// Advice for the operator.
        advice: &'static str,
    },
    /// There is no token to ask with.
    #[error("no access token")]
    Token(#[source] Box<ProviderError>),
    /// A query about one scope failed; those about the whole account are not affected.
    #[error("{label} {scope}")]
    Scope {
        /// Label name of the scope.
        label: &'static str,
        /// Id of the scope.
        scope: String,
        /// Advice for a scope that the provider does not accept.
        advice: &'static str,
        /// The failure.
        #[source]
        error: Box<ProviderError>,
    },
    /// A success that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Decode(String),
}

fn describe(status: u16, code: &str, message: &str) -> String {
    let mut text = format!("HTTP {status}");
    if !code.is_empty() {
        text.push_str(&format!(", code {code}"));
    }
    if !message.is_empty() {
        text.push_str(&format!(": {message}"));
    }
    text
}

impl ProviderError {
    /// The label value.
    pub fn reason(&self) -> Reason {
        match self {
            ProviderError::Transport(TransportError::Timeout | TransportError::ConnectTimeout) => Reason::Timeout,
            ProviderError::Transport(TransportError::TooLarge) => Reason::Decode,
            ProviderError::Transport(_) => Reason::Network,
            ProviderError::Refused { reason, .. } => *reason,
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.reason(),
            ProviderError::Redirected { .. } => Reason::NotFound,
            ProviderError::Decode(_) => Reason::Decode,
        }
    }

    /// One sentence on what to do.
    pub fn advice(&self) -> &'static str {
        match self {
            ProviderError::Refused { advice, .. } | ProviderError::Redirected { advice, .. } => advice,
            ProviderError::Scope { error, advice, .. } if error.reason() == Reason::BadRequest => advice,
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.advice(),
            ProviderError::Transport(TransportError::Timeout) => {
                "The provider did not answer in time; it is asked again by itself. If it lasts, check the network and proxy."
            }
            ProviderError::Transport(TransportError::ConnectTimeout) => {
                "Nobody takes the connection: check base_url, firewalls and the proxy; it is asked again by itself."
            }
            ProviderError::Transport(TransportError::TooLarge) | ProviderError::Decode(_) => {
                "Check that base_url is the API itself and that no proxy answers in its place."
            }
            ProviderError::Transport(TransportError::Proxy) => {
                "Write the proxy's user and password into HTTPS_PROXY (HTTP_PROXY for http://) as http://user:password@host:port, or name the provider in NO_PROXY."
            }
            ProviderError::Transport(_) => {
                "Check base_url, DNS, the proxy and the CA certificates (ca_file); it is asked again by itself."
            }
        }
    }

    /// When the provider said to come back.
    pub fn reset(&self) -> Option<Duration> {
        match self {
            ProviderError::Refused { reset, .. } => *reset,
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.reset(),
            _ => None,
        }
    }

    /// Returns the HTTP status and the provider's code, which tell this failure from another; its words may differ each
    /// time.
    pub fn code(&self) -> String {
        match self {
            ProviderError::Refused { status, code, .. } => format!("{status} {code}"),
            ProviderError::Redirected { status, to, .. } => format!("{status} {to}"),
            ProviderError::Token(error) => format!("token {}", error.code()),
            ProviderError::Scope { scope, error, .. } => format!("{scope} {}", error.code()),
            ProviderError::Transport(_) | ProviderError::Decode(_) => String::new(),
        }
    }

    /// The provider's id of the request, which differs each time.
    pub fn log_id(&self) -> Option<&str> {
        match self {
            ProviderError::Refused { log_id, .. } => log_id.as_deref(),
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.log_id(),
            _ => None,
        }
    }

    /// Returns true if a refusal has a code of the provider's own: a gateway's has none.
    pub fn is_in_the_providers_words(&self) -> bool {
        match self {
            ProviderError::Refused { code, .. } => !code.is_empty(),
            ProviderError::Scope { error, .. } => error.is_in_the_providers_words(),
            _ => false,
        }
    }

    /// Returns true if any other question would fail in the same way: no credentials, no quota, no connection. Any other failure is of the part that was asked for.
    pub fn ends_the_poll(&self) -> bool {
        match self {
            ProviderError::Transport(error) => {
                matches!(error, TransportError::Connect(_) | TransportError::ConnectTimeout | TransportError::Proxy)
            }
            ProviderError::Refused { reason, .. } => matches!(reason, Reason::Auth | Reason::RateLimited),
            ProviderError::Token(_) => true,
            ProviderError::Scope { error, .. } => error.ends_the_poll(),
            ProviderError::Decode(_) | ProviderError::Redirected { .. } => false,
        }
    }
}

/// Our word for an HTTP status that came without a code of the provider's own.
pub fn by_status(status: u16) -> (Reason, &'static str) {
    match status {
        401 => (Reason::Auth, "Check the credentials in the configuration."),
        403 => (Reason::Forbidden, "The account has no right to this endpoint; ask the provider to open it."),
        404 => (Reason::NotFound, "Check base_url and the account's names: the host or path is wrong."),
        408 => (Reason::Timeout, "The provider gave up waiting; it is asked again by itself."),
        429 => (Reason::RateLimited, "Other callers use the same account's quota; poll less often with interval."),
        400..=499 => (Reason::BadRequest, "The provider does not accept the question; check the account's settings."),
        500..=599 => (Reason::Server, "The provider has trouble; it is asked again by itself."),
        _ => (Reason::Decode, "Check that base_url is the API itself and that no proxy answers in its place."),
    }
}

/// An answer to a request for `earlier` that sends us to `location`, which was not followed.
pub fn redirected(status: u16, earlier: &str, location: Option<&str>) -> ProviderError {
    let earlier = Url::parse(earlier).ok();
    let target = earlier.as_ref().zip(location).and_then(|(earlier, location)| earlier.join(location).ok());
    let (to, advice) = match (target, earlier) {
        (Some(to), Some(earlier)) if to.origin() == earlier.origin() => {
            ("its own host again".to_owned(), "The provider sends us in circles; check the path of base_url.")
        }
        (Some(to), Some(earlier)) => {
            let is_same_host = to.host_str() == earlier.host_str();
            let advice = match is_same_host {
                true => "Write base_url with the scheme and port that the provider sends us to.",
                false => "The provider sends us to another host; if it is the right one, name it in base_url.",
            };
            (to.origin().ascii_serialization(), advice)
        }
        _ => ("nowhere that can be read".to_owned(), "Check base_url: the redirection names no place."),
    };
    ProviderError::Redirected { status, to, advice }
}

/// The provider's words, on one line and at most 300 characters.
pub fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(300).is_some() {
        short.push('…');
    }
    short.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_where_it_leads_and_what_to_write() {
        let earlier = "http://report.jpush.cn/v3/received/detail?msg_ids=1";
        for (location, to, advice) in [
            (Some("https://report.jpush.cn/v3/received/detail"), "https://report.jpush.cn", "scheme and port"),
            (Some("http://report.jpush.cn:8080/v3"), "http://report.jpush.cn:8080", "scheme and port"),
            (Some("https://login.corp.example/?back=secret"), "https://login.corp.example", "another host"),
            (Some("http://REPORT.jpush.cn/v3/"), "its own host again", "in circles"),
            (Some("/v3/received/detail"), "its own host again", "in circles"),
            (Some("//login.corp.example/x"), "http://login.corp.example", "another host"),
            (Some("http://report.jpush.cn:80/v3/"), "its own host again", "in circles"),
            (Some("http://["), "nowhere that can be read", "names no place"),
            (None, "nowhere that can be read", "names no place"),
        ] {
            let error = redirected(301, earlier, location);
            assert_eq!(error.to_string(), format!("HTTP 301: sent to {to}"), "{location:?}");
            assert!(error.advice().contains(advice), "{location:?}: {}", error.advice());
            assert_eq!(error.reason(), Reason::NotFound);
        }
    }
}
