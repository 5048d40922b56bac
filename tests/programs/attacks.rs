//! Attacks on the web server, by `tests/web/attacks`: memory stays bounded, connections end within their
//! limits, and scrapes are answered all the while. A tenth of them here; `tests/long.sh` makes them all.

use std::process::Command;

use crate::support::{Program, certificates};

#[test]
fn none_of_them_keeps_a_scrape_from_its_answer() {
    let scale = std::env::var("PUSH_EXPORTER_ATTACKS").unwrap_or_else(|_| "0.1".to_owned());
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let web = folder.path().join("web.yml");
    std::fs::write(&web, "tls_server_config: {cert_file: server.crt, key_file: server.key}\n").unwrap();
    let plain = Program::start(&["demo", "--log.level", "warn"]);
    let tls = Program::start(&["demo", "--log.level", "warn", "--web.config.file", web.to_str().unwrap()]);
    let output = Command::new("python3")
        .arg("tests/web/attacks")
        .args(["--plain", &plain.address.to_string(), "--pid", &plain.child.id().to_string()])
        .args(["--tls", &tls.address.to_string(), "--pid-tls", &tls.child.id().to_string()])
        .args(["--scale", &scale])
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    println!("{table}");
    assert!(output.status.success(), "{table}\n{}", String::from_utf8_lossy(&output.stderr));
    let panics = |program: &Program| program.log().lines().filter(|line| line.contains("panic")).count();
    assert_eq!(panics(&plain) + panics(&tls), 0, "{}\n{}", plain.log(), tls.log());
}
