//! Flags and commands, named as in the Prometheus family.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// Prometheus exporter for push-notification delivery: polls the statistics of JPush, Easemob and Feishu, keeps
/// a ledger, and serves true counters.
#[derive(Debug, Parser)]
#[command(
    name = "push-exporter",
    version,
    propagate_version = true,
    after_long_help = "HTTPS_PROXY and NO_PROXY say how providers are reached, SSL_CERT_FILE which CAs are trusted, ${NAME} \
                       in the configuration names a variable of a secret. SIGHUP reads the configuration again; SIGTERM \
                       and SIGINT stop cleanly, a second one at once. Exit code 1 if it failed (address in use, ledger, a \
                       failed check), 2 if the command line or the configuration is wrong."
)]
pub struct Cli {
    /// What to do; `serve` if nothing is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags, before or after the command.
    #[command(flatten)]
    pub flags: Flags,
}

impl Cli {
    /// What the process was started with. Ends it, if that asks for help or the version, or is wrong (exit code 2).
    pub fn read() -> Cli {
        let matches = listing_what_is_read(Cli::command()).get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Every command takes all flags, so that those of an exporter can be given to its health check as they are; help, man
/// page and completions of a command list those that it reads.
pub fn listing_what_is_read(mut program: clap::Command) -> clap::Command {
    // Hands the flags down to the commands.
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

/// Whether a command makes use of a flag, by the name of its field in [`Flags`].
fn is_read(command: &str, flag: &str) -> bool {
    match (command, flag) {
        (_, "log_level" | "log_format") | ("push-exporter" | "serve", _) => true,
        ("demo", flag) => flag != "config_file",
        ("check", flag) => matches!(flag, "config_file" | "web_config_file"),
        ("init", flag) => flag == "config_file",
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
    /// Print a commented configuration to begin with
    #[command(
        after_help = "With --config.file it is written to that file instead, and a file that is there is left as it is."
    )]
    Init,
    /// Ask an exporter that runs with the same flags whether it is alive, as a container's health check does
    Health,
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
    /// Serve on the sockets that systemd passes, in the place of --web.listen-address
    #[arg(long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,
    /// File with TLS, users, headers and rate limit, in the format of Prometheus' exporter-toolkit
    #[arg(long = "web.config.file", global = true, value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", global = true, value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// The URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links
    #[arg(long = "web.external-url", global = true, value_name = "URL", value_parser = external_path)]
    pub external_path: Option<PathPrefix>,
    /// Prefix of all paths [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", global = true, value_name = "PATH", value_parser = path_prefix)]
    pub route_prefix: Option<PathPrefix>,
    /// Scrapes that may be answered at once; 0 for any number
    #[arg(long = "web.max-requests", global = true, value_name = "N", default_value_t = 0)]
    pub max_requests: usize,
    /// Leave out the metrics of the exporter itself (push_exporter_*, process_*)
    #[arg(long = "web.disable-exporter-metrics", global = true)]
    pub disable_exporter_metrics: bool,
    /// Let POST /-/reload read the configuration again
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub enable_lifecycle: bool,
    /// Address for the health paths alone, by plain HTTP, beside whatever the others need
    #[arg(long = "web.probe-address", global = true, value_name = "HOST:PORT", value_parser = listen_address)]
    pub probe_address: Option<ListenAddress>,
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

/// What stands in front of paths: empty, or as `/push`.
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

fn external_path(text: &str) -> Result<PathPrefix, String> {
    // As in Prometheus, a path alone will do.
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

/// Whether it needs no escaping, neither in a URL nor in HTML.
fn is_path(text: &str) -> bool {
    text.is_ascii()
        && !text.contains(['?', '#', ' ', '"', '<', '>', '&', '\'', '\\', '%'])
        && !text.contains(|c: char| c.is_control())
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if ["/-/", "/api/"].iter().any(|taken| text.starts_with(taken)) {
        return Err("paths under /-/ and /api/ are taken".to_owned());
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
