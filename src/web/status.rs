//! The status page and its JSON: every app and report, how it is, and what to do. Readable without
//! scripts.

use askama::Template;
use jiff::Timestamp;
use serde::Serialize;

use crate::clock::age;
use crate::poll::files::BadLine;
use crate::poll::health::{FileHealth, Health, ReportHealth, ReportId, State};
use crate::provider::error::Reason;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    version: &'static str,
    now: String,
    telemetry_path: &'a str,
    summary: String,
    rows: Vec<Row<'a>>,
    files: Vec<FileRow<'a>>,
}

/// A followed file of message ids.
struct FileRow<'a> {
    app: &'a str,
    path: &'a str,
    lines: u64,
    bad_lines: i64,
    trouble: Option<&'a str>,
    last_bad_line: Option<(&'a BadLine, String)>,
}

struct Row<'a> {
    id: &'a ReportId,
    state: &'static str,
    last_success: String,
    data_age: String,
    next_poll: String,
    last_error: String,
    error: Option<ErrorCell<'a>>,
}

struct ErrorCell<'a> {
    reason: &'a str,
    message: &'a str,
    log_id: Option<&'a str>,
    advice: &'a str,
    lasting: String,
}

/// The status page as HTML.
pub(super) fn page(health: &Health, now: Timestamp, telemetry_path: &str) -> Result<String, askama::Error> {
    let (reports, files) = (health.reports(), health.files());
    let rows: Vec<Row<'_>> = reports.iter().map(|(id, health)| row(id, health, now)).collect();
    let failing = reports.iter().filter(|(_, health)| health.state == State::Failing).count();
    let waiting = reports.iter().filter(|(_, health)| health.state == State::Waiting).count();
    let is_ledger =
        |health: &ReportHealth| health.error.as_ref().is_some_and(|error| error.reason == Reason::Ledger.name());
    let summary = match (failing, waiting) {
        _ if reports.iter().any(|(_, health)| is_ledger(health)) => {
            "The ledger cannot be written: nothing is polled until it can; see the log.".to_owned()
        }
        (0, 0) => format!("All {} reports work.", reports.len()),
        (0, waiting) => format!("{waiting} of {} reports wait for their next poll, none is failing.", reports.len()),
        (failing, _) => format!("{failing} of {} reports are failing.", reports.len()),
    };
    let files = files.iter().map(|((app, path), health)| file(app, path, health, now)).collect();
    StatusPage { version: env!("CARGO_PKG_VERSION"), now: at(now), telemetry_path, summary, rows, files }.render()
}

fn file<'a>(app: &'a str, path: &'a str, health: &'a FileHealth, now: Timestamp) -> FileRow<'a> {
    FileRow {
        app,
        path,
        lines: health.lines,
        bad_lines: health.bad_lines,
        trouble: health.trouble.as_deref(),
        last_bad_line: health.last_bad_line.as_ref().map(|bad| (bad, age(now, bad.at))),
    }
}

fn row<'a>(id: &'a ReportId, health: &'a ReportHealth, now: Timestamp) -> Row<'a> {
    Row {
        id,
        state: match health.state {
            State::Waiting => "waiting",
            State::Up => "up",
            State::Failing => "failing",
        },
        last_success: health.last_success.map_or("never".to_owned(), |then| format!("{} ago", age(now, then))),
        data_age: health.last_change.map_or("no data yet".to_owned(), |then| age(now, then)),
        next_poll: match health.next_poll {
            Some(then) if then > now => format!("in {}", age(then, now)),
            Some(_) => "now".to_owned(),
            None => "nothing due".to_owned(),
        },
        last_error: health
            .last_error
            .as_ref()
            .map_or("none".to_owned(), |error| format!("{}, {} ago", error.reason, age(now, error.at))),
        error: health.error.as_ref().map(|error| ErrorCell {
            reason: error.reason,
            message: &error.message,
            log_id: error.log_id.as_deref(),
            advice: error.advice,
            lasting: age(now, error.since),
        }),
    }
}

/// The status page as JSON.
pub(super) fn json(health: &Health, now: Timestamp) -> String {
    let (reports, files) = (health.reports(), health.files());
    #[derive(Serialize)]
    struct Status<'a> {
        version: &'static str,
        now: Timestamp,
        reports: Vec<Entry<'a>>,
        files: Vec<FileEntry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        id: &'a ReportId,
        #[serde(flatten)]
        health: &'a ReportHealth,
        data_age_seconds: Option<i64>,
    }
    #[derive(Serialize)]
    struct FileEntry<'a> {
        app: &'a str,
        path: &'a str,
        #[serde(flatten)]
        health: &'a FileHealth,
    }
    let reports = reports
        .iter()
        .map(|(id, health)| Entry {
            id,
            health,
            data_age_seconds: health.last_change.map(|then| now.duration_since(then).as_secs()),
        })
        .collect();
    let files = files.iter().map(|((app, path), health)| FileEntry { app, path, health }).collect();
    serde_json::to_string(&Status { version: env!("CARGO_PKG_VERSION"), now, reports, files }).unwrap_or_default()
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
