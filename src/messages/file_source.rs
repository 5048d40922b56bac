//! Message ids from files: each file is followed, its lines are checked, and what was read is registered in
//! one transaction with the mark behind it, so that a crash loses nothing and counts nothing twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::config::read_file::within;
use crate::ledger::{FileMark, ReadFile};
use crate::messages::followed_paths::Paths;
use crate::messages::input::{self, WireApp, WireMessage};
use crate::messages::registry::{MessageEntry, MessageRegistry};
use crate::messages::tail::{Follower, Line, Lines, Look};
use crate::status::Services;
use crate::status::{BadLine, FileStatus};
use crate::util::supervise::{joined, restart_on_panic};

/// From look to look at a file that has nothing new.
const PAUSE: Duration = Duration::from_secs(1);
/// Bad lines of one reading that the log names with what is wrong with them, and of the others by their numbers.
const NAMED: usize = 10;
const NUMBERED: usize = 200;
/// Files looked at side by side; each holds a thread while its disk does not answer.
static LOOKS: Semaphore = Semaphore::const_new(16);
/// From word to word about a file that takes long.
const PROGRESS: Duration = Duration::from_secs(10);

/// What the marks of a file are kept by.
pub fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Follows a file of message ids of an app, for ever. `others` are followed too, and never taken for it.
pub async fn follow(
    feed: Arc<MessageRegistry>,
    services: Services,
    app: String,
    path: PathBuf,
    marks: Vec<FileMark>,
    others: Paths,
) {
    let key = key(&path);
    let state = FileStatus {
        lines: marks.iter().find(|mark| mark.is_at_path).map_or(0, |mark| mark.lines),
        ..FileStatus::default()
    };
    tracing::info!(app, file = key, line = state.lines, "following a file of message ids");
    let follower = Follower::new(path.clone(), marks, others.clone());
    let (tasks, panics) = (services.tasks.clone(), services.panics.clone());
    let what = format!("following {key} of {app}");
    let mut task = Following { feed, services, app, path, others, key, state, follower, run: None };
    task.show(None);
    let task = Arc::new(Mutex::new(task));
    // After a panic, what is not in the ledger is read again.
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

struct Following {
    feed: Arc<MessageRegistry>,
    services: Services,
    app: String,
    path: PathBuf,
    others: Paths,
    key: String,
    state: FileStatus,
    follower: Follower,
    /// Lines that came without a pause.
    run: Option<Run>,
}

struct Run {
    started: Instant,
    said: Instant,
    lines: u64,
    new: i64,
}

impl Following {
    /// Looks once; whether to look again at once.
    async fn look(&mut self) -> bool {
        let marks = self.follower.marks().to_vec();
        let fresh = Follower::new(self.path.clone(), marks, self.others.clone());
        let mut follower = std::mem::replace(&mut self.follower, fresh);
        let (path, runtime) = (self.path.clone(), Handle::current());
        // Never closed.
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
            Ok(Look::Missing) => self.show(Some("is not there; it is read when it is".to_owned())),
            Ok(Look::Lost) => {
                let app = &self.app;
                tracing::warn!(
                    app,
                    file = self.key,
                    line = self.state.lines,
                    "the file that was being read is gone, was cut or cannot be read; ids behind that line may be lost"
                );
                return true;
            }
            Err(error) => self.show(Some(format!("cannot be read: {error}"))),
        }
        self.end_run();
        false
    }

    /// Registers lines, as often as it takes.
    async fn take(&mut self, lines: Lines) {
        let mut entries = Vec::new();
        let mut bad = Vec::new();
        let at = self.services.clock.now();
        for line in &lines.lines {
            match read_line(&self.feed, &self.app, line) {
                Ok(entry) => entries.extend(entry),
                Err(reason) => bad.push(BadLine { line: line.number, reason, at }),
            }
        }
        let bad_lines = i64::try_from(bad.len()).unwrap_or(i64::MAX);
        let new = loop {
            self.feed.wait_for_ledger().await;
            let (path, marks, gone) = (self.key.clone(), lines.marks.clone(), lines.gone.clone());
            let read = ReadFile { path, marks, gone, bad_lines };
            match self.feed.register_read(&self.app, &entries, read).await {
                Ok(new) => break new,
                Err(error) => {
                    self.show(Some(format!("waits: {}", crate::util::error::error_chain(&error))));
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

    /// Shows how the file is; says so once when that has changed.
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

    /// Says what a long run has brought.
    fn end_run(&mut self) {
        if let Some(run) = self.run.take().filter(|run| run.started.elapsed() >= PROGRESS) {
            tracing::info!(app = self.app, file = self.key, lines = run.lines, new = run.new, "read to its end");
        }
    }
}

/// Error of a line, without repeating any of the line.
fn told(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.starts_with("unknown field") {
        true => "an unknown key; app, msg_id and sent_at are known".to_owned(),
        false => told,
    }
}

/// What a line of a file of an app says; nothing if it is empty or of another app. Apart from the file for tests
/// and fuzzing.
///
/// # Errors
/// What is wrong with it.
pub fn read_line(feed: &MessageRegistry, app: &str, line: &Line) -> Result<Option<MessageEntry>, String> {
    let is_ended = line.is_ended;
    let Some(line) = input::text_of(line.text.as_deref())? else { return Ok(None) };
    let (id, sent_at) = if line.starts_with('{') {
        let WireMessage { app: named, msg_id, sent_at, .. } =
            serde_json::from_str(line).map_err(|error| told(&error))?;
        if named.is_some_and(|WireApp::Text(named)| named != app) {
            return Ok(None);
        }
        let sent_at = sent_at.map(|time| time.read()).transpose().map_err(|error| error.to_string())?;
        (msg_id.into_text(), sent_at)
    } else if is_ended {
        (line.to_owned(), None)
    } else {
        // Of an object it is seen whether it is whole.
        return Err("the file ends in the middle of the line".to_owned());
    };
    feed.check(app, &id, sent_at).map(Some).map_err(|error| error.to_string())
}
