//! A ledger in SQLite that fails at a commit as a test says, for what no disk can be made to do.

use std::path::Path;

use jiff::Timestamp;
use push_exporter::ledger::sqlite::Sqlite;
use push_exporter::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, LedgerError, NewMessages, NewestQuery, Receipt,
    Reschedule, Restored, Store,
};
use push_exporter::provider::BoxFuture;
use push_exporter::reading::SentMessage;

type Answered<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// Why the commit of this number fails, from 1, if it does.
type Fails = fn(u32) -> Option<LedgerError>;

pub struct Fragile {
    inner: Sqlite,
    commits: u32,
    fails: Fails,
}

impl Fragile {
    pub fn new(path: &Path, fails: Fails) -> Fragile {
        Fragile { inner: Sqlite::open(path).unwrap(), commits: 0, fails }
    }
}

impl Store for Fragile {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> Answered<'_, Vec<Restored>> {
        self.inner.register(apps, now)
    }
    fn commit(&mut self, commit: Commit) -> Answered<'_, Receipt> {
        self.commits += 1;
        match (self.fails)(self.commits) {
            Some(error) => Box::pin(async { Err(error) }),
            None => self.inner.commit(commit),
        }
    }
    fn add_messages(&mut self, new: Vec<NewMessages>) -> Answered<'_, Vec<AddedMessages>> {
        self.inner.add_messages(new)
    }
    fn due_messages(&mut self, query: DueQuery) -> Answered<'_, DueMessages> {
        self.inner.due_messages(query)
    }
    fn newest_messages(&mut self, query: NewestQuery) -> Answered<'_, Vec<SentMessage>> {
        self.inner.newest_messages(query)
    }
    fn reschedule(&mut self, change: Reschedule) -> Answered<'_, ()> {
        self.inner.reschedule(change)
    }
    fn upkeep(&mut self, app: AppId, now: Timestamp) -> Answered<'_, bool> {
        self.inner.upkeep(app, now)
    }
    fn probe(&mut self) -> Answered<'_, ()> {
        self.inner.probe()
    }
    fn check(&self) -> Answered<'static, ()> {
        self.inner.check()
    }
    fn size(&self) -> u64 {
        self.inner.size()
    }
}
