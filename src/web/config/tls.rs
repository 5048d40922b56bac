//! The section `tls_server_config`, and the rustls configuration made from it.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::ErrorNoted;
use crate::config::section::{Context, Section};
use crate::config::yaml::Place;
use crate::util::certificates::parsed;
use crate::web::config::client_auth::{ClientAuth, Clients};
use crate::web::config::go_tls_names::{CURVES, HTTP2_SUITES, SUITES, VERSIONS, Version};
use crate::web::config::{Material, Sources, boolean};

/// Modes by Go's names; the second name of the same mode is an old alias.
const MODES: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

/// The section as written, with the files that it names.
pub(super) struct TlsSection {
    place: Place,
    path: String,
    /// True if any key that turns TLS on is present.
    is_on: bool,
    cert: Option<Material>,
    key: Option<Material>,
    client_ca: Option<Material>,
    client_auth: ClientAuth,
    allowed_sans: Option<Vec<String>>,
    min: Version,
    max: Version,
    suites: Option<Usable<SupportedCipherSuite>>,
    prefers_own_order: bool,
    curves: Option<Usable<&'static dyn SupportedKxGroup>>,
}

impl TlsSection {
    /// Reads all keys; returns `None` after an error was noted.
    pub(super) fn read(mut section: Section<'_>, sources: &mut Sources) -> Option<TlsSection> {
        let context = section.context();
        let (place, path) = (section.place(), section.path().to_owned());
        let cert = Material::read(&mut section, "cert", sources);
        let key = Material::read(&mut section, "key", sources);
        let client_ca = Material::read(&mut section, "client_ca", sources);
        let mode = section.scalar("client_auth_type").filter(|(_, name)| !name.is_empty());
        let has_mode = mode.is_some();
        let client_auth = mode.map_or(Some(ClientAuth::None), |(found, name)| {
            let mode = MODES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode);
            if mode.is_none() {
                let names: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
                let message = format!("invalid ClientAuth: {name}; known are {}", names.join(", "));
                context.error(found.place, &found.path, message);
            }
            mode
        });
        let allowed_sans =
            section.words("client_allowed_sans").map(|words| words.into_iter().map(|(_, _, word)| word).collect());
        let mut version = |key, default| {
            let Some((found, name)) = section.scalar(key) else { return Some(default) };
            let version = VERSIONS.iter().find(|(known, _)| *known == name).map(|(_, version)| *version);
            if version.is_none() {
                let message = format!("unknown TLS version: {name}; known are TLS10, TLS11, TLS12, TLS13");
                context.error(found.place, &found.path, message);
            }
            version
        };
        let (min, max) = (version("min_version", Version::Tls12), version("max_version", Version::Tls13));
        let suites = usable(&mut section, "cipher_suites", "unknown cipher", &SUITES);
        let prefers_own_order = boolean(&mut section, "prefer_server_cipher_suites").unwrap_or(true);
        let curves = usable(&mut section, "curve_preferences", "unknown curve", &CURVES);
        section.finish();
        let (cert, key, client_ca) = (cert.ok()?, key.ok()?, client_ca.ok()?);
        Some(TlsSection {
            place,
            path,
            is_on: cert.is_some() || key.is_some() || client_ca.is_some() || has_mode,
            cert,
            key,
            client_ca,
            client_auth: client_auth?,
            allowed_sans,
            min: min?,
            max: max?,
            suites: suites.ok()?,
            prefers_own_order,
            curves: curves.ok()?,
        })
    }

    /// Builds the rustls configuration, and returns it with the end of the server's certificate chain in Unix seconds.
    /// `None` if TLS is off.
    pub(super) fn build(
        self,
        http2: bool,
        context: &Context<'_>,
    ) -> Result<Option<(Arc<ServerConfig>, i64)>, ErrorNoted> {
        if !self.is_on {
            return Ok(None);
        }
        let noted = |message: &str| {
            context.error(self.place, &self.path, message);
            ErrorNoted
        };
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, _) => {
                return Err(noted("missing one of cert or cert_file"));
            }
            (_, None) => {
                return Err(noted("missing one of key or key_file"));
            }
        };
        for (key, skipped) in
            [Usable::skipped("cipher_suites", &self.suites), Usable::skipped("curve_preferences", &self.curves)]
                .into_iter()
                .flatten()
        {
            tracing::warn!(key, skipped, "ignoring unsupported values");
        }
        let (versions, provider) = self.algorithms(http2).map_err(|message| noted(&message))?;
        let provider = Arc::new(provider);
        let certified = certified(cert, key, &provider, context).ok_or(ErrorNoted)?;
        let ends = certified.cert.iter().filter_map(|certificate| Some(parsed(certificate).ok()?.validity().not_after));
        let expiry = ends.map(|end| end.timestamp()).min().unwrap_or(i64::MAX);
        let client_ca = match &self.client_ca {
            Some(_) if self.client_auth == ClientAuth::None => {
                return Err(noted(
                    "client CA's have been configured without a Client Auth Policy: set client_auth_type",
                ));
            }
            Some(ca) if self.client_auth.verifies() => Some(certificates(ca, context).ok_or(ErrorNoted)?),
            // The mode verifies no issuers, so the CA is not used.
            Some(_) | None => None,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
        let builder = builder.map_err(|reason| noted(&format!("cannot be used: {reason}")))?;
        let builder = match self.client_auth {
            ClientAuth::None => {
                if self.allowed_sans.is_some() {
                    tracing::warn!("client_allowed_sans has no effect without client_auth_type; set client_auth_type");
                }
                builder.with_no_client_auth()
            }
            mode => {
                let clients = Clients::new(mode, client_ca, self.allowed_sans.clone(), &provider);
                let clients = clients.map_err(|reason| noted(&format!("client_ca cannot be used: {reason}")))?;
                builder.with_client_cert_verifier(Arc::new(clients))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        if self.client_auth != ClientAuth::None {
            // A client that resumes a session would not be asked for its certificate, even after that has expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.ignore_client_order = self.prefers_own_order;
        // Without HTTP/2 no protocol is negotiated, so that clients that offer only HTTP/2 can still connect.
        if http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(Some((Arc::new(config), expiry)))
    }

    /// Returns versions, suites and curves, or an error text if nothing usable is left.
    fn algorithms(&self, http2: bool) -> Result<(Vec<&'static SupportedProtocolVersion>, CryptoProvider), String> {
        if self.min > self.max || self.max < Version::Tls12 {
            return Err(
                "nothing usable is left between min_version and max_version; TLS12 and TLS13 are supported".to_owned()
            );
        }
        if self.min < Version::Tls12 {
            tracing::warn!("a min_version below TLS12 is not supported; using TLS12");
        }
        let mut provider = aws_lc_rs::default_provider();
        let mut versions = vec![&TLS13, &TLS12];
        // A list of suites does not affect TLS 1.3.
        if let Some(chosen) = self.suites.as_ref().filter(|_| self.min < Version::Tls13) {
            let chosen = chosen.values("cipher_suites")?;
            // As in Go, suites of TLS 1.3 cannot be chosen.
            provider.cipher_suites.retain(|suite| suite.tls13().is_some());
            let old: Vec<_> = chosen.iter().copied().filter(|suite| suite.tls13().is_none()).collect();
            if old.is_empty() {
                versions.retain(|version| version.version == TLS13.version);
            }
            if http2 && !HTTP2_SUITES.iter().any(|suite| old.contains(suite)) {
                return Err("cipher_suites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher; \
                            add one, or set http2: false in http_server_config"
                    .to_owned());
            }
            provider.cipher_suites.extend(old);
        }
        versions.retain(|version| match version.version {
            rustls::ProtocolVersion::TLSv1_2 => self.min <= Version::Tls12,
            _ => self.max >= Version::Tls13,
        });
        if versions.is_empty() {
            return Err("nothing usable is in cipher_suites with this max_version".to_owned());
        }
        if let Some(curves) = &self.curves {
            provider.kx_groups = curves.values("curve_preferences")?.to_vec();
        }
        Ok((versions, provider))
    }
}

/// Values of a list of names, and the names that are not supported.
struct Usable<T> {
    values: Vec<T>,
    skipped: Vec<String>,
}

impl<T> Usable<T> {
    /// Returns the usable values, or an error text if there are none.
    fn values(&self, key: &str) -> Result<&[T], String> {
        if self.values.is_empty() {
            return Err(format!("nothing usable is in {key}; not supported: {}", self.skipped.join(", ")));
        }
        Ok(&self.values)
    }

    fn skipped<'k>(key: &'k str, list: &Option<Usable<T>>) -> Option<(&'k str, String)> {
        let skipped = list.as_ref().filter(|list| !list.skipped.is_empty() && !list.values.is_empty())?;
        Some((key, skipped.skipped.join(", ")))
    }
}

/// Reads a list of names; `None` if it is missing or empty.
fn usable<T: Copy>(
    section: &mut Section<'_>,
    key: &str,
    unknown: &str,
    known: &[(&str, Option<T>)],
) -> Result<Option<Usable<T>>, ErrorNoted> {
    let Some(words) = section.words(key).filter(|words| !words.is_empty()) else { return Ok(None) };
    let mut usable = Usable { values: Vec::new(), skipped: Vec::new() };
    let mut is_sound = true;
    for (place, path, word) in words {
        match known.iter().find(|(name, _)| *name == word) {
            Some((_, Some(value))) => usable.values.push(*value),
            Some((_, None)) => usable.skipped.push(word),
            None => {
                section.context().error(place, &path, format!("{unknown}: {word}"));
                is_sound = false;
            }
        }
    }
    if is_sound { Ok(Some(usable)) } else { Err(ErrorNoted) }
}

/// Parses the certificates of a PEM text, at least one; returns `None` after an error was noted.
fn certificates(material: &Material, context: &Context<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&material.bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Some(found),
        _ => {
            context.error(material.place, &material.path, format!("{} holds no certificate in PEM", material.name));
            None
        }
    }
}

/// Loads a certificate chain with its key; returns `None` after an error was noted.
fn certified(
    cert: &Material,
    key: &Material,
    provider: &CryptoProvider,
    context: &Context<'_>,
) -> Option<CertifiedKey> {
    let chain = certificates(cert, context)?;
    let error = |material: &Material, message: String| context.error(material.place, &material.path, message);
    let Ok(private) = PrivateKeyDer::from_pem_slice(&key.bytes) else {
        error(key, format!("{} holds no private key in PEM, or an encrypted one", key.name));
        return None;
    };
    let Ok(signing) = provider.key_provider.load_private_key(private) else {
        error(key, format!("the private key of {} has a type that is not supported", key.name));
        return None;
    };
    // Compared here instead of by rustls, which does not accept certificates of X.509 version 1.
    let leaf = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let Some((_, leaf)) = leaf else {
        error(cert, format!("{} holds no X.509 certificate", cert.name));
        return None;
    };
    if !leaf.validity().is_valid() {
        tracing::warn!(
            cert = cert.name,
            ends = leaf.validity().not_after.to_string(),
            "the server's certificate is not valid now"
        );
    }
    if signing.public_key().is_some_and(|public| public.as_ref() != leaf.tbs_certificate.subject_pki.raw) {
        error(key, "the private key does not match the certificate".to_owned());
        return None;
    }
    Some(CertifiedKey::new(chain, signing))
}
