//! What stands around the exporter: a machine without CA certificates, certificates of private deployments, proxies.
//! Each works, or is an error that says what to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::support::scripted_provider::ScriptedProvider;
use crate::support::{Program, certificates, eventually, simulate};

/// A machine that has no CA certificates.
const BARE: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nonexistent/ca.pem"), ("SSL_CERT_DIR", "/nonexistent")];

/// Answers `[]` to everything, over TLS.
fn provider(runtime: &Runtime, folder: &Path, cert: &str, key: &str) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(folder.join(cert)).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join(key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let _ = stream.read(&mut [0; 4096]).await;
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        address
    })
}

/// `check` of one JPush app, in an environment of its own.
fn check(folder: &Path, base_url: &str, first: &str, environment: &[(&str, &str)], more: &[&str]) -> (i32, String) {
    let config = folder.join("push-exporter.yml");
    let text = format!(
        "{first}jpush:\n  - {{app: shop, base_url: '{base_url}', app_key: a, master_secret: s3cret, messages: {{ids: [1]}}}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Program::binary();
    for name in
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"]
    {
        command.env_remove(name);
    }
    command.args(["check", "--config.file", config.to_str().unwrap()]).args(more).envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn without_ca_certificates_what_needs_none_works() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let fake = ScriptedProvider::default();
    fake.say("/v3/received/detail", 200, "[]");
    let (_, address) = runtime.block_on(simulate(fake));
    // A provider by plain HTTP.
    let (code, said) = check(folder.path(), &format!("http://{address}/v3"), "", &BARE, &[]);
    assert_eq!(code, 0, "{said}");
    let config = folder.path().join("push-exporter.yml");
    let served = Program::try_start(&["--config.file", config.to_str().unwrap()], &BARE).unwrap();
    eventually("a poll", 30, || {
        served
            .get("/metrics")
            .1
            .contains(r#"push_up{provider="jpush",app="shop",report="received_detail"} 1"#)
            .then_some(())
    });
    // The health check, and the demo.
    let listens = served.address.to_string();
    let health = Program::binary().args(["health", "--web.listen-address", &listens]).envs(BARE).output().unwrap();
    assert_eq!(health.status.code(), Some(0), "{health:?}");
    let demo = Program::try_start(&["demo"], &BARE).unwrap();
    assert_eq!(demo.get("/-/healthy").0, 200);
    // Where TLS is needed, the error says what is missing and what to do.
    let tls = provider(&runtime, folder.path(), "server.crt", "server.key");
    let (code, said) = check(folder.path(), &format!("https://{tls}/v3"), "", &BARE, &[]);
    assert_eq!(code, 1, "{said}");
    let advice = "install the package ca-certificates, or add the server's CA to ca_file";
    assert!(said.contains(advice), "{said}");
    // And the provider's own certificate is enough.
    let (code, said) = check(folder.path(), &format!("https://{tls}/v3"), "ca_file: server.crt\n", &BARE, &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_providers_own_certificate_may_be_trusted() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let folder = folder.path();
    let asked = |cert: &str, key: &str, trusted: &str| {
        let port = provider(&runtime, folder, cert, key).port();
        check(folder, &format!("https://localhost:{port}/v3"), &format!("ca_file: {trusted}\n"), &[], &[])
    };
    // Self-signed, a CA too as `openssl req -x509` makes them; and one that is no CA, issued by nobody that is trusted.
    for (cert, key) in [("server.crt", "server.key"), ("ed25519.crt", "ed25519.key"), ("leaf.crt", "leaf.key")] {
        let (code, said) = asked(cert, key, cert);
        assert_eq!(code, 0, "{cert}: {said}");
    }
    // A CA, as before; a certificate in a bundle.
    assert_eq!(asked("leaf.crt", "leaf.key", "client-ca.pem").0, 0);
    assert_eq!(asked("server.crt", "server.key", "chain.crt").0, 1);
    // Exactly that certificate: none of the same name, none that it could have issued, none of another host, none
    // that has ended.
    let (code, said) = asked("other.crt", "other.key", "server.crt");
    assert!(
        code == 1 && said.contains("not signed by a trusted CA; add its CA, or the certificate itself, to ca_file"),
        "{said}"
    );
    let script = "openssl req -new -key other.key -subj /CN=localhost -out made.csr && printf 'subjectAltName=DNS:localhost' >made.ext && \
        openssl x509 -req -in made.csr -CA leaf.crt -CAkey leaf.key -CAcreateserial -days 10 -extfile made.ext -out made.crt";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let (code, said) = asked("made.crt", "other.key", "leaf.crt");
    assert!(code == 1 && said.contains("not signed by a trusted CA"), "{said}");
    let (code, said) = asked("stranger.crt", "stranger.key", "stranger.crt");
    assert!(code == 1 && said.contains("not valid for name"), "{said}");
    let (code, said) = asked("expired.crt", "expired.key", "expired.crt");
    assert!(code == 1 && said.contains("xpired"), "{said}");
}

#[test]
fn a_broken_certificate_in_ca_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    for (file, wrong) in [
        ("chain-broken.crt", "certificate number 2 in it cannot be read; replace or remove it"),
        ("client-ca-partly.pem", "certificate number 1 in it cannot be read; replace or remove it"),
        ("junk.pem", "contains no PEM certificate"),
        ("server.key", "contains no PEM certificate"),
    ] {
        let (code, said) =
            check(folder.path(), "https://localhost/v3", &format!("ca_file: {file}\n"), &[], &["--offline"]);
        let path = folder.path().join(file);
        let expected = format!("push-exporter.yml:1:1: ca_file: {} {wrong}\n", path.display());
        assert!(code == 2 && said.ends_with(&expected), "{said}");
    }
}

#[test]
fn a_proxy_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("HTTPS_PROXY", "http://user:hunter2#@proxy:3128"),
        ("http_proxy", "http://"),
        ("ALL_PROXY", "::"),
        ("HTTPS_PROXY", "http://user:hunter2@@proxy:3128"),
    ] {
        let (code, said) = check(folder.path(), "https://localhost/v3", "", &[(name, value)], &["--offline"]);
        let expected = format!("the environment variable {name} is not a proxy URL; set it to http://host:port");
        assert!(code == 2 && said.contains(&expected), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let config = folder.path().join("push-exporter.yml");
        let served =
            Program::binary().args(["--config.file", config.to_str().unwrap()]).env(name, value).output().unwrap();
        assert_eq!(served.status.code(), Some(2));
        assert!(!folder.path().join("push-exporter.db").exists(), "nothing is made before");
    }
    let (_, said) =
        check(folder.path(), "https://localhost/v3", "", &[("HTTPS_PROXY", "socks5://proxy:1080")], &["--offline"]);
    assert!(said.contains("HTTPS_PROXY names a SOCKS proxy, which is not supported"), "{said}");
}

#[test]
fn a_proxy_that_refuses_is_not_taken_for_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    for scheme in ["http", "https"] {
        let environment = [("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy)];
        let (code, said) = check(folder.path(), &format!("{scheme}://provider.invalid/v3"), "", &environment, &[]);
        assert!(code == 1 && said.contains("  network  "), "{said}");
        assert!(said.contains("the proxy refuses the request (407)"), "{said}");
        assert!(
            said.contains(
                "http://user:password@host:port with the proxy's user and password, or add the provider to NO_PROXY"
            ),
            "{said}"
        );
    }
}
