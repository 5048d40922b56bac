//! What is fuzzed: for each kind of input one function that takes any bytes, has the program read them as it does
//! in earnest, and asserts what must hold of whatever comes out. The fuzz binaries include this file, and so does
//! `tests/suite/operations/fuzz_seeds.rs`, which replays the seeds and finds.
//!
//! An input of a provider's target is a script: in the first line the report to poll, then answers with a line of
//! dashes between them, each of a status, headers, an empty line and a body. Where there are tokens, the first
//! answer is that of the token's endpoint; the last is given again and again. An input of the message API or of the
//! headers is a request in the same form.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::Read;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use jiff::Timestamp;
use push_exporter::config::ConfigErrors;
use push_exporter::config::yaml::{self, Value};
use push_exporter::exporter::reload::Reload;
use push_exporter::exposition::Exposition;
use push_exporter::ledger::{
    AddedMessages, AppId, AppKey, Commit, DueMessages, DueQuery, HourTotals, Ledger, LedgerError, MessageState,
    NewMessage, NewMessages, NewestQuery, Receipt, Reschedule, Store, StoredApp, TrackedMessage, TrackedQuery,
};
use push_exporter::messages::registry::MessageRegistry;
use push_exporter::messages::tail;
use push_exporter::metrics::help::HelpTexts;
use push_exporter::metrics::self_metrics::SelfMetrics;
use push_exporter::model::reading::{GaugeReading, Label, Reading, SentMessage, SeriesId};
use push_exporter::poll::app::AppStart;
use push_exporter::provider::client::{AccountClient, Client};
use push_exporter::provider::config::{self, App, Config};
use push_exporter::provider::error::TransportError;
use push_exporter::provider::error::{ProviderError, Reason, shorten};
use push_exporter::provider::rate_limit::Priority;
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::provider::transport::{Reply, Transport};
use push_exporter::provider::{
    CounterSource, DiscoveryReport, EarlierQueries, FoundMessage, GaugeReport, ListPage, ListReport, ListStart,
    Listing, MessageNumbers, MessageQuery, MessageReport, Origin, ReportState, SnapshotNumbers, SnapshotReport,
    WindowAnswer, WindowReport,
};
use push_exporter::status::Services;
use push_exporter::status::Status;
use push_exporter::util::clock::Clock;
use push_exporter::util::clock_guard::ClockReading;
use push_exporter::util::future::BoxFuture;
use push_exporter::util::lease::Lease;
use push_exporter::web::Options;
use push_exporter::web::config as web_config;
use push_exporter::web::config::WebConfig;
use push_exporter::web::message_api::{MessageApi, Tokens};
use push_exporter::web::routes::{AppState, Router};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

/// A target by its name, which is that of its binary and of its folders of seeds and finds.
pub type Target = fn(&[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 11] = [
    ("configuration", configuration),
    ("easemob_answers", easemob_answers),
    ("engagelab_answers", engagelab_answers),
    ("feishu_answers", feishu_answers),
    ("getui_answers", getui_answers),
    ("jpush_answers", jpush_answers),
    ("message_api", message_api),
    ("message_files", message_files),
    ("onesignal_answers", onesignal_answers),
    ("request_headers", request_headers),
    ("web_configuration", web_configuration),
];

/// Stands for a secret; no text for people may hold it.
const SECRET: &str = "pLanted-s3cret";
/// When everything here happens: half past twelve in Shanghai.
const NOW: &str = "2024-04-02T04:30:00Z";

const ACCOUNTS: &str = "message_api: {token: pLanted-s3cret}
easemob:
  - {app: chat, base_url: 'http://easemob', org_name: o, app_name: a, client_id: i, client_secret: pLanted-s3cret}
  - {app: parts, base_url: 'http://easemob', org_name: o, app_name: b, app_token: pLanted-s3cret, platforms: [APNS, HONOR, VIVOPUSH]}
engagelab:
  - {app: abroad, base_url: 'http://engagelab', app_key: key, master_secret: pLanted-s3cret, users: [day], discover: [plans]}
feishu:
  - {app: bot, base_url: 'http://feishu', app_id: cli_1, app_secret: pLanted-s3cret, departments: [od-1]}
getui:
  - {app: days, base_url: 'http://getui/v2', app_id: a1, app_key: k, master_secret: pLanted-s3cret, users: [day], vendor_quota: true}
  - {app: tasks, base_url: 'http://getui/v2', app_id: a2, app_key: k, master_secret: pLanted-s3cret, delivery: push_task}
jpush:
  - {app: shop, app_key: key, master_secret: pLanted-s3cret, users: [hour, day, month], test_devices: [a1, b2, c3], vendor_quota: true, discover: [schedules]}
  - {app: group, group_key: key, group_master_secret: pLanted-s3cret, users: [hour, day]}
  - {app: quiet, app_key: other, master_secret: pLanted-s3cret, delivery: none}
onesignal:
  - {app: game, app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c, api_key: pLanted-s3cret}
  - {app: paid, app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62d, api_key: pLanted-s3cret, confirmed_delivery: true}
";

/// The configuration whose accounts are polled and whose apps take messages.
fn accounts() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let parsed = config::parse("accounts.yml", ACCOUNTS, Path::new(""), &HashMap::new(), PROVIDERS);
        parsed.unwrap_or_else(|errors| panic!("{errors}"))
    })
}

/// A text in the form of an HTTP message. What is not of the form is left away.
struct Message<'a> {
    first: String,
    headers: HeaderMap,
    body: &'a [u8],
}

impl Message<'_> {
    fn read(text: &[u8]) -> Message<'_> {
        let (head, body) = split_at(text, b"\n\n").unwrap_or((text, b""));
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| split_at(line, b": ")) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                let _ = headers.try_append(name, value);
            }
        }
        Message { first, headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn split_at<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).position(|window| window == by)?;
    Some((&text[..at], &text[at + by.len()..]))
}

/// A runtime whose time jumps to whatever is waited for.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

thread_local! {
    /// The one of this thread, which is never dropped: a thread that ends has no time for it.
    static RUNTIME: &'static Runtime = Box::leak(Box::new(runtime()));
    static EXPORTER: &'static Exporter = Box::leak(Box::new(Exporter::start()));
}

/// What a provider answers, and how often it was asked.
struct Script {
    token: Option<Result<Reply, ()>>,
    answers: Vec<Result<Reply, ()>>,
    answered: AtomicUsize,
    earlier: AtomicUsize,
}

impl Script {
    fn read(mut text: &[u8], has_token: bool) -> Script {
        let mut answers = Vec::new();
        while let Some((answer, rest)) = split_at(text, b"\n----\n") {
            answers.push(Script::answer(answer));
            text = rest;
        }
        answers.push(Script::answer(text));
        let token = (has_token && answers.len() > 1).then(|| answers.remove(0));
        Script { token, answers, answered: AtomicUsize::new(0), earlier: AtomicUsize::new(0) }
    }

    /// Without a status there is no answer.
    fn answer(text: &[u8]) -> Result<Reply, ()> {
        let message = Message::read(text);
        let status = message.first.parse().ok().and_then(|status| StatusCode::from_u16(status).ok()).ok_or(())?;
        Ok(Reply { status, headers: message.headers, body: message.body.to_vec() })
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        self.earlier.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path();
        let is_for_token = path.contains("token") || path.ends_with("/auth");
        let answer = match &self.token {
            Some(token) if is_for_token => Some(token),
            _ => self.answers.get(self.answered.fetch_add(1, Ordering::Relaxed)).or(self.answers.last()),
        };
        let answer = answer.and_then(|answer| answer.clone().ok()).ok_or(TransportError::Timeout);
        Box::pin(async move { answer })
    }
}

/// A report of whatever kind.
enum Polled {
    Windows(Box<dyn WindowReport>),
    Messages(Box<dyn MessageReport>),
    Moment(Box<dyn SnapshotReport>),
    Discovery(Box<dyn DiscoveryReport>),
    List(Box<dyn ListReport>),
}

/// What came of a question.
#[derive(Debug, PartialEq)]
enum Outcome {
    Windows(WindowAnswer),
    Messages(MessageNumbers),
    Moment(SnapshotNumbers),
    Origins(Listing),
    Found(Vec<FoundMessage>),
    List(ListPage, MessageNumbers),
    PollFailure(String),
}

/// The answers of JPush to each of its reports.
pub fn jpush_answers(script: &[u8]) {
    answers("jpush", script);
}

/// The answers of Easemob, of its token endpoint too.
pub fn easemob_answers(script: &[u8]) {
    answers("easemob", script);
}

/// The answers of EngageLab to each of its reports.
pub fn engagelab_answers(script: &[u8]) {
    answers("engagelab", script);
}

/// The answers of Feishu, of its token endpoint too.
pub fn feishu_answers(script: &[u8]) {
    answers("feishu", script);
}

/// The answers of Getui to each of its reports, of its token endpoint too.
pub fn getui_answers(script: &[u8]) {
    answers("getui", script);
}

/// The answers of OneSignal.
pub fn onesignal_answers(script: &[u8]) {
    answers("onesignal", script);
}

fn answers(provider: &str, script: &[u8]) {
    let once = RUNTIME.with(|runtime| runtime.block_on(poll(provider, script)));
    let again = RUNTIME.with(|runtime| runtime.block_on(poll(provider, script)));
    assert_eq!(once, again, "the same answers are read in two ways");
}

/// Polls the report that the script names as its first line says, or else one that depends on it.
async fn poll(provider: &str, script: &[u8]) -> Vec<Outcome> {
    let (name, script) = split_at(script, b"\n").unwrap_or((script, b""));
    let clock = Clock::following_tokio(NOW.parse().expect("a time"));
    let mut reports = Vec::new();
    for app in accounts().apps.iter().filter(|app| app.provider.name() == provider) {
        reports.extend(reports_of(app, &clock).into_iter().map(|(name, report)| (name, app, report)));
    }
    let named = reports.iter().position(|(full, ..)| full.as_bytes() == name);
    let index = named.unwrap_or_else(|| name.iter().map(|byte| usize::from(*byte)).sum::<usize>() % reports.len());
    let (_, app, report) = reports.swap_remove(index);
    let size = script.len();
    let script = Arc::new(Script::read(script, ["easemob", "feishu"].contains(&provider)));
    let account = AccountClient::new(&clock);
    app.account.secrets().iter().for_each(|secret| account.scrubber().learn(&secret.current()));
    let limit = match &report {
        Polled::Windows(report) => report.spec().limit,
        Polled::Messages(report) => report.spec().limit,
        Polled::Moment(report) => report.spec().limit,
        Polled::Discovery(report) => report.spec().limit,
        Polled::List(report) => report.spec().limit,
    };
    let client = Client::new(Arc::clone(&script) as Arc<dyn Transport>, &account, "fuzzed", limit, Priority::First);
    let started = tokio::time::Instant::now();
    let outcomes = match report {
        Polled::Windows(report) => poll_windows(&*report, &client, &clock).await,
        Polled::Messages(report) => poll_messages(&*report, &client).await,
        Polled::Moment(report) => poll_moment(&*report, &client).await,
        Polled::Discovery(report) => discover(&*report, &client).await,
        Polled::List(report) => poll_list(&*report, &client).await,
    };
    // A question may be asked again with a new token, and takes no longer than the longest pause each time.
    let requests = script.earlier.load(Ordering::Relaxed);
    assert!(requests <= outcomes.len() * 12, "{requests} requests for {} questions", outcomes.len());
    assert!(started.elapsed() <= Duration::from_secs(3700) * 12 * 5, "waited for {:?}", started.elapsed());
    for outcome in &outcomes {
        Findings::of(outcome).check(size);
        if let Outcome::PollFailure(text) = outcome {
            let shown = account.scrubber().scrub(text);
            assert!(!shown.contains(SECRET), "a secret is told: {shown}");
        }
    }
    outcomes
}

/// The reports of an app, each with the app's name and its own.
fn reports_of(app: &App, clock: &Clock) -> Vec<(String, Polled)> {
    let context = app.report_context(clock);
    let mut reports = Vec::new();
    let mut add = |name: &str, report| reports.push((format!("{} {name}", app.name), report));
    for report in app.account.gauge_reports(&context) {
        match report {
            GaugeReport::Windows(report) => add(report.spec().name, Polled::Windows(report)),
            GaugeReport::Snapshot(report) => add(report.spec().name, Polled::Moment(report)),
        }
    }
    for report in app.account.discovery_reports(&context) {
        add(report.spec().name, Polled::Discovery(report));
    }
    match app.account.counter_source(&context) {
        CounterSource::Windows(report) => add(report.spec().name, Polled::Windows(report)),
        CounterSource::Messages(messages) => {
            for report in messages.reports {
                add(report.spec().name, Polled::Messages(report));
            }
        }
        CounterSource::List(Some(report)) => add(report.spec().name, Polled::List(report)),
        CounterSource::List(None) => {}
    }
    reports
}

async fn poll_windows(report: &dyn WindowReport, client: &Client, clock: &Clock) -> Vec<Outcome> {
    let (mut earlier, mut outcomes) = (EarlierQueries::default(), Vec::new());
    let mut state = ReportState::default();
    while earlier.queries.len() < 5
        && let Some(query) = report.next(clock.now(), &state, &earlier)
    {
        match report.query(&query, client).await {
            Ok(answer) => {
                let update = report.interpret(ClockReading::sure(clock.now()), &query, answer.clone(), &state);
                state = update.state;
                let windows = state.windows.len();
                assert!(windows <= 2000, "{windows} windows are remembered");
                let written = serde_json::to_string(&state).expect("a memory can be written");
                assert_eq!(state, serde_json::from_str(&written).expect("a memory can be read"));
                outcomes.push(Outcome::Windows(answer));
            }
            Err(error) => outcomes.push(failure(&error)),
        }
        earlier.queries.push(query);
    }
    assert!(report.next_due(clock.now(), &state) > clock.now(), "a poll is due that was just made");
    outcomes
}

/// Asks twice: the second time each message has the shape that it got from the first answer.
async fn poll_messages(report: &dyn MessageReport, client: &Client) -> Vec<Outcome> {
    let ids = ["1613113584", "1229760629", "269978303", "123456789", "RASL_1128_a1", "bsp54sn8bpn8hc3etq40"];
    let mut earlier = ids.map(|id| MessageQuery { id: id.to_owned(), shape: String::new(), is_young: false });
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        match report.query(&earlier, client).await {
            Ok(numbers) => {
                let mut seen = HashSet::new();
                for message in &numbers.messages {
                    let is_id = (1..=64).contains(&message.id.len())
                        && message.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
                    assert!(is_id && seen.insert(&message.id), "{:?} is no id, or comes twice", message.id);
                    assert!(message.shape.len() <= 4096, "a shape of {} bytes", message.shape.len());
                    if let Some(earlier) = earlier.iter_mut().find(|earlier| earlier.id == message.id) {
                        let first = |shape: &str| shape.split(' ').next().map(str::to_owned);
                        let is_same = earlier.shape.is_empty() || first(&earlier.shape) == first(&message.shape);
                        assert!(is_same, "read as {:?}, then as {:?}", earlier.shape, message.shape);
                        earlier.shape.clone_from(&message.shape);
                    }
                }
                outcomes.push(Outcome::Messages(numbers));
            }
            Err(error) => {
                report.blames_an_id(&error);
                outcomes.push(failure(&error));
            }
        }
    }
    outcomes
}

async fn poll_moment(report: &dyn SnapshotReport, client: &Client) -> Vec<Outcome> {
    let sent = SentMessage { id: "1613113584".to_owned(), sent_at: NOW.parse().expect("a time") };
    let mut outcomes = Vec::new();
    for query in report.queries(&[sent]) {
        outcomes.push(match report.query(&query, client).await {
            Ok(numbers) => Outcome::Moment(numbers),
            Err(error) => failure(&error),
        });
    }
    outcomes
}

/// Asks for a page, then for the messages of what is on it, or of something that is known from before.
async fn discover(report: &dyn DiscoveryReport, client: &Client) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let known = Origin { id: "autumn_sale".to_owned(), category: Some("sale".to_owned()) };
    let mut origins = vec![known];
    match report.list(1, client).await {
        Ok(listing) => {
            origins.extend(listing.origins.iter().take(2).cloned());
            outcomes.push(Outcome::Origins(listing));
        }
        Err(error) => outcomes.push(failure(&error)),
    }
    for origin in &origins {
        outcomes.push(match report.messages(origin, client).await {
            Ok(found) => Outcome::Found(found.messages),
            Err(error) => failure(&error),
        });
    }
    outcomes
}

/// Walks through a few pages; each message is read twice, the second time with the shape that it got first.
async fn poll_list(report: &dyn ListReport, client: &Client) -> Vec<Outcome> {
    let mut start = ListStart::SentAt(NOW.parse().expect("a time"));
    let (mut outcomes, mut memory) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = match report.query(&start, client).await {
            Ok(page) => page,
            Err(error) => {
                outcomes.push(failure(&error));
                break;
            }
        };
        assert!(page.messages.len() <= 1000, "a page of {} messages", page.messages.len());
        assert!(page.next.iter().all(|next| !next.is_empty() && next.len() <= 1024), "{:?}", page.next);
        assert!(page.messages.is_empty() || page.reach.is_some_and(|(first, last)| first <= last));
        let ids: HashSet<&str> = page.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids.len(), page.messages.len(), "a message comes twice");
        let query =
            |id: &str, shape: &str| MessageQuery { id: id.to_owned(), shape: shape.to_owned(), is_young: false };
        let asked = page.messages.iter().map(|message| (message.clone(), query(&message.id, "")));
        let numbers = report.read(&asked.collect::<Vec<_>>(), &mut memory);
        assert_eq!(numbers.messages.len(), page.messages.len());
        let shaped = page.messages.iter().zip(&numbers.messages);
        let asked = shaped.map(|(message, first)| (message.clone(), query(&message.id, &first.shape)));
        let again = report.read(&asked.collect::<Vec<_>>(), &mut memory);
        assert_eq!(numbers.messages, again.messages, "the same message is read in two ways");
        assert!(memory.len() <= 64, "a memory of {} bytes", memory.len());
        let next = page.next.clone();
        outcomes.push(Outcome::List(page, numbers));
        match next {
            Some(next) => start = ListStart::Cursor(next),
            None => break,
        }
    }
    outcomes
}

/// A failure as it is told, but for the secrets that are taken out of it.
fn failure(error: &ProviderError) -> Outcome {
    assert!(Reason::ALL.contains(&error.reason()));
    assert!(!error.advice().en.is_empty() && !error.advice().zh.is_empty());
    let (_, _, _) = (error.reset(), error.log_id(), error.ends_the_poll());
    let text = push_exporter::util::error::error_chain(error);
    assert!(shorten(&text).chars().count() <= 301);
    Outcome::PollFailure(text)
}

/// What was read, in all.
#[derive(Default)]
struct Findings {
    numbers: usize,
    /// The bytes of paths and names.
    names: usize,
}

impl Findings {
    fn of(outcome: &Outcome) -> Findings {
        let mut found = Findings::default();
        match outcome {
            Outcome::Windows(WindowAnswer::Numbers(numbers)) => {
                for window in &numbers.windows {
                    let fields: HashSet<&str> = window.readings.iter().map(|reading| reading.field.as_str()).collect();
                    assert_eq!(fields.len(), window.readings.len(), "a field of a window comes twice");
                    window.readings.iter().for_each(|reading| found.reading(reading));
                    window.users_reached.iter().for_each(|users| found.number(*users));
                    for users in &window.users {
                        found.number(users.value);
                        found.label(&users.platform);
                    }
                }
                found.unknown(&numbers.unknown);
            }
            Outcome::Messages(numbers) => found.messages(numbers),
            Outcome::List(page, numbers) => {
                found.messages(numbers);
                found.unknown(&page.unknown);
            }
            Outcome::Moment(numbers) => {
                numbers.gauges.iter().for_each(|gauge| found.gauge(gauge));
                found.unknown(&numbers.unknown);
            }
            Outcome::Origins(listing) => {
                assert!(listing.origins.iter().all(|origin| !origin.id.is_empty()));
                let labels = listing.origins.iter().filter_map(|origin| origin.category.as_ref());
                labels.for_each(|category| assert!((1..=32).contains(&category.len()), "{category}"));
                found.numbers += listing.origins.len();
                found.names += listing.origins.iter().map(|origin| origin.id.len()).sum::<usize>();
            }
            Outcome::Found(messages) => {
                assert!(messages.iter().all(|message| !message.id.is_empty()));
                found.numbers += messages.len();
                found.names += messages.iter().map(|message| message.id.len()).sum::<usize>();
            }
            Outcome::Windows(WindowAnswer::NoData | WindowAnswer::Lost) | Outcome::PollFailure(_) => {}
        }
        found
    }

    fn messages(&mut self, numbers: &MessageNumbers) {
        numbers.messages.iter().flat_map(|message| &message.readings).for_each(|reading| self.reading(reading));
        self.unknown(&numbers.unknown);
    }

    fn reading(&mut self, Reading { field, series, value }: &Reading) {
        self.names += field.len();
        self.number(*value);
        [&series.platform, &series.channel, &series.kind].into_iter().for_each(|label| self.label(label));
    }

    fn gauge(&mut self, GaugeReading { labels, value, .. }: &GaugeReading) {
        self.number(*value);
        labels.iter().for_each(|(_, label)| self.label(label));
    }

    fn number(&mut self, value: i64) {
        assert!(value >= 0, "{value} is no count");
        self.numbers += 1;
    }

    fn label(&mut self, label: &Label) {
        let text = label.as_str();
        let is_fit = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(is_fit, "{text:?} is no label");
    }

    fn unknown(&mut self, unknown: &[String]) {
        self.names += unknown.iter().map(String::len).sum::<usize>();
    }

    /// What comes out grows with what was answered, and not with its square. A number takes a byte at least, and is
    /// asked for in at most three calls; eleven are told of nothing.
    fn check(&self, size: usize) {
        assert!(self.numbers <= 3 * size + 11, "{} numbers of {size} bytes", self.numbers);
        assert!(self.names <= 64 * size + 4096, "{} bytes of names of {size} bytes", self.names);
    }
}

/// A text that may be a configuration.
pub fn configuration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    // What is named in a configuration is read; these have no end.
    if text.contains("/dev/") || text.contains("/proc/") {
        return;
    }
    let environment =
        HashMap::from([("SECRET", SECRET), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into())));
    let errors = match config::parse("config.yml", text, Path::new("nowhere"), &environment, PROVIDERS) {
        Ok(config) => {
            assert!(!config.apps.is_empty(), "no app, and no error");
            let mut names = HashSet::new();
            for app in &config.apps {
                assert!(names.insert(&app.name) && !app.name.is_empty(), "{:?} is no name of one app", app.name);
                assert!(app.intervals.values().all(|interval| *interval >= Duration::from_secs(1)));
                let secrets = app.account.secrets();
                assert!(!secrets.is_empty() && !format!("{secrets:?} {:?}", config.message_token).contains(SECRET));
            }
            return;
        }
        Err(errors) => errors,
    };
    check_errors(text, &errors);
}

/// A text that may be a web configuration.
pub fn web_configuration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if text.contains("/dev/") || text.contains("/proc/") {
        return;
    }
    match web_config::parse("web.yml", text, Path::new("nowhere")) {
        Ok(WebConfig { tls, headers, rate_limit, .. }) => {
            assert!(tls.is_none() || text.contains("PRIVATE KEY"), "TLS out of nothing");
            assert!(headers.len() <= 5, "{headers:?}");
            assert!(rate_limit.is_none_or(|limit| !limit.interval.is_zero()));
        }
        Err(errors) => check_errors(text, &errors),
    }
}

/// What holds of all that is said of a configuration.
fn check_errors(text: &str, errors: &ConfigErrors) {
    // YAML ends a line in three ways.
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let lines: Vec<&str> = plain.split(['\n', '\r']).collect();
    assert!(!errors.errors().is_empty(), "refused without an error");
    assert!(errors.errors().is_sorted_by_key(|error| error.place), "not in the order of the file");
    for error in errors.errors() {
        let place = error.place;
        assert!((1..=lines.len() + 1).contains(&place.line), "{place:?} of {} lines: {error:?}", lines.len());
        let line = lines.get(place.line - 1).copied().unwrap_or_default();
        assert!((1..=line.chars().count() + 1).contains(&place.column), "{place:?} in {line:?}: {error:?}");
        assert!(!error.message.is_empty());
    }
    let told = errors.to_string();
    assert_eq!(told.lines().count(), errors.errors().len(), "an error has more than one line:\n{told}");
    assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "what a terminal obeys: {told:?}");
    assert!(told.len() <= 256 * text.len() + 4096, "{} bytes of errors of {} bytes", told.len(), text.len());
    let is_elsewhere = matches!(yaml::parse(text), Ok(Some(root)) if tells_secret(&root.value));
    assert!(is_elsewhere || !told.contains(SECRET), "a secret is told: {told}");
}

/// Whether the secret stands where it is none: names of keys and of files are repeated.
fn tells_secret(value: &Value) -> bool {
    const KEYS: [&str; 6] =
        ["app_secret", "app_token", "client_secret", "group_master_secret", "master_secret", "token"];
    match value {
        Value::Nothing => false,
        Value::Text { text, .. } => text.contains(SECRET),
        Value::List(items) => items.iter().any(|item| tells_secret(&item.value)),
        Value::Map(pairs) => pairs.iter().any(|(_, name, node)| match &node.value {
            // The name of a variable is told.
            Value::Text { text, .. } if KEYS.contains(&name.as_str()) => {
                text.starts_with("${") && text.contains(SECRET)
            }
            _ if KEYS.contains(&name.as_str()) => false,
            value => name.contains(SECRET) || tells_secret(value),
        }),
    }
}

/// Bytes of a file of message ids.
pub fn message_files(chunk: &[u8]) {
    let registry = EXPORTER.with(|exporter| Arc::clone(&exporter.registry));
    let (lines, taken) = tail::split(chunk, 1);
    assert!(taken <= chunk.len() && lines.len() <= chunk.len());
    let given: Vec<&[u8]> = chunk[..taken].split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(given.len(), lines.len(), "lines are lost or made up");
    // Wherever a chunk begins, the lines are the same.
    let half = given.iter().take(given.len() / 2).map(|line| line.len()).sum::<usize>();
    let (mut first, _) = tail::split(&chunk[..half], 1);
    first.extend(tail::split(&chunk[half..taken], first.len() as u64 + 1).0);
    assert_eq!(first, lines, "the lines depend on how the file is read");
    for (line, given) in lines.iter().zip(given) {
        match push_exporter::messages::file_source::read_line(&registry, "shop", line) {
            Ok(entries) => {
                for entry in entries {
                    assert_eq!(entry.app, "shop");
                    assert!(is_message_id(&entry.id), "{:?} is no id", entry.id);
                }
            }
            Err(reason) => {
                assert!(!reason.is_empty() && reason.len() <= 200, "{} bytes: {reason}", reason.len());
                assert!(!reason.contains(char::is_control), "{reason:?}");
                // What it says may be a secret: neither a word nor a number of it is repeated.
                let says = |word: &str| String::from_utf8_lossy(given).contains(word) && reason.contains(word);
                assert!(!says(SECRET), "a secret is told: {reason}");
                let numbers = reason.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() > 5);
                assert_eq!(numbers.collect::<Vec<_>>(), [""; 0], "{reason}");
            }
        }
    }
}

/// Digits that fit 64 bits, without leading zeros.
fn is_message_id(id: &str) -> bool {
    id.parse::<u64>().is_ok_and(|number| number.to_string() == id)
}

/// What the web server needs, in memory.
struct Exporter {
    runtime: Runtime,
    clock: Clock,
    site: Router,
    registry: Arc<MessageRegistry>,
    kept: Arc<Kept>,
}

impl Exporter {
    fn start() -> Exporter {
        let runtime = runtime();
        let (clock, site, registry, kept) = runtime.block_on(async {
            let config = accounts();
            let clock = Clock::following_tokio(NOW.parse().expect("a time"));
            let metrics = SelfMetrics::new(clock.now()).expect("metrics");
            let (page, ..) = Exposition::start(clock.now(), HelpTexts::default(), None, Lease::forever());
            let kept = Arc::new(Kept::default());
            let (ledger, _) = Ledger::start(Box::new(Notebook(Arc::clone(&kept))), metrics.ledger.clone());
            let (status, panics) = (Status::new(page.clone()), metrics.task_panics.clone());
            let registry = Arc::new(MessageRegistry::new(clock.clone(), ledger.clone(), Arc::clone(status.activity())));
            let tasks = TaskTracker::new();
            let (exposition, lease) = (page.clone(), Lease::forever());
            let services = Services { clock: clock.clone(), ledger, exposition, status, lease, panics, tasks };
            let mut targets = BTreeMap::new();
            for app in &config.apps {
                let mut opening = AppStart::new(app, services.clone(), Arc::new(AccountClient::new(&clock)));
                opening.show(StoredApp { is_owned: true, ..StoredApp::default() }, config).await;
                targets.extend(opening.target().map(|target| (app.name.clone(), Arc::new(target))));
            }
            registry.set_targets(targets, config.apps.iter().map(|app| app.name.clone()).collect()).await;
            page.flush().await;
            let messages = MessageApi::new(tokio::sync::watch::channel(Tokens::of(config)).1, Arc::clone(&registry));
            let (status, reloader) = (services.status.clone(), Reload::never().reloader());
            let began = clock.now();
            let content = AppState {
                providers: PROVIDERS,
                exposition: page,
                metrics,
                status,
                clock: clock.clone(),
                began,
                messages,
                reloader,
            };
            let site = Router::new(content, Options::default());
            (clock, site, registry, kept)
        });
        Exporter { runtime, clock, site, registry, kept }
    }
}

/// A ledger that keeps what it was given last, or fails.
struct Notebook(Arc<Kept>);

#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<NewMessage>>,
    fails: AtomicBool,
}

impl Store for Notebook {
    fn register(&mut self, _: Vec<AppKey>, _: Timestamp) -> BoxFuture<'_, Result<Vec<StoredApp>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn commit(&mut self, _: Commit) -> BoxFuture<'_, Result<Receipt, LedgerError>> {
        Box::pin(async { Ok(Receipt::default()) })
    }

    fn add_messages(&mut self, new: Vec<NewMessages>) -> BoxFuture<'_, Result<Vec<AddedMessages>, LedgerError>> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Box::pin(async { Err(LedgerError::Down) });
        }
        let mut added = Vec::new();
        for NewMessages { messages, .. } in new {
            let new = messages.len() as i64;
            added.push(AddedMessages {
                new,
                series: Vec::new(),
                state: MessageState::default(),
                last_new_ids: Vec::new(),
            });
            self.0.messages.lock().expect("no panic").extend(messages);
        }
        Box::pin(async { Ok(added) })
    }

    fn due_messages(&mut self, _: DueQuery) -> BoxFuture<'_, Result<DueMessages, LedgerError>> {
        Box::pin(async { Ok(DueMessages::default()) })
    }

    fn tracked_messages(&mut self, _: TrackedQuery) -> BoxFuture<'_, Result<Vec<TrackedMessage>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn newest_messages(&mut self, _: NewestQuery) -> BoxFuture<'_, Result<Vec<SentMessage>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn reschedule(&mut self, _: Reschedule) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn upkeep(&mut self, _: AppId, _: Timestamp) -> BoxFuture<'_, Result<bool, LedgerError>> {
        Box::pin(async { Ok(false) })
    }

    fn note_hour(&mut self, _: Vec<AppId>, _: i64) -> BoxFuture<'_, Result<Vec<HourTotals>, LedgerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn release(&mut self, _: Vec<SeriesId>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn size(&self) -> u64 {
        0
    }
}

/// A body that comes in two pieces. With `x-body: cut` it breaks off, with `x-body: silent` it never ends.
struct Pieces {
    pieces: VecDeque<Bytes>,
    end: Option<String>,
    length: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.pieces.pop_front(), self.end.as_deref()) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, Some("cut")) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            (None, Some("silent")) => Poll::Pending,
            (None, _) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.length);
        hint
    }
}

/// What was answered.
struct Answered {
    method: Method,
    path: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// What the ledger was given.
    kept: Vec<NewMessage>,
    at: Timestamp,
}

impl Exporter {
    /// Answers a request, which is a `POST` of messages where its first line is no request's.
    fn query(&self, request: &Message<'_>) -> Answered {
        let mut first = request.first.split(' ');
        let method = first.next().and_then(|method| Method::from_bytes(method.as_bytes()).ok()).unwrap_or(Method::POST);
        let uri = first.next().and_then(|uri| uri.parse::<Uri>().ok());
        let uri = uri.unwrap_or_else(|| Uri::from_static("/api/v1/messages"));
        let path = uri.path().to_owned();
        let (front, back) = request.body.split_at(request.body.len() / 2);
        let pieces = [front, back].map(Bytes::copy_from_slice).into();
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        let body = Pieces {
            pieces,
            end: request.header("x-body").map(str::to_owned),
            length: length.unwrap_or(request.body.len() as u64),
        };
        let mut http = Request::new(body);
        *http.method_mut() = method.clone();
        *http.uri_mut() = uri;
        *http.headers_mut() = request.headers.clone();
        let fails = request.header("x-ledger") == Some("fails");
        self.kept.messages.lock().expect("no panic").clear();
        self.runtime.block_on(async {
            self.kept.fails.store(fails, Ordering::Relaxed);
            let (head, body) = self.site.answer_alone(http).await.into_parts();
            self.kept.fails.store(false, Ordering::Relaxed);
            self.registry.wait_for_ledger().await;
            let body = body.collect().await.expect("a body").to_bytes();
            let kept = std::mem::take(&mut *self.kept.messages.lock().expect("no panic"));
            let at = self.clock.now();
            Answered { method, path, status: head.status, headers: head.headers, body, kept, at }
        })
    }
}

/// A request to the message API.
pub fn message_api(request: &[u8]) {
    let request = Message::read(request);
    EXPORTER.with(|exporter| {
        let answered = exporter.query(&request);
        let status = answered.status.as_u16();
        if answered.path != "/api/v1/messages" {
            return check_page(&answered);
        }
        assert_eq!(exporter.query(&request).status, status, "the same request is answered in two ways");
        assert!([200, 400, 401, 405, 408, 413, 415, 503].contains(&status), "{status}");
        if status == 405 {
            assert!(answered.method != Method::POST && answered.headers[header::ALLOW] == "POST");
            return;
        }
        assert_eq!(answered.headers[header::CONTENT_TYPE], "application/json");
        assert!(answered.body.len() <= 2048, "{} bytes of an answer", answered.body.len());
        let json: serde_json::Value = serde_json::from_slice(&answered.body).expect("an answer is JSON");
        let kept = answered.kept.len() as u64;
        if status == 200 {
            let (received, new) = (json["received"].as_u64(), json["new"].as_u64());
            assert!(new == Some(kept) && received >= new, "{json}, and {kept} were kept");
            assert!(received <= Some(request.body.len() as u64 / 16), "{json}");
            for message in &answered.kept {
                assert!((1..=64).contains(&message.id.len()), "{:?} is no id", message.id);
                assert!(message.sent_at <= answered.at, "sent in the future");
            }
            return;
        }
        assert_eq!(kept, 0, "{status}, and messages were kept");
        let error = json["error"].as_str().unwrap_or_default();
        let says_it_itself = split_at(request.body, SECRET.as_bytes()).is_some();
        assert!(!error.is_empty() && (says_it_itself || !error.contains(SECRET)), "{json}");
        let has_index = json["index"].is_u64();
        assert_eq!(has_index, status == 400 && error != "the body was cut short", "{json}");
        assert_eq!(answered.headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
        assert_eq!(answered.headers.contains_key(header::RETRY_AFTER), status == 503);
    });
}

/// A request of a browser or a scraper, of which the headers are negotiated.
pub fn request_headers(request: &[u8]) {
    let mut request = Message::read(request);
    if !request.first.contains(' ') {
        request.first = "GET /metrics".to_owned();
    }
    EXPORTER.with(|exporter| {
        let answered = exporter.query(&request);
        let codings: Vec<_> = request.headers.get_all(header::ACCEPT_ENCODING).iter().collect();
        let names_gzip = |value: &&HeaderValue| {
            let value = value.as_bytes().to_ascii_lowercase();
            value.contains(&b'*') || split_at(&value, b"gzip").is_some()
        };
        let is_zipped = answered.headers.contains_key(header::CONTENT_ENCODING);
        assert!(!is_zipped || codings.iter().any(names_gzip), "gzip for {codings:?}");
        let is_wanted = codings.first().is_some_and(|first| *first == "gzip");
        let is_page = answered.path == "/metrics" && answered.method == Method::GET;
        assert!(is_zipped || !is_wanted || !is_page, "no gzip for {codings:?}");
        let accepts = |name: &[u8]| {
            let values = request.headers.get_all(header::ACCEPT);
            values.iter().any(|value| split_at(&value.as_bytes().to_ascii_lowercase(), name).is_some())
        };
        let is_openmetrics = answered
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/openmetrics"));
        assert!(!is_openmetrics || accepts(b"application/") || accepts(b"*/*"), "OpenMetrics for who did not ask");
        check_page(&answered);
    });
}

/// What holds of every answer but those of the message API.
fn check_page(answered: &Answered) {
    let status = answered.status.as_u16();
    let is_known = [200, 302, 400, 401, 403, 404, 405, 408, 413, 415, 503].contains(&status);
    assert!(is_known, "{status} for {} {}", answered.method, answered.path);
    assert_eq!(answered.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    if answered.method == Method::HEAD {
        let length = answered.headers[header::CONTENT_LENGTH].to_str().map(str::parse::<u64>);
        assert!(answered.body.is_empty() && matches!(length, Ok(Ok(_))));
        return;
    }
    let is_page = answered.path == "/metrics" && status == 200;
    let is_zipped = answered.headers.contains_key(header::CONTENT_ENCODING);
    let mut text = answered.body.to_vec();
    if is_zipped {
        assert!(["/", "/metrics", "/api/v1/status"].contains(&answered.path.as_str()), "{} by gzip", answered.path);
        text.clear();
        flate2::read::GzDecoder::new(&answered.body[..]).read_to_end(&mut text).expect("gzip");
    }
    let text = String::from_utf8(text).expect("text");
    if is_page {
        assert!(text.ends_with('\n') && text.contains("push_exporter_build_info"), "{text}");
        let content_type = answered.headers[header::CONTENT_TYPE].to_str().expect("a content type");
        let is_openmetrics = content_type.starts_with("application/openmetrics-text; version=");
        assert!(is_openmetrics || content_type == "text/plain; version=0.0.4; charset=utf-8", "{content_type}");
        assert_eq!(text.ends_with("\n# EOF\n"), is_openmetrics);
        assert_eq!(text.contains("push_exporter_task_panics_created "), is_openmetrics);
    }
}
