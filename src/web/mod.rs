//! The web server: connections with limits on everything, and a clean stop. What is answered is in
//! [`routes`].

pub mod messages;
pub mod routes;
mod status;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use routes::Site;

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// A request's head must be complete in this time. It also ends idle connections, which would keep others
/// waiting for a place; a Prometheus that scrapes less often just connects again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A client must take something of its answer in this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How long answers under way may take when the exporter stops.
const GRACE: Duration = Duration::from_secs(3);
/// How long to wait after accepting failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves on every listener until `stop`.
pub async fn serve(listeners: Vec<TcpListener>, site: Arc<Site>, stop: CancellationToken) {
    let graceful = Arc::new(GracefulShutdown::new());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let loops: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let (site, graceful, places, stop) =
                (Arc::clone(&site), Arc::clone(&graceful), Arc::clone(&places), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = accept(listener, site, graceful, places) => {}
                }
            })
        })
        .collect();
    for each in loops {
        let _ = each.await;
    }
    if let Some(graceful) = Arc::into_inner(graceful) {
        // A half-sent request could keep it waiting for ever.
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>, graceful: Arc<GracefulShutdown>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = error.to_string(), "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let open = site.metrics.http_connections.clone();
        let site = Arc::clone(&site);
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, Infallible>(site.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _open = Open::new(open);
            // A client that went away is no error of ours.
            if let Err(error) = connection.await {
                tracing::debug!(error = error.to_string(), "connection");
            }
            drop(place);
        });
    }
}

/// An open connection, which is counted until it is over, also by a panic.
struct Open(IntGauge);

impl Open {
    fn new(connections: IntGauge) -> Open {
        connections.inc();
        Open(connections)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
