//! Properties of X.509 certificates that rustls does not check itself. Used to verify providers' servers and clients of
//! the web server.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::extensions::ExtendedKeyUsage;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// A PEM text that cannot be used as a list of trusted certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    /// It contains no certificate.
    #[error("contains no PEM certificate")]
    Empty,
    /// One certificate is invalid: its number, from 1.
    #[error("certificate number {0} in it cannot be read; replace or remove it")]
    Broken(usize),
}

/// Reads the certificates of a PEM text, all of which must be usable.
///
/// # Errors
/// No certificate, or an invalid one.
pub(crate) fn read_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
        let broken = PemError::Broken(index + 1);
        let certificate = certificate.map_err(|_| broken)?;
        let is_ca = parsed(&certificate).map_err(|_| broken)?.is_ca();
        if is_ca && RootCertStore::empty().add(certificate.clone()).is_err() {
            return Err(broken);
        }
        found.push(certificate);
    }
    if found.is_empty() { Err(PemError::Empty) } else { Ok(found) }
}

/// Parses a certificate.
///
/// # Errors
/// Bytes that are not a certificate.
pub(crate) fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, parsed)| parsed).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Returns true if a certificate is valid at a time.
pub(crate) fn is_valid(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    parsed(certificate).is_ok_and(|certificate| {
        let validity = certificate.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
    })
}

/// Returns true if a certificate may issue certificates for the purpose that `serve` accepts.
pub(crate) fn may_issue(ca: &X509Certificate<'_>, serve: fn(&ExtendedKeyUsage<'_>) -> bool) -> bool {
    // Before version 3, certificates did not state whether they are of a CA.
    let is_ca =
        ca.basic_constraints().is_ok_and(|basic| basic.map_or(ca.version() != X509Version::V3, |basic| basic.value.ca));
    let may_sign = ca.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    let serves =
        ca.extended_key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.any || serve(usage.value)));
    is_ca && may_sign && serves
}
