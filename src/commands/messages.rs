//! `push-exporter messages add`: registration of message ids from standard input with a running exporter, through its
//! message API. Known ids count nothing, so the same input can be sent again.

#![expect(clippy::print_stderr, reason = "a command at a terminal, which serves nobody")]

use std::io::{BufRead, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::commands::CommandFailure;
use crate::commands::cli::AddMessages;
use crate::messages::input::{self, MAX_LINE, WireId};
use crate::messages::registry::{BadEntry, Registration};
use crate::provider::message_id::IdFormat;
use crate::provider::registry::PROVIDERS;
use crate::provider::transport;
use crate::provider::transport::Way;

/// Maximum number of entries in a request to the message API.
const MAX_ENTRIES: usize = 10_000;
/// Maximum size of a request, below the limit of the message API.
const MAX_BYTES: usize = 900 * 1024;
/// Maximum delay before an incomplete batch is sent.
const FLUSH: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(60);
/// Minimum interval between progress messages on long input.
const PROGRESS: Duration = Duration::from_secs(2);
/// Waits before each retry, in seconds, for an exporter that restarts or whose disk is briefly unavailable.
const RETRIES: [u64; 6] = [1, 2, 4, 8, 15, 30];
/// Number of refused ids after which the input is assumed to be something else.
const MAX_REFUSED: u64 = 1000;

/// Reads standard input to its end and registers its message ids.
///
/// # Errors
/// Fails if the input, the token or the exporter cannot be used, or if lines are not message ids (exit code 1), or if
/// the URL is invalid (2).
pub(crate) fn add(options: &AddMessages) -> Result<(), CommandFailure> {
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    let url = options.url.parse().ok().filter(is_http);
    let mut url =
        url.ok_or_else(|| CommandFailure::Usage("--url should look like http://localhost:10110".to_owned()))?;
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/v1/messages").to_owned();
    url.set_path(&format!("{path}/api/v1/messages"));
    let token = token(&options.token_file)?;
    let way = if is_this_machine(&url) { Way::Direct } else { Way::Proxied };
    let client = transport::client(way, &[])?.timeout(TIMEOUT).build().context("cannot set up HTTP")?;
    let sender = Sender { client, url, token, app: options.app.clone() };
    super::block_on(async { Ok(run(sender).await?) })
}

#[expect(clippy::disallowed_methods, reason = "before anything else")]
fn token(file: &Path) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let token = token.trim();
    if token.is_empty() {
        bail!("{} is empty", file.display());
    }
    Ok(token.to_owned())
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Counts of the lines and ids so far.
#[derive(Default)]
struct Tally {
    lines: u64,
    received: usize,
    new: i64,
    too_old: usize,
    bad: u64,
    refused: u64,
}

async fn run(sender: Sender) -> anyhow::Result<()> {
    let mut lines = read_lines();
    let mut tally = Tally::default();
    let mut batch = Batch::default();
    let mut said = Instant::now();
    loop {
        let next = match batch.since {
            None => lines.recv().await,
            Some(since) => match tokio::time::timeout_at(since + FLUSH, lines.recv()).await {
                Ok(next) => next,
                Err(_) => {
                    sender.send(&mut batch, &mut tally).await?;
                    continue;
                }
            },
        };
        let Some(line) = next else { break };
        let line = line.context("cannot read standard input")?;
        tally.lines += 1;
        match sender.entries(line.as_deref()) {
            Ok(entries) => {
                for entry in entries {
                    if batch.entries.len() >= MAX_ENTRIES || batch.bytes + entry.len() >= MAX_BYTES {
                        sender.send(&mut batch, &mut tally).await?;
                    }
                    batch.since.get_or_insert_with(Instant::now);
                    batch.bytes += entry.len() + 1;
                    batch.entries.push((tally.lines, entry));
                }
            }
            Err(reason) => tally.note_bad(tally.lines, &reason),
        }
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            eprintln!("{} lines read, {} ids registered, {} of them new", tally.lines, tally.received, tally.new);
        }
    }
    sender.send(&mut batch, &mut tally).await?;
    let Tally { received, new, too_old, .. } = tally;
    let too_old = if too_old > 0 { format!(", {too_old} too old to be queried") } else { String::new() };
    super::print(&format!("{received} ids registered, {new} of them new{too_old}\n"))?;
    if tally.bad > 0 {
        bail!("{} of {} lines could not be registered; correct them and send them again", tally.bad, tally.lines);
    }
    Ok(())
}

impl Tally {
    fn note_bad(&mut self, line: u64, reason: &str) {
        self.bad += 1;
        eprintln!("line {line}: {reason}");
    }

    /// Counts a line that the exporter refuses, which costs a request, and fails after too many of them.
    fn refuse(&mut self, line: u64, reason: &str) -> anyhow::Result<()> {
        self.note_bad(line, reason);
        self.refused += 1;
        if self.refused >= MAX_REFUSED {
            let registered = self.received;
            bail!(
                "{MAX_REFUSED} ids were refused, {registered} registered, the rest not read; check that the app is right"
            );
        }
        Ok(())
    }
}

/// Entries of one request: JSON objects as text, each with its line number.
#[derive(Default)]
struct Batch {
    entries: Vec<(u64, String)>,
    bytes: usize,
    /// Time at which the first entry was added.
    since: Option<Instant>,
}

/// Client of the message API of the exporter.
struct Sender {
    client: Client,
    url: Url,
    token: String,
    /// App for lines that name no app.
    app: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiRefusal {
    error: String,
    index: Option<usize>,
}

impl Sender {
    /// Converts a line to entries of the message API: none for an empty line, several for a provider's answer to several pushes.
    fn entries(&self, line: Option<&[u8]>) -> Result<Vec<String>, String> {
        let Some(line) = input::text_of(line)? else { return Ok(Vec::new()) };
        if !line.starts_with('{') {
            return Ok(vec![self.entry(serde_json::json!({ "msg_id": line }))?]);
        }
        let object: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        // The provider of the app is unknown here: an answer is that of the provider that finds ids in it.
        let mut answers = id_formats().filter_map(|format| input::answered_ids(&object, format));
        let Some(first) = answers.next() else { return Ok(vec![self.entry(object)?]) };
        let ids = answers.fold(first, |found, other| found.or(other)).map_err(|error| error.to_string())?;
        ids.into_iter().map(|id| self.entry(serde_json::json!({ "msg_id": id.into_text() }))).collect()
    }

    /// Converts an object to an entry of the message API.
    fn entry(&self, mut entry: Value) -> Result<String, String> {
        let Value::Object(fields) = &mut entry else { return Err("not an object".to_owned()) };
        if fields.get("app").is_none_or(Value::is_null) {
            let app = self.app.as_ref().ok_or("names no app; add \"app\" to each line, or give --app for all")?;
            fields.insert("app".to_owned(), app.as_str().into());
        }
        let id = fields.get("msg_id").and_then(|id| WireId::deserialize(id).ok()).map(WireId::into_text);
        let is_id = id.is_some_and(|id| id_formats().any(|format| (format.read)(&id).is_some()));
        if !is_id {
            return Err(BadEntry::BadId(NO_ID).to_string());
        }
        Ok(entry.to_string())
    }

    /// Registers a batch. Entries that the exporter refuses are reported and skipped.
    async fn send(&self, batch: &mut Batch, tally: &mut Tally) -> anyhow::Result<()> {
        let Batch { mut entries, .. } = std::mem::take(batch);
        let mut waits = RETRIES.iter();
        while !entries.is_empty() {
            let body: Vec<&str> = entries.iter().map(|(_, entry)| entry.as_str()).collect();
            let request = self
                .client
                .post(self.url.clone())
                .bearer_auth(&self.token)
                .header("content-type", "application/x-ndjson")
                .body(body.join("\n"));
            let trouble = match request.send().await {
                Ok(response) => match self.read(response).await? {
                    ApiAnswer::Registration(Registration { received, new, too_old }) => {
                        tally.received += received;
                        tally.new += new;
                        tally.too_old += too_old;
                        return Ok(());
                    }
                    ApiAnswer::Refused(index, reason) if index < entries.len() => {
                        let (line, _) = entries.remove(index);
                        tally.refuse(line, &reason)?;
                        continue;
                    }
                    ApiAnswer::Refused(_, reason) | ApiAnswer::Later(reason) => reason,
                },
                Err(error) => crate::util::error::error_chain(&error.without_url()),
            };
            let Some(wait) = waits.next() else {
                bail!("{trouble}; {} ids were registered before, send the input again later", tally.received);
            };
            eprintln!("{trouble}; retrying in {wait} s");
            tokio::time::sleep(Duration::from_secs(*wait)).await;
        }
        Ok(())
    }

    async fn read(&self, response: reqwest::Response) -> anyhow::Result<ApiAnswer> {
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(ApiAnswer::Later(crate::util::error::error_chain(&error.without_url()))),
        };
        if status == StatusCode::OK {
            let registered = serde_json::from_slice(&body);
            return Ok(ApiAnswer::Registration(
                registered.context("the answer is not that of a push-exporter; check --url")?,
            ));
        }
        let ApiRefusal { error, index } = serde_json::from_slice(&body).unwrap_or_default();
        let said = if error.is_empty() { String::new() } else { format!(": {error}") };
        match (status.as_u16(), index) {
            (400, Some(index)) => Ok(ApiAnswer::Refused(index, error)),
            (408 | 429 | 500 | 502..=504, _) => Ok(ApiAnswer::Later(format!("the exporter answers {status}{said}"))),
            (401, _) => bail!("the exporter refuses the token; give the token of message_api with --token-file"),
            (404, _) => {
                bail!("there is no message API; check --url, and set message_api.token_file in the configuration")
            }
            _ => bail!("the exporter answers {status}{said}"),
        }
    }
}

/// Error of an id that no provider's messages can have.
const NO_ID: &str = "msg_id is no id of any provider: JPush and EngageLab have digits, or a-z and 0-9 for a group; Getui letters, digits, _ and -; at most 64 characters";

/// Returns the formats of all providers' message ids.
fn id_formats() -> impl Iterator<Item = &'static IdFormat> {
    PROVIDERS.iter().flat_map(|provider| provider.id_formats())
}

/// The answer to a request.
enum ApiAnswer {
    Registration(Registration),
    /// The index of the refused entry, and the reason.
    Refused(usize, String),
    /// The reason why the request must be retried later.
    Later(String),
}

/// Reads the lines of standard input as they arrive; a line that is too long becomes `None`.
fn read_lines() -> mpsc::Receiver<std::io::Result<Option<Vec<u8>>>> {
    let (lines, receiver) = mpsc::channel(1000);
    #[expect(clippy::disallowed_methods, reason = "on a dedicated thread")]
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
            let item = match read {
                Ok(0) => return,
                Ok(_) if line.len() > MAX_LINE && !line.ends_with(b"\n") => input.skip_until(b'\n').map(|_| None),
                Ok(_) => Ok(Some(line)),
                Err(error) => Err(error),
            };
            let is_over = item.is_err();
            if lines.blocking_send(item).is_err() || is_over {
                return;
            }
        }
    });
    receiver
}
