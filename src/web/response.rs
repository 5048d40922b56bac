//! Bodies of requests and answers, and answers shared by several handlers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::exposition::{self, Piece};
use crate::web::connection_limits::RequestState;
use crate::web::negotiate::accepts_gzip;

/// Body of a request, independent of how it is received.
pub trait RequestBody: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin {}

impl<B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin> RequestBody for B {}

/// Returns a text as an answer, compressed with gzip if the client accepts it.
pub(super) fn compressed(head: &Parts, content_type: &'static str, text: String) -> Response<Body> {
    let zipped = if accepts_gzip(&head.headers) { exposition::gzip(text.as_bytes()) } else { None };
    let is_zipped = zipped.is_some();
    let mut response = respond(StatusCode::OK, content_type, zipped.map_or_else(|| text.into(), Body::of));
    mark(&mut response, "accept-encoding", is_zipped);
    response
}

/// Sets the headers `Vary` and `Content-Encoding`.
pub(super) fn mark(response: &mut Response<Body>, vary: &'static str, is_zipped: bool) {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(vary));
    if is_zipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

pub(super) fn not_allowed(text: &'static str, allow: &'static str) -> Response<Body> {
    let mut response = message(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Content type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn message(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, TEXT, text.to_owned().into())
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Body of an answer: existing pieces, sent one after the other.
#[derive(Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    /// State of the request in its connection.
    pub(super) request: Option<RequestState>,
    /// Permit among the concurrent scrapes.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub(super) fn of(pieces: Vec<Piece>) -> Body {
        let pieces = pieces.into_iter().map(Bytes::from_owner).filter(|piece| !piece.is_empty()).collect();
        Body { pieces, ..Body::default() }
    }

    pub(super) fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body { pieces: VecDeque::from([Bytes::from(text)]), ..Body::default() }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(request) = &self.request {
            request.progress();
        }
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}
