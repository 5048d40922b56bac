//! The web server: [`routes`] answers requests, [`access`] controls them, [`server`] serves connections,
//! [`connection_limits`] limits them, and [`negotiate`] chooses format and compression. [`config`] is the web
//! configuration file, [`basic_auth`] checks passwords, [`status`] is the status page, [`message_api`] the message
//! API.

mod access;
mod basic_auth;
mod callbacks;
pub mod config;
mod connection_limits;
pub mod lifecycle;
pub mod message_api;
mod negotiate;
mod recent_ids;
pub(crate) mod response;
pub mod routes;
mod senders;
mod server;
mod status;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use access::AccessControl;
use config::watch::WatchedConfig;
use routes::Router;
use server::Server;

use crate::metrics::self_metrics::SelfMetrics;

/// Listeners and settings of the web server.
pub struct Setup {
    /// Listening sockets with their roles.
    pub listeners: Vec<(TcpListener, ListenerRole)>,
    /// Paths, limits and enabled features.
    pub options: Options,
    /// Web configuration, reloaded when it changes.
    pub settings: WatchedConfig,
}

/// Role of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerRole {
    /// All paths, subject to the web configuration.
    Main,
    /// The health paths only, always over plain HTTP.
    Probe,
    /// The message API only, always over plain HTTP, for the demo's own senders.
    Senders,
}

/// Paths, limits and enabled features of the web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Path of the exposition after the prefix, such as `/metrics`.
    pub telemetry_path: String,
    /// Prefix of every path: empty, or such as `/push`.
    pub route_prefix: String,
    /// Prefix of every link, which differs from `route_prefix` if a proxy changes it.
    pub link_prefix: String,
    /// Maximum number of concurrent scrapes; 0 for no limit.
    pub max_requests: usize,
    /// True if the exposition includes the exporter's own metrics.
    pub own_metrics: bool,
    /// True if `POST /-/reload` and `POST /-/poll` are enabled.
    pub lifecycle: bool,
    /// Address of Grafana, to which the status page links.
    pub dashboard_url: Option<String>,
    /// Address of the runbook, to which the status page links.
    pub runbook_url: Option<String>,
    /// Facts about the process for the status page.
    pub about: About,
}

/// Facts about the process for the status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Name of the instance: that of the replica, or of the host.
    pub instance: String,
    /// Path of the configuration.
    pub config: String,
    /// Address of the ledger, without a password.
    pub ledger: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            link_prefix: String::new(),
            max_requests: 0,
            own_metrics: true,
            lifecycle: false,
            dashboard_url: None,
            runbook_url: None,
            about: About::default(),
        }
    }
}

/// Serves on every listener until `stop` is cancelled.
pub async fn serve(
    listeners: Vec<(TcpListener, ListenerRole)>,
    settings: WatchedConfig,
    router: Router,
    stop: CancellationToken,
) {
    let access = AccessControl::new(settings.clone());
    Server::new(router, access, settings).serve(listeners, stop).await;
}

/// Shows when the certificates of the web server end, now and after each change, until it is cancelled.
pub async fn show_certificate_expiry(mut settings: WatchedConfig, metrics: SelfMetrics) {
    loop {
        let shown = settings.now().settings.certificate_expiry;
        metrics.set_web_certificate_expiry(shown);
        settings.wait_for(|current| current.settings.certificate_expiry != shown).await;
    }
}
