//! The command line: exit codes, ports, and a clean stop.

use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use crate::support::{Program, eventually};

fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Program::binary().args(args).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// A configuration whose provider refuses connections.
fn config(folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("push-exporter.yml");
    let text = "easemob:\n  - {app: chat, base_url: 'http://127.0.0.1:1', org_name: o, app_name: a, client_id: i, client_secret: s}\n";
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn usage_errors_are_2() {
    let (code, stderr) = run(&["demo", "--config.file", "x.yml"]);
    assert_eq!(code, Some(2));
    assert_eq!(stderr, "the demo needs no configuration; remove --config.file, or use the command serve\n");
    assert_eq!(run(&["--web.listen-address", "nonsense"]).0, Some(2));
    assert_eq!(run(&["--unknown"]).0, Some(2));
    assert_eq!(run(&["--version"]).0, Some(0));
}

#[test]
fn an_address_in_use_is_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (code, stderr) =
        run(&["--config.file", &config(&folder), "--web.listen-address", &address, "--log.level", "error"]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, format!("push-exporter: cannot listen on {address}: Address already in use (os error 98)\n"));
}

#[test]
fn health_asks_the_exporter_that_has_the_same_flags() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&["--config.file", &config(&folder), "--web.route-prefix", "/push"]);
    let address = program.address.to_string();
    assert_eq!(
        run(&["health", "--web.listen-address", &address, "--web.route-prefix", "/push"]),
        (Some(0), String::new())
    );
    let local = format!("0.0.0.0:{}", program.address.port());
    assert_eq!(
        run(&["health", "--web.listen-address", &local, "--web.route-prefix", "/push"]),
        (Some(0), String::new())
    );
    let (code, stderr) = run(&["health", "--web.listen-address", &address]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, format!("push-exporter: http://{address}/-/healthy answers 404 Not Found\n"));
    drop(program);
    let (code, stderr) = run(&["health", "--web.probe-address", &address]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&format!("push-exporter: no answer from http://{address}/-/healthy: ")), "{stderr}");
    assert!(stderr.contains("refused"), "{stderr}");
    let (code, stderr) = run(&["health", "--web.config.file", "web.yml"]);
    assert_eq!((code, stderr.contains("--web.probe-address")), (Some(1), true), "{stderr}");
}

#[test]
fn sigterm_stops_it_cleanly() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(&["--config.file", &config(&folder)]);
    eventually("a first failure", 30, || {
        program.try_scrape()?.get(r#"push_up{provider="easemob",app="chat",report="offline_push"}"#)
    });
    // A half-sent request must not hold it up.
    let mut half = std::net::TcpStream::connect(program.address).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost").unwrap();
    eventually("the half-sent request to be there", 30, || {
        (program.try_scrape()?.get("push_exporter_http_connections")? >= 2.0).then_some(())
    });
    let (code, took) = program.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let log = program.log();
    assert!(log.lines().last().unwrap().contains("msg=stopped"), "{log}");
    // Said once, with what to do.
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("failing")).collect();
    assert_eq!(complaints.len(), 1, "{log}");
    assert!(
        complaints[0].contains("reason=network") && complaints[0].contains("advice=\"Check base_url"),
        "{}",
        complaints[0]
    );
}

#[test]
fn who_has_come_but_not_asked_yet_is_still_answered() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(&["--config.file", &config(&folder)]);
    let mut early = std::net::TcpStream::connect(program.address).unwrap();
    eventually("the connection to be there", 30, || {
        (program.try_scrape()?.get("push_exporter_http_connections")? >= 2.0).then_some(())
    });
    program.tell_to_stop();
    eventually("it to stop", 30, || program.log().contains("msg=stopping").then_some(()));
    early.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let check = |to: &str| {
        let script = format!("\"$1\" check --offline --config.file \"$2\" {to}");
        let mut bash = std::process::Command::new("bash");
        bash.args(["-o", "pipefail", "-c", &script, "bash"]).arg(Program::binary().get_program()).arg(&config);
        let output = bash.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // Whether it writes before or after the reader has gone.
    assert_eq!(check("| true"), (Some(0), String::new()));
    let full = "push-exporter: cannot write to standard output: No space left on device (os error 28)\n";
    assert_eq!(check("> /dev/full"), (Some(1), full.to_owned()));
}
