//! Routes, after `--web.route-prefix`:
//!
//! | path | answer |
//! |---|---|
//! | `/` | the status page |
//! | `/metrics` (or `--web.telemetry-path`) | the exposition: OpenMetrics 1.0 or text 0.0.4, gzip if accepted |
//! | `/-/healthy` | 200 while the process serves |
//! | `/-/ready` | 200 once every report has a first result or nothing due, otherwise 503 with those that have not |
//! | `POST /-/reload` | reloads the configuration ([`super::lifecycle`]), if `--web.enable-lifecycle` is set |
//! | `POST /-/poll` | polls failing or all reports at once ([`crate::status::bell`]), if the same flag is set |
//! | `/api/v1/status` | the status page as JSON |
//! | `POST /api/v1/messages` | registers message ids ([`super::message_api`]), if enabled |
//! | `POST /callback/PROVIDER/APP` | registers the message ids of a provider's callback ([`super::callbacks`]), if enabled |
//!
//! Except for messages, callbacks, reloads and polls, no route touches a provider, the disk or the ledger.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::exposition::{Exposition, encode_self_metrics};
use crate::ledger::Hurry;
use crate::metrics::self_metrics::SelfMetrics;
use crate::provider::Providers;
use crate::status::bell::Selection;
use crate::status::{OtherApp, Status};
use crate::util::clock::Clock;
use crate::util::error::error_chain;
use crate::web::access::{AccessControl, Needs};
use crate::web::config::watch::WatchedConfig;
use crate::web::connection_limits::{ConnectionLimits, MAX_HEAD_BYTES, RequestState};
use crate::web::lifecycle::Reloader;
use crate::web::message_api::MessageApi;
use crate::web::negotiate::{accepts_gzip, exposition_format, language};
use crate::web::response::{Body, RequestBody, TEXT, compressed, mark, message, not_allowed, respond};
use crate::web::status::StatusInput;
use crate::web::{ListenerRole, Options, status};

/// State that answers are made from.
pub struct AppState {
    /// Providers in the order of the status page.
    pub providers: Providers,
    /// Exposition that scrapes read.
    pub exposition: Exposition,
    /// Metrics of the exporter itself.
    pub metrics: SelfMetrics,
    /// Status of reports, apps and files.
    pub status: Status,
    /// Source of the current time.
    pub clock: Clock,
    /// Start time of the exporter.
    pub began: Timestamp,
    /// Message API, which registers message ids.
    pub messages: MessageApi,
    /// Handle that requests reloads of the configuration.
    pub reloader: Reloader,
}

/// Routes of the web server, with the state that they serve.
pub struct Router {
    content: AppState,
    options: Options,
    /// Content security policy of the status page.
    policy: HeaderValue,
    /// Permits for concurrent scrapes, if their number is limited.
    scrapes: Option<Arc<Semaphore>>,
}

/// Handler of a path; its name is the value of the label `handler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    Metrics,
    Status,
    Healthy,
    Ready,
    Reload,
    Poll,
    ApiStatus,
    Messages,
    Callback,
    /// Redirects to the status page.
    Redirect,
    Other,
}

impl Handler {
    fn name(self) -> &'static str {
        match self {
            Handler::Metrics => "metrics",
            Handler::Status => "status",
            Handler::Healthy => "healthy",
            Handler::Ready => "ready",
            Handler::Reload => "reload",
            Handler::Poll => "poll",
            Handler::ApiStatus => "api_status",
            Handler::Messages => "messages",
            Handler::Callback => "callback",
            Handler::Redirect | Handler::Other => "other",
        }
    }

    fn needs(self) -> Needs {
        match self {
            Handler::Healthy | Handler::Ready => Needs::Nothing,
            Handler::Messages | Handler::Callback => Needs::OwnToken,
            _ => Needs::User,
        }
    }
}

/// Prefix of the paths of callbacks.
const CALLBACK: &str = "/callback/";

/// Context that a request arrives in: its listener, access control and connection.
pub(super) struct RequestContext<'a> {
    pub(super) role: ListenerRole,
    pub(super) access: &'a AccessControl,
    /// Address of the client.
    pub(super) sender: Option<IpAddr>,
    /// State of the request in its connection until it is answered.
    pub(super) request: RequestState,
}

/// Maximum size in bytes of the unread rest of an HTTP/2 body that is read and discarded.
const LEFT_BYTES: usize = 2 * 1024 * 1024;
/// Time limit for reading that rest.
const LEFT_TIME: Duration = Duration::from_secs(2);

impl Router {
    /// Creates a router that serves `content`.
    pub fn new(content: AppState, options: Options) -> Router {
        let scrapes = (options.max_requests > 0).then(|| Arc::new(Semaphore::new(options.max_requests)));
        let policy = HeaderValue::try_from(status::policy()).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Router { content, options, policy, scrapes }
    }

    /// Returns the exporter's own metrics.
    pub(super) fn metrics(&self) -> &SelfMetrics {
        &self.content.metrics
    }

    /// Answers a request without a connection and without access control, for tests.
    pub async fn answer_alone(&self, request: Request<impl RequestBody>) -> Response<Body> {
        let limits = ConnectionLimits::new(1, self.content.metrics.http_connections.clone());
        let slot = limits.enter();
        let access = AccessControl::new(WatchedConfig::nothing());
        let context =
            RequestContext { role: ListenerRole::Main, access: &access, sender: None, request: slot.request() };
        self.answer(request, context).await
    }

    /// Answers a request and counts it.
    pub(super) async fn answer(
        &self,
        request: Request<impl RequestBody>,
        context: RequestContext<'_>,
    ) -> Response<Body> {
        let started = Instant::now();
        let (head, mut body) = request.into_parts();
        let handler = self.route(head.uri.path(), context.role);
        let admitted = match context.role {
            _ if size(&head) > MAX_HEAD_BYTES => {
                Err(message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large.\n"))
            }
            ListenerRole::Main => context.access.admit(&head, handler.needs()).await,
            ListenerRole::Probe | ListenerRole::Senders => Ok(()),
        };
        let mut response = match admitted {
            Ok(()) => self.dispatch(handler, &head, &mut body, context.sender).await,
            Err(refusal) => refusal,
        };
        // Otherwise the stream is reset after the answer, and some clients lose the answer.
        if head.version == Version::HTTP_2 && !body.is_end_stream() {
            let _ = tokio::time::timeout(LEFT_TIME, discard(&mut body)).await;
        }
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if context.role == ListenerRole::Main {
            context.access.add_headers(headers);
        }
        if head.method == Method::HEAD {
            let length = response.body().length();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::default();
        }
        self.content.metrics.http_requests.with_label_values(&[handler.name(), response.status().as_str()]).inc();
        self.content
            .metrics
            .http_duration
            .with_label_values(&[handler.name()])
            .observe(started.elapsed().as_secs_f64());
        context.request.progress();
        response.body_mut().request = Some(context.request);
        response
    }

    /// Counts an answer that was given without a route.
    pub(super) fn count_other(&self, status: StatusCode) {
        self.content.metrics.http_requests.with_label_values(&[Handler::Other.name(), status.as_str()]).inc();
    }

    fn route(&self, path: &str, role: ListenerRole) -> Handler {
        let Options { telemetry_path, route_prefix, .. } = &self.options;
        let handler = match path.strip_prefix(route_prefix.as_str()) {
            Some(path) if path == telemetry_path => Handler::Metrics,
            Some("/") => Handler::Status,
            Some("/-/healthy") => Handler::Healthy,
            Some("/-/ready") => Handler::Ready,
            Some("/-/reload") => Handler::Reload,
            Some("/-/poll") => Handler::Poll,
            Some("/api/v1/status") => Handler::ApiStatus,
            Some("/api/v1/messages") => Handler::Messages,
            Some(path) if path.starts_with(CALLBACK) => Handler::Callback,
            Some("") => Handler::Redirect,
            None if path == "/" => Handler::Redirect,
            _ => Handler::Other,
        };
        match (role, handler) {
            (ListenerRole::Main, handler) => handler,
            // A probe does not need to know the prefix.
            (ListenerRole::Probe, _) if path == "/-/healthy" => Handler::Healthy,
            (ListenerRole::Probe, _) if path == "/-/ready" => Handler::Ready,
            (ListenerRole::Probe, Handler::Healthy | Handler::Ready)
            | (ListenerRole::Senders, Handler::Messages | Handler::Callback) => handler,
            _ => Handler::Other,
        }
    }

    async fn dispatch(
        &self,
        handler: Handler,
        head: &Parts,
        body: &mut impl RequestBody,
        sender: Option<IpAddr>,
    ) -> Response<Body> {
        match (handler, &head.method) {
            (Handler::Messages, _) if !self.content.messages.is_on() => {
                let text = "The message API is off; it needs message_api with a token.\n";
                self.content.messages.is_off(sender, text.trim_end(), self.content.clock.now());
                message(StatusCode::NOT_FOUND, text)
            }
            (Handler::Messages, &Method::POST) => {
                self.content.messages.answer(head, body, sender, &self.content.clock).await
            }
            (Handler::Callback, _) => {
                let path = head.uri.path().strip_prefix(self.options.route_prefix.as_str());
                let path = path.and_then(|path| path.strip_prefix(CALLBACK)).unwrap_or_default();
                self.content.messages.callback(path, head, body, sender, &self.content.clock).await
            }
            (Handler::Reload | Handler::Poll, &Method::POST) if !self.options.lifecycle => {
                message(StatusCode::FORBIDDEN, "Lifecycle API is not enabled; start with --web.enable-lifecycle.\n")
            }
            (Handler::Reload, &Method::POST) => self.reload().await,
            (Handler::Poll, &Method::POST) => self.poll(head.uri.query().unwrap_or_default()),
            (Handler::Messages | Handler::Reload | Handler::Poll, _) => not_allowed("Only POST is allowed.\n", "POST"),
            (Handler::Other, _) => message(StatusCode::NOT_FOUND, "There is nothing here. Try / or the metrics.\n"),
            (Handler::Redirect, _) => self.redirect(),
            (_, &Method::GET | &Method::HEAD) => match handler {
                Handler::Metrics => self.scrape(head).await,
                Handler::Status => self.status_page(head),
                Handler::Ready => self.ready(),
                Handler::ApiStatus => self.api_status(head),
                _ => message(StatusCode::OK, "push-exporter is healthy.\n"),
            },
            _ => not_allowed("Only GET and HEAD are allowed.\n", "GET, HEAD"),
        }
    }

    /// Answers a scrape, or refuses it if too many are in progress.
    async fn scrape(&self, head: &Parts) -> Response<Body> {
        let Some(scrapes) = &self.scrapes else { return self.render(head).await };
        let Ok(permit) = Arc::clone(scrapes).try_acquire_owned() else {
            let max = self.options.max_requests;
            let text = format!("Limit of concurrent requests reached ({max}), try again later.\n");
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text.into());
        };
        let mut response = self.render(head).await;
        response.body_mut().permit = Some(permit);
        response
    }

    async fn render(&self, head: &Parts) -> Response<Body> {
        let format = exposition_format(&head.headers);
        let snapshot = self.content.exposition.snapshot(format).await;
        let own = encode_self_metrics(
            &self.content.metrics,
            format,
            self.options.own_metrics,
            self.content.exposition.has_lease(),
        );
        let zipped = if accepts_gzip(&head.headers) { snapshot.gzip(&own) } else { None };
        let is_zipped = zipped.is_some();
        let pieces = zipped.unwrap_or_else(|| snapshot.plain(own));
        let mut response = respond(StatusCode::OK, format.content_type(), Body::of(pieces));
        mark(&mut response, "accept, accept-encoding", is_zipped);
        response
    }

    fn status_page(&self, head: &Parts) -> Response<Body> {
        let (status, now) = (&self.content.status, self.content.clock.now());
        let senders = self.content.messages.sender_errors(now);
        let overview = StatusInput {
            status,
            senders,
            began: self.content.began,
            now,
            language: language(&head.headers),
            ledger_bytes: self.content.metrics.ledger.size.get(),
        };
        match status::page(overview, &self.options, self.content.providers) {
            Ok(html) => {
                let mut response = compressed(head, "text/html; charset=utf-8", html);
                response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-language"));
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
                response
            }
            Err(error) => {
                tracing::error!(error = error.to_string(), "cannot render the status page");
                message(StatusCode::INTERNAL_SERVER_ERROR, "Cannot render the status page; see the log.\n")
            }
        }
    }

    fn ready(&self) -> Response<Body> {
        let pending = self.content.status.pending();
        if pending.is_empty() {
            return message(StatusCode::OK, "push-exporter is ready.\n");
        }
        let mut text = String::from("Waiting for the first result of:\n");
        for id in pending {
            text.push_str(&format!("{} {} {}\n", id.provider, id.app, id.report));
        }
        respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text.into())
    }

    fn api_status(&self, head: &Parts) -> Response<Body> {
        let now = self.content.clock.now();
        let senders = self.content.messages.sender_errors(now);
        compressed(head, "application/json", status::json(&self.content.status, senders, self.content.began, now))
    }

    async fn reload(&self) -> Response<Body> {
        match self.content.reloader.reload().await {
            Ok(changes) => respond(StatusCode::OK, TEXT, format!("Reloaded the configuration: {changes}.\n").into()),
            Err(error) => {
                let text = format!("Reload failed; keeping the current configuration:\n{}\n", error_chain(&error));
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text.into())
            }
        }
    }

    /// Polls the selected reports at once.
    fn poll(&self, query: &str) -> Response<Body> {
        let selection = match selection(query) {
            Ok(selection) => selection,
            Err(text) => return respond(StatusCode::BAD_REQUEST, TEXT, text.into()),
        };
        let status = &self.content.status;
        let everything = Selection { hurry: Hurry::All, ..selection.clone() };
        if status.bells(&everything).is_empty() {
            let is_meant = |app: &OtherApp| {
                selection.app.as_ref() == Some(&app.app)
                    && selection.provider.as_ref().is_none_or(|provider| *provider == app.provider)
            };
            let text = match status.other_apps().into_iter().find(is_meant) {
                Some(OtherApp { app, owner: Some(owner), .. }) => {
                    format!("The replica {owner} polls {app}; send the request there.\n")
                }
                _ => "No report matches the query.\n".to_owned(),
            };
            return respond(StatusCode::NOT_FOUND, TEXT, text.into());
        }
        let count = status.poll_now(&selection);
        tracing::info!(reports = count, "polling at once, on request");
        let text = match count {
            0 => "Nothing is failing; add all to the query to poll everything.\n".to_owned(),
            1 => "1 report is polled now.\n".to_owned(),
            count => format!("{count} reports are polled now.\n"),
        };
        respond(StatusCode::OK, TEXT, text.into())
    }

    fn redirect(&self) -> Response<Body> {
        let target = format!("{}/", self.options.link_prefix);
        let mut response = message(StatusCode::FOUND, "");
        if let Ok(target) = HeaderValue::from_str(&target) {
            response.headers_mut().insert(header::LOCATION, target);
        }
        response
    }
}

/// Parses the query `provider=&app=&all`.
fn selection(query: &str) -> Result<Selection, String> {
    let mut selection = Selection { provider: None, app: None, hurry: Hurry::Failing };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match (key.as_ref(), value.as_ref()) {
            ("provider" | "app", "") => {}
            ("provider", provider) => selection.provider = Some(provider.to_owned()),
            ("app", app) => selection.app = Some(app.to_owned()),
            ("all", "" | "1" | "true") => selection.hurry = Hurry::All,
            ("all", "0" | "false") => selection.hurry = Hurry::Failing,
            (key, _) => return Err(format!("Invalid parameter {key:?}; use provider=, app= and all.\n")),
        }
    }
    Ok(selection)
}

async fn discard(body: &mut impl RequestBody) {
    let mut left = LEFT_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// Returns the approximate size of the head of a request in bytes.
fn size(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    head.headers.iter().fold(target, |size, (name, value)| size + name.as_str().len() + value.len() + 4)
}
