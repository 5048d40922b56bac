//! Errors of the server, with what to do about them.

use tokio_postgres::error::SqlState;

use crate::util::server_trust;

/// Error of a PostgreSQL ledger.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PostgresError {
    /// The server cannot be reached.
    #[error("cannot reach {server}: {cause}; check host, port, network and that the server runs")]
    Unreachable {
        /// Hosts and ports.
        server: String,
        /// Cause as text.
        cause: String,
    },
    /// The certificate of the server is not accepted.
    #[error("the certificate of {server} is not accepted: {cause}")]
    Certificate {
        /// Hosts and ports.
        server: String,
        /// Cause as text.
        cause: String,
    },
    /// There is no such database.
    #[error("the database {database} does not exist on {server}; create it: CREATE DATABASE {database}")]
    NoDatabase {
        /// Hosts and ports.
        server: String,
        /// Name of the database.
        database: String,
    },
    /// The role or its password is refused.
    #[error(
        "{server} refuses the role {user}: {cause}; set PGPASSWORD or a password file (passfile=…, PGPASSFILE), and check the role and pg_hba.conf"
    )]
    Refused {
        /// Hosts and ports.
        server: String,
        /// Role.
        user: String,
        /// Cause as text.
        cause: String,
    },
    /// The role may not do what the ledger needs.
    #[error(
        "the role {user} may not use the database: {cause}; make it the owner: ALTER DATABASE … OWNER TO {user}, or GRANT USAGE, CREATE ON SCHEMA public TO {user}"
    )]
    NoRights {
        /// Role.
        user: String,
        /// Cause as text.
        cause: String,
    },
    /// The server is too old.
    #[error("PostgreSQL {found} is too old; the ledger needs version 13 or later")]
    TooOld {
        /// Version of the server.
        found: String,
    },
    /// Commits may be lost.
    #[error(
        "synchronous_commit is off, so that the last commits can be lost and counters would go back; set it to on: ALTER DATABASE … SET synchronous_commit = on"
    )]
    NotDurable,
    /// The database was written by a newer release.
    #[error(
        "the database was written by a newer push-exporter (schema {found}, this one knows {known}); use that release"
    )]
    Newer {
        /// Schema of the database.
        found: i32,
        /// Newest schema that this release knows.
        known: i32,
    },
    /// A replica of an earlier release is alive.
    #[error(
        "this release must migrate the tables, but the replica {name} of an earlier release uses them; stop all replicas (the lease of {name} ends in {seconds} s)"
    )]
    InUse {
        /// Name of the replica.
        name: String,
        /// Seconds until its lease ends.
        seconds: i64,
    },
    /// The lease of this replica has ended.
    #[error("the lease of this replica has ended, and other replicas may have taken over; it rejoins automatically")]
    NoLease,
    /// The result of a COMMIT is unknown.
    #[error("the connection broke during a COMMIT, and its outcome is unknown; rereading all apps from the ledger")]
    UnknownCommit,
    /// The server did not answer in time.
    #[error("the database did not answer in time")]
    Timeout,
    /// The database cannot store every text.
    #[error("the database has the encoding {found}; create it with UTF8: CREATE DATABASE … ENCODING 'UTF8'")]
    NotUtf8 {
        /// Encoding of the database.
        found: String,
    },
    /// A row that every ledger has is missing.
    #[error("the database is not a complete ledger: a row is missing; restore a backup")]
    Incomplete,
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// Any other error of the server or the connection.
    #[error("the database failed: {0}")]
    Other(String),
}

/// Names that errors mention.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorContext {
    pub(super) server: String,
    pub(super) user: String,
    pub(super) database: String,
}

impl ErrorContext {
    /// Explains an error of connecting.
    pub(super) fn explain(&self, error: &tokio_postgres::Error) -> PostgresError {
        let ErrorContext { server, user, database } = self.clone();
        if let Some(cause) = server_trust::tls_error(error) {
            return PostgresError::Certificate { server, cause };
        }
        let cause = describe(error);
        match error.code() {
            Some(&SqlState::INVALID_CATALOG_NAME) => PostgresError::NoDatabase { server, database },
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                PostgresError::Refused { server, user, cause }
            }
            Some(&SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::INVALID_SCHEMA_NAME) => {
                PostgresError::NoRights { user, cause }
            }
            Some(_) => PostgresError::Other(cause),
            None if cause.contains("password missing") => PostgresError::Refused { server, user, cause },
            None => PostgresError::Unreachable { server, cause },
        }
    }
}

/// Returns the text of an error with its causes, once each.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => database.message().to_owned(),
        None => crate::util::error::error_chain(error),
    }
}

/// Returns true if the connection, or the server behind a proxy, is lost: then nothing is known of what was sent.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| code.code().starts_with("08") || code.code().starts_with("57P"))
}

/// Returns true if another connection may work where this one does not: that to a server that became a standby.
pub(super) fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Returns true if the transaction may succeed when it is repeated.
pub(super) fn is_conflict(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
}
