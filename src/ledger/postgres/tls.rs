//! TLS to the database as libpq's sslmode defines it.

#![expect(clippy::disallowed_methods, reason = "reads certificates at the start")]

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::postgres_address::{SslMode, TlsSettings};
use crate::ledger::postgres::error::PostgresError;
use crate::util::server_trust;

/// Returns the connector for the settings.
pub(super) fn connector(settings: &TlsSettings) -> Result<MakeRustlsConnect, PostgresError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let invalid = |error: rustls::Error| PostgresError::Tls(format!("cannot set up TLS for the ledger: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(invalid)?;
    let verifier = verifier(settings, provider)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let chain = read(certificate, CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect))?;
            let key = read(key, PrivateKeyDer::from_pem_file(key))?;
            builder.with_client_auth_cert(chain, key).map_err(invalid)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(PostgresError::Tls("sslcert and sslkey of the ledger belong together; set both".to_owned()));
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn read<T>(path: &std::path::Path, read: Result<T, rustls::pki_types::pem::Error>) -> Result<T, PostgresError> {
    read.map_err(|error| PostgresError::Tls(format!("cannot read {}: {error}", path.display())))
}

fn verifier(
    settings: &TlsSettings,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, PostgresError> {
    let is_verified = match settings.mode {
        SslMode::Disable | SslMode::Prefer => false,
        SslMode::Require => settings.root_certificate.is_some(),
        SslMode::VerifyCa | SslMode::VerifyFull => true,
    };
    if !is_verified {
        return Ok(Arc::new(Lenient { provider, ca: None }));
    }
    let (trusted, system) = match &settings.root_certificate {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            (read(path, found)?, Vec::new())
        }
        None => (Vec::new(), rustls_native_certs::load_native_certs().certs),
    };
    let verifier = server_trust::verifier(trusted, system, "sslrootcert", Arc::clone(&provider));
    Ok(match settings.mode {
        SslMode::VerifyFull => verifier,
        _ => Arc::new(Lenient { provider, ca: Some(verifier) }),
    })
}

/// Verifies less than rustls does by itself: the CA but not the host (sslmode=verify-ca), or nothing, which still encrypts.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// Verifier of the CA; `None` accepts every certificate.
    ca: Option<Arc<dyn ServerCertVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = &self.ca else { return Ok(ServerCertVerified::assertion()) };
        match ca.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
