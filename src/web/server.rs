//! Connections: accepted, encrypted if the web configuration says so, served by HTTP/1.1 or HTTP/2, each with
//! limits on everything that a client can send, withhold or leave lying.

use parking_lot::Mutex;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::process::max_open_files;
use crate::util::error::error_chain;
use crate::util::supervise::spawn_isolated;
use crate::web::ListenerRole;
use crate::web::access::AccessControl;
use crate::web::config::watch::Watched;
use crate::web::connection_limits::{ConnectionLimits, ConnectionSlot, IDLE, MAX_HEAD_BYTES, STALLED, Verdict};
use crate::web::response::Body;
use crate::web::routes::{RequestContext, Router};

/// Connections at once, where the limit on open files leaves room for them.
const MAX_CONNECTIONS: usize = 512;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// A TLS handshake must be complete in this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head must be complete in this time.
const HEAD_TIMEOUT: Duration = IDLE;
const MAX_HEADERS: usize = 64;
/// Requests at once in a connection of HTTP/2.
const MAX_STREAMS: u32 = 16;
/// What the kernel may have waiting for a connection.
const KERNEL_BUFFER: usize = 256 * 1024;
/// What HTTP/2 may have waiting for a stream, and take in for it and for a connection.
const SEND_BUFFER: usize = 64 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How long answers under way may take when the exporter stops.
const GRACE: Duration = Duration::from_secs(3);
/// How long a connection that has brought no request yet may still bring its first when the exporter stops: with a socket
/// of systemd's a client must not notice a restart.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// How long the other side has to close a connection that is over.
const CLOSING: Duration = Duration::from_secs(5);
/// From one handshake that failed to the next that is logged.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// How long to wait after accepting failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Everything that connections share.
pub(super) struct Server {
    site: Router,
    gate: AccessControl,
    settings: Watched,
    places: Arc<ConnectionLimits>,
    /// When a handshake that failed was last logged.
    said: Mutex<Option<Instant>>,
}

impl Server {
    pub(super) fn new(site: Router, gate: AccessControl, settings: Watched) -> Server {
        // The ledger, providers and files of message ids need some too.
        let max = max_open_files().map_or(MAX_CONNECTIONS, |files| (files / 2).clamp(8, MAX_CONNECTIONS));
        let places = ConnectionLimits::new(max, site.metrics().http_connections.clone());
        Server { site, gate, settings, places, said: Mutex::default() }
    }

    /// Serves on every listener until `stop`, then lets answers under way end.
    pub(super) async fn serve(self, listeners: Vec<(TcpListener, ListenerRole)>, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections = TaskTracker::new();
        // Cuts what does not end by itself.
        let cut = CancellationToken::new();
        let accepting = TaskTracker::new();
        for (listener, door) in listeners {
            let (server, connections) = (Arc::clone(&server), connections.clone());
            let (stop, cut) = (stop.clone(), cut.clone());
            accepting.spawn(async move {
                let accept = server.accept(listener, door, &connections, &stop, &cut);
                stop.run_until_cancelled(accept).await;
            });
        }
        accepting.close();
        accepting.wait().await;
        connections.close();
        // A half-sent request could keep it waiting for ever.
        let _ = timeout(GRACE, connections.wait()).await;
        cut.cancel();
        connections.wait().await;
    }

    async fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        door: ListenerRole,
        connections: &TaskTracker,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) {
        // More than the usual 1,024 may be waiting to be accepted, where the system allows it.
        let _ = SockRef::from(&listener).listen(BACKLOG);
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = error.to_string(), "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (server, stop, cut) = (Arc::clone(self), stop.clone(), cut.clone());
            let place = Arc::new(self.places.enter());
            let tasks = connections.clone();
            connections.spawn(async move {
                let panics = server.site.metrics().task_panics.clone();
                let end = place.end.clone();
                let serving =
                    spawn_isolated(&tasks, &panics, "a web connection", server.connect(stream, door, place, stop));
                tokio::select! {
                    _ = serving => {}
                    () = end.cancelled() => {}
                    () = cut.cancelled() => {}
                }
            });
        }
    }

    async fn connect(
        self: Arc<Self>,
        stream: TcpStream,
        door: ListenerRole,
        place: Arc<ConnectionSlot>,
        stop: CancellationToken,
    ) {
        let peer = stream.peer_addr().ok();
        let sender = peer.map(|peer| peer.ip());
        let _ = stream.set_nodelay(true);
        // Else the kernel takes megabytes of an answer, and nobody sees whether the client does.
        let _ = SockRef::from(&stream).set_send_buffer_size(KERNEL_BUFFER);
        let settings = self.settings.clone();
        let tls = if door == ListenerRole::Main { settings.now().settings.tls.clone() } else { None };
        let visitor =
            ConnectionService { server: Arc::clone(&self), door, sender, place, asked: CancellationToken::new() };
        let connection = Connection { visitor, stop, settings, tls: tls.clone() };
        let Some(tls) = tls else {
            connection.http1(limited(stream)).await;
            return;
        };
        match timeout(HANDSHAKE_TIMEOUT, handshake(stream, tls)).await {
            Ok(Ok(Handshake::Done(stream))) => {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    connection.http2(stream).await;
                } else {
                    connection.http1(stream).await;
                }
            }
            Ok(Ok(Handshake::NotTls(stream))) => {
                self.site.count_other(http::StatusCode::BAD_REQUEST);
                refuse_plain(stream).await;
            }
            Ok(Err(error)) => self.handshake_failed(&error, peer),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }
}

impl Server {
    /// Says why a client was not let in, but not of all of them if they are many.
    fn handshake_failed(&self, error: &io::Error, peer: Option<SocketAddr>) {
        let peer = peer.map(|peer| peer.to_string());
        let mut said = self.said.lock();
        if said.is_some_and(|said| said.elapsed() < SAY_AGAIN) {
            tracing::debug!(error = error_chain(error), peer, "a TLS handshake failed");
        } else {
            *said = Some(Instant::now());
            tracing::warn!(
                error = error_chain(error),
                peer,
                "a TLS handshake failed; more of them within ten seconds are not logged"
            );
        }
    }
}

/// With a limit on how long a client takes nothing.
fn limited(stream: TcpStream) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    Box::pin(stream)
}

type TlsStream = tokio_rustls::server::TlsStream<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>;

enum Handshake {
    Done(Box<TlsStream>),
    /// The client speaks something else.
    NotTls(TcpStream),
}

async fn handshake(stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<Handshake> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // TLS begins with the byte 0x16, and every method with a letter.
    if first[0].is_ascii_alphabetic() {
        return Ok(Handshake::NotTls(stream));
    }
    let stream = TlsAcceptor::from(tls).accept(limited(stream)).await?;
    Ok(Handshake::Done(Box::new(stream)))
}

/// Says to a client of plain HTTP that this is the wrong way, and waits a little until it has read that.
async fn refuse_plain(mut stream: TcpStream) {
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let _ = timeout(CLOSING, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with something unread would take the answer away from the client.
        tokio::io::copy(&mut stream.take(MAX_HEAD_BYTES as u64), &mut tokio::io::sink()).await
    })
    .await;
}

/// A connection that is open and perhaps encrypted.
struct Connection {
    visitor: ConnectionService,
    stop: CancellationToken,
    settings: Watched,
    /// What it was encrypted by.
    tls: Option<Arc<ServerConfig>>,
}

impl Connection {
    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), self.visitor.service());
        self.drive(connection).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .max_send_buf_size(SEND_BUFFER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_connection(TokioIo::new(stream), self.visitor.service());
        self.drive(connection).await;
    }

    /// Serves until the client, a limit, new settings or the exporter ends it.
    async fn drive<C: GracefulConnection<Error = hyper::Error>>(self, connection: C) {
        let Connection { visitor: ConnectionService { place, door, asked, .. }, stop, mut settings, tls } = self;
        let mut connection = std::pin::pin!(connection);
        let mut told = std::pin::pin!(async {
            tokio::select! {
                () = stop.cancelled() => {
                    let _ = timeout(FIRST_REQUEST, asked.cancelled()).await;
                }
                () = other_tls(&mut settings, tls.as_ref()), if door == ListenerRole::Main => {}
            }
        });
        let mut ends_at = None;
        loop {
            let look = match place.verdict() {
                Verdict::GoesOn(look) => look,
                Verdict::Over => return,
                Verdict::Idle if ends_at.is_some() => return,
                // HTTP/2 tells the client; what does not end by itself then is cut.
                Verdict::Idle => {
                    connection.as_mut().graceful_shutdown();
                    *ends_at.insert(Instant::now() + CLOSING)
                }
            };
            let is_ending = ends_at.is_some();
            // An answer under way has its own limits.
            let until = ends_at.filter(|_| place.is_idle()).map_or(look, |end| look.min(end));
            tokio::select! {
                ended = connection.as_mut() => {
                    // A client that went away is no error of ours.
                    if let Err(error) = ended {
                        tracing::debug!(error = error.to_string(), "connection");
                    }
                    return;
                }
                () = &mut told, if !is_ending => {
                    connection.as_mut().graceful_shutdown();
                    ends_at = Some(Instant::now() + CLOSING);
                }
                () = tokio::time::sleep_until(until) => {
                    if place.is_idle() && ends_at.is_some_and(|end| end <= Instant::now()) {
                        return;
                    }
                }
            }
        }
    }
}

/// Waits until new connections are not encrypted as this one is, or the web configuration was read again.
async fn other_tls(settings: &mut Watched, tls: Option<&Arc<ServerConfig>>) {
    let is_other = |current: &super::config::watch::Current| match (&current.settings.tls, tls) {
        (Some(now), Some(then)) => !Arc::ptr_eq(now, then),
        (now, then) => now.is_some() != then.is_some(),
    };
    settings.wait_for(is_other).await;
}

/// Whose requests come through a connection.
#[derive(Clone)]
struct ConnectionService {
    server: Arc<Server>,
    door: ListenerRole,
    sender: Option<IpAddr>,
    place: Arc<ConnectionSlot>,
    /// Cancelled by the first request.
    asked: CancellationToken,
}

impl ConnectionService {
    /// What answers them.
    fn service(&self) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + use<> {
        let visitor = self.clone();
        service_fn(move |request| {
            let visitor = visitor.clone();
            async move { Ok(visitor.answer(request).await) }
        })
    }

    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        self.asked.cancel();
        let Server { site, gate, .. } = &*self.server;
        let visit = RequestContext { door: self.door, gate, sender: self.sender, request: self.place.request() };
        site.answer(request, visit).await
    }
}
