//! Simulators of the providers, used by the demo and the tests: faithful to the documents in authentication, tokens,
//! rate limits, error bodies and date rules, with a list of events as the truth. They share no wire type and no
//! calendar with the clients, so that an error in one is not repeated in the other.

mod deliveries;
pub mod easemob;
pub mod engagelab;
pub mod feishu;
pub mod getui;
pub mod jpush;
pub mod onesignal;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use reqwest::Url;
use tokio::net::TcpListener;

/// An API that answers requests.
pub trait Simulator: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>>;
    /// Returns the time of the `Date` header of its answers; `None` for no header.
    fn date(&self) -> Option<Timestamp> {
        None
    }
}

const MAX_BODY: usize = 1024 * 1024;

/// Serves a simulator until the future is dropped.
pub async fn serve(listener: TcpListener, simulator: Arc<impl Simulator>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let simulator = Arc::clone(&simulator);
        let service = service_fn(move |request: Request<Incoming>| {
            let simulator = Arc::clone(&simulator);
            async move {
                let (head, body) = request.into_parts();
                let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes().to_vec());
                let mut response = match body {
                    Ok(body) => simulator.answer(&Request::from_parts(head, body)),
                    Err(_) => text(413, "request entity too large"),
                };
                let date = simulator.date().map(|date| date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
                if let Some(Ok(date)) = date.map(http::HeaderValue::try_from) {
                    response.headers_mut().insert(http::header::DATE, date);
                }
                Ok::<_, Infallible>(response.map(|body| Full::new(Bytes::from(body))))
            }
        });
        tokio::spawn(async move {
            // Errors of disconnected clients are ignored.
            let mut server = http1::Builder::new();
            // The simulator sets the date header.
            server.timer(TokioTimer::new()).auto_date_header(false);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn json(status: u16, body: &serde_json::Value) -> Response<Vec<u8>> {
    respond(status, "application/json; charset=utf-8", body.to_string())
}

fn text(status: u16, body: &str) -> Response<Vec<u8>> {
    respond(status, "text/plain", body.to_owned())
}

fn respond(status: u16, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn bearer(request: &Request<Vec<u8>>) -> Option<&str> {
    request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Returns true if a request has these credentials of Basic authentication.
fn has_basic_auth(request: &Request<Vec<u8>>, user: &str, password: &str) -> bool {
    use base64::Engine;
    let shown = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Basic "));
    let shown = shown.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    shown == Some(format!("{user}:{password}").into_bytes())
}

/// Returns a decoded parameter of the query string.
fn parameter(request: &Request<Vec<u8>>, name: &str) -> Option<String> {
    let url = Url::parse(&format!("http://localhost/?{}", request.uri().query()?)).ok()?;
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A sliding-window rate limit as the provider enforces it.
#[derive(Debug)]
struct SimulatedLimit {
    requests: usize,
    window_ms: i64,
    starts: VecDeque<i64>,
    refused: u64,
}

impl SimulatedLimit {
    fn new(requests: usize, window_ms: i64) -> SimulatedLimit {
        SimulatedLimit { requests, window_ms, starts: VecDeque::new(), refused: 0 }
    }

    /// Returns true if a request at `now_ms` is within the rate limit, and counts it.
    fn admit(&mut self, now_ms: i64) -> bool {
        while self.starts.front().is_some_and(|start| now_ms - start >= self.window_ms) {
            self.starts.pop_front();
        }
        let within = self.starts.len() < self.requests;
        if within {
            self.starts.push_back(now_ms);
        } else {
            self.refused += 1;
        }
        within
    }

    /// Returns the seconds until the oldest request leaves the window.
    fn reset_seconds(&self, now_ms: i64) -> i64 {
        self.starts.front().map_or(0, |start| (start + self.window_ms - now_ms).div_euclid(1000) + 1)
    }
}

/// A calendar in UTC+8, by days since 1970, independent of the calendar that the exporter uses.
pub mod beijing {
    /// Length of a day in seconds.
    pub const DAY: i64 = 86_400;
    const OFFSET: i64 = 8 * 3600;

    /// Returns the day number of a time in Unix seconds.
    pub fn day_of(seconds: i64) -> i64 {
        (seconds + OFFSET).div_euclid(DAY)
    }

    /// Returns the first second of a day, in Unix seconds.
    pub fn start_of(day: i64) -> i64 {
        day * DAY - OFFSET
    }

    /// Returns the hour of the day, with its fraction.
    pub fn hour_of(seconds: i64) -> f64 {
        (seconds + OFFSET).rem_euclid(DAY) as f64 / 3600.0
    }

    /// Returns the day of the week, 0 for Monday. Day 0 was a Thursday.
    pub fn weekday(day: i64) -> i64 {
        (day + 3).rem_euclid(7)
    }

    /// Returns year, month and day of a day number (Gregorian, by eras of 400 years).
    pub fn civil(day: i64) -> (i64, i64, i64) {
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
    }

    /// Parses the day number of a date, strictly in the form `yyyy-MM-dd`.
    pub fn parse(text: &str) -> Option<i64> {
        let bytes = text.as_bytes();
        let is_digit = |index: usize| bytes[index].is_ascii_digit();
        if bytes.len() != 10
            || bytes[4] != b'-'
            || bytes[7] != b'-'
            || ![0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(is_digit)
        {
            return None;
        }
        let (year, month, day): (i64, i64, i64) =
            (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
        let year_from_march = year - i64::from(month <= 2);
        let era = year_from_march.div_euclid(400);
        let year_of_era = year_from_march.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let number = era * 146_097 + of_era - 719_468;
        (civil(number) == (year, month, day)).then_some(number)
    }

    /// Formats a day number as `yyyy-MM-dd`.
    pub fn format(day: i64) -> String {
        let (year, month, day) = civil(day);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Returns the load of an hour as a factor around 1: lowest at night, highest at noon and in the evening.
    pub fn rhythm(seconds: i64) -> f64 {
        const BY_HOUR: [f64; 24] = [
            0.4, 0.3, 0.25, 0.25, 0.25, 0.3, 0.5, 0.9, 1.2, 1.3, 1.2, 1.3, 1.6, 1.3, 1.1, 1.1, 1.1, 1.2, 1.4, 1.6, 1.8,
            1.7, 1.2, 0.75,
        ];
        BY_HOUR[hour_of(seconds) as usize % 24]
    }
}

/// Simulated trouble of a channel, for any provider. Shares are from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trouble {
    /// Share of pushes that the vendor refuses.
    pub refused: f64,
    /// Share of the accepted pushes that never arrive.
    pub lost: f64,
    /// Factor by which deliveries take longer.
    pub slower: f64,
    /// Share of clicks that are not reported.
    pub unclicked: f64,
}

impl Trouble {
    /// No trouble.
    pub const NONE: Trouble = Trouble { refused: 0.0, lost: 0.0, slower: 1.0, unclicked: 0.0 };
}

/// Returns a random whole number around `expected`.
fn around(random: &mut fastrand::Rng, expected: f64) -> i64 {
    let spread = expected * (0.7 + 0.6 * random.f64());
    (spread + random.f64()).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_by_hand() {
        assert_eq!(beijing::format(0), "1970-01-01");
        assert_eq!(beijing::parse("2024-02-29"), Some(19_782));
        assert_eq!(beijing::format(19_782), "2024-02-29");
        assert_eq!(beijing::parse("2023-02-29"), None);
        assert_eq!(beijing::parse("2023-2-09"), None);
        assert_eq!(beijing::weekday(beijing::parse("2021-07-05").unwrap()), 0);
        // 2026-01-01 00:00 in Beijing is 2025-12-31 16:00 UTC, 1767196800.
        assert_eq!(beijing::day_of(1_767_196_800), beijing::parse("2026-01-01").unwrap());
        assert_eq!(beijing::day_of(1_767_196_799), beijing::parse("2025-12-31").unwrap());
    }

    #[test]
    fn the_limit_is_a_sliding_window() {
        let mut limit = SimulatedLimit::new(2, 1000);
        assert_eq!([0, 900, 950, 1000, 1899, 1900].map(|at| limit.admit(at)), [true, true, false, true, false, true]);
        assert_eq!(limit.refused, 2);
    }
}
