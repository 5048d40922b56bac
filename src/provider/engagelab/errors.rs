//! EngageLab's error table. The code in the body decides before the HTTP status, which is 400 for a rate limit too.

use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::error_body::ErrorBody;
use crate::provider::transport::Reply;

/// Code of the statistics API for a parameter that is missing or invalid.
const BAD_PARAMETER: &str = "1003";

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    let ErrorBody { code, message } = ErrorBody::read(&reply.body);
    let (reason, advice) = meaning(status, &code);
    ProviderError::Refused { status, code, message, log_id: None, reason, advice, reset: None }
}

/// Returns true if a refusal blames a message id: a 400 with the code for that.
pub(super) fn blames_an_id(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { status: 400, code, .. } if code == BAD_PARAMETER)
}

fn meaning(status: u16, code: &str) -> (Reason, Advice) {
    match (status, code) {
        (_, "21004" | "27001") => (
            Reason::Auth,
            Advice {
                en: "Check app_key and master_secret against the EngageLab console, and that base_url is the app's data centre: others do not know the app.",
                zh: "请对照 EngageLab 控制台核对 app_key 和 master_secret，并确认 base_url 是该应用所在的数据中心：其他数据中心不认识该应用。",
            },
        ),
        (_, "21008") => (
            Reason::Auth,
            Advice {
                en: "EngageLab cannot read the AppKey: app_key has characters, such as spaces, that no AppKey has.",
                zh: "EngageLab 无法识别 AppKey：app_key 含有多余字符（如空格）。",
            },
        ),
        (_, "21038") => (
            Reason::Forbidden,
            Advice {
                en: "The app's EngageLab plan has expired or is not activated; renew it in the console, or remove users and discover if only they are refused.",
                zh: "该应用的 EngageLab 套餐已过期或未开通：请在控制台续费；若仅 users 或 discover 被拒绝，也可以将其去掉。",
            },
        ),
        (_, "23009") => (
            Reason::Forbidden,
            Advice {
                en: "EngageLab's IP whitelist of the app blocks this machine; add its public address in the console.",
                zh: "该应用的 EngageLab IP 白名单拦截了本机，请在控制台加入本机的公网地址。",
            },
        ),
        (_, "23008") => (
            Reason::RateLimited,
            Advice {
                en: "The AppKey has used up EngageLab's requests of this second, which its pushes share; increase interval to poll less often.",
                zh: "该 AppKey 已达到 EngageLab 的每秒请求上限（与推送共用）：请增大 interval 以降低轮询频率。",
            },
        ),
        (_, BAD_PARAMETER) => (
            Reason::BadRequest,
            Advice {
                en: "EngageLab does not accept a message id or date; check that the ids are those that its push API has returned, and this machine's clock and timezone.",
                zh: "EngageLab 不接受某个消息 ID 或日期：请确认使用的是推送 API 返回的 msg_id，并检查本机时钟和 timezone。",
            },
        ),
        (_, "21001" | "21002" | "21003" | "21015" | "21016" | "20101") => (
            Reason::BadRequest,
            Advice {
                en: "EngageLab does not accept the form of the request; check that no proxy changes it, and report this as a bug.",
                zh: "EngageLab 不接受请求的格式：请确认没有代理改写请求，并向我们反馈此缺陷。",
            },
        ),
        (_, "21009" | "21030" | "27000") | (500..=599, _) => (
            Reason::Server,
            Advice {
                en: "EngageLab reports a server error; the query will be retried automatically.",
                zh: "EngageLab 返回了服务端错误，稍后会自动重试。",
            },
        ),
        (401, _) => (
            Reason::Auth,
            Advice {
                en: "Check app_key and master_secret against the EngageLab console, and that base_url is the app's data centre.",
                zh: "请对照 EngageLab 控制台核对 app_key 和 master_secret，并确认 base_url 是该应用所在的数据中心。",
            },
        ),
        (200, _) => (
            Reason::Server,
            Advice {
                en: "EngageLab refuses the request with an unknown code; look it up in EngageLab's table of error codes.",
                zh: "EngageLab 拒绝了请求，返回的错误码未知，请在 EngageLab 的错误码表中查找。",
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
        refused(&Reply { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.into() })
    }

    #[test]
    fn both_forms_of_a_body() {
        let nested = error(401, r#"{"error":{"code":21004,"message":"Basic authentication failed"}}"#);
        let flat = error(401, r#"{"code":21004,"message":"Basic authentication failed"}"#);
        for error in [nested, flat] {
            assert_eq!(error.to_string(), "HTTP 401, code 21004: Basic authentication failed");
            assert_eq!(error.reason(), Reason::Auth);
        }
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for (status, code, reason) in [
            (400, 23008, Reason::RateLimited),
            (401, 21038, Reason::Forbidden),
            (400, 23009, Reason::Forbidden),
            (400, 21009, Reason::Server),
            (400, 21008, Reason::Auth),
            (200, 99999, Reason::Server),
            (402, 99999, Reason::BadRequest),
        ] {
            let found = error(status, &format!(r#"{{"error":{{"code":{code},"message":"x"}}}}"#));
            assert_eq!(found.reason(), reason, "{status} {code}");
        }
        for (status, reason) in [
            (401, Reason::Auth),
            (403, Reason::Forbidden),
            (404, Reason::NotFound),
            (410, Reason::BadRequest),
            (429, Reason::RateLimited),
            (502, Reason::Server),
        ] {
            assert_eq!(error(status, "<html>").reason(), reason, "{status}");
        }
    }

    #[test]
    fn only_a_400_with_its_code_blames_an_id() {
        assert!(blames_an_id(&error(400, r#"{"error":{"code":1003,"message":"x"}}"#)));
        for (status, body) in [
            (400, "bad request"),
            (400, r#"{"error":{"code":21003,"message":"x"}}"#),
            (401, r#"{"error":{"code":1003,"message":"x"}}"#),
        ] {
            assert!(!blames_an_id(&error(status, body)), "{status} {body}");
        }
    }
}
