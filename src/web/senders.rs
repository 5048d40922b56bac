//! Senders whose messages were refused. Each is logged once an hour for each kind of error, and is listed on the
//! status page for a day. Callbacks, which anybody on the internet can try to send, have a list of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Serialize;

/// Name of the message API, as an interface.
pub(super) const MESSAGE_API: &str = "message_api";
/// Name of the callbacks.
pub(super) const CALLBACK: &str = "callback";
/// Interval between two log lines of a sender about the same kind of error.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
/// Time for which an error is listed after it last occurred.
const SHOWN: SignedDuration = SignedDuration::from_hours(24);
/// Maximum number of remembered pairs of sender and kind of error.
const KEPT: usize = 100;

/// Refused requests of a sender, for one kind of error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SenderError {
    /// Interface that refused the requests: [`MESSAGE_API`] or [`CALLBACK`].
    pub interface: &'static str,
    /// Address of the sender.
    pub sender: String,
    /// HTTP status of the answers.
    pub status: u16,
    /// Error text of the last answer.
    pub error: String,
    /// Number of refused requests since the error has been remembered.
    pub count: u64,
    /// Time of the last refused request.
    pub last: Timestamp,
}

#[derive(Debug)]
struct SenderHistory {
    error: String,
    count: u64,
    last: Timestamp,
    /// Time of the last log line.
    told: Timestamp,
    /// Number of requests refused since then.
    since: u64,
}

/// Errors of all senders to one interface.
#[derive(Debug)]
pub(super) struct Senders {
    interface: &'static str,
    errors: Mutex<BTreeMap<(Option<IpAddr>, u16), SenderHistory>>,
}

impl Senders {
    /// Creates the list of an interface.
    pub(super) fn new(interface: &'static str) -> Senders {
        Senders { interface, errors: Mutex::default() }
    }

    /// Records a refused request, and logs it unless that was done within the last hour.
    pub(super) fn refused(&self, sender: Option<IpAddr>, status: StatusCode, error: &str, now: Timestamp) {
        let status = status.as_u16();
        let mut all = self.errors.lock();
        if all.len() >= KEPT && !all.contains_key(&(sender, status)) {
            let oldest = all.iter().min_by_key(|(_, one)| one.last).map(|(key, _)| *key);
            oldest.map(|key| all.remove(&key));
        }
        let mut is_new = false;
        let one = all.entry((sender, status)).or_insert_with(|| {
            is_new = true;
            SenderHistory { error: String::new(), count: 0, last: now, told: now, since: 0 }
        });
        error.clone_into(&mut one.error);
        (one.count, one.since, one.last) = (one.count.saturating_add(1), one.since.saturating_add(1), now);
        // A clock that was ahead must not suppress the log line.
        if is_new || now.duration_since(one.told).abs() >= QUIET {
            one.told = now;
            let count = std::mem::take(&mut one.since);
            let sender = name(sender);
            drop(all);
            let interface = self.interface;
            tracing::warn!(
                interface,
                sender,
                status,
                count,
                error,
                "messages of a sender are refused; logged once an hour"
            );
        }
    }

    /// Returns the errors of the last day, the newest first.
    pub(super) fn list(&self, now: Timestamp) -> Vec<SenderError> {
        let mut list: Vec<SenderError> = self
            .errors
            .lock()
            .iter()
            .filter(|(_, one)| now.duration_since(one.last) < SHOWN)
            .map(|((sender, status), one)| SenderError {
                interface: self.interface,
                sender: name(*sender),
                status: *status,
                error: one.error.clone(),
                count: one.count,
                last: one.last,
            })
            .collect();
        list.sort_by_key(|one| std::cmp::Reverse(one.last));
        list
    }
}

fn name(sender: Option<IpAddr>) -> String {
    sender.map_or_else(|| "unknown".to_owned(), |address| address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_within_bounds() {
        let senders = Senders::new(MESSAGE_API);
        let at = |second: i64| Timestamp::from_second(1_773_104_400 + second).unwrap();
        for index in 0..250_u8 {
            senders.refused(Some([10, 0, 0, index].into()), StatusCode::BAD_REQUEST, "x", at(i64::from(index)));
        }
        let list = senders.list(at(300));
        assert_eq!((list.len(), list[0].sender.as_str(), list[99].sender.as_str()), (KEPT, "10.0.0.249", "10.0.0.150"));
        senders.refused(Some([10, 0, 0, 249].into()), StatusCode::BAD_REQUEST, "y", at(301));
        assert_eq!((senders.list(at(302))[0].count, senders.list(at(302))[0].error.as_str()), (2, "y"));
        assert_eq!(senders.list(at(2 * 86_400)), []);
    }
}
