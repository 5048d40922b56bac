//! Servers that are trusted: by the CAs of this machine and by the certificates of `ca_file`, one of which may be the
//! server's own. A machine without CA certificates is no error before a server must be judged by them.

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

/// Nobody that is trusted vouches for a server.
#[derive(Debug, thiserror::Error)]
enum Untrusted {
    /// There is nothing to judge it by.
    #[error(
        "no CA certificates were found on this machine (or where SSL_CERT_FILE and SSL_CERT_DIR say); install the package ca-certificates, or name the server's CA in ca_file"
    )]
    NoCertificates,
    /// It has signed its certificate itself, or somebody unknown has.
    #[error(
        "the server's certificate is not signed by a trusted CA; name its CA, or that certificate itself, in ca_file"
    )]
    Unknown,
}

/// The error of a server's certificate in words, where rustls has none but the names of its types.
pub fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.to_string(),
        error => error.to_string(),
    }
}

/// Judges the certificates of servers.
#[derive(Debug)]
struct Servers {
    /// The certificates of `ca_file` and of this machine: one of them may be a server's own.
    trusted: Vec<CertificateDer<'static>>,
    /// Checks chains up to CAs; `None` if there is no CA.
    chains: Option<Arc<WebPkiServerVerifier>>,
    /// True if this machine has CAs of its own.
    has_system: bool,
    provider: Arc<CryptoProvider>,
}

/// TLS settings of a client that trusts the CAs of this machine and the `trusted` certificates, for HTTP/2 and 1.1.
///
/// # Errors
/// No version of TLS that can be used.
pub fn client_config(trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(clippy::disallowed_methods, reason = "at the start, or on a blocking thread")]
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(error = error.to_string(), "a CA certificate of this machine cannot be read");
    }
    let servers = Servers::new(trusted, system.certs, Arc::clone(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl Servers {
    fn new(
        trusted: Vec<CertificateDer<'static>>,
        system: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Servers {
        let mut roots = RootCertStore::empty();
        let has_system = roots.add_parsable_certificates(system.iter().cloned()).0 > 0;
        // rustls takes whatever is trusted for a CA: a server whose own certificate is trusted could make others.
        let is_ca = |certificate: &&CertificateDer<'_>| {
            parsed(certificate).is_ok_and(|parsed| may_issue(&parsed, |usage| usage.server_auth))
        };
        let (cas, others): (Vec<_>, Vec<_>) = trusted.iter().partition(is_ca);
        if !others.is_empty() {
            let count = others.len();
            tracing::info!(count, "certificates in ca_file that are no CA's are trusted as servers' own");
        }
        roots.add_parsable_certificates(cas.into_iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        let trusted = trusted.into_iter().chain(system).collect();
        Servers { trusted, chains, has_system, provider }
    }

    /// The server's own certificate is trusted: it must be valid now, and be this server's.
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
            // rustls has another error for one that signs itself as `openssl req -x509` does.
            let is_self_made = parsed(server).is_ok_and(|server| server.is_ca());
            if error != unknown && !is_self_made {
                return error;
            }
            let why = if self.has_system { Untrusted::Unknown } else { Untrusted::NoCertificates };
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
