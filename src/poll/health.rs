//! The health of every report: what the status page lists and the health metrics on the page. Both come
//! from here, so they cannot differ.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::exposition::{Exposition, Sample, Update, text};
use crate::ledger::Hurry;
use crate::metrics::catalog::Family;
use crate::poll::files::BadLine;
use crate::poll::hurry::{Bell, Selection};
use crate::provider::error::Reason;
use crate::provider::http::Requests;

/// Which report of which app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ReportId {
    /// The provider.
    pub provider: &'static str,
    /// The app.
    pub app: String,
    /// The report.
    pub report: &'static str,
}

impl ReportId {
    /// The labels provider and app, the owner of a series.
    pub fn app_labels(&self) -> Arc<str> {
        app_labels(self.provider, &self.app)
    }

    fn labels(&self, more: &[(&str, &str)]) -> String {
        let pairs: Vec<(&str, &str)> = [("report", self.report)].into_iter().chain(more.iter().copied()).collect();
        text::labels(&pairs)
    }

    /// A sample with the labels of this report and perhaps more.
    pub fn sample(&self, family: Family, more: &[(&str, &str)], value: i64) -> Sample {
        Sample { family, app_labels: self.app_labels(), labels: self.labels(more), value, created: None }
    }

    fn set(&self, family: Family, more: &[(&str, &str)], value: i64) -> Update {
        Update::Set(self.sample(family, more, value))
    }

    fn set_due(&self, due: Option<Timestamp>) -> Update {
        Update::show(Family::PollDue, self.app_labels(), self.labels(&[]), due.map(Timestamp::as_millisecond))
    }

    /// Shows a failure instead of the one before.
    fn replace_failing(&self, before: Option<Failure>, failure: &Failure) -> Vec<Update> {
        let gone = before.filter(|before| before.labels() != failure.labels());
        let mut updates: Vec<Update> = gone.map(|gone| self.not_failing(&gone)).into_iter().collect();
        updates.push(self.set(Family::PollFailing, &failure.labels(), 1));
        updates
    }

    fn not_failing(&self, failure: &Failure) -> Update {
        self.remove(Family::PollFailing, &failure.labels())
    }

    /// The removal of such a series.
    pub fn remove(&self, family: Family, more: &[(&str, &str)]) -> Update {
        Update::remove(self.sample(family, more, 0))
    }
}

/// The labels provider and app.
pub fn app_labels(provider: &str, app: &str) -> Arc<str> {
    text::labels(&[("provider", provider), ("app", app)]).into()
}

/// How a report is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not polled since the start.
    #[default]
    Waiting,
    /// The last poll succeeded.
    Up,
    /// The last poll failed.
    Failing,
}

/// What is known of a report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReportHealth {
    /// How it is.
    pub state: State,
    /// When a poll last succeeded.
    pub last_success: Option<Timestamp>,
    /// When a poll last brought a new number.
    pub last_change: Option<Timestamp>,
    /// When it is polled next.
    pub next_poll: Option<Timestamp>,
    /// The failure that lasts.
    pub error: Option<Failure>,
    /// The last failures since the start, the newest first, each once in a row; also after it works again.
    pub last_errors: VecDeque<LastError>,
    /// Messages that should have been polled a whole interval ago, as the last poll found them.
    pub late_messages: i64,
    /// Has it polled out of turn.
    #[serde(skip)]
    pub bell: Arc<Bell>,
    /// How it was before it failed.
    #[serde(skip)]
    pub before_outage: State,
    /// Failed polls in a row.
    #[serde(skip)]
    pub failures: u32,
    /// Failed polls since the start, by reason.
    #[serde(skip)]
    pub errors: Errors,
}

/// Failed polls by reason.
type Errors = BTreeMap<&'static str, i64>;

/// Why a report is failing, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The label value.
    pub reason: &'static str,
    /// True if a part of the report fails (a window, a batch of messages, a department) while others work.
    pub is_part: bool,
    /// True if no poll has failed: one waits for the end of a rate limit.
    #[serde(skip)]
    pub is_wait: bool,
    /// Code that tells it from another failure with the same reason.
    #[serde(skip)]
    pub code: String,
    /// What happened.
    pub message: String,
    /// The provider's id of the last request that failed, for its support.
    pub log_id: Option<String>,
    /// What to do.
    pub advice: &'static str,
    /// Since when.
    pub since: Timestamp,
}

impl Failure {
    /// Its labels behind those of the report.
    fn labels(&self) -> Vec<(&'static str, &'static str)> {
        let scope = self.is_part.then_some(("scope", "part"));
        [("reason", self.reason)].into_iter().chain(scope).collect()
    }
}

/// A failed poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// The label value.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub advice: &'static str,
}

/// What is known of an app besides its reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AppHealth {
    /// Its messages, if it takes any.
    #[serde(rename = "tracked_messages")]
    pub tracked: Option<Tracked>,
    /// True if messages may be registered for it.
    #[serde(skip)]
    pub takes_messages: bool,
    /// When the newest of them was sent.
    pub newest_message: Option<Timestamp>,
    /// What the provider says of its quotas, by API.
    pub quotas: BTreeMap<&'static str, Quota>,
    /// When its token expires.
    pub token_expiry: Option<Timestamp>,
    /// Seconds by which our clock is ahead of the provider's, by its answers.
    pub clock_skew_seconds: Option<f64>,
    /// True if it has had so many unknown names that further ones are not counted.
    pub unknown_fields_full: bool,
}

/// Messages that are polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tracked {
    /// Those without a number.
    pub waiting: i64,
    /// Those with one.
    pub live: i64,
}

/// A quota as the provider's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Requests in a window.
    pub limit: Option<u64>,
    /// What is left of them.
    pub remaining: Option<u64>,
}

/// Unknown names of a provider's report.
#[derive(Default)]
struct Unknown {
    total: i64,
    /// By app, also of those that are gone.
    apps: BTreeMap<String, i64>,
}

/// Failures of a report that are remembered.
const FAILURES_KEPT: usize = 5;

/// How a followed file of message ids is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileHealth {
    /// Lines read.
    pub lines: u64,
    /// Lines since the start that were no ids.
    pub bad_lines: i64,
    /// The last of them.
    pub last_bad_line: Option<BadLine>,
    /// Why it cannot be read, if it cannot.
    pub trouble: Option<String>,
}

/// The health of all reports, shared by the pollers and the web.
#[derive(Clone)]
pub struct Health {
    /// Followed files by app and path.
    files: Arc<Mutex<BTreeMap<(String, String), FileHealth>>>,
    reports: Arc<Mutex<BTreeMap<ReportId, ReportHealth>>>,
    apps: Arc<Mutex<BTreeMap<(&'static str, String), AppHealth>>>,
    /// Reports without a first result, because one is due.
    pending: Arc<Mutex<BTreeSet<ReportId>>>,
    /// Unknown names seen so far, by provider and report.
    unknown: Arc<Mutex<BTreeMap<(&'static str, &'static str), Unknown>>>,
    /// Failed polls since the start of reports that a reload has stopped.
    errors_before: Arc<Mutex<BTreeMap<ReportId, Errors>>>,
    /// Since when apps of a provider are known.
    known_since: Arc<Mutex<BTreeMap<&'static str, Timestamp>>>,
    exposition: Exposition,
}

/// A poll that has ended, as far as its health goes.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Time of its end.
    pub now: Timestamp,
    /// True if a number was new.
    pub has_new_numbers: bool,
    /// Duration; `None` if it was not made or not finished.
    pub took: Option<Duration>,
}

impl Health {
    /// Knows nothing yet.
    pub fn new(exposition: Exposition) -> Health {
        Health {
            files: Arc::default(),
            reports: Arc::default(),
            apps: Arc::default(),
            pending: Arc::default(),
            unknown: Arc::default(),
            errors_before: Arc::default(),
            known_since: Arc::default(),
            exposition,
        }
    }

    /// All reports by id.
    pub fn reports(&self) -> Vec<(ReportId, ReportHealth)> {
        self.reports.lock().iter().map(|(id, health)| (id.clone(), health.clone())).collect()
    }

    /// The bells of the reports of a selection.
    pub fn bells(&self, selection: &Selection) -> Vec<Arc<Bell>> {
        let Selection { provider, app, hurry } = selection;
        let is_selected = |(id, health): &(&ReportId, &ReportHealth)| {
            provider.as_ref().is_none_or(|provider| id.provider == provider)
                && app.as_ref().is_none_or(|app| id.app == *app)
                && (*hurry == Hurry::All || health.state == State::Failing)
        };
        self.reports.lock().iter().filter(is_selected).map(|(_, health)| Arc::clone(&health.bell)).collect()
    }

    /// What is known of apps besides their reports.
    pub fn apps(&self) -> Vec<((&'static str, String), AppHealth)> {
        self.apps.lock().iter().map(|(name, health)| (name.clone(), health.clone())).collect()
    }

    /// Notes something of an app.
    pub fn app(&self, provider: &'static str, app: &str, change: impl FnOnce(&mut AppHealth)) {
        change(self.apps.lock().entry((provider, app.to_owned())).or_default());
    }

    /// Tells, once, that further unknown names of an app are not counted.
    pub async fn unknown_fields_full(&self, provider: &'static str, app: &str) {
        let mut was_full = false;
        self.app(provider, app, |health| was_full = std::mem::replace(&mut health.unknown_fields_full, true));
        if was_full {
            return;
        }
        tracing::warn!(
            provider,
            app,
            "the provider has sent more unknown names than are remembered: further ones are not counted, documented fields are"
        );
        let full = Update::show(Family::UnknownFieldsFull, app_labels(provider, app), String::new(), Some(1));
        self.exposition.update(vec![full]).await;
    }

    /// Notes how many messages of a report are late.
    pub fn late(&self, id: &ReportId, messages: i64) {
        if let Some(health) = self.reports.lock().get_mut(id) {
            health.late_messages = messages;
        }
    }

    /// All followed files by app and path.
    pub fn files(&self) -> Vec<((String, String), FileHealth)> {
        self.files.lock().iter().map(|(key, health)| (key.clone(), health.clone())).collect()
    }

    /// Notes how a followed file of an app is.
    pub fn file(&self, app: &str, path: &str, health: FileHealth) {
        self.files.lock().insert((app.to_owned(), path.to_owned()), health);
    }

    /// The reports that are due and have no first result.
    pub fn pending(&self) -> Vec<ReportId> {
        self.pending.lock().iter().cloned().collect()
    }

    /// A report has a first result, though its poll may go on for long.
    pub fn has_result(&self, id: &ReportId) {
        self.pending.lock().remove(id);
    }

    /// A report with what the ledger remembers of it. `due` is when its first poll is, if any is due.
    pub async fn add(&self, id: &ReportId, restored: ReportHealth, due: Option<Timestamp>, now: Timestamp) {
        let errors = self.errors_before.lock().get(id).cloned().unwrap_or_default();
        let count = |reason: &Reason| {
            let count = errors.get(reason.name()).copied().unwrap_or_default();
            id.set(Family::PollErrors, &[("reason", reason.name())], count)
        };
        let mut updates: Vec<Update> = Reason::ALL.iter().map(count).collect();
        let times = [
            (Family::PollDue, due),
            (Family::LastSuccess, restored.last_success),
            (Family::LastChange, restored.last_change),
        ];
        updates.extend(times.into_iter().filter_map(|(family, at)| Some(id.set(family, &[], at?.as_millisecond()))));
        updates.extend((restored.state == State::Up).then(|| id.set(Family::Up, &[], 1)));
        if due.is_some_and(|due| due <= now) {
            self.pending.lock().insert(id.clone());
        }
        self.reports.lock().insert(id.clone(), ReportHealth { next_poll: due, errors, ..restored });
        self.exposition.update(updates).await;
    }

    /// An app is not polled any more.
    pub fn forget(&self, provider: &str, app: &str) {
        let is_its = |id: &ReportId| id.provider == provider && id.app == app;
        self.pending.lock().retain(|id| !is_its(id));
        self.files.lock().retain(|(of, _), _| of != app);
        self.apps.lock().retain(|(of, name), _| (*of, name.as_str()) != (provider, app));
        let mut reports = self.reports.lock();
        let gone: Vec<ReportId> = reports.keys().filter(|id| is_its(id)).cloned().collect();
        let mut before = self.errors_before.lock();
        for id in gone {
            if let Some(health) = reports.remove(&id) {
                before.insert(id, health.errors);
            }
        }
    }

    /// There was nothing to ask, and the next poll is due at `due`, if any is. This ends an outage of the ledger, after
    /// which the report is as it was before. It ends the failure of a part if `parts_are_well`, and any failure if
    /// there is nothing left to ask for.
    pub async fn nothing_due(&self, id: &ReportId, due: Option<Timestamp>, parts_are_well: bool) {
        let mut updates = vec![id.set_due(due)];
        {
            let mut reports = self.reports.lock();
            let health = reports.entry(id.clone()).or_default();
            health.next_poll = due;
            let is_over = |failure: &mut Failure| {
                let is_ledger = failure.reason == Reason::Ledger.name();
                is_ledger || failure.is_wait || (failure.is_part && parts_are_well) || due.is_none()
            };
            if let Some(failure) = health.error.take_if(is_over) {
                health.state = match failure.is_wait || failure.reason == Reason::Ledger.name() {
                    true => health.before_outage,
                    false if failure.is_part => State::Up,
                    false => State::Waiting,
                };
                updates.push(id.not_failing(&failure));
                updates.push(match health.state {
                    State::Up => id.set(Family::Up, &[], 1),
                    State::Waiting | State::Failing => id.remove(Family::Up, &[]),
                });
            }
        }
        self.pending.lock().remove(id);
        self.exposition.update(updates).await;
    }

    /// The oldest outstanding poll of a report is another than before.
    pub async fn backlog(&self, id: &ReportId, due: Option<Timestamp>) {
        self.exposition.update(vec![id.set_due(due)]).await;
    }

    /// A poll succeeded; the next is due at `due`, if any is. Returns whether it was failing before.
    pub async fn succeeded(&self, id: &ReportId, ended: Ended, due: Option<Timestamp>) -> bool {
        let now = ended.now;
        let (was_failing, failure) = {
            let mut reports = self.reports.lock();
            let health = reports.entry(id.clone()).or_default();
            let failure = health.error.take();
            let was_failing = failure.as_ref().is_some_and(|failure| !failure.is_wait);
            health.state = State::Up;
            health.last_success = Some(now);
            health.next_poll = due;
            health.failures = 0;
            (was_failing, failure)
        };
        let mut updates = self.ended(id, ended);
        updates.extend([
            id.set(Family::Up, &[], 1),
            id.set(Family::LastSuccess, &[], now.as_millisecond()),
            id.set_due(due),
        ]);
        updates.extend(failure.map(|failure| id.not_failing(&failure)));
        self.exposition.update(updates).await;
        was_failing
    }

    /// A poll succeeded in what it asked for, while something it did not ask for is still failing: a part of the report
    /// is. False if nothing is known to fail.
    pub async fn still_failing(&self, id: &ReportId, ended: Ended, due: Option<Timestamp>) -> bool {
        let (before, after) = {
            let mut reports = self.reports.lock();
            let health = reports.entry(id.clone()).or_default();
            let Some(failure) = health.error.as_mut().filter(|failure| !failure.is_wait) else { return false };
            let before = failure.clone();
            failure.is_part = true;
            let after = failure.clone();
            health.next_poll = due;
            health.failures = 0;
            (before, after)
        };
        let mut updates = self.ended(id, ended);
        updates.push(id.set_due(due));
        updates.extend(id.replace_failing(Some(before), &after));
        self.exposition.update(updates).await;
        true
    }

    /// A poll failed, as a whole or in a part. `next` says from the number of failures in a row when it is tried again.
    /// The time that it was due stays, unless other parts have come further, to `due`. Returns the time of the next
    /// poll, and whether the failure is another than before.
    pub async fn failed(
        &self,
        id: &ReportId,
        failure: Failure,
        ended: Ended,
        due: Option<Timestamp>,
        next: impl FnOnce(u32) -> Option<Timestamp>,
    ) -> (Option<Timestamp>, bool) {
        let reason = failure.reason;
        let (next, previous, errors) = {
            let mut reports = self.reports.lock();
            let health = reports.entry(id.clone()).or_default();
            health.failures = if failure.is_part { 0 } else { health.failures.saturating_add(1) };
            let next = next(health.failures);
            if health.state != State::Failing {
                health.before_outage = health.state;
            } else if reason != Reason::Ledger.name() {
                health.before_outage = State::Waiting;
            }
            health.state = State::Failing;
            health.next_poll = next;
            let errors = health.errors.entry(reason).or_default();
            *errors += 1;
            let errors = *errors;
            let message = failure.message.clone();
            let last = LastError { at: failure.since, reason, message, advice: failure.advice };
            // The same again is not told again.
            if health
                .last_errors
                .front()
                .is_some_and(|newest| (newest.reason, &newest.message) == (reason, &last.message))
            {
                health.last_errors.pop_front();
            }
            health.last_errors.push_front(last);
            health.last_errors.truncate(FAILURES_KEPT);
            let earlier = health.error.as_ref().filter(|earlier| earlier.reason == reason);
            let since = earlier.map_or(failure.since, |earlier| earlier.since);
            let previous = health.error.replace(Failure { since, ..failure.clone() });
            (next, previous, errors)
        };
        let is_new = previous.as_ref().is_none_or(|previous| {
            previous.is_wait
                || (previous.reason, previous.is_part, &previous.code) != (reason, failure.is_part, &failure.code)
        });
        let mut updates = self.ended(id, ended);
        updates.extend([id.set(Family::Up, &[], 0), id.set(Family::PollErrors, &[("reason", reason)], errors)]);
        if due.is_some() {
            updates.push(id.set_due(due));
        }
        updates.extend(id.replace_failing(previous, &failure));
        self.exposition.update(updates).await;
        (next, is_new)
    }

    /// Shows a report as failing while its poll waits out a rate limit, to `next`. No failed poll is counted. Returns
    /// whether it was not failing before.
    pub async fn waits(&self, id: &ReportId, failure: Failure, next: Option<Timestamp>) -> bool {
        {
            let mut reports = self.reports.lock();
            let health = reports.entry(id.clone()).or_default();
            if health.state == State::Failing {
                return false;
            }
            health.before_outage = health.state;
            health.state = State::Failing;
            health.next_poll = next;
            health.error = Some(failure.clone());
        }
        let updates = vec![id.set(Family::Up, &[], 0), id.set(Family::PollFailing, &failure.labels(), 1)];
        self.exposition.update(updates).await;
        true
    }

    /// Ends [`Health::waits`]: the poll goes on.
    pub async fn waits_no_more(&self, id: &ReportId) {
        let (failure, state) = {
            let mut reports = self.reports.lock();
            let Some(health) = reports.get_mut(id) else { return };
            let Some(failure) = health.error.take_if(|failure| failure.is_wait) else { return };
            health.state = health.before_outage;
            (failure, health.state)
        };
        let up = match state {
            State::Up => id.set(Family::Up, &[], 1),
            State::Waiting | State::Failing => id.remove(Family::Up, &[]),
        };
        self.exposition.update(vec![id.not_failing(&failure), up]).await;
    }

    /// Updates that follow every poll.
    fn ended(&self, id: &ReportId, ended: Ended) -> Vec<Update> {
        let Ended { now, has_new_numbers, took } = ended;
        self.pending.lock().remove(id);
        let mut updates: Vec<Update> = took.map(|took| duration(id, took)).into_iter().collect();
        if has_new_numbers {
            self.reports.lock().entry(id.clone()).or_default().last_change = Some(now);
            updates.push(id.set(Family::LastChange, &[], now.as_millisecond()));
        }
        updates
    }

    /// An app of a provider is known since then; said of all apps before their unknown names are counted.
    pub fn known_since(&self, provider: &'static str, at: Timestamp) {
        self.known_since.lock().entry(provider).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }

    /// Adds names that an app was the first to see.
    pub async fn unknown_names(&self, id: &ReportId, new: i64) {
        self.count_unknown(id, |count| count.saturating_add(new)).await;
    }

    /// The names that an app has been the first to see so far.
    pub async fn remember_unknown(&self, id: &ReportId, known: i64) {
        self.count_unknown(id, |count| known.max(count)).await;
    }

    async fn count_unknown(&self, id: &ReportId, change: impl FnOnce(i64) -> i64) {
        let total = {
            let mut unknown = self.unknown.lock();
            let Unknown { total, apps } = unknown.entry((id.provider, id.report)).or_default();
            let count = apps.entry(id.app.clone()).or_default();
            let before = std::mem::replace(count, change(*count));
            *total = total.saturating_add(*count - before);
            *total
        };
        let app_labels = text::labels(&[("provider", id.provider)]).into();
        let created = self.known_since.lock().get(id.provider).copied();
        let sample =
            Sample { family: Family::UnknownFields, app_labels, labels: id.labels(&[]), value: total, created };
        self.exposition.update(vec![Update::Set(sample)]).await;
    }

    /// Shows requests by status code.
    pub async fn requests(&self, id: &ReportId, requests: &Requests) {
        let updates = requests
            .by_code()
            .into_iter()
            .map(|(code, count)| {
                let code = code.map_or("none".to_owned(), |code| code.to_string());
                id.set(Family::ApiRequests, &[("code", &code)], i64::try_from(count).unwrap_or(i64::MAX))
            })
            .collect();
        self.exposition.update(updates).await;
    }
}

fn duration(id: &ReportId, took: Duration) -> Update {
    id.set(Family::PollDuration, &[], i64::try_from(took.as_millis()).unwrap_or(i64::MAX))
}
