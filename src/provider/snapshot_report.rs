//! Snapshot reports: numbers of the current moment, which are shown but not stored.

use std::time::Duration;

use crate::model::reading::{GaugeReading, SentMessage};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// A statistics endpoint that is queried for the current state. Its numbers are shown but not stored.
pub trait SnapshotReport: Send + Sync {
    /// Returns the name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Returns the choice of the app's messages to query; `None` if the report is not about messages.
    fn choice(&self) -> Option<Choice> {
        None
    }
    /// Returns the queries of a poll; empty if there is nothing to query. Pure.
    fn queries(&self, messages: &[SentMessage]) -> Vec<SnapshotQuery>;
    /// Returns the numbers to show for a query that the provider refuses while it answers others; `None` if the refusal
    /// fails the poll.
    fn if_refused(&self, _ask: &SnapshotQuery) -> Option<SnapshotNumbers> {
        None
    }
    /// Queries the provider once.
    fn query<'a>(
        &'a self,
        query: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>>;
}

/// The newest messages of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Maximum number of messages.
    pub count: usize,
    /// Maximum time since a message was sent.
    pub max_age: Duration,
}

/// One query of a [`SnapshotReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// Message to query, if the report is about messages.
    pub message: Option<SentMessage>,
    /// Index, from 0, of the part to query when one call cannot take everything.
    pub part: usize,
}

/// Numbers of the current moment in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotNumbers {
    /// Gauge readings; those of the same series are added up.
    pub gauges: Vec<GaugeReading>,
    /// Names in the answer that the exporter does not know, or values that it cannot read.
    pub unknown: Vec<String>,
}
