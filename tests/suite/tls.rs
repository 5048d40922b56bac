//! TLS, client certificates and passwords with real clients: openssl and curl by `tests/web/tls_matrix.py`, and
//! a Prometheus server that scrapes through all of it.

use std::path::Path;
use std::process::Command;

use crate::prometheus::Prometheus;
use crate::support::{Program, eventually, tool};

#[test]
fn the_matrix_of_real_clients() {
    let binary = Program::binary();
    let server = format!(
        "{} demo --log.level=warn --web.config.file={{config}} --web.listen-address=127.0.0.1:{{port}}",
        binary.get_program().to_str().unwrap()
    );
    let output = tool("python3", &["tests/web/tls_matrix.py", "--server", &server], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed, 0 failed, 0 skipped"), "{said}");
}

/// A CA with certificates for the server and for a client of it.
fn certificates(folder: &Path) {
    let made = Command::new("sh").arg("tests/web/certs.sh").arg(folder).status().unwrap();
    assert!(made.success(), "certificates cannot be made");
}

#[test]
fn a_real_prometheus_scrapes_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let web = path("web.yml");
    // The password is "secret".
    let user = "basic_auth_users: {prometheus: $2b$04$kx17C6e32qgTFAP1WpiS8ukR1QFUe4YR79QS4hx3zuWblJUXDpNBC}\n";
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
    let mutual = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.pem, min_version: TLS13}\n";
    for (name, text, more, wrong) in [
        (
            "a password",
            format!("{tls}{user}"),
            "    basic_auth: {username: prometheus, password: secret}\n".to_owned(),
            "    basic_auth: {username: prometheus, password: wrong}\n",
        ),
        (
            "a client certificate",
            mutual.to_owned(),
            format!("      cert_file: {}\n      key_file: {}\n", path("client.crt"), path("client.key")),
            "",
        ),
    ] {
        std::fs::write(&web, text).unwrap();
        let program = Program::start(&["demo", "--web.config.file", &web]);
        let job = |more: &str| {
            let target = format!("    static_configs: [{{targets: ['{}']}}]\n", program.address);
            // What belongs to TLS stands behind the CA, what does not behind that.
            format!("    scheme: https\n{target}    tls_config:\n      ca_file: {}\n{more}", path("server.crt"))
        };
        let data = |name: &str| {
            let folder = folder.path().join(format!("{}-{name}", program.address.port()));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let prometheus = Prometheus::start(&data("right"), &job(&more));
        eventually(name, 60, || {
            let grown = prometheus.query("sum(increase(push_messages_sent_total[1m]))");
            (prometheus.query("up") == [1.0] && grown.first().is_some_and(|grown| *grown > 0.0)).then_some(())
        });
        // OpenMetrics was negotiated.
        assert!(!prometheus.query("push_messages_sent_created").is_empty());
        let refused = Prometheus::start(&data("wrong"), &job(wrong));
        eventually("it is refused without", 60, || (refused.query("up") == [0.0]).then_some(()));
    }
}
