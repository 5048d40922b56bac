//! Message ids from files: each file is followed, its lines are checked, and their ids are registered in one
//! transaction with the mark after them, so that a crash loses nothing and counts nothing twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::config::read_file::within;
use crate::ledger::{FileMark, ReadFile};
use crate::messages::followed_paths::Paths;
use crate::messages::input::{self, BadMessage, WireApp, WireCategory, WireMessage};
use crate::messages::registry::{GivenMessage, MessageEntry, MessageRegistry};
use crate::messages::tail::{Follower, Line, Lines, Look};
use crate::status::Services;
use crate::status::{BadLine, FileStatus};
use crate::util::supervise::{joined, restart_on_panic};

/// Pause before another look at a file that has nothing new.
const PAUSE: Duration = Duration::from_secs(1);
/// Number of bad lines of one read that are logged with their reasons; further ones are logged by their line numbers,
/// up to [`NUMBERED`].
const NAMED: usize = 10;
const NUMBERED: usize = 200;
/// Files looked at concurrently; each occupies a thread while its disk does not respond.
static LOOKS: Semaphore = Semaphore::const_new(16);
/// Interval between log messages about a file that takes long.
const PROGRESS: Duration = Duration::from_secs(10);

/// Returns the key under which the marks of a file are stored.
pub fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A file of message ids of an app.
pub struct FollowedFile {
    /// Name of the app.
    pub app: String,
    /// Path that is followed.
    pub path: PathBuf,
    /// Positions up to which it and its rotations have been read.
    pub marks: Vec<FileMark>,
}

/// Follows a file of message ids of an app until it is cancelled. `others` are the files that are followed too; none
/// of them is taken for a rotation of this one.
pub async fn follow(registry: Arc<MessageRegistry>, services: Services, file: FollowedFile, others: Paths) {
    let FollowedFile { app, path, marks } = file;
    let key = key(&path);
    let state = FileStatus {
        lines: marks.iter().find(|mark| mark.is_at_path).map_or(0, |mark| mark.lines),
        ..FileStatus::default()
    };
    tracing::info!(app, file = key, line = state.lines, "following a file of message ids");
    let follower = Follower::new(path.clone(), marks, others.clone());
    let (tasks, panics) = (services.tasks.clone(), services.panics.clone());
    let what = format!("following {key} of {app}");
    let mut task = FileFollower { registry, services, app, path, others, key, state, follower, run: None };
    task.show(None);
    let task = Arc::new(Mutex::new(task));
    // After a panic, lines that are not in the ledger are read again.
    let following = || {
        let task = Arc::clone(&task);
        async move {
            let mut task = task.lock().await;
            loop {
                if !task.look().await {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    restart_on_panic(&tasks, &panics, &what, following).await;
}

struct FileFollower {
    registry: Arc<MessageRegistry>,
    services: Services,
    app: String,
    path: PathBuf,
    others: Paths,
    key: String,
    state: FileStatus,
    follower: Follower,
    /// Progress of lines that come without a pause.
    run: Option<Run>,
}

struct Run {
    started: Instant,
    said: Instant,
    lines: u64,
    new: i64,
}

impl FileFollower {
    /// Looks at the file once. Returns true if it must look again at once.
    async fn look(&mut self) -> bool {
        let marks = self.follower.marks().to_vec();
        let fresh = Follower::new(self.path.clone(), marks, self.others.clone());
        let mut follower = std::mem::replace(&mut self.follower, fresh);
        let (path, runtime) = (self.path.clone(), Handle::current());
        // The semaphore is never closed.
        let place = LOOKS.acquire().await;
        let looked = tokio::task::spawn_blocking(move || {
            within(&path, move || {
                let _time = runtime.enter();
                let look = follower.look();
                Ok((follower, look))
            })
        });
        let Some(looked) = joined(looked.await) else { return false };
        drop(place);
        let look = looked.and_then(|(follower, look)| {
            self.follower = follower;
            look
        });
        match look {
            Ok(Look::Lines(lines)) => {
                self.take(lines).await;
                return true;
            }
            Ok(Look::Nothing) => self.show(None),
            Ok(Look::Missing) => self.show(Some("is missing; it is read as soon as it exists".to_owned())),
            Ok(Look::Lost) => {
                let app = &self.app;
                tracing::warn!(
                    app,
                    file = self.key,
                    line = self.state.lines,
                    "the file being read is gone, was truncated or cannot be read; ids after this line may be lost"
                );
                return true;
            }
            Err(error) => self.show(Some(format!("cannot be read: {error}"))),
        }
        self.end_run();
        false
    }

    /// Registers lines, and retries until the ledger takes them.
    async fn take(&mut self, lines: Lines) {
        let mut entries = Vec::new();
        let mut bad = Vec::new();
        let at = self.services.clock.now();
        for line in &lines.lines {
            match read_line(&self.registry, &self.app, line) {
                Ok(entry) => entries.extend(entry),
                Err(reason) => bad.push(BadLine { line: line.number, reason, at }),
            }
        }
        let bad_lines = i64::try_from(bad.len()).unwrap_or(i64::MAX);
        let new = loop {
            self.registry.wait_for_ledger().await;
            let (path, marks, gone) = (self.key.clone(), lines.marks.clone(), lines.gone.clone());
            let read = ReadFile { path, marks, gone, bad_lines };
            match self.registry.register_read(&self.app, &entries, read).await {
                Ok(new) => break new,
                Err(error) => {
                    self.show(Some(format!("waits for the ledger: {}", crate::util::error::error_chain(&error))));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let count = lines.lines.len() as u64;
        if let Some(mark) = lines.marks.last().filter(|_| count > 0) {
            self.state.lines = mark.lines;
        }
        self.state.bad_lines += bad_lines;
        self.follower.advance(lines);
        for BadLine { line, reason, .. } in bad.iter().take(NAMED) {
            tracing::warn!(app = self.app, file = self.key, line, reason, "a line that is no message id");
        }
        if let Some(others) = bad.get(NAMED..).filter(|others| !others.is_empty()) {
            let numbers: Vec<String> = others.iter().take(NUMBERED).map(|bad| bad.line.to_string()).collect();
            let (lines, count) = (numbers.join(","), others.len());
            tracing::warn!(app = self.app, file = self.key, lines, count, "more lines that are no message ids");
        }
        self.state.last_bad_line = bad.pop().or(self.state.last_bad_line.take());
        self.show(None);
        let now = Instant::now();
        let run = self.run.get_or_insert(Run { started: now, said: now, lines: 0, new: 0 });
        run.lines += count;
        run.new += new;
        if run.said.elapsed() >= PROGRESS {
            run.said = now;
            tracing::info!(app = self.app, file = self.key, lines = run.lines, new = run.new, "reading message ids");
        }
    }

    /// Shows the status of the file, and logs it once when it has changed.
    fn show(&mut self, trouble: Option<String>) {
        if self.state.trouble != trouble {
            match &trouble {
                Some(trouble) => tracing::warn!(app = self.app, file = self.key, "the file of message ids {trouble}"),
                None => tracing::info!(app = self.app, file = self.key, "the file of message ids can be read"),
            }
            self.state.trouble = trouble;
        }
        self.services.status.file(&self.app, &self.key, self.state.clone());
    }

    /// Logs the result of a long run.
    fn end_run(&mut self) {
        if let Some(run) = self.run.take().filter(|run| run.started.elapsed() >= PROGRESS) {
            tracing::info!(app = self.app, file = self.key, lines = run.lines, new = run.new, "read to its end");
        }
    }
}

/// Returns the error of a line without quoting the line.
fn told(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.starts_with("unknown field") {
        true => "unknown key; known are app, msg_id, sent_at and category".to_owned(),
        false => told,
    }
}

/// Returns the entries of a line of an app's file: none if the line is empty or for another app, several if it is a provider's
/// answer to several pushes. Separate from the file for tests and fuzzing.
///
/// # Errors
/// Returns the reason if the line is no message id.
pub fn read_line(registry: &MessageRegistry, app: &str, line: &Line) -> Result<Vec<MessageEntry>, String> {
    let is_ended = line.is_ended;
    let Some(line) = input::text_of(line.text.as_deref())? else { return Ok(Vec::new()) };
    let check = |given: GivenMessage<'_>| registry.check(given).map_err(|error| error.to_string());
    if line.starts_with('{') {
        let object = serde_json::from_str(line).map_err(|error| told(&error))?;
        let format = registry.id_format(app).map_err(|error| error.to_string())?;
        let messages = input::read_messages(object, &format).map_err(|error| match error {
            BadMessage::Json(error) => told(&error),
            error => error.to_string(),
        })?;
        let is_its =
            |message: &WireMessage| message.app.as_ref().is_none_or(|WireApp::Text(named)| named.as_str() == app);
        let entry = |WireMessage { msg_id, sent_at, category, .. }: WireMessage| {
            let sent_at = sent_at.map(|time| time.read()).transpose().map_err(|error| error.to_string())?;
            let category = category.as_ref().map(|WireCategory::Text(category)| category.as_str());
            check(GivenMessage { app, id: &msg_id.into_text(), sent_at, category })
        };
        messages.into_iter().filter(is_its).map(entry).collect()
    } else if is_ended {
        Ok(vec![check(GivenMessage { app, id: line, ..GivenMessage::default() })?])
    } else {
        // Only a JSON object shows whether it is complete.
        Err("the file ends in the middle of the line".to_owned())
    }
}
