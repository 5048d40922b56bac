//! Everything that goes wrong between the exporter and a provider, one row of a table each: which reason is
//! shown, what the log says (once), that nothing is counted, that others are polled at their pace, and that it
//! works again by itself. The layer that does all this is `faulty.rs`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use push_exporter::util::clock::Clock;
use tokio::net::TcpListener;

use crate::support::fault_injection::{Fault, Faulty, Listen};
use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Exporter, Log, Page, fast_dir, minutes};

/// The report that suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// JPush `received_detail`, by message.
    Messages,
    /// JPush `users`, by window, which counts nothing.
    Users,
    /// JPush `vendor_quota`, of this moment.
    Quota,
    /// EngageLab `status_detail`, by message.
    Abroad,
    /// EngageLab `status_users`, by window, which counts nothing.
    AbroadUsers,
    /// Easemob `offline_push`.
    Easemob,
    /// Feishu `message_push_overview`.
    Feishu,
    /// Getui `push_date`.
    Getui,
    /// OneSignal `notifications`, by list.
    Onesignal,
}
use Who::{Abroad, AbroadUsers, Easemob, Feishu, Getui, Messages, Onesignal, Quota, Users};

const ALL: &[Who] = &[Messages, Users, Quota, Abroad, AbroadUsers, Easemob, Feishu, Getui, Onesignal];
const JPUSH: &[Who] = &[Messages, Users, Quota];
const ENGAGELAB: &[Who] = &[Abroad, AbroadUsers];
const WITH_TOKENS: &[Who] = &[Easemob, Feishu, Getui];

/// What goes wrong.
enum Does {
    /// With connections.
    Listens(Listen),
    /// With every answer but the token's.
    Statistics(Fault),
    /// The token is refused, and asking for another one goes so.
    Tokens(Fault),
    /// The token expires by the clock, and asking for another one goes so.
    Renewals(Fault),
    /// The token is refused, though it has not expired by the clock; another one is given.
    Revokes(u16, &'static str),
}

/// What goes wrong, for whom, the label `reason` (none if all is well), and what the log says.
struct Row(&'static str, &'static [Who], Does, &'static str, &'static str);

/// The table. Reasons are those of the providers' documents and of docs/metrics.md.
#[rustfmt::skip]
fn table(other: SocketAddr) -> Vec<Row> {
    use Does::{Listens, Renewals, Revokes, Statistics, Tokens};
    let says = |status, body: &str| Statistics(Fault::answer(status, body));
    let with = |status, headers: &[(&'static str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Statistics(Fault::Answer(status, headers, body.to_owned()))
    };
    let elsewhere = format!("http://{other}/v3");
    let nested = ["[".repeat(100_000), format!(r#"{{"status":"OK","code":0,"data":{}"#, r#"{"a":["#.repeat(50_000))];
    let huge = format!("[{}]", " ".repeat(9 * 1024 * 1024));
    let html = "<html><body>Bad Gateway</body></html>";
    let jpush = |code: u32, message: &str| format!(r#"{{"error":{{"code":{code},"message":"{message}"}}}}"#);
    let easemob = |error: &str, description: &str| format!(
        r#"{{"error":"{error}","exception":"x","timestamp":1626160000000,"duration":0,"error_description":"{description}"}}"#
    );
    let feishu = |code: u32, message: &str| format!(r#"{{"code":{code},"msg":"{message}","error":{{"log_id":"2026"}}}}"#);
    let getui = |code: u32, message: &str| format!(r#"{{"code":{code},"msg":"{message}"}}"#);
    vec![
        Row("nobody listens", ALL, Listens(Listen::No), "network", "Connection refused"),
        Row("connecting stalls", ALL, Listens(Listen::Stalls), "timeout", "no connection in time"),
        Row("reset before the answer", ALL, Statistics(Fault::ResetBefore), "network", "error sending request: "),
        Row("reset in the middle of the answer", ALL, Statistics(Fault::ResetInside), "network", "reset"),
        Row("reset behind the answer", ALL, Statistics(Fault::ResetAfter), "", ""),
        Row("no head comes", ALL, Statistics(Fault::StallHeaders), "timeout", "no answer in time"),
        Row("half a body comes", ALL, Statistics(Fault::StallBody), "timeout", "no answer in time"),
        Row("a byte a second", ALL, Statistics(Fault::Drip), "timeout", "no answer in time"),
        Row("500 without a body", ALL, says(500, ""), "server", "HTTP 500"),
        Row("502 with HTML", ALL, says(502, html), "server", "HTTP 502"),
        Row("503 with JSON of another shape", ALL, says(503, r#"["busy"]"#), "server", "HTTP 503"),
        Row("504 with half of an object", ALL, says(504, r#"{"error":{"co"#), "server", "HTTP 504"),
        Row("code 10", JPUSH, says(500, &jpush(10, "系统内部错误")), "server", "HTTP 500, code 10: 系统内部错误"),
        Row("code 2200", &[Feishu], says(200, &feishu(2200, "Internal Error")), "server", "HTTP 200, code 2200: Internal Error"),
        Row("code 30019", &[Getui], says(403, &getui(30_019, "system is busy")), "server", "HTTP 403, code 30019: system is busy"),
        Row("a status that is not OK", &[Easemob], says(200, r#"{"status":"BUSY","data":{}}"#), "server", "status BUSY instead of OK"),
        Row("HTML and 200", ALL, says(200, html), "decode", "HTML instead of JSON"),
        Row("empty and 200", ALL, Statistics(Fault::Empty), "decode", "the body is empty"),
        Row("half of the JSON", ALL, Statistics(Fault::Truncated), "decode", "cut short"),
        Row("wrong content type", ALL, Statistics(Fault::ContentType("text/html")), "", ""),
        Row("a text", ALL, says(200, r#""OK""#), "decode", "not of the documented shape"),
        Row("objects where lists should be", &[Messages], says(200, r#"{"msg_id":"1","jpush_received":999}"#), "decode", "not of the documented shape"),
        Row("lists where objects should be", &[Users, Quota, Abroad, AbroadUsers, Easemob, Feishu, Getui, Onesignal], says(200, r#"[{"status":"OK","code":0}]"#), "decode", "cannot be read"),
        Row("values that are no counts", &[Messages], says(200, r#"[{"msg_id":"1","jpush_received":"many","ios_apns_sent":-5,"android_pns_sent":{"a":1}}]"#), "", ""),
        Row("values that are no counts", &[Abroad], says(200, r#"{"1":{"sub":{"notification":{"sub_ios":{"apns":{"sent":"many","delivered":-5,"clicks":{"a":1}}}}}}}"#), "", ""),
        Row("values that are no counts", &[AbroadUsers], says(200, r#"{"TimeUnit":"DAY","items":[{"time":"2026-03-09","android":{"online":"many","new":1.5}}]}"#), "", ""),
        Row("no items in an object", &[AbroadUsers], says(200, r#"{"TimeUnit":"DAY"}"#), "decode", "no items"),
        Row("values that are no counts", &[Users], says(200, r#"{"time_unit":"DAY","items":[{"time":"2026-03-09","android":{"online":"many","new":1.5}}]}"#), "", ""),
        Row("values that are no counts", &[Easemob], says(200, r#"{"status":"OK","data":{"2026-03-10":{"APNS":{"successCount":"many","failCount":-5}}}}"#), "", ""),
        Row("values that are no counts", &[Feishu], says(200, r#"{"code":0,"data":{"items":[{"metric_name":"send_msg_count","metric_value":[7]}]}}"#), "", ""),
        Row("values that are no counts", &[Getui], says(200, r#"{"code":0,"data":{"2026-03-09":{"ios":{"target_num":"many","click_num":-5}}}}"#), "", ""),
        Row("values that are no counts", &[Quota], says(200, r#"{"code":0,"data":{"xiaomi_quota":{"operation":{"total":"many","used":-1}}}}"#), "", ""),
        Row("values that are no counts", &[Onesignal], says(200, r#"{"notifications":[{"id":"7f2d1c5e-0000-4000-8000-000000000001","send_after":1773113400,"platform_delivery_stats":{"ios":{"successful":"many","failed":-5,"errored":0}}}]}"#), "", ""),
        Row("an empty list", &[Onesignal], says(200, r#"{"notifications":[]}"#), "", ""),
        Row("no list", &[Onesignal], says(200, r#"{"total_count":0}"#), "decode", "not of the documented shape"),
        Row("a wrong key", &[Onesignal], says(403, r#"{"errors":["Access denied.  Please include an 'Authorization: ...' header"]}"#), "auth", "HTTP 403: Access denied.  Please include"),
        Row("429 with its header", &[Onesignal], with(429, &[("retry-after", "42")], r#"{"errors":["API rate limit exceeded."]}"#), "rate_limited", "HTTP 429: API rate limit exceeded."),
        Row("no data in the envelope", &[Easemob], says(200, r#"{"status":"OK"}"#), "decode", "there is no data"),
        Row("null in the place of data", &[Easemob], says(200, r#"{"status":"OK","data":null}"#), "", ""),
        Row("an empty list in the place of data", &[Easemob], says(200, r#"{"status":"OK","data":[]}"#), "", ""),
        Row("a list in the place of data", &[Easemob], says(200, r#"{"status":"OK","data":[1]}"#), "decode", "data is not an object"),
        Row("null in the place of data", &[Getui], says(200, r#"{"code":0,"data":null}"#), "", ""),
        Row("an empty list in the place of data", &[Getui], says(200, r#"{"code":"0","data":[]}"#), "", ""),
        Row("a list in the place of data", &[Getui], says(200, r#"{"code":0,"data":[1]}"#), "decode", "data is not an object"),
        Row("a refusal of its own in a success", &[Quota], says(200, r#"{"code":7001,"message":"no such quota"}"#), "server", "HTTP 200, code 7001: no such quota"),
        Row("no code in the envelope", &[Feishu, Getui], says(200, r#"{"data":{"items":[]}}"#), "decode", "there is no code"),
        Row("100,000 brackets", &[Messages], says(200, &nested[0]), "decode", "not JSON"),
        Row("100,000 brackets", &[Users, Quota, Abroad, AbroadUsers, Easemob, Feishu, Getui, Onesignal], says(200, &nested[1]), "decode", "cannot be read"),
        Row("nine MiB", ALL, says(200, &huge), "decode", "larger than 8 MiB"),
        Row("less than the head says", ALL, Statistics(Fault::LessThanSaid), "network", "end of file"),
        Row("more than the head says", ALL, Statistics(Fault::MoreThanSaid), "decode", "cut short"),
        Row("sent to another host", ALL, with(302, &[("location", &elsewhere)], ""), "not_found", "HTTP 302"),
        Row("429 and nothing else", ALL, says(429, ""), "rate_limited", "HTTP 429"),
        Row("429 with its headers", JPUSH, with(429, &[("x-rate-limit-limit", "2400"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "42")], &jpush(2002, "Rate limit exceeded")), "rate_limited", "HTTP 429, code 2002: Rate limit exceeded"),
        Row("429 with the older code", JPUSH, says(429, &jpush(2001, "request times of the appKey exceed the limit")), "rate_limited", "HTTP 429, code 2001"),
        Row("429 with its code", &[Easemob], says(429, &easemob("reach_limit", "This request has reached api limit.")), "rate_limited", "HTTP 429, code reach_limit"),
        Row("429 of the plan", &[Easemob], says(429, &easemob("resource_limited", "You have exceeded the limit of the Free edition")), "forbidden", "HTTP 429, code resource_limited"),
        Row("429 with its headers", &[Feishu], with(429, &[("x-ogw-ratelimit-limit", "100"), ("x-ogw-ratelimit-reset", "42")], &feishu(99_991_400, "request trigger frequency limit")), "rate_limited", "HTTP 429, code 99991400"),
        Row("the limit as 400", &[Feishu], says(400, &feishu(99_991_400, "request trigger frequency limit")), "rate_limited", "HTTP 400, code 99991400"),
        Row("the limit as 401", &[Getui], says(401, &getui(10_005, "too often")), "rate_limited", "HTTP 401, code 10005"),
        Row("a wrong secret", JPUSH, says(401, &jpush(3001, "Basic authentication failed")), "auth", "HTTP 401, code 3001: Basic authentication failed"),
        Row("the limit as 400", ENGAGELAB, says(400, &jpush(23_008, "qps limit reached")), "rate_limited", "HTTP 400, code 23008: qps limit reached"),
        Row("an expired plan as 401", ENGAGELAB, says(401, &jpush(21_038, "vip expired")), "forbidden", "HTTP 401, code 21038: vip expired"),
        Row("a closed whitelist", ENGAGELAB, says(400, &jpush(23_009, "ip not allowed")), "forbidden", "HTTP 400, code 23009: ip not allowed"),
        Row("an error inside as 400", ENGAGELAB, says(400, r#"{"code":21009,"message":"internal error"}"#), "server", "HTTP 400, code 21009: internal error"),
        Row("a wrong secret", ENGAGELAB, says(401, &jpush(21_004, "Basic authentication failed")), "auth", "HTTP 401, code 21004: Basic authentication failed"),
        Row("a wrong secret", &[Easemob], Tokens(Fault::answer(400, &easemob("invalid_grant", "client_secret does not match"))), "auth", "no access token: HTTP 400, code invalid_grant: client_secret does not match"),
        Row("a wrong secret", &[Feishu], Tokens(Fault::answer(200, &feishu(10_014, "app secret invalid"))), "auth", "no access token: HTTP 200, code 10014: app secret invalid"),
        Row("a wrong secret", &[Getui], Tokens(Fault::answer(400, &getui(20_001, "sign is error"))), "auth", "no access token: HTTP 400, code 20001: sign is error"),
        Row("an expired token", &[Getui], Revokes(401, r#"{"code":10001,"msg":"token is invalid"}"#), "", ""),
        Row("an expired token", &[Easemob], Revokes(401, r#"{"error":"auth_bad_access_token","error_description":"Unable to authenticate due to expired access token"}"#), "", ""),
        Row("a token revoked before its time", &[Easemob], Revokes(401, r#"{"error":"unauthorized","error_description":"Unable to authenticate (OAuth)"}"#), "", ""),
        Row("a corrupt token, and no JSON", WITH_TOKENS, Revokes(401, "Unauthorized"), "", ""),
        Row("an expired token", &[Feishu], Revokes(400, r#"{"code":99991677,"msg":"user access token expire"}"#), "", ""),
        Row("a token revoked before its time", &[Feishu], Revokes(400, r#"{"code":99991663,"msg":"Invalid access token for authorization."}"#), "", ""),
        Row("a token revoked, as a success", &[Feishu], Revokes(200, r#"{"code":99991671,"msg":"must start with t- or u-"}"#), "", ""),
        Row("every token is refused", &[Easemob], says(401, &easemob("unauthorized", "Unable to authenticate (OAuth)")), "auth", "HTTP 401, code unauthorized"),
        Row("every token is refused", &[Feishu], says(400, &feishu(99_991_663, "Invalid access token for authorization.")), "auth", "HTTP 400, code 99991663"),
        Row("every token is refused", &[Getui], says(401, &getui(10_001, "token is invalid")), "auth", "HTTP 401, code 10001"),
        Row("no token: 503", WITH_TOKENS, Tokens(Fault::answer(503, "")), "server", "no access token: HTTP 503"),
        Row("no token: reset", WITH_TOKENS, Tokens(Fault::ResetBefore), "network", "no access token: "),
        Row("no token: stalled", WITH_TOKENS, Tokens(Fault::StallHeaders), "timeout", "no access token: no answer in time"),
        Row("no token: HTML", WITH_TOKENS, Tokens(Fault::answer(200, html)), "decode", "HTML instead of JSON"),
        Row("no token: an answer without one", WITH_TOKENS, Tokens(Fault::answer(200, r#"{"code":0,"expire":7200}"#)), "decode", "not of the documented shape"),
        Row("no token when it has expired: 503", WITH_TOKENS, Renewals(Fault::answer(503, "")), "server", "no access token: HTTP 503"),
        Row("no token when it has expired: reset", WITH_TOKENS, Renewals(Fault::ResetBefore), "network", "no access token: "),
        Row("no token: 429", WITH_TOKENS, Tokens(Fault::answer(429, "")), "rate_limited", "no access token: HTTP 429"),
    ]
}

/// A provider that says one number.
struct Provider {
    who: Who,
    /// Seconds that a token lasts.
    token_life: u64,
    number: AtomicI64,
    /// How many tokens it has given, and the first of them that it takes.
    tokens: AtomicU32,
    valid: AtomicU32,
    /// What it answers to another token.
    refusal: Mutex<(u16, String)>,
}

fn is_for_token(request: &Request<Vec<u8>>) -> bool {
    request.uri().path().contains("token") || request.uri().path().ends_with("/auth")
}

impl Provider {
    fn new(who: Who, token_life: u64) -> Provider {
        let (number, tokens, valid) = (100.into(), 0.into(), 1.into());
        let refusal = match who {
            Getui => (401, r#"{"code":10001,"msg":"token is invalid"}"#.to_owned()),
            Feishu => (400, r#"{"code":99991663,"msg":"Invalid access token for authorization."}"#.to_owned()),
            _ => (401, r#"{"error":"unauthorized","error_description":"Unable to authenticate (OAuth)"}"#.to_owned()),
        };
        Provider { who, token_life, number, tokens, valid, refusal: Mutex::new(refusal) }
    }

    fn scripted(self: &Arc<Provider>) -> Arc<ScriptedProvider> {
        let provider = Arc::clone(self);
        Arc::new(ScriptedProvider::answering(move |request| provider.answer(request)))
    }

    fn say(&self, status: u16, body: String) -> Response<Vec<u8>> {
        let mut response = respond(status, body);
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        response
    }
}

impl Provider {
    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if is_for_token(request) {
            let life = self.token_life;
            let token = format!("token-{}", self.tokens.fetch_add(1, Ordering::Relaxed) + 1);
            return self.say(
                200,
                match self.who {
                    Easemob => format!(r#"{{"access_token":"{token}","expires_in":{life}}}"#),
                    Getui => {
                        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
                        let expiry = body["timestamp"].as_str().unwrap().parse::<u64>().unwrap() + life * 1000;
                        format!(r#"{{"code":0,"data":{{"expire_time":"{expiry}","token":"{token}"}}}}"#)
                    }
                    _ => format!(r#"{{"code":0,"tenant_access_token":"{token}","expire":{life}}}"#),
                },
            );
        }
        if WITH_TOKENS.contains(&self.who) {
            let (header, before) =
                if self.who == Getui { ("token", "token-") } else { ("authorization", "Bearer token-") };
            let shown = request.headers()[header].to_str().unwrap().strip_prefix(before).unwrap();
            if shown.parse::<u32>().unwrap() < self.valid.load(Ordering::Relaxed) {
                let (status, body) = self.refusal.lock().unwrap().clone();
                return self.say(status, body);
            }
        }
        let number = self.number.load(Ordering::Relaxed);
        let asks_for = |day: &str| String::from_utf8_lossy(request.body()).contains(day);
        // Beside the report that suffers, an app has others.
        let of_path = match request.uri().path() {
            "/v3/received/detail" => Messages,
            "/v3/users" => Users,
            "/v3/push/quota" => Quota,
            "/v4/status/detail" => Abroad,
            "/v4/status/users" => AbroadUsers,
            _ => self.who,
        };
        let body = match of_path {
            Messages => format!(r#"[{{"msg_id":"1","jpush_received":{number}}}]"#),
            Abroad => {
                format!(r#"{{"1":{{"sub":{{"notification":{{"sub_ios":{{"apns":{{"delivered":{number}}}}}}}}}}}}}"#)
            }
            Users | AbroadUsers => {
                let item = format!(r#"{{"time":"2026-03-09","android":{{"online":{number}}}}}"#);
                format!(r#"{{"time_unit":"DAY","start":"2026-03-09","duration":1,"items":[{item}]}}"#)
            }
            Quota => format!(r#"{{"code":0,"data":{{"xiaomi_quota":{{"operation":{{"total":{number}}}}}}}}}"#),
            Easemob => format!(r#"{{"status":"OK","data":{{"2026-03-10":{{"APNS":{{"successCount":{number}}}}}}}}}"#),
            Getui if request.uri().path().ends_with("/push/date/2026-03-09") => {
                format!(r#"{{"code":0,"data":{{"2026-03-09":{{"ios":{{"target_num":{number}}}}}}}}}"#)
            }
            Getui => r#"{"code":0,"msg":"success"}"#.to_owned(),
            Feishu => {
                let count = if asks_for("2026-03-08") { number } else { 5 };
                let item = format!(r#"{{"metric_name":"send_msg_count","metric_value":{count}}}"#);
                format!(r#"{{"code":0,"data":{{"items":[{item}]}}}}"#)
            }
            // Half an hour before the exporter began.
            Onesignal => {
                let stats = format!(r#"{{"ios":{{"successful":{number}}}}}"#);
                let id = "7f2d1c5e-0000-4000-8000-000000000001";
                format!(
                    r#"{{"notifications":[{{"id":"{id}","send_after":1773113400,"platform_delivery_stats":{stats}}}]}}"#
                )
            }
        };
        self.say(200, body)
    }
}

impl Who {
    /// Polled every minute.
    fn section(self, app: &str, address: SocketAddr) -> String {
        let account = match self {
            Messages | Users | Quota => {
                "app_key: key, master_secret: m4ster, messages: {ids: [1]}, users: [day], vendor_quota: true"
            }
            Abroad | AbroadUsers => "app_key: key, master_secret: m4ster, messages: {ids: [1]}, users: [day]",
            Easemob => "org_name: acme, app_name: chat, client_id: c, client_secret: s3cret",
            Feishu => "app_id: cli_1, app_secret: s3cret, windows: [day]",
            Getui => "app_id: a1, app_key: k, master_secret: s3cret",
            Onesignal => "app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c, api_key: s3cret",
        };
        let (provider, path) = match self {
            Messages | Users | Quota => ("jpush", "/v3"),
            Abroad | AbroadUsers => ("engagelab", ""),
            Easemob => ("easemob", ""),
            Feishu => ("feishu", ""),
            Getui => ("getui", "/v2"),
            Onesignal => ("onesignal", ""),
        };
        let url = format!("http://{address}{path}");
        let push_url = if provider == "jpush" { format!("push_url: '{url}', ") } else { String::new() };
        format!("{provider}:\n  - {{app: {app}, base_url: '{url}', {push_url}{account}, interval: 1m}}\n")
    }

    fn report(self) -> &'static str {
        self.labels().rsplit('=').next().unwrap()
    }

    /// Whether a request is a question of this report.
    fn is_asked(self, request: &Request<Vec<u8>>) -> bool {
        let path = request.uri().path();
        match self {
            Messages => path.contains("received"),
            Abroad => path.contains("detail"),
            Users | AbroadUsers => path.contains("users"),
            Quota => path.contains("quota"),
            Easemob | Feishu | Getui | Onesignal => !is_for_token(request),
        }
    }

    fn labels(self) -> &'static str {
        match self {
            Messages => r#"provider="jpush",app="victim",report="received_detail""#,
            Users => r#"provider="jpush",app="victim",report="users""#,
            Quota => r#"provider="jpush",app="victim",report="vendor_quota""#,
            Abroad => r#"provider="engagelab",app="victim",report="status_detail""#,
            AbroadUsers => r#"provider="engagelab",app="victim",report="status_users""#,
            Easemob => r#"provider="easemob",app="victim",report="offline_push""#,
            Feishu => r#"provider="feishu",app="victim",report="message_push_overview""#,
            Getui => r#"provider="getui",app="victim",report="push_date""#,
            Onesignal => r#"provider="onesignal",app="victim",report="notifications""#,
        }
    }

    /// What the page must show when the provider says `number`: the first, 100, is the baseline of Easemob,
    /// Feishu and Getui, since those days began before the exporter.
    fn shows(self, page: &Page, number: i64) -> bool {
        let (series, expected) = match self {
            Messages => (
                r#"push_messages_received_total{provider="jpush",app="victim",platform="any",channel="jpush",kind="any"}"#,
                number,
            ),
            Abroad => (
                r#"push_messages_received_total{provider="engagelab",app="victim",platform="ios",channel="apns",kind="notification"}"#,
                number,
            ),
            AbroadUsers => (
                r#"push_users{provider="engagelab",app="victim",platform="android",state="online",window="day"}"#,
                number,
            ),
            Users => {
                (r#"push_users{provider="jpush",app="victim",platform="android",state="online",window="day"}"#, number)
            }
            Quota => (r#"push_vendor_quota{provider="jpush",app="victim",channel="xiaomi",class="operation"}"#, number),
            Easemob => (
                r#"push_messages_sent_total{provider="easemob",app="victim",platform="ios",channel="apns",kind="notification"}"#,
                number - 100,
            ),
            Feishu => (
                r#"push_messages_sent_total{provider="feishu",app="victim",platform="any",channel="bot",kind="message"}"#,
                number - 100,
            ),
            Getui => (
                r#"push_messages_sent_total{provider="getui",app="victim",platform="ios",channel="apns",kind="any"}"#,
                number - 100,
            ),
            Onesignal => (
                r#"push_messages_sent_total{provider="onesignal",app="victim",platform="ios",channel="apns",kind="notification"}"#,
                number,
            ),
        };
        page.get(series) == Some(expected as f64)
    }
}

/// Requests that were answered to an app that nothing happens to, and to the reports of the same app beside the one
/// that suffers.
fn bystanders(who: Who, page: &Page) -> Vec<f64> {
    let bystander = r#"provider="easemob",app="bystander",report="offline_push""#;
    let account = [JPUSH, ENGAGELAB].into_iter().find(|account| account.contains(&who)).unwrap_or_default();
    let siblings = account.iter().filter(|sibling| **sibling != who).map(|sibling| sibling.labels());
    let answered = |labels| page.get(&format!(r#"push_api_requests_total{{{labels},code="200"}}"#)).unwrap();
    [bystander].into_iter().chain(siblings).map(answered).collect()
}

const MINUTES: u32 = 15;

/// One row, with an exporter of its own.
async fn suffer(who: Who, Row(what, _, does, reason, says): &Row, log: &Log) {
    let what = format!("{who:?}, {what}");
    let clock = Clock::following_tokio("2026-03-10T12:00:00+08:00".parse().unwrap());
    let token_life = if matches!(does, Does::Renewals(_)) { 600 } else { 7200 };
    let provider = Arc::new(Provider::new(who, token_life));
    let layer = Faulty::new(provider.scripted()).await;
    let healthy = Faulty::new(Arc::new(Provider::new(Easemob, 7200)).scripted()).await;
    let mut text = format!("new_series_hold: 0s\n{}", who.section("victim", layer.address));
    let other = Easemob.section("bystander", healthy.address).replace("app_name: chat", "app_name: other");
    text += if who == Easemob { other.strip_prefix("easemob:\n").unwrap() } else { &other };
    let folder = fast_dir();
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    // Between two polls, so that what is done next comes before the next of them.
    tokio::time::sleep(Duration::from_secs(200)).await;
    provider.number.store(130, Ordering::Relaxed);
    minutes(3).await;
    let page = exporter.scrape().await;
    assert!(who.shows(&page, 130), "{what}: {page:#?}");
    assert_eq!(log.take_lines("failing"), Vec::<String>::new(), "{what}");

    // The provider goes on counting while the answers are spoilt.
    let before = bystanders(who, &page);
    let tokens = provider.tokens.load(Ordering::Relaxed);
    provider.number.store(180, Ordering::Relaxed);
    match does {
        Does::Listens(how) => layer.listen(*how),
        Does::Statistics(fault) => {
            let fault = fault.clone();
            layer.spoil(move |request| if who.is_asked(request) { fault.clone() } else { Fault::None });
        }
        Does::Tokens(fault) | Does::Renewals(fault) => {
            if matches!(does, Does::Tokens(_)) {
                provider.valid.store(1000, Ordering::Relaxed);
            }
            let fault = fault.clone();
            layer.spoil(move |request| if is_for_token(request) { fault.clone() } else { Fault::None });
        }
        Does::Revokes(status, body) => {
            *provider.refusal.lock().unwrap() = (*status, (*body).to_owned());
            provider.valid.fetch_add(1, Ordering::Relaxed);
        }
    }
    minutes(MINUTES).await;
    let page = exporter.scrape().await;
    let labels = who.labels();
    // What the whole host suffers is not asked of the other reports there; a limit is the account's, for which another
    // report may be waiting now.
    let is_of_all = matches!(does, Does::Listens(_));
    let is_of_one = !is_of_all && *reason != "rate_limited";
    let failing = page
        .starting(&[&format!("push_poll_failing{}", if is_of_one { String::new() } else { format!("{{{labels}") })]);
    let failing: Vec<String> = failing.into_keys().collect();
    let mut lines = log.take_lines("the report is failing");
    if is_of_all {
        lines.retain(|line| line.contains(who.report()));
    }
    let is_a_number = matches!(does, Does::Statistics(Fault::Answer(..)));
    if reason.is_empty() {
        assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(1.0), "{what}");
        assert!(failing.is_empty() && lines.is_empty(), "{what}: {failing:?} {lines:?}");
        let is_gone = who == Quota && is_a_number && page.starting(&["push_vendor_quota"]).is_empty();
        assert!(is_gone || who.shows(&page, if is_a_number { 130 } else { 180 }), "{what}: {page:#?}");
        let fetched = provider.tokens.load(Ordering::Relaxed) - tokens;
        assert_eq!(fetched, u32::from(matches!(does, Does::Revokes(..))), "{what}: tokens, and no more than one");
        let unknown = page.starting(&["push_unknown_fields_total"]);
        let is_odd = is_a_number && !what.contains("in the place of data") && !what.contains("an empty list");
        assert_eq!(unknown.values().sum::<i64>() > 0, is_odd, "{what}: {unknown:?}");
    } else {
        assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(0.0), "{what}");
        assert_eq!(failing, [format!(r#"push_poll_failing{{{labels},reason="{reason}"}}"#)], "{what}");
        let errors = page.starting(&[&format!("push_poll_errors_total{{{labels}")]);
        assert!(errors[&format!(r#"push_poll_errors_total{{{labels},reason="{reason}"}}"#)] >= 2, "{what}: {errors:?}");
        assert_eq!(errors.values().filter(|count| **count > 0).count(), 1, "{what}: {errors:?}");
        // A gauge of this moment leaves instead of standing still.
        let is_gone = page.starting(&["push_vendor_quota"]).is_empty();
        // With the old token polls go on until it expires.
        let last = if matches!(does, Does::Renewals(_)) { 180 } else { 130 };
        assert!(if who == Quota { is_gone } else { who.shows(&page, last) }, "{what}: {page:#?}");
        // More than once it failed, and once it was said.
        assert!(lines.len() == 1 && lines[0].contains(says) && lines[0].contains("advice="), "{what}: {lines:?}");
        assert!(lines[0].contains(&format!(r#"reason="{reason}""#)), "{what}: {lines:?}");
    }
    // A limit is the account's, and all its reports wait.
    let others = if is_of_all || *reason == "rate_limited" { 1 } else { before.len() };
    for (after, before) in bystanders(who, &page).into_iter().zip(before).take(others) {
        let polls = after - before;
        assert!((14.0..=16.0).contains(&polls), "{what}: {polls} polls of another report in {MINUTES} minutes");
    }

    layer.heal();
    provider.valid.store(provider.tokens.load(Ordering::Relaxed), Ordering::Relaxed);
    minutes(MINUTES).await;
    let page = exporter.scrape().await;
    assert_eq!(page.get(&format!("push_up{{{labels}}}")), Some(1.0), "{what}: it does not recover");
    assert!(page.starting(&["push_poll_failing"]).is_empty(), "{what}");
    assert!(who.shows(&page, 180), "{what}: {page:#?}");
    let mut lines = log.take_lines("the report works again");
    lines.retain(|line| line.contains(who.report()));
    assert_eq!(lines.len(), usize::from(!reason.is_empty()), "{what}");
    exporter.stop().await;
}

async fn every_row_of(who: Who) {
    let log = Log::capture();
    // Nobody may be sent here with the credentials.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for row in table(other.local_addr().unwrap()).iter().filter(|row| row.1.contains(&who)) {
        suffer(who, row, &log).await;
    }
    let asked = tokio::time::timeout(Duration::from_secs(1), other.accept()).await;
    assert!(asked.is_err(), "another host was asked");
}

#[tokio::test(start_paused = true)]
async fn of_jpush_messages() {
    every_row_of(Messages).await;
}

#[tokio::test(start_paused = true)]
async fn of_jpush_users() {
    every_row_of(Users).await;
}

#[tokio::test(start_paused = true)]
async fn of_jpush_quotas() {
    every_row_of(Quota).await;
}

#[tokio::test(start_paused = true)]
async fn of_engagelab_messages() {
    every_row_of(Abroad).await;
}

#[tokio::test(start_paused = true)]
async fn of_engagelab_users() {
    every_row_of(AbroadUsers).await;
}

#[tokio::test(start_paused = true)]
async fn of_easemob() {
    every_row_of(Easemob).await;
}

#[tokio::test(start_paused = true)]
async fn of_feishu() {
    every_row_of(Feishu).await;
}

#[tokio::test(start_paused = true)]
async fn of_getui() {
    every_row_of(Getui).await;
}

#[tokio::test(start_paused = true)]
async fn of_onesignal() {
    every_row_of(Onesignal).await;
}
