//! Connections: accepted, encrypted if the web configuration requires it, served over HTTP/1.1 or HTTP/2, each with
//! limits on everything that a client can send, withhold or leave unread.

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
use parking_lot::Mutex;
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
use crate::web::config::watch::WatchedConfig;
use crate::web::connection_limits::{ConnectionLimits, ConnectionSlot, IDLE, MAX_HEAD_BYTES, STALLED, Verdict};
use crate::web::response::Body;
use crate::web::routes::{RequestContext, Router};

/// Maximum number of connections, if the limit on open files leaves room for them.
const MAX_CONNECTIONS: usize = 512;
/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the head of a request.
const HEAD_TIMEOUT: Duration = IDLE;
const MAX_HEADERS: usize = 64;
/// Maximum number of concurrent requests on an HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// Size in bytes of the kernel's send buffer of a connection.
const KERNEL_BUFFER: usize = 256 * 1024;
/// Size in bytes of the send buffer of an HTTP/2 stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Receive window in bytes of an HTTP/2 stream.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Receive window in bytes of an HTTP/2 connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Time limit for pending answers when the exporter stops.
const GRACE: Duration = Duration::from_secs(3);
/// Time limit for the first request of a new connection when the exporter stops: a client of a systemd socket must
/// not notice a restart.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// Time limit for the client to close a connection that has ended.
const CLOSING: Duration = Duration::from_secs(5);
/// Interval between two warnings about failed handshakes.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// State shared by all connections.
pub(super) struct Server {
    router: Router,
    access: AccessControl,
    settings: WatchedConfig,
    limits: Arc<ConnectionLimits>,
    /// Time of the last warning about a failed handshake.
    said: Mutex<Option<Instant>>,
}

impl Server {
    pub(super) fn new(router: Router, access: AccessControl, settings: WatchedConfig) -> Server {
        // The ledger, providers and files of message ids need descriptors too.
        let max = max_open_files().map_or(MAX_CONNECTIONS, |files| (files / 2).clamp(8, MAX_CONNECTIONS));
        let limits = ConnectionLimits::new(max, router.metrics().http_connections.clone());
        Server { router, access, settings, limits, said: Mutex::default() }
    }

    /// Serves on every listener until `stop` is cancelled, then lets pending answers finish.
    pub(super) async fn serve(self, listeners: Vec<(TcpListener, ListenerRole)>, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections = TaskTracker::new();
        // Aborts connections that do not end in time.
        let cut = CancellationToken::new();
        let accepting = TaskTracker::new();
        for (listener, role) in listeners {
            let (server, connections) = (Arc::clone(&server), connections.clone());
            let (stop, cut) = (stop.clone(), cut.clone());
            accepting.spawn(async move {
                let accept = server.accept(listener, role, &connections, &stop, &cut);
                stop.run_until_cancelled(accept).await;
            });
        }
        accepting.close();
        accepting.wait().await;
        connections.close();
        // A half-sent request could keep a connection open forever.
        let _ = timeout(GRACE, connections.wait()).await;
        cut.cancel();
        connections.wait().await;
    }

    async fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        role: ListenerRole,
        connections: &TaskTracker,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) {
        // Raises the usual backlog of 1,024 connections, if the system allows it.
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
            let slot = Arc::new(self.limits.enter());
            let tasks = connections.clone();
            connections.spawn(async move {
                let panics = server.router.metrics().task_panics.clone();
                let end = slot.end.clone();
                let serving =
                    spawn_isolated(&tasks, &panics, "a web connection", server.connect(stream, role, slot, stop));
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
        role: ListenerRole,
        slot: Arc<ConnectionSlot>,
        stop: CancellationToken,
    ) {
        let peer = stream.peer_addr().ok();
        let sender = peer.map(|peer| peer.ip());
        let _ = stream.set_nodelay(true);
        // Otherwise the kernel buffers megabytes of an answer, and a client that reads nothing goes unnoticed.
        let _ = SockRef::from(&stream).set_send_buffer_size(KERNEL_BUFFER);
        let settings = self.settings.clone();
        let tls = if role == ListenerRole::Main { settings.now().settings.tls.clone() } else { None };
        let service =
            ConnectionService { server: Arc::clone(&self), role, sender, slot, asked: CancellationToken::new() };
        let connection = Connection { service, stop, settings, tls: tls.clone() };
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
                self.router.count_other(http::StatusCode::BAD_REQUEST);
                refuse_plain(stream).await;
            }
            Ok(Err(error)) => self.handshake_failed(&error, peer),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }
}

impl Server {
    /// Logs a failed handshake: as a warning at most once per interval, otherwise at debug level.
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

/// Adds a time limit for a client that reads nothing.
fn limited(stream: TcpStream) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    Box::pin(stream)
}

type TlsStream = tokio_rustls::server::TlsStream<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>;

enum Handshake {
    Done(Box<TlsStream>),
    /// The client sent plain HTTP.
    NotTls(TcpStream),
}

async fn handshake(stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<Handshake> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // TLS starts with the byte 0x16, every HTTP method with a letter.
    if first[0].is_ascii_alphabetic() {
        return Ok(Handshake::NotTls(stream));
    }
    let stream = TlsAcceptor::from(tls).accept(limited(stream)).await?;
    Ok(Handshake::Done(Box::new(stream)))
}

/// Answers a plain HTTP client with 400, and waits briefly until it has read the answer.
async fn refuse_plain(mut stream: TcpStream) {
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let _ = timeout(CLOSING, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // If the socket were closed with unread data, the client would lose the answer.
        tokio::io::copy(&mut stream.take(MAX_HEAD_BYTES as u64), &mut tokio::io::sink()).await
    })
    .await;
}

/// An open connection, encrypted or plain.
struct Connection {
    service: ConnectionService,
    stop: CancellationToken,
    settings: WatchedConfig,
    /// TLS configuration that the connection was encrypted with; `None` if it is plain.
    tls: Option<Arc<ServerConfig>>,
}

impl Connection {
    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), self.service.service());
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
            .serve_connection(TokioIo::new(stream), self.service.service());
        self.drive(connection).await;
    }

    /// Serves until the client, a limit, new settings or the exporter ends the connection.
    async fn drive<C: GracefulConnection<Error = hyper::Error>>(self, connection: C) {
        let Connection { service: ConnectionService { slot, role, asked, .. }, stop, mut settings, tls } = self;
        let mut connection = std::pin::pin!(connection);
        let mut told = std::pin::pin!(async {
            tokio::select! {
                () = stop.cancelled() => {
                    let _ = timeout(FIRST_REQUEST, asked.cancelled()).await;
                }
                () = other_tls(&mut settings, tls.as_ref()), if role == ListenerRole::Main => {}
            }
        });
        let mut ends_at = None;
        loop {
            let look = match slot.verdict() {
                Verdict::GoesOn(look) => look,
                Verdict::Over => return,
                Verdict::Idle if ends_at.is_some() => return,
                // HTTP/2 notifies the client; a connection that does not end then is aborted.
                Verdict::Idle => {
                    connection.as_mut().graceful_shutdown();
                    *ends_at.insert(Instant::now() + CLOSING)
                }
            };
            let is_ending = ends_at.is_some();
            // A pending answer has its own limits.
            let until = ends_at.filter(|_| slot.is_idle()).map_or(look, |end| look.min(end));
            tokio::select! {
                ended = connection.as_mut() => {
                    // A client that disconnects is not an error of the exporter.
                    if let Err(error) = ended {
                        tracing::debug!(error = error.to_string(), "connection ended with an error");
                    }
                    return;
                }
                () = &mut told, if !is_ending => {
                    connection.as_mut().graceful_shutdown();
                    ends_at = Some(Instant::now() + CLOSING);
                }
                () = tokio::time::sleep_until(until) => {
                    if slot.is_idle() && ends_at.is_some_and(|end| end <= Instant::now()) {
                        return;
                    }
                }
            }
        }
    }
}

/// Waits until new connections use another TLS configuration than this one, because it was changed or reloaded.
async fn other_tls(settings: &mut WatchedConfig, tls: Option<&Arc<ServerConfig>>) {
    let is_other = |current: &super::config::watch::Current| match (&current.settings.tls, tls) {
        (Some(now), Some(then)) => !Arc::ptr_eq(now, then),
        (now, then) => now.is_some() != then.is_some(),
    };
    settings.wait_for(is_other).await;
}

/// Handler of the requests of a connection.
#[derive(Clone)]
struct ConnectionService {
    server: Arc<Server>,
    role: ListenerRole,
    sender: Option<IpAddr>,
    slot: Arc<ConnectionSlot>,
    /// Cancelled by the first request.
    asked: CancellationToken,
}

impl ConnectionService {
    /// Returns the hyper service that answers the requests.
    fn service(&self) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + use<> {
        let service = self.clone();
        service_fn(move |request| {
            let service = service.clone();
            async move { Ok(service.answer(request).await) }
        })
    }

    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        self.asked.cancel();
        let Server { router, access, .. } = &*self.server;
        let context = RequestContext { role: self.role, access, sender: self.sender, request: self.slot.request() };
        router.answer(request, context).await
    }
}
