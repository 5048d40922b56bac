//! The status page and its JSON: every app with its reports, its state, and advice. Both are made from the same
//! [`Status`], so they cannot differ; `docs/status.schema.json` describes the JSON.

mod deliveries;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::advice::{Advice, Language};
use crate::provider::Providers;
use crate::provider::error::Reason;
use crate::status::{
    AppStatus, ChannelDeliveries, ChannelState, FileStatus, Health, OtherApp, PastFailure, Reconciled, ReportId,
    ReportStatus, Status,
};
use crate::util::clock::{SKEWED, format_age};
use crate::web::Options;
use crate::web::senders::{CALLBACK, SenderError};
use crate::web::status::deliveries::{BadChannel, ChannelView, Channels};

/// Advice for an app that takes messages but has never had one registered.
const NONE_REGISTERED: Advice = Advice {
    en: "no message was ever registered; have senders POST to /api/v1/messages, name messages: {files: […]} of the app, or run push-exporter messages add",
    zh: "从未登记过消息：让发送方 POST 到 /api/v1/messages，或为该应用配置 messages: {files: […]}，或运行 push-exporter messages add",
};
/// Status line of an app whose provider has sent more unknown names than are remembered.
const FIELDS_FULL: Advice = Advice {
    en: "too many; further ones are not counted. Names in the documents are still counted; see the log for the names",
    zh: "数量过多，超出部分不再计数；服务商文档中列出的名称仍会计数，未知名称见日志",
};
/// Number of apps above which the page has the channels of an app only if something is wrong with it: a page of many megabytes
/// would be read by nobody. The JSON has all of them.
const CHANNELS_OF_ALL: usize = 100;
/// Maximum number of time zones that are named of a provider.
const ZONES_NAMED: usize = 3;
/// Number of apps from which the page has a search field and shows each working app on one line.
const MANY: usize = 10;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    version: &'static str,
    /// Language tag of the advice.
    advice_tag: &'static str,
    now: String,
    base: String,
    metrics_link: String,
    uptime: String,
    /// State of the icon: the worse of polling and pushes.
    icon: &'static str,
    title: String,
    state: &'static str,
    summary: String,
    has_search: bool,
    app_count: usize,
    problems: Vec<Problem>,
    /// True if `POST /-/poll` is answered.
    can_poll: bool,
    has_pushes: bool,
    pushes_state: &'static str,
    pushes: String,
    bad_channels: Vec<BadChannel>,
    instance: String,
    config: String,
    ledger: String,
    ledger_size: String,
    has_senders: bool,
    senders: Vec<SenderView>,
    has_other_apps: bool,
    other_apps: Vec<OtherAppView>,
    providers: Vec<ProviderView>,
}

/// An app that another replica polls, as shown.
struct OtherAppView {
    provider: String,
    app: String,
    words: String,
}

/// A sender whose messages were refused, as shown.
struct SenderView {
    sender: String,
    words: String,
    error: String,
}

/// A failing app, listed at the top.
struct Problem {
    anchor: String,
    name: String,
    provider: &'static str,
    words: String,
    has_runbook: bool,
    runbook: String,
}

/// Number of failing reports that are named of an app at the top; its own section has all of them.
const REPORTS_NAMED: usize = 3;

/// Returns what fails of an app, why and for how long.
fn problem_words(app: &AppView) -> String {
    let failing: Vec<&ReportView> = app.reports.iter().filter(|report| report.has_error).collect();
    let named = failing.iter().take(REPORTS_NAMED);
    let mut words: Vec<String> =
        named.map(|report| format!("{}: {} for {}", report.name, report.reason, report.lasting)).collect();
    if failing.len() > REPORTS_NAMED {
        words.push(format!("and {} more", failing.len() - REPORTS_NAMED));
    }
    words.join("; ")
}

struct ProviderView {
    name: &'static str,
    title: &'static str,
    /// The present time in the time zones of its apps.
    times: String,
    apps: Vec<AppView>,
}

struct AppView {
    anchor: String,
    name: String,
    state: &'static str,
    words: String,
    /// Summary of its deliveries.
    in_short: String,
    /// True if its details are shown from the start.
    is_open: bool,
    has_facts: bool,
    facts: Vec<Fact>,
    has_channels: bool,
    channels: Vec<ChannelView>,
    has_dashboard: bool,
    dashboard: String,
    reports: Vec<ReportView>,
    has_files: bool,
    files: Vec<FileView>,
}

struct Fact {
    label: String,
    value: String,
    is_bad: bool,
    /// True if the value is advice, in the reader's language.
    is_advice: bool,
}

impl Fact {
    fn new(label: impl Into<String>, value: String, is_bad: bool) -> Fact {
        Fact { label: label.into(), value, is_bad, is_advice: false }
    }

    fn of_advice(label: &str, advice: Advice, language: Language) -> Fact {
        let value = advice.text(language).to_owned();
        Fact { label: label.to_owned(), value, is_bad: true, is_advice: true }
    }
}

struct ReportView {
    name: &'static str,
    state: &'static str,
    words: &'static str,
    last_success: String,
    data_age: String,
    next_poll: String,
    has_error: bool,
    reason: &'static str,
    message: String,
    advice: &'static str,
    has_log_id: bool,
    log_id: String,
    lasting: String,
    has_past: bool,
    past: Vec<PastError>,
}

struct PastError {
    reason: &'static str,
    message: String,
    advice: &'static str,
    ago: String,
}

struct FileView {
    path: String,
    lines: u64,
    bad_lines: i64,
    has_trouble: bool,
    trouble: String,
    has_bad_line: bool,
    bad_line: String,
}

/// Everything that is shown, read once.
struct StatusSnapshot {
    has_lease: bool,
    apps: BTreeMap<(&'static str, String), AppSummary>,
    other_apps: Vec<OtherApp>,
    channels: Channels,
}

#[derive(Default)]
struct AppSummary {
    health: AppStatus,
    reports: Vec<(&'static str, ReportStatus)>,
    files: Vec<(String, FileStatus)>,
}

impl StatusSnapshot {
    fn read(health: &Status) -> StatusSnapshot {
        let mut apps: BTreeMap<_, AppSummary> = BTreeMap::new();
        for (ReportId { provider, app, report }, health) in health.reports() {
            apps.entry((provider, app)).or_default().reports.push((report, health));
        }
        for (name, health) in health.apps() {
            if let Some(app) = apps.get_mut(&name) {
                app.health = health;
            }
        }
        let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for ((app, path), health) in health.files() {
            files.entry(app).or_default().push((path, health));
        }
        // App names are unique across all providers.
        for ((_, name), app) in &mut apps {
            app.files = files.remove(name).unwrap_or_default();
        }
        let mut channels = health.deliveries().all();
        channels.retain(|name, _| apps.contains_key(name));
        StatusSnapshot { has_lease: health.has_lease(), apps, other_apps: health.other_apps(), channels }
    }

    fn reports(&self) -> impl Iterator<Item = &ReportStatus> {
        self.apps.values().flat_map(|app| app.reports.iter().map(|(_, health)| health))
    }

    fn count(&self, state: Health) -> usize {
        self.reports().filter(|health| health.state == state).count()
    }

    /// Returns the overall state, and a sentence that describes it.
    fn summary(&self) -> (Health, String) {
        let of = match self.reports().count() {
            1 => "1 report".to_owned(),
            count => format!("{count} reports"),
        };
        let is_ledger =
            |health: &ReportStatus| health.error.as_ref().is_some_and(|error| error.reason == Reason::Ledger.name());
        let unowned = self.other_apps.iter().filter(|app| app.owner.is_none()).count();
        match (self.count(Health::Failing), self.count(Health::Waiting)) {
            _ if !self.has_lease => {
                let text = "This replica cannot renew its lease: it polls and shows no app until it can; see the log.";
                (Health::Failing, text.to_owned())
            }
            _ if self.reports().any(is_ledger) => {
                let text = "The ledger cannot be written: nothing is polled until it can; see the log.";
                (Health::Failing, text.to_owned())
            }
            (0, _) if unowned > 0 => {
                (Health::Waiting, format!("{unowned} of the configured apps {} owned by no replica.", are(unowned)))
            }
            (0, 0) if self.apps.is_empty() && !self.other_apps.is_empty() => {
                (Health::Up, "Other replicas poll all apps.".to_owned())
            }
            (0, 0) if self.reports().count() == 1 => (Health::Up, "The only report works.".to_owned()),
            (0, 0) => (Health::Up, format!("All {of} work.")),
            (0, waiting) => {
                (Health::Waiting, format!("{waiting} of {of} wait{} for the first poll, none is failing.", s(waiting)))
            }
            (failing, _) => (Health::Failing, format!("{failing} of {of} {} failing.", are(failing))),
        }
    }
}

impl AppSummary {
    fn state(&self) -> Health {
        let has = |state| self.reports.iter().any(|(_, health)| health.state == state);
        [Health::Failing, Health::Waiting].into_iter().find(|state| has(*state)).unwrap_or(Health::Up)
    }

    fn words(&self) -> String {
        let failing = self.reports.iter().filter(|(_, health)| health.state == Health::Failing).count();
        match (self.state(), self.reports.len()) {
            (Health::Up, _) => "works".to_owned(),
            (Health::Waiting, _) => "waits for its first poll".to_owned(),
            (Health::Failing, 1) => "its only report is failing".to_owned(),
            (Health::Failing, of) => format!("{failing} of {of} reports {} failing", are(failing)),
        }
    }

    /// Returns the number of late messages of all reports.
    fn late(&self) -> i64 {
        self.reports.iter().map(|(_, health)| health.late_messages).sum()
    }

    fn facts(&self, now: Timestamp, language: Language) -> Vec<Fact> {
        let mut facts = Vec::new();
        let AppStatus {
            tracked,
            takes_messages,
            newest_message,
            id_sources,
            last_new_ids,
            quotas,
            token_expiry,
            clock_skew_seconds,
            unknown_fields_full,
            timezone: _,
            reconciled,
        } = &self.health;
        if let Some(tracked) = tracked {
            facts.push(Fact::new(
                "tracked messages",
                format!("{} live, {} waiting", tracked.live, tracked.waiting),
                false,
            ));
        }
        match self.late() {
            0 => {}
            late => facts.push(Fact::new("late messages", late.to_string(), true)),
        }
        match newest_message {
            Some(at) => facts.push(Fact::new("newest message", format!("{} ago", format_age(now, *at)), false)),
            None if *takes_messages => facts.push(Fact::of_advice("messages", NONE_REGISTERED, language)),
            None => {}
        }
        for source in id_sources {
            let last = last_new_ids.get(source).map(|at| format!("last new one {} ago", format_age(now, *at)));
            let value = last.unwrap_or_else(|| "none yet".to_owned());
            facts.push(Fact::new(format!("ids from {}", source.title()), value, false));
        }
        for (unit, Reconciled { end, unaccounted }) in reconciled {
            let differing = unaccounted.iter().filter(|(_, value)| **value != 0);
            let differing: Vec<String> = differing.map(|(metric, value)| format!("{metric} {value:+}")).collect();
            let ended = format!("the last settled {unit}, which ended {} ago", format_age(now, *end));
            let value = match differing.is_empty() {
                true => format!("agree with what was read ({ended})"),
                false => format!(
                    "differ by {} ({ended}); see PushDeliveriesUnaccounted in the runbook",
                    differing.join(", ")
                ),
            };
            facts.push(Fact::new("the provider's own totals", value, !differing.is_empty()));
        }
        for (api, quota) in quotas {
            let value = match (quota.remaining, quota.limit) {
                (Some(left), Some(limit)) => format!("{left} of {limit} left"),
                (Some(left), None) => format!("{left} left"),
                (None, Some(limit)) => format!("{limit} allowed"),
                (None, None) => continue,
            };
            facts.push(Fact::new(format!("quota of {api}"), value, quota.remaining == Some(0)));
        }
        match token_expiry {
            Some(at) if *at > now => {
                facts.push(Fact::new("token", format!("expires in {}", format_age(*at, now)), false))
            }
            Some(at) => facts.push(Fact::new("token", format!("expired {} ago", format_age(now, *at)), true)),
            None => {}
        }
        if *unknown_fields_full {
            facts.push(Fact::of_advice("unknown names", FIELDS_FULL, language));
        }
        if let Some(skew) = clock_skew_seconds.filter(|skew| skew.abs() > SKEWED.as_secs_f64()) {
            let way = if skew > 0.0 { "ahead of" } else { "behind" };
            let by = format_age(now, now.checked_sub(SignedDuration::from_secs(skew.abs() as i64)).unwrap_or(now));
            facts.push(Fact::new("this machine's clock", format!("{by} {way} the provider's"), true));
        }
        facts
    }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn s(count: usize) -> &'static str {
    if count == 1 { "s" } else { "" }
}

fn word(state: Health) -> &'static str {
    match state {
        Health::Waiting => "waiting",
        Health::Up => "up",
        Health::Failing => "failing",
    }
}

/// Content of the status page besides the links.
pub(super) struct StatusInput<'a> {
    /// Status of all reports.
    pub(super) status: &'a Status,
    /// Senders whose messages were refused.
    pub(super) senders: Vec<SenderError>,
    /// Start time of the exporter.
    pub(super) began: Timestamp,
    /// The time of the page.
    pub(super) now: Timestamp,
    /// The language of the advice.
    pub(super) language: Language,
    /// Size of the ledger.
    pub(super) ledger_bytes: i64,
}

/// Renders the status page as HTML, with the providers in the order of `known`.
pub(super) fn page(overview: StatusInput<'_>, options: &Options, known: Providers) -> Result<String, askama::Error> {
    let StatusInput { status: health, senders, began, now, language, ledger_bytes } = overview;
    let snapshot = StatusSnapshot::read(health);
    let (state, summary) = snapshot.summary();
    let app_count = snapshot.apps.len();
    let mut anchors = HashSet::new();
    let mut problems = Vec::new();
    let mut providers: Vec<ProviderView> = known
        .iter()
        .map(|provider| {
            let times = local_times(now, provider.name(), &snapshot.apps);
            ProviderView { name: provider.name(), title: provider.title(), times, apps: Vec::new() }
        })
        .collect();
    let mut anchors_by_name = BTreeMap::new();
    for ((provider, name), app) in snapshot.apps {
        let anchor = anchor(provider, &name, &mut anchors);
        anchors_by_name.insert((provider, name.clone()), anchor.clone());
        let channels = snapshot.channels.get(&(provider, name.clone())).map_or(&[][..], |channels| channels);
        let reader = Reader { now, language, options, has_all_channels: app_count <= CHANNELS_OF_ALL };
        let view = app_view((anchor, provider, name), &app, channels, &reader);
        if app.state() == Health::Failing {
            let (anchor, name) = (view.anchor.clone(), view.name.clone());
            let runbook = options.runbook_url.as_ref().map(|url| format!("{url}#{}", runbook_section(&app)));
            let (has_runbook, runbook) = (runbook.is_some(), runbook.unwrap_or_default());
            problems.push(Problem { anchor, name, provider, words: problem_words(&view), has_runbook, runbook });
        }
        if let Some(section) = providers.iter_mut().find(|section| section.name == provider) {
            section.apps.push(view);
        }
    }
    providers.retain(|provider| !provider.apps.is_empty());
    for provider in &mut providers {
        // What is wrong comes first.
        provider.apps.sort_by_key(|app| ["failing", "waiting", "up"].iter().position(|state| *state == app.state));
    }
    let (pushes_state, pushes) = deliveries::summary(&snapshot.channels);
    let bad_channels = deliveries::bad(&snapshot.channels, &anchors_by_name, now, options);
    StatusPage {
        version: crate::util::build_info::VERSION,
        advice_tag: language.tag(),
        now: now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        base: options.link_prefix.clone(),
        metrics_link: format!("{}{}", options.link_prefix, options.telemetry_path),
        uptime: format!("up for {}", format_age(now, began)),
        icon: if pushes_state == "failing" { pushes_state } else { word(state) },
        title: if pushes_state == "failing" && state == Health::Up {
            format!("Pushes: {pushes}")
        } else {
            summary.clone()
        },
        state: word(state),
        summary,
        has_search: app_count >= MANY,
        app_count,
        problems,
        can_poll: options.lifecycle,
        has_pushes: !pushes.is_empty(),
        pushes_state,
        pushes,
        bad_channels,
        instance: options.about.instance.clone(),
        config: options.about.config.clone(),
        ledger: options.about.ledger.clone(),
        ledger_size: size(ledger_bytes),
        has_senders: !senders.is_empty(),
        senders: senders.into_iter().map(|sender| sender_view(sender, now)).collect(),
        has_other_apps: !snapshot.other_apps.is_empty(),
        other_apps: snapshot.other_apps.into_iter().map(other_app_view).collect(),
        providers,
    }
    .render()
}

/// Returns an anchor for the name of an app: letters, digits and hyphens, unique in the page.
fn anchor(provider: &str, name: &str, taken: &mut HashSet<String>) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let first: String = format!("{provider}-").chars().chain(name.chars().map(plain)).collect();
    let others = (2..).map(|number| format!("{first}--{number}"));
    let free = std::iter::once(first.clone()).chain(others).find(|anchor| !taken.contains(anchor));
    let anchor = free.unwrap_or(first);
    taken.insert(anchor.clone());
    anchor
}

/// Returns the section of the runbook about an app whose reports are failing.
fn runbook_section(app: &AppSummary) -> &'static str {
    let mut reasons = app.reports.iter().filter_map(|(_, report)| report.error.as_ref()).map(|error| error.reason);
    let is_refused = |reason: &str| [Reason::Auth, Reason::Forbidden].iter().any(|refused| refused.name() == reason);
    if reasons.any(is_refused) { "pushreportrefused" } else { "pushreportfailing" }
}

/// Returns the present time in the time zones of a provider's apps.
fn local_times(now: Timestamp, provider: &str, apps: &BTreeMap<(&'static str, String), AppSummary>) -> String {
    let of_provider = apps.iter().filter(|((of, _), _)| *of == provider);
    let zones: BTreeSet<&str> = of_provider.filter_map(|(_, app)| app.health.timezone.as_deref()).collect();
    let time = |zone: &&str| {
        let local = now.in_tz(zone).ok()?;
        Some(format!("{} in {zone}", local.strftime("%H:%M")))
    };
    zones.iter().filter_map(time).take(ZONES_NAMED).collect::<Vec<_>>().join(", ")
}

/// Returns a size in the unit that people read.
fn size(bytes: i64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.0} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}

fn other_app_view(OtherApp { provider, app, owner }: OtherApp) -> OtherAppView {
    let words = owner.map_or("no replica owns it".to_owned(), |owner| format!("polled by {owner}"));
    OtherAppView { provider, app, words }
}

fn sender_view(sender: SenderError, now: Timestamp) -> SenderView {
    let SenderError { interface, sender, status, error, count, last } = sender;
    let what = if interface == CALLBACK { "callback" } else { "request" };
    let plural = if count == 1 { "" } else { "s" };
    SenderView {
        sender,
        words: format!("{count} {what}{plural} with {status}, the last {} ago", format_age(now, last)),
        error,
    }
}

/// Time and reader of the page.
struct Reader<'a> {
    now: Timestamp,
    language: Language,
    options: &'a Options,
    has_all_channels: bool,
}

fn app_view(
    (anchor, provider, name): (String, &str, String),
    app: &AppSummary,
    channels: &[ChannelDeliveries],
    reader: &Reader<'_>,
) -> AppView {
    let Reader { now, language, options, has_all_channels } = *reader;
    let facts = app.facts(now, language);
    let is_failing = channels.iter().any(|channel| channel.state.is_failing());
    let is_bad = channels.iter().any(|channel| channel.state.is_bad());
    let state = match app.state() {
        _ if is_failing => Health::Failing,
        Health::Up if is_bad => Health::Waiting,
        state => state,
    };
    let variables = [("var-provider", provider), ("var-app", name.as_str())];
    let dashboard = deliveries::dashboard_link(options, "push-app", &variables);
    let is_shown =
        |channel: &&ChannelDeliveries| channel.state != ChannelState::Idle && (has_all_channels || state != Health::Up);
    let shown: Vec<ChannelView> = channels
        .iter()
        .filter(is_shown)
        .map(|channel| deliveries::view((provider, &name), channel, now, options))
        .collect();
    AppView {
        anchor,
        name,
        state: word(state),
        words: match app.state() {
            Health::Up if is_failing => "polls work, a channel is failing".to_owned(),
            Health::Up if is_bad => "polls work, a channel is worse than usual".to_owned(),
            _ => app.words(),
        },
        in_short: deliveries::in_short(channels),
        is_open: state != Health::Up,
        has_channels: !shown.is_empty(),
        channels: shown,
        has_dashboard: dashboard.is_some(),
        dashboard: dashboard.unwrap_or_default(),
        has_facts: !facts.is_empty(),
        facts,
        reports: app.reports.iter().map(|(name, health)| report_view(name, health, now, language)).collect(),
        has_files: !app.files.is_empty(),
        files: app.files.iter().map(|(path, health)| file_view(path, health, now)).collect(),
    }
}

fn report_view(name: &'static str, health: &ReportStatus, now: Timestamp, language: Language) -> ReportView {
    let error = health.error.as_ref();
    let past = |PastFailure { at, reason, message, advice }: &PastFailure| PastError {
        reason,
        message: message.clone(),
        advice: advice.text(language),
        ago: format!("{} ago", format_age(now, *at)),
    };
    // The current error is shown separately, with its advice.
    let is_past =
        |past: &&PastFailure| error.is_none_or(|error| (error.reason, &error.message) != (past.reason, &past.message));
    let past: Vec<PastError> = health.last_errors.iter().filter(is_past).map(past).collect();
    ReportView {
        name,
        state: word(health.state),
        words: match health.state {
            Health::Up => "works",
            Health::Waiting => "waits",
            Health::Failing if error.is_some_and(|error| error.is_part) => "a part is failing",
            Health::Failing => "failing",
        },
        last_success: health.last_success.map_or("never".to_owned(), |then| format!("{} ago", format_age(now, then))),
        data_age: health.last_change.map_or("no data yet".to_owned(), |then| format_age(now, then)),
        next_poll: match health.next_poll {
            Some(then) if then > now => format!("in {}", format_age(then, now)),
            Some(_) => "now".to_owned(),
            None => "nothing due".to_owned(),
        },
        has_error: error.is_some(),
        reason: error.map_or("", |error| error.reason),
        message: error.map_or_else(String::new, |error| error.message.clone()),
        advice: error.map_or("", |error| error.advice.text(language)),
        has_log_id: error.is_some_and(|error| error.log_id.is_some()),
        log_id: error.and_then(|error| error.log_id.clone()).unwrap_or_default(),
        lasting: error.map_or_else(String::new, |error| format_age(now, error.since)),
        has_past: !past.is_empty(),
        past,
    }
}

fn file_view(path: &str, health: &FileStatus, now: Timestamp) -> FileView {
    let bad_line = health.last_bad_line.as_ref();
    let bad_line = bad_line.map(|bad| format!("line {}, {} ago: {}", bad.line, format_age(now, bad.at), bad.reason));
    FileView {
        path: path.to_owned(),
        lines: health.lines,
        bad_lines: health.bad_lines,
        has_trouble: health.trouble.is_some(),
        trouble: health.trouble.clone().unwrap_or_default(),
        has_bad_line: bad_line.is_some(),
        bad_line: bad_line.unwrap_or_default(),
    }
}

/// Returns the content security policy: the page may load and run only its own style and script, identified by hash.
pub(super) fn policy() -> String {
    let source = include_str!("status.html");
    let hash = |tag: &str| {
        let inner = source.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let inner = inner.map_or("", |(inner, _)| inner);
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, inner.as_bytes())))
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("style"),
        hash("script")
    )
}

/// Returns the status as JSON.
pub(super) fn json(health: &Status, senders: Vec<SenderError>, began: Timestamp, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct StatusDocument<'a> {
        version: &'static str,
        now: Timestamp,
        started: Timestamp,
        state: Health,
        summary: String,
        apps: Vec<AppEntry<'a>>,
        reports: Vec<ReportEntry<'a>>,
        files: Vec<FileEntry<'a>>,
        senders: Vec<SenderError>,
        other_apps: Vec<OtherApp>,
        channels: Vec<ChannelEntry<'a>>,
    }
    #[derive(Serialize)]
    struct ChannelEntry<'a> {
        provider: &'static str,
        app: &'a str,
        #[serde(flatten)]
        deliveries: &'a ChannelDeliveries,
    }
    #[derive(Serialize)]
    struct AppEntry<'a> {
        provider: &'static str,
        app: &'a str,
        state: Health,
        late_messages: i64,
        #[serde(flatten)]
        health: &'a AppStatus,
    }
    #[derive(Serialize)]
    struct ReportEntry<'a> {
        provider: &'static str,
        app: &'a str,
        report: &'static str,
        #[serde(flatten)]
        health: &'a ReportStatus,
        data_age_seconds: Option<i64>,
    }
    #[derive(Serialize)]
    struct FileEntry<'a> {
        app: &'a str,
        path: &'a str,
        #[serde(flatten)]
        health: &'a FileStatus,
    }
    let snapshot = StatusSnapshot::read(health);
    let (state, summary) = snapshot.summary();
    let (mut apps, mut reports, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for ((provider, app), of) in &snapshot.apps {
        apps.push(AppEntry { provider, app, state: of.state(), late_messages: of.late(), health: &of.health });
        reports.extend(of.reports.iter().map(|(report, health)| {
            let data_age_seconds = health.last_change.map(|then| now.duration_since(then).as_secs());
            ReportEntry { provider, app, report, health, data_age_seconds }
        }));
        files.extend(of.files.iter().map(|(path, health)| FileEntry { app, path, health }));
    }
    let channels = snapshot.channels.iter().flat_map(|((provider, app), channels)| {
        channels.iter().map(|deliveries| ChannelEntry { provider, app, deliveries })
    });
    let channels = channels.collect();
    let version = crate::util::build_info::VERSION;
    let status = StatusDocument {
        version,
        now,
        started: began,
        state,
        summary,
        apps,
        reports,
        files,
        senders,
        other_apps: snapshot.other_apps,
        channels,
    };
    serde_json::to_string(&status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_plain_and_unique() {
        let mut taken = HashSet::new();
        let anchors: Vec<String> =
            ["shop", "a b", "a<b", "a-b"].iter().map(|name| anchor("jpush", name, &mut taken)).collect();
        assert_eq!(anchors, ["jpush-shop", "jpush-a-b", "jpush-a-b--2", "jpush-a-b--3"]);
    }

    #[test]
    fn the_policy_names_style_and_script() {
        let policy = policy();
        let empty = STANDARD.encode(digest(&SHA256, b""));
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains(&empty), "{policy}");
    }
}
