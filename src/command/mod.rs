//! The commands, one file each, and what they share: logging, listening, signals.

pub mod check;
pub mod demo;
pub mod messages;
pub mod serve;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::{Cli, Command, Flags, ListenAddress, LogFormat, LogLevel, MessagesCommand};

/// Why a command ends badly, and with which exit code.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2: the command line or the configuration is wrong. The text stands for itself.
    Usage(String),
    /// Exit code 1: it could not be done.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

/// Runs the command.
///
/// # Errors
/// What the process should end with.
pub fn dispatch(cli: &Cli) -> Result<(), Failure> {
    start_logging(&cli.flags);
    match &cli.command {
        None | Some(Command::Serve) => serve::run(&cli.flags),
        Some(Command::Demo) => demo::run(&cli.flags),
        Some(Command::Check(options)) => check::run(&cli.flags, options),
        Some(Command::Messages { command: MessagesCommand::Add(options) }) => messages::add(options),
    }
}

fn start_logging(flags: &Flags) {
    let level = match flags.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // Libraries may log what they send at debug level, credentials included.
    let others = if flags.log_level == LogLevel::Error { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},push_exporter={level}"));
    let layer = match flags.log_format {
        LogFormat::Logfmt => tracing_logfmt::builder().with_target(false).layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // A second start in one process, as in a test, keeps the first logger.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    // In the log's own format, and without what it says, which may quote an answer.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic; please report this as a bug");
    }));
}

/// How long work on other threads may go on after the command is done.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Runs a command to its end in a runtime of its own.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    // A check of the whole ledger, or another program's lock on it, must not hold up a stop.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// Writes to standard output. That nobody reads it is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Listens on every address and says where; for port 0 on standard output too, where a script reads it.
async fn listen(flags: &Flags) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in &flags.listen_addresses {
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
        let local = listener.local_addr().context("cannot listen")?;
        tracing::info!(address = local.to_string(), "listening");
        if wants_port {
            print(&format!("listening on {local}\n"))?;
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn describe(address: &ListenAddress) -> String {
    match address {
        ListenAddress::AnyAddress(port) => format!(":{port}"),
        ListenAddress::Socket(socket) => socket.to_string(),
        ListenAddress::Host(host) => host.clone(),
    }
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
