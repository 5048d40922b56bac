//! Snapshot reports: numbers of the present moment, which are shown and not kept.

use std::time::Duration;

use crate::model::reading::{GaugeReading, SentMessage};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// One statistics endpoint that is asked how things stand at this moment. What it says is shown, not kept.
pub trait SnapshotReport: Send + Sync {
    /// Name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Which of the app's messages it asks about, if it does.
    fn choice(&self) -> Option<Choice> {
        None
    }
    /// The questions of a poll; none if there is nothing to ask. Pure.
    fn queries(&self, messages: &[SentMessage]) -> Vec<SnapshotQuery>;
    /// What is shown of a question that the provider does not accept while it answers others; `None` if that
    /// fails the poll.
    fn if_refused(&self, _ask: &SnapshotQuery) -> Option<SnapshotNumbers> {
        None
    }
    /// Asks the provider, once.
    fn query<'a>(
        &'a self,
        query: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>>;
}

/// The newest messages of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// At most so many.
    pub count: usize,
    /// None that was sent longer ago.
    pub max_age: Duration,
}

/// One question of a [`SnapshotReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// The message it is about, if it is about one.
    pub message: Option<SentMessage>,
    /// Which part of what a call has no room for, from 0.
    pub part: usize,
}

/// What an answer says about this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotNumbers {
    /// Its numbers; those of one series are added.
    pub gauges: Vec<GaugeReading>,
    /// Names in the answer that the exporter does not know, or values it cannot read.
    pub unknown: Vec<String>,
}
