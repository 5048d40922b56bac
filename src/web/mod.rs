//! The web server. What is answered is in [`routes`], who may ask in [`gate`], how connections are served in
//! [`connections`] and limited in [`places`], what a client wants in [`negotiate`]; [`settings`] is the web
//! configuration file, [`users`] who has a password, [`status`] the status page, [`messages`] the message API.

mod access;
mod basic_auth;
pub mod config;
mod connection_limits;
pub mod lifecycle;
pub mod message_api;
mod negotiate;
pub(crate) mod response;
pub mod routes;
mod senders;
mod server;
mod status;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use access::AccessControl;
use config::watch::Watched;
use routes::Router;
use server::Server;

/// Where to serve, and how.
pub struct Setup {
    /// The ports.
    pub listeners: Vec<(TcpListener, ListenerRole)>,
    /// What is served where.
    pub options: Options,
    /// The web configuration, followed.
    pub settings: Watched,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerRole {
    /// Everything, by the web configuration.
    Main,
    /// The health paths alone, always by plain HTTP.
    Probe,
    /// The message API alone, always by plain HTTP: the demo's own senders.
    Senders,
}

/// What is served where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The path of the page behind the prefix: `/metrics`.
    pub telemetry_path: String,
    /// What stands in front of every path: empty, or as `/push`.
    pub route_prefix: String,
    /// What stands in front of every link, which a proxy may have changed.
    pub link_prefix: String,
    /// Scrapes at once; 0 for any number.
    pub max_requests: usize,
    /// Whether the page has the exporter's own metrics.
    pub own_metrics: bool,
    /// Whether `POST /-/reload` is answered.
    pub lifecycle: bool,
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
        }
    }
}

/// Serves on every listener until `stop`.
pub async fn serve(
    listeners: Vec<(TcpListener, ListenerRole)>,
    settings: Watched,
    site: Router,
    stop: CancellationToken,
) {
    let gate = AccessControl::new(settings.clone());
    Server::new(site, gate, settings).serve(listeners, stop).await;
}
