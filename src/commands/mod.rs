//! The commands, one file each, and their shared code: logging, listening, signals.

pub(crate) mod backfill;
pub(crate) mod backup;
pub(crate) mod check;
pub mod cli;
pub(crate) mod demo;
pub(crate) mod health;
pub mod init;
pub(crate) mod ledger;
pub(crate) mod messages;
pub(crate) mod serve;
mod watch;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::commands::cli::{Cli, Command, Flags, LedgerCommand, ListenAddress, LogFormat, LogLevel, MessagesCommand};
use crate::provider::config::Config;
use crate::provider::transport::SetupError;
use crate::util::log_format::LineFormat;
use crate::util::log_writer::LogWriter;
use crate::web::config::watch::{ConfigFollower, WatchedConfig};
use crate::web::lifecycle::Reloader;
use crate::web::{self, ListenerRole};

/// Failure of a command, which determines the exit code.
#[derive(Debug)]
pub enum CommandFailure {
    /// Exit code 2: the command line or the configuration is invalid. The text is printed without a prefix.
    Usage(String),
    /// Exit code 1: the command failed.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for CommandFailure {
    fn from(error: anyhow::Error) -> CommandFailure {
        CommandFailure::Failed(error)
    }
}

impl From<SetupError> for CommandFailure {
    fn from(error: SetupError) -> CommandFailure {
        match error {
            SetupError::Proxy(error) => CommandFailure::Usage(error.to_string()),
            error => CommandFailure::Failed(error.into()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Returns the failure with which the process should end.
#[expect(clippy::disallowed_methods, reason = "written to by a dedicated thread")]
pub fn dispatch(cli: &Cli) -> Result<(), CommandFailure> {
    let log = LogWriter::start(std::io::stderr()).context("cannot start the logging thread")?;
    start_logging(&cli.flags, log.clone());
    let result = run(cli);
    log.flush(LAST_LINES);
    result
}

fn run(cli: &Cli) -> Result<(), CommandFailure> {
    match &cli.command {
        None | Some(Command::Serve) => serve::run(&cli.flags),
        Some(Command::Demo) => demo::run(&cli.flags),
        Some(Command::Backfill(options)) => backfill::run(&cli.flags, options),
        Some(Command::Backup(options)) => backup::run(&cli.flags, options),
        Some(Command::Check(options)) => check::run(&cli.flags, options),
        Some(Command::Health) => health::run(&cli.flags),
        Some(Command::Init(options)) => init::run(&cli.flags, options),
        Some(Command::Messages { command: MessagesCommand::Add(options) }) => messages::add(options),
        Some(Command::Ledger { command: LedgerCommand::Copy(options) }) => ledger::copy(options),
    }
}

fn start_logging(flags: &Flags, log: LogWriter) {
    let level = match flags.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // Libraries may log requests at debug level, including credentials.
    let others = if flags.log_level == LogLevel::Error { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},push_exporter={level}"));
    let format = match flags.log_format {
        LogFormat::Logfmt => LineFormat::Logfmt,
        LogFormat::Json => LineFormat::Json,
    };
    let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(log);
    // A second initialization in the same process, as in a test, keeps the first logger.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    // Logs panics in the format of the log, without the message, which may quote an answer.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked; please report this as a bug");
    }));
}

/// Maximum wait at the end for the reader of standard error to take the last log lines.
pub const LAST_LINES: Duration = Duration::from_secs(1);

/// Time limit for work on other threads after the command has ended.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Runs a command to completion in a new runtime.
fn block_on(command: impl Future<Output = Result<(), CommandFailure>>) -> Result<(), CommandFailure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    // A check of the whole ledger, or another program's lock on it, must not delay the shutdown.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// Writes to standard output. A closed pipe is not a failure.
#[expect(clippy::disallowed_methods, reason = "a few lines, before or instead of serving")]
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Returns a progress bar that counts in `unit`, such as `rows`; its length is not known yet.
fn progress_bar(unit: &str) -> ProgressBar {
    let style = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

/// A listening socket that is not announced yet.
struct Bound {
    listener: TcpListener,
    role: ListenerRole,
    /// Text that is logged with the address.
    words: &'static str,
    /// True if the port was chosen by the system.
    wants_port: bool,
}

/// Listens on the addresses of the flags.
async fn bind(flags: &Flags) -> anyhow::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    if flags.systemd_socket {
        for listener in passed_sockets()? {
            let (role, words) = (ListenerRole::Main, "listening on a systemd socket");
            bound.push(Bound { listener, role, words, wants_port: false });
        }
    } else {
        for address in &flags.listen_addresses {
            bound.push(bind_to(address, ListenerRole::Main, "listening on").await?);
        }
    }
    if let Some(address) = &flags.probe_address {
        bound.push(bind_to(address, ListenerRole::Probe, "probes on").await?);
    }
    Ok(bound)
}

/// Logs the addresses; prints those with port 0 to standard output too, for scripts.
fn announce(bound: Vec<Bound>) -> anyhow::Result<Vec<(TcpListener, ListenerRole)>> {
    let mut listeners = Vec::new();
    for Bound { listener, role, words, wants_port } in bound {
        let local = listener.local_addr().context("cannot listen")?;
        tracing::info!(address = local.to_string(), "{words}");
        if wants_port {
            print(&format!("{words} {local}\n"))?;
        }
        listeners.push((listener, role));
    }
    Ok(listeners)
}

async fn bind_to(address: &ListenAddress, role: ListenerRole, words: &'static str) -> anyhow::Result<Bound> {
    let (bound, wants_port) = match address {
        ListenAddress::Socket(socket) => (TcpListener::bind(socket).await, socket.port() == 0),
        ListenAddress::Host(host) => (TcpListener::bind(host).await, host.ends_with(":0")),
        ListenAddress::AnyAddress(port) => {
            // On Linux the IPv6 wildcard takes IPv4 too, unless the machine has no IPv6.
            let bound = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).await {
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).await
                }
                bound => bound,
            };
            (bound, *port == 0)
        }
    };
    let listener = bound.with_context(|| format!("cannot listen on {}", describe(address)))?;
    Ok(Bound { listener, role, words, wants_port })
}

/// Returns the sockets of systemd's socket activation.
fn passed_sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    anyhow::ensure!(count > 0, "no sockets were passed; --web.systemd-socket needs a socket unit");
    let mut listeners = Vec::new();
    for number in 0..count {
        let listener = passed.take_tcp_listener(number).context("a passed socket is not a TCP listener")?;
        let listener = listener.context("cannot take a passed socket")?;
        listener.set_nonblocking(true).context("cannot use a passed socket")?;
        let listener = TcpListener::from_std(listener).context("cannot use a passed socket")?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Returns the paths and limits of the web server, from the flags.
fn web_options(flags: &Flags) -> web::Options {
    let (external, prefix) = (flags.external_path.clone(), flags.route_prefix.clone());
    web::Options {
        telemetry_path: flags.telemetry_path.clone(),
        // Links use the prefix of the routes if there is no external URL.
        link_prefix: external.clone().or_else(|| prefix.clone()).unwrap_or_default().0,
        route_prefix: prefix.or(external).unwrap_or_default().0,
        max_requests: flags.max_requests,
        own_metrics: !flags.disable_exporter_metrics,
        lifecycle: flags.enable_lifecycle,
        dashboard_url: flags.dashboard_url.clone(),
        runbook_url: flags.runbook_url.clone(),
        about: web::About::default(),
    }
}

/// Returns what the status page says of the process; `file` is its configuration.
fn about(config: &Config, file: impl std::fmt::Display) -> web::About {
    let ledger = &config.ledger;
    web::About { instance: ledger.instance_name(), config: file.to_string(), ledger: ledger.to_string() }
}

/// Reads the web configuration that the flags name, and starts to watch it.
fn web_settings(flags: &Flags) -> Result<WatchedConfig, CommandFailure> {
    let Some(file) = &flags.web_config_file else { return Ok(WatchedConfig::nothing()) };
    let (followed, watched) =
        ConfigFollower::open(file.clone()).map_err(|errors| CommandFailure::Usage(errors.to_string()))?;
    tokio::spawn(followed.follow());
    Ok(watched)
}

fn describe(address: &ListenAddress) -> String {
    match address {
        ListenAddress::AnyAddress(port) => format!(":{port}"),
        ListenAddress::Socket(socket) => socket.to_string(),
        ListenAddress::Host(host) => host.clone(),
    }
}

/// Starts a task that reloads the configuration on SIGHUP; a signal before the exporter serves is kept until then.
fn reload_on_signals(reloader: Reloader) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            // The reload logs its own result.
            let _ = reloader.reload().await;
        }
    });
    Ok(())
}

/// Cancels `stop` on SIGTERM or SIGINT; a second signal ends the process at once.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_second {
                std::process::exit(1);
            }
            tracing::info!("stopping");
            stop.cancel();
        }
    });
    Ok(())
}
