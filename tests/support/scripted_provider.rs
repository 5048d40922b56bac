//! A provider whose answers a test sets: by path, with a record of the requests, or by a function of the request.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use push_exporter::simulator::Simulator;

type Answer = dyn Fn(&Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync;
type Date = dyn Fn() -> Option<Timestamp> + Send + Sync;

pub struct ScriptedProvider {
    answers: Mutex<BTreeMap<&'static str, (u16, String)>>,
    /// Requests so far; none of them is kept if a function answers, since tests of memory need that.
    requests: Option<Mutex<Vec<String>>>,
    /// Headers of every answer to a path.
    pub headers: Mutex<Vec<(&'static str, String)>>,
    /// Answers what no path was set for.
    otherwise: Box<Answer>,
    date: Box<Date>,
}

/// Answers 404 until paths are set, and keeps the requests.
impl Default for ScriptedProvider {
    fn default() -> ScriptedProvider {
        let not_found = |_: &Request<Vec<u8>>| respond(404, "404 page not found");
        ScriptedProvider { requests: Some(Mutex::default()), ..ScriptedProvider::answering(not_found) }
    }
}

impl ScriptedProvider {
    /// Answers by a function.
    pub fn answering(
        answer: impl Fn(&Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync + 'static,
    ) -> ScriptedProvider {
        ScriptedProvider {
            answers: Mutex::default(),
            requests: None,
            headers: Mutex::default(),
            otherwise: Box::new(answer),
            date: Box::new(|| None),
        }
    }

    /// Dates its answers by a function.
    pub fn dated(self, date: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) -> ScriptedProvider {
        ScriptedProvider { date: Box::new(date), ..self }
    }

    /// Sets the answer of every path that begins with `path`; the longest such beginning counts.
    pub fn say(&self, path: &'static str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path, (status, body.to_owned()));
    }

    /// Takes the requests so far: user, method, path with query, body.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.as_ref().unwrap().lock().unwrap())
    }

    /// Counts the requests that contain a text.
    pub fn count(&self, text: &str) -> usize {
        self.requests.as_ref().unwrap().lock().unwrap().iter().filter(|request| request.contains(text)).count()
    }
}

/// Builds an answer.
pub fn respond(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// The user of Basic authentication.
fn user(request: &Request<Vec<u8>>) -> Option<String> {
    let value = request.headers().get("authorization")?.to_str().ok()?;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()
}

impl Simulator for ScriptedProvider {
    fn date(&self) -> Option<Timestamp> {
        (self.date)()
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if let Some(requests) = &self.requests {
            let (user, body) = (user(request).unwrap_or_default(), String::from_utf8_lossy(request.body()));
            let line = format!("{user} {} {} {body}", request.method(), request.uri());
            requests.lock().unwrap().push(line.trim().to_owned());
        }
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|(path, _)| request.uri().path().starts_with(**path));
        let Some((status, body)) = found.max_by_key(|(path, _)| path.len()).map(|(_, answer)| answer.clone()) else {
            return (self.otherwise)(request);
        };
        let mut response = respond(status, body);
        for (name, value) in self.headers.lock().unwrap().iter() {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        response
    }
}
