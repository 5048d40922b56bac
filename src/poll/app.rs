//! Path from the configuration to pollers: restores an app's state from the ledger, opens its account and prepares
//! its reports for polling.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;

use crate::exposition::{Sample, Update};
use crate::ledger::{AppKey, DueQuery, FileMark, LedgerError, StoredApp, StoredGauges, StoredReport};
use crate::messages::file_source;
use crate::messages::registry::{Board, MessageRegistry, Target, list_counters, message_counters};
use crate::metrics::catalog::Family;
use crate::poll::discovery_poll::DiscoveryPoll;
use crate::poll::list_poll::ListPoll;
use crate::poll::message_poll::{Assignment, MessagePoll};
use crate::poll::poller::{PollLoop, Poller};
use crate::poll::snapshot_poll::SnapshotPoll;
use crate::poll::window_poll::{WindowPoll, WindowSetup};
use crate::provider::client::{AccountClient, Client};
use crate::provider::config::{App, Config, UNFED};
use crate::provider::rate_limit::Priority;
use crate::provider::transport::Transport;
use crate::provider::{
    CounterSource, GaugeReport, ListReport, MessageReports, ReportContext, ReportSpec, WindowReport,
};
use crate::status::ReportId;
use crate::status::{Services, counters};
use crate::util::clock::Clock;
use crate::util::clock_guard::ClockGuard;

/// An app that is being started: it is configured, but its reports are not polled yet.
pub struct AppStart<'a> {
    app: &'a App,
    services: Services,
    report_context: ReportContext,
    messages: Option<MessageReports>,
    /// The report that counts by window, if messages are not the source.
    counting: Option<Box<dyn WindowReport>>,
    /// The report whose list brings messages, if that is the source.
    list: Option<Box<dyn ListReport>>,
    stored: StoredApp,
    board: Arc<Board>,
    account: Arc<AccountClient>,
    /// Time at which the app was registered in the ledger.
    registered: Instant,
}

/// Shows the sources of an app's message ids, and warns if it has none. They depend on more than its own settings.
pub(super) fn show_id_sources(app: &App, config: &Config, services: &Services) {
    let (provider, name) = (app.provider.name(), app.name.as_str());
    let Some(sources) = config.id_sources(app, &services.clock) else { return };
    // A list brings its messages itself.
    let takes_messages = app.account.counter_source(&app.report_context(&services.clock)).messages().is_some();
    services.status.app(provider, name, |status| {
        let was_unfed = std::mem::replace(&mut status.takes_messages, takes_messages) && status.id_sources.is_empty();
        if sources.is_empty() && !was_unfed {
            tracing::warn!(provider, app = name, "{UNFED}");
        }
        status.id_sources = sources;
    });
}

impl<'a> AppStart<'a> {
    /// Creates the start of an app, without any state from the ledger yet.
    pub fn new(app: &'a App, services: Services, account: Arc<AccountClient>) -> AppStart<'a> {
        let clock = Clock::of_account(Arc::clone(account.provider_time()));
        let services = Services { clock, ..services };
        let report_context = app.report_context(&services.clock);
        let board = Board::new(app.provider.name(), &app.name, services.exposition.clone(), services.status.clone());
        let (messages, counting, list) = match app.account.counter_source(&report_context) {
            CounterSource::Messages(messages) => (Some(messages), None, None),
            CounterSource::Windows(report) => (None, Some(report), None),
            CounterSource::List(report) => (None, None, report),
        };
        let (stored, board) = (StoredApp::default(), Arc::new(board));
        AppStart {
            app,
            services,
            report_context,
            messages,
            counting,
            list,
            stored,
            board,
            account,
            registered: Instant::now(),
        }
    }

    /// Returns the configuration of the app.
    pub fn app(&self) -> &'a App {
        self.app
    }

    /// Returns the client that all reports of the account share.
    pub fn account(&self) -> &Arc<AccountClient> {
        &self.account
    }

    /// Returns the services that the app's pollers use.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Returns the key by which the ledger identifies the app. `is_claimed` is true if this process is to own it.
    pub fn key(&self, is_claimed: bool) -> AppKey {
        AppKey {
            is_claimed,
            provider: self.app.provider.name(),
            name: self.app.name.clone(),
            account: self.app.account.id(),
            delivery: match (&self.messages, &self.list) {
                (Some(messages), _) => messages.delivery,
                (None, list) => list.as_ref().map(|list| list.spec().name),
            },
            counters: match (&self.messages, &self.list) {
                (Some(messages), _) => {
                    message_counters(!messages.files.is_empty(), &self.app.provider_id_sources(&self.report_context))
                }
                (None, Some(_)) => list_counters(),
                (None, None) => Vec::new(),
            },
        }
    }

    /// Returns what the ledger has stored for the app.
    pub fn stored(&self) -> &StoredApp {
        &self.stored
    }

    /// Shows the counters and messages that the ledger has stored for the app, unless another replica shows them.
    pub async fn show(&mut self, stored: StoredApp, config: &Config) {
        self.stored = stored;
        self.registered = Instant::now();
        if !self.stored.is_owned {
            return;
        }
        let name = (self.app.provider.name(), self.app.name.clone());
        let timezone = self.app.zone.iana_name().map(str::to_owned);
        self.services.status.app(name.0, &name.1, |status| status.timezone = timezone);
        let objective = self.app.objective.map(|millionths| millionths as f64 / 1e6);
        self.services.status.deliveries().add(name, &self.stored, objective);
        let series = std::mem::take(&mut self.stored.series);
        self.services.exposition.count(counters(&self.board.app_labels(), series, config.new_series_hold)).await;
        if let Some(value) = self.app.objective {
            let (app_labels, labels) = (self.board.app_labels(), String::new());
            let objective = Sample { family: Family::Objective, app_labels, labels, value, created: None };
            self.services.exposition.update(vec![Update::Set(objective)]).await;
        }
        if self.messages.is_some() || self.list.is_some() {
            self.board.show_last_new_ids(&self.stored.last_new_ids);
            self.board.show(self.stored.messages).await;
        }
        if self.stored.is_full {
            self.services.status.unknown_fields_full(self.app.provider.name(), &self.app.name).await;
        }
    }

    /// Returns the target for the message registry, or `None` if the app takes no messages.
    pub fn target(&self) -> Option<Target> {
        let messages = self.messages.as_ref()?;
        let report = messages.reports.iter().find(|report| Some(report.spec().name) == messages.delivery)?;
        Some(Target {
            app: self.stored.id,
            report: report.spec().name,
            schedule: report.schedule().clone(),
            id_format: messages.id_format,
            ids: messages.ids.clone(),
            files: messages.files.iter().map(|path| (path.clone(), self.marks(path))).collect(),
            board: self.stored.is_owned.then(|| Arc::clone(&self.board)),
            clock: self.services.clock.clone(),
            guard: parking_lot::Mutex::new(ClockGuard::new(&self.services.clock, self.stored.last_seen)),
        })
    }

    /// Returns the marks of a file, which record how far it has been read.
    fn marks(&self, path: &Path) -> Vec<FileMark> {
        let key = file_source::key(path);
        self.stored.files.iter().filter(|(path, _)| *path == key).map(|(_, mark)| mark.clone()).collect()
    }

    /// Prepares the app's reports for polling. `is_first` is true if the process starts with them: a report that is
    /// not due then still has the state that it had when the previous process ended.
    ///
    /// # Errors
    /// Fails if the ledger cannot be read.
    pub async fn open(
        self,
        config: &Config,
        transport: &Arc<dyn Transport>,
        registry: &Arc<MessageRegistry>,
        is_first: bool,
    ) -> Result<Vec<PollLoop>, LedgerError> {
        let AppStart { app, services, report_context, messages, counting, list, stored, board, account, registered } =
            self;
        if !stored.is_owned {
            return Ok(Vec::new());
        }
        // Where replicas share the apps, each counts the names that it was the first to see.
        let are_names_its_own = config.ledger.instance().is_none();
        let account = &account;
        let poller = async |spec: &ReportSpec, priority: Priority| {
            let ReportSpec { name, limit, .. } = *spec;
            let id = ReportId { provider: app.provider.name(), app: app.name.clone(), report: name };
            let names = stored.unknown.iter().find(|(of, _)| of == name && are_names_its_own);
            let names = names.map_or(0, |(_, count)| *count);
            services.status.remember_unknown(&id, names).await;
            Poller {
                id,
                app: stored.id,
                client: Client::new(Arc::clone(transport), account, name, limit, priority),
                account: Arc::clone(account),
                secrets: app.account.secrets(),
                hold: config.new_series_hold,
                quota_until: parking_lot::Mutex::default(),
                has_succeeded: AtomicBool::default(),
                is_first,
                bell: Arc::default(),
                known_since: stored.is_new.then_some(registered),
                services: services.clone(),
            }
        };
        let of_report = |name: &str| {
            let found = stored.reports.iter().find(|stored| stored.report == name).cloned();
            found.unwrap_or_else(|| StoredReport { report: name.to_owned(), ..StoredReport::default() })
        };
        let mut pollings = Vec::new();
        let mut window_reports: Vec<(Box<dyn WindowReport>, bool)> =
            counting.into_iter().map(|report| (report, true)).collect();
        let mut snapshots = Vec::new();
        for report in app.account.gauge_reports(&report_context) {
            match report {
                GaugeReport::Windows(report) => window_reports.push((report, false)),
                GaugeReport::Snapshot(report) => snapshots.push(report),
            }
        }
        for (report, counts) in window_reports {
            let spec = *report.spec();
            let poller = poller(&spec, Priority::First).await;
            let is_its = |gauges: &&StoredGauges| gauges.report == spec.name;
            let setup = WindowSetup {
                counts,
                zone: app.zone.clone(),
                max_age: config.max_age,
                stored: of_report(spec.name),
                gauges: stored.gauges.iter().filter(is_its).cloned().collect(),
                last_seen: stored.last_seen,
            };
            pollings.push(WindowPoll::ready(poller, report, setup).await.run());
        }
        for report in snapshots {
            let spec = *report.spec();
            let poller = poller(&spec, Priority::First).await;
            pollings.push(SnapshotPoll::ready(poller, report, of_report(spec.name)).await.run());
        }
        for report in app.account.discovery_reports(&report_context) {
            let spec = *report.spec();
            let poller = poller(&spec, Priority::Last).await;
            let ready = DiscoveryPoll::ready(poller, report, Arc::clone(registry), of_report(spec.name)).await;
            pollings.push(ready.run());
        }
        if let Some(report) = list {
            let spec = *report.spec();
            let poller = poller(&spec, Priority::Last).await;
            let (board, reported) = (Arc::clone(&board), of_report(spec.name));
            pollings.push(ListPoll::ready(poller, report, board, reported, stored.last_seen).await.run());
        }
        let Some(messages) = messages else { return Ok(pollings) };
        for report in messages.reports {
            let spec = *report.spec();
            let name = spec.name;
            let now = services.clock.now();
            let query = DueQuery { app: stored.id, report: name, now, batch: 0, calls: 0, under_way: HashSet::new() };
            let next = services.ledger.due_messages(query).await?.next;
            let is_current = messages.delivery == Some(name);
            // Messages stay with the report that first had a number for them.
            if is_current || next.is_some() {
                let poller = poller(&spec, Priority::Last).await;
                let standing = Assignment {
                    is_current,
                    newest: if is_current { messages.newest } else { 0 },
                    next,
                    was_ahead: stored.messages.newest.is_some_and(|newest| newest > services.clock.now()),
                    last_seen: stored.last_seen,
                };
                let board = Arc::clone(&board);
                let ready = MessagePoll::ready(poller, report, board, standing, of_report(name)).await;
                pollings.push(ready.run());
            }
        }
        Ok(pollings)
    }
}
