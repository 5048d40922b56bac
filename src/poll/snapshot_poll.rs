//! Polling of snapshots: the queries of a poll, and the gauges, which are shown until too many polls have been
//! missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::exposition::{Exposition, Sample, Update, text};
use crate::ledger::{CommitContent, Hurry, NewestQuery, StoredReport};
use crate::model::reading::GaugeReading;
use crate::poll::error::PollError;
use crate::poll::poller::{
    AnswerCommit, MISSED, PollKind, PollOutcome, PollResult, Poller, RETRIES, ReportTask, TRIES,
};
use crate::provider::error::{ProviderError, Reason};
use crate::provider::{SnapshotNumbers, SnapshotQuery, SnapshotReport};
use crate::util::clock::Clock;

/// Polling of a report whose values are those of the current moment.
pub(crate) struct SnapshotPoll {
    report: Arc<dyn SnapshotReport>,
    exposition: Exposition,
    /// Gauges of the last poll, from which changes are detected.
    state: SnapshotState,
    shown: Vec<Sample>,
    /// Time at which the samples were last confirmed.
    fresh: Instant,
}

impl SnapshotPoll {
    /// Prepares the report for polling.
    pub(crate) async fn ready(
        poller: Poller,
        report: Box<dyn SnapshotReport>,
        stored: StoredReport,
    ) -> ReportTask<SnapshotPoll> {
        let now = poller.services.clock.now();
        // The samples are not stored, so the report is polled at once.
        let next = stored.due.unwrap_or(now).min(now);
        let work = SnapshotPoll {
            report: report.into(),
            exposition: poller.services.exposition.clone(),
            state: poller.restored(&stored),
            shown: Vec::new(),
            fresh: Instant::now(),
        };
        ReportTask::new(poller, work, &stored, Some(next)).await
    }

    /// Shows these samples instead of the previous ones.
    async fn show(&mut self, samples: Vec<Sample>) {
        let before = std::mem::replace(&mut self.shown, samples.clone());
        self.exposition.update(Update::replace(before, samples)).await;
    }
}

/// Outcome of a snapshot poll.
#[derive(Default)]
pub(crate) struct SnapshotOutcome {
    state: Option<SnapshotState>,
    samples: Vec<Sample>,
    has_nothing_to_ask: bool,
}

impl PollKind for SnapshotPoll {
    type Outcome = SnapshotOutcome;

    fn interval(&self) -> Duration {
        self.report.spec().interval
    }

    async fn poll(&mut self, poller: Arc<Poller>) -> PollResult<SnapshotOutcome> {
        let mut poll = SnapshotPollRun {
            poller,
            report: Arc::clone(&self.report),
            state: self.state.clone(),
            outcome: SnapshotOutcome::default(),
            has_new_numbers: false,
        };
        let result = poll.run().await;
        PollResult { outcome: poll.outcome, has_new_numbers: poll.has_new_numbers, result }
    }

    // Every poll queries everything.
    fn hurry(&mut self, _hurry: Hurry) {}

    async fn finish(&mut self, outcome: SnapshotOutcome, is_ok: bool, _now: Timestamp) {
        let SnapshotOutcome { state, samples, has_nothing_to_ask } = outcome;
        if has_nothing_to_ask {
            self.show(Vec::new()).await;
        } else if is_ok {
            self.state = state.unwrap_or_default();
            self.fresh = Instant::now();
            self.show(samples).await;
        }
    }

    async fn tick(&mut self, _clock: &Clock) -> bool {
        if !self.shown.is_empty() && self.fresh.elapsed() > self.report.spec().interval.mul_f64(MISSED) {
            self.show(Vec::new()).await;
        }
        false
    }
}

/// State of one poll.
struct SnapshotPollRun {
    poller: Arc<Poller>,
    report: Arc<dyn SnapshotReport>,
    state: SnapshotState,
    outcome: SnapshotOutcome,
    has_new_numbers: bool,
}

impl SnapshotPollRun {
    async fn run(&mut self) -> Result<PollOutcome, PollError> {
        let Poller { app, services, .. } = &*self.poller;
        let now = services.clock.now();
        let due = Some(now.saturating_add(self.report.spec().interval).unwrap_or(now));
        let messages = match self.report.choice() {
            Some(choice) => {
                let since = now.checked_sub(choice.max_age).unwrap_or(now);
                let query = NewestQuery { app: *app, since, count: choice.count };
                services.ledger.newest_messages(query).await?
            }
            None => Vec::new(),
        };
        let queries = self.report.queries(&messages);
        if queries.is_empty() {
            self.outcome.has_nothing_to_ask = true;
            return Ok(PollOutcome::NothingDue(due));
        }
        let (SnapshotNumbers { gauges, unknown }, error) = self.query(&queries).await?;
        let state = SnapshotState::of(&gauges);
        let is_new = state != self.state;
        let answered = AnswerCommit {
            content: CommitContent::Moment { gauges, is_new },
            unknown,
            state: if is_new { self.poller.stored(&state) } else { None },
            succeeded: error.is_none(),
            due,
            sure: now,
        };
        let receipt = self.poller.commit(answered).await?;
        self.has_new_numbers = receipt.has_new_numbers;
        let app_labels = self.poller.id.app_labels();
        let sample = |(family, labels, value)| Sample {
            family,
            app_labels: Arc::clone(&app_labels),
            labels: text::series_labels(&labels),
            value,
            created: None,
        };
        self.outcome.samples = receipt.moment.into_iter().map(sample).collect();
        self.outcome.state = Some(state);
        Ok(if error.is_some() { PollOutcome::Partly(error, due) } else { PollOutcome::Succeeded(due) })
    }

    /// Sends every query, with the retries of one poll. A failed query does not affect the others: its values are
    /// shown as unknown, and its error is returned beside the numbers, unless it is only a refusal
    /// ([`Reason::BadRequest`]).
    async fn query(
        &self,
        queries: &[SnapshotQuery],
    ) -> Result<(SnapshotNumbers, Option<ProviderError>), ProviderError> {
        let mut retries = RETRIES;
        let mut numbers = SnapshotNumbers::default();
        let mut failed = Vec::new();
        for query in queries {
            match self.poller.query(&mut retries, || self.report.query(query, &self.poller.client)).await {
                Ok(answer) => {
                    numbers.gauges.extend(answer.gauges);
                    numbers.unknown.extend(answer.unknown);
                }
                Err(error) if error.ends_the_poll() => return Err(error),
                Err(error) => {
                    let instead = self.report.if_refused(query);
                    failed.push((error, instead));
                    if failed.len() == queries.len().min(TRIES) && numbers.gauges.is_empty() {
                        break;
                    }
                }
            }
        }
        let nothing_passes = numbers.gauges.is_empty();
        let mut trouble = None;
        for (error, instead) in failed {
            match instead {
                Some(instead) if !nothing_passes => numbers.gauges.extend(instead.gauges),
                _ => return Err(error),
            }
            if error.reason() != Reason::BadRequest {
                trouble.get_or_insert(error);
            }
        }
        Ok((numbers, trouble))
    }
}

/// Gauges of a poll: family, label values and sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct SnapshotState(Vec<(String, Vec<String>, i64)>);

impl SnapshotState {
    fn of(gauges: &[GaugeReading]) -> SnapshotState {
        let mut sums: BTreeMap<(&str, Vec<&str>), i64> = BTreeMap::new();
        for gauge in gauges {
            let labels = gauge.labels.iter().map(|(_, label)| label.as_str()).collect();
            let sum = sums.entry((gauge.family.name(), labels)).or_default();
            *sum = sum.saturating_add(gauge.value);
        }
        let owned = |((family, labels), sum): ((&str, Vec<&str>), i64)| {
            (family.to_owned(), labels.into_iter().map(str::to_owned).collect(), sum)
        };
        SnapshotState(sums.into_iter().map(owned).collect())
    }
}
