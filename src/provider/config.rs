//! Configuration of the exporter: the settings of the whole file, and every app with its provider. It is checked and
//! typed here, and all errors are reported at once; nothing checks a setting again afterwards.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;

use crate::config::postgres_address::{LedgerAddress, PostgresAddress, ReplicaKeys};
use crate::config::secret::{Environment, Secret};
use crate::config::section::{self, Context, Section};
use crate::config::yaml::Place;
use crate::config::{ConfigErrors, read_file};
use crate::model::message_source::MessageSource;
use crate::provider::{Account, CounterSource, Provider, Providers, ReportContext};
use crate::util::certificates;
use crate::util::clock::Clock;
use crate::util::host;

/// A checked configuration, in which every optional setting has a value.
pub struct Config {
    /// Address of the ledger.
    pub ledger: LedgerAddress,
    /// Time for which a new series stays at 0.
    pub new_series_hold: Duration,
    /// Time for which window gauges stay without a successful poll of their report.
    pub max_age: Duration,
    /// Token that senders of message ids must present; without one the message API is off.
    pub message_token: Option<Secret>,
    /// Trusted certificates in addition to this machine's CAs: of CAs, or of providers themselves.
    pub ca: Vec<CertificateDer<'static>>,
    /// All apps, in the order of the file.
    pub apps: Vec<App>,
}

impl Config {
    /// Returns all secrets of the configuration.
    pub fn secrets(&self) -> Vec<Secret> {
        let accounts = self.apps.iter().flat_map(|app| app.account.secrets());
        accounts.chain(self.message_token.clone()).chain(self.callback_tokens().into_values()).collect()
    }
}

/// One account at one provider.
pub struct App {
    /// Provider of the account.
    pub provider: &'static dyn Provider,
    /// Configured name, which is the value of the label `app`.
    pub name: String,
    /// Time zone of the app's calendar.
    pub zone: TimeZone,
    /// Configured intervals, by report.
    pub intervals: HashMap<&'static str, Duration>,
    /// Share of its pushes that channels should accept, in millionths.
    pub objective: Option<i64>,
    /// Credentials and settings that are specific to the provider.
    pub account: Box<dyn Account>,
    /// Hash that changes if any setting that affects the app is written differently.
    pub fingerprint: u64,
}

/// Advice for an app that has no source of message ids.
pub const UNFED: &str = "this app has no source of message ids, so it shows no deliveries; set message_api.token_file and register messages, or set messages: {files: […]} or ids of the app; JPush's schedules and callbacks bring ids by discover and callback_token, EngageLab's push plans by discover";

impl App {
    /// Returns the context that its reports may use.
    pub fn report_context(&self, clock: &Clock) -> ReportContext {
        ReportContext::new(clock.clone(), self.zone.clone(), self.intervals.clone())
    }

    /// Returns the sources of message ids that the provider itself offers and the account uses.
    pub fn provider_id_sources(&self, context: &ReportContext) -> Vec<MessageSource> {
        used_sources([
            (MessageSource::Discovery, !self.account.discovery_reports(context).is_empty()),
            (MessageSource::Callback, self.account.callback_token().is_some()),
        ])
    }
}

impl Config {
    /// Returns the tokens of the providers' callbacks, by provider and app.
    pub fn callback_tokens(&self) -> BTreeMap<(&'static str, String), Secret> {
        let token = |app: &App| Some(((app.provider.name(), app.name.clone()), app.account.callback_token()?));
        self.apps.iter().filter_map(token).collect()
    }

    /// Returns the sources of an app's message ids; `None` if it has no messages.
    pub fn id_sources(&self, app: &App, clock: &Clock) -> Option<Vec<MessageSource>> {
        let context = app.report_context(clock);
        let messages = match app.account.counter_source(&context) {
            CounterSource::Windows(_) | CounterSource::List(None) => return None,
            CounterSource::List(Some(_)) => return Some(vec![MessageSource::Discovery]),
            CounterSource::Messages(messages) => messages,
        };
        messages.delivery?;
        let mut sources = used_sources([
            (MessageSource::Config, !messages.ids.is_empty()),
            (MessageSource::File, !messages.files.is_empty()),
            (MessageSource::Api, self.message_token.is_some()),
        ]);
        sources.extend(app.provider_id_sources(&context));
        Some(sources)
    }
}

fn used_sources<const N: usize>(sources: [(MessageSource, bool); N]) -> Vec<MessageSource> {
    sources.into_iter().filter(|(_, is_used)| *is_used).map(|(source, _)| source).collect()
}

/// Default of `replica.lease`.
const LEASE: Duration = Duration::from_secs(30);
/// Default of `replica.instance`.
const INSTANCE: &str = "push-exporter";
/// Minimum of `replica.lease`: a commit may take some seconds.
const MIN_LEASE: Duration = Duration::from_secs(5);
/// Maximum of `replica.lease`.
const MAX_LEASE: Duration = Duration::from_secs(86_400);
const HOLD: Duration = Duration::from_secs(120);
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// Shortest interval of any report.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum characters of a name; longer ones would make every line of the page longer.
const MAX_APP_NAME: usize = 128;

/// Reads and checks a configuration file, whose apps may belong to these `providers`.
///
/// # Errors
/// Fails if the file cannot be read, or with all errors in it.
pub fn load(file: &Path, environment: &Environment, providers: Providers) -> Result<Config, ConfigErrors> {
    let name = file.display().to_string();
    match read_file::read_stream(file) {
        Ok(text) => parse(&name, &text, file.parent().unwrap_or(Path::new("")), environment, providers),
        Err(error) => {
            let message =
                format!("cannot read the configuration: {error}; name it with --config.file, or try the demo command");
            Err(ConfigErrors::one(&name, Place::START, message))
        }
    }
}

/// Checks the text of a configuration. `file` is its name in errors; paths in it are relative to `folder`.
///
/// # Errors
/// Fails with all errors in the text.
pub fn parse(
    file: &str,
    text: &str,
    folder: &Path,
    environment: &Environment,
    providers: Providers,
) -> Result<Config, ConfigErrors> {
    let context = Context::new(folder, environment);
    let config = section::read_document(file, text, context, |section| Some(read(section, folder, providers)))?;
    config
        .ok_or_else(|| ConfigErrors::one(file, Place::START, "the file is empty; it needs at least one app".to_owned()))
}

fn read(mut file: Section<'_>, folder: &Path, providers: Providers) -> Config {
    let ledger = ledger(&mut file, folder);
    let zone = file.timezone("timezone");
    let zone = zone.unwrap_or_else(|| TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC));
    let new_series_hold = file.duration("new_series_hold", Duration::ZERO).unwrap_or(HOLD);
    let max_age = file.duration("max_age", MIN_INTERVAL).unwrap_or(MAX_AGE);
    let message_token = file.section("message_api").and_then(|mut api| {
        let token = api.secret("token");
        api.finish();
        token
    });
    let ca = file.file("ca_file").and_then(|(path, pem)| {
        let place = file.place();
        let read = certificates::read_pem(&pem);
        read.map_err(|error| file.context().error(place, "ca_file", format!("{} {error}", path.display()))).ok()
    });
    let ca = ca.unwrap_or_default();
    let mut seen = SeenNames::default();
    let mut apps = Vec::new();
    let mut sections = 0;
    for provider in providers {
        for section in file.sections(provider.name()) {
            sections += 1;
            apps.extend(app(*provider, section, &zone, &mut seen));
        }
    }
    // Settings that affect all apps.
    let ca_bytes: Vec<&[u8]> = ca.iter().map(AsRef::as_ref).collect();
    let ca_bytes = ca_bytes.as_slice();
    for app in &mut apps {
        app.fingerprint = hash(&(app.fingerprint, new_series_hold, max_age, ca_bytes));
    }
    let (context, place) = (file.context(), file.place());
    let names: Vec<&str> = providers.iter().map(|provider| provider.name()).collect();
    file.finish();
    if sections == 0 {
        context.error(place, "", format!("no app is configured; add one under {}", names.join(" or ")));
    }
    Config { ledger, new_series_hold, max_age, message_token, ca, apps }
}

/// Reads `ledger` and `replica`.
fn ledger(file: &mut Section<'_>, folder: &Path) -> LedgerAddress {
    let default = LedgerAddress::Sqlite(folder.join("push-exporter.db"));
    let replica = match file.section("replica") {
        Some(mut section) => {
            let name = section.identifier("name").map(|(_, name)| name);
            let instance = section.identifier("instance").map(|(_, instance)| instance);
            let lease = section.duration("lease", MIN_LEASE);
            if lease.is_some_and(|lease| lease > MAX_LEASE) {
                section.context().error(section.place(), "replica.lease", "must be at most 1d");
            }
            section.finish();
            (name, lease, instance)
        }
        None => (None, None, None),
    };
    let Some((found, text)) = file.text("ledger") else { return default };
    let context = file.context();
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        let (name, lease, instance) = replica;
        let replica = ReplicaKeys {
            name: name.unwrap_or_else(host::name),
            lease: lease.unwrap_or(LEASE),
            instance: instance.unwrap_or_else(|| INSTANCE.to_owned()),
        };
        return match PostgresAddress::parse(&text, replica, |name| context.variable(name)) {
            Ok(address) => LedgerAddress::Postgres(Box::new(address)),
            Err(error) => {
                context.error(found.place, &found.path, error.to_string());
                default
            }
        };
    }
    let message = match text.strip_prefix("sqlite:") {
        Some(path) if path.starts_with("//") && !path.starts_with("///") => {
            "must be sqlite: and a path, without slashes between them: sqlite:push-exporter.db or sqlite:/var/lib/push-exporter.db"
        }
        Some(path) if path.contains(":memory:") || path.starts_with("file:") => {
            "must be a file, since counters continue from it after a restart: sqlite:push-exporter.db"
        }
        Some(path) if path.contains('?') => "takes no parameters; remove ? and what follows",
        Some(path) if !path.is_empty() => {
            return context.resolve(found.place, &found.path, path).map_or(default, LedgerAddress::Sqlite);
        }
        _ => "must be sqlite:<file> or postgres://<user>@<host>/<database>, for example sqlite:push-exporter.db",
    };
    context.error(found.place, &found.path, message);
    default
}

/// Names and accounts that may occur only once in a file.
#[derive(Default)]
struct SeenNames {
    names: HashMap<String, usize>,
    accounts: HashMap<(&'static str, String), usize>,
}

fn app(
    provider: &'static dyn Provider,
    mut section: Section<'_>,
    zone: &TimeZone,
    seen: &mut SeenNames,
) -> Option<App> {
    let context = section.context();
    let place = section.place();
    let name = section.identifier("app");
    if name.is_none() {
        section.missing("app");
    }
    if let Some((found, name)) = &name {
        if name.chars().count() > MAX_APP_NAME || name.chars().any(char::is_control) {
            context.error(found.place, &found.path, format!("must be at most {MAX_APP_NAME} printable characters"));
        }
        if let Some(line) = seen.names.insert(name.clone(), found.place.line) {
            context.error(
                found.place,
                &found.path,
                format!("the same app name as in line {line}; names are unique in the file"),
            );
        }
    }
    let zone = section.timezone("timezone").or_else(|| provider.zone()).unwrap_or_else(|| zone.clone());
    let fingerprint = hash(&(section.written(), zone.iana_name()));
    let common = section.duration("interval", MIN_INTERVAL);
    let mut intervals: HashMap<&'static str, Duration> = HashMap::new();
    if let Some(common) = common {
        intervals.extend(provider.reports().iter().map(|report| (*report, common)));
    }
    if let Some(mut each) = section.section("intervals") {
        for report in provider.reports() {
            if let Some(interval) = each.duration(report, MIN_INTERVAL) {
                intervals.insert(report, interval);
            }
        }
        each.finish_choice();
    }
    let objective = section.ratio("objective");
    let account = provider.configure(&mut section);
    section.finish();
    let account = account?;
    let id = account.id();
    if let Some(line) = seen.accounts.insert((provider.name(), id), place.line) {
        let message =
            format!("the same {} account as in line {line}; its numbers would be counted twice", provider.name());
        context.error(place, name.as_ref().map_or("", |(found, _)| found.path.trim_end_matches(".app")), message);
    }
    let (_, name) = name?;
    Some(App { provider, name, zone, intervals, objective, account, fingerprint })
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
