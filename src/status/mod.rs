//! Status of every report, which the status page lists and the health metrics show. Both come from here, so they
//! cannot differ.

mod activity;
pub(crate) mod bell;
mod counters;
mod deliveries;
mod report;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::exposition::{Exposition, Sample, Update, text};
use crate::ledger::Hurry;
use crate::metrics::catalog::Family;
use crate::provider::error::Reason;
use crate::provider::request_counts::Requests;
use crate::status::bell::{Bell, Selection};
use crate::status::report::Errors;

pub use activity::{Activity, Work};
pub use counters::counters;
pub use deliveries::{ChannelDeliveries, ChannelState, Deliveries, Period};
pub use report::{
    AppStatus, BadLine, FileStatus, Health, MessageCounts, PastFailure, PollFailure, PollTiming, Quota, Reconciled,
    ReportId, ReportStatus, app_labels,
};
pub use services::Services;

/// Number of unknown names of a provider's report.
#[derive(Default)]
struct UnknownNames {
    total: i64,
    /// Number by app, including removed apps.
    apps: BTreeMap<String, i64>,
}

/// Number of failures of a report that are remembered.
const FAILURES_KEPT: usize = 5;

/// Status of all reports, shared by the pollers and the web server.
#[derive(Clone)]
pub struct Status {
    registry: Arc<Mutex<Registry>>,
    exposition: Exposition,
    activity: Arc<Activity>,
    deliveries: Arc<Deliveries>,
}

/// All known state under one lock, so that values that are read together are consistent.
#[derive(Default)]
struct Registry {
    /// Followed files by app and path.
    files: BTreeMap<(String, String), FileStatus>,
    reports: BTreeMap<ReportId, ReportStatus>,
    apps: BTreeMap<(&'static str, String), AppStatus>,
    /// Reports without a first result although one is due.
    pending: BTreeSet<ReportId>,
    /// Unknown names seen so far, by provider and report.
    unknown: BTreeMap<(&'static str, &'static str), UnknownNames>,
    /// Failed polls since the start, of reports that a reload has stopped.
    errors_before: BTreeMap<ReportId, Errors>,
    /// Time since which apps of a provider are known.
    known_since: BTreeMap<&'static str, Timestamp>,
    other_apps: Vec<OtherApp>,
}

/// A configured app that this process does not own, since another replica does or nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherApp {
    /// Name of the provider.
    pub provider: String,
    /// Name of the app.
    pub app: String,
    /// Name of the replica that owns it; `None` if nobody does at the moment.
    pub owner: Option<String>,
}

impl Status {
    /// Creates a status without reports.
    pub fn new(exposition: Exposition) -> Status {
        Status { registry: Arc::default(), exposition, activity: Arc::default(), deliveries: Arc::default() }
    }

    /// Returns the counts of work for the heartbeat in the log.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Returns the deliveries of each channel.
    pub fn deliveries(&self) -> &Arc<Deliveries> {
        &self.deliveries
    }

    /// Returns all reports by id.
    pub fn reports(&self) -> Vec<(ReportId, ReportStatus)> {
        self.registry.lock().reports.iter().map(|(id, status)| (id.clone(), status.clone())).collect()
    }

    /// Polls the reports of a selection out of turn, one shortly after the other. Returns their number.
    pub fn poll_now(&self, selection: &Selection) -> usize {
        let bells = self.bells(selection);
        let (count, hurry) = (bells.len(), selection.hurry);
        tokio::spawn(async move {
            for bell in bells {
                bell.ring(hurry);
                tokio::time::sleep(bell::pace(count)).await;
            }
        });
        count
    }

    /// Returns the bells of the reports of a selection.
    pub fn bells(&self, selection: &Selection) -> Vec<Arc<Bell>> {
        let Selection { provider, app, hurry } = selection;
        let is_selected = |(id, status): &(&ReportId, &ReportStatus)| {
            provider.as_ref().is_none_or(|provider| id.provider == provider)
                && app.as_ref().is_none_or(|app| id.app == *app)
                && (*hurry == Hurry::All || status.state == Health::Failing)
        };
        self.registry.lock().reports.iter().filter(is_selected).map(|(_, status)| Arc::clone(&status.bell)).collect()
    }

    /// Returns the status of all apps, apart from their reports.
    pub fn apps(&self) -> Vec<((&'static str, String), AppStatus)> {
        self.registry.lock().apps.iter().map(|(name, status)| (name.clone(), status.clone())).collect()
    }

    /// Changes the status of an app.
    pub fn app(&self, provider: &'static str, app: &str, change: impl FnOnce(&mut AppStatus)) {
        change(self.registry.lock().apps.entry((provider, app.to_owned())).or_default());
    }

    /// Reports, once, that further unknown names of an app are not counted.
    pub async fn unknown_fields_full(&self, provider: &'static str, app: &str) {
        let mut was_full = false;
        self.app(provider, app, |status| was_full = std::mem::replace(&mut status.unknown_fields_full, true));
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

    /// Records how many messages of a report are late.
    pub fn late(&self, id: &ReportId, messages: i64) {
        if let Some(status) = self.registry.lock().reports.get_mut(id) {
            status.late_messages = messages;
        }
    }

    /// Returns all followed files by app and path.
    pub fn files(&self) -> Vec<((String, String), FileStatus)> {
        self.registry.lock().files.iter().map(|(key, status)| (key.clone(), status.clone())).collect()
    }

    /// Records the status of a followed file of an app.
    pub fn file(&self, app: &str, path: &str, status: FileStatus) {
        self.registry.lock().files.insert((app.to_owned(), path.to_owned()), status);
    }

    /// Returns the reports that are due and have no first result.
    pub fn pending(&self) -> Vec<ReportId> {
        self.registry.lock().pending.iter().cloned().collect()
    }

    /// Records that a report has a first result, even if its poll continues for long.
    pub fn has_result(&self, id: &ReportId) {
        self.registry.lock().pending.remove(id);
    }

    /// Adds a report with the state that the ledger has stored for it. `due` is the due time of its first poll, if
    /// any is due.
    pub async fn add(&self, id: &ReportId, restored: ReportStatus, due: Option<Timestamp>, now: Timestamp) {
        let errors = self.registry.lock().errors_before.get(id).cloned().unwrap_or_default();
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
        updates.extend((restored.state == Health::Up).then(|| id.set(Family::Up, &[], 1)));
        if due.is_some_and(|due| due <= now) {
            self.registry.lock().pending.insert(id.clone());
        }
        self.registry.lock().reports.insert(id.clone(), ReportStatus { next_poll: due, errors, ..restored });
        self.exposition.update(updates).await;
    }

    /// Removes an app that is no longer polled.
    pub fn forget(&self, provider: &str, app: &str) {
        self.deliveries.forget(provider, app);
        let is_its = |id: &ReportId| id.provider == provider && id.app == app;
        let mut registry = self.registry.lock();
        registry.pending.retain(|id| !is_its(id));
        registry.files.retain(|(of, _), _| of != app);
        registry.apps.retain(|(of, name), _| (*of, name.as_str()) != (provider, app));
        let gone: Vec<ReportId> = registry.reports.keys().filter(|id| is_its(id)).cloned().collect();
        for id in gone {
            if let Some(status) = registry.reports.remove(&id) {
                registry.errors_before.insert(id, status.errors);
            }
        }
    }

    /// Forgets what was counted of an app that another replica polls from now on.
    pub fn reset_counts(&self, provider: &str, app: &str) {
        let mut registry = self.registry.lock();
        registry.errors_before.retain(|id, _| (id.provider, id.app.as_str()) != (provider, app));
        for ((of, _), names) in &mut registry.unknown {
            if *of == provider {
                names.apps.remove(app);
            }
        }
    }

    /// Records the configured apps that this process does not own.
    pub fn set_other_apps(&self, apps: Vec<OtherApp>) {
        self.registry.lock().other_apps = apps;
    }

    /// Returns the configured apps that this process does not own.
    pub fn other_apps(&self) -> Vec<OtherApp> {
        self.registry.lock().other_apps.clone()
    }

    /// Returns true if this process may show its apps now.
    pub fn has_lease(&self) -> bool {
        self.exposition.has_lease()
    }

    /// Records that there was nothing to query, and that the next poll is due at `due`, if any is. This ends an
    /// outage of the ledger, after which the report is as it was before. It ends the failure of a part if
    /// `parts_are_well`, and any failure if there is nothing left to query.
    pub async fn nothing_due(&self, id: &ReportId, due: Option<Timestamp>, parts_are_well: bool) {
        let mut updates = vec![id.set_due(due)];
        {
            let mut registry = self.registry.lock();
            let status = registry.reports.entry(id.clone()).or_default();
            status.next_poll = due;
            let is_over = |failure: &mut PollFailure| {
                let is_ledger = failure.reason == Reason::Ledger.name();
                is_ledger || failure.is_wait || (failure.is_part && parts_are_well) || due.is_none()
            };
            if let Some(failure) = status.error.take_if(is_over) {
                status.state = match failure.is_wait || failure.reason == Reason::Ledger.name() {
                    true => status.before_outage,
                    false if failure.is_part => Health::Up,
                    false => Health::Waiting,
                };
                updates.push(id.not_failing(&failure));
                updates.push(match status.state {
                    Health::Up => id.set(Family::Up, &[], 1),
                    Health::Waiting | Health::Failing => id.remove(Family::Up, &[]),
                });
            }
        }
        self.registry.lock().pending.remove(id);
        self.exposition.update(updates).await;
    }

    /// Shows another due time of the oldest outstanding poll of a report.
    pub async fn backlog(&self, id: &ReportId, due: Option<Timestamp>) {
        self.exposition.update(vec![id.set_due(due)]).await;
    }

    /// Records that a poll succeeded; the next is due at `due`, if any is. Returns true if the report was failing
    /// before.
    pub async fn succeeded(&self, id: &ReportId, ended: PollTiming, due: Option<Timestamp>) -> bool {
        let now = ended.now;
        let (was_failing, failure) = {
            let mut registry = self.registry.lock();
            let status = registry.reports.entry(id.clone()).or_default();
            let failure = status.error.take();
            let was_failing = failure.as_ref().is_some_and(|failure| !failure.is_wait);
            status.state = Health::Up;
            status.last_success = Some(now);
            status.next_poll = due;
            status.failures = 0;
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

    /// Records that a poll succeeded in its queries, while a part of the report that it did not query is still
    /// failing. Returns false if no failure is known.
    pub async fn still_failing(&self, id: &ReportId, ended: PollTiming, due: Option<Timestamp>) -> bool {
        let (before, after) = {
            let mut registry = self.registry.lock();
            let status = registry.reports.entry(id.clone()).or_default();
            let Some(failure) = status.error.as_mut().filter(|failure| !failure.is_wait) else { return false };
            let before = failure.clone();
            failure.is_part = true;
            let after = failure.clone();
            status.next_poll = due;
            status.failures = 0;
            (before, after)
        };
        let mut updates = self.ended(id, ended);
        updates.push(id.set_due(due));
        updates.extend(id.replace_failing(Some(before), &after));
        self.exposition.update(updates).await;
        true
    }

    /// Records that a poll failed, as a whole or in part. `next` computes the time of the next poll from the number
    /// of failures in a row. The shown due time stays, unless other parts have progressed to `due`. Returns the time
    /// of the next poll, and true if the failure differs from the previous one.
    pub async fn failed(
        &self,
        id: &ReportId,
        failure: PollFailure,
        ended: PollTiming,
        due: Option<Timestamp>,
        next: impl FnOnce(u32) -> Option<Timestamp>,
    ) -> (Option<Timestamp>, bool) {
        let reason = failure.reason;
        self.activity.failed();
        let (next, previous, errors) = {
            let mut registry = self.registry.lock();
            let status = registry.reports.entry(id.clone()).or_default();
            status.failures = if failure.is_part { 0 } else { status.failures.saturating_add(1) };
            let next = next(status.failures);
            if status.state != Health::Failing {
                status.before_outage = status.state;
            } else if reason != Reason::Ledger.name() {
                status.before_outage = Health::Waiting;
            }
            status.state = Health::Failing;
            status.next_poll = next;
            let errors = status.errors.entry(reason).or_default();
            *errors += 1;
            let errors = *errors;
            let message = failure.message.clone();
            let last = PastFailure { at: failure.since, reason, message, advice: failure.advice };
            // A failure that repeats the newest one replaces it.
            if status
                .last_errors
                .front()
                .is_some_and(|newest| (newest.reason, &newest.message) == (reason, &last.message))
            {
                status.last_errors.pop_front();
            }
            status.last_errors.push_front(last);
            status.last_errors.truncate(FAILURES_KEPT);
            let earlier = status.error.as_ref().filter(|earlier| earlier.reason == reason);
            let since = earlier.map_or(failure.since, |earlier| earlier.since);
            let previous = status.error.replace(PollFailure { since, ..failure.clone() });
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

    /// Shows a report as failing while its poll waits until `next` for the end of a rate limit. No failed poll is
    /// counted. Returns true if the report was not failing before.
    pub async fn waits(&self, id: &ReportId, failure: PollFailure, next: Option<Timestamp>) -> bool {
        {
            let mut registry = self.registry.lock();
            let status = registry.reports.entry(id.clone()).or_default();
            if status.state == Health::Failing {
                return false;
            }
            status.before_outage = status.state;
            status.state = Health::Failing;
            status.next_poll = next;
            status.error = Some(failure.clone());
        }
        let updates = vec![id.set(Family::Up, &[], 0), id.set(Family::PollFailing, &failure.labels(), 1)];
        self.exposition.update(updates).await;
        true
    }

    /// Ends [`Status::waits`]: the poll continues.
    pub async fn waits_no_more(&self, id: &ReportId) {
        let (failure, state) = {
            let mut registry = self.registry.lock();
            let Some(status) = registry.reports.get_mut(id) else { return };
            let Some(failure) = status.error.take_if(|failure| failure.is_wait) else { return };
            status.state = status.before_outage;
            (failure, status.state)
        };
        let up = match state {
            Health::Up => id.set(Family::Up, &[], 1),
            Health::Waiting | Health::Failing => id.remove(Family::Up, &[]),
        };
        self.exposition.update(vec![id.not_failing(&failure), up]).await;
    }

    /// Returns the updates that follow every poll.
    fn ended(&self, id: &ReportId, ended: PollTiming) -> Vec<Update> {
        let PollTiming { now, has_new_numbers, took } = ended;
        self.activity.polled();
        self.registry.lock().pending.remove(id);
        let mut updates: Vec<Update> = took.map(|took| duration(id, took)).into_iter().collect();
        if has_new_numbers {
            self.registry.lock().reports.entry(id.clone()).or_default().last_change = Some(now);
            updates.push(id.set(Family::LastChange, &[], now.as_millisecond()));
        }
        updates
    }

    /// Records since when an app of a provider is known. This is done for all apps before their unknown names are
    /// counted.
    pub fn known_since(&self, provider: &'static str, at: Timestamp) {
        self.registry.lock().known_since.entry(provider).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }

    /// Adds the number of names that an app was the first to see.
    pub async fn unknown_names(&self, id: &ReportId, new: i64) {
        self.count_unknown(id, |count| count.saturating_add(new)).await;
    }

    /// Restores the number of names that an app has been the first to see so far.
    pub async fn remember_unknown(&self, id: &ReportId, known: i64) {
        self.count_unknown(id, |count| known.max(count)).await;
    }

    async fn count_unknown(&self, id: &ReportId, change: impl FnOnce(i64) -> i64) {
        let total = {
            let mut registry = self.registry.lock();
            let UnknownNames { total, apps } = registry.unknown.entry((id.provider, id.report)).or_default();
            let count = apps.entry(id.app.clone()).or_default();
            let before = std::mem::replace(count, change(*count));
            *total = total.saturating_add(*count - before);
            *total
        };
        let app_labels = text::labels(&[("provider", id.provider)]).into();
        let created = self.registry.lock().known_since.get(id.provider).copied();
        let sample =
            Sample { family: Family::UnknownFields, app_labels, labels: id.labels(&[]), value: total, created };
        self.exposition.update(vec![Update::Set(sample)]).await;
    }

    /// Shows the number of requests by status code.
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
