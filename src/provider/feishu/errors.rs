//! Feishu's error bodies and its error tables (those of the document, the token endpoint and the gateway). The code in
//! the body decides; several failures have HTTP status 200.

use std::time::Duration;

use serde::Deserialize;

use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::transport::Reply;

/// Envelope of every answer around its data.
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

/// Code of "data not found": there are no data, or none yet. It is not a failure.
pub(super) const NO_DATA: i64 = 211_011;
const OUT_OF_RANGE: &str = "211010";

/// Returns true if the API refused the token itself, so that a new one is worth a try.
pub(super) fn refuses_token(code: i64) -> bool {
    matches!(code, 99_991_660..=99_991_669 | 99_991_671 | 99_991_677)
}

/// Returns true if the provider refused the date as out of its range.
pub(super) fn is_out_of_range(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { code, .. } if code == OUT_OF_RANGE)
}

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    // A plain-text 404 or HTML has no envelope; then only the status counts.
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

fn meaning(status: u16, code: Option<i64>) -> (Reason, Advice) {
    match code {
        Some(10_003 | 10_014) => (
            Reason::Auth,
            Advice {
                en: "Check app_id and app_secret against the developer console (凭证与基础信息); for an app of Lark, set base_url: https://open.larksuite.com.",
                zh: "请对照飞书开发者后台“凭证与基础信息”核对 app_id 和 app_secret；Lark 应用请设置 base_url: https://open.larksuite.com。",
            },
        ),
        Some(code) if refuses_token(code) => (
            Reason::Auth,
            Advice {
                en: "Feishu rejects the access token, and a new one too; check that the app is enabled and base_url is its own host.",
                zh: "飞书拒绝了访问凭证（access token），重新获取的也被拒绝；请确认应用已启用，且 base_url 与应用所属平台（飞书或 Lark）一致。",
            },
        ),
        Some(99_991_672) => (
            Reason::Forbidden,
            Advice {
                en: "Grant the app the scope application:application.app_message_stats.overview:readonly and publish a new version.",
                zh: "请为应用开通权限 application:application.app_message_stats.overview:readonly 并发布新版本。",
            },
        ),
        Some(99_991_401) => (
            Reason::Forbidden,
            Advice {
                en: "The app's IP whitelist blocks this machine; add its outgoing address in the developer console (安全设置, IP 白名单).",
                zh: "应用的 IP 白名单拦截了本机，请在开发者后台“安全设置 → IP 白名单”中加入本机的出口 IP。",
            },
        ),
        // The status is 429, but the limit only ends with the month.
        Some(99_991_403) => (
            Reason::Forbidden,
            Advice {
                en: "The tenant has used up its API calls of this month; upgrade its plan or wait for the next month. Increase interval to poll less often.",
                zh: "租户本月的 API 调用量已用完：请升级套餐或等到下月，并增大 interval 以降低轮询频率。",
            },
        ),
        Some(211_004) => (
            Reason::Forbidden,
            Advice {
                en: "Upgrade the tenant to the Enterprise or Flagship edition, which the statistics require.",
                zh: "该统计仅限企业版或旗舰版租户，请升级。",
            },
        ),
        Some(99_991_400) => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the app's quota of 100 requests a minute; increase interval to poll less often.",
                zh: "该应用每分钟 100 次的调用额度与其他调用方共用，请增大 interval 以降低轮询频率。",
            },
        ),
        Some(211_005) => (
            Reason::BadRequest,
            Advice {
                en: "Check app_id: the statistics are only for the tenant's own apps (自建应用).",
                zh: "请检查 app_id：该统计仅支持企业自建应用。",
            },
        ),
        Some(211_007) => (
            Reason::BadRequest,
            Advice {
                en: "Feishu does not accept the date; check timezone, and report this as a bug.",
                zh: "飞书不接受该日期，请检查 timezone，并向我们反馈此缺陷。",
            },
        ),
        Some(211_010) => (
            Reason::BadRequest,
            Advice {
                en: "The date is out of Feishu's range; check this machine's clock and timezone.",
                zh: "日期超出飞书支持的范围，请检查本机时钟和 timezone。",
            },
        ),
        Some(2200) => (
            Reason::Server,
            Advice {
                en: "Feishu reports a server error; the query will be retried automatically.",
                zh: "飞书返回了服务端错误，稍后会自动重试。",
            },
        ),
        Some(_) if status == 200 => (
            Reason::Server,
            Advice {
                en: "Feishu refuses the request with an unknown code; look it up in Feishu's table of error codes.",
                zh: "飞书拒绝了请求，返回的错误码未知，请在飞书的错误码表中查找。",
            },
        ),
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
            // Codes that the document does not list: HTTP 200 is a failure, and the status decides otherwise.
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
