//! Access to one report of a history: a query within the rate limit, retried while that may help, and its numbers as they are
//! kept.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backfill::journal::{Journal, Number};
use crate::backfill::types::{FailedReport, RefusedWindows};
use crate::model::reading::{GaugeReading, Label, Reading};
use crate::poll::backoff;
use crate::provider::client::{AccountClient, Client};
use crate::provider::error::{ProviderError, Reason};
use crate::status::ReportId;
use crate::util::future::BoxFuture;

/// Number of requests for an answer.
const TRIES: u32 = 6;
/// Wait before a retry, besides the jitter.
const RETRY: Duration = Duration::from_secs(1);

/// Result of asking a report.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) refused: Vec<RefusedWindows>,
    pub(super) refused_messages: u64,
    pub(super) failed: Option<FailedReport>,
}

/// Access to one report.
pub(super) struct Access {
    pub(super) id: ReportId,
    pub(super) account: Arc<AccountClient>,
    pub(super) client: Client,
    pub(super) journal: Journal,
}

/// Reason for which a query has no answer.
pub(super) enum NoAnswer {
    Stopped,
    Failed(ProviderError),
}

impl Access {
    /// Sends a query, and repeats it while that may help: also after a refusal that is not in the provider's words, which may
    /// be that of a gateway.
    pub(super) async fn ask<'a, T>(
        client: &Client,
        stop: &CancellationToken,
        query: impl Fn() -> BoxFuture<'a, Result<T, ProviderError>>,
    ) -> Result<T, NoAnswer> {
        let mut attempt = 0;
        loop {
            let Some(answer) = stop.run_until_cancelled(query()).await else { return Err(NoAnswer::Stopped) };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempt += 1;
            let is_doubtful = error.reason() == Reason::BadRequest && !error.is_in_the_providers_words();
            if attempt >= TRIES || !(error.reason().is_transient() || is_doubtful) {
                return Err(NoAnswer::Failed(error));
            }
            if error.reason() == Reason::RateLimited {
                client.rate_limiter().block(error.reset());
            }
            let wait = RETRY + backoff::retry_delay(attempt);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(NoAnswer::Stopped);
            }
        }
    }

    /// Returns the failure of the report.
    pub(super) fn failed(&self, error: &ProviderError) -> FailedReport {
        FailedReport { report: name(&self.id), error: self.account.in_words(error), advice: error.advice() }
    }
}

/// Returns provider, app and report in words.
pub(super) fn name(id: &ReportId) -> String {
    format!("{} {} {}", id.provider, id.app, id.report)
}

/// Returns the numbers of readings that feed counters.
pub(super) fn counters(readings: &[Reading]) -> Vec<Number> {
    let counter = |reading: &Reading| {
        let series = reading.series.clone();
        let labels = vec![("platform", series.platform), ("channel", series.channel), ("kind", series.kind)];
        number(&GaugeReading { family: series.metric.counter(), labels, value: reading.value })
    };
    readings.iter().map(counter).collect()
}

/// Returns a number with its series as it is kept.
pub(super) fn number(reading: &GaugeReading) -> Number {
    let label =
        |(name, label): &(&'static str, Label)| ((*name).to_owned(), label.as_str().to_owned(), label.is_known());
    let labels = reading.labels.iter().map(label).collect();
    Number { metric: reading.family.name().to_owned(), labels, value: reading.value }
}
