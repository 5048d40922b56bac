//! `POST /api/v1/messages`: senders register the ids of messages that they have pushed. The body is JSON (one object
//! or an array) or NDJSON of `{"app", "msg_id", "sent_at"?, "category"?}`, optionally compressed with gzip. Either all ids are
//! registered or none, and the answer is sent after they are in the ledger. Registering an id again has no effect, so
//! a sender may retry.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::config::secret::Secret;
use crate::messages::input::{WireApp, WireCategory, WireMessage, read_messages};
use crate::messages::registry::{BadEntry, GivenMessage, MessageEntry, MessageRegistry, Registration};
use crate::model::message_source::MessageSource;
use crate::provider::config::Config;
use crate::provider::error::shorten;
use crate::util::clock::Clock;
use crate::web::recent_ids::RecentIds;
use crate::web::response::{Body, RequestBody, respond};
use crate::web::senders::{CALLBACK, MESSAGE_API, SenderError, Senders};

const MAX_BYTES: usize = 1024 * 1024;
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Time limit for receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for the ledger to store the ids.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of bodies in memory; further requests wait.
const AT_ONCE: usize = 8;
/// Time limit for that wait.
const PLACE_TIMEOUT: Duration = Duration::from_secs(1);
const LEDGER_DOWN: &str = "the ledger cannot be written; nothing was registered, send it again later";

/// Message API, which registers message ids from senders.
pub struct MessageApi {
    /// Tokens that senders must send.
    tokens: watch::Receiver<Tokens>,
    pub(super) registry: Arc<MessageRegistry>,
    places: Semaphore,
    senders: Senders,
    /// Senders of callbacks.
    callers: Senders,
    /// Ids that callbacks brought a short while ago.
    pub(super) recent: RecentIds,
}

/// Tokens of those who send message ids.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Token of the message API; it is disabled without one.
    pub messages: Option<Secret>,
    /// Tokens of the callbacks that are taken, by provider and app.
    pub callbacks: BTreeMap<(&'static str, String), Secret>,
}

impl Tokens {
    /// Returns the tokens of a configuration.
    pub fn of(config: &Config) -> Tokens {
        Tokens { messages: config.message_token.clone(), callbacks: config.callback_tokens() }
    }
}

/// Refusal of a request, as it is answered.
#[derive(Serialize)]
pub(super) struct RequestRefusal {
    #[serde(skip)]
    pub(super) status: StatusCode,
    error: String,
    /// Index of the invalid entry, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

impl RequestRefusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> RequestRefusal {
        RequestRefusal { status, error: error.into(), index: None }
    }

    fn bad(index: usize, error: impl fmt::Display) -> RequestRefusal {
        // The error repeats a text that is given instead of an object, however long it is.
        RequestRefusal { status: StatusCode::BAD_REQUEST, error: shorten(&error.to_string()), index: Some(index) }
    }

    pub(super) fn too_large() -> RequestRefusal {
        let error = format!("at most {MAX_ENTRIES} messages and 1 MiB in a request; send it in parts");
        RequestRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }
}

impl MessageApi {
    /// Creates an API that registers ids in `registry` for senders with a token. The tokens may change at any time.
    pub fn new(tokens: watch::Receiver<Tokens>, registry: Arc<MessageRegistry>) -> MessageApi {
        let (senders, callers) = (Senders::new(MESSAGE_API), Senders::new(CALLBACK));
        let (places, recent) = (Semaphore::new(AT_ONCE), RecentIds::default());
        MessageApi { tokens, registry, places, senders, callers, recent }
    }

    /// Returns true if there is a token, so that the API is enabled.
    pub(super) fn is_on(&self) -> bool {
        self.tokens.borrow().messages.is_some()
    }

    /// Returns the token of an app's callbacks.
    pub(super) fn callback_token(&self, provider: &str, app: &str) -> Option<Secret> {
        let tokens = self.tokens.borrow();
        let found = tokens.callbacks.iter().find(|((of, name), _)| *of == provider && name == app);
        found.map(|(_, token)| token.clone())
    }

    /// Records a request to the disabled API.
    pub(super) fn is_off(&self, sender: Option<IpAddr>, answer: &str, now: Timestamp) {
        self.senders.refused(sender, StatusCode::NOT_FOUND, answer, now);
    }

    /// Returns the errors of senders in the last day, the newest first; those of callbacks come last.
    pub(super) fn sender_errors(&self, now: Timestamp) -> Vec<SenderError> {
        [self.senders.list(now), self.callers.list(now)].concat()
    }

    /// Answers a request, and records it for the status page if it is refused.
    pub(super) async fn answer(
        &self,
        head: &Parts,
        body: impl RequestBody,
        sender: Option<IpAddr>,
        clock: &Clock,
    ) -> Response<Body> {
        match self.register(head, body).await {
            Ok(registered) => json(StatusCode::OK, &registered),
            Err(refusal) => {
                if refusal.status.is_client_error() {
                    self.senders.refused(sender, refusal.status, &refusal.error, clock.now());
                }
                refuse(&refusal)
            }
        }
    }

    /// Answers a refused callback, and records it for the status page. Those that have no right to call are recorded
    /// together: their addresses could fill any list.
    pub(super) fn refuse_callback(
        &self,
        refusal: &RequestRefusal,
        sender: Option<IpAddr>,
        clock: &Clock,
    ) -> Response<Body> {
        let is_admitted = !matches!(refusal.status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND);
        if refusal.status.is_client_error() {
            self.callers.refused(sender.filter(|_| is_admitted), refusal.status, &refusal.error, clock.now());
        }
        refuse(refusal)
    }

    async fn register(&self, head: &Parts, body: impl RequestBody) -> Result<Registration, RequestRefusal> {
        self.authenticate(head)?;
        let app = default_app(head)?;
        let is_lines = is_lines(head, app.is_some())?;
        let (_place, body) = self.receive(head, body).await?;
        let entries = self.entries(&body, is_lines, app.as_deref())?;
        drop(body);
        self.store(MessageSource::Api, entries).await
    }

    /// Receives a body, and a place among those that may be in memory.
    pub(super) async fn receive(
        &self,
        head: &Parts,
        body: impl RequestBody,
    ) -> Result<(SemaphorePermit<'_>, Bytes), RequestRefusal> {
        let is_zipped = is_zipped(head)?;
        if !self.registry.is_up() {
            return Err(unavailable(LEDGER_DOWN));
        }
        // Waiting senders must not occupy all connections, or scrapes would have to wait for them.
        let Ok(Ok(place)) = tokio::time::timeout(PLACE_TIMEOUT, self.places.acquire()).await else {
            return Err(unavailable("too many senders at once; send it again later"));
        };
        let body = read(body).await?;
        Ok((place, if is_zipped { unzip(&body)? } else { body }))
    }

    /// Registers what was received.
    pub(super) async fn store(
        &self,
        source: MessageSource,
        entries: Vec<MessageEntry>,
    ) -> Result<Registration, RequestRefusal> {
        match tokio::time::timeout(LEDGER_TIMEOUT, self.registry.register(source, entries)).await {
            Ok(Ok(registered)) => Ok(registered),
            Ok(Err(error)) => {
                tracing::debug!(error = error.to_string(), "cannot register message ids");
                Err(unavailable(LEDGER_DOWN))
            }
            Err(_) => Err(unavailable("the ledger is busy; send it again later, already registered ids count once")),
        }
    }

    fn authenticate(&self, head: &Parts) -> Result<(), RequestRefusal> {
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = self.tokens.borrow().messages.clone();
        if shown.zip(token).is_some_and(|(shown, token)| is_right(shown, &token)) {
            return Ok(());
        }
        let error = "missing or wrong token; send the token of message_api in the header Authorization: Bearer …";
        Err(RequestRefusal::new(StatusCode::UNAUTHORIZED, error))
    }

    /// Parses one object or an array of them, or either on each line. With an app for those that name none, an object may be
    /// the provider's answer to a push call, and line ends may be missing: `curl -d @-` removes them.
    fn entries(&self, body: &[u8], is_lines: bool, app: Option<&str>) -> Result<Vec<MessageEntry>, RequestRefusal> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let gathering = EntryCollector { api: self, app, entries: RefCell::default(), refusal: Cell::default() };
        if let Some(app) = app {
            let bad = |error: &dyn fmt::Display| RequestRefusal::bad(gathering.entries.borrow().len(), error);
            for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
                let objects = match value.map_err(|error| bad(&error))? {
                    Value::Array(objects) => objects,
                    object => vec![object],
                };
                for object in objects {
                    let index = gathering.entries.borrow().len();
                    for wire in self.messages(object, app, index)? {
                        gathering.take::<serde_json::Error>(wire).map_err(|error| {
                            gathering.refusal.take().unwrap_or_else(|| RequestRefusal::bad(0, error))
                        })?;
                    }
                }
            }
            return Ok(gathering.entries.into_inner());
        }
        let read = |text: &[u8]| {
            let mut json = serde_json::Deserializer::from_slice(text);
            let read = json.deserialize_any(&gathering).and_then(|()| json.end());
            let index = || gathering.entries.borrow().len();
            read.map_err(|error| gathering.refusal.take().unwrap_or_else(|| RequestRefusal::bad(index(), error)))
        };
        if is_lines {
            let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            lines.try_for_each(read)?;
        } else {
            read(body)?;
        }
        Ok(gathering.entries.into_inner())
    }

    /// Reads an object for an app, which is the provider's answer to a push call or has the form of this API.
    fn messages(&self, object: Value, app: &str, index: usize) -> Result<Vec<WireMessage>, RequestRefusal> {
        let format = self.registry.id_format(app).map_err(|error| refusal(index, error))?;
        read_messages(object, &format).map_err(|error| RequestRefusal::bad(index, error))
    }

    fn check(&self, index: usize, wire: WireMessage, default: Option<&str>) -> Result<MessageEntry, RequestRefusal> {
        let WireMessage { app, msg_id, sent_at, category, .. } = wire;
        let named = app.map(|WireApp::Text(app)| app).or_else(|| default.map(str::to_owned));
        let Some(app) = named else {
            return Err(RequestRefusal::bad(index, "missing field `app`; or name the app in the URL: ?app=NAME"));
        };
        let sent_at = sent_at.map(|time| time.read()).transpose().map_err(|error| RequestRefusal::bad(index, error))?;
        let category = category.as_ref().map(|WireCategory::Text(category)| category.as_str());
        let given = GivenMessage { app: &app, id: &msg_id.into_text(), sent_at, category };
        self.registry.check(given).map_err(|error| refusal(index, error))
    }
}

/// Returns the refusal of an entry.
fn refusal(index: usize, error: BadEntry) -> RequestRefusal {
    match error {
        BadEntry::Changing => RequestRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        error => RequestRefusal::bad(index, error),
    }
}

/// Visitor that checks entries while they are parsed, so that no more than the limit are held.
struct EntryCollector<'a> {
    api: &'a MessageApi,
    /// App of those that name none.
    app: Option<&'a str>,
    entries: RefCell<Vec<MessageEntry>>,
    refusal: Cell<Option<RequestRefusal>>,
}

impl EntryCollector<'_> {
    fn take<E: serde::de::Error>(&self, wire: WireMessage) -> Result<(), E> {
        let mut entries = self.entries.borrow_mut();
        let checked = match entries.len() {
            MAX_ENTRIES.. => Err(RequestRefusal::too_large()),
            index => self.api.check(index, wire, self.app),
        };
        entries.push(checked.map_err(|refusal| {
            self.refusal.set(Some(refusal));
            E::custom("refused")
        })?);
        Ok(())
    }
}

impl<'de> Visitor<'de> for &EntryCollector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with app and msg_id, or an array of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.take(WireMessage::deserialize(MapAccessDeserializer::new(map))?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(wire) = items.next_element()? {
            self.take(wire)?;
        }
        Ok(())
    }
}

fn refuse(refusal: &RequestRefusal) -> Response<Body> {
    let mut response = json(refusal.status, refusal);
    let more = match refusal.status {
        StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, HeaderValue::from_static("5"))),
        _ => None,
    };
    response.headers_mut().extend(more);
    response
}

fn unavailable(error: &str) -> RequestRefusal {
    RequestRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Compares a token in constant time, so that timing does not reveal how much of it is right.
pub(super) fn is_right(shown: &str, token: &Secret) -> bool {
    shown.as_bytes().ct_eq(token.current().expose_secret().as_bytes()).into()
}

/// Returns the app that `?app=` names.
fn default_app(head: &Parts) -> Result<Option<String>, RequestRefusal> {
    let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let mut apps = query.filter(|(name, _)| name == "app").map(|(_, app)| app.into_owned());
    match (apps.next(), apps.next()) {
        (Some(app), None) if !app.is_empty() => Ok(Some(app)),
        (None, _) => Ok(None),
        _ => Err(RequestRefusal::new(StatusCode::BAD_REQUEST, "?app= names no app, or more than one")),
    }
}

/// Returns true if the body is NDJSON. If the URL names the app, the type that curl sends by default is taken too.
fn is_lines(head: &Parts, has_app: bool) -> Result<bool, RequestRefusal> {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(false),
        "application/x-ndjson" => Ok(true),
        "application/x-www-form-urlencoded" | "" if has_app => Ok(true),
        _ => {
            let error = "Content-Type is not supported; send application/json or application/x-ndjson";
            Err(RequestRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
    }
}

/// Returns true if the body is compressed by gzip.
fn is_zipped(head: &Parts) -> Result<bool, RequestRefusal> {
    let encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    let encodings: Vec<String> =
        encodings.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase()).collect();
    match encodings.iter().map(|encoding| encoding.trim()).collect::<Vec<_>>()[..] {
        [] | ["" | "identity"] => Ok(false),
        ["gzip" | "x-gzip"] => Ok(true),
        _ => {
            let error =
                format!("Content-Encoding {:?} is not supported; send gzip, or omit the header", encodings.join(", "));
            Err(RequestRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, shorten(&error)))
        }
    }
}

/// Decompresses a body, up to the maximum size of a body.
fn unzip(body: &[u8]) -> Result<Bytes, RequestRefusal> {
    let mut unzipped = Vec::new();
    let read = MultiGzDecoder::new(body).take(MAX_BYTES as u64 + 1).read_to_end(&mut unzipped);
    match read {
        Ok(length) if length > MAX_BYTES => Err(RequestRefusal::too_large()),
        Ok(_) => Ok(unzipped.into()),
        Err(_) => {
            Err(RequestRefusal::new(StatusCode::BAD_REQUEST, "the body is not gzip, although Content-Encoding is gzip"))
        }
    }
}

async fn read(body: impl RequestBody) -> Result<Bytes, RequestRefusal> {
    if body.size_hint().lower() > MAX_BYTES as u64 {
        return Err(RequestRefusal::too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RequestRefusal::too_large()),
        Ok(Err(_)) => Err(RequestRefusal::new(StatusCode::BAD_REQUEST, "the body was cut short")),
        Err(_) => Err(RequestRefusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Response<Body> {
    respond(status, "application/json", serde_json::to_string(answer).unwrap_or_default().into())
}
