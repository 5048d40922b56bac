//! What is answered to whom:
//!
//! | path | answer |
//! |---|---|
//! | `/` | the status page |
//! | `/metrics` (or `--web.telemetry-path`) | the page, text 0.0.4, gzip where accepted |
//! | `/-/healthy` | 200 while the process serves |
//! | `/-/ready` | 200 once every report has a first result or nothing due, else 503 and which have not |
//! | `/api/v1/status` | the status page as JSON |
//! | `POST /api/v1/messages` | registers message ids ([`super::messages`]), where it is on |
//!
//! But for the last, nothing here touches a provider, the disk or the ledger.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::Instant;

use super::messages::MessageApi;
use super::status;
use crate::clock::Clock;
use crate::page::own::OwnMetrics;
use crate::page::{Page, Piece, text};
use crate::poll::health::Health;

/// Everything an answer is made from.
pub struct Site {
    /// The page.
    pub page: Page,
    /// The exporter's own metrics.
    pub metrics: OwnMetrics,
    /// The health of the reports.
    pub health: Health,
    /// The time.
    pub clock: Clock,
    /// Where the page is: `/metrics`.
    pub telemetry_path: String,
    /// The message API, if it is on.
    pub messages: Option<MessageApi>,
}

/// What a path leads to, which is the label `handler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    Metrics,
    Status,
    Healthy,
    Ready,
    ApiStatus,
    Messages,
    Other,
}

impl Handler {
    fn name(self) -> &'static str {
        match self {
            Handler::Metrics => "metrics",
            Handler::Status => "status",
            Handler::Healthy => "healthy",
            Handler::Ready => "ready",
            Handler::ApiStatus => "api_status",
            Handler::Messages => "messages",
            Handler::Other => "other",
        }
    }
}

/// The body of a request, whatever it is received by.
pub trait RequestBody: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> {}

impl<B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>> RequestBody for B {}

impl Site {
    /// Answers a request and counts it.
    pub async fn answer(&self, request: Request<impl RequestBody>) -> Response<Body> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let handler = self.route(head.uri.path());
        let mut response = match (handler, &head.method, &self.messages) {
            (Handler::Messages, &Method::POST, Some(messages)) => messages.answer(&head, body).await,
            (Handler::Messages, _, Some(_)) => not_allowed("Only POST is answered here.\n", "POST"),
            (Handler::Messages, ..) => {
                message(StatusCode::NOT_FOUND, "The message API is off; it needs message_api with a token.\n")
            }
            (Handler::Other, ..) => message(StatusCode::NOT_FOUND, "There is nothing here. Try / or the metrics.\n"),
            (_, &Method::GET | &Method::HEAD, _) => self.handle(handler, &head),
            _ => not_allowed("Only GET and HEAD are answered here.\n", "GET, HEAD"),
        };
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if head.method == Method::HEAD {
            let length = response.body().length();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::default();
        }
        self.metrics.http_requests.with_label_values(&[handler.name(), response.status().as_str()]).inc();
        self.metrics.http_duration.with_label_values(&[handler.name()]).observe(started.elapsed().as_secs_f64());
        response
    }

    fn route(&self, path: &str) -> Handler {
        match path {
            path if path == self.telemetry_path => Handler::Metrics,
            "/" => Handler::Status,
            "/-/healthy" => Handler::Healthy,
            "/-/ready" => Handler::Ready,
            "/api/v1/status" => Handler::ApiStatus,
            "/api/v1/messages" => Handler::Messages,
            _ => Handler::Other,
        }
    }

    fn handle(&self, handler: Handler, head: &Parts) -> Response<Body> {
        match handler {
            Handler::Metrics => self.metrics(accepts_gzip(&head.headers)),
            Handler::Status => self.status_page(),
            Handler::Healthy => message(StatusCode::OK, "push-exporter is healthy.\n"),
            Handler::Ready => self.ready(),
            Handler::ApiStatus => self.api_status(),
            Handler::Messages | Handler::Other => message(StatusCode::NOT_FOUND, ""),
        }
    }

    fn metrics(&self, gzip: bool) -> Response<Body> {
        let snapshot = self.page.snapshot();
        let own = self.metrics.encode();
        let zipped = if gzip { snapshot.gzip(&own) } else { None };
        let is_zipped = zipped.is_some();
        let pieces = zipped.unwrap_or_else(|| snapshot.plain(own));
        let mut response = respond(StatusCode::OK, text::CONTENT_TYPE, Body::of(pieces));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if is_zipped {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn status_page(&self) -> Response<Body> {
        match status::page(&self.health, self.clock.now(), &self.telemetry_path) {
            Ok(html) => {
                let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", html.into());
                let policy = HeaderValue::from_static(
                    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                );
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                response
            }
            Err(error) => {
                tracing::error!(error = error.to_string(), "the status page cannot be written");
                message(StatusCode::INTERNAL_SERVER_ERROR, "The status page cannot be written; see the log.\n")
            }
        }
    }

    fn ready(&self) -> Response<Body> {
        let pending = self.health.pending();
        if pending.is_empty() {
            return message(StatusCode::OK, "push-exporter is ready.\n");
        }
        let mut text = String::from("Waiting for the first result of:\n");
        for id in pending {
            text.push_str(&format!("{} {} {}\n", id.provider, id.app, id.report));
        }
        respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text.into())
    }

    fn api_status(&self) -> Response<Body> {
        let json = status::json(&self.health, self.clock.now());
        respond(StatusCode::OK, "application/json", json.into())
    }
}

/// Whether the client takes gzip: named, or any coding, with a weight that is not 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
            let is_wanted = weight.is_some_and(|weight| weight > 0.0);
            match name.trim() {
                name if name.eq_ignore_ascii_case("gzip") => return is_wanted,
                "*" => any = Some(is_wanted),
                _ => {}
            }
        }
    }
    any.unwrap_or(false)
}

fn not_allowed(text: &'static str, allow: &'static str) -> Response<Body> {
    let mut response = message(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn message(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.to_owned().into())
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer's body: pieces that exist already, sent one after the other.
#[derive(Default)]
pub struct Body(VecDeque<Bytes>);

impl Body {
    fn of(pieces: Vec<Piece>) -> Body {
        Body(pieces.into_iter().map(Bytes::from_owner).filter(|piece| !piece.is_empty()).collect())
    }

    fn length(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body(VecDeque::from([Bytes::from(text)]))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_negotiated() {
        for (header, expected) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("gzip;q=nonsense", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(header))]);
            assert_eq!(accepts_gzip(&headers), expected, "{header:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
