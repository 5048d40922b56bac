//! Polling of one report of any kind: waits until it is due, retries, commits, backs off and records the result,
//! measured the same way for every provider. The queries of a poll are those of a [`PollKind`]: `window_poll.rs`,
//! `message_poll.rs` or `snapshot_poll.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use crate::config::secret::Secret;
use crate::exposition::{Update, text};
use crate::ledger::{AppId, Commit, CommitContent, Confirmation, Hurry, LedgerError, Receipt, StoredReport};
use crate::metrics::catalog::Family;
use crate::model::advice::Advice;
use crate::poll::backoff;
use crate::poll::error::PollError;
use crate::provider::client::{AccountClient, Client};
use crate::provider::error::{ProviderError, Reason, shorten};
use crate::provider::rate_limit::{LONGEST_RESET, Rate};
use crate::status::bell::Bell;
use crate::status::{Health, PollFailure, PollTiming, Quota, ReportId, ReportStatus, Services, counters};
use crate::util::clock::Clock;
use crate::util::future::BoxFuture;
use crate::util::supervise::spawn_isolated;
use crate::util::versioned::{self, StateError};

/// Retries of a poll: a poll with one query makes at most three requests.
pub(super) const RETRIES: u32 = 2;
/// Number of queries that may fail before any passes; then the report fails as a whole.
pub(super) const TRIES: usize = 3;
/// Longest reset of a rate limit that is waited for within a poll.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Longest uninterrupted wait, so that a stepped clock or a changed secret is noticed.
const NAP: Duration = Duration::from_secs(30);
/// Number of intervals after which a snapshot is no longer shown: when a third poll has been missed, with a margin
/// for a slow poll.
pub(super) const MISSED: f64 = 3.5;
/// Message and advice for a report that waits because another request of its account was rate-limited.
const ANOTHER_REFUSED: &str = "another request of this account was rate-limited";
const RATE_ADVICE: Advice = Advice {
    en: "Ignore it if it passes; if it recurs, poll less often with interval, or find out who else uses the account.",
    zh: "若很快恢复可忽略；若反复出现，请增大 interval，或查明还有谁在使用该账号。",
};
/// Interval at which a failing report checks for a changed secret file.
const SECRET_NAP: Duration = Duration::from_secs(5);

/// A report with everything needed to poll it.
pub(crate) struct Poller {
    /// Labels that identify the report.
    pub id: ReportId,
    /// Id of its app in the ledger.
    pub app: AppId,
    /// Client that sends its queries to the provider.
    pub client: Client,
    /// Client shared with the account's other reports.
    pub account: Arc<AccountClient>,
    /// Secrets of the account.
    pub secrets: Vec<Secret>,
    /// Time for which a new series stays at 0.
    pub hold: Duration,
    /// End of the time for which a quota received by this report is shown.
    pub quota_until: parking_lot::Mutex<Option<Instant>>,
    /// True once a poll has succeeded since the start, at least in part.
    pub has_succeeded: AtomicBool,
    /// True if the process started with this report.
    pub is_first: bool,
    /// Signal that makes the report poll out of turn.
    pub bell: Arc<Bell>,
    /// Time at which the ledger first registered the app, if that was in this process.
    pub known_since: Option<Instant>,
    /// Services shared with the rest of the exporter.
    pub services: Services,
}

/// A kind of poll: by window, by message, or a snapshot.
pub(crate) trait PollKind: Send + 'static {
    /// Result of a poll in addition to what is committed.
    type Outcome: Send;
    /// Returns the interval of a working report, from which back-off is computed.
    fn interval(&self) -> Duration;
    /// Returns the signal that wakes a waiting poller, since something may be due earlier.
    fn wake(&self) -> Option<Arc<Notify>> {
        None
    }
    /// Makes one poll: every query with its retries, and the commits.
    fn poll(&mut self, poller: Arc<Poller>) -> impl Future<Output = PollResult<Self::Outcome>> + Send;
    /// Returns true if calls are still in progress, which the next poll waits for.
    fn is_under_way(&self) -> bool {
        false
    }
    /// Makes the next poll query failing parts again, or everything.
    fn hurry(&mut self, hurry: Hurry);
    /// Takes the outcome of a poll, including one that failed.
    fn finish(&mut self, outcome: Self::Outcome, is_ok: bool, now: Timestamp) -> impl Future<Output = ()> + Send;
    /// Runs periodically while waiting. Returns true if something may be due earlier than expected.
    fn tick(&mut self, clock: &Clock) -> impl Future<Output = bool> + Send;
}

/// Result of a poll, whether it failed or not.
pub(crate) struct PollResult<O> {
    /// Result in addition to what is committed.
    pub outcome: O,
    /// True if a number was new.
    pub has_new_numbers: bool,
    /// Outcome of the poll, or its error if it failed as a whole.
    pub result: Result<PollOutcome, PollError>,
}

/// Outcome of a poll that did not fail as a whole. Its time is when the next poll is due, if any is.
pub(crate) enum PollOutcome {
    /// The poll succeeded.
    Succeeded(Option<Timestamp>),
    /// A part failed, and only that part backs off. The error is `None` if this poll did not query the part.
    Partly(Option<ProviderError>, Option<Timestamp>),
    /// There was nothing to query.
    NothingDue(Option<Timestamp>),
    /// No query passed, but no part is failing any more: the parts that failed are not queried again.
    Dropped(Option<Timestamp>),
}

impl PollOutcome {
    /// Returns the due time of the next poll.
    fn due(&self) -> Option<Timestamp> {
        match self {
            PollOutcome::Succeeded(due)
            | PollOutcome::Partly(_, due)
            | PollOutcome::NothingDue(due)
            | PollOutcome::Dropped(due) => *due,
        }
    }
}

/// A report that is ready to be polled.
pub(crate) struct ReportTask<W> {
    poller: Arc<Poller>,
    work: W,
    next: Option<Timestamp>,
}

/// Polling loop of a [`ReportTask`] of any kind.
pub(crate) type PollLoop = BoxFuture<'static, ()>;

impl<W: PollKind> ReportTask<W> {
    /// Shows the state that the ledger has stored for the report. `next` is the due time of its first poll.
    pub(super) async fn new(poller: Poller, work: W, stored: &StoredReport, next: Option<Timestamp>) -> ReportTask<W> {
        let now = poller.services.clock.now();
        // A report that is not due yet was polled successfully before the process began, or it would be due. A reload
        // may have changed its credentials.
        let is_well = poller.is_first && !stored.is_failing;
        let was_up = is_well && stored.last_success.is_some() && next.is_some_and(|next| next > now);
        let restored = ReportStatus {
            state: if was_up { Health::Up } else { Health::Waiting },
            last_success: stored.last_success,
            last_change: stored.last_change,
            bell: Arc::clone(&poller.bell),
            ..ReportStatus::default()
        };
        poller.services.status.add(&poller.id, restored, next, now).await;
        ReportTask { poller: Arc::new(poller), work, next }
    }

    /// Polls until the task is cancelled.
    pub(crate) fn run(self) -> PollLoop {
        Box::pin(self.poll_through_panics())
    }

    /// Polls, and treats a panic as a failed poll, from which the report backs off.
    async fn poll_through_panics(self) {
        let ReportTask { poller, work, mut next } = self;
        let interval = work.interval();
        let work = Arc::new(Mutex::new(work));
        let mut failed_with = None;
        let ReportId { provider, app, report } = &poller.id;
        let what = format!("{provider} {app} {report}");
        loop {
            let (polling, work) = (Arc::clone(&poller), Arc::clone(&work));
            let polling = async move { polling.poll_until_stopped(&mut *work.lock().await, next, failed_with).await };
            let polling = Box::pin(polling);
            let Services { panics, tasks, .. } = &poller.services;
            if spawn_isolated(tasks, panics, &what, polling).await.is_some() {
                return;
            }
            poller.show_account(interval, None).await;
            let error = ProviderError::Decode("the poll panicked; please report this as a bug".to_owned());
            next = poller.failed(error.into(), FailureExtent::Whole(interval), poller.ended(false, None)).await;
            failed_with = Some(poller.fingerprint());
        }
    }
}

impl Poller {
    /// Polls repeatedly, first at `next`. While the report is failing, `failed_with` is the fingerprint of the
    /// secrets with which the last poll failed.
    async fn poll_until_stopped<W: PollKind>(
        self: &Arc<Self>,
        work: &mut W,
        mut next: Option<Timestamp>,
        mut failed_with: Option<u64>,
    ) {
        let Services { clock, ledger, .. } = &self.services;
        let mut is_up = ledger.watch();
        let mut is_to_blame = false;
        loop {
            self.wait(next, failed_with, work, &mut is_up).await;
            if !*is_up.borrow_and_update() {
                if !is_to_blame {
                    let scope = FailureExtent::Whole(work.interval());
                    self.failed(LedgerError::Down.into(), scope, self.ended(false, None)).await;
                }
                // The ledger's task ends only with the exporter.
                if is_up.wait_for(|up| *up).await.is_err() {
                    return;
                }
                // A report whose answer could not be written may be the cause, so it keeps backing off.
                if std::mem::take(&mut is_to_blame) {
                    continue;
                }
            }
            // What a poll needs beyond its end is little; the rest of its memory is not kept while the report waits.
            let polled = Box::pin(self.poll_once(work)).await;
            (next, failed_with, is_to_blame) = (polled.next, polled.failed_with, polled.is_to_blame);
            if failed_with.is_none() && work.is_under_way() {
                next = Some(clock.now());
            }
        }
    }

    /// Makes one poll, and shows how it ended.
    async fn poll_once<W: PollKind>(self: &Arc<Self>, work: &mut W) -> PolledOnce {
        let Services { clock, status, .. } = &self.services;
        if let Some(hurry) = self.bell.answer() {
            work.hurry(hurry);
        }
        let secrets = self.fingerprint();
        let started = Instant::now();
        self.client.requests().take_waited();
        let PollResult { outcome, has_new_numbers, result } = work.poll(Arc::clone(self)).await;
        let took = started.elapsed().saturating_sub(self.client.requests().take_waited());
        work.finish(outcome, result.is_ok(), clock.now()).await;
        let due = result.as_ref().ok().and_then(PollOutcome::due);
        self.show_account(work.interval(), due).await;
        let ended = self.ended(has_new_numbers, Some(took));
        if matches!(result, Ok(PollOutcome::Succeeded(_) | PollOutcome::Partly(..))) {
            self.has_succeeded.store(true, Ordering::Relaxed);
        }
        match result {
            Ok(done) => {
                match done {
                    PollOutcome::Succeeded(_) => self.succeeded(ended, due).await,
                    PollOutcome::Partly(Some(error), _) => {
                        self.failed(error.into(), FailureExtent::Part(due), ended).await;
                    }
                    PollOutcome::Partly(None, _) if status.still_failing(&self.id, ended, due).await => {}
                    PollOutcome::Partly(None, _) => self.succeeded(ended, due).await,
                    PollOutcome::NothingDue(_) => status.nothing_due(&self.id, due, false).await,
                    PollOutcome::Dropped(_) => status.nothing_due(&self.id, due, true).await,
                }
                PolledOnce { next: due, failed_with: None, is_to_blame: false }
            }
            Err(error) => {
                let is_to_blame = error.reason() == Reason::Ledger;
                let next = self.failed(error, FailureExtent::Whole(work.interval()), ended).await;
                PolledOnce { next, failed_with: Some(secrets), is_to_blame }
            }
        }
    }

    /// Waits until `next`, at the latest by the monotonic clock, or until a reason to poll at once: a secret that
    /// differs from the one a poll `failed_with`, something new to query, a request to poll out of turn, or a ledger
    /// that is down.
    async fn wait<W: PollKind>(
        &self,
        next: Option<Timestamp>,
        failed_with: Option<u64>,
        work: &mut W,
        is_up: &mut watch::Receiver<bool>,
    ) {
        let now = || self.services.clock.now();
        let left = || next.map(|next| Duration::try_from(next.duration_since(now())).unwrap_or_default());
        let deadline = left().map(|left| Instant::now() + left);
        // A failing report keeps backing off, even if there is something new to query.
        let is_failing = failed_with.is_some();
        let wake = work.wake().filter(|_| !is_failing);
        let failed_with = failed_with.filter(|_| self.secrets.iter().any(Secret::can_change));
        let nap = if failed_with.is_some() { SECRET_NAP } else { NAP };
        loop {
            let is_out_of_step = work.tick(&self.services.clock).await;
            self.age_quota().await;
            let left = left().zip(deadline).map(|(left, end)| left.min(end.saturating_duration_since(Instant::now())));
            let is_due = left.is_some_and(|left| left.is_zero()) || (is_out_of_step && !is_failing);
            if is_due || !*is_up.borrow() {
                return;
            }
            if failed_with.is_some_and(|before| before != self.fingerprint()) {
                let ReportId { provider, app, report } = &self.id;
                tracing::info!(provider, app, report, "a secret has changed; polling at once");
                return;
            }
            let woken = async {
                match &wake {
                    Some(wake) => wake.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(left.map_or(nap, |left| left.min(nap))) => {}
                _ = is_up.changed() => {}
                () = woken => return,
                () = self.bell.rung() => return,
            }
        }
    }

    /// Reads the secrets and registers them with the scrubber. The returned number differs if a secret has changed.
    fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        for secret in &self.secrets {
            let secret = secret.current();
            self.account.scrubber().learn(&secret);
            secret.expose_secret().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Sends a query, and repeats it while retries are left and a retry may help.
    pub(super) async fn query<'a, T>(
        &self,
        retries: &mut u32,
        query: impl Fn() -> BoxFuture<'a, Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let mut attempt = 0;
        let mut has_waited = self.client.rate_limiter().blocked_for().is_some();
        if has_waited {
            self.waits(ANOTHER_REFUSED, RATE_ADVICE).await;
        }
        loop {
            // This process may have been stopped, and another replica may own the app by now.
            self.services.lease.held().await;
            let error = match query().await {
                Ok(answer) => {
                    if has_waited {
                        self.services.status.waits_no_more(&self.id).await;
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let reason = error.reason();
            if reason == Reason::RateLimited {
                self.client.rate_limiter().block(error.reset());
            }
            let is_too_far = error.reset().is_some_and(|reset| reset > LONGEST_WAIT);
            if *retries == 0 || !reason.is_transient() || is_too_far {
                return Err(error);
            }
            *retries -= 1;
            let ReportId { provider, app, report } = &self.id;
            let message = self.account.in_words(&error);
            tracing::debug!(provider, app, report, error = message, "query failed; retrying");
            // The wait may take minutes, so its start is shown.
            self.services.status.requests(&self.id, self.client.requests()).await;
            if reason == Reason::RateLimited {
                has_waited = true;
                self.waits(&message, error.advice()).await;
            }
            tokio::time::sleep(backoff::retry_delay(attempt)).await;
            attempt += 1;
        }
    }

    /// Shows that a poll waits for the end of a rate limit.
    async fn waits(&self, message: &str, advice: Advice) {
        let now = self.services.clock.now();
        let wait = self.client.rate_limiter().blocked_for().unwrap_or_default();
        let failure = PollFailure {
            reason: Reason::RateLimited.name(),
            is_part: false,
            is_wait: true,
            code: String::new(),
            message: format!("{message}; waiting {} s before the next request", wait.as_secs()),
            log_id: None,
            advice,
            since: now,
        };
        if self.services.status.waits(&self.id, failure, now.saturating_add(wait).ok()).await {
            let ReportId { provider, app, report } = &self.id;
            let seconds = wait.as_secs();
            tracing::info!(provider, app, report, seconds, error = message, "waiting for the end of a rate limit");
        }
        if let Some(rate) = self.account.take_rate(self.client.rate_limiter().api()) {
            *self.quota_until.lock() = Some(Instant::now() + LONGEST_RESET);
            self.show_quota(rate).await;
        }
    }

    /// Returns the correction of times that the ledger has from the local clock, until it is committed.
    pub(super) fn confirmation(&self, now: Timestamp) -> Option<Confirmation> {
        let correction = self.account.provider_time().correction()?;
        let first_known = self.known_since.and_then(|since| now.checked_sub(since.elapsed()).ok());
        Some(Confirmation { correction, first_known })
    }

    /// Commits an interpreted answer, then shows the changes.
    pub(super) async fn commit(&self, commit: AnswerCommit) -> Result<Receipt, PollError> {
        let AnswerCommit { content, unknown, state, succeeded, due, sure } = commit;
        let now = self.services.clock.now();
        let confirmation = self.confirmation(now);
        let is_confirmed = confirmation.is_some();
        let commit = Commit {
            app: self.app,
            report: self.id.report,
            now,
            sure: sure.min(now),
            confirmation,
            hold: self.hold,
            content,
            // A name comes from the provider: it may contain a secret, and may repeat for each message.
            unknown: BTreeSet::from_iter(unknown).iter().map(|name| self.account.scrubber().scrub(name)).collect(),
            state,
            succeeded,
            due,
        };
        let mut receipt = self.services.ledger.commit(commit).await?;
        self.services.status.has_result(&self.id);
        if is_confirmed {
            self.account.provider_time().corrected();
        }
        let series = std::mem::take(&mut receipt.series);
        self.services.status.deliveries().counted(self.id.provider, &self.id.app, &series);
        self.services.exposition.count(counters(&self.id.app_labels(), series, self.hold)).await;
        if receipt.is_full {
            let ReportId { provider, app, .. } = &self.id;
            self.services.status.unknown_fields_full(provider, app).await;
        }
        for subject in &receipt.unreadable {
            let ReportId { provider, app, report } = &self.id;
            let text = "cannot read the stored state of this message or window; it continues from a new baseline";
            tracing::error!(provider, app, report, subject, "{text}");
        }
        if !receipt.new_names.is_empty() {
            let ReportId { provider, app, report } = &self.id;
            for name in &receipt.new_names {
                tracing::warn!(provider, app, report, name, "the provider sends something this release does not know");
            }
            let count = i64::try_from(receipt.new_names.len()).unwrap_or(i64::MAX);
            self.services.status.unknown_names(&self.id, count).await;
        }
        Ok(receipt)
    }

    /// Returns the state that the ledger keeps of the report. One that cannot be read is logged and counted, and the
    /// report starts without it: it repeats earlier queries, and the ledger counts nothing twice.
    pub(super) fn restored<T: DeserializeOwned + Default>(&self, stored: &StoredReport) -> T {
        versioned::decode(&stored.state).unwrap_or_else(|error| {
            let ReportId { provider, app, report } = &self.id;
            let error = error.to_string();
            tracing::error!(
                provider,
                app,
                report,
                error,
                "cannot read the stored state of the report; starting without it"
            );
            self.services.ledger.note_unreadable();
            T::default()
        })
    }

    /// Logs and counts a message whose stored numbers cannot be read: it is shown again after its next poll.
    pub(super) fn unreadable_message(&self, msg_id: &str, error: &StateError) {
        let ReportId { provider, app, report } = &self.id;
        let error = error.to_string();
        tracing::error!(
            provider,
            app,
            report,
            msg_id,
            error,
            "cannot read the stored numbers of one of the newest messages"
        );
        self.services.ledger.note_unreadable();
    }

    /// Returns the stored form of a state; `None` leaves the stored one unchanged.
    pub(super) fn stored(&self, state: &impl Serialize) -> Option<String> {
        let stored = versioned::encode(state).inspect_err(|error| {
            let ReportId { provider, app, report } = &self.id;
            tracing::error!(provider, app, report, error = error.to_string(), "cannot store the state of the report");
        });
        stored.ok()
    }

    fn ended(&self, has_new_numbers: bool, took: Option<Duration>) -> PollTiming {
        PollTiming { now: self.services.clock.now(), has_new_numbers, took }
    }

    /// Records a success, and logs it if the report was failing.
    async fn succeeded(&self, ended: PollTiming, due: Option<Timestamp>) {
        if self.services.status.succeeded(&self.id, ended, due).await {
            let ReportId { provider, app, report } = &self.id;
            tracing::info!(provider, app, report, "the report works again");
        }
    }

    /// Records a failure, logs it once, and returns the due time of the next poll.
    async fn failed(&self, error: PollError, scope: FailureExtent, ended: PollTiming) -> Option<Timestamp> {
        let now = ended.now;
        let reason = error.reason();
        let message = self.account.in_words(&error);
        let log_id = error.log_id().map(|id| shorten(&self.account.scrubber().scrub(id)));
        let failure = PollFailure {
            reason: reason.name(),
            is_part: matches!(scope, FailureExtent::Part(_)),
            is_wait: false,
            code: error.code(),
            message: message.clone(),
            log_id: log_id.clone(),
            advice: error.advice(),
            since: now,
        };
        let reset = error.reset().unwrap_or_default();
        let next = |failures| match scope {
            FailureExtent::Whole(interval) => {
                let wait = match self.has_succeeded.load(Ordering::Relaxed) {
                    true => backoff::back_off(interval, failures),
                    false => backoff::back_off_at_start(interval, failures),
                };
                Some(now.saturating_add(wait.max(reset.min(LONGEST_RESET))).unwrap_or(now))
            }
            FailureExtent::Part(due) => due,
        };
        let due = if let FailureExtent::Part(due) = scope { due } else { None };
        let (next, is_new) = self.services.status.failed(&self.id, failure, ended, due, next).await;
        if is_new {
            let ReportId { provider, app, report } = &self.id;
            let (reason, advice) = (reason.name(), error.advice().en);
            let text = match scope {
                FailureExtent::Whole(_) => "the report is failing",
                FailureExtent::Part(_) => "a part of the report is failing; its other parts work",
            };
            tracing::warn!(provider, app, report, reason, error = message, log_id, advice, "{text}");
        }
        next
    }

    /// Shows the requests, the token and the quota of the account after a poll of a report with this interval, whose
    /// next poll is at `due`.
    async fn show_account(&self, interval: Duration, due: Option<Timestamp>) {
        let Services { status, exposition, .. } = &self.services;
        status.requests(&self.id, self.client.requests()).await;
        let token = ReportId { report: "token", ..self.id.clone() };
        status.requests(&token, self.account.token_requests()).await;
        let show = |family, labels, value| Update::show(family, self.id.app_labels(), labels, value);
        // A token that does not expire has no expiry series.
        let expiry = self.account.token_expiry().map(Timestamp::as_millisecond);
        let skew = self.account.provider_time().skew();
        let skew_ms = skew.map(|skew| i64::try_from(skew.as_millis()).unwrap_or(i64::MAX));
        let families = [(Family::TokenExpiry, expiry), (Family::ClockSkew, skew_ms)];
        exposition.update(families.map(|(family, value)| show(family, String::new(), value)).to_vec()).await;
        let ReportId { provider, app, .. } = &self.id;
        let seconds = skew.map(|skew| skew.as_secs_f64());
        status.app(provider, app, |status| {
            status.token_expiry = self.account.token_expiry();
            status.clock_skew_seconds = seconds;
        });
        match self.account.provider_time().is_off() {
            Some(true) => tracing::warn!(
                provider,
                app,
                seconds,
                "this machine's clock and the provider's differ; synchronize the clock (chrony, systemd-timesyncd). Beyond five minutes the provider's time is used"
            ),
            Some(false) => {
                tracing::info!(provider, app, seconds, "this machine's clock and the provider's agree again")
            }
            None => {}
        }
        if let Some(rate) = self.account.take_rate(self.client.rate_limiter().api()) {
            let wait = due.and_then(|due| Duration::try_from(due.duration_since(self.services.clock.now())).ok());
            let next = interval.max(wait.unwrap_or_default());
            *self.quota_until.lock() = Some(Instant::now() + next + interval.mul_f64(MISSED - 1.0));
            self.show_quota(rate).await;
        }
    }

    async fn show_quota(&self, rate: Rate) {
        let api = self.client.rate_limiter().api();
        let show = |(family, count): (_, Option<u64>)| {
            let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
            Update::show(family, self.id.app_labels(), text::labels(&[("api", api)]), count)
        };
        let ReportId { provider, app, .. } = &self.id;
        let Rate { limit, remaining, .. } = rate;
        self.services.status.app(provider, app, |status| {
            if limit.is_none() && remaining.is_none() {
                status.quotas.remove(api);
            } else {
                status.quotas.insert(api, Quota { limit, remaining });
            }
        });
        let counts = [(Family::ApiQuotaLimit, rate.limit), (Family::ApiQuotaRemaining, rate.remaining)];
        self.services.exposition.update(counts.into_iter().map(show).collect()).await;
    }

    /// Removes a quota from the exposition that too many polls have not confirmed.
    async fn age_quota(&self) {
        let is_over = self.quota_until.lock().take_if(|until| Instant::now() > *until).is_some();
        if is_over {
            self.show_quota(Rate::default()).await;
        }
    }
}

/// An interpreted answer that is to be committed.
pub(super) struct AnswerCommit {
    pub(super) content: CommitContent,
    pub(super) unknown: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) succeeded: bool,
    pub(super) due: Option<Timestamp>,
    /// Latest time that is certain.
    pub(super) sure: Timestamp,
}

/// End of a poll.
struct PolledOnce {
    /// Due time of the next poll.
    next: Option<Timestamp>,
    /// Fingerprint of the secrets with which the poll failed.
    failed_with: Option<u64>,
    /// True if the ledger did not take the answer.
    is_to_blame: bool,
}

/// Part of a report that a failure concerns.
#[derive(Clone, Copy)]
enum FailureExtent {
    /// The whole report; back-off is computed from this interval.
    Whole(Duration),
    /// A part; the time is when the next poll is due.
    Part(Option<Timestamp>),
}
