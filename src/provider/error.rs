//! Errors of a failed poll: a closed set of reasons, so that the label has few values, and a sentence of advice from
//! the provider's own error table.

use std::time::Duration;

use reqwest::Url;

use crate::model::advice::Advice;

/// Error of a request without an answer. It never contains the URL, which may hold confidential names.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No server accepted the connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The whole request exceeded its time limit.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed: refused, unknown host, no TLS.
    #[error("{0}")]
    Connect(String),
    /// The proxy of the environment requires other credentials.
    #[error("the proxy refuses the request (407): its user or password is missing or wrong")]
    Proxy,
    /// The connection ended before a complete answer.
    #[error("{0}")]
    Network(String),
    /// The answer is larger than 8 MiB.
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
}

/// Value of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credentials are refused.
    Auth,
    /// The account has no access to the endpoint.
    Forbidden,
    /// The account sends too many requests.
    RateLimited,
    /// The provider does not accept the query.
    BadRequest,
    /// The host, path or account is wrong.
    NotFound,
    /// The provider failed.
    Server,
    /// The time limit of the exporter was exceeded.
    Timeout,
    /// The network failed: DNS, TLS, refused, reset, cut short.
    Network,
    /// A successful answer cannot be read.
    Decode,
    /// The answer could not be committed.
    Ledger,
}

impl Reason {
    /// All reasons; the counter of each starts at 0.
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

    /// Returns the label value.
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

    /// Returns true if a retry within the poll may help. The other reasons need an operator.
    pub fn is_transient(self) -> bool {
        matches!(self, Reason::RateLimited | Reason::Server | Reason::Timeout | Reason::Network | Reason::Decode)
    }
}

/// Reason of a failed poll.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The provider refused the request, by HTTP status or by its own error code.
    #[error("{}", describe(*status, code, message))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Error code of the provider; empty if there is none.
        code: String,
        /// Message of the provider; it may repeat a secret, and be long.
        message: String,
        /// Id of the request at the provider, for its support.
        log_id: Option<String>,
        /// Reason in terms of the exporter.
        reason: Reason,
        /// Advice for the operator.
        advice: Advice,
        /// Pause that the provider requests.
        reset: Option<Duration>,
    },
    /// The provider redirects to another place, or in a loop.
    #[error("HTTP {status}: redirected to {to}")]
    Redirected {
        /// HTTP status.
        status: u16,
        /// Target without path and query, which may hold confidential names.
        to: String,
        /// Advice for the operator.
        advice: Advice,
    },
    /// There is no access token for the query.
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
        advice: Advice,
        /// The failure.
        #[source]
        error: Box<ProviderError>,
    },
    /// A successful answer cannot be read.
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
    /// Returns the reason.
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

    /// Returns the advice for the operator.
    pub fn advice(&self) -> Advice {
        match self {
            ProviderError::Refused { advice, .. } | ProviderError::Redirected { advice, .. } => *advice,
            ProviderError::Scope { error, advice, .. } if error.reason() == Reason::BadRequest => *advice,
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.advice(),
            ProviderError::Transport(TransportError::Timeout) => Advice {
                en: "The provider did not answer in time; the query will be retried automatically. If this persists, check the network and the proxy.",
                zh: "服务商未在时限内响应，稍后会自动重试。若持续出现，请检查网络和代理。",
            },
            ProviderError::Transport(TransportError::ConnectTimeout) => Advice {
                en: "No server accepts the connection; check base_url, firewalls and the proxy. The query will be retried automatically.",
                zh: "连接超时，没有服务器接受连接：请检查 base_url、防火墙和代理。稍后会自动重试。",
            },
            ProviderError::Transport(TransportError::TooLarge) | ProviderError::Decode(_) => Advice {
                en: "Check that base_url is the API itself and that no proxy answers in its place.",
                zh: "请确认 base_url 指向 API 本身，且没有代理代为应答。",
            },
            ProviderError::Transport(TransportError::Proxy) => Advice {
                en: "Set HTTPS_PROXY (HTTP_PROXY for http://) to http://user:password@host:port with the proxy's user and password, or add the provider to NO_PROXY.",
                zh: "请将 HTTPS_PROXY（http:// 用 HTTP_PROXY）设为 http://user:password@host:port，填入代理的用户名和密码；或把该服务商加入 NO_PROXY。",
            },
            ProviderError::Transport(_) => Advice {
                en: "Check base_url, DNS, the proxy and the CA certificates (ca_file); the query will be retried automatically.",
                zh: "请检查 base_url、DNS、代理和 CA 证书（ca_file）；稍后会自动重试。",
            },
        }
    }

    /// Returns the pause that the provider requests.
    pub fn reset(&self) -> Option<Duration> {
        match self {
            ProviderError::Refused { reset, .. } => *reset,
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.reset(),
            _ => None,
        }
    }

    /// Returns the HTTP status and the provider's code, which distinguish this failure from others; the message may
    /// differ each time.
    pub fn code(&self) -> String {
        match self {
            ProviderError::Refused { status, code, .. } => format!("{status} {code}"),
            ProviderError::Redirected { status, to, .. } => format!("{status} {to}"),
            ProviderError::Token(error) => format!("token {}", error.code()),
            ProviderError::Scope { scope, error, .. } => format!("{scope} {}", error.code()),
            ProviderError::Transport(_) | ProviderError::Decode(_) => String::new(),
        }
    }

    /// Returns the id of the request at the provider, which differs each time.
    pub fn log_id(&self) -> Option<&str> {
        match self {
            ProviderError::Refused { log_id, .. } => log_id.as_deref(),
            ProviderError::Token(error) | ProviderError::Scope { error, .. } => error.log_id(),
            _ => None,
        }
    }

    /// Returns true if a refusal has the provider's own error code: that of a gateway has none.
    pub fn is_in_the_providers_words(&self) -> bool {
        match self {
            ProviderError::Refused { code, .. } => !code.is_empty(),
            ProviderError::Scope { error, .. } => error.is_in_the_providers_words(),
            _ => false,
        }
    }

    /// Returns true if any other query would fail in the same way: no credentials, no quota, no connection. Any other
    /// failure concerns only the queried part.
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

/// Returns reason and advice for an HTTP status that came without the provider's own error code.
pub fn by_status(status: u16) -> (Reason, Advice) {
    match status {
        401 => (Reason::Auth, Advice { en: "Check the credentials in the configuration.", zh: "请检查配置中的凭据。" }),
        403 => (
            Reason::Forbidden,
            Advice {
                en: "The account has no access to this endpoint; ask the provider to enable it.",
                zh: "该账号无权使用此接口，请联系服务商开通。",
            },
        ),
        404 => (
            Reason::NotFound,
            Advice {
                en: "Check base_url and the account's names: the host or path is wrong.",
                zh: "主机或路径有误：请检查 base_url 和账号的名称（如 org_name、app_name）。",
            },
        ),
        408 => (
            Reason::Timeout,
            Advice {
                en: "The provider gave up waiting; the query will be retried automatically.",
                zh: "服务商等待超时，稍后会自动重试。",
            },
        ),
        429 => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the account's quota; increase interval to poll less often.",
                zh: "该账号的调用额度与其他调用方共用，请增大 interval 以降低轮询频率。",
            },
        ),
        400..=499 => (
            Reason::BadRequest,
            Advice {
                en: "The provider does not accept the query; check the account's settings.",
                zh: "服务商不接受该查询，请检查账号的设置。",
            },
        ),
        500..=599 => (
            Reason::Server,
            Advice {
                en: "The provider reports a server error; the query will be retried automatically.",
                zh: "服务商返回了服务端错误，稍后会自动重试。",
            },
        ),
        _ => (
            Reason::Decode,
            Advice {
                en: "Check that base_url is the API itself and that no proxy answers in its place.",
                zh: "请确认 base_url 指向 API 本身，且没有代理代为应答。",
            },
        ),
    }
}

/// Returns the error of a request for `earlier` that was redirected to `location`, which was not followed.
pub fn redirected(status: u16, earlier: &str, location: Option<&str>) -> ProviderError {
    let earlier = Url::parse(earlier).ok();
    let target = earlier.as_ref().zip(location).and_then(|(earlier, location)| earlier.join(location).ok());
    let (to, advice) = match (target, earlier) {
        (Some(to), Some(earlier)) if to.origin() == earlier.origin() => (
            "its own host again".to_owned(),
            Advice {
                en: "Check the path of base_url: the provider redirects in a loop.",
                zh: "请检查 base_url 的路径：服务商在循环重定向。",
            },
        ),
        (Some(to), Some(earlier)) => {
            let is_same_host = to.host_str() == earlier.host_str();
            let advice = match is_same_host {
                true => Advice {
                    en: "Set base_url to the scheme and port that the provider redirects to.",
                    zh: "请将 base_url 的协议和端口改为服务商重定向目标的协议和端口。",
                },
                false => Advice {
                    en: "The provider redirects to another host; if that is the right one, set base_url to it.",
                    zh: "服务商重定向到了另一主机；若该主机正确，请将 base_url 改为该主机的地址。",
                },
            };
            (to.origin().ascii_serialization(), advice)
        }
        _ => (
            "an invalid address".to_owned(),
            Advice {
                en: "Check base_url: the address of the redirect is missing or invalid.",
                zh: "请检查 base_url：重定向的地址缺失或无效。",
            },
        ),
    };
    ProviderError::Redirected { status, to, advice }
}

/// Shortens a provider's text to one line of at most 300 characters.
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

    /// The reasons of docs/metrics.md for a status without a code of the provider.
    #[test]
    fn a_status_without_a_code_has_the_reason_of_the_table() {
        for (status, reason) in [
            (400, Reason::BadRequest),
            (401, Reason::Auth),
            (403, Reason::Forbidden),
            (404, Reason::NotFound),
            (408, Reason::Timeout),
            (418, Reason::BadRequest),
            (429, Reason::RateLimited),
            (500, Reason::Server),
            (503, Reason::Server),
        ] {
            assert_eq!(by_status(status).0, reason, "{status}");
        }
    }

    #[test]
    fn only_a_code_of_its_own_is_the_providers_word() {
        let refused = |code: &str| ProviderError::Refused {
            status: 400,
            code: code.to_owned(),
            message: String::new(),
            reason: Reason::BadRequest,
            advice: by_status(400).1,
            reset: None,
            log_id: None,
        };
        assert!(refused("3002").is_in_the_providers_words());
        assert!(!refused("").is_in_the_providers_words(), "a gateway's 400");
        let of_a_department = |error: ProviderError| ProviderError::Scope {
            label: "department",
            scope: "od-1".to_owned(),
            advice: by_status(400).1,
            error: Box::new(error),
        };
        assert!(of_a_department(refused("211007")).is_in_the_providers_words());
        assert!(!of_a_department(refused("")).is_in_the_providers_words());
        assert!(!ProviderError::Decode("not JSON".to_owned()).is_in_the_providers_words());
    }

    #[test]
    fn the_advice_about_a_department_is_for_what_is_wrong_with_its_id() {
        let of_a_department = |status: u16| {
            let (reason, advice) = by_status(status);
            let (code, message) = (String::new(), String::new());
            let error = ProviderError::Refused { status, code, message, reason, advice, reset: None, log_id: None };
            let advice = Advice { en: "check the id", zh: "请检查 ID" };
            ProviderError::Scope { label: "department", scope: "od-1".to_owned(), advice, error: Box::new(error) }
        };
        assert_eq!(of_a_department(400).advice().en, "check the id");
        assert_eq!(of_a_department(403).advice().en, by_status(403).1.en);
    }

    #[test]
    fn a_redirection_names_where_it_leads_and_what_to_write() {
        let earlier = "http://report.jpush.cn/v3/received/detail?msg_ids=1";
        for (location, to, advice) in [
            (Some("https://report.jpush.cn/v3/received/detail"), "https://report.jpush.cn", "scheme and port"),
            (Some("http://report.jpush.cn:8080/v3"), "http://report.jpush.cn:8080", "scheme and port"),
            (Some("https://login.corp.example/?back=secret"), "https://login.corp.example", "another host"),
            (Some("http://REPORT.jpush.cn/v3/"), "its own host again", "in a loop"),
            (Some("/v3/received/detail"), "its own host again", "in a loop"),
            (Some("//login.corp.example/x"), "http://login.corp.example", "another host"),
            (Some("http://report.jpush.cn:80/v3/"), "its own host again", "in a loop"),
            (Some("http://["), "an invalid address", "missing or invalid"),
            (None, "an invalid address", "missing or invalid"),
        ] {
            let error = redirected(301, earlier, location);
            assert_eq!(error.to_string(), format!("HTTP 301: redirected to {to}"), "{location:?}");
            assert!(error.advice().en.contains(advice), "{location:?}: {}", error.advice().en);
            assert_eq!(error.reason(), Reason::NotFound);
        }
    }
}
