//! Connections: made, checked, and the schema brought up to date.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode as DriverSslMode;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::postgres_address::{PostgresAddress, SslMode};
use crate::ledger::LedgerError;
use crate::ledger::postgres::error::{ErrorContext, PostgresError};
use crate::ledger::postgres::passfile::{self, Wanted};
use crate::ledger::postgres::replica_rows::{FLEET, TRANSACTION_TIMEOUT};
use crate::ledger::postgres::sql::first;
use crate::ledger::postgres::tls;
use crate::ledger::replicas::Refresh;

/// Migrations in their order; the schema number is how many are applied.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];
/// Key of the advisory lock under which migrations are applied: "push" in ASCII.
const MIGRATION_LOCK: i64 = 0x7075_7368;
/// Least server version, as `server_version_num` writes it.
const LEAST_VERSION: i32 = 130_000;
/// Time limit of a request to cancel.
const CANCEL: Duration = Duration::from_millis(500);
/// Time limit of the TCP connection to one address.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes connections to the database.
pub(super) struct Connector {
    config: Config,
    /// `None` without TLS.
    tls: Option<MakeRustlsConnect>,
    /// Password file to read for each connection, if no password is given otherwise.
    passfile: Option<PathBuf>,
    pub(super) context: ErrorContext,
}

/// A connection. Its task ends with it, even while an answer is pending.
pub(super) struct Connection {
    pub(super) client: Client,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connector {
    /// Creates a connector; reads the certificates.
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
        let passfile = match &address.password {
            Some(password) => {
                config.password(password.expose_secret());
                None
            }
            None => address.passfile.clone().or_else(default_passfile),
        };
        let tls = (address.tls.mode != SslMode::Disable).then(|| tls::connector(&address.tls)).transpose()?;
        let server = format!("{}:{port}", hosts.join(","));
        Ok(Connector { config, tls, passfile, context: ErrorContext { server, user, database } })
    }

    /// Makes a connection, and refuses a server that the ledger cannot rely on. Notifications of the server go to `notified`.
    pub(super) async fn connect(&self, notified: Option<Arc<Refresh>>) -> Result<Connection, LedgerError> {
        let late = || {
            let (server, cause) =
                (self.context.server.clone(), format!("no answer in {} s", TRANSACTION_TIMEOUT.as_secs()));
            LedgerError::Postgres(PostgresError::Unreachable { server, cause })
        };
        tokio::time::timeout(TRANSACTION_TIMEOUT, self.connect_once(notified)).await.map_err(|_| late())?
    }

    async fn connect_once(&self, notified: Option<Arc<Refresh>>) -> Result<Connection, LedgerError> {
        let explain = |error: tokio_postgres::Error| LedgerError::Postgres(self.context.explain(&error));
        let mut config = self.config.clone();
        if let Some(password) = self.password().await {
            config.password(password);
        }
        let connection = match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await.map_err(explain)?;
                Connection { client, task: tokio::spawn(drive(connection, notified)).abort_handle() }
            }
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(explain)?;
                Connection { client, task: tokio::spawn(drive(connection, notified)).abort_handle() }
            }
        };
        let sql = "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
             current_setting('synchronous_commit'), current_setting('server_encoding')";
        for row in connection.client.query_typed(sql, &[]).await.map_err(explain)? {
            if row.get::<_, i32>(0) < LEAST_VERSION {
                return Err(PostgresError::TooOld { found: row.get(1) }.into());
            }
            if row.get::<_, &str>(2) == "off" {
                return Err(PostgresError::NotDurable.into());
            }
            if row.get::<_, &str>(3) != "UTF8" {
                return Err(PostgresError::NotUtf8 { found: row.get(3) }.into());
            }
        }
        Ok(connection)
    }

    /// Ends what the server still does for a connection that is given up; otherwise each attempt would leave a backend that
    /// waits for a lock.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let cancelled = async {
            match &self.tls {
                Some(tls) => token.cancel_query(tls.clone()).await,
                None => token.cancel_query(NoTls).await,
            }
        };
        // The server may be away.
        let _ = tokio::time::timeout(CANCEL, cancelled).await;
    }

    /// Reads the password file, which may have changed; that of the first host counts.
    async fn password(&self) -> Option<String> {
        let file = self.passfile.clone()?;
        let host = self.config.get_hosts().first().map_or_else(|| "localhost".to_owned(), host);
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let ErrorContext { database, user, .. } = self.context.clone();
        let read = tokio::task::spawn_blocking(move || {
            passfile::read(&file, &Wanted { host: &host, port, database: &database, user: &user })
        });
        read.await.ok().flatten()
    }
}

/// Exchanges messages with the server until the connection ends.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, notified: Option<Arc<Refresh>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    // The client learns of an error by itself.
    while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let (AsyncMessage::Notification(notification), Some(notified)) = (message, &notified) {
            notified.request(notification.payload() == FLEET);
        }
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

/// Fails if an exporter of an earlier release, by another name, may be writing: it does not know the new tables.
async fn refuse_if_in_use(transaction: &Transaction<'_>, schema: i32, name: &str) -> Result<(), LedgerError> {
    let table = if schema == 1 { "writer" } else { "replica" };
    let sql = format!(
        "SELECT name, ceil(extract(epoch FROM expires - clock_timestamp()))::int8 FROM {table} \
         WHERE expires > clock_timestamp() AND name <> $1"
    );
    match first(transaction, &sql, &[(&name, Type::TEXT)]).await? {
        Some(row) => Err(PostgresError::InUse { name: row.get(0), seconds: row.get(1) }.into()),
        None => Ok(()),
    }
}

/// Applies missing migrations, each exporter after the other. Returns true if the ledger is new.
pub(super) async fn migrate(client: &mut Client, connector: &Connector, name: &str) -> Result<bool, LedgerError> {
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
    if 0 < found && found < known {
        refuse_if_in_use(&transaction, found, name).await?;
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).await.map_err(explain)?;
    }
    if found < known {
        let sql = "UPDATE push_exporter_schema SET version = $1";
        transaction.query_typed(sql, &[(&known, Type::INT4)]).await?;
    }
    transaction.commit().await?;
    Ok(!is_there)
}
