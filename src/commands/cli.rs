//! Flags and commands, named as in the Prometheus family.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use jiff::civil::Date;

use crate::config::duration;
use crate::provider::registry::PROVIDERS;

/// Prometheus exporter for push-notification delivery: polls the statistics of push providers, keeps a ledger, and serves true
/// counters.
#[derive(Debug, Parser)]
#[command(
    name = "push-exporter",
    version,
    propagate_version = true,
    after_long_help = "HTTPS_PROXY and NO_PROXY set the proxy for the providers, SSL_CERT_FILE sets the trusted CAs, and \
                       ${NAME} in the configuration is the environment variable that holds a secret. SIGHUP reloads the \
                       configuration; SIGTERM and SIGINT stop cleanly, a second signal stops at once. Exit code 1 on \
                       failure (address in use, ledger, a failed check), 2 if the command line or the configuration is \
                       invalid."
)]
pub struct Cli {
    /// The command; `serve` if none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags, before or after the command.
    #[command(flatten)]
    pub flags: Flags,
}

impl Cli {
    /// Parses the command line. Ends the process on `--help` and `--version`, or if it is invalid (exit code 2).
    pub fn read() -> Cli {
        let matches = listing_what_is_read(Cli::command()).get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Hides the flags that a command does not read from its help, man page and completions. Every command accepts all
/// flags, so that the flags of an exporter can be passed to its health check unchanged.
pub fn listing_what_is_read(mut program: clap::Command) -> clap::Command {
    // Propagates the global flags to the commands.
    program.build();
    hide_what_is_not(program)
}

fn hide_what_is_not(command: clap::Command) -> clap::Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|flag| {
            let is_unread = flag.is_global_set() && !is_read(&name, flag.get_id().as_str());
            flag.hide(is_unread)
        })
        .mut_subcommands(hide_what_is_not)
}

/// Returns true if a command uses a flag, named by its field in [`Flags`].
fn is_read(command: &str, flag: &str) -> bool {
    match (command, flag) {
        (_, "log_level" | "log_format") | ("push-exporter" | "serve", _) => true,
        ("demo", flag) => !matches!(flag, "config_file" | "config_watch"),
        ("check", flag) => matches!(flag, "config_file" | "web_config_file"),
        ("init" | "backup" | "backfill", flag) => flag == "config_file",
        ("health", flag) => matches!(
            flag,
            "listen_addresses"
                | "systemd_socket"
                | "web_config_file"
                | "external_path"
                | "route_prefix"
                | "probe_address"
        ),
        _ => false,
    }
}

/// A command of the program.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Poll the configured apps and serve /metrics (the default)
    Serve,
    /// Serve against built-in simulators of the providers; nothing to configure
    Demo,
    /// Check the configuration, then query every report once with the real credentials
    #[command(
        after_help = "Writes to no ledger, so it can run beside a running exporter; with a PostgreSQL ledger it also prints the \
                      live replicas and the owner of each app; each report is queried once, within the rate limits of the \
                      provider. Exit code 1 if a report fails or the database cannot be read, 2 if the configuration is \
                      invalid."
    )]
    Check(Check),
    /// Print a commented example configuration
    #[command(
        after_help = "If --config.file is given, it is written to that file instead; an existing file is left unchanged."
    )]
    Init(Init),
    /// Check that an exporter with the same flags is alive, for the health check of a container
    Health,
    /// Register message ids with a running exporter
    Messages {
        /// The command for message ids.
        #[command(subcommand)]
        command: MessagesCommand,
    },
    /// Write the history before the first start as a file from which promtool makes blocks
    #[command(
        after_help = "Asks the reports for days, weeks and months of the past, and for messages with a known send time, within \
                      half of each rate limit, so that an exporter can run meanwhile; nothing is written to the ledger. \
                      Answers are kept in FILE.parts until FILE is complete; after an interruption the same command with \
                      --resume goes on. Days that a provider refuses are listed at the end. docs/history.md has the whole \
                      way into Prometheus. Exit code 1 if the history is not complete, 2 if a flag or the configuration is \
                      invalid."
    )]
    Backfill(Backfill),
    /// Copy the ledger to a file while the exporter runs
    #[command(
        after_help = "The copy is as of one moment, and replaces an earlier file only when it is whole. Exit code 1 if it \
                      fails or is not sound, 2 if the configuration is invalid or its ledger is a PostgreSQL database."
    )]
    Backup(Backup),
    /// Move a ledger between SQLite and PostgreSQL
    Ledger {
        /// The command for ledgers.
        #[command(subcommand)]
        command: LedgerCommand,
    },
}

/// A command for ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum LedgerCommand {
    /// Copy a whole ledger, with its counters, to an empty database or a new file
    #[command(
        after_help = "Stop the exporters of both ledgers first. Both are migrated to the schema of this release. \
                      The copy is one transaction: if it fails, nothing is copied. The password of the database is read \
                      from PGPASSWORD or a password file."
    )]
    Copy(CopyLedger),
}

/// Flags of `ledger copy`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CopyLedger {
    /// Ledger to copy: sqlite:FILE or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "LEDGER")]
    pub from: String,
    /// Ledger to copy it to
    #[arg(long, value_name = "LEDGER")]
    pub to: String,
}

/// Flags of `init`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Print the part of this provider only; may be repeated
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(PROVIDERS.iter().map(|provider| provider.name())))]
    pub provider: Vec<String>,
}

/// Flags of `backfill`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// First day, in the time zone of each app
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Date,
    /// Day before which the history ends [default: the time at which the ledger first knew each app]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<Date>,
    /// Interval between samples, such as 30s, 5m or 1h; Prometheus' graphs have gaps if it is longer than 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = step)]
    pub step: Duration,
    /// Label of all series, such as job=push-exporter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// File to write; an earlier one is replaced. It is compressed if its name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Go on with an interrupted run
    #[arg(long)]
    pub resume: bool,
    /// Say how many requests it takes and how long, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "expected a date such as 2026-09-01".to_owned())
}

fn step(text: &str) -> Result<Duration, String> {
    let step = duration::parse(text).filter(|step| !step.is_zero());
    step.ok_or_else(|| "expected a duration such as 30s, 5m or 1h".to_owned())
}

/// Labels that the exporter's own series have.
const OWN_LABELS: [&str; 11] =
    ["provider", "app", "platform", "channel", "kind", "category", "window", "report", "state", "department", "scope"];

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit());
    if !is_name || name.starts_with("__") {
        return Err(format!("{name:?} is no label name"));
    }
    if OWN_LABELS.contains(&name) {
        return Err(format!("{name} is a label of the series themselves"));
    }
    if value.is_empty() {
        return Err(format!("{name} has no value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Flags of `backup`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// File to write; an earlier one is replaced
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Open the copy, check all of it, and print what is in it
    #[arg(long)]
    pub verify: bool,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Check only the configuration, without querying any provider
    #[arg(long)]
    pub offline: bool,
}

/// A command for message ids.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum MessagesCommand {
    /// Register message ids from standard input: one id a line, or one JSON object with msg_id, app and sent_at
    #[command(
        after_help = "Known ids count nothing, so the same input can be sent again. If the exporter does not answer, the \
                      request is retried for a minute. Exit code 1 if some lines are not ids (the others are registered) \
                      or the exporter cannot be reached."
    )]
    Add(AddMessages),
}

/// Flags of `messages add`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AddMessages {
    /// URL of the running exporter
    #[arg(long, value_name = "URL", default_value = "http://localhost:10110")]
    pub url: String,
    /// File with the token of message_api
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// App for lines that name no app
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
}

/// Flags of all commands.
#[derive(Debug, Args)]
pub struct Flags {
    /// The configuration file [default: push-exporter.yml]
    #[arg(long = "config.file", global = true, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Reload the configuration when its file changes
    #[arg(long = "config.watch", global = true)]
    pub config_watch: bool,
    /// Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one
    #[arg(long = "web.listen-address", global = true, value_name = "HOST:PORT", default_value = ":10110", value_parser = listen_address)]
    pub listen_addresses: Vec<ListenAddress>,
    /// Serve on the sockets that systemd passes, instead of --web.listen-address
    #[arg(long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,
    /// File with TLS, users, headers and rate limit, in the format of Prometheus' exporter-toolkit
    #[arg(long = "web.config.file", global = true, value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", global = true, value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links
    #[arg(long = "web.external-url", global = true, value_name = "URL", value_parser = external_path)]
    pub external_path: Option<PathPrefix>,
    /// Prefix of all paths [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", global = true, value_name = "PATH", value_parser = path_prefix)]
    pub route_prefix: Option<PathPrefix>,
    /// Maximum number of concurrent scrapes; 0 for no limit
    #[arg(long = "web.max-requests", global = true, value_name = "N", default_value_t = 0)]
    pub max_requests: usize,
    /// Leave out the metrics of the exporter itself (push_exporter_*, process_*)
    #[arg(long = "web.disable-exporter-metrics", global = true)]
    pub disable_exporter_metrics: bool,
    /// Enable POST /-/reload, which reloads the configuration, and POST /-/poll
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub enable_lifecycle: bool,
    /// URL of Grafana, to whose dashboards the status page links
    #[arg(long = "web.dashboard-url", global = true, value_name = "URL", value_parser = link)]
    pub dashboard_url: Option<String>,
    /// URL of the runbook (RUNBOOK.md), to whose sections the status page links
    #[arg(long = "web.runbook-url", global = true, value_name = "URL", value_parser = link)]
    pub runbook_url: Option<String>,
    /// Additional address for the health paths only, by plain HTTP whatever the other addresses require
    #[arg(long = "web.probe-address", global = true, value_name = "HOST:PORT", value_parser = listen_address)]
    pub probe_address: Option<ListenAddress>,
    /// Minimum log level
    #[arg(long = "log.level", global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// Format of the log, which goes to standard error
    #[arg(long = "log.format", global = true, value_name = "FORMAT", default_value = "logfmt")]
    pub log_format: LogFormat,
}

/// Minimum log level, set by `--log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Debugging information, including requests and retries.
    Debug,
    /// Changes.
    Info,
    /// Failures.
    Warn,
    /// Errors that stop the exporter from working.
    Error,
}

/// Log format, set by `--log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// An address to listen on, as given by `--web.listen-address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A port on every address of the machine: `:10110`.
    AnyAddress(u16),
    /// An IP address and port: `127.0.0.1:10110`, `[::1]:10110`.
    Socket(SocketAddr),
    /// A host name and port: `localhost:10110`.
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

/// Prefix of paths: empty, or with a leading slash such as `/push`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPrefix(pub String);

fn path_prefix(text: &str) -> Result<PathPrefix, String> {
    let path = text.trim_matches('/');
    if path.is_empty() {
        return Ok(PathPrefix::default());
    }
    let is_sound = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    if is_path(path) && path.split('/').all(is_sound) {
        Ok(PathPrefix(format!("/{path}")))
    } else {
        Err("expected a path such as /push".to_owned())
    }
}

/// Checks a URL that links begin with, and removes a slash at its end.
fn link(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("expected a URL that begins with http:// or https://".to_owned());
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err("expected a URL without ? and #, which the links append".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn external_path(text: &str) -> Result<PathPrefix, String> {
    // As in Prometheus, a path is sufficient.
    if text.starts_with('/') {
        return path_prefix(text);
    }
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
            path_prefix(url.path())
        }
        _ => Err("expected a URL such as https://example.org/push".to_owned()),
    }
}

/// Returns true if the text needs no escaping in URLs and in HTML.
fn is_path(text: &str) -> bool {
    text.is_ascii()
        && !text.contains(['?', '#', ' ', '"', '<', '>', '&', '\'', '\\', '%'])
        && !text.contains(|c: char| c.is_control())
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if ["/-/", "/api/"].iter().any(|taken| text.starts_with(taken)) {
        return Err("paths under /-/ and /api/ are reserved".to_owned());
    }
    if text.starts_with('/') && is_path(text) {
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
    fn labels_and_steps_of_a_history() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(label("job=push-exporter"), pair("job", "push-exporter"));
        assert_eq!(label("instance=a=b:1"), pair("instance", "a=b:1"));
        for bad in ["job", "=x", "job=", "1a=x", "a-b=x", "__name__=x", "app=x", "window=x"] {
            assert!(label(bad).is_err(), "{bad}");
        }
        assert_eq!(step("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "0s", "5", "1d2h", "-1m"] {
            assert!(step(bad).is_err(), "{bad}");
        }
        assert!(date("2026-02-29").is_err() && date("2024-02-29").is_ok());
    }

    #[test]
    fn paths() {
        assert_eq!(telemetry_path("/push/metrics"), Ok("/push/metrics".to_owned()));
        for bad in ["", "metrics", "/a b", "/a?b", "/-/ready", "/api/v1/status"] {
            assert!(telemetry_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes() {
        let prefix = |text: &str| Ok(PathPrefix(text.to_owned()));
        for (text, expected) in [("", ""), ("/", ""), ("/push", "/push"), ("push/", "/push"), ("/a/b/", "/a/b")] {
            assert_eq!(path_prefix(text), prefix(expected), "{text:?}");
        }
        for bad in ["/a//b", "/a b", "/a?b", "/../x", "/a%2fb", "/<"] {
            assert!(path_prefix(bad).is_err(), "{bad}");
        }
        for (text, expected) in [
            ("https://example.org", ""),
            ("http://example.org:8080/push/", "/push"),
            ("/push", "/push"),
            ("https://example.org/a/b", "/a/b"),
        ] {
            assert_eq!(external_path(text), prefix(expected), "{text:?}");
        }
        for bad in ["example.org", "ftp://example.org/", "https://", "https://example.org/?a=b"] {
            assert!(external_path(bad).is_err(), "{bad}");
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
