//! Trust in servers, by the CAs of this machine and by the certificates of `ca_file`, one of which may be the server's
//! own. A machine without CA certificates is an error only when a server must be verified by them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::util::certificates::{is_valid, may_issue, parsed};

/// Reason for not trusting a server's certificate.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    /// There is no CA certificate to verify it with.
    #[error(
        "found no CA certificates on this machine (or in SSL_CERT_FILE and SSL_CERT_DIR); install the package ca-certificates, or add the server's CA to {0}"
    )]
    NoCertificates(&'static str),
    /// The certificate is self-signed, or signed by an unknown CA.
    #[error("the server's certificate is not signed by a trusted CA; add its CA, or the certificate itself, to {0}")]
    Unknown(&'static str),
}

/// Returns the text of an error of TLS, if one is among the causes of an error.
pub(crate) fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    innermost(error).downcast_ref::<Error>().map(in_words)
}

/// Returns the first cause of an error.
pub(crate) fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // `std::io::Error::source` skips the error that it wraps directly.
    while let Some(inside) = innermost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        innermost = inside;
    }
    innermost
}

/// Returns the text of an error of a server's certificate; for errors of this module, rustls only has names of types.
fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.to_string(),
        error => error.to_string(),
    }
}

/// Verifier of the certificates of servers.
#[derive(Debug)]
struct Servers {
    /// Certificates of `ca_file` and of this machine, one of which may be a server's own.
    trusted: Vec<CertificateDer<'static>>,
    /// Verifier of chains up to CAs; `None` if there is no CA.
    chains: Option<Arc<WebPkiServerVerifier>>,
    /// True if CAs were given besides `trusted`.
    has_system: bool,
    /// Name of the setting that names further certificates.
    setting: &'static str,
    provider: Arc<CryptoProvider>,
}

/// Returns TLS settings of a client that trusts the CAs of this machine and the `trusted` certificates, for HTTP/2 and
/// 1.1.
///
/// # Errors
/// No usable version of TLS.
pub(crate) fn client_config(trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(clippy::disallowed_methods, reason = "at the start, or on a blocking thread")]
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(error = error.to_string(), "cannot read a CA certificate of this machine");
    }
    let servers = verifier(trusted, system.certs, "ca_file", Arc::clone(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns a verifier that trusts the CAs `system` and the certificates `trusted`, of CAs or of servers, from `setting`.
pub(crate) fn verifier(
    trusted: Vec<CertificateDer<'static>>,
    system: Vec<CertificateDer<'static>>,
    setting: &'static str,
    provider: Arc<CryptoProvider>,
) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Servers::new(trusted, system, setting, provider))
}

impl Servers {
    fn new(
        trusted: Vec<CertificateDer<'static>>,
        system: Vec<CertificateDer<'static>>,
        setting: &'static str,
        provider: Arc<CryptoProvider>,
    ) -> Servers {
        let mut roots = RootCertStore::empty();
        let has_system = roots.add_parsable_certificates(system.iter().cloned()).0 > 0;
        // rustls treats all trusted certificates as CAs: a server whose own certificate is trusted could issue others.
        let is_ca = |certificate: &&CertificateDer<'_>| {
            parsed(certificate).is_ok_and(|parsed| may_issue(&parsed, |usage| usage.server_auth))
        };
        let (cas, others): (Vec<_>, Vec<_>) = trusted.iter().partition(is_ca);
        if !others.is_empty() {
            let count = others.len();
            tracing::info!(count, setting, "trusting certificates that are not of a CA as servers' own certificates");
        }
        roots.add_parsable_certificates(cas.into_iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        let trusted = trusted.into_iter().chain(system).collect();
        Servers { trusted, chains, has_system, setting, provider }
    }

    /// Verifies a trusted certificate of a server itself: it must be valid now, and issued for this server.
    fn verify_own(server: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        if !is_valid(server, now) {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        verify_server_name(&ParsedCertificate::try_from(server)?, name)
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusted.iter().any(|trusted| trusted == server) {
            return Servers::verify_own(server, name, now).map(|()| ServerCertVerified::assertion());
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verified = match &self.chains {
            Some(chains) => chains.verify_server_cert(server, intermediates, name, ocsp_response, now),
            None => Err(unknown.clone()),
        };
        verified.map_err(|error| {
            // rustls returns another error for a self-signed certificate as made by `openssl req -x509`.
            let is_self_made = parsed(server).is_ok_and(|server| server.is_ca());
            if error != unknown && !is_self_made {
                return error;
            }
            // Without CAs of this machine nothing but a given root is to be trusted.
            let is_bare = !self.has_system && self.trusted.is_empty();
            let why =
                if is_bare { TrustError::NoCertificates(self.setting) } else { TrustError::Unknown(self.setting) };
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, server, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, server, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
