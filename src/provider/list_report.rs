//! Reports by list: the provider lists its messages with their numbers, so no ids need to be registered.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_report::{MessageNumbers, MessageQuery};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::report::ReportSpec;
use crate::util::future::BoxFuture;

/// A statistics endpoint that lists messages with their numbers, in the order of their send times.
pub trait ListReport: Send + Sync {
    /// Returns the name, interval and rate limit.
    fn spec(&self) -> &ReportSpec;
    /// Returns the schedule by which messages are read again: the part of the list with the messages of a step is read
    /// once in its interval.
    fn schedule(&self) -> &MessageSchedule;
    /// Returns the age until which messages are listed.
    fn listed_for(&self) -> Duration;
    /// Returns the number of newest messages that are shown individually.
    fn newest(&self) -> usize;
    /// Queries one page.
    fn query<'a>(&'a self, from: &'a ListStart, client: &'a Client) -> BoxFuture<'a, Result<ListPage, ProviderError>>;
    /// Reads the numbers of messages of a page, each with the query that has its stored shape. `memory` is what the report
    /// remembers about the app between pages and over restarts.
    fn read(&self, messages: &[(ListedMessage, MessageQuery)], memory: &mut String) -> MessageNumbers;
}

/// Start of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListStart {
    /// Messages that were sent at this time or later.
    SentAt(Timestamp),
    /// Continuation of an earlier page, by the provider's own cursor.
    Cursor(String),
}

/// A page of the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListPage {
    /// Messages that the exporter counts, in any order.
    pub messages: Vec<ListedMessage>,
    /// First and last send time of everything on the page, including what the exporter does not count; `None` ends the list.
    pub reach: Option<(Timestamp, Timestamp)>,
    /// Cursor of the next page; `None` ends the list.
    pub next: Option<String>,
    /// Names on the page that the exporter does not know, or values that it cannot read.
    pub unknown: Vec<String>,
}

/// A message on a page.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMessage {
    /// Id of the message.
    pub id: String,
    /// Send time, which may lie in the future.
    pub sent_at: Timestamp,
    /// True if it was called off before any of it was sent: it will never have a number.
    pub is_called_off: bool,
    /// Its numbers, in the provider's own form.
    pub content: Map<String, Value>,
}
