//! Discovery reports: lists of the provider's, such as its schedules, from which message ids come without a sender.

use jiff::Timestamp;

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// An endpoint that lists what pushes messages, and one that lists the messages of each. It brings ids and no numbers.
pub trait DiscoveryReport: Send + Sync {
    /// Returns the name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Queries a page of what pushes messages. Pages begin with 1.
    fn list<'a>(&'a self, page: u32, client: &'a Client) -> BoxFuture<'a, Result<Listing, ProviderError>>;
    /// Queries the messages that one of them has pushed.
    fn messages<'a>(
        &'a self,
        origin: &'a Origin,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<FoundMessages, ProviderError>>;
    /// Returns true if the provider says, by an answer of its own, that it does not know an origin any more.
    fn is_gone(&self, _error: &ProviderError) -> bool {
        false
    }
}

/// A page of what pushes messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Origins on this page.
    pub origins: Vec<Origin>,
    /// Number of pages.
    pub pages: u32,
}

/// Something that pushes messages, such as a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub id: String,
    /// Category of its messages, if its name is to be one.
    pub category: Option<String>,
}

/// Messages of an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMessages {
    /// Messages that were pushed.
    pub messages: Vec<FoundMessage>,
    /// Names of elements that cannot be read.
    pub unknown: Vec<String>,
}

/// A message that the provider listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMessage {
    /// Message id as the provider writes it.
    pub id: String,
    /// Send time, if the list has it.
    pub sent_at: Option<Timestamp>,
    /// Category of the message.
    pub category: Option<String>,
}
