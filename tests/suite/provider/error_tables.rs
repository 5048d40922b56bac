//! Every code of the providers' error tables, and of what those leave out: its reason on the page, and
//! on the status page the code and a sentence of advice, in English and Chinese. Written by hand from the documents.

use std::time::Duration;

use push_exporter::util::clock::Clock;
use serde_json::json;

use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Exporter, fast_dir, simulate};

/// Parts of the English advice, and of the Chinese advice that stands for it.
const IN_CHINESE: [(&str, &str); 61] = [
    ("JPush reports a server error", "极光返回了服务端错误，稍后会自动重试"),
    ("lower requests_per_minute", "请调低 requests_per_minute"),
    ("This report is not enabled for the AppKey.", "该 AppKey 未开通此报表"),
    ("is not enabled", "该 AppKey 未开通此报表"),
    ("has put the AppKey on its black list", "黑名单"),
    ("Check app_key and master_secret", "核对 app_key 和 master_secret"),
    ("those that its push API has returned", "推送 API 返回的 msg_id"),
    ("the format of the queried dates", "日期的格式"),
    ("for the last 60 days, or 30 for groups", "最近 60 天的数据（分组为 30 天）"),
    ("as in the future", "所查时间晚于当前时间"),
    ("check the account", "请检查账号的设置"),
    ("the host or path is wrong", "主机或路径有误"),
    ("Offline push statistics are not enabled", "未开通离线推送结果统计，请联系环信商务"),
    ("rejects the app token, and a new one too", "环信拒绝了 App Token，重新获取的也被拒绝"),
    ("The app is banned", "该应用已被封禁"),
    ("the app's own data centre", "该应用所在数据中心的 REST 域名"),
    ("10 requests in 10 seconds", "每 10 秒 10 次"),
    ("upgrade the plan", "等待无用，请升级套餐"),
    ("Check client_id and client_secret", "核对 client_id 和 client_secret"),
    ("Enterprise or Flagship edition", "企业版或旗舰版"),
    ("out of Feishu's range", "日期超出飞书支持的范围"),
    ("Feishu does not accept the date", "飞书不接受该日期"),
    ("the tenant's own apps", "仅支持企业自建应用"),
    ("rejects the access token, and a new one too", "飞书拒绝了访问凭证（access token），重新获取的也被拒绝"),
    ("Grant the app the scope", "开通权限 application:application.app_message_stats.overview:readonly"),
    ("100 requests a minute", "每分钟 100 次"),
    ("The app's IP whitelist blocks this machine", "应用的 IP 白名单拦截了本机"),
    ("used up its API calls of this month", "本月的 API 调用量已用完"),
    ("Feishu reports a server error", "飞书返回了服务端错误，稍后会自动重试"),
    ("Feishu's table of error codes", "飞书的错误码表"),
    ("Check app_id and app_secret", "核对 app_id 和 app_secret"),
    ("set base_url: https://open.larksuite.com", "Lark 应用请设置 base_url: https://open.larksuite.com"),
    ("others do not know the app", "其他数据中心不认识该应用"),
    ("has characters, such as spaces", "app_key 含有多余字符"),
    ("has expired or is not activated", "套餐已过期或未开通"),
    ("EngageLab's IP whitelist of the app", "EngageLab IP 白名单拦截了本机"),
    ("EngageLab's requests of this second", "每秒请求上限"),
    ("does not accept a message id or date", "不接受某个消息 ID 或日期"),
    ("does not accept the form of the request", "不接受请求的格式"),
    ("EngageLab reports a server error", "EngageLab 返回了服务端错误，稍后会自动重试"),
    ("EngageLab's table of error codes", "EngageLab 的错误码表"),
    ("that base_url is the app's data centre.", "并确认 base_url 是该应用所在的数据中心。"),
    ("Getui reports a server error", "个推返回了服务端错误，稍后会自动重试"),
    ("another room of Getui", "不在此机房"),
    ("Getui does not know the path", "个推没有该路径"),
    ("the request's method", "不接受该请求方法"),
    ("Getui rejects the token, and a new one too", "个推拒绝了 token，重新获取的也被拒绝"),
    ("outgoing address on its black list", "出口 IP 已被个推列入黑名单"),
    ("the app's quota of calls", "接口调用额度与其他调用方共用"),
    ("no right to this report", "无权查询此报表"),
    ("lacks a permission", "缺少错误信息中所述的权限"),
    ("Getui does not accept a parameter", "个推不接受某个参数"),
    ("report this as a bug", "向我们反馈此缺陷"),
    ("ask the provider to enable it", "请联系服务商开通"),
    ("Getui's table of return codes", "个推的返回码表"),
    ("Check app_id, app_key and master_secret", "核对 app_id、app_key 和 master_secret"),
    ("an App API Key of this app_id", "该 app_id 的 App API Key"),
    ("knows no such path or app", "没有这样的路径或应用"),
    ("one request a second for each app", "每秒只应答一次查询"),
    ("OneSignal does not accept the query", "OneSignal 不接受该查询"),
    // After the more specific ones.
    ("the query will be retried automatically", "稍后会自动重试"),
];

/// Runs an exporter in front of a provider that answers so, and looks at its page and status page.
async fn look(section: &str, answers: &[(&'static str, u16, &str)], labels: &str, reason: &str, texts: &[&str]) {
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let (fake, address) = simulate(ScriptedProvider::default()).await;
    for (path, status, body) in answers {
        fake.say(path, *status, body);
    }
    let folder = fast_dir();
    let exporter = Exporter::start(&section.replace("ADDRESS", &address.to_string()), folder.path(), &clock).await;
    // A 429 without a reset is waited for twice within the poll.
    tokio::time::sleep(Duration::from_secs(240)).await;
    let page = exporter.scrape().await;
    let context = format!("{answers:?}");
    let failing = page.starting(&[&format!("push_poll_failing{{{labels}")]);
    let expected = format!(r#"push_poll_failing{{{labels},reason="{reason}"}}"#);
    assert_eq!(failing.into_iter().collect::<Vec<_>>(), [(expected, 1)], "{context}");
    assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(0.0), "{context}");
    assert!(page.get(&format!(r#"push_poll_errors_total{{{labels},reason="{reason}"}}"#)).unwrap() >= 1.0, "{context}");
    let html = exporter.get("/").await.1.replace("&#39;", "'").replace("&quot;", "\"");
    let status: serde_json::Value = serde_json::from_str(&exporter.get("/api/v1/status").await.1).unwrap();
    for text in texts {
        assert!(html.contains(text), "{context}: {text:?} is not on the status page:\n{html}");
        assert!(status.to_string().replace("\\\"", "\"").contains(text), "{context}: {text:?} is not in {status}");
    }
    let chinese = exporter.get_as("/", &[("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")]).await.1;
    let (english, translated) = IN_CHINESE.iter().find(|(en, _)| texts.iter().any(|text| text.contains(en))).unwrap();
    assert!(
        chinese.contains(translated) && !chinese.contains(english),
        "{context}: {translated:?} is not in {chinese}"
    );
    let advice =
        &status["reports"].as_array().unwrap().iter().find(|report| !report["error"].is_null()).unwrap()["error"];
    assert!(advice["advice_zh"].as_str().unwrap().contains(translated), "{context}: {advice}");
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jpush() {
    let section = "jpush:\n  - {app: shop, base_url: 'http://ADDRESS/v3', app_key: key, master_secret: m4ster, users: [day], messages: {ids: [1, 2]}}\n";
    // 错误码 of the document; 2001, 2002, 2003's second meaning, 3002 and 1004 are not in it.
    for (status, code, message, reason, advice) in [
        (500, 10, "internal", "server", "JPush reports a server error; the query will be retried automatically."),
        (429, 2001, "x", "rate_limited", "lower requests_per_minute"),
        (429, 2002, "Rate limit exceeded", "rate_limited", "lower requests_per_minute"),
        (403, 2003, "无权使用此接口", "forbidden", "This report is not enabled for the AppKey."),
        (403, 2003, "The appKey is in black list.", "forbidden", "has put the AppKey on its black list"),
        (401, 3001, "Basic authentication failed", "auth", "Check app_key and master_secret"),
        (401, 1004, "Basic authentication failed", "auth", "Check app_key and master_secret"),
        (400, 3002, "Invalid parameter 'msg_id'.", "bad_request", "those that its push API has returned"),
        (400, 3004, "x", "bad_request", "the format of the queried dates"),
        (400, 3005, "x", "bad_request", "for the last 60 days, or 30 for groups"),
        (400, 3006, "x", "bad_request", "the format of the queried dates"),
        (400, 3007, "x", "bad_request", "as in the future"),
        (402, 9999, "of the future", "bad_request", "check the account"),
    ] {
        let body = json!({ "error": { "code": code, "message": message } }).to_string();
        for report in ["received_detail", "users"] {
            let labels = format!(r#"provider="jpush",app="shop",report="{report}""#);
            look(section, &[("/v3", status, &body)], &labels, reason, &[&format!("code {code}"), message, advice])
                .await;
        }
    }
    let labels = r#"provider="jpush",app="shop",report="users""#;
    // A success that holds an error in the place of numbers.
    let refusal = json!({ "error": { "code": 2003, "message": "无权使用此接口" } }).to_string();
    look(section, &[("/v3", 200, &refusal)], labels, "forbidden", &["HTTP 200, code 2003", "is not enabled"]).await;
    let html = "<html><title>502 Bad Gateway</title></html>";
    look(section, &[("/v3", 502, html)], labels, "server", &["HTTP 502", "the query will be retried automatically"])
        .await;
    look(section, &[("/v3", 404, "")], labels, "not_found", &["HTTP 404", "the host or path is wrong"]).await;
}

#[tokio::test(start_paused = true)]
async fn engagelab() {
    let section = "engagelab:\n  - {app: abroad, base_url: 'http://ADDRESS', app_key: key, master_secret: m4ster, users: [day], discover: [plans], messages: {ids: [1, 2]}}\n";
    // Section 6 of the document; the last code is not in it.
    let server = "EngageLab reports a server error; the query will be retried automatically.";
    let form = "does not accept the form of the request";
    for (status, code, message, reason, advice) in [
        (401, 21004, "Basic authentication failed", "auth", "others do not know the app"),
        (401, 27001, "authorization is empty", "auth", "others do not know the app"),
        (400, 21008, "app_key is malformed", "auth", "has characters, such as spaces"),
        (401, 21038, "vip expired", "forbidden", "has expired or is not activated"),
        (400, 23009, "ip is not in the whitelist", "forbidden", "EngageLab's IP whitelist of the app"),
        (400, 23008, "qps limit reached", "rate_limited", "EngageLab's requests of this second"),
        (400, 1003, "parameter invalid", "bad_request", "does not accept a message id or date"),
        (400, 21002, "parameter missing", "bad_request", form),
        (400, 21003, "parameter invalid", "bad_request", form),
        (400, 21015, "parameter invalid", "bad_request", form),
        (400, 21016, "parameter invalid", "bad_request", form),
        (400, 20101, "parameter invalid", "bad_request", form),
        (405, 21001, "method not allowed", "bad_request", form),
        (400, 21009, "internal error", "server", server),
        (503, 21030, "timeout inside", "server", server),
        (500, 27000, "memory error", "server", server),
        (402, 99999, "of the future", "bad_request", "check the account"),
    ] {
        let body = json!({ "error": { "code": code, "message": message } }).to_string();
        for report in ["status_detail", "status_users", "push_plans"] {
            let labels = format!(r#"provider="engagelab",app="abroad",report="{report}""#);
            look(section, &[("/v4", status, &body)], &labels, reason, &[&format!("code {code}"), message, advice])
                .await;
        }
    }
    let labels = r#"provider="engagelab",app="abroad",report="status_users""#;
    // The form without an envelope, and a success that holds an error.
    let flat = json!({ "code": 21038, "message": "vip expired" }).to_string();
    look(section, &[("/v4", 401, &flat)], labels, "forbidden", &["code 21038", "has expired or is not activated"])
        .await;
    look(
        section,
        &[("/v4", 200, &flat)],
        labels,
        "forbidden",
        &["HTTP 200, code 21038", "has expired or is not activated"],
    )
    .await;
    let unknown = json!({ "error": { "code": 99999, "message": "of the future" } }).to_string();
    let texts = ["HTTP 200, code 99999", "EngageLab's table of error codes"];
    look(section, &[("/v4", 200, &unknown)], labels, "server", &texts).await;
    look(section, &[("/v4", 401, "")], labels, "auth", &["HTTP 401", "that base_url is the app's data centre."]).await;
    look(section, &[("/v4", 404, "")], labels, "not_found", &["HTTP 404", "the host or path is wrong"]).await;
    look(section, &[("/v4", 410, "")], labels, "bad_request", &["HTTP 410", "check the account"]).await;
    let html = "<html><title>502 Bad Gateway</title></html>";
    look(section, &[("/v4", 502, html)], labels, "server", &["HTTP 502", "EngageLab reports a server error"]).await;
}

#[tokio::test(start_paused = true)]
async fn easemob() {
    let section = "easemob:\n  - {app: chat, base_url: 'http://ADDRESS', org_name: acme, app_name: chat, client_id: YXA6, client_secret: x}\n";
    let labels = r#"provider="easemob",app="chat",report="offline_push""#;
    let body = |error: &str, description: &str| {
        json!({ "error": error, "exception": "x", "timestamp": 1_626_160_000_000_i64, "duration": 0, "error_description": description })
            .to_string()
    };
    let token = r#"{"access_token":"YWMt","expires_in":1024000,"application":"a"}"#;
    // 错误码 of the document: forbidden_op, unauthorized; the others of 响应状态码.
    for (status, code, description, reason, advice) in [
        (403, "forbidden_op", "", "forbidden", "Offline push statistics are not enabled for this app"),
        (401, "unauthorized", "Unable to authenticate (OAuth)", "auth", "rejects the app token, and a new one too"),
        (
            401,
            "auth_bad_access_token",
            "due to expired access token",
            "auth",
            "rejects the app token, and a new one too",
        ),
        (
            403,
            "forbidden_service_operation",
            "the app is banned",
            "forbidden",
            "The app is banned; ask Easemob's support.",
        ),
        (404, "organization_application_not_found", "no app", "not_found", "the app's own data centre"),
        (429, "reach_limit", "This request has reached api limit.", "rate_limited", "10 requests in 10 seconds"),
        (429, "resource_limited", "You have exceeded the limit of the Free edition", "forbidden", "upgrade the plan"),
        (400, "invalid_parameter", "of the future", "bad_request", "check the account's settings"),
        (503, "unavailable", "", "server", "the query will be retried automatically"),
    ] {
        let body = body(code, description);
        let answers = [("/acme/chat/token", 200, token), ("/acme/chat", status, body.as_str())];
        look(section, &answers, labels, reason, &[&format!("HTTP {status}, code {code}"), description, advice]).await;
    }
    let not_ok = r#"{"status":"FAIL","data":{}}"#;
    let answers = [("/acme/chat/token", 200, token), ("/acme/chat", 200, not_ok)];
    look(
        section,
        &answers,
        labels,
        "server",
        &["status FAIL instead of OK", "the query will be retried automatically"],
    )
    .await;
    for description in ["client_id does not match", "client_secret does not match"] {
        let refused = body("invalid_grant", description);
        let answers = [("/acme/chat/token", 400, refused.as_str())];
        let texts = ["code invalid_grant", description, "Check client_id and client_secret"];
        look(section, &answers, labels, "auth", &texts).await;
    }
    let gone = body("organization_application_not_found", "");
    look(section, &[("/acme/chat/token", 404, &gone)], labels, "not_found", &["the app's own data centre"]).await;
}

#[tokio::test(start_paused = true)]
async fn feishu() {
    let section = "feishu:\n  - {app: bot, base_url: 'http://ADDRESS', app_id: cli_x, app_secret: y}\n";
    let labels = r#"provider="feishu",app="bot",report="message_push_overview""#;
    let body =
        |code: i64, msg: &str| json!({ "code": code, "msg": msg, "error": { "log_id": "2026031012" } }).to_string();
    let token = r#"{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7200}"#;
    let token_path = "/open-apis/auth/v3/tenant_access_token/internal";
    // 错误码 of the document (211011 is no failure), then those of the gateway.
    for (status, code, msg, reason, advice) in [
        (403, 211_004, "no authority for quota limit", "forbidden", "Enterprise or Flagship edition"),
        (403, 211_010, "invalid date range", "bad_request", "out of Feishu's range"),
        (400, 211_007, "invalid date format", "bad_request", "Feishu does not accept the date"),
        (400, 211_005, "invalid app id", "bad_request", "the tenant's own apps"),
        (400, 99_991_661, "Missing access token", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_663, "Invalid access token", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_664, "x", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_668, "x", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_671, "x", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_677, "Authentication token expired", "auth", "rejects the access token, and a new one too"),
        (400, 99_991_672, "Access denied.", "forbidden", "Grant the app the scope"),
        (429, 99_991_400, "request trigger frequency limit", "rate_limited", "100 requests a minute"),
        (400, 99_991_400, "request trigger frequency limit", "rate_limited", "100 requests a minute"),
        (400, 99_991_401, "ip denied", "forbidden", "The app's IP whitelist blocks this machine"),
        (429, 99_991_403, "quota exceeded", "forbidden", "used up its API calls of this month"),
        (
            200,
            2200,
            "Internal Error",
            "server",
            "Feishu reports a server error; the query will be retried automatically.",
        ),
        (200, 190_001, "of the future", "server", "Feishu's table of error codes"),
    ] {
        let body = body(code, msg);
        let answers = [(token_path, 200, token), ("/open-apis/application", status, body.as_str())];
        let texts = [&*format!("HTTP {status}, code {code}: {msg}"), advice, "2026031012"];
        look(section, &answers, labels, reason, &texts).await;
    }
    // Of the token.
    for (status, code, msg, reason, advice) in [
        (200, 10_003, "invalid param", "auth", "Check app_id and app_secret"),
        (200, 10_014, "app id not exists", "auth", "for an app of Lark, set base_url: https://open.larksuite.com"),
        (400, 10_014, "app secret invalid", "auth", "Check app_id and app_secret"),
        (200, 2200, "Internal Error", "server", "Feishu reports a server error"),
    ] {
        let body = body(code, msg);
        let texts = [&*format!("no access token: HTTP {status}, code {code}: {msg}"), advice];
        look(section, &[(token_path, status, &body)], labels, reason, &texts).await;
    }
    look(section, &[], labels, "not_found", &["HTTP 404", "the host or path is wrong"]).await;
}

#[tokio::test(start_paused = true)]
async fn getui() {
    let section =
        "getui:\n  - {app: shop, base_url: 'http://ADDRESS/v2', app_id: a1, app_key: k, master_secret: s3cr3t}\n";
    let labels = r#"provider="getui",app="shop",report="push_date""#;
    let body = |code: u32, msg: &str| json!({ "code": code, "msg": msg }).to_string();
    let token = r#"{"code":0,"msg":"success","data":{"expire_time":"1773201600000","token":"t0ken"}}"#;
    let (auth, report) = ("/v2/a1/auth", "/v2/a1/report");
    // 返回码 of the document. HTTP 401 has four meanings, which the code tells apart.
    for (status, code, msg, reason, advice) in [
        (200, 1, "failed", "bad_request", "report this as a bug"),
        (200, 2, "service is starting", "server", "Getui reports a server error"),
        (200, 301, "wrong host", "not_found", "another room of Getui; set base_url"),
        (404, 404, "not found", "not_found", "Getui does not know the path"),
        (404, 405, "method", "bad_request", "the request's method"),
        (401, 10_001, "token is invalid", "auth", "Getui rejects the token, and a new one too"),
        (401, 10_002, "black list", "forbidden", "outgoing address on its black list"),
        (401, 10_003, "auth too often", "rate_limited", "the app's quota of calls"),
        (401, 10_004, "no right", "forbidden", "no right to this report"),
        (401, 10_005, "too often", "rate_limited", "the app's quota of calls"),
        (400, 20_001, "date is error", "bad_request", "Getui does not accept a parameter"),
        (400, 20_001, "permission required by push_detail", "forbidden", "lacks a permission"),
        (400, 22_001, "x", "bad_request", "report this as a bug"),
        (400, 22_002, "x", "bad_request", "report this as a bug"),
        (400, 23_001, "x", "bad_request", "report this as a bug"),
        (403, 30_000, "x", "forbidden", "upgrade the plan"),
        (403, 30_016, "x", "forbidden", "upgrade the plan"),
        (403, 30_017, "x", "forbidden", "no right to this report"),
        (403, 30_018, "x", "rate_limited", "the app's quota of calls"),
        (403, 30_019, "busy", "server", "Getui reports a server error"),
        (200, 4711, "of the future", "server", "Getui's table of return codes"),
        (403, 4711, "of the future", "forbidden", "ask the provider to enable it"),
    ] {
        let body = body(code, msg);
        let answers = [(auth, 200, token), (report, status, body.as_str())];
        look(section, &answers, labels, reason, &[&format!("HTTP {status}, code {code}: {msg}"), advice]).await;
    }
    // Whatever the token's endpoint refuses is about the credentials, but for its own troubles.
    for (status, code, msg, reason, advice) in [
        (400, 20_001, "sign is error", "auth", "Check app_id, app_key and master_secret"),
        (401, 10_001, "sign", "auth", "Check app_id, app_key and master_secret"),
        (403, 30_016, "x", "auth", "Check app_id, app_key and master_secret"),
        (200, 301, "wrong host", "auth", "another room of Getui; set base_url"),
        (200, 2, "service is starting", "server", "Getui reports a server error"),
        (401, 10_003, "auth too often", "rate_limited", "the app's quota of calls"),
        (403, 30_019, "busy", "server", "Getui reports a server error"),
    ] {
        let body = body(code, msg);
        let texts = [&*format!("no access token: HTTP {status}, code {code}: {msg}"), advice];
        look(section, &[(auth, status, &body)], labels, reason, &texts).await;
    }
    look(section, &[(auth, 502, "<html>")], labels, "server", &["HTTP 502", "the query will be retried automatically"])
        .await;
    look(section, &[], labels, "not_found", &["HTTP 404", "the host or path is wrong"]).await;
}

#[tokio::test(start_paused = true)]
async fn onesignal() {
    let section = "onesignal:\n  - {app: game, base_url: 'http://ADDRESS', app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c, api_key: os_v2_app_x}\n";
    let labels = r#"provider="onesignal",app="game",report="notifications""#;
    let denied = "Access denied.  Please include an 'Authorization: ...' header with a valid API key (https://documentation.onesignal.com/docs/accounts-and-keys).";
    // The table of the document; errors are a list, an object or a text. A text of an object is not shown: it may name devices.
    for (status, errors, told, reason, advice) in [
        (
            400,
            json!(["app_id not found"]),
            "HTTP 400: app_id not found",
            "bad_request",
            "OneSignal does not accept the query",
        ),
        (
            400,
            json!({ "limit": ["must be …"] }),
            "HTTP 400: limit",
            "bad_request",
            "OneSignal does not accept the query",
        ),
        (400, json!("no"), "HTTP 400: no", "bad_request", "OneSignal does not accept the query"),
        (401, json!([denied]), denied, "auth", "an App API Key of this app_id"),
        (403, json!([denied]), denied, "auth", "an App API Key of this app_id"),
        (
            404,
            json!(["Notification not found"]),
            "HTTP 404: Notification not found",
            "not_found",
            "knows no such path or app",
        ),
        (
            429,
            json!(["API rate limit exceeded."]),
            "HTTP 429: API rate limit exceeded.",
            "rate_limited",
            "one request a second for each app",
        ),
        (500, json!([]), "HTTP 500", "server", "the query will be retried automatically"),
    ] {
        let body = json!({ "errors": errors }).to_string();
        look(section, &[("/notifications", status, &body)], labels, reason, &[told, advice]).await;
    }
    let unavailable = [("/notifications", 503, "Service temporarily unavailable")];
    look(section, &unavailable, labels, "server", &["HTTP 503", "the query will be retried automatically"]).await;
}
