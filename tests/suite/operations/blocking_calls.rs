//! Files and terminals that keep whoever touches them waiting: scrapes, health and polls do not notice.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Page, Program, Running, eventually, signal, simulate, try_get, try_talk};

/// A push provider that answers everything, and its address.
fn provider(runtime: &tokio::runtime::Runtime) -> (std::sync::Arc<ScriptedProvider>, std::net::SocketAddr) {
    let (fake, address) = runtime.block_on(simulate(ScriptedProvider::default()));
    fake.say("/", 200, r#"{"status":"OK","data":{}}"#);
    (fake, address)
}

#[test]
fn secrets_that_become_pipes_hold_up_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fake, address) = provider(&runtime);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut text = "message_api: {token_file: token}\neasemob:\n".to_owned();
    std::fs::write(path("token"), "t0ken\n").unwrap();
    for number in 0..8 {
        std::fs::write(path(&format!("secret-{number}")), "s").unwrap();
        text += &format!(
            "  - {{app: a{number}, base_url: 'http://{address}', org_name: o, app_name: a{number}, app_token_file: secret-{number}, interval: 1s}}\n"
        );
    }
    text += &format!("jpush: [{{app: shop, base_url: 'http://{address}', app_key: k, master_secret: m}}]\n");
    let config = path("push-exporter.yml");
    std::fs::write(&config, text).unwrap();
    let mut program = Program::start(&["--config.file", config.to_str().unwrap()]);
    eventually("the first polls", 30, || (fake.count("offline-push") >= 8).then_some(()));
    for name in (0..8).map(|number| format!("secret-{number}")).chain(["token".to_owned()]) {
        std::fs::remove_file(path(&name)).unwrap();
        assert!(Command::new("mkfifo").arg(path(&name)).status().unwrap().success());
    }
    eventually("it is told", 30, || {
        (program.log().matches("cannot read a secret file; using its last value").count() == 9).then_some(())
    });
    program.logged("not a regular file");
    let before = fake.count("offline-push");
    eventually("polls go on with the last value", 30, || {
        assert_eq!(program.get("/-/healthy").0, 200);
        assert_eq!(program.get("/metrics").0, 200);
        (fake.count("offline-push") >= before + 24).then_some(())
    });
    let body = r#"{"app":"shop","msg_id":1}"#;
    let request = format!(
        "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(try_talk(program.address, &request).unwrap().0, 200, "with the last token");
    // Regular again, with another value.
    std::fs::remove_file(path("token")).unwrap();
    std::fs::write(path("token"), "other").unwrap();
    eventually("the new token is taken", 30, || {
        (try_talk(program.address, &request.replace("t0ken", "other"))?.0 == 200).then_some(())
    });
    assert_eq!(try_talk(program.address, &request).unwrap().0, 401, "and the old one is not");
    program.logged("can be read again");
    assert_eq!(program.terminate().0, Some(0));
}

#[test]
fn a_secret_that_is_a_pipe_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let config = folder.path().join("push-exporter.yml");
    std::fs::write(&config, "feishu: [{app: a, app_id: cli_a, app_secret_file: pipe}]\n").unwrap();
    let output = Program::binary().arg("--config.file").arg(&config).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("1:51: feishu[0].app_secret_file: cannot read") && errors.contains("not a regular file"),
        "{errors}"
    );
}

#[test]
fn standard_error_that_nobody_reads_holds_up_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fake, address) = provider(&runtime);
    let folder = tempfile::tempdir().unwrap();
    let mut text = "easemob:\n".to_owned();
    for number in 0..400 {
        text += &format!(
            "  - {{app: a{number}, base_url: 'http://{address}', org_name: o, app_name: a{number}, app_token: t, interval: 1s}}\n"
        );
    }
    let config = folder.path().join("push-exporter.yml");
    std::fs::write(&config, text).unwrap();
    let mut child = Program::binary()
        .args(["--web.listen-address", "127.0.0.1:0", "--log.level", "debug", "--config.file"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Held open, and never read: after 64 KiB a write to it waits.
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let mut program = Running(child);
    eventually("lines are dropped", 120, || {
        assert_eq!(try_get(address, "/-/healthy").unwrap().0, 200);
        let page = Page::parse(&try_get(address, "/metrics").unwrap().1);
        (page.get("push_exporter_log_lines_dropped_total")? > 0.0).then_some(())
    });
    let polls = fake.count("offline-push");
    eventually("polls go on", 60, || (fake.count("offline-push") > polls + 400).then_some(()));
    let stopped = Instant::now();
    signal(&program.0, "TERM");
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(5), "it stops in {:?}", stopped.elapsed());
}
