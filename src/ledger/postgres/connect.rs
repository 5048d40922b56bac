//! Connections: made, checked, and the schema brought up to date.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode as DriverSslMode;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::postgres_address::{PostgresAddress, SslMode};
use crate::ledger::LedgerError;
use crate::ledger::postgres::error::{ErrorContext, PostgresError};
use crate::ledger::postgres::passfile::{self, Wanted};
use crate::ledger::postgres::tls;

/// Migrations in their order; the schema number is how many are applied.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// Key of the advisory lock under which migrations are applied: "push" in ASCII.
const MIGRATION_LOCK: i64 = 0x7075_7368;
/// Least server version, as `server_version_num` writes it.
const LEAST_VERSION: i32 = 130_000;
/// Time limit of making a connection, for each host.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes connections to the database.
pub(super) struct Connector {
    config: Config,
    /// `None` without TLS.
    tls: Option<MakeRustlsConnect>,
    pub(super) context: ErrorContext,
}

impl Connector {
    /// Creates a connector; reads the password file and the certificates.
    pub(super) fn new(address: &PostgresAddress) -> Result<Connector, LedgerError> {
        let mut config: Config = address.url.parse().map_err(LedgerError::Database)?;
        config.application_name("push-exporter").connect_timeout(CONNECT).tcp_user_timeout(Duration::from_secs(20));
        config.keepalives_idle(Duration::from_secs(30));
        config.ssl_mode(match address.tls.mode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Prefer => DriverSslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverSslMode::Require,
        });
        let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().unwrap_or_default().to_owned();
        let database = config.get_dbname().unwrap_or_default().to_owned();
        if let Some(password) = &address.password {
            config.password(password.expose_secret());
        } else if let Some(file) = address.passfile.clone().or_else(default_passfile) {
            let first = hosts.first().map_or("localhost", String::as_str);
            let wanted = Wanted { host: first, port, database: &database, user: &user };
            if let Some(password) = passfile::read(&file, &wanted) {
                config.password(password);
            }
        }
        let tls = (address.tls.mode != SslMode::Disable).then(|| tls::connector(&address.tls)).transpose()?;
        let server = format!("{}:{port}", hosts.join(","));
        Ok(Connector { config, tls, context: ErrorContext { server, user, database } })
    }

    /// Makes a connection, and refuses a server that the ledger cannot rely on.
    pub(super) async fn connect(&self) -> Result<Client, LedgerError> {
        let explain = |error: tokio_postgres::Error| LedgerError::Postgres(self.context.explain(&error));
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(explain)?;
                drop(tokio::spawn(connection));
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(explain)?;
                drop(tokio::spawn(connection));
                client
            }
        };
        let sql = "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
             current_setting('synchronous_commit')";
        let found: Vec<Row> = client.query_typed(sql, &[]).await.map_err(explain)?;
        for row in &found {
            if row.get::<_, i32>(0) < LEAST_VERSION {
                return Err(PostgresError::TooOld { found: row.get(1) }.into());
            }
            if row.get::<_, &str>(2) == "off" {
                return Err(PostgresError::NotDurable.into());
            }
        }
        Ok(client)
    }
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn default_passfile() -> Option<std::path::PathBuf> {
    Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".pgpass"))
}

/// Applies missing migrations, each exporter after the other.
pub(super) async fn migrate(client: &mut Client, connector: &Connector) -> Result<(), LedgerError> {
    let explain = |error: tokio_postgres::Error| LedgerError::Postgres(connector.context.explain(&error));
    let transaction = client.transaction().await?;
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let sql = "SELECT to_regclass('push_exporter_schema') IS NOT NULL";
    let is_there = transaction.query_typed(sql, &[]).await?.iter().any(|row| row.get(0));
    if !is_there {
        let sql =
            "CREATE TABLE push_exporter_schema (version INTEGER NOT NULL); INSERT INTO push_exporter_schema VALUES (0)";
        transaction.batch_execute(sql).await.map_err(explain)?;
    }
    let found = transaction.query_typed("SELECT version FROM push_exporter_schema FOR UPDATE", &[]).await?;
    let found: i32 = found.first().map_or(0, |row| row.get(0));
    if found > known {
        return Err(PostgresError::Newer { found, known }.into());
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).await.map_err(explain)?;
    }
    if found < known {
        let sql = "UPDATE push_exporter_schema SET version = $1";
        transaction.query_typed(sql, &[(&known, Type::INT4)]).await?;
    }
    transaction.commit().await?;
    if !is_there {
        tracing::warn!(ledger = connector.context.server, "created a new ledger; counters start from a baseline");
    }
    Ok(())
}
