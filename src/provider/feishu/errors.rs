//! Feishu's error bodies and its error tables (the document's, the token endpoint's, the gateway's).
//! The code in the body decides; several failures come as HTTP 200.

use std::time::Duration;

use serde::Deserialize;

use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::transport::Reply;

/// What every answer has around its data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    pub(super) code: Option<i64>,
    msg: Option<String>,
    error: Option<ErrorDetail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    log_id: Option<String>,
}

/// "data not found": nothing there, or not yet. Not a failure.
pub(super) const NO_DATA: i64 = 211_011;
const OUT_OF_RANGE: &str = "211010";

/// Whether the API refused the token itself, so that a new one is worth a try.
pub(super) fn refuses_token(code: i64) -> bool {
    matches!(code, 99_991_660..=99_991_669 | 99_991_671 | 99_991_677)
}

/// Whether the provider says that the date is out of its range.
pub(super) fn is_out_of_range(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { code, .. } if code == OUT_OF_RANGE)
}

/// What a reply that is not a success means.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    // A plain-text 404 or HTML has no envelope; then the status says it all.
    let envelope: Envelope = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = envelope.code.filter(|code| *code != 0);
    let (reason, advice) = meaning(status, code);
    let log_id = ["x-tt-logid", "x-request-id"]
        .into_iter()
        .find_map(|name| reply.header(name))
        .map(str::to_owned)
        .or(envelope.error.and_then(|error| error.log_id));
    let reset = (reason == Reason::RateLimited)
        .then(|| reply.header("x-ogw-ratelimit-reset")?.trim().parse().ok().map(Duration::from_secs))
        .flatten();
    ProviderError::Refused {
        status,
        code: code.map(|code| code.to_string()).unwrap_or_default(),
        message: envelope.msg.unwrap_or_default(),
        log_id,
        reason,
        advice,
        reset,
    }
}

fn meaning(status: u16, code: Option<i64>) -> (Reason, &'static str) {
    match code {
        Some(10_003 | 10_014) => (
            Reason::Auth,
            "Check app_id and app_secret against the developer console (凭证与基础信息); an app of Lark needs base_url: https://open.larksuite.com.",
        ),
        Some(code) if refuses_token(code) => (
            Reason::Auth,
            "The access token is refused, a new one too: check that the app is enabled and base_url is its own host.",
        ),
        Some(99_991_672) => (
            Reason::Forbidden,
            "Grant the app the scope application:application.app_message_stats.overview:readonly and publish a new version.",
        ),
        Some(99_991_401) => (
            Reason::Forbidden,
            "The app's IP whitelist keeps this machine out: add its outgoing address in the developer console (安全设置, IP 白名单).",
        ),
        // It comes as a 429, but nothing is over before the month is.
        Some(99_991_403) => (
            Reason::Forbidden,
            "The tenant has used up its API calls of this month; a larger plan or the next month ends that. Poll less often with interval.",
        ),
        Some(211_004) => (Reason::Forbidden, "The statistics need the Enterprise or Flagship edition of the tenant."),
        Some(99_991_400) => (
            Reason::RateLimited,
            "Other callers use the app's quota of 100 requests a minute; poll less often with interval.",
        ),
        Some(211_005) => {
            (Reason::BadRequest, "Check app_id: the statistics are only for the tenant's own apps (自建应用).")
        }
        Some(211_007) => (Reason::BadRequest, "The date is not accepted; check timezone, and report it as a bug."),
        Some(211_010) => {
            (Reason::BadRequest, "The date is out of Feishu's range; check this machine's clock and timezone.")
        }
        Some(2200) => (Reason::Server, "Feishu has trouble; it is asked again by itself."),
        Some(_) if status == 200 => {
            (Reason::Server, "Feishu refuses with a code of its own; look it up in Feishu's table of error codes.")
        }
        _ => by_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn the_documents_errors() {
        for (status, code, reason) in [
            (200, 10_003, Reason::Auth),
            (200, 10_014, Reason::Auth),
            (400, 10_014, Reason::Auth),
            (400, 99_991_661, Reason::Auth),
            (400, 99_991_663, Reason::Auth),
            (200, 99_991_671, Reason::Auth),
            (400, 99_991_677, Reason::Auth),
            (400, 99_991_672, Reason::Forbidden),
            (403, 211_004, Reason::Forbidden),
            (400, 99_991_400, Reason::RateLimited),
            (429, 99_991_400, Reason::RateLimited),
            (400, 99_991_401, Reason::Forbidden),
            (429, 99_991_403, Reason::Forbidden),
            (403, 211_010, Reason::BadRequest),
            (400, 211_007, Reason::BadRequest),
            (400, 211_005, Reason::BadRequest),
            (200, 2200, Reason::Server),
            // Codes that the document does not have: a success that is none, and what the status says.
            (200, 4_711, Reason::Server),
            (403, 4_711, Reason::Forbidden),
        ] {
            let body = format!(r#"{{"code":{code},"msg":"m","error":{{"log_id":"2026"}}}}"#);
            let error = refused(&reply(status, &body));
            assert_eq!(error.reason(), reason, "{status} {code}");
            assert_eq!(error.to_string(), format!("HTTP {status}, code {code}: m"));
            assert_eq!(error.log_id(), Some("2026"));
        }
        assert_eq!(refused(&reply(404, "404 page not found")).reason(), Reason::NotFound);
        assert_eq!(refused(&reply(504, "<html>")).reason(), Reason::Server);
    }

    #[test]
    fn the_reset_header_is_read() {
        let mut limited = reply(429, r#"{"code":99991400,"msg":"request trigger frequency limit"}"#);
        limited.headers.insert("x-ogw-ratelimit-reset", "52".parse().unwrap());
        assert_eq!(refused(&limited).reset(), Some(Duration::from_secs(52)));
    }
}
