//! Reports by message: numbers of each registered message.

use std::path::PathBuf;

use crate::model::reading::{Metric, Reading};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_id::IdFormat;
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// The reports by message of an account, and the ids to poll.
pub struct MessageReports {
    /// Name of the report that polls new messages; `None` if new messages are not polled.
    pub delivery: Option<&'static str>,
    /// All message reports: messages of an earlier configuration may still belong to another one.
    pub reports: Vec<Box<dyn MessageReport>>,
    /// Ids from the configuration, as the provider writes them.
    pub ids: Vec<String>,
    /// Files of ids to follow.
    pub files: Vec<PathBuf>,
    /// Number of newest messages that are shown individually.
    pub newest: usize,
    /// Format of the ids.
    pub id_format: IdFormat,
}

/// A statistics endpoint that is queried by message.
pub trait MessageReport: Send + Sync {
    /// Returns the name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Returns the polling schedule of messages.
    fn schedule(&self) -> &MessageSchedule;
    /// Returns the maximum number of messages in a request.
    fn batch(&self) -> usize;
    /// Returns true if the provider refused a query because of a message id: in its own envelope, with its code for
    /// that. The refusal of a gateway has neither.
    fn blames_an_id(&self, error: &ProviderError) -> bool;
    /// Queries the provider once, for at most [`MessageReport::batch`] messages.
    fn query<'a>(
        &'a self,
        messages: &'a [MessageQuery],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, ProviderError>>;
}

/// A message to query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageQuery {
    /// Id of the message.
    pub id: String,
    /// Shape by which its answers are read, as the report returned it with the first number; empty before that.
    pub shape: String,
    /// True if it is less than ten minutes old: parts of its numbers may still be missing.
    pub is_young: bool,
}

/// Numbers of messages in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNumbers {
    /// Messages in the answer, each once.
    pub messages: Vec<MessageReadings>,
    /// Names in the answer that the exporter does not know, or values that it cannot read.
    pub unknown: Vec<String>,
}

/// Readings of one message in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageReadings {
    /// Id of the message.
    pub id: String,
    /// Numbers of the message.
    pub readings: Vec<Reading>,
    /// Shape by which its answers are read from now on.
    pub shape: String,
    /// Totals in the answer that differ from the sum of their parts, with the absolute difference; `None` if it has no totals
    /// beside parts.
    pub unaccounted: Option<Vec<(Metric, i64)>>,
}
