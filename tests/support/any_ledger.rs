//! The ledger of a test: a SQLite file, or a database of its own on the PostgreSQL server that `PUSH_EXPORTER_TEST_LEDGER`
//! names (`tests/postgres.sh`), so that the same tests hold for both.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use push_exporter::config::postgres_address::{PostgresAddress, ReplicaKeys};
use push_exporter::ledger::postgres::Postgres;
use push_exporter::ledger::sqlite::Sqlite;
use push_exporter::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, HourTotals, LedgerError, NewMessages, NewestQuery,
    Receipt, Reschedule, Store, StoredApp, TrackedMessage, TrackedQuery,
};
use push_exporter::model::reading::{SentMessage, SeriesId};
use push_exporter::util::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// The server that tests use in place of SQLite files: a URL without a database.
fn server() -> Option<String> {
    std::env::var("PUSH_EXPORTER_TEST_LEDGER").ok()
}

/// The address of the database of a folder, which is created if it is missing.
fn database(server: &str, folder: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let name = format!("test_{:016x}", hasher.finish());
    let admin = format!("{server}/postgres");
    let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
    let psql = |sql: &str| super::tool("psql", &[&admin, "-qAtc", sql], b"");
    if psql(&exists).stdout.is_empty() {
        let created = psql(&format!("CREATE DATABASE {name}"));
        assert!(created.status.success(), "{}", super::said(&created));
    }
    format!("{server}/{name}")
}

/// The line of a configuration that names the ledger of a folder; empty for the default, a SQLite file.
pub fn ledger_line(folder: &Path) -> String {
    let line = |server: String| format!("ledger: {}\nreplica: {{lease: 5s}}\n", database(&server, folder));
    server().map(line).unwrap_or_default()
}

/// A page of a program as it is on a SQLite file: without the label that replicas add.
pub fn without_instance(page: &str) -> String {
    if server().is_some() { page.replace(",instance=\"push-exporter\"", "") } else { page.to_owned() }
}

/// The keys of a replica.
pub fn replica(name: &str, lease: Duration) -> ReplicaKeys {
    ReplicaKeys { name: name.to_owned(), lease, instance: "fleet".to_owned() }
}

/// Opens the ledger of a folder.
pub fn open_store(folder: &Path) -> Box<dyn Store> {
    let Some(server) = server() else { return Box::new(Sqlite::open(&folder.join("push-exporter.db")).unwrap()) };
    let variable = |name: &str| std::env::var(name).ok();
    let address = database(&server, folder);
    let address = PostgresAddress::parse(&address, replica("test", Duration::from_secs(60)), variable).unwrap();
    Box::new(Elsewhere::open(address))
}

/// A PostgreSQL ledger in a runtime of its own. A test's own runtime has a paused clock, which would run on to the next time
/// limit while it waits for the server.
struct Elsewhere {
    /// Taken by the drop alone.
    runtime: Option<Arc<Runtime>>,
    store: Arc<Mutex<Postgres>>,
}

impl Elsewhere {
    fn open(address: PostgresAddress) -> Elsewhere {
        // Runtimes must not be started or dropped inside another.
        let opened = std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            let store = runtime.block_on(Postgres::open(&address)).unwrap();
            (runtime, store)
        });
        let (runtime, store) = opened.join().unwrap();
        Elsewhere { runtime: Some(Arc::new(runtime)), store: Arc::new(Mutex::new(store)) }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl for<'s> FnOnce(&'s mut Postgres) -> BoxFuture<'s, T> + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let (runtime, store) = (self.runtime.clone().unwrap(), Arc::clone(&self.store));
        Box::pin(async move {
            // A paused clock stands still while something blocks.
            tokio::task::spawn_blocking(move || runtime.block_on(async { work(&mut *store.lock().await).await }))
                .await
                .unwrap()
        })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // A runtime must not be dropped inside another.
        let runtime = self.runtime.take();
        std::thread::spawn(move || drop(runtime)).join().unwrap();
    }
}

type Answered<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

impl Store for Elsewhere {
    fn register(&mut self, apps: Vec<AppKey>, now: Timestamp) -> Answered<'_, Vec<StoredApp>> {
        self.run(move |store| store.register(apps, now))
    }
    fn commit(&mut self, commit: Commit) -> Answered<'_, Receipt> {
        self.run(move |store| store.commit(commit))
    }
    fn add_messages(&mut self, new: Vec<NewMessages>) -> Answered<'_, Vec<AddedMessages>> {
        self.run(move |store| store.add_messages(new))
    }
    fn due_messages(&mut self, query: DueQuery) -> Answered<'_, DueMessages> {
        self.run(move |store| store.due_messages(query))
    }
    fn tracked_messages(&mut self, query: TrackedQuery) -> Answered<'_, Vec<TrackedMessage>> {
        self.run(move |store| store.tracked_messages(query))
    }
    fn newest_messages(&mut self, query: NewestQuery) -> Answered<'_, Vec<SentMessage>> {
        self.run(move |store| store.newest_messages(query))
    }
    fn release(&mut self, series: Vec<SeriesId>) -> Answered<'_, ()> {
        self.run(move |store| store.release(series))
    }
    fn reschedule(&mut self, change: Reschedule) -> Answered<'_, ()> {
        self.run(move |store| store.reschedule(change))
    }
    fn upkeep(&mut self, app: AppId, now: Timestamp) -> Answered<'_, bool> {
        self.run(move |store| store.upkeep(app, now))
    }
    fn note_hour(&mut self, apps: Vec<AppId>, hour: i64) -> Answered<'_, Vec<HourTotals>> {
        self.run(move |store| store.note_hour(apps, hour))
    }
    fn probe(&mut self) -> Answered<'_, ()> {
        self.run(|store| store.probe())
    }
    fn check(&self) -> Answered<'static, ()> {
        Box::pin(async { Ok(()) })
    }
    fn size(&self) -> u64 {
        0
    }
    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.run(|store| store.close())
    }
}
