//! JPush's error bodies and its error table (错误码, HTTP-Status-Code).

use std::time::Duration;

use serde_json::Value;

use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason, by_status};
use crate::provider::error_body::ErrorBody;
use crate::provider::rate_limit::Rate;
use crate::provider::transport::Reply;

/// Code of `Invalid parameter 'msg_id'.`, which the document does not list.
const BAD_PARAMETER: &str = "3002";
/// Code of dates that are too old: 只支持查询 60 天以内的用户信息, 30 for groups.
const TOO_OLD: &str = "3005";
/// Code of a schedule that does not exist: schedule-task id does not exist.
const NO_SCHEDULE: &str = "8104";

/// Returns the error of a reply that is not a success.
pub(super) fn refused(reply: &Reply) -> ProviderError {
    let status = reply.status.as_u16();
    let ErrorBody { code, message } = ErrorBody::read(&reply.body);
    let (reason, advice) = meaning(status, &code, &message);
    ProviderError::Refused {
        status,
        code,
        message,
        log_id: None,
        reason,
        advice,
        reset: rate(reply).reset.filter(|_| status == 429),
    }
}

/// Returns true if a success contains an `error` object instead of numbers.
pub(super) fn is_refusal(reply: &Reply) -> bool {
    let body = reply.body.trim_ascii_start();
    // Numbers of messages come as an array, which may be large.
    body.first() == Some(&b'{') && serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer["error"].is_object())
}

/// Returns true if a refusal blames a message id: a 400 with JPush's code for that.
pub(super) fn blames_an_id(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { status: 400, code, .. } if code == BAD_PARAMETER)
}

/// Returns true if JPush does not know a schedule.
pub(super) fn is_unknown_schedule(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { code, .. } if code == NO_SCHEDULE)
}

/// Returns true if the queried time is before the days that JPush answers for.
pub(super) fn is_too_old(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { code, reason: Reason::BadRequest, .. } if code == TOO_OLD)
}

/// Returns the quota from `X-Rate-Limit-Limit` (or `-Quota`), `-Remaining` and `-Reset` (in seconds), which every
/// answer has.
pub(super) fn rate(reply: &Reply) -> Rate {
    Rate {
        limit: reply.number(&["x-rate-limit-limit", "x-rate-limit-quota"]),
        remaining: reply.number(&["x-rate-limit-remaining"]),
        reset: reply.number(&["x-rate-limit-reset"]).map(Duration::from_secs),
    }
}

fn meaning(status: u16, code: &str, message: &str) -> (Reason, Advice) {
    match (status, code) {
        (500..=599, _) | (_, "10") => (
            Reason::Server,
            Advice {
                en: "JPush reports a server error; the query will be retried automatically.",
                zh: "极光返回了服务端错误，稍后会自动重试。",
            },
        ),
        (429, _) | (_, "2001" | "2002") => (
            Reason::RateLimited,
            Advice {
                en: "Other callers share the app's quota; lower requests_per_minute, or increase interval to poll less often.",
                zh: "该应用的调用额度与其他调用方共用：请调低 requests_per_minute，或增大 interval 以降低轮询频率。",
            },
        ),
        (_, "2003") if message.to_ascii_lowercase().contains("black") => (
            Reason::Forbidden,
            Advice {
                en: "JPush has put the AppKey on its black list, usually for too many requests; ask JPush's support to remove it.",
                zh: "该 AppKey 已被极光列入黑名单，通常因请求过多；请联系极光技术支持解除。",
            },
        ),
        (_, "2003") => (
            Reason::Forbidden,
            Advice {
                en: "This report is not enabled for the AppKey. received_detail, received and vendor quotas are free, all others are part of JPush's VIP plan: ask JPush's sales to enable it, or change delivery and remove users and test_devices. If the free ones are refused too, the AppKey may be on the black list: ask JPush's support.",
                zh: "该 AppKey 未开通此报表。received_detail、received 和厂商配额免费，其余属于极光 VIP 版：请联系极光商务开通，或改用其他 delivery 并去掉 users 和 test_devices。若免费的也被拒绝，该 AppKey 可能在黑名单中，请联系极光技术支持。",
            },
        ),
        (_, "3001" | "1004") | (401, _) => (
            Reason::Auth,
            Advice {
                en: "Check app_key and master_secret against the JPush console (应用设置).",
                zh: "请对照极光控制台“应用设置 → 应用信息”核对 app_key 和 master_secret。",
            },
        ),
        (_, BAD_PARAMETER) => (
            Reason::BadRequest,
            Advice {
                en: "JPush does not accept a message id; check that the ids are those that its push API has returned.",
                zh: "极光不接受某个消息 ID，请确认使用的是推送 API 返回的 msg_id。",
            },
        ),
        (_, NO_SCHEDULE) => (
            Reason::NotFound,
            Advice {
                en: "JPush does not know a schedule that it has listed; ignore it if it passes, since the schedule has been deleted in the meantime.",
                zh: "极光找不到刚列出的定时任务；若很快恢复可忽略，该任务可能刚被删除。",
            },
        ),
        (_, "3004" | "3006") => (
            Reason::BadRequest,
            Advice {
                en: "JPush does not accept the format of the queried dates; please report this as a bug.",
                zh: "极光不接受所查日期的格式，请向我们反馈此缺陷。",
            },
        ),
        (_, TOO_OLD) => (
            Reason::BadRequest,
            Advice {
                en: "JPush only has data for the last 60 days, or 30 for groups; check this machine's clock and timezone.",
                zh: "极光只保留最近 60 天的数据（分组为 30 天），请检查本机时钟和 timezone。",
            },
        ),
        (_, "3007") => (
            Reason::BadRequest,
            Advice {
                en: "JPush refuses the queried time as in the future; check this machine's clock and timezone.",
                zh: "极光认为所查时间晚于当前时间，请检查本机时钟和 timezone。",
            },
        ),
        (200, _) => (
            Reason::Server,
            Advice {
                en: "JPush refuses the request with an unknown code; look it up in JPush's table of error codes.",
                zh: "极光拒绝了请求，返回的错误码未知，请在极光的错误码表中查找。",
            },
        ),
        _ => by_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn error(status: u16, body: &str) -> ProviderError {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-rate-limit-reset"),
            HeaderValue::from_static("42"),
        )]);
        refused(&Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() })
    }

    fn body(code: u32, message: &str) -> String {
        format!(r#"{{"error":{{"code":{code},"message":"{message}"}}}}"#)
    }

    #[test]
    fn the_documents_errors() {
        let failed = error(401, &body(3001, "Basic authentication failed"));
        assert_eq!(failed.reason(), Reason::Auth);
        assert_eq!(failed.to_string(), "HTTP 401, code 3001: Basic authentication failed");
        assert_eq!(failed.reset(), None, "every answer has the header");
        // Only this one says that a month is beyond its data.
        let is_too_old = |status, code| super::is_too_old(&error(status, &body(code, "")));
        assert_eq!(
            [(400, 3005), (400, 3004), (500, 10)].map(|(status, code)| is_too_old(status, code)),
            [true, false, false]
        );
        for (status, code, reason) in [
            (500, 10, Reason::Server),
            (429, 2002, Reason::RateLimited),
            (429, 2001, Reason::RateLimited),
            (403, 2003, Reason::Forbidden),
            (400, 3002, Reason::BadRequest),
            (400, 3004, Reason::BadRequest),
            (400, 3005, Reason::BadRequest),
            (400, 3006, Reason::BadRequest),
            (400, 3007, Reason::BadRequest),
            (401, 1004, Reason::Auth),
        ] {
            assert_eq!(error(status, &body(code, "x")).reason(), reason, "{code}");
        }
        let in_a_success = error(200, &body(9999, "of the future"));
        assert_eq!(
            (in_a_success.reason(), in_a_success.to_string().as_str()),
            (Reason::Server, "HTTP 200, code 9999: of the future")
        );
        assert_eq!(error(200, &body(2003, "x")).reason(), Reason::Forbidden);
        assert_eq!(error(502, "<html>bad gateway</html>").reason(), Reason::Server);
        assert_eq!(error(404, "not here").reason(), Reason::NotFound);
        let text = error(400, r#"{"code":"3002","message":"Invalid parameter 'msg_id'."}"#);
        assert_eq!(text.reason(), Reason::BadRequest);
        assert_eq!(text.to_string(), "HTTP 400, code 3002: Invalid parameter 'msg_id'.");
        assert!(text.is_in_the_providers_words());
    }

    #[test]
    fn rate_headers_in_both_spellings() {
        let rate = |name: &'static str| {
            let headers = [(name, "2400"), ("x-rate-limit-remaining", "2399"), ("x-rate-limit-reset", "60")];
            let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            super::rate(&Reply { status: StatusCode::OK, headers: HeaderMap::from_iter(headers), body: Vec::new() })
        };
        let expected = Rate { limit: Some(2400), remaining: Some(2399), reset: Some(Duration::from_secs(60)) };
        assert_eq!((rate("x-rate-limit-limit"), rate("x-rate-limit-quota")), (expected, expected));
    }

    #[test]
    fn both_meanings_of_2003() {
        let vip = error(403, &body(2003, "无权使用此接口"));
        let banned = error(403, &body(2003, "The appKey is in black list."));
        assert!(vip.advice().en.contains("VIP") && banned.advice().en.contains("black list"));
    }

    #[test]
    fn a_429_names_its_reset_and_3002_names_the_id() {
        assert_eq!(error(429, "").reset(), Some(Duration::from_secs(42)));
        assert!(blames_an_id(&error(400, &body(3002, "Invalid parameter 'msg_id'."))));
        let others =
            [(400, "bad request".to_owned()), (400, body(3004, "x")), (405, String::new()), (401, body(3002, "x"))];
        for (status, text) in others {
            assert!(!blames_an_id(&error(status, &text)), "{status} {text}");
        }
    }

    #[test]
    fn only_jpush_says_that_a_schedule_does_not_exist() {
        let deleted = error(404, &body(8104, "schedule-task id does not exist"));
        assert!(is_unknown_schedule(&deleted) && deleted.reason() == Reason::NotFound);
        assert!(deleted.advice().en.contains("has been deleted"));
        for (status, text) in [(404, "<html>not found</html>".to_owned()), (404, body(1000, "x")), (400, String::new())]
        {
            assert!(!is_unknown_schedule(&error(status, &text)), "{status} {text}");
        }
    }
}
