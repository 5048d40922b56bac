//! OneSignal's error bodies and its error table. There are no codes: the HTTP status decides.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason, by_status, shorten};
use crate::provider::transport::Reply;

/// Error body: `{"errors":["…"]}`, `{"errors":{…}}` or `{"errors":"…"}`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    errors: Value,
}

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    // The body of a failure may be HTML or cut short; then only the status counts.
    let body: ErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let (reason, advice) = meaning(status);
    ProviderError::Refused {
        status,
        code: String::new(),
        message: shorten(&text(&body.errors)),
        log_id: None,
        reason,
        advice,
        reset: (reason == Reason::RateLimited).then(|| retry_after(reply)).flatten(),
    }
}

/// Returns the first error as text. Only the keys of an object are named: its values may be ids of devices.
fn text(errors: &Value) -> String {
    match errors {
        Value::String(text) => text.clone(),
        Value::Array(errors) => errors.first().map(text).unwrap_or_default(),
        Value::Object(errors) => errors.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    reply.number(&["retry-after"]).map(Duration::from_secs)
}

fn meaning(status: u16) -> (Reason, Advice) {
    match status {
        // A wrong or missing key is a 403.
        401 | 403 => (
            Reason::Auth,
            Advice {
                en: "Check that api_key is an App API Key of this app_id (os_v2_app_…), and not an organization key; OneSignal shows it under Settings > Keys & IDs.",
                zh: "请确认 api_key 是该 app_id 的 App API Key（os_v2_app_…），而不是组织密钥；见 OneSignal 控制台 Settings > Keys & IDs。",
            },
        ),
        404 => (
            Reason::NotFound,
            Advice {
                en: "Check base_url and app_id: OneSignal knows no such path or app.",
                zh: "请检查 base_url 和 app_id：OneSignal 没有这样的路径或应用。",
            },
        ),
        429 => (
            Reason::RateLimited,
            Advice {
                en: "OneSignal answers one request a second for each app, which other callers share; it will be retried automatically.",
                zh: "OneSignal 对每个应用每秒只应答一次查询，额度与其他调用方共用；稍后会自动重试。",
            },
        ),
        400 => (
            Reason::BadRequest,
            Advice {
                en: "OneSignal does not accept the query; check app_id.",
                zh: "OneSignal 不接受该查询，请检查 app_id。",
            },
        ),
        _ => by_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn error(status: u16, body: &str) -> ProviderError {
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
        refused(&Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() })
    }

    #[test]
    fn the_documents_errors() {
        for (status, body, reason, said) in [
            (400, r#"{"errors":["app_id not found"]}"#, Reason::BadRequest, "HTTP 400: app_id not found"),
            (400, r#"{"errors":{"limit":["…"],"offset":["…"]}}"#, Reason::BadRequest, "HTTP 400: limit, offset"),
            (400, r#"{"errors":"no"}"#, Reason::BadRequest, "HTTP 400: no"),
            (400, r#"{"errors":[]}"#, Reason::BadRequest, "HTTP 400"),
            (401, "{}", Reason::Auth, "HTTP 401"),
            (403, r#"{"errors":["Access denied.  Please"]}"#, Reason::Auth, "HTTP 403: Access denied.  Please"),
            (403, "<html>", Reason::Auth, "HTTP 403"),
            (404, r#"{"errors":["Notification not found"]}"#, Reason::NotFound, "HTTP 404: Notification not found"),
            (
                429,
                r#"{"errors":["API rate limit exceeded."]}"#,
                Reason::RateLimited,
                "HTTP 429: API rate limit exceeded.",
            ),
            (500, "", Reason::Server, "HTTP 500"),
            (503, "Service temporarily unavailable", Reason::Server, "HTTP 503"),
        ] {
            let error = error(status, body);
            assert_eq!((error.reason(), error.to_string().as_str()), (reason, said), "{status} {body}");
            let reset = (status == 429).then_some(Duration::from_secs(7));
            assert_eq!(error.reset(), reset, "{status}");
            assert!(!error.advice().en.is_empty() && !error.advice().zh.is_empty());
        }
    }
}
