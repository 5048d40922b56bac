//! Easemob's error bodies and its error table (响应状态码, 错误码).

use serde::Deserialize;

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
        advice: "Easemob reports a server error; the query will be retried automatically.",
        reset: None,
    }
}

fn meaning(status: u16, code: &str) -> (Reason, &'static str) {
    match (status, code) {
        (_, "invalid_grant") => (Reason::Auth, "Check client_id and client_secret against the Easemob console."),
        (_, "unauthorized" | "auth_bad_access_token") | (401, "") => (
            Reason::Auth,
            "Easemob rejects the app token, and a new one too; check client_id and client_secret, or replace app_token.",
        ),
        (_, "forbidden_op") => (
            Reason::Forbidden,
            "Offline push statistics are not enabled for this app; ask Easemob's sales to enable them.",
        ),
        (_, "forbidden_service_operation") => (Reason::Forbidden, "The app is banned; ask Easemob's support."),
        (_, "organization_application_not_found") => (
            Reason::NotFound,
            "Check org_name and app_name, and that base_url is the REST host of the app's own data centre (the console shows it).",
        ),
        (_, "resource_limited") => {
            (Reason::Forbidden, "The plan's limit is reached; upgrade the plan, since waiting does not help.")
        }
        (_, "reach_limit") | (429, _) => (
            Reason::RateLimited,
            "Other callers share the app's quota of 10 requests in 10 seconds; increase interval to poll less often.",
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
