//! A ledger in SQLite that fails at a commit as a test says, for what no disk can be made to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use push_exporter::ledger::sqlite::Sqlite;
use push_exporter::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, HourTotals, LedgerError, NewMessages, NewestQuery,
    Receipt, Reschedule, Store, StoredApp, TrackedMessage, TrackedQuery,
};
use push_exporter::model::reading::{SentMessage, SeriesId};
use push_exporter::util::future::BoxFuture;
use tokio::sync::Semaphore;

type Answered<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// Why the commit of this number fails, from 1, if it does.
type Fails = fn(u32) -> Option<LedgerError>;

pub struct FailingLedger {
    inner: Sqlite,
    commits: u32,
    fails: Fails,
    /// Nothing works while this is set.
    is_down: Arc<AtomicBool>,
    /// Registrations wait until they are let through.
    gate: Option<Arc<Semaphore>>,
    /// An app that cannot be made known.
    refused: Option<&'static str>,
    /// Messages of apps that are being opened cannot be read.
    is_unreadable: bool,
}

impl FailingLedger {
    pub fn new(path: &Path, fails: Fails) -> FailingLedger {
        let inner = Sqlite::open(path).unwrap();
        FailingLedger {
            inner,
            commits: 0,
            fails,
            is_down: Arc::default(),
            gate: None,
            refused: None,
            is_unreadable: false,
        }
    }

    /// One that fails, without being down, when this app is to be made known.
    pub fn refusing(path: &Path, app: &'static str) -> FailingLedger {
        FailingLedger { refused: Some(app), ..FailingLedger::new(path, |_| None) }
    }

    /// One that works when the switch is off.
    pub fn switched(path: &Path, is_down: &Arc<AtomicBool>) -> FailingLedger {
        FailingLedger { is_down: Arc::clone(is_down), ..FailingLedger::new(path, |_| None) }
    }

    /// One that lets registrations of new ids wait at a gate.
    pub fn gated(path: &Path, gate: &Arc<Semaphore>) -> FailingLedger {
        FailingLedger { gate: Some(Arc::clone(gate)), ..FailingLedger::new(path, |_| None) }
    }

    /// One that fails, without being down, when an app with messages is opened.
    pub fn unreadable(path: &Path) -> FailingLedger {
        FailingLedger { is_unreadable: true, ..FailingLedger::new(path, |_| None) }
    }

    fn up(&mut self) -> Result<&mut Sqlite, LedgerError> {
        if self.is_down.load(Ordering::Relaxed) { Err(LedgerError::Down) } else { Ok(&mut self.inner) }
    }
}

/// Does it if the ledger works.
macro_rules! answer {
    ($self:ident.$operation:ident($($argument:ident),*)) => {
        match $self.up() {
            Ok(inner) => inner.$operation($($argument),*),
            Err(error) => Box::pin(async { Err(error) }),
        }
    };
}

impl Store for FailingLedger {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> Answered<'_, Vec<StoredApp>> {
        if apps.iter().any(|app| Some(app.name.as_str()) == self.refused) {
            return Box::pin(async { Err(LedgerError::Panicked) });
        }
        answer!(self.register(apps, now))
    }
    fn commit(&mut self, commit: Commit) -> Answered<'_, Receipt> {
        self.commits += 1;
        match (self.fails)(self.commits) {
            Some(error) => Box::pin(async { Err(error) }),
            None => answer!(self.commit(commit)),
        }
    }
    fn add_messages(&mut self, new: Vec<NewMessages>) -> Answered<'_, Vec<AddedMessages>> {
        let gate = self.gate.clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            answer!(self.add_messages(new)).await
        })
    }
    fn due_messages(&mut self, query: DueQuery) -> Answered<'_, DueMessages> {
        if self.is_unreadable && query.calls == 0 {
            return Box::pin(async { Err(LedgerError::Panicked) });
        }
        answer!(self.due_messages(query))
    }
    fn tracked_messages(&mut self, query: TrackedQuery) -> Answered<'_, Vec<TrackedMessage>> {
        answer!(self.tracked_messages(query))
    }
    fn newest_messages(&mut self, query: NewestQuery) -> Answered<'_, Vec<SentMessage>> {
        answer!(self.newest_messages(query))
    }
    fn release(&mut self, series: Vec<SeriesId>) -> Answered<'_, ()> {
        answer!(self.release(series))
    }
    fn reschedule(&mut self, change: Reschedule) -> Answered<'_, ()> {
        answer!(self.reschedule(change))
    }
    fn upkeep(&mut self, app: AppId, now: Timestamp) -> Answered<'_, bool> {
        answer!(self.upkeep(app, now))
    }
    fn note_hour(&mut self, apps: Vec<AppId>, hour: i64) -> Answered<'_, Vec<HourTotals>> {
        answer!(self.note_hour(apps, hour))
    }
    fn probe(&mut self) -> Answered<'_, ()> {
        answer!(self.probe())
    }
    fn check(&self) -> Answered<'static, ()> {
        self.inner.check()
    }
    fn size(&self) -> u64 {
        self.inner.size()
    }
}
