//! Easemob's error bodies and its error table (响应状态码, 错误码).

use serde::Deserialize;

use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::transport::Reply;

/// Error body: `{"error":"unauthorized","error_description":"Unable to authenticate (OAuth)", …}`
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Option<String>,
    error_description: Option<String>,
}

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    // The body of a failure may be HTML or cut short; then only the status counts.
    let body: ErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = body.error.unwrap_or_default();
    let (reason, advice) = meaning(status, &code);
    ProviderError::Refused {
        status,
        message: body.error_description.unwrap_or_default(),
        code,
        log_id: None,
        reason,
        advice,
        reset: None,
    }
}

/// Returns the error of a 200 whose `status` is not `OK`.
pub(super) fn not_ok(status: &str) -> ProviderError {
    ProviderError::Refused {
        status: 200,
        code: String::new(),
        message: format!("status {status} instead of OK"),
        log_id: None,
        reason: Reason::Server,
        advice: Advice {
            en: "Easemob reports a server error; the query will be retried automatically.",
            zh: "环信返回了服务端错误，稍后会自动重试。",
        },
        reset: None,
    }
}

fn meaning(status: u16, code: &str) -> (Reason, Advice) {
    match (status, code) {
        (_, "invalid_grant") => (
            Reason::Auth,
            Advice {
                en: "Check client_id and client_secret against the Easemob console.",
                zh: "请对照环信控制台核对 client_id 和 client_secret。",
            },
        ),
        (_, "unauthorized" | "auth_bad_access_token") | (401, "") => (
            Reason::Auth,
            Advice {
                en: "Easemob rejects the app token, and a new one too; check client_id and client_secret, or replace app_token.",
                zh: "环信拒绝了 App Token，重新获取的也被拒绝；请检查 client_id 和 client_secret，或更换 app_token。",
            },
        ),
        (_, "forbidden_op") => (
            Reason::Forbidden,
            Advice {
                en: "Offline push statistics are not enabled for this app; ask Easemob's sales to enable them.",
                zh: "该应用未开通离线推送结果统计，请联系环信商务开通。",
            },
        ),
        (_, "forbidden_service_operation") => (
            Reason::Forbidden,
            Advice {
                en: "The app is banned; ask Easemob's support.", zh: "该应用已被封禁，请联系环信技术支持。"
            },
        ),
        (_, "organization_application_not_found") => (
            Reason::NotFound,
            Advice {
                en: "Check org_name and app_name, and that base_url is the REST host of the app's own data centre (the console shows it).",
                zh: "请检查 org_name 和 app_name，并确认 base_url 是该应用所在数据中心的 REST 域名（见环信控制台）。",
            },
        ),
        (_, "resource_limited") => (
            Reason::Forbidden,
            Advice {
                en: "The plan's limit is reached; upgrade the plan, since waiting does not help.",
                zh: "已达到套餐上限，等待无用，请升级套餐。",
            },
        ),
        (_, "reach_limit") | (429, _) => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the app's quota of 10 requests in 10 seconds; increase interval to poll less often.",
                zh: "该应用每 10 秒 10 次的调用额度与其他调用方共用，请增大 interval 以降低轮询频率。",
            },
        ),
        _ => by_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn reason(status: u16, body: &str) -> Reason {
        let status = StatusCode::from_u16(status).unwrap();
        refused(&Reply { status, headers: HeaderMap::new(), body: body.into() }).reason()
    }

    #[test]
    fn the_documents_errors() {
        let body = |error: &str| {
            format!(
                r#"{{"error":"{error}","exception":"x","timestamp":1626160000000,"duration":0,"error_description":""}}"#
            )
        };
        assert_eq!(reason(403, &body("forbidden_op")), Reason::Forbidden);
        assert_eq!(reason(401, &body("unauthorized")), Reason::Auth);
        assert_eq!(reason(401, &body("auth_bad_access_token")), Reason::Auth);
        assert_eq!(reason(400, &body("invalid_grant")), Reason::Auth);
        assert_eq!(reason(404, &body("organization_application_not_found")), Reason::NotFound);
        assert_eq!(reason(429, &body("reach_limit")), Reason::RateLimited);
        assert_eq!(reason(429, &body("resource_limited")), Reason::Forbidden);
        // The code decides, whatever status a gateway sends with it.
        assert_eq!(reason(403, &body("reach_limit")), Reason::RateLimited);
        assert_eq!(reason(400, &body("auth_bad_access_token")), Reason::Auth);
        assert_eq!(reason(401, "<html>"), Reason::Auth);
        assert_eq!(reason(503, ""), Reason::Server);
        assert_eq!(reason(502, "<html>bad gateway</html>"), Reason::Server);
        assert_eq!(reason(404, "not here"), Reason::NotFound);
        assert_eq!(reason(400, "{}"), Reason::BadRequest);
    }
}
