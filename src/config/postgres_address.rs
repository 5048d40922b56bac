//! Address of the ledger: a SQLite file, or a PostgreSQL database that a libpq URL names, with its password from the
//! URL, the environment or a password file.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::util::host;

/// Address of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum LedgerAddress {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresAddress>),
}

impl LedgerAddress {
    /// Returns the name of the instance: that of the replica, or of the host.
    pub fn instance_name(&self) -> String {
        match self {
            LedgerAddress::Sqlite(_) => host::name(),
            LedgerAddress::Postgres(address) => address.replica.name.clone(),
        }
    }
}

impl std::fmt::Display for LedgerAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LedgerAddress::Sqlite(path) => path.display().fmt(formatter),
            LedgerAddress::Postgres(address) => address.url.fmt(formatter),
        }
    }
}

/// Address of a PostgreSQL ledger, with the replica that uses it.
#[derive(Clone)]
pub struct PostgresAddress {
    /// URL without the parameters that are kept apart, and without a password.
    pub url: String,
    /// Password from the URL or the environment.
    pub password: Option<SecretString>,
    /// Password file; the default is `~/.pgpass`.
    pub passfile: Option<PathBuf>,
    /// TLS settings.
    pub tls: TlsSettings,
    /// This replica.
    pub replica: ReplicaKeys,
}

/// Value of the key `replica`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaKeys {
    /// Name of this replica, unique among those that share the ledger.
    pub name: String,
    /// Time after which others take over the apps of a replica that does not renew its lease.
    pub lease: Duration,
    /// Label `instance` of all series of apps, the same for every replica.
    pub instance: String,
}

impl LedgerAddress {
    /// Returns the label `instance` of the series of apps, where replicas share them.
    pub fn instance(&self) -> Option<&str> {
        match self {
            LedgerAddress::Sqlite(_) => None,
            LedgerAddress::Postgres(address) => Some(&address.replica.instance),
        }
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &PostgresAddress) -> bool {
        let password =
            |address: &PostgresAddress| address.password.as_ref().map(|text| text.expose_secret().to_owned());
        (&self.url, &self.passfile, &self.tls, &self.replica)
            == (&other.url, &other.passfile, &other.tls, &other.replica)
            && password(self) == password(other)
    }
}

impl std::fmt::Debug for PostgresAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.url)
    }
}

/// Encryption of the connection, as in libpq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Mode.
    pub mode: SslMode,
    /// PEM file of trusted CAs, in place of this machine's.
    pub root_certificate: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
}

/// The parameter `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No encryption.
    Disable,
    /// Encryption if the server offers it; its certificate is not verified.
    #[default]
    Prefer,
    /// Encryption; the certificate is verified only if a root certificate is set.
    Require,
    /// Encryption with a certificate of a trusted CA.
    VerifyCa,
    /// Encryption with a certificate of a trusted CA for this host.
    VerifyFull,
}

/// Error of a URL.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not a URL that PostgreSQL understands.
    #[error("is not a PostgreSQL URL: {0}; for example postgres://push@db1.example.org/push")]
    Invalid(String),
    /// An unknown mode.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// The database is not named.
    #[error("names no database; for example postgres://push@db1.example.org/push")]
    NoDatabase,
}

impl PostgresAddress {
    /// Parses a URL. `environment` returns the value of a variable.
    ///
    /// # Errors
    /// An invalid URL or parameter.
    pub fn parse(
        text: &str,
        replica: ReplicaKeys,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<PostgresAddress, AddressError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut tls = TlsSettings::default();
        let mut passfile = environment("PGPASSFILE").map(PathBuf::from);
        let mut of_query = None;
        let mut rest = form_urlencoded::Serializer::new(String::new());
        // A plus sign is one here, not a space as in a form.
        let query = query.replace('+', "%2B");
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "password" => of_query = Some(value.into_owned()),
                "sslmode" => tls.mode = SslMode::parse(&value)?,
                "sslrootcert" => tls.root_certificate = Some(value.as_ref().into()),
                "sslcert" => tls.certificate = Some(value.as_ref().into()),
                "sslkey" => tls.key = Some(value.as_ref().into()),
                "passfile" => passfile = Some(value.as_ref().into()),
                _ => {
                    rest.append_pair(&key, &value);
                }
            }
        }
        let rest = rest.finish().replace('+', "%20");
        let separator = if rest.is_empty() { "" } else { "?" };
        let url = format!("{base}{separator}{rest}");
        let invalid = |error: tokio_postgres::Error| AddressError::Invalid(crate::util::error::error_chain(&error));
        let config: tokio_postgres::Config = url.parse().map_err(invalid)?;
        if config.get_dbname().is_none() {
            return Err(AddressError::NoDatabase);
        }
        let of_url = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
        let password = of_query.or(of_url).or_else(|| environment("PGPASSWORD")).map(SecretString::from);
        Ok(PostgresAddress { url: without_password(&url), password, passfile, tls, replica })
    }
}

impl SslMode {
    fn parse(text: &str) -> Result<SslMode, AddressError> {
        match text {
            "disable" => Ok(SslMode::Disable),
            "prefer" | "allow" => Ok(SslMode::Prefer),
            "require" => Ok(SslMode::Require),
            "verify-ca" => Ok(SslMode::VerifyCa),
            "verify-full" => Ok(SslMode::VerifyFull),
            _ => Err(AddressError::SslMode),
        }
    }
}

/// Removes the password of `postgres://user:password@host/…`.
fn without_password(url: &str) -> String {
    // Up to the first @, as the driver reads it: a password may have a slash.
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((credentials, host)) = rest.split_once('@') else { return url.to_owned() };
    format!("{scheme}://{}@{host}", credentials.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<PostgresAddress, AddressError> {
        let value =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        let replica =
            ReplicaKeys { name: "a".to_owned(), lease: Duration::from_secs(30), instance: "fleet".to_owned() };
        PostgresAddress::parse(text, replica, value)
    }

    #[test]
    fn parameters_of_libpq_are_understood() {
        let address = parse(
            "postgres://push@db1,db2:5433/push?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/ca.pem&passfile=/p",
            &[],
        )
        .unwrap();
        assert_eq!(address.url, "postgres://push@db1,db2:5433/push?target_session_attrs=read-write");
        assert_eq!(address.tls.mode, SslMode::VerifyFull);
        assert_eq!(address.tls.root_certificate, Some("/ca.pem".into()));
        assert_eq!(address.passfile, Some("/p".into()));
        assert!(address.password.is_none());
    }

    #[test]
    fn spaces_and_plus_signs_stay() {
        let address = parse("postgres://push@db/push?options=-c%20a%3Db&passfile=/a+b", &[]).unwrap();
        assert_eq!(address.url, "postgres://push@db/push?options=-c%20a%3Db");
        assert_eq!(address.passfile, Some("/a+b".into()));
    }

    #[test]
    fn a_password_is_kept_apart() {
        let password = |text, variables: &[(&str, &str)]| {
            let address = parse(text, variables).unwrap();
            assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
            address.password.map(|password| password.expose_secret().to_owned())
        };
        assert_eq!(password("postgres://push:hunter2@db/push", &[]).as_deref(), Some("hunter2"));
        assert_eq!(password("postgres://push@db/push?password=hunter2", &[]).as_deref(), Some("hunter2"));
        assert_eq!(password("postgres://push:hunter2/a@db/push", &[]).as_deref(), Some("hunter2/a"));
        assert_eq!(password("postgres://push@db/push", &[("PGPASSWORD", "hunter2")]).as_deref(), Some("hunter2"));
        assert_eq!(password("postgres://push@db/push", &[]), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("postgres://push@db", AddressError::NoDatabase),
            ("postgres://push@db/push?sslmode=strict", AddressError::SslMode),
        ] {
            assert_eq!(parse(text, &[]).unwrap_err(), error);
        }
        assert!(matches!(parse("postgres://db/push?nonsense=1", &[]), Err(AddressError::Invalid(_))));
    }
}
