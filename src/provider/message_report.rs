//! Reports by message: numbers of each message that was registered.

use std::path::PathBuf;

use crate::model::reading::Reading;
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_id::IdFormat;
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// What an account polls by message.
pub struct MessageReports {
    /// The report that new messages are polled with; `None` if it takes none.
    pub delivery: Option<&'static str>,
    /// All its message reports: messages of an earlier configuration may still be with another.
    pub reports: Vec<Box<dyn MessageReport>>,
    /// Ids of the configuration, as the provider writes them.
    pub ids: Vec<String>,
    /// Files of ids to follow.
    pub files: Vec<PathBuf>,
    /// How many of the newest messages are shown one by one.
    pub newest: usize,
    /// Format of the ids.
    pub id_format: IdFormat,
}

impl MessageReports {
    /// Returns true if it asks by message and the configuration names none.
    pub fn lacks_ids(&self) -> bool {
        self.delivery.is_some() && self.ids.is_empty() && self.files.is_empty()
    }
}

/// One statistics endpoint that is asked by message.
pub trait MessageReport: Send + Sync {
    /// Name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// How often messages are polled.
    fn schedule(&self) -> &MessageSchedule;
    /// How many messages a request may name.
    fn batch(&self) -> usize;
    /// Returns true if a refusal blames a message id: the provider says so itself, in its own envelope and with its code for
    /// that. A gateway's does not.
    fn blames_an_id(&self, error: &ProviderError) -> bool;
    /// Asks the provider, once, for at most [`MessageReport::batch`] messages.
    fn query<'a>(
        &'a self,
        messages: &'a [MessageQuery],
        client: &'a Client,
    ) -> BoxFuture<'a, Result<MessageNumbers, ProviderError>>;
}

/// A message to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageQuery {
    /// Its id.
    pub id: String,
    /// How its answers are read, as the report said when it first had a number; else empty.
    pub shape: String,
    /// True if it is less than ten minutes old: parts of its numbers may still come.
    pub is_young: bool,
}

/// What an answer says about messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNumbers {
    /// Those that it says something about, each once.
    pub messages: Vec<MessageReadings>,
    /// Names in the answer that the exporter does not know, or values it cannot read.
    pub unknown: Vec<String>,
}

/// What an answer says about one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageReadings {
    /// Its id.
    pub id: String,
    /// Its numbers.
    pub readings: Vec<Reading>,
    /// How its answers are to be read from now on.
    pub shape: String,
}
