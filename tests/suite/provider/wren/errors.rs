//! Wren's error bodies and its error table: a reason and advice for each code.

use std::time::Duration;

use serde::Deserialize;

use push_exporter::model::advice::Advice;
use push_exporter::provider::error::{ProviderError, Reason, by_status};
use push_exporter::provider::transport::Reply;

/// Error body: `{"code": 2001, "message": "…"}`
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: Option<i64>,
    message: String,
}

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    // A proxy's HTML has no code; then only the status counts.
    let ErrorBody { code, message } = serde_json::from_slice(&reply.body).unwrap_or_default();
    let (reason, advice) = match code {
        Some(1001) => (
            Reason::BadRequest,
            Advice {
                en: "Wren does not accept the days; check timezone, and report this as a bug.",
                zh: "Wren 不接受所查日期，请检查 timezone，并向我们反馈此缺陷。",
            },
        ),
        Some(2001) => (
            Reason::Auth,
            Advice {
                en: "Check app_id and api_secret against Wren's console (App, Keys).",
                zh: "请对照 Wren 控制台（App、Keys）核对 app_id 和 api_secret。",
            },
        ),
        Some(2002) => (
            Reason::Forbidden,
            Advice {
                en: "The app's plan has no statistics; upgrade it to Standard.",
                zh: "该应用的套餐不含统计，请升级到 Standard。",
            },
        ),
        Some(3001) => (
            Reason::NotFound,
            Advice {
                en: "Check app_id, and that base_url is the host of the app's own region.",
                zh: "请检查 app_id，并确认 base_url 是该应用所在区域的域名。",
            },
        ),
        Some(4001) => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the app's quota; increase interval to poll less often.",
                zh: "该应用的调用额度与其他调用方共用，请增大 interval 以降低轮询频率。",
            },
        ),
        _ => by_status(status),
    };
    let (code, log_id) = (code.map(|code| code.to_string()), reply.header("x-request-id").map(str::to_owned));
    let reset = reply.number(&["retry-after"]).map(Duration::from_secs);
    ProviderError::Refused { status, code: code.unwrap_or_default(), message, log_id, reason, advice, reset }
}
