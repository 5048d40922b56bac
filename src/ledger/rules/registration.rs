//! Registration of message ids: a tracked message stays unchanged, one that was set aside is tracked again, and a retired
//! one is remembered for longer.

use jiff::Timestamp;

use crate::ledger::MessageSource;

/// State of an id that is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownId {
    /// Nothing.
    New,
    /// It is tracked.
    Tracked,
    /// It was set aside, because the provider rejected it.
    SetAside {
        /// True if it has had a number.
        is_live: bool,
    },
    /// It has retired and is remembered.
    Retired,
}

/// Change that a registration makes to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdChange {
    /// Nothing.
    None,
    /// It is tracked from now on.
    Insert,
    /// It is tracked again.
    TakeBack,
    /// It is remembered for longer.
    Remember,
}

/// Numbers of a registration.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    /// Number of messages that were not tracked.
    pub(crate) added: i64,
    /// Number of those that have had a number.
    pub(crate) live: i64,
    /// Send time of the newest new message.
    pub(crate) newest: Option<Timestamp>,
}

impl Registration {
    /// Decides about one id. Messages of the configuration are registered at every start, which is no new information:
    /// they are not taken back.
    pub(crate) fn decide(&mut self, known: KnownId, source: MessageSource, sent_at: Timestamp) -> IdChange {
        match known {
            KnownId::Retired => IdChange::Remember,
            KnownId::New => {
                self.added += 1;
                self.newest = self.newest.max(Some(sent_at));
                IdChange::Insert
            }
            KnownId::SetAside { is_live } if source != MessageSource::Config => {
                self.added += 1;
                self.live += i64::from(is_live);
                IdChange::TakeBack
            }
            KnownId::SetAside { .. } | KnownId::Tracked => IdChange::None,
        }
    }
}
