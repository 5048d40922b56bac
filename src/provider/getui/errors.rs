//! Getui's envelope and its error table (返回码). The code in the body decides before the HTTP status: 401 has four
//! meanings.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::model::advice::Advice;
use crate::model::reading::{Count, count};
use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::transport::Reply;

/// Envelope of every answer: `{"code":0,"msg":"success","data":…}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope {
    code: Option<Value>,
    msg: Option<Value>,
}

impl Envelope {
    /// Returns the code, which some examples write as text.
    fn code(&self) -> Option<i64> {
        match count(self.code.as_ref()) {
            Count::Is(code) => Some(code),
            Count::Absent | Count::Odd => None,
        }
    }
}

/// Code of a token that is wrong or has expired.
const BAD_TOKEN: i64 = 10_001;
/// Code of a parameter that is not accepted, or of a missing permission.
const BAD_PARAMETER: &str = "20001";
/// Begin of the message of code 20001 that means a missing permission.
const PERMISSION: &str = "permission required";

/// Returns the envelope of a reply; an empty one if the body is no JSON object, as that of a gateway.
fn envelope(reply: &Reply) -> Envelope {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// Returns true for a success.
///
/// # Errors
/// Fails if a 200 has no code or is not JSON.
pub(super) fn is_success(reply: &Reply) -> Result<bool, ProviderError> {
    if reply.status != StatusCode::OK {
        return Ok(false);
    }
    match reply.json::<Envelope>()?.code() {
        Some(code) => Ok(code == 0),
        None => Err(ProviderError::Decode("there is no code in the answer".into())),
    }
}

/// Returns true if the API refused the token itself, so that a new one is worth a try. A refusal is a few hundred bytes;
/// that of a gateway has no code.
pub(super) fn refuses_token(reply: &Reply) -> bool {
    let code = reply.is_small().then(|| envelope(reply).code()).flatten();
    code.map_or(reply.status.as_u16() == 401, |code| code == BAD_TOKEN)
}

/// Returns true if a refusal may blame a task id: Getui's own code for a parameter.
pub(super) fn blames_an_id(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { code, reason: Reason::BadRequest, .. } if code == BAD_PARAMETER)
}

/// Returns the error of a report's reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    refusal(reply, meaning)
}

/// Returns the error of a reply of the token endpoint that is not a success. Whatever code it has, the credentials are
/// wrong, unless the code says that the server is busy or asked too often.
pub(super) fn refused_token(reply: &Reply) -> ProviderError {
    refusal(reply, |status, code, message| {
        let (reason, advice) = meaning(status, code, message);
        match (code, reason) {
            (None, _) | (_, Reason::Server | Reason::RateLimited) => (reason, advice),
            // The host or the address of this machine is wrong, which these say better.
            (Some(301 | 404 | 405 | 10_002), _) => (Reason::Auth, advice),
            _ => (Reason::Auth, CREDENTIALS),
        }
    })
}

fn refusal(reply: &Reply, meaning: impl Fn(u16, Option<i64>, &str) -> (Reason, Advice)) -> ProviderError {
    let status = reply.status.as_u16();
    let envelope = envelope(reply);
    let code = envelope.code().filter(|code| *code != 0);
    let message = envelope.msg.as_ref().and_then(Value::as_str).unwrap_or_default();
    let (reason, advice) = meaning(status, code, message);
    ProviderError::Refused {
        status,
        code: code.map(|code| code.to_string()).unwrap_or_default(),
        message: message.to_owned(),
        log_id: None,
        reason,
        advice,
        // No answer says when a limit ends.
        reset: None,
    }
}

const CREDENTIALS: Advice = Advice {
    en: "Check app_id, app_key and master_secret against the Getui console (应用配置), and this machine's clock.",
    zh: "请对照个推开发者中心“应用配置”核对 app_id、app_key 和 master_secret，并检查本机时钟。",
};

fn meaning(status: u16, code: Option<i64>, message: &str) -> (Reason, Advice) {
    match code {
        Some(2 | 30_019) => (
            Reason::Server,
            Advice {
                en: "Getui reports a server error; the query will be retried automatically.",
                zh: "个推返回了服务端错误，稍后会自动重试。",
            },
        ),
        Some(301) => (
            Reason::NotFound,
            Advice {
                en: "The app lives in another room of Getui; set base_url to the host that its support names, such as https://cncrestapi.getui.com/v2.",
                zh: "该应用不在此机房：请将 base_url 设为个推技术支持提供的地址，如 https://cncrestapi.getui.com/v2。",
            },
        ),
        Some(404) => (
            Reason::NotFound,
            Advice {
                en: "Check base_url: Getui does not know the path; it ends with /v2.",
                zh: "请检查 base_url：个推没有该路径；地址应以 /v2 结尾。",
            },
        ),
        Some(405) => (
            Reason::BadRequest,
            Advice {
                en: "Getui does not accept the request's method; check that no proxy changes it.",
                zh: "个推不接受该请求方法，请确认没有代理改写请求。",
            },
        ),
        Some(BAD_TOKEN) => (
            Reason::Auth,
            Advice {
                en: "Getui rejects the token, and a new one too; check that app_id belongs to app_key and master_secret.",
                zh: "个推拒绝了 token，重新获取的也被拒绝；请确认 app_id 与 app_key、master_secret 属于同一应用。",
            },
        ),
        Some(10_002) => (
            Reason::Forbidden,
            Advice {
                en: "Getui has put the app or this machine's outgoing address on its black list; ask Getui's support to remove it.",
                zh: "该应用或本机的出口 IP 已被个推列入黑名单，请联系个推技术支持解除。",
            },
        ),
        Some(10_003 | 10_005 | 30_018) => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the app's quota of calls; lower requests_per_minute, or increase interval to poll less often.",
                zh: "该应用的接口调用额度与其他调用方共用：请调低 requests_per_minute，或增大 interval 以降低轮询频率。",
            },
        ),
        Some(10_004 | 30_017) => (
            Reason::Forbidden,
            Advice {
                en: "The app has no right to this report; ask Getui's sales to open it.",
                zh: "该应用无权查询此报表，请联系个推商务开通。",
            },
        ),
        Some(20_001) if message.starts_with(PERMISSION) => (
            Reason::Forbidden,
            Advice {
                en: "The app lacks a permission that the message names; ask Getui's sales to open it.",
                zh: "该应用缺少错误信息中所述的权限，请联系个推商务开通。",
            },
        ),
        Some(20_001) => (
            Reason::BadRequest,
            Advice {
                en: "Getui does not accept a parameter: check this machine's clock and timezone and, with delivery: push_task, that the ids are the taskids of its push API.",
                zh: "个推不接受某个参数：请检查本机时钟和 timezone；若使用 delivery: push_task，请确认 ID 是推送接口返回的 taskid。",
            },
        ),
        Some(1 | 22_001 | 22_002 | 23_001) => (
            Reason::BadRequest,
            Advice {
                en: "Getui does not accept the query; check that no proxy changes requests, and report this as a bug.",
                zh: "个推不接受该查询：请确认没有代理改写请求，并向我们反馈此缺陷。",
            },
        ),
        Some(30_000..=30_016) => (
            Reason::Forbidden,
            Advice {
                en: "The limits of the app's plan are reached; upgrade the plan, since waiting does not help.",
                zh: "已达到该应用套餐的上限，等待无用，请升级套餐。",
            },
        ),
        Some(_) if status == 200 => (
            Reason::Server,
            Advice {
                en: "Getui refuses the request with an unknown code; look it up in Getui's table of return codes.",
                zh: "个推拒绝了请求，返回码未知，请在个推的返回码表中查找。",
            },
        ),
        _ => by_status(status),
    }
}
