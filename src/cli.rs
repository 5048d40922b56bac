//! Flags and commands, named as in the Prometheus family.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Prometheus exporter for push-notification delivery: polls the statistics of JPush, Easemob and Feishu, keeps
/// a ledger, and serves true counters.
#[derive(Debug, Parser)]
#[command(name = "push-exporter", version, propagate_version = true)]
pub struct Cli {
    /// What to do; `serve` if nothing is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags, before or after the command.
    #[command(flatten)]
    pub flags: Flags,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Poll the configured apps and serve /metrics (the default)
    Serve,
    /// Serve against built-in simulators of the providers; nothing to configure
    Demo,
    /// Check the configuration, then ask every report once with the real credentials
    #[command(
        after_help = "Touches no ledger, so it may run beside a running exporter; each report asks once, within the provider's \
                      limits. Exit code 1 if a report fails, 2 if the configuration is wrong."
    )]
    Check(Check),
    /// Message ids, for a running exporter
    Messages {
        /// What to do with them.
        #[command(subcommand)]
        command: MessagesCommand,
    },
}

/// The flags of `check`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Check the configuration alone and ask nobody
    #[arg(long)]
    pub offline: bool,
}

/// What to do with message ids.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum MessagesCommand {
    /// Register message ids from standard input: one id a line, or one JSON object with msg_id, app and sent_at
    #[command(
        after_help = "An id that is known counts nothing, so the same input may be sent again. An exporter that does not \
                      answer is asked again for a minute. Exit code 1 if some lines were no ids (the others are registered) \
                      or the exporter could not be reached."
    )]
    Add(AddMessages),
}

/// The flags of `messages add`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AddMessages {
    /// The running exporter
    #[arg(long, value_name = "URL", default_value = "http://localhost:10110")]
    pub url: String,
    /// The file with the token of message_api
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The app of lines that name none
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
}

/// The flags of all commands.
#[derive(Debug, Args)]
pub struct Flags {
    /// The configuration file [default: push-exporter.yml]
    #[arg(long = "config.file", global = true, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one
    #[arg(long = "web.listen-address", global = true, value_name = "HOST:PORT", default_value = ":10110", value_parser = listen_address)]
    pub listen_addresses: Vec<ListenAddress>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", global = true, value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// Least severe messages to log
    #[arg(long = "log.level", global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// Format of the log, which goes to standard error
    #[arg(long = "log.format", global = true, value_name = "FORMAT", default_value = "logfmt")]
    pub log_format: LogFormat,
}

/// `--log.level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Requests and retries too.
    Debug,
    /// What changes.
    Info,
    /// What fails.
    Warn,
    /// What stops the exporter from working.
    Error,
}

/// `--log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One object a line.
    Json,
}

/// One `--web.listen-address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `:10110`: every address of the machine.
    AnyAddress(u16),
    /// `127.0.0.1:10110`, `[::1]:10110`
    Socket(SocketAddr),
    /// `localhost:10110`
    Host(String),
}

fn listen_address(text: &str) -> Result<ListenAddress, String> {
    let wrong = || "expected HOST:PORT, [IPV6]:PORT or :PORT".to_owned();
    if let Ok(socket) = text.parse() {
        return Ok(ListenAddress::Socket(socket));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        "" => Ok(ListenAddress::AnyAddress(port)),
        host if host.contains([':', '/', ' ']) => Err(wrong()),
        host => Ok(ListenAddress::Host(format!("{host}:{port}"))),
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if ["/-/", "/api/"].iter().any(|taken| text.starts_with(taken)) {
        return Err("paths under /-/ and /api/ are taken".to_owned());
    }
    if text.starts_with('/') && !text.contains(['?', '#', ' ', '"', '<', '>']) && text.is_ascii() {
        Ok(text.to_owned())
    } else {
        Err("expected a path such as /metrics".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for args in
            [["push-exporter", "--config.file", "a.yml", "serve"], ["push-exporter", "serve", "--config.file", "a.yml"]]
        {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.command, Some(Command::Serve));
            assert_eq!(cli.flags.config_file, Some("a.yml".into()));
            assert_eq!(cli.flags.listen_addresses, [ListenAddress::AnyAddress(10110)]);
        }
    }

    #[test]
    fn paths() {
        assert_eq!(telemetry_path("/push/metrics"), Ok("/push/metrics".to_owned()));
        for bad in ["", "metrics", "/a b", "/a?b", "/-/ready", "/api/v1/status"] {
            assert!(telemetry_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(listen_address(":0"), Ok(ListenAddress::AnyAddress(0)));
        assert_eq!(listen_address("[::1]:9"), Ok(ListenAddress::Socket("[::1]:9".parse().unwrap())));
        assert_eq!(listen_address("localhost:9"), Ok(ListenAddress::Host("localhost:9".to_owned())));
        for bad in ["", "9", "host", "host:", "host:99999", "a:b:1", "http://x:1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
