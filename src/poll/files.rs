//! Message ids from files: each file is followed, its lines are checked, and what was read is registered in
//! one transaction with the position behind it, so that a crash loses nothing and counts nothing twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::feed::{Entry, Feed};
use super::follow::{Follower, Lines, Look, MAX_LINE, Position};
use super::health::{FileHealth, Health};
use super::wire::{BAD_TIME, WireLine};
use crate::clock::Clock;
use crate::ledger::ReadFile;

/// From look to look at a file that has nothing new.
const PAUSE: Duration = Duration::from_secs(1);
/// Bad lines of one reading that are named in the log; then they are only counted.
const NAMED: usize = 10;
/// From word to word about a file that takes long.
const PROGRESS: Duration = Duration::from_secs(10);

/// A line that is no message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it; nothing of what it says, which may be a secret.
    pub reason: String,
    /// When it was read.
    pub at: Timestamp,
}

/// What the position in a file is kept by.
pub fn key(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// Follows a file of message ids of an app, for ever.
pub async fn follow(
    feed: Arc<Feed>,
    health: Health,
    clock: Clock,
    app: String,
    path: PathBuf,
    position: Option<Position>,
) {
    let key = key(&path);
    let state = FileHealth { lines: position.as_ref().map_or(0, |position| position.lines), ..FileHealth::default() };
    tracing::info!(app, file = key, line = state.lines, "following a file of message ids");
    let mut task =
        Following { feed, health, clock, app, key, state, follower: Follower::new(path, position), run: None };
    task.show(None);
    loop {
        if !task.look().await {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

struct Following {
    feed: Arc<Feed>,
    health: Health,
    clock: Clock,
    app: String,
    key: String,
    state: FileHealth,
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
        let mut follower = std::mem::replace(&mut self.follower, Follower::new(PathBuf::new(), None));
        let looked = tokio::task::spawn_blocking(move || {
            let look = follower.look();
            (follower, look)
        });
        // A panic in there is a bug; what is not committed is read again by who starts anew.
        let Ok((follower, look)) = looked.await else {
            self.show(Some("following it failed; please report this as a bug".to_owned()));
            return std::future::pending().await;
        };
        self.follower = follower;
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
                    "the file that was being read is gone or was cut; ids behind that line are lost unless they come again"
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
        let Lines { lines, position } = lines;
        let mut entries = Vec::new();
        let mut bad = Vec::new();
        let at = self.clock.now();
        for (line, text) in &lines {
            match self.read(text.as_deref()) {
                Ok(entry) => entries.extend(entry),
                Err(reason) => bad.push(BadLine { line: *line, reason, at }),
            }
        }
        let bad_lines = i64::try_from(bad.len()).unwrap_or(i64::MAX);
        let new = loop {
            self.feed.wait_for_ledger().await;
            let read = ReadFile { path: self.key.clone(), position: position.clone(), bad_lines };
            match self.feed.register_read(&self.app, &entries, read).await {
                Ok(new) => break new,
                // The ledger says itself what is wrong with it.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        self.state.lines = position.lines;
        self.state.bad_lines += bad_lines;
        self.follower.advance(position);
        for BadLine { line, reason, .. } in bad.iter().take(NAMED) {
            tracing::warn!(app = self.app, file = self.key, line, reason, "a line that is no message id");
        }
        if let Some(more) = bad.len().checked_sub(NAMED).filter(|more| *more > 0) {
            tracing::warn!(app = self.app, file = self.key, count = more, "more lines that are no message ids");
        }
        self.state.last_bad_line = bad.pop().or(self.state.last_bad_line.take());
        self.show(None);
        let now = Instant::now();
        let run = self.run.get_or_insert(Run { started: now, said: now, lines: 0, new: 0 });
        run.lines += lines.len() as u64;
        run.new += new;
        if run.said.elapsed() >= PROGRESS {
            run.said = now;
            tracing::info!(app = self.app, file = self.key, lines = run.lines, new = run.new, "reading message ids");
        }
    }

    /// What a line says; nothing if it is empty.
    fn read(&self, line: Option<&[u8]>) -> Result<Option<Entry>, String> {
        let Some(line) = line else { return Err(format!("longer than {MAX_LINE} bytes")) };
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        // A file that was cut under its writer may begin with zeros.
        let line = line.trim_start_matches('\u{feff}').trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if line.is_empty() {
            return Ok(None);
        }
        let (id, sent_at) = if line.starts_with('{') {
            let WireLine { msg_id, sent_at } = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let sent_at = sent_at.map(|time| time.read().ok_or_else(|| BAD_TIME.to_owned()));
            (msg_id.into_text(), sent_at.transpose()?)
        } else {
            (line.to_owned(), None)
        };
        self.feed.check(&self.app, &id, sent_at).map(Some).map_err(|error| error.to_string())
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
        self.health.file(&self.app, &self.key, self.state.clone());
    }

    /// Says what a long run has brought.
    fn end_run(&mut self) {
        if let Some(run) = self.run.take().filter(|run| run.started.elapsed() >= PROGRESS) {
            tracing::info!(app = self.app, file = self.key, lines = run.lines, new = run.new, "read to its end");
        }
    }
}
