//! The work folder beside the output: the plan of the run, and a journal for each report. An answer is one line, which is
//! appended whole; what a kill cut off is dropped when the run goes on, and asked again.

#![expect(clippy::disallowed_methods, reason = "runs on blocking threads")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::backfill::types::{BackfillError, Settings, file_error};
use crate::ledger::known_apps::known_apps;
use crate::model::window::{Window, midnight};
use crate::provider::WindowQuery;
use crate::provider::config::{App, Config};
use crate::util::clock::Clock;
use crate::util::supervise::joined;

/// Plan of a run: everything that its output depends on, besides the answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunPlan {
    version: u32,
    from: Date,
    to: Option<Date>,
    /// Interval between samples, in seconds.
    pub(super) step: i64,
    labels: Vec<(String, String)>,
    /// Time at which the plan was made.
    pub(super) made: Timestamp,
    pub(super) apps: Vec<PlannedApp>,
}

/// Version of the files in the work folder.
const VERSION: u32 = 1;

/// An app in the plan, with the time that its history covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedApp {
    provider: String,
    app: String,
    account: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Time at which the ledger first knew the account.
    pub(super) first_known: Option<Timestamp>,
}

impl PlannedApp {
    /// Returns true if it is this app of the configuration.
    pub(super) fn is_of(&self, app: &App) -> bool {
        self.provider == app.provider.name() && self.app == app.name && self.account == app.account.id()
    }
}

impl RunPlan {
    /// Makes the plan of a new run.
    pub(super) async fn new(config: &Config, settings: &Settings, clock: &Clock) -> Result<RunPlan, BackfillError> {
        let known = match known_apps(&config.ledger).await {
            Ok(known) => known,
            // With a given end, the ledger only serves for a warning.
            Err(_) if settings.to.is_some() => HashMap::new(),
            Err(error) => return Err(error.into()),
        };
        let made = clock.now();
        let plan = |app: &App| {
            let (provider, account) = (app.provider.name(), app.account.id());
            let first_known = known.get(&(provider.to_owned(), app.name.clone()));
            // Another account under the name is counted anew.
            let first_known = first_known.filter(|known| known.account == account).map(|known| known.first_known);
            let from = midnight(settings.from, &app.zone);
            let to = settings.to.map_or(first_known.unwrap_or(made), |day| midnight(day, &app.zone)).min(made);
            if let Some(known) = first_known.filter(|known| *known < to) {
                tracing::warn!(
                    provider,
                    app = app.name,
                    first_known = known.to_string(),
                    "the history goes on after the exporter began to count; its counters and the exporter's overlap"
                );
            }
            if from >= to {
                tracing::warn!(provider, app = app.name, "no history: the app was known before --from");
            }
            PlannedApp { provider: provider.to_owned(), app: app.name.clone(), account, from, to, first_known }
        };
        Ok(RunPlan {
            version: VERSION,
            from: settings.from,
            to: settings.to,
            step: i64::try_from(settings.step.as_secs()).unwrap_or(i64::MAX).max(1),
            labels: settings.labels.clone(),
            made,
            apps: config.apps.iter().map(plan).collect(),
        })
    }

    /// Returns the flag whose value differs from that of the plan.
    pub(super) fn difference(&self, settings: &Settings) -> Option<&'static str> {
        let Settings { from, to, step, labels, .. } = settings;
        let is_other = [
            ("version", self.version != VERSION),
            ("--from", self.from != *from),
            ("--to", self.to != *to),
            ("--step", u64::try_from(self.step).ok() != Some(step.as_secs())),
            ("--label", self.labels != *labels),
        ];
        is_other.into_iter().find(|(_, is_other)| *is_other).map(|(what, _)| what)
    }
}

/// The work folder of an output.
#[derive(Clone, Debug)]
pub(super) struct WorkFolder(PathBuf);

impl WorkFolder {
    /// Returns the folder beside an output, which may not exist.
    pub(super) fn beside(output: &Path) -> WorkFolder {
        let mut name = OsString::from(output);
        name.push(".parts");
        WorkFolder(name.into())
    }

    /// Returns its path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn plan_file(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// Reads the plan of an interrupted run; `None` if there is none.
    pub(super) async fn plan(&self) -> Result<Option<RunPlan>, BackfillError> {
        let file = self.plan_file();
        blocking(move || match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| BackfillError::Damaged(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error(&file)(error)),
        })
        .await
    }

    /// Creates the folder with the plan if it is new, and locks it until the result is dropped.
    pub(super) async fn open(&self, plan: &RunPlan) -> Result<File, BackfillError> {
        let (folder, file, plan) = (self.0.clone(), self.plan_file(), plan.clone());
        blocking(move || {
            std::fs::create_dir_all(&folder).map_err(file_error(&folder))?;
            let path = folder.join("lock");
            let lock = File::create(&path).map_err(file_error(&path))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(BackfillError::InUse(path)),
                Err(TryLockError::Error(error)) => return Err(file_error(&path)(error)),
            }
            if !file.exists() {
                let text = serde_json::to_vec(&plan).map_err(|_| BackfillError::Damaged(file.clone()))?;
                replace(&file, |out| out.write_all(&text))?;
            }
            Ok(lock)
        })
        .await
    }

    /// Returns the path of a file of an app.
    pub(super) fn file(&self, app: usize, name: &str) -> PathBuf {
        self.0.join(format!("{app:05}-{name}"))
    }

    /// Removes the folder with everything in it.
    pub(super) async fn remove(&self) -> Result<(), BackfillError> {
        let folder = self.0.clone();
        blocking(move || std::fs::remove_dir_all(&folder).map_err(file_error(&folder))).await
    }
}

/// Runs work on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackfillError> + Send + 'static,
) -> Result<T, BackfillError> {
    joined(tokio::task::spawn_blocking(work).await).unwrap_or(Err(BackfillError::Stopped))
}

/// Writes a file whole or not at all.
pub(super) fn replace(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), BackfillError> {
    let new = file.with_extension("new");
    let written = || {
        let mut out = BufWriter::new(File::create(&new)?);
        write(&mut out)?;
        out.into_inner()?.sync_all()?;
        std::fs::rename(&new, file)
    };
    written().map_err(file_error(file))
}

/// A query of a journal, which identifies an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// Windows of a scope.
    Windows { scope: Option<String>, first: Window, last: Window },
    /// A batch of messages, by its number.
    Messages(usize),
}

impl From<&WindowQuery> for Asked {
    fn from(query: &WindowQuery) -> Asked {
        Asked::Windows { scope: query.scope.clone(), first: query.first, last: query.last }
    }
}

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) asked: Asked,
    pub(super) answer: Answer,
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Numbers by window; a window of the query that is missing had none.
    Windows(Vec<WindowNumbers>),
    /// Counts of messages by hour; the second number is that of refused messages.
    Messages(Vec<HourNumbers>, u64),
    /// The provider has no numbers.
    NoData,
    /// The provider does not answer for the window.
    Refused,
    /// The provider refused the range, whose windows were asked one by one then.
    Divided,
}

impl Answer {
    /// Returns the kind of the answer, without its numbers.
    pub(super) fn kind(&self) -> AnswerKind {
        match self {
            Answer::Windows(_) | Answer::NoData => AnswerKind::Answered,
            Answer::Messages(_, refused) => AnswerKind::Messages { refused: *refused },
            Answer::Refused => AnswerKind::Refused,
            Answer::Divided => AnswerKind::Divided,
        }
    }
}

/// Kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// With or without numbers.
    Answered,
    /// Answer about messages.
    Messages { refused: u64 },
    /// The window is refused.
    Refused,
    /// The range is refused.
    Divided,
}

/// Numbers of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowNumbers {
    pub(super) window: Window,
    pub(super) counters: Vec<Number>,
    pub(super) gauges: Vec<Number>,
}

/// Numbers of the messages of an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HourNumbers {
    /// End of the hour in Unix seconds.
    pub(super) end: i64,
    pub(super) counters: Vec<Number>,
}

/// A number with its series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Number {
    /// Name of the metric.
    pub(super) metric: String,
    /// Label names and values; the flag is true if a document has the value.
    pub(super) labels: Vec<(String, String, bool)>,
    pub(super) value: i64,
}

/// Journal of one report.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<Asked, AnswerKind>,
}

impl Journal {
    /// Opens the journal, and drops a last line that is not whole.
    pub(super) async fn open(path: PathBuf) -> Result<Journal, BackfillError> {
        blocking(move || {
            let mut known = HashMap::new();
            let mut whole = 0;
            if path.exists() {
                whole = read(&path, |record| {
                    known.insert(record.asked, record.answer.kind());
                })?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&path).map_err(file_error(&path))?;
            file.set_len(whole).map_err(file_error(&path))?;
            Ok(Journal { path, file, known })
        })
        .await
    }

    /// Returns the kind of the answer to a query, if there is one.
    pub(super) fn answer(&self, asked: &Asked) -> Option<AnswerKind> {
        self.known.get(asked).copied()
    }

    /// Appends an answer.
    pub(super) async fn keep(&mut self, record: Record) -> Result<AnswerKind, BackfillError> {
        let kind = record.answer.kind();
        let mut line = serde_json::to_vec(&record).map_err(|_| BackfillError::Damaged(self.path.clone()))?;
        line.push(b'\n');
        let file = self.file.try_clone().map_err(file_error(&self.path))?;
        let path = self.path.clone();
        blocking(move || (&file).write_all(&line).map_err(file_error(&path))).await?;
        self.known.insert(record.asked, kind);
        Ok(kind)
    }
}

/// Reads the records of a journal one by one. Returns the length of its whole lines in bytes.
pub(super) fn read(path: &Path, mut take: impl FnMut(Record)) -> Result<u64, BackfillError> {
    let file = File::open(path).map_err(file_error(path))?;
    lines(&mut BufReader::new(file), path, |line| serde_json::from_slice(line).map(&mut take).is_ok())
}

/// Passes each line to `take` until it returns false or a line has no end. Returns the length of the lines taken.
pub(super) fn lines(
    from: &mut impl BufRead,
    path: &Path,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<u64, BackfillError> {
    let (mut line, mut whole) = (Vec::new(), 0);
    loop {
        line.clear();
        let length = from.read_until(b'\n', &mut line).map_err(file_error(path))?;
        let text = line.strip_suffix(b"\n");
        match text {
            Some(text) if take(text) => whole += length as u64,
            _ => return Ok(whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: usize) -> Record {
        Record { asked: Asked::Messages(number), answer: Answer::NoData }
    }

    #[tokio::test]
    async fn what_a_kill_cut_off_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(path.clone()).await.unwrap();
        for number in 0..3 {
            journal.keep(record(number)).await.unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(path.clone()).await.unwrap();
            assert_eq!(journal.answer(&Asked::Messages(1)), Some(AnswerKind::Answered));
            assert_eq!(journal.answer(&Asked::Messages(2)), None, "cut at {cut}");
            journal.keep(record(2)).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }
}
