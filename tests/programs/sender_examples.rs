//! The examples for senders in docs/messages.md, run as they stand there; the README shows the first one too.

use std::io::Write as _;

use crate::support::postgres::Server;
use crate::support::{Page, Program, Running, eventually, said, tool};

const README: &str = include_str!("../../README.md");
const MESSAGES: &str = include_str!("../../docs/messages.md");

/// The block that begins with a comment line of this text, for an exporter at `address`.
fn example(first_line: &str, address: &str) -> String {
    block(MESSAGES, first_line).replace("push-exporter:10110", address)
}

fn block<'a>(document: &'a str, first_line: &str) -> &'a str {
    let mut blocks = document.split("\n```").skip(1).step_by(2);
    let block =
        blocks.find(|block| block.contains(&format!("\n{first_line}\n"))).expect("the example is in the document");
    block.split_once('\n').unwrap().1
}

fn registered(page: &Page) -> Option<f64> {
    registered_by(page, "api")
}

fn registered_by(page: &Page, source: &str) -> Option<f64> {
    page.get(&format!(r#"push_messages_registered_total{{provider="jpush",app="shop",source="{source}"}}"#))
}

/// An exporter whose provider does not answer, with these further keys of its app.
fn exporter(folder: &std::path::Path, more: &str) -> Program {
    let config = folder.join("push-exporter.yml");
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - app: shop\n    base_url: http://127.0.0.1:1\n    app_key: k\n    master_secret: s\n{more}"
    );
    std::fs::write(&config, text).unwrap();
    Program::start(&["--config.file", config.to_str().unwrap()])
}

/// The line of a log of pushes.
fn log_line() -> String {
    let line = MESSAGES.split("```json\n").nth(1).unwrap().lines().next().unwrap();
    assert!(line.starts_with("{\"msg_id\""), "{line}");
    // The example's day is long ago, or not yet.
    line.replace("2026-12-01T09:00:00+08:00", &jiff::Timestamp::now().to_string())
}

#[test]
fn senders_register_their_messages() {
    let folder = tempfile::tempdir().unwrap();
    let program = exporter(folder.path(), "");
    let address = program.address.to_string();

    let curl = example("# curl", &address);
    let (push, rest) = curl.split_once(" |\n").unwrap();
    assert!(push.contains("curl -fsS https://api.jpush.cn/v3/push"), "{push}");
    let answer = r#"{"sendno":"0","msg_id":"38280845540235675"}"#;
    let output = tool("bash", &["-euc", &format!("TOKEN=t0ken\nprintf '%s' '{answer}' | {rest}")], b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"received":1,"new":1,"too_old":0}"#, "{output:?}");

    let python = "import json, urllib.request\ntoken = 't0ken'\n\
        class push:\n    payload = {'msg_id': '38280845540235676'}\n    send = classmethod(lambda push: push)\n";
    let output = tool("python3", &["-c", &format!("{python}{}", example("# Python", &address))], b"");
    assert!(output.status.success(), "{output:?}");
    eventually("both on the page", 10, || (registered(&program.try_scrape()?)? == 2.0).then_some(()));

    let node = example("// Node", &address);
    let (push, rest) = node.split_once("const registered").unwrap();
    assert!(push.contains("const msgId = "), "{push}");
    let script = format!("const token = 't0ken', msgId = '38280845540235677';\nconst registered{rest}");
    let output = tool("node", &["--input-type=module", "--eval", &script], b"");
    assert!(output.status.success(), "{output:?}");
    eventually("all three on the page", 10, || (registered(&program.try_scrape()?)? == 3.0).then_some(()));
    for language in ["// Java", "// Go", "// PHP", "// C#"] {
        assert!(example(language, &address).contains(&format!("http://{address}/api/v1/messages")));
    }
}

#[test]
fn the_readme_shows_the_first_one() {
    assert_eq!(block(README, "# curl"), block(MESSAGES, "# curl"));
}

#[test]
fn a_log_of_pushes_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pushes.jsonl");
    let keys = block(MESSAGES, "# followed").replace("/var/log/shop/pushes.jsonl", log.to_str().unwrap());
    std::fs::write(&log, format!("{}\n", log_line())).unwrap();
    let program = exporter(folder.path(), &keys);
    eventually("it on the page", 10, || (registered_by(&program.try_scrape()?, "file")? == 1.0).then_some(()));
}

#[test]
fn a_log_shipper_registers_messages() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let program = exporter(folder.path(), "");
    let config = example("# syslog-ng", &program.address.to_string());
    let config = config.replace("# syslog-ng\n", "").replace("/var/log/shop/pushes.jsonl", &at("pushes.jsonl"));
    std::fs::write(at("syslog-ng.conf"), config.replace("Bearer TOKEN", "Bearer t0ken")).unwrap();
    let mut log = std::fs::File::create(at("pushes.jsonl")).unwrap();
    // tests/run.sh unpacks it there.
    let root = std::env::current_dir().unwrap().join("target/syslog-ng").display().to_string();
    let place = format!("{root}/usr");
    let options = [
        format!("--module-path={place}/lib/syslog-ng/3.38"),
        format!("--cfgfile={}", at("syslog-ng.conf")),
        format!("--persist-file={}", at("persist")),
        format!("--pidfile={}", at("pid")),
        format!("--control={}", at("control")),
    ];
    let mut command = std::process::Command::new(format!("{place}/sbin/syslog-ng"));
    command.args(["--foreground", "--no-caps", "--stderr"]).args(options).current_dir(folder.path());
    command.env(
        "LD_LIBRARY_PATH",
        format!("{place}/lib/syslog-ng:{place}/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"),
    );
    let _shipper = Running(command.spawn().unwrap());
    for id in 1..=3 {
        writeln!(log, "{}", log_line().replace("38280845540235675", &format!("3828084554023567{id}"))).unwrap();
    }
    eventually("them on the page", 30, || (registered(&program.try_scrape()?)? == 3.0).then_some(()));
}

#[test]
fn a_query_of_the_senders_database_registers_messages() {
    let folder = tempfile::tempdir().unwrap();
    let program = exporter(folder.path(), "");
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE pushes (msg_id text, sent_at timestamptz)");
    server.sql(
        "shop",
        "INSERT INTO pushes VALUES ('1', now()), ('2', now() - interval '2 hours'), ('3', now() - interval '1 day')",
    );
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/message-api"), "t0ken").unwrap();
    let binary = env!("CARGO_BIN_EXE_push-exporter");
    let command = example("# psql", &program.address.to_string());
    let command = command.replace("push-exporter messages add", &format!("{binary} messages add"));
    let command = command.replace("psql -AtX", &format!("psql '{}' -AtX", server.url("push", "shop")));
    let script = format!("cd {}\nexport PGPASSWORD=hunter2\n{command}", folder.path().display());
    for expected in ["2 ids registered, 2 of them new\n", "2 ids registered, 0 of them new\n"] {
        let output = tool("bash", &["-euo", "pipefail", "-c", &script], b"");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", said(&output));
    }
}

#[test]
fn a_consumer_of_a_topic_registers_messages() {
    let folder = tempfile::tempdir().unwrap();
    let program = exporter(folder.path(), "");
    // A topic as kafka-python's consumer shows it, which ends after the second poll.
    let consumer = r#"
import urllib.request
token = "t0ken"
class Record:
    def __init__(self, value): self.value = value
class Consumer:
    polls = [{"p0": [Record(b'{"msg_id":"1"}'), Record(b'{"msg_id":"2"}')], "p1": [Record(b'{"msg_id":"3"}')]}, {}, None]
    committed = 0
    def poll(self, timeout_ms, max_records): return self.polls.pop(0)
    def commit(self): self.committed += 1
consumer = Consumer()
"#;
    let script =
        format!("{consumer}{}\nassert consumer.committed == 1\n", example("# Kafka", &program.address.to_string()));
    let output = tool("python3", &["-c", &script], b"");
    assert!(output.status.success(), "{}", said(&output));
    eventually("them on the page", 10, || (registered(&program.try_scrape()?)? == 3.0).then_some(()));
}
