//! Messages of the past whose send time is known, from the files of the configuration and from the ledger, and the queries
//! for them. They count in the hour in which they were sent.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::backfill::access::{Access, NoAnswer, Outcome, counters};
use crate::backfill::journal::{Answer, AnswerKind, Asked, HourNumbers, PlannedApp, Record, blocking, lines, replace};
use crate::backfill::types::{BackfillError, Progress, file_error};
use crate::config::postgres_address::LedgerAddress;
use crate::ledger::Categories;
use crate::ledger::known_apps::known_messages;
use crate::messages::input::{self, MAX_LINE, WireApp, WireCategory};
use crate::messages::registry::is_category;
use crate::model::message_source::MessageSource;
use crate::provider::config::App;
use crate::provider::message_id::IdFormat;
use crate::provider::{MessageNumbers, MessageQuery, MessageReport, MessageReports};

/// Messages sent this long before the ledger first knew the app are baseline for the exporter; later ones it counts.
const BASELINE: SignedDuration = SignedDuration::from_hours(1);
/// Length of the period in which a message counts, in seconds.
const HOUR: i64 = 3600;

/// A message to ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PlannedMessage {
    sent: Timestamp,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
}

impl PlannedMessage {
    /// Returns the end of the hour in which it was sent, in Unix seconds.
    fn hour_end(&self) -> i64 {
        (self.sent.as_second().div_euclid(HOUR) + 1).saturating_mul(HOUR)
    }
}

/// The messages of an app, fixed for a run: files grow.
pub(super) struct MessageList {
    path: PathBuf,
    pub(super) messages: Vec<PlannedMessage>,
}

impl MessageList {
    /// Returns the list that an interrupted run has kept, or makes it.
    pub(super) async fn new(
        path: PathBuf,
        app: &App,
        reports: &MessageReports,
        planned: &PlannedApp,
        ledger: &LedgerAddress,
    ) -> Result<MessageList, BackfillError> {
        if let Some(messages) = kept(path.clone()).await? {
            return Ok(MessageList { path, messages });
        }
        // A run without an end of its own needs the ledger; with one, its messages are welcome but not needed.
        let tracked = known_messages(ledger, app.provider.name(), &app.name).await;
        let tracked = match tracked {
            Ok(tracked) => tracked,
            Err(error) if planned.first_known.is_some() => return Err(error.into()),
            Err(_) => Vec::new(),
        };
        let mut found: HashMap<String, (Timestamp, Option<String>)> = HashMap::new();
        let tracked = tracked.into_iter().map(|message| (message.id, (message.sent_at, message.category)));
        found.extend(tracked);
        for file in &reports.files {
            let (name, file, format) = (app.name.clone(), file.clone(), reports.id_format);
            let read = blocking(move || read_file(&name, &file, &format)).await?;
            for (id, about) in read {
                found.entry(id).or_insert(about);
            }
        }
        let end =
            planned.first_known.and_then(|at| at.checked_sub(BASELINE).ok()).unwrap_or(planned.to).min(planned.to);
        let mut messages: Vec<PlannedMessage> = found
            .into_iter()
            .map(|(id, (sent, category))| PlannedMessage { sent, id, category })
            .filter(|message| {
                message.sent >= planned.from && message.sent < end && message.hour_end() <= planned.to.as_second()
            })
            .collect();
        messages.sort();
        let mut categories = Categories::default();
        for message in &mut messages {
            let category = categories.stored(message.category.as_deref(), MessageSource::File).map(str::to_owned);
            categories.note(category.as_deref());
            message.category = category;
        }
        Ok(MessageList { path, messages })
    }

    /// Keeps the list for a run that goes on.
    #[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
    pub(super) async fn keep(&self) -> Result<(), BackfillError> {
        let (path, messages) = (self.path.clone(), self.messages.clone());
        blocking(move || {
            if path.exists() {
                return Ok(());
            }
            replace(&path, |out| {
                for message in &messages {
                    serde_json::to_writer(&mut *out, message)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Reads a kept list; `None` if there is none.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
async fn kept(path: PathBuf) -> Result<Option<Vec<PlannedMessage>>, BackfillError> {
    blocking(move || {
        if !path.exists() {
            return Ok(None);
        }
        let file = File::open(&path).map_err(file_error(&path))?;
        let length = file.metadata().map_err(file_error(&path))?.len();
        let mut messages = Vec::new();
        let whole = lines(&mut BufReader::new(file), &path, |line| {
            serde_json::from_slice(line).map(|message| messages.push(message)).is_ok()
        })?;
        if whole == length { Ok(Some(messages)) } else { Err(BackfillError::Damaged(path)) }
    })
    .await
}

/// Send time and category of a message.
type About = (Timestamp, Option<String>);

/// Reads the messages of an app with a known send time from a file of message ids. The exporter reports bad lines; here they
/// are left out, and so is a file that is missing.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
fn read_file(app: &str, path: &Path, format: &IdFormat) -> Result<Vec<(String, About)>, BackfillError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::warn!(app, file = path.display().to_string(), "the file of message ids is missing");
            return Ok(Vec::new());
        }
        Err(error) => return Err(file_error(path)(error)),
    };
    let mut found = Vec::new();
    lines(&mut BufReader::new(file), path, |line| {
        found.extend(read_line(app, line, format));
        true
    })?;
    Ok(found)
}

/// Returns the messages of a line that name their send time.
fn read_line(app: &str, line: &[u8], format: &IdFormat) -> Vec<(String, About)> {
    let text = input::text_of((line.len() <= MAX_LINE).then_some(line)).ok().flatten().unwrap_or_default();
    let object = serde_json::from_str(text).ok().and_then(|object| input::read_messages(object, format).ok());
    let message = |wire: input::WireMessage| {
        let is_its = wire.app.as_ref().is_none_or(|WireApp::Text(named)| named == app);
        let sent = wire.sent_at.as_ref()?.read().ok().filter(|_| is_its)?;
        let id = (format.read)(&wire.msg_id.into_text())?;
        let category = wire.category.map(|WireCategory::Text(category)| category);
        if category.as_deref().is_some_and(|category| !is_category(category)) {
            return None;
        }
        Some((id, (sent, category)))
    };
    object.into_iter().flatten().filter_map(message).collect()
}

/// Queries by message to one report.
pub(super) struct MessageJob {
    pub(super) access: Access,
    pub(super) report: Arc<dyn MessageReport>,
    pub(super) messages: Vec<PlannedMessage>,
}

impl MessageJob {
    /// Sends the queries until all are answered, one fails, or `stop` is cancelled.
    pub(super) async fn run(mut self, progress: &Progress, stop: &CancellationToken) -> Result<Outcome, BackfillError> {
        let mut outcome = Outcome::default();
        let messages = std::mem::take(&mut self.messages);
        for (number, batch) in messages.chunks(self.report.batch().max(1)).enumerate() {
            let asked = Asked::Messages(number);
            let kind = match self.access.journal.answer(&asked) {
                Some(kind) => kind,
                None => match self.ask(batch, stop).await {
                    Ok(answer) => self.access.journal.keep(Record { asked, answer }).await?,
                    Err(NoAnswer::Stopped) => break,
                    Err(NoAnswer::Failed(error)) => {
                        outcome.failed = Some(self.access.failed(&error));
                        break;
                    }
                },
            };
            if let AnswerKind::Messages { refused } = kind {
                outcome.refused_messages += refused;
            }
            progress.add(batch.len() as u64);
        }
        outcome.requests = self.access.client.requests().total();
        Ok(outcome)
    }

    /// Asks for a batch. A part that the provider refuses for an id in it is halved until the id is alone.
    async fn ask(&self, batch: &[PlannedMessage], stop: &CancellationToken) -> Result<Answer, NoAnswer> {
        let (report, client) = (&self.report, &self.access.client);
        let mut hours: BTreeMap<i64, HourNumbers> = BTreeMap::new();
        let mut refused = 0;
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let query = |message: &PlannedMessage| MessageQuery {
                id: message.id.clone(),
                shape: String::new(),
                is_young: false,
            };
            let queries: Vec<MessageQuery> = part.iter().map(query).collect();
            match Access::ask(client, stop, || report.query(&queries, client)).await {
                Ok(numbers) => take(&mut hours, part, numbers),
                Err(NoAnswer::Failed(error)) if report.blames_an_id(&error) && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(NoAnswer::Failed(error)) if report.blames_an_id(&error) => refused += 1,
                Err(none) => return Err(none),
            }
        }
        Ok(Answer::Messages(hours.into_values().collect(), refused))
    }
}

/// Adds the numbers of messages to those of their hours.
fn take(hours: &mut BTreeMap<i64, HourNumbers>, part: &[PlannedMessage], numbers: MessageNumbers) {
    let messages: HashMap<&str, &PlannedMessage> = part.iter().map(|message| (message.id.as_str(), message)).collect();
    for found in numbers.messages {
        let Some(message) = messages.get(found.id.as_str()) else { continue };
        let end = message.hour_end();
        let hour = hours.entry(end).or_insert_with(|| HourNumbers { end, counters: Vec::new() });
        for mut number in counters(&found.readings) {
            let category = message.category.iter().map(|category| ("category".to_owned(), category.clone(), true));
            number.labels.extend(category);
            let same = hour
                .counters
                .iter_mut()
                .find(|known| (&known.metric, &known.labels) == (&number.metric, &number.labels));
            match same {
                Some(known) => known.value = known.value.saturating_add(number.value),
                None => hour.counters.push(number),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_send_time_count() {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.to_owned());
        let format = IdFormat { read: digits, rule: "", config_error: "", answer_keys: &[], answered: |_| Vec::new() };
        let read = |line: &str| read_line("shop", line.as_bytes(), &format);
        let sent: Timestamp = "2026-03-10T01:00:00Z".parse().unwrap();
        assert_eq!(read(r#"{"msg_id":"7","sent_at":1773104400}"#), [("7".to_owned(), (sent, None))]);
        let with_category = r#"{"msg_id":7,"app":"shop","sent_at":"2026-03-10T09:00:00+08:00","category":"sale"}"#;
        assert_eq!(read(with_category), [("7".to_owned(), (sent, Some("sale".to_owned())))]);
        for none in [
            "",
            "7",
            r#"{"msg_id":"7"}"#,
            r#"{"sendno":"0","msg_id":"7"}"#,
            r#"{"msg_id":"7","sent_at":"yesterday"}"#,
            r#"{"msg_id":"x","sent_at":1773104400}"#,
            r#"{"msg_id":"7","app":"other","sent_at":1773104400}"#,
            r#"{"msg_id":"7","sent_at":1773104400,"category":"Not A Label"}"#,
        ] {
            assert_eq!(read(none), [], "{none}");
        }
    }
}
