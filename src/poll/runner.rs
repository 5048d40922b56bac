//! One report being polled: waiting until it is due, asking, retrying, committing, and telling how it
//! went. Measured the same way for every provider.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::gauges::{Gauges, gauge_readings};
use super::health::{Failure, Health, ReportHealth, ReportId};
use super::schedule;
use crate::clock::Clock;
use crate::config::secret::Secret;
use crate::ledger::{
    AppId, Commit, Ledger, LedgerError, Receipt, SeriesTotal, StoredGauges, StoredReport, SubjectReadings,
};
use crate::page::families::Family;
use crate::page::{Page, Sample, Update};
use crate::provider::error::{PollError, Reason, shorten};
use crate::provider::http::{AccountClient, Client};
use crate::provider::quota::LONGEST_RESET;
use crate::provider::{Answer, Ask, Digest, Memory, Report};

/// A poll may ask again twice: three requests in all where it has one question.
const TRIES: u32 = 3;
/// A reset further away than this is not waited for within a poll.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Waiting is cut into pieces of this length, so that a stepped clock or a changed secret is noticed.
const NAP: Duration = Duration::from_secs(30);
/// How often a failing report looks for a changed secret file.
const SECRET_NAP: Duration = Duration::from_secs(5);

/// A report and all it needs to be polled.
pub struct Poller {
    /// Its labels.
    pub id: ReportId,
    /// Its app in the ledger.
    pub app: AppId,
    /// The report.
    pub report: Box<dyn Report>,
    /// Its way to the provider.
    pub client: Client,
    /// What it shares with the account's other reports.
    pub account: Arc<AccountClient>,
    /// The account's secrets.
    pub secrets: Vec<Secret>,
    /// The app's calendar.
    pub zone: TimeZone,
    /// How long a new series stays at 0.
    pub hold: Duration,
    /// How long window gauges stay without a successful poll.
    pub max_age: Duration,
    /// The rest of the exporter.
    pub services: Services,
}

/// What every poller uses.
#[derive(Clone)]
pub struct Services {
    /// The time.
    pub clock: Clock,
    /// The ledger.
    pub ledger: Ledger,
    /// The page.
    pub page: Page,
    /// The health of all reports.
    pub health: Health,
    /// Counts panics.
    pub panics: prometheus::IntCounter,
}

/// How a poll went.
struct Outcome {
    /// What the secrets looked like when it began.
    secrets: u64,
    memory: Memory,
    has_new_numbers: bool,
    gauges: Vec<StoredGauges>,
    took: Duration,
    result: Result<Timestamp, PollError>,
}

/// A report that is ready to be polled.
pub struct Restored {
    poller: Arc<Poller>,
    memory: Memory,
    next: Timestamp,
    gauges: Gauges,
}

impl Restored {
    /// Polls until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let poller = Arc::clone(&self.poller);
        tokio::select! {
            () = stop.cancelled() => {}
            () = poller.poll_for_ever(self) => {}
        }
    }
}

impl Poller {
    /// Shows what the ledger remembers of the report, and makes it ready to be polled.
    pub async fn restore(self, stored: StoredReport, gauges: Vec<StoredGauges>) -> Restored {
        let Services { clock, health, .. } = &self.services;
        let memory: Memory = serde_json::from_str(&stored.memory).unwrap_or_default();
        let now = clock.now();
        let next = schedule::due_at_start(stored.due, self.report.next_due(now, &memory), now);
        let restored = ReportHealth {
            last_success: stored.last_success,
            last_change: stored.last_change,
            ..ReportHealth::default()
        };
        health.add(&self.id, restored, next, now).await;
        let wanted = gauges.into_iter().filter(|window| self.report.shows(&window.department, window.unit));
        let fresh = stored.last_success.max(stored.last_change);
        let page = self.services.page.clone();
        let mut gauges = Gauges::new(self.id.clone(), page, self.max_age, wanted, fresh);
        gauges.age(now).await;
        Restored { poller: Arc::new(self), memory, next, gauges }
    }

    async fn poll_for_ever(self: &Arc<Self>, restored: Restored) {
        let Services { clock, ledger, health, .. } = &self.services;
        let Restored { mut memory, mut next, mut gauges, .. } = restored;
        let mut is_up = ledger.watch();
        // While failing: what the secrets looked like to the poll that failed.
        let mut failed_with = None;
        let mut is_to_blame = false;
        loop {
            self.wait(next, failed_with, &mut gauges, &mut is_up).await;
            if !*is_up.borrow_and_update() {
                if !is_to_blame {
                    self.failed(PollError::Ledger(LedgerError::Down), Duration::ZERO).await;
                }
                // The ledger's task ends only with the exporter.
                if is_up.wait_for(|up| *up).await.is_err() {
                    return;
                }
                // Whose answer could not be written may be the reason, and keeps its distance.
                if std::mem::take(&mut is_to_blame) {
                    continue;
                }
            }
            let poll = tokio::spawn({
                let (poller, memory) = (Arc::clone(self), memory.clone());
                async move { poller.poll(memory).await }
            });
            let outcome = match AbortOnDropHandle::new(poll).await {
                Ok(outcome) => outcome,
                Err(panic) => self.panicked(panic, memory),
            };
            memory = outcome.memory;
            let now = clock.now();
            if outcome.result.is_ok() || !outcome.gauges.is_empty() {
                gauges.confirm(now).await;
            }
            for window in outcome.gauges {
                gauges.replace(window).await;
            }
            self.show_account().await;
            match outcome.result {
                Ok(due) => {
                    let was_failing = health.succeeded(&self.id, now, outcome.has_new_numbers, outcome.took, due).await;
                    if was_failing {
                        let ReportId { provider, app, report } = &self.id;
                        tracing::info!(provider, app, report, "the report works again");
                    }
                    (next, failed_with, is_to_blame) = (due, None, false);
                }
                Err(error) => {
                    is_to_blame = error.reason() == Reason::Ledger;
                    next = self.failed(error, outcome.took).await;
                    failed_with = Some(outcome.secrets);
                }
            }
        }
    }

    /// Waits until `next`, at the latest by the monotonic clock, or until a reason to poll at once: a secret
    /// that differs from the one a poll `failed_with`, or the ledger.
    async fn wait(
        &self,
        next: Timestamp,
        failed_with: Option<u64>,
        gauges: &mut Gauges,
        is_up: &mut watch::Receiver<bool>,
    ) {
        let left = || Duration::try_from(next.duration_since(self.services.clock.now())).unwrap_or_default();
        let deadline = Instant::now() + left();
        let failed_with = failed_with.filter(|_| self.secrets.iter().any(Secret::can_change));
        let nap = if failed_with.is_some() { SECRET_NAP } else { NAP };
        loop {
            gauges.age(self.services.clock.now()).await;
            let left = left().min(deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() || !*is_up.borrow() {
                return;
            }
            if failed_with.is_some_and(|before| before != self.fingerprint()) {
                let ReportId { provider, app, report } = &self.id;
                tracing::info!(provider, app, report, "a secret has changed; polling at once");
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(nap)) => {}
                _ = is_up.changed() => {}
            }
        }
    }

    /// Reads the secrets and keeps them out of texts. The number tells whether one has changed.
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

    /// One poll: every question, each with its retries and its commit.
    async fn poll(self: Arc<Self>, memory: Memory) -> Outcome {
        let started = Instant::now();
        let now = self.services.clock.now();
        let secrets = self.fingerprint();
        self.client.requests().take_waited();
        let mut outcome = Outcome {
            secrets,
            memory,
            has_new_numbers: false,
            gauges: Vec::new(),
            took: Duration::ZERO,
            result: Ok(now),
        };
        outcome.result = self.ask_everything(now, &mut outcome).await;
        outcome.took = started.elapsed().saturating_sub(self.client.requests().take_waited());
        outcome
    }

    async fn ask_everything(&self, now: Timestamp, outcome: &mut Outcome) -> Result<Timestamp, PollError> {
        let mut asked: Vec<Ask> = Vec::new();
        let mut retries = TRIES - 1;
        let mut failure = None;
        let mut next = self.report.next(now, &outcome.memory, &asked);
        while let Some(ask) = next {
            asked.push(ask.clone());
            match self.ask(&ask, &mut retries).await {
                Ok(answer) => {
                    let digest = self.report.digest(now, &ask, answer, &outcome.memory);
                    next = self.report.next(now, &digest.memory, &asked);
                    let is_last = next.is_none();
                    let due = (is_last && failure.is_none()).then(|| self.report.next_due(now, &digest.memory));
                    // What departments were told is asked again after a crash; only counts must be remembered.
                    let is_remembered = ask.department.is_none() || is_last;
                    self.commit(digest, is_remembered, due, outcome).await?;
                }
                Err(error) if error.is_about_the_question() => {
                    failure.get_or_insert(error);
                    next = self.report.next(now, &outcome.memory, &asked);
                }
                Err(error) => return Err(failure.unwrap_or(error)),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(self.report.next_due(now, &outcome.memory)),
        }
    }

    /// Asks once, and again while there are retries and asking again may help.
    async fn ask(&self, ask: &Ask, retries: &mut u32) -> Result<Answer, PollError> {
        let mut attempt = 0;
        loop {
            let error = match self.report.ask(ask, &self.client).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let reason = error.reason();
            if reason == Reason::RateLimited {
                self.client.budget().block(error.reset());
            }
            let is_too_far = error.reset().is_some_and(|reset| reset > LONGEST_WAIT);
            if *retries == 0 || !reason.is_transient() || is_too_far {
                return Err(match ask.department.clone() {
                    Some(department) => PollError::Department { department, error: Box::new(error) },
                    None => error,
                });
            }
            *retries -= 1;
            let ReportId { provider, app, report } = &self.id;
            let message = self.in_words(&error);
            tracing::debug!(provider, app, report, error = message, "asking again");
            tokio::time::sleep(schedule::retry_delay(attempt)).await;
            attempt += 1;
        }
    }

    /// Commits what was made of an answer, then shows it.
    async fn commit(
        &self,
        digest: Digest,
        is_remembered: bool,
        due: Option<Timestamp>,
        outcome: &mut Outcome,
    ) -> Result<(), PollError> {
        let Digest { counted, covers, gauges, unknown, memory } = digest;
        let subjects = counted
            .into_iter()
            .map(|numbers| SubjectReadings {
                subject: numbers.window.key(),
                began: numbers.window.begin(&self.zone),
                readings: numbers.readings,
            })
            .collect();
        let commit = Commit {
            app: self.app,
            report: self.id.report,
            now: self.services.clock.now(),
            hold: self.hold,
            subjects,
            covers,
            gauges: gauges.into_iter().map(gauge_readings).collect(),
            // A name comes from the provider, which may repeat a secret.
            unknown: unknown.iter().map(|name| self.account.scrubber().scrub(name)).collect(),
            memory: is_remembered.then(|| serde_json::to_string(&memory).unwrap_or_default()),
            completes: due,
        };
        let receipt = self.services.ledger.commit(commit).await.map_err(PollError::Ledger)?;
        outcome.memory = memory;
        let Receipt { series, gauges, has_new_numbers, new_names } = receipt;
        outcome.has_new_numbers |= has_new_numbers;
        outcome.gauges.extend(gauges);
        self.services.page.count(counters(&self.id.owner(), series)).await;
        if !new_names.is_empty() {
            let ReportId { provider, app, report } = &self.id;
            for name in &new_names {
                tracing::warn!(provider, app, report, name, "the provider sends something this release does not know");
            }
            self.services.health.unknown_names(&self.id, i64::try_from(new_names.len()).unwrap_or(i64::MAX)).await;
        }
        Ok(())
    }

    /// Notes a failure, says it once, and tells when to try again.
    async fn failed(&self, error: PollError, took: Duration) -> Timestamp {
        let now = self.services.clock.now();
        let reason = error.reason();
        let message = self.in_words(&error);
        let log_id = error.log_id().map(|id| shorten(&self.account.scrubber().scrub(id)));
        let failure = Failure {
            reason: reason.name(),
            message: message.clone(),
            log_id: log_id.clone(),
            advice: error.advice(),
            since: now,
        };
        let interval = self.report.interval();
        let reset = error.reset().unwrap_or_default();
        let next = |failures| {
            let wait = schedule::back_off(interval, reason, failures).max(reset.min(LONGEST_RESET));
            now.saturating_add(wait).unwrap_or(now)
        };
        let (next, is_new) = self.services.health.failed(&self.id, failure, took, next).await;
        if is_new {
            let ReportId { provider, app, report } = &self.id;
            let advice = error.advice();
            tracing::warn!(
                provider,
                app,
                report,
                reason = reason.name(),
                error = message,
                log_id,
                advice,
                "the report is failing"
            );
        }
        next
    }

    /// An error with its causes, without secrets, on one short line.
    fn in_words(&self, error: &PollError) -> String {
        shorten(&self.account.scrubber().scrub(&crate::error_chain(error)))
    }

    fn panicked(&self, panic: tokio::task::JoinError, memory: Memory) -> Outcome {
        self.services.panics.inc();
        let ReportId { provider, app, report } = &self.id;
        tracing::error!(
            provider,
            app,
            report,
            error = panic.to_string(),
            "a poll panicked; please report this as a bug"
        );
        let result = Err(PollError::Decode("the poll panicked; please report this as a bug".to_owned()));
        let secrets = self.fingerprint();
        Outcome { secrets, memory, has_new_numbers: false, gauges: Vec::new(), took: Duration::ZERO, result }
    }

    /// Shows the requests and the token of the account.
    async fn show_account(&self) {
        let Services { health, page, .. } = &self.services;
        health.requests(&self.id, self.client.requests()).await;
        let token = ReportId { report: "token", ..self.id.clone() };
        health.requests(&token, self.account.token_requests()).await;
        let expiry = self.account.token_expiry();
        let sample = Sample {
            family: Family::TokenExpiry,
            owner: self.id.owner(),
            rest: String::new(),
            value: expiry.map_or(0, jiff::Timestamp::as_millisecond),
        };
        // A token that does not expire has no such series.
        page.update(vec![if expiry.is_some() { Update::Set(sample) } else { Update::remove(sample) }]).await;
    }
}

/// Committed counters as samples of an app, with the time until which each is held.
pub fn counters(owner: &Arc<str>, series: Vec<SeriesTotal>) -> Vec<(Sample, Timestamp)> {
    let sample = |SeriesTotal { family, labels, total, held_until }| {
        (Sample { family, owner: Arc::clone(owner), rest: labels, value: total }, held_until)
    };
    series.into_iter().map(sample).collect()
}
