//! Registration of message ids: a tracked message stays unchanged, one that was set aside is tracked again, and a retired
//! one is remembered for longer. A message keeps the category of its first registration by a sender.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ledger::NewMessage;
use crate::model::message_source::MessageSource;

/// State of an id that is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownId {
    /// Nothing.
    New,
    /// It is tracked.
    Tracked {
        /// True if a category may still be given to it: see [`Categories::stored`].
        is_open: bool,
    },
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
    /// It gets its category.
    Categorize,
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
    pub(crate) fn decide(&mut self, known: KnownId, source: MessageSource, message: &NewMessage) -> IdChange {
        let NewMessage { sent_at, ref category, .. } = *message;
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
            KnownId::Tracked { is_open: true } if category.is_some() => IdChange::Categorize,
            KnownId::SetAside { .. } | KnownId::Tracked { .. } => IdChange::None,
        }
    }
}

/// Maximum number of categories of an app; messages of further ones are counted together.
const MAX_CATEGORIES: usize = 20;
/// Category of messages beyond that.
const OTHER: &str = "other";
/// Stored category of a message whose source cannot know it: a sender may still register the message with one, until the
/// message has a number.
const OPEN: &str = "";

/// Returns the category of a stored one.
pub(crate) fn category(stored: Option<String>) -> Option<String> {
    stored.filter(|category| category != OPEN)
}

/// The categories of an app during a registration.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    known: BTreeSet<String>,
    /// Categories that the app did not have before.
    pub(crate) new: Vec<String>,
}

impl Categories {
    /// Creates the categories that an app has.
    pub(crate) fn of(known: impl IntoIterator<Item = String>) -> Categories {
        Categories { known: known.into_iter().collect(), new: Vec::new() }
    }

    /// Returns the category to store for a new message: the one that it was given, or `other`. If the provider brought the
    /// message and no category, a sender may give it one later.
    pub(crate) fn stored<'a>(&self, given: Option<&'a str>, source: MessageSource) -> Option<&'a str> {
        let is_admitted = |name: &str| self.known.contains(name) || self.known.len() < MAX_CATEGORIES;
        let unknown = source.is_provider().then_some(OPEN);
        given.map_or(unknown, |name| Some(if is_admitted(name) { name } else { OTHER }))
    }

    /// Notes the category of a message that is new.
    pub(crate) fn note(&mut self, category: Option<&str>) {
        if let Some(name) = category.filter(|name| ![OTHER, OPEN].contains(name))
            && self.known.insert(name.to_owned())
        {
            self.new.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_twenty_categories_and_others() {
        let mut categories = Categories::of(["a".to_owned()]);
        let mut register = |name: &str| {
            let category = categories.stored(Some(name), MessageSource::Api).map(str::to_owned);
            categories.note(category.as_deref());
            category.unwrap()
        };
        let given: Vec<String> = (1..=19).map(|number| format!("c{number}")).collect();
        assert_eq!(given.iter().map(|name| register(name)).collect::<Vec<_>>(), given);
        assert_eq!(["c20", "a", "c19", "other"].map(&mut register), ["other", "a", "c19", "other"]);
        assert_eq!(categories.new, given);
        assert_eq!(categories.stored(None, MessageSource::Api), None);
        assert_eq!(categories.stored(None, MessageSource::Callback), Some(OPEN));
    }
}
