//! push-exporter: a Prometheus exporter for push-notification delivery.
//!
//! # The map
//!
//! ```text
//! config ─▶ poll::schedule ─▶ provider client ─▶ readings ─▶ ledger ─▶ page ─▶ web
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | YAML → typed settings, every error at once |
//! | [`provider`] | what a provider is; one folder each: wire types, field map, rhythm, errors |
//! | [`reading`] | numbers with the series they feed: where providers and ledger meet |
//! | [`window`] | days, weeks and months of a calendar |
//! | [`poll`] | when a report is due, one poll of it, its health |
//! | [`ledger`] | watermarks and totals on disk: readings in, counters out |
//! | [`page`] | the exposition, rendered in blocks before anyone asks |
//! | [`web`] | connections, routes, status page |
//! | [`simulator`] | the providers with true numbers, for the demo and the tests |
//! | [`clock`] | the one source of time |
//!
//! # One poll, from timer to page
//!
//! [`poll::runner::Poller`] sleeps until its report is due. It asks the report
//! ([`provider::Report::next`]) what to ask, and for each question: sends it within the budget
//! ([`provider::quota`]) with a cached token ([`provider::token`]), parses the answer into readings (the
//! provider's `readings.rs`), lets the report say what it means ([`provider::Report::digest`]: what
//! counts, what has closed, what is settled), and commits all of that in one transaction
//! ([`ledger::Ledger::commit`]). In the transaction, [`ledger::account`] turns each reading into what it
//! adds. Only what was committed goes to the [`page`], whose task renders the blocks that changed; a
//! scrape is served from those. Then [`poll::health`] notes how it went, and the report says when it is
//! due again.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod ledger;
pub mod page;
pub mod poll;
pub mod provider;
pub mod reading;
pub mod simulator;
pub mod web;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use clock::Clock;
use config::{App, Config};
use jiff::Timestamp;
use ledger::{AppKey, Ledger, LedgerError, Restored, SeriesTotal, Store, StoredReport};
use page::Page;
use page::own::OwnMetrics;
use poll::health::{Health, ReportId, owner};
use poll::runner::{Poller, Services, counters};
use provider::Surroundings;
use provider::http::{AccountClient, Client, Transport};
use provider::quota::Budget;
use web::routes::Site;

/// What the exporter is made of besides its configuration. Passed in, so that a test can run the whole
/// of it on a port of its own, in a paused runtime, against a transport and a ledger of its choice.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Where to serve.
    pub listeners: Vec<TcpListener>,
    /// The way to the providers.
    pub transport: Arc<dyn Transport>,
    /// The ledger's store.
    pub store: Box<dyn Store>,
    /// The path of the page.
    pub telemetry_path: String,
}

/// Why the exporter cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger is not usable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The registry is not usable.
    #[error("the exporter's own metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// How long pollers and the ledger may take to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the exporter until `stop`.
///
/// # Errors
/// A ledger that cannot be used, at the start or by the full check in the background.
pub async fn run(config: Config, parts: Parts, stop: CancellationToken) -> Result<(), RunError> {
    let Parts { clock, listeners, transport, store, telemetry_path } = parts;
    let metrics = OwnMetrics::new(&clock)?;
    metrics.config_loaded.set(clock.now().as_millisecond() as f64 / 1000.0);
    metrics.config_ok.set(1);
    let check = store.check();
    let (page, page_task) = Page::start(clock.clone());
    let (ledger, ledger_task) = Ledger::start(store, metrics.ledger.clone());
    let health = Health::new(page.clone());
    let services =
        Services { clock: clock.clone(), ledger, page: page.clone(), health, panics: metrics.task_panics.clone() };

    let keys = config.apps.iter().map(app_key).collect();
    let stored = services.ledger.register(keys, clock.now()).await?;
    let mut pollers = Vec::new();
    for (app, stored) in config.apps.iter().zip(stored) {
        pollers.extend(open(&config, app, stored, &transport, &services).await);
    }
    // The first scrape must be complete.
    page.flush().await;

    let tasks = TaskTracker::new();
    for poller in pollers {
        tasks.spawn(poller.run(stop.clone()));
    }
    tasks.close();
    let site = Site { page, metrics, health: services.health.clone(), clock, telemetry_path };
    drop(services);
    let web_stop = stop.child_token();
    let serving = web::serve(listeners, Arc::new(site), web_stop.clone());
    tokio::pin!(serving);
    let checked = tokio::select! {
        () = &mut serving => Ok(()),
        checked = wait_for_failure(check) => checked,
    };
    if checked.is_err() {
        stop.cancel();
        serving.await;
    }
    let _ = tokio::time::timeout(GRACE, async {
        tasks.wait().await;
        // The ledger's task writes what it has been given, then ends.
        let _ = ledger_task.await;
        page_task.abort();
    })
    .await;
    Ok(checked?)
}

/// Ends only if the check fails: a ledger that is damaged must not be counted on.
async fn wait_for_failure(check: impl Future<Output = Result<(), LedgerError>>) -> Result<(), LedgerError> {
    match check.await {
        Ok(()) => std::future::pending().await,
        Err(error @ LedgerError::Damaged { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(error = error.to_string(), "the ledger could not be checked");
            std::future::pending().await
        }
    }
}

fn app_key(app: &App) -> AppKey {
    AppKey { provider: app.provider.name(), name: app.name.clone(), account: app.account.id() }
}

/// A hold that ends later than it could have begun was written by a clock that was ahead; its series may
/// have shown their totals already.
fn unhold(mut series: Vec<SeriesTotal>, config: &Config, now: Timestamp) -> Vec<SeriesTotal> {
    let latest = now.saturating_add(config.new_series_hold).unwrap_or(now);
    for one in series.iter_mut().filter(|one| one.held_until > latest) {
        one.held_until = now;
    }
    series
}

/// Shows what is stored of an app and makes its reports ready.
async fn open(
    config: &Config,
    app: &App,
    stored: Restored,
    transport: &Arc<dyn Transport>,
    services: &Services,
) -> Vec<poll::runner::Restored> {
    let Restored { id: app_id, reports, series, gauges, unknown } = stored;
    let provider = app.provider.name();
    services.page.count(counters(&owner(provider, &app.name), unhold(series, config, services.clock.now()))).await;
    let surroundings =
        Surroundings { clock: services.clock.clone(), zone: app.zone.clone(), intervals: app.intervals.clone() };
    let scrubber = config::secret::Scrubber::default();
    let mut account = None;
    let mut opened = Vec::new();
    for report in app.account.open(&surroundings) {
        let account = Arc::clone(
            account.get_or_insert_with(|| Arc::new(AccountClient::new(Budget::new(report.limit()), scrubber.clone()))),
        );
        let name = report.name();
        let id = ReportId { provider, app: app.name.clone(), report: name };
        let names = unknown.iter().find(|(of, _)| of == name).map_or(0, |(_, count)| *count);
        services.health.unknown_names(&id, names).await;
        let poller = Poller {
            id,
            app: app_id,
            client: Client::new(Arc::clone(transport), &account),
            account,
            secrets: app.account.secrets(),
            zone: app.zone.clone(),
            hold: config.new_series_hold,
            max_age: config.max_age,
            services: services.clone(),
            report,
        };
        let stored = reports.iter().find(|stored| stored.report == name).cloned();
        let stored = stored.unwrap_or_else(|| StoredReport { report: name.to_owned(), ..StoredReport::default() });
        let of_report = gauges.iter().filter(|gauges| gauges.report == name).cloned().collect();
        opened.push(poller.restore(stored, of_report).await);
    }
    opened
}

/// An error with its causes, each once, separated by colons.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat a cause in their own text, or themselves in the cause's.
        let said = text.rsplit(": ").next().is_some_and(|last| cause_text.ends_with(last));
        if !said && !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
