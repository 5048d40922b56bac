//! Replicas on one PostgreSQL ledger, in front of Easemobs whose numbers grow every second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;
use tokio::runtime::Runtime;

use crate::support::postgres::Server;
use crate::support::{Page, Program, eventually, fast_dir, simulate};

/// A PostgreSQL server and apps that replicas share.
pub struct Fleet {
    _runtime: Runtime,
    _easemobs: Vec<Arc<EasemobSimulator>>,
    pub server: Server,
    pub folder: tempfile::TempDir,
    /// The apps of the configuration.
    pub apps: String,
}

/// Seconds of a lease: the least that is allowed.
pub const LEASE: u64 = 5;

impl Fleet {
    /// A fleet of this many Easemob apps: `app0`, `app1`, …
    pub fn of(count: usize) -> Fleet {
        let runtime = Runtime::new().unwrap();
        let (mut easemobs, mut apps) = (Vec::new(), "easemob:\n".to_owned());
        for number in 0..count {
            let name = format!("app{number}");
            let app = EasemobApp { step: 1, history: 0, per_day: 1_000_000.0, ..EasemobApp::demo("acme", &name) };
            let (easemob, address) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
            easemobs.push(easemob);
            apps += &format!(
                "  - {{app: {name}, base_url: 'http://{address}', org_name: acme, app_name: {name}, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret, interval: 2s}}\n"
            );
        }
        Fleet { _runtime: runtime, _easemobs: easemobs, server: Server::start(), folder: fast_dir(), apps }
    }

    /// A fleet on this server, whose apps a test brings itself.
    pub fn on(server: Server) -> Fleet {
        let (_runtime, _easemobs) = (Runtime::new().unwrap(), Vec::new());
        Fleet { _runtime, _easemobs, server, folder: fast_dir(), apps: String::new() }
    }

    /// Starts a replica.
    pub fn start(&self, name: &str) -> Program {
        self.start_with(name, &self.apps, &self.server.url("push", "push"))
    }

    /// Starts a replica with another configuration or another address of the database.
    pub fn start_with(&self, name: &str, apps: &str, ledger: &str) -> Program {
        let file = self.folder.path().join(format!("{name}.yml"));
        let keys = format!("replica: {{name: {name}, lease: {LEASE}s, instance: fleet}}\nnew_series_hold: 0s\n");
        std::fs::write(&file, format!("ledger: {ledger}\n{keys}{apps}")).unwrap();
        let arguments = ["--config.file", file.to_str().unwrap(), "--web.enable-lifecycle"];
        Program::try_start(&arguments, &[("PGPASSWORD", "hunter2")]).expect("it ended at once")
    }
}

/// The apps on a page: those of which a report has a due time.
pub fn apps_of(page: &Page) -> BTreeSet<String> {
    let series = page.starting(&["push_poll_due_timestamp_seconds"]);
    let app = |name: &String| name.split("app=\"").nth(1)?.split('"').next().map(str::to_owned);
    series.keys().filter_map(app).collect()
}

/// All apps on the pages of these replicas, none of them twice: one that was handed over between two scrapes has left the
/// page on which it was seen first.
#[track_caller]
pub fn all_apps(replicas: &[&Program]) -> BTreeMap<String, usize> {
    let apps = |index: usize| replicas[index].try_scrape().map(|page| apps_of(&page)).unwrap_or_default();
    let mut owners = BTreeMap::new();
    for index in 0..replicas.len() {
        for app in apps(index) {
            if let Some(earlier) = owners.insert(app.clone(), index) {
                assert!(!apps(earlier).contains(&app), "{app} is on two pages");
            }
        }
    }
    owners
}

/// Waits until these replicas show so many apps, each of them at least this many.
#[track_caller]
pub fn shared(replicas: &[&Program], count: usize, least: usize) -> BTreeMap<String, usize> {
    eventually("all apps to be shown", 60, || {
        let owners = all_apps(replicas);
        let of = |index: usize| owners.values().filter(|owner| **owner == index).count();
        (owners.len() == count && (0..replicas.len()).all(|index| of(index) >= least)).then_some(owners)
    })
}

/// The delivery counters on all pages.
pub fn counters(replicas: &[&Program]) -> BTreeMap<String, i64> {
    replicas.iter().flat_map(|replica| replica.try_scrape().unwrap().counters()).collect()
}
