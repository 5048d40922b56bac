//! TLS, client certificates and passwords with real clients: openssl and curl by `tests/web/tls_matrix`, and
//! a Prometheus server that scrapes through all of it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::support::prometheus::Prometheus;
use crate::support::{Program, USERS, certificates, eventually, tool};

#[test]
fn the_matrix_of_real_clients() {
    let binary = Program::binary();
    let server = format!(
        "{} demo --log.level=warn --web.config.file={{config}} --web.listen-address=127.0.0.1:{{port}}",
        binary.get_program().to_str().unwrap()
    );
    let output = tool("python3", &["tests/web/tls_matrix", "--server", &server], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed, 0 failed, 0 skipped"), "{said}");
}

#[test]
fn a_real_prometheus_scrapes_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let web = path("web.yml");
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
    let mutual = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.pem, min_version: TLS13}\n";
    for (name, text, more, wrong) in [
        (
            "a password",
            format!("{tls}{USERS}"),
            "    basic_auth: {username: alice, password: secret}\n".to_owned(),
            "    basic_auth: {username: alice, password: wrong}\n",
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
        let expiry = prometheus.query("push_exporter_web_certificate_expiry_timestamp_seconds");
        assert_eq!(expiry, [end_of(&path("server.crt"))]);
        let refused = Prometheus::start(&data("wrong"), &job(wrong));
        eventually("it is refused without", 60, || (refused.query("up") == [0.0]).then_some(()));
    }
}

/// End of a certificate in Unix seconds, as openssl reads it.
fn end_of(certificate: &str) -> f64 {
    let said = |output: std::process::Output| String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let end = said(tool("openssl", &["x509", "-noout", "-enddate", "-in", certificate], b""));
    let end = end.strip_prefix("notAfter=").unwrap();
    said(tool("date", &["--utc", "--date", end, "+%s"], b"")).parse().unwrap()
}

#[test]
fn the_end_of_a_renewed_certificate_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("web.yml"), "tls_server_config: {cert_file: server.crt, key_file: server.key}\n").unwrap();
    let program = Program::start(&["demo", "--web.config.file", &path("web.yml")]);
    let shown = || {
        let url = format!("https://{}/metrics", program.address);
        let page = tool("curl", &["--silent", "--show-error", "--insecure", &url], b"").stdout;
        let page = String::from_utf8(page).unwrap();
        let name = "push_exporter_web_certificate_expiry_timestamp_seconds ";
        page.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok())
    };
    let before = end_of(&path("server.crt"));
    assert_eq!(shown(), Some(before));
    let renew = "openssl x509 -in server.crt -signkey server.key -days 3 -out new.crt && mv new.crt server.crt";
    let renewed = Command::new("sh").args(["-c", renew]).current_dir(folder.path()).output().unwrap();
    assert!(renewed.status.success(), "{renewed:?}");
    let after = end_of(&path("server.crt"));
    assert_ne!(before, after);
    eventually("the new end", 30, || (shown() == Some(after)).then_some(()));

    let plain = Program::start(&["demo"]);
    let url = format!("http://{}/metrics", plain.address);
    let page = String::from_utf8(tool("curl", &["--silent", &url], b"").stdout).unwrap();
    assert!(page.contains("push_exporter_build_info") && !page.contains("web_certificate"));
}

/// Takes any server for what it says it is.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows a certificate and signs with some key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether a client with this certificate and key is answered.
async fn is_answered(
    address: std::net::SocketAddr,
    version: &'static SupportedProtocolVersion,
    cert: &Path,
    key: &Path,
) -> bool {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Trusting));
    let config = config.with_client_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(chain, key)))));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return false };
    let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200 ")
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name);
    // As OpenSSL 3.0 makes it without extensions: of X.509 version 1, which rustls does not read.
    let script = "openssl req -new -key client.key -subj /CN=old -out old.csr && \
        openssl x509 -req -in old.csr -CA client-ca.pem -CAkey client-ca.key -CAcreateserial -days 10 -out old.crt";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let old = tool("openssl", &["x509", "-noout", "-text", "-in", path("old.crt").to_str().unwrap()], b"");
    assert!(String::from_utf8_lossy(&old.stdout).contains("Version: 1 (0x0)"), "it is of a later version");
    for mode in ["RequireAnyClientCert", "RequireAndVerifyClientCert"] {
        let web = path("web.yml");
        let ca = if mode == "RequireAnyClientCert" { "" } else { ", client_ca_file: client-ca.pem" };
        let text = format!(
            "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: {mode}{ca}}}\n"
        );
        std::fs::write(&web, text).unwrap();
        let program = Program::start(&["demo", "--web.config.file", web.to_str().unwrap()]);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for cert in ["client.crt", "old.crt"] {
                let case = format!("{mode}, {:?}, {cert}", version.version);
                let answered = async |key: &str| is_answered(program.address, version, &path(cert), &path(key)).await;
                assert!(answered("client.key").await, "{case}");
                assert!(!answered("other.key").await, "{case}: with another key of the same kind");
                assert!(!answered("ed25519.key").await, "{case}: with another kind of key");
            }
        }
    }
}

#[test]
fn who_needs_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let (web, config) = (folder.path().join("web.yml"), folder.path().join("push-exporter.yml"));
    let users = format!("{USERS}rate_limit: {{interval: 1h, burst: 12}}\n");
    std::fs::write(&web, &users).unwrap();
    let app = "message_api: {token: sesame}\njpush: [{app: shop, app_key: 7d431e42dfa6a6d693ac2d04, master_secret: s, base_url: 'http://127.0.0.1:1'}]\n";
    std::fs::write(&config, app).unwrap();
    let args = ["--config.file", config.to_str().unwrap(), "--web.config.file", web.to_str().unwrap()];
    let program = Program::start(&args);
    let ask = |more: &[&str], path: &str| {
        let url = format!("http://{}{path}", program.address);
        let args: Vec<&str> =
            ["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url].iter().chain(more).copied().collect();
        String::from_utf8(tool("curl", &args, b"").stdout).unwrap()
    };
    let password: &[&str] = &["-u", "alice:secret"];
    // Health needs neither a password nor what is left of the limit.
    for _ in 0..30 {
        assert_eq!((ask(&[], "/-/healthy").as_str(), ask(&[], "/-/ready").as_str()), ("200", "200"));
    }
    for path in ["/", "/metrics", "/api/v1/status", "/nothing"] {
        assert_eq!(ask(&[], path), "401", "{path}");
    }
    assert_eq!(ask(&["-u", "alice:wrong"], "/metrics"), "401");
    assert_eq!(ask(password, "/metrics"), "200");
    // Senders show their token, and no password would do.
    let body = ["-H", "content-type: application/json", "-d", r#"{"app":"shop","msg_id":7}"#];
    let token = ["-H", "authorization: Bearer sesame"];
    assert_eq!(ask(&[&body[..], &token[..]].concat(), "/api/v1/messages"), "200");
    assert_eq!(ask(&[&body[..], password].concat(), "/api/v1/messages"), "401");
    assert_eq!(ask(&body, "/api/v1/messages"), "401");
    // By now nine of twelve are used.
    let codes: Vec<String> = (0..6).map(|_| ask(password, "/metrics")).collect();
    assert_eq!(codes, ["200", "200", "200", "429", "429", "429"]);
    assert_eq!(ask(&[], "/-/healthy"), "200");

    // A file that is wrong answers 500, but for health; mended, it works again.
    std::fs::write(&web, "basic_auth_users: {alice: secret}\n").unwrap();
    eventually("it is noticed", 20, || (ask(password, "/metrics") == "500").then_some(()));
    assert_eq!((ask(&token, "/api/v1/messages").as_str(), ask(&[], "/-/healthy").as_str()), ("500", "200"));
    let log = program.logged("basic_auth_users.alice: is not a bcrypt hash");
    assert!(!log.contains("secret"), "{log}");
    let checked = Program::binary().args(["check", "--offline"]).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!((checked.status.code(), said.contains("is not a bcrypt hash")), (Some(2), true), "{said}");
    std::fs::write(&web, USERS).unwrap();
    eventually("it is mended", 20, || (ask(password, "/metrics") == "200").then_some(()));
}

#[tokio::test]
async fn who_is_trusted_is_no_ca_by_that() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name);
    // Alice's certificate says that it is no CA; she signs one for Bob. A CA signs one as was usual long ago.
    let script = "set -e
        openssl req -x509 -new -key client.key -subj /CN=alice -days 10 -out alice.crt \\
            -addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature -addext subjectAltName=DNS:alice
        openssl req -new -key other.key -subj /CN=bob -addext subjectAltName=DNS:bob -out bob.csr
        openssl x509 -req -in bob.csr -CA alice.crt -CAkey client.key -CAcreateserial -copy_extensions copy -days 10 -out bob.crt
        openssl req -x509 -new -key rsa.key -subj /CN=ca -days 10 -out rsa-ca.pem
        openssl x509 -req -in bob.csr -CA rsa-ca.pem -CAkey rsa.key -CAcreateserial -days 10 -copy_extensions copy -out sha256.crt
        openssl x509 -req -sha1 -in bob.csr -CA rsa-ca.pem -CAkey rsa.key -CAcreateserial -days 10 -copy_extensions copy -out sha1.crt";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let web = path("web.yml");
    let start = |ca: &str, sans: &str| {
        let text = format!(
            "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: {ca}{sans}}}\n"
        );
        std::fs::write(&web, text).unwrap();
        Program::start(&["demo", "--web.config.file", web.to_str().unwrap()])
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let answered = async |program: &Program, cert: &str, key: &str| {
            is_answered(program.address, version, &path(cert), &path(key)).await
        };
        let program = start("alice.crt", "");
        assert!(answered(&program, "alice.crt", "client.key").await, "she is trusted herself");
        assert!(!answered(&program, "bob.crt", "other.key").await, "whom she vouches for is not");
        let program = start("alice.crt", ", client_allowed_sans: [bob]");
        assert!(!answered(&program, "alice.crt", "client.key").await, "she is not called Bob");
        assert!(!answered(&program, "bob.crt", "other.key").await);
        let program = start("rsa-ca.pem", ", client_allowed_sans: [bob]");
        assert!(answered(&program, "sha256.crt", "other.key").await);
        assert!(!answered(&program, "sha1.crt", "other.key").await, "a signature that can be forged");
    }
}

#[test]
fn no_session_outlives_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let web = path("web.yml");
    let server = "tls_server_config: {cert_file: server.crt, key_file: server.key";
    // Without client certificates sessions are resumed, so that the test can fail.
    for (auth, is_resumed) in
        [("", true), (", client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.pem", false)]
    {
        std::fs::write(&web, format!("{server}{auth}}}\n")).unwrap();
        let program = Program::start(&["demo", "--web.config.file", &web]);
        for version in ["-tls1_2", "-tls1_3"] {
            let session = path("session");
            let _ = std::fs::remove_file(&session);
            let address = program.address.to_string();
            let connect = |way: &str| {
                let (cert, key) = (path("client.crt"), path("client.key"));
                let args = [
                    "s_client", "-connect", &address, version, way, &session, "-ign_eof", "-cert", &cert, "-key", &key,
                ];
                let request = b"GET /-/healthy HTTP/1.0\r\n\r\n";
                String::from_utf8_lossy(&tool("openssl", &args, request).stdout).into_owned()
            };
            assert!(connect("-sess_out").contains("200 OK"), "{version} {auth}");
            let again = if Path::new(&session).exists() { connect("-sess_in") } else { String::new() };
            assert_eq!(again.contains("\nReused, "), is_resumed, "{version} {auth}: {again}");
        }
    }
}

#[test]
fn what_looks_like_a_slip_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    std::fs::write(&web, USERS).unwrap();
    let program = Program::start(&["demo", "--web.config.file", web.to_str().unwrap()]);
    assert_eq!(program.get("/metrics").0, 401);
    std::fs::write(&web, "").unwrap();
    let code = eventually("it is noticed", 20, || match program.get("/metrics").0 {
        401 => None,
        code => Some(code),
    });
    assert_eq!(code, 500, "an empty file lets everybody in");
    program.logged("the file is empty; restart the exporter to serve plain HTTP without authentication");
    std::fs::write(&web, USERS).unwrap();
    eventually("it is mended", 20, || (program.get("/metrics").0 == 401).then_some(()));
    // That there are no users is meant where something else is written.
    std::fs::write(&web, "http_server_config: {http2: true}\n").unwrap();
    eventually("it is open", 20, || (program.get("/metrics").0 == 200).then_some(()));
}

#[test]
fn whoever_is_refused_is_told_and_so_is_the_log() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let web = path("web.yml");
    std::fs::write(&web, "tls_server_config: {cert_file: server.crt, key_file: server.key}\n").unwrap();
    let program = Program::start(&["demo", "--web.config.file", &web]);
    let ask = |more: &[&str], path_of: &str| {
        let url = format!("https://{}{path_of}", program.address);
        let (show, ca) = ("%{http_version} %{http_code}", path("server.crt"));
        let args: Vec<&str> =
            ["-sS", "--cacert", &ca, "-o", "/dev/null", "-w", show, &url].iter().chain(more).copied().collect();
        String::from_utf8(tool("curl", &args, b"").stdout).unwrap()
    };
    // A body that is not read must not cost a client of HTTP/2 its answer.
    let large = path("large");
    std::fs::write(&large, vec![b'7'; 1_500_000]).unwrap();
    let large = format!("@{large}");
    let json = ["-H", "content-type: application/json"];
    let right = ["-H", "authorization: Bearer demo-token"];
    for _ in 0..10 {
        assert_eq!(ask(&[&json[..], &["-d", "{}"]].concat(), "/api/v1/messages"), "2 401");
        assert_eq!(ask(&["-d", "{}"], "/metrics"), "2 405");
        assert_eq!(ask(&["-d", "{}"], "/nothing"), "2 404");
    }
    assert_eq!(ask(&[&json[..], &right[..], &["--data-binary", &large]].concat(), "/api/v1/messages"), "2 413");

    let mutual = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.pem, client_allowed_sans: [somebody]}\n";
    std::fs::write(&web, mutual).unwrap();
    let (cert, key) = (path("client.crt"), path("client.key"));
    eventually("it asks for a certificate", 20, || (ask(&[], "/metrics") == "0 000").then_some(()));
    assert_eq!(ask(&["--cert", &cert, "--key", &key], "/metrics"), "0 000");
    let log = program.logged("a TLS handshake failed");
    assert!(log.contains("peer=127.0.0.1:"), "{log}");
    assert_eq!(log.matches("a TLS handshake failed").count(), 1, "one in ten seconds: {log}");
}
