//! `push-exporter check`: validation of the configuration, then one query of every report with the real credentials,
//! and a table of the results with advice for the failures. Writes to no ledger, so it can run beside a running exporter; with a
//! PostgreSQL ledger it says which replica owns what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::commands::cli::{Check, Flags};
use crate::commands::{CommandFailure, serve};
use crate::config::postgres_address::LedgerAddress;
use crate::ledger::last_new_ids::{LastNewIds, last_new_ids};
use crate::ledger::postgres::owners::{Owners, owners};
use crate::model::advice::{Advice, Language};
use crate::model::reading::SentMessage;
use crate::provider::client::{AccountClient, Client};
use crate::provider::config::{App, Config, UNFED};
use crate::provider::error::TransportError;
use crate::provider::error::{ProviderError, Reason};
use crate::provider::rate_limit::{Priority, Rate};
use crate::provider::transport::Transport;
use crate::provider::{
    CounterSource, DiscoveryReport, EarlierQueries, GaugeReport, ListPage, ListReport, ListStart, MessageQuery,
    MessageReport, ReportSpec, ReportState, SnapshotReport, WindowAnswer, WindowNumbers, WindowQuery, WindowReport,
};
use crate::util::clock::{Clock, format_age};
use crate::util::supervise::joined;
use crate::web::config::ConfigReading;

/// Maximum number of concurrent queries.
const AT_ONCE: usize = 16;
/// Interval between progress logs while answers are pending.
const PROGRESS: Duration = Duration::from_secs(5);
/// Time limit of a query, including its wait for the rate limit.
const LONGEST: Duration = Duration::from_secs(90);
/// Advice after a check in which everything works.
const AFTERWARDS: &str = "\nA running exporter retries failing reports at once after kill -HUP or, with \
                          --web.enable-lifecycle, POST /-/poll.\n";
/// Maximum number of queries for a page of a list.
const PAGE_TRIES: u32 = 5;
/// Message id to query if the configuration names none.
const MADE_UP: &str = "1";

/// Checks the configuration and, without `--offline`, every report.
///
/// # Errors
/// Fails if the configuration is invalid (exit code 2) or if a report fails (1).
pub(crate) fn run(flags: &Flags, options: &Check) -> Result<(), CommandFailure> {
    let (file, config) = serve::load(flags)?;
    let clock = Clock::system();
    let asked: Vec<ReportQuery> = config.apps.iter().flat_map(|app| queries(app, &clock)).collect();
    let (apps, reports) = (config.apps.len(), asked.len());
    super::print(&format!("{}: the configuration is valid; apps: {apps}, reports: {reports}\n", file.display()))?;
    if let Some(file) = &flags.web_config_file {
        ConfigReading::of(file).result.map_err(|errors| CommandFailure::Usage(errors.to_string()))?;
        super::print(&format!("{}: the web configuration is valid\n", file.display()))?;
    }
    for app in &config.apps {
        if config.id_sources(app, &clock).is_some_and(|ways| ways.is_empty()) {
            let (file, provider, name) = (file.display(), app.provider.name(), &app.name);
            super::print(&format!("{file}: {provider} {name}: warning: {UNFED}\n"))?;
        }
    }
    let transport = serve::connect(&config)?;
    if options.offline {
        return Ok(());
    }
    super::block_on(async {
        let rows = query_all(asked, &transport, &clock).await;
        let language = Language::of_terminal(|name| std::env::var(name).ok());
        super::print(&format!("\n{}", table(&rows, language)))?;
        let newest = last_new_ids(&config.ledger).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = error.to_string(),
                "cannot read the ledger, so it is not known when ids last arrived"
            );
            LastNewIds::new()
        });
        super::print(&id_table(&config, &newest, &clock))?;
        if let LedgerAddress::Postgres(address) = &config.ledger {
            let owners = owners(address).await.map_err(anyhow::Error::from)?;
            super::print(&format!("\n{}", owner_table(&config.apps, &owners)))?;
        }
        match rows.iter().filter(|row| matches!(row.result, CheckResult::Fails(_))).count() {
            0 => Ok(super::print(AFTERWARDS)?),
            failed => Err(anyhow!("{failed} of {} reports failed", rows.len()).into()),
        }
    })
}

/// One query of a report.
struct ReportQuery {
    /// Name of the provider, for the table.
    provider: &'static str,
    app: String,
    zone: TimeZone,
    account: Arc<AccountClient>,
    spec: ReportSpec,
    kind: ReportKind,
}

/// A report and its query, by kind of report.
enum ReportKind {
    Window(Box<dyn WindowReport>, Option<WindowQuery>),
    Moment(Box<dyn SnapshotReport>, SentMessage),
    Message(Box<dyn MessageReport>, MessageQuery),
    Discovery(Box<dyn DiscoveryReport>),
    List(Box<dyn ListReport>),
}

/// A row of the table.
struct CheckRow {
    provider: &'static str,
    app: String,
    report: &'static str,
    result: CheckResult,
    quota: String,
}

/// Result of a query.
enum CheckResult {
    /// The report was answered; the age of the data as text.
    Works(String),
    /// There was nothing to query at this time.
    NotAsked,
    /// The query failed.
    Fails(FailureText),
}

/// Description of a failure, without secrets.
struct FailureText {
    reason: &'static str,
    message: String,
    advice: Advice,
}

/// Returns the queries of an app: the first query of each of its reports.
fn queries(app: &App, clock: &Clock) -> Vec<ReportQuery> {
    let report_context = app.report_context(clock);
    let account = Arc::new(AccountClient::new(clock));
    for secret in app.account.secrets() {
        account.scrubber().learn(&secret.current());
    }
    let report_query = |spec, kind| ReportQuery {
        provider: app.provider.name(),
        app: app.name.clone(),
        zone: app.zone.clone(),
        account: Arc::clone(&account),
        spec,
        kind,
    };
    let source = app.account.counter_source(&report_context);
    let (messages, counting, list) = match source {
        CounterSource::Messages(messages) => (Some(messages), None, None),
        CounterSource::Windows(report) => (None, Some(GaugeReport::Windows(report)), None),
        CounterSource::List(report) => (None, None, report),
    };
    let id = messages.as_ref().and_then(|messages| messages.ids.last().cloned());
    let id = id.unwrap_or_else(|| MADE_UP.to_owned());
    let mut queries = Vec::new();
    for report in counting.into_iter().chain(app.account.gauge_reports(&report_context)) {
        queries.push(match report {
            GaugeReport::Windows(report) => {
                let query = report.next(clock.now(), &ReportState::default(), &EarlierQueries::default());
                report_query(*report.spec(), ReportKind::Window(report, query))
            }
            GaugeReport::Snapshot(report) => {
                let message = SentMessage { id: id.clone(), sent_at: clock.now() };
                report_query(*report.spec(), ReportKind::Moment(report, message))
            }
        });
    }
    for report in app.account.discovery_reports(&report_context) {
        queries.push(report_query(*report.spec(), ReportKind::Discovery(report)));
    }
    queries.extend(list.map(|report| report_query(*report.spec(), ReportKind::List(report))));
    let delivery = messages
        .and_then(|messages| messages.reports.into_iter().find(|report| Some(report.spec().name) == messages.delivery));
    if let Some(report) = delivery {
        let message = MessageQuery { id, shape: String::new(), is_young: false };
        queries.push(report_query(*report.spec(), ReportKind::Message(report, message)));
    }
    queries
}

/// Runs all queries concurrently; returns the rows in the order of the queries.
async fn query_all(queries: Vec<ReportQuery>, transport: &Arc<dyn Transport>, clock: &Clock) -> Vec<CheckRow> {
    let count = queries.len();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (index, report_query) in queries.into_iter().enumerate() {
        let (transport, clock, places) = (Arc::clone(transport), clock.clone(), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (index, report_query.answer(transport, &clock).await)
        });
    }
    let mut rows: Vec<(usize, CheckRow)> = Vec::new();
    let mut progress = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    loop {
        tokio::select! {
            answered = tasks.join_next() => match answered {
                // Propagates a panic, since a report must not be missing from the table silently.
                Some(row) => rows.extend(joined(row)),
                None => break,
            },
            _ = progress.tick() => tracing::info!(answered = rows.len(), of = count, "waiting for answers"),
        }
    }
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

impl ReportQuery {
    async fn answer(self, transport: Arc<dyn Transport>, clock: &Clock) -> CheckRow {
        let ReportQuery { provider, app, zone, account, spec, kind } = self;
        let ReportSpec { name: report, limit, .. } = spec;
        let client = Client::new(transport, &account, report, limit, Priority::First);
        let answered = tokio::time::timeout(LONGEST, kind.query(&client, &zone, clock)).await;
        let result = match answered.unwrap_or(Err(TransportError::Timeout.into())) {
            Ok(Some(format_age)) => CheckResult::Works(format_age),
            Ok(None) => CheckResult::NotAsked,
            Err(error) => CheckResult::Fails(FailureText {
                reason: error.reason().name(),
                message: account.in_words(&error),
                advice: error.advice(),
            }),
        };
        let quota = account.take_rate(limit.api).map_or_else(|| NOTHING.to_owned(), quota);
        CheckRow { provider, app, report, result, quota }
    }
}

/// Placeholder of an empty cell of the table.
const NOTHING: &str = "-";

impl ReportKind {
    /// Queries once and returns the age of the data; `None` if there is nothing to query.
    async fn query(&self, client: &Client, zone: &TimeZone, clock: &Clock) -> Result<Option<String>, ProviderError> {
        match self {
            ReportKind::Window(_, None) => Ok(None),
            ReportKind::Window(report, Some(query)) => {
                let answer = report.query(query, client).await?;
                // The newest window may have no data yet; the window before it is more informative.
                let asked = EarlierQueries { queries: vec![query.clone()], ..EarlierQueries::default() };
                let other = report.next(clock.now(), &ReportState::default(), &asked);
                if let (WindowAnswer::NoData, Some(other)) = (&answer, &other) {
                    let earlier = report.query(other, client).await?;
                    return Ok(Some(data_age(&earlier, other, zone, clock.now())));
                }
                Ok(Some(data_age(&answer, query, zone, clock.now())))
            }
            ReportKind::Moment(report, message) => {
                let Some(query) = report.queries(std::slice::from_ref(message)).into_iter().next() else {
                    return Ok(None);
                };
                match report.query(&query, client).await {
                    Ok(_) if query.message.is_none() || message.id != MADE_UP => Ok(Some(NOW.to_owned())),
                    Ok(_) => Ok(Some(no_numbers(&message.id))),
                    Err(error) if error.reason() == Reason::BadRequest && report.if_refused(&query).is_some() => {
                        Ok(Some(refused(&message.id)))
                    }
                    Err(error) => Err(error),
                }
            }
            ReportKind::Discovery(report) => {
                let found = report.list(1, client).await?;
                let more = if found.pages > 1 { " and more" } else { "" };
                Ok(Some(format!("{NOW} ({}{more} listed)", found.origins.len())))
            }
            ReportKind::List(report) => {
                let since = clock.now().checked_sub(report.schedule().end()).unwrap_or(Timestamp::MIN);
                let page = first_page(&**report, &ListStart::SentAt(since), client).await?;
                Ok(Some(match page.messages.len() {
                    0 => "no messages".to_owned(),
                    count => format!("{NOW} ({count} messages on the first page)"),
                }))
            }
            ReportKind::Message(report, message) => match report.query(std::slice::from_ref(message), client).await {
                Ok(numbers) if numbers.messages.iter().any(|found| !found.readings.is_empty()) => {
                    Ok(Some(NOW.to_owned()))
                }
                Ok(_) => Ok(Some(no_numbers(&message.id))),
                // A provider that rejects the id has accepted the credentials.
                Err(error) if report.blames_an_id(&error) => Ok(Some(refused(&message.id))),
                Err(error) => Err(error),
            },
        }
    }
}

/// Queries a page. A list has so small a rate limit that a running exporter may just have used it up: then it is queried
/// again.
async fn first_page(report: &dyn ListReport, from: &ListStart, client: &Client) -> Result<ListPage, ProviderError> {
    let mut tries = 1;
    loop {
        match report.query(from, client).await {
            Err(error) if error.reason() == Reason::RateLimited && tries < PAGE_TRIES => {
                client.rate_limiter().block(error.reset());
                tries += 1;
            }
            answer => return answer,
        }
    }
}

const NOW: &str = "current";

fn no_numbers(id: &str) -> String {
    unless_made_up(id, format!("no numbers for message {id}"))
}

fn refused(id: &str) -> String {
    unless_made_up(id, format!("message {id} is refused"))
}

/// Hides the made-up id, which no configuration names.
fn unless_made_up(id: &str, text: String) -> String {
    if id == MADE_UP { "no message to query".to_owned() } else { text }
}

/// Returns the age and the window of the newest numbers of an answer.
fn data_age(answer: &WindowAnswer, query: &WindowQuery, zone: &TimeZone, now: Timestamp) -> String {
    let newest = match answer {
        WindowAnswer::Numbers(WindowNumbers { windows, .. }) => windows
            .iter()
            .filter(|found| !found.readings.is_empty() || !found.users.is_empty())
            .map(|found| found.window)
            .max(),
        WindowAnswer::NoData | WindowAnswer::Lost => None,
    };
    match newest {
        None => format!("no numbers for {}", query.last.key()),
        Some(window) if window.end(zone) > now => format!("{NOW} ({})", window.key()),
        Some(window) => format!("{} ({})", format_age(now, window.end(zone)), window.key()),
    }
}

fn quota(rate: Rate) -> String {
    match (rate.remaining, rate.limit) {
        (Some(remaining), Some(limit)) => format!("{remaining} of {limit}"),
        (Some(remaining), None) => remaining.to_string(),
        (None, Some(limit)) => format!("limit {limit}"),
        (None, None) => NOTHING.to_owned(),
    }
}

/// Formats the rows in columns, with the error and the advice, in `language`, below each failed report.
fn table(rows: &[CheckRow], language: Language) -> String {
    let cells = |row: &CheckRow| {
        let (result, format_age) = match &row.result {
            CheckResult::Works(format_age) => ("works", format_age.as_str()),
            CheckResult::NotAsked => ("not queried", "nothing to query now"),
            CheckResult::Fails(told) => (told.reason, NOTHING),
        };
        [row.provider, &row.app, row.report, result, format_age, &row.quota].map(str::to_owned)
    };
    let head = ["PROVIDER", "APP", "REPORT", "RESULT", "DATA AGE", "QUOTA LEFT"].map(str::to_owned);
    let mut lines = columns([head].into_iter().chain(rows.iter().map(cells)).collect()).into_iter();
    let mut text = lines.next().unwrap_or_default();
    for (row, line) in rows.iter().zip(lines) {
        text += &line;
        if let CheckResult::Fails(FailureText { message, advice, .. }) = &row.result {
            text += &format!("    {message}\n    {}\n", advice.text(language));
        }
    }
    text
}

/// Formats the live replicas and the owner of each app.
fn owner_table(apps: &[App], owners: &Owners) -> String {
    let replicas = if owners.replicas.is_empty() { "none is running".to_owned() } else { owners.replicas.join(", ") };
    let owner = |app: &App| {
        let owner = owners.apps.get(&(app.provider.name().to_owned(), app.name.clone()));
        [app.provider.name(), &app.name, owner.map_or(NOTHING, String::as_str)].map(str::to_owned)
    };
    let head = ["PROVIDER", "APP", "OWNER"].map(str::to_owned);
    let lines = columns([head].into_iter().chain(apps.iter().map(owner)).collect());
    format!("Replicas: {replicas}\n{}", lines.concat())
}

/// Formats the sources of message ids, and when each last brought a new one; empty if no app takes any.
fn id_table(config: &Config, newest: &LastNewIds, clock: &Clock) -> String {
    let mut rows = Vec::new();
    for app in &config.apps {
        let known = newest.get(&(app.provider.name().to_owned(), app.name.clone()));
        for source in config.id_sources(app, clock).unwrap_or_default() {
            let last =
                known.and_then(|known| known.get(&source)).map(|at| format!("{} ago", format_age(clock.now(), *at)));
            let last = last.unwrap_or_else(|| NOTHING.to_owned());
            rows.push([app.provider.name().to_owned(), app.name.clone(), source.title().to_owned(), last]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let head = ["PROVIDER", "APP", "MESSAGE IDS FROM", "LAST NEW ONE"].map(str::to_owned);
    format!("\n{}", columns([head].into_iter().chain(rows).collect()).concat())
}

/// Formats rows as lines with aligned columns.
fn columns<const N: usize>(rows: Vec<[String; N]>) -> Vec<String> {
    let width =
        |column: usize| rows.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |cells: &[String; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
