//! Client certificates in the five modes of Go's crypto/tls. The verifier of rustls cannot request certificates
//! without verifying them, allow certain names only, or trust a certificate that is its own CA.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};
use x509_parser::prelude::{GeneralName, X509Certificate};

use crate::util::certificates::{is_valid, may_issue, parsed};

/// Mode of client authentication, as Go's `ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    /// Returns true if the mode verifies the issuer of a certificate.
    pub(super) fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify)
    }

    fn requires(self) -> bool {
        matches!(self, ClientAuth::RequireAny | ClientAuth::RequireAndVerify)
    }
}

/// Error for a client certificate without an allowed name.
#[derive(Debug, thiserror::Error)]
#[error("the client's certificate has none of the names in client_allowed_sans")]
struct NoAllowedName;

/// Verifier of client certificates.
#[derive(Debug)]
pub(super) struct Clients {
    mode: ClientAuth,
    /// CAs as configured; one of them may be the client's own certificate.
    trusted: Vec<CertificateDer<'static>>,
    /// Verifier of chains up to the CAs; `None` if there are none.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    /// Names of which the certificate must contain at least one.
    allowed_sans: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl Clients {
    /// Creates a verifier with the configured CAs or, like Go, with those of the system if none are configured.
    pub(super) fn new(
        mode: ClientAuth,
        ca: Option<Vec<CertificateDer<'static>>>,
        allowed_sans: Option<Vec<String>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Clients, VerifierBuilderError> {
        let is_own = ca.is_some();
        let trusted = ca.unwrap_or_else(|| {
            if !mode.verifies() {
                return Vec::new();
            }
            tracing::warn!(
                "client certificates are verified without client_ca, so any public CA is accepted; set client_ca"
            );
            #[expect(clippy::disallowed_methods, reason = "at the start, or on a blocking thread")]
            rustls_native_certs::load_native_certs().certs
        });
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let hints = if is_own { roots.subjects() } else { Vec::new() };
        let chains = if mode.verifies() { chains(trusted.iter(), provider)? } else { None };
        Ok(Clients { mode, trusted, chains, allowed_sans, provider: Arc::clone(provider), hints })
    }

    fn verify_chain(
        &self,
        client: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trusted.iter().any(|trusted| trusted == client) {
            return verify_own(client, now);
        }
        // A CA is trusted only as long as its certificate is valid, which rustls does not check.
        let valid: Vec<_> = self.trusted.iter().filter(|trusted| is_valid(trusted, now)).collect();
        let chains = if valid.len() == self.trusted.len() {
            self.chains.clone()
        } else {
            chains(valid.iter().copied(), &self.provider).map_err(|error| Error::General(error.to_string()))?
        };
        let chains = chains.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let verified = chains.verify_client_cert(client, intermediates, now).map(drop);
        verified.or_else(|error| {
            let is_issued = valid.iter().any(|ca| is_issued_by(client, ca).unwrap_or(false));
            if is_issued { verify_own(client, now) } else { Err(error) }
        })
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Verifies a signature by a certificate that rustls cannot read, such as one of X.509 version 1. rustls has
    /// already checked that the scheme is supported and allowed by the TLS version.
    fn verify_signature(
        &self,
        message: &[u8],
        client: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        error: Error,
    ) -> Result<HandshakeSignatureValid, Error> {
        let is_unread = matches!(error, Error::InvalidCertificate(ref why) if *why != CertificateError::BadSignature);
        if !is_unread {
            return Err(error);
        }
        let key = parsed(client)?.tbs_certificate.subject_pki.subject_public_key.data.to_vec();
        let schemes = self.algorithms().mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let mut algorithms = schemes.flat_map(|(_, algorithms)| algorithms.iter());
        if algorithms.any(|algorithm| algorithm.verify_signature(&key, message, signature.signature()).is_ok()) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_sans(&self, client: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(allowed) = &self.allowed_sans else { return Ok(()) };
        let sans = sans(&parsed(client)?);
        if sans.iter().any(|san| allowed.contains(san)) {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoAllowedName)))))
    }
}

/// Returns a verifier of chains up to those certificates that may issue others; `None` if none may. rustls accepts
/// every trusted certificate as a CA, so a client whose own certificate is trusted could issue others.
fn chains<'a>(
    trusted: impl Iterator<Item = &'a CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    let cas =
        trusted.filter(|trusted| parsed(trusted).is_ok_and(|trusted| may_issue(&trusted, |usage| usage.client_auth)));
    roots.add_parsable_certificates(cas.cloned());
    if roots.is_empty() {
        return Ok(None);
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map(Some)
}

/// Returns true if a CA has issued a certificate directly. Go accepts such certificates in forms that rustls refuses:
/// of X.509 version 1, as `openssl x509 -req` makes them, or those that are CAs too. Certificates with name
/// constraints or with other critical extensions are left to rustls.
fn is_issued_by(client: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> Result<bool, Error> {
    let (client, ca) = (parsed(client)?, parsed(ca)?);
    let is_understood = |oid: &Oid<'_>| {
        *oid == OID_X509_EXT_BASIC_CONSTRAINTS
            || *oid == OID_X509_EXT_KEY_USAGE
            || *oid == OID_X509_EXT_EXTENDED_KEY_USAGE
            || *oid == OID_X509_EXT_SUBJECT_ALT_NAME
    };
    let extensions = client.extensions().iter().chain(ca.extensions());
    let is_simple = extensions.filter(|extension| extension.critical).all(|extension| is_understood(&extension.oid));
    let constrains = ca.extensions().iter().any(|extension| extension.oid == OID_X509_EXT_NAME_CONSTRAINTS);
    let is_named = client.issuer().as_raw() == ca.subject().as_raw();
    // Only old certificates have these algorithms, and Go does not accept them either.
    let is_weak = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(&client.signature_algorithm.algorithm);
    Ok(is_simple
        && !constrains
        && may_issue(&ca, |usage| usage.client_auth)
        && is_named
        && !is_weak
        && client.verify_signature(Some(ca.public_key())).is_ok())
}

/// Checks a certificate that is trusted directly or through its issuer: it must be valid now, and not be restricted to
/// another purpose.
fn verify_own(client: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let error = if !is_valid(client, now) {
        CertificateError::Expired
    } else {
        match parsed(client)?.extended_key_usage() {
            Ok(None) => return Ok(()),
            Ok(Some(usage)) if usage.value.any || usage.value.client_auth => return Ok(()),
            Ok(Some(_)) => CertificateError::InvalidPurpose,
            Err(_) => CertificateError::BadEncoding,
        }
    };
    Err(Error::InvalidCertificate(error))
}

/// Returns the subject alternative names that Go compares: DNS names, email addresses, IP addresses and URIs.
fn sans(client: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = client.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
                // Go writes an IPv4-mapped IPv6 address as an IPv4 address.
                Some(address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string()))
            }
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.mode != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        // A client without a certificate has none of the allowed names.
        self.mode.requires() || self.allowed_sans.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        client: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.mode.verifies() {
            self.verify_chain(client, intermediates, now)?;
        }
        self.verify_sans(client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        client: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, client, signature, self.algorithms())
            .or_else(|error| self.verify_signature(message, client, signature, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        client: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, client, signature, self.algorithms())
            .or_else(|error| self.verify_signature(message, client, signature, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
