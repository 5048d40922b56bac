//! A provider whose answers are set by hand, path by path, and which remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine;
use http::{Request, Response, StatusCode};
use push_exporter::simulator::Simulator;

/// What each path answers, and every request.
#[derive(Default)]
pub struct Fake {
    answers: Mutex<BTreeMap<&'static str, (u16, String)>>,
    requests: Mutex<Vec<String>>,
    /// Of every answer.
    pub headers: Mutex<Vec<(&'static str, String)>>,
}

impl Fake {
    /// What every path that begins so answers from now on; of two that fit, the longer beginning counts.
    pub fn say(&self, path: &'static str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path, (status, body.to_owned()));
    }

    /// Takes the requests so far: user, method, path with query, body.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// How many requests hold this text.
    pub fn count(&self, of: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.contains(of)).count()
    }
}

/// Who asks, by Basic authentication.
fn user(request: &Request<Vec<u8>>) -> Option<String> {
    let value = request.headers().get("authorization")?.to_str().ok()?;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()
}

impl Simulator for Fake {
    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let (user, body) = (user(request).unwrap_or_default(), String::from_utf8_lossy(request.body()));
        let line = format!("{user} {} {} {body}", request.method(), request.uri());
        self.requests.lock().unwrap().push(line.trim().to_owned());
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|(path, _)| request.uri().path().starts_with(**path));
        let found = found.max_by_key(|(path, _)| path.len()).map(|(_, answer)| answer.clone());
        let (status, body) = found.unwrap_or((404, "404 page not found".to_owned()));
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in self.headers.lock().unwrap().iter() {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        response
    }
}
