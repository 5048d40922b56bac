//! A search for planted secrets: against providers that repeat in their errors whatever they were sent,
//! none is found in the log at debug level, on the page, on the status pages or in any error.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Program, eventually, simulate, try_talk};

const TOKEN: &str = "pLanted-token-7f1bcd13fc57d46bac21793a18e560";
const SECRETS: [&str; 11] = [
    "pLanted-easemob-secret",
    "pLanted-feishu-secret",
    "pLanted-static-token",
    "pLanted-jpush-secret",
    "pLanted-message-token",
    "pLanted-engagelab-secret",
    "pLanted-getui-secret",
    "pLanted-onesignal-key",
    TOKEN,
    // Basic authentication of k:pLanted-jpush-secret.
    "azpwTGFudGVkLWpwdXNoLXNlY3JldA==",
    // And of k:pLanted-engagelab-secret.
    "azpwTGFudGVkLWVuZ2FnZWxhYi1zZWNyZXQ=",
];

/// Gives out a token that it then refuses, and quotes requests in its errors.
fn gossip() -> ScriptedProvider {
    let requests: Mutex<HashMap<String, u64>> = Mutex::default();
    ScriptedProvider::answering(move |request| {
        let mut requests = requests.lock().unwrap();
        let count = requests.entry(request.uri().path().to_owned()).or_default();
        *count += 1;
        let body = String::from_utf8_lossy(request.body()).replace('"', "'");
        let authorization = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
        let token = request.headers().get("token").map_or("", |value| value.to_str().unwrap());
        let quoted = format!("refused: {body} {authorization}{token}");
        let path = request.uri().path();
        let (status, answer) = match (path.ends_with("/token"), path.contains("tenant_access_token"), *count % 3) {
            // Each token endpoint now gives a token, now refuses and quotes the secret.
            (true, _, 0) => (400, format!(r#"{{"error":"invalid_grant","error_description":"{quoted}"}}"#)),
            (true, _, _) => (200, format!(r#"{{"access_token":"{TOKEN}","expires_in":3600}}"#)),
            _ if path.ends_with("/auth") && *count % 3 == 1 => (400, format!(r#"{{"code":20001,"msg":"{quoted}"}}"#)),
            _ if path.ends_with("/auth") => (200, format!(r#"{{"code":0,"data":{{"token":"{TOKEN}"}}}}"#)),
            (_, true, 0) => (200, format!(r#"{{"code":10014,"msg":"{quoted}"}}"#)),
            (_, true, _) => (200, format!(r#"{{"code":0,"tenant_access_token":"{TOKEN}","expire":3600}}"#)),
            (_, _, 1) if path.contains("offline-push") => {
                (401, format!(r#"{{"error":"{quoted}","error_description":"{quoted}"}}"#))
            }
            (_, _, 2) if path.contains("offline-push") => (200, format!(r#"{{"status":"{quoted}","data":{{}}}}"#)),
            _ if path.contains("offline-push") => (200, format!(r#"{{"status":"OK","data":{{"{quoted}":{{}}}}}}"#)),
            (_, _, 1) if path.contains("received") => {
                (401, format!(r#"{{"error":{{"code":3001,"message":"{quoted} pLanted-jpush-secret"}}}}"#))
            }
            (_, _, 1) if path.starts_with("/v4") => {
                (401, format!(r#"{{"error":{{"code":21004,"message":"{quoted} pLanted-engagelab-secret"}}}}"#))
            }
            _ if path.starts_with("/v4") => (200, format!(r#"{{"1":{{"{quoted}":7}},"{quoted}":{{"sent":1}}}}"#)),
            _ if path.contains("received") => (200, format!(r#"[{{"msg_id":"1","{quoted}":7}}]"#)),
            (_, _, 1) if path.contains("notifications") => (403, format!(r#"{{"errors":["{quoted}"]}}"#)),
            _ if path.contains("notifications") => {
                let stats = format!(r#"{{"ios":{{"{quoted}":1}}}}"#);
                let message = r#""id":"7f2d1c5e-0000-4000-8000-000000000001","send_after":1795910400"#;
                (200, format!(r#"{{"notifications":[{{{message},"platform_delivery_stats":{stats}}}]}}"#))
            }
            (_, _, 1) => (400, format!(r#"{{"code":99991663,"msg":"{quoted}","error":{{"log_id":"{quoted}"}}}}"#)),
            _ => (200, format!("<html>{quoted}")),
        };
        respond(status, answer)
    })
}

#[test]
fn no_planted_secret_is_found() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, address) = runtime.block_on(simulate(gossip()));
    let folder = tempfile::tempdir().unwrap();
    let [easemob, feishu, fixed, jpush, message_token, engagelab, getui, onesignal, ..] = SECRETS;
    std::fs::write(folder.path().join("secret"), format!("{easemob}\n")).unwrap();
    let text = format!(
        "message_api: {{token: {message_token}}}
jpush:
  - {{app: d, base_url: 'http://{address}', app_key: k, master_secret: {jpush}, messages: {{ids: [1]}}, interval: 1s}}
easemob:
  - {{app: a, base_url: 'http://{address}', org_name: o, app_name: a, client_id: i, client_secret_file: secret, interval: 1s}}
  - {{app: b, base_url: 'http://{address}', org_name: o, app_name: b, app_token: {fixed}, interval: 1s}}
engagelab:
  - {{app: e, base_url: 'http://{address}', app_key: k, master_secret: {engagelab}, messages: {{ids: [1]}}, discover: [plans], users: [day], interval: 1s}}
feishu:
  - {{app: c, base_url: 'http://{address}', app_id: cli_c, app_secret: '${{FEISHU_SECRET}}', interval: 1s}}
getui:
  - {{app: f, base_url: 'http://{address}/v2', app_id: a1, app_key: k, master_secret: {getui}, interval: 1s}}
onesignal:
  - {{app: g, base_url: 'http://{address}', app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c, api_key: {onesignal}, interval: 1s}}
"
    );
    let config = folder.path().join("push-exporter.yml");
    std::fs::write(&config, text).unwrap();
    let args = ["--config.file", config.to_str().unwrap(), "--log.level", "debug"];
    let mut program = Program::try_start(&args, &[("FEISHU_SECRET", feishu)]).unwrap();
    let mut seen = Vec::new();
    eventually("every app in trouble of several kinds", 60, || {
        let wrong = "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer pLanted-messagE-token\r\nContent-Length: 0\r\n\r\n";
        seen.extend(try_talk(program.address, wrong).map(|(_, answer)| answer));
        seen.extend(["/", "/metrics", "/api/v1/status", "/-/ready"].map(|path| program.get(path).1));
        let log = program.log();
        let complains =
            |app: &str| log.lines().any(|line| line.contains("failing") && line.contains(&format!("app={app}")));
        (["a", "b", "c", "d", "e", "f", "g"].into_iter().all(complains)
            && log.contains("does not know")
            && log.contains("invalid_grant"))
        .then_some(())
    });
    program.terminate();
    seen.push(program.log());
    let all = seen.concat();
    assert!(all.contains("***"), "the providers' gossip was shown, with the secrets taken out");
    assert!(all.contains("'sign':'***'"), "a signature is as good as the secret until it expires");
    assert!(all.contains("level=debug"));
    for secret in SECRETS {
        let at = all.find(secret).map(|at| &all[at.saturating_sub(200)..(at + 60).min(all.len())]);
        assert_eq!(at, None, "a secret is shown");
    }
}
