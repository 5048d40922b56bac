//! The newest messages of an app, each with its own series in the exposition (`newest_messages`). The changes that an
//! answer makes to them are planned before its commit and applied afterwards.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use crate::exposition::{Sample, Update, text};
use crate::ledger::{NewestMessage, NewestMessages};
use crate::messages::registry::Board;
use crate::model::reading::{Metric, Reading};
use crate::util::versioned::{self, StateError};

/// Metrics that are shown for each of the newest messages.
const SHOWN: [Metric; 5] = [Metric::Targeted, Metric::Sent, Metric::Received, Metric::Displayed, Metric::Clicked];

/// Numbers of a message, by the metrics of [`SHOWN`].
pub(super) type MessageValues = [Option<i64>; SHOWN.len()];

/// One of the newest messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) id: String,
    pub(super) sent_at: Timestamp,
    pub(super) values: MessageValues,
}

impl Newest {
    /// Orders messages by send time; of two sent at the same time, the one with the larger id is newer.
    fn compare(&self, other: &Newest) -> Ordering {
        (self.sent_at, &self.id).cmp(&(other.sent_at, &other.id))
    }

    fn stored(&self) -> NewestMessage {
        // Whole numbers and gaps can always be written.
        let numbers = versioned::encode(&self.values).unwrap_or_default();
        NewestMessage { id: self.id.clone(), sent_at: self.sent_at, numbers }
    }

    fn of(stored: &NewestMessage) -> Result<Newest, StateError> {
        let NewestMessage { id, sent_at, numbers } = stored;
        Ok(Newest { id: id.clone(), sent_at: *sent_at, values: versioned::decode(numbers)? })
    }

    fn samples(&self, board: &Board) -> Vec<Sample> {
        let labels = text::labels(&[("msg_id", &self.id)]);
        let sample = |(metric, value): (&Metric, Option<i64>)| {
            let (family, app_labels) = (metric.newest_gauge()?, board.app_labels());
            Some(Sample { family, app_labels, labels: labels.clone(), value: value?, created: None })
        };
        SHOWN.iter().zip(self.values).filter_map(sample).collect()
    }
}

/// List of the newest messages that have numbers.
#[derive(Default)]
pub(super) struct NewestList {
    limit: usize,
    /// Values by send time and id, the oldest first.
    by_age: BTreeMap<(Timestamp, String), MessageValues>,
    sent: HashMap<String, Timestamp>,
}

/// Planned changes of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Messages that are new in the list or have changed numbers.
    set: Vec<Newest>,
    /// Messages that leave the list.
    gone: Vec<Newest>,
}

impl NewestList {
    /// Creates the list from the stored messages. `limit` is the number of messages shown; the excess leaves with the
    /// next commit. `unreadable` gets the ids of messages whose stored numbers cannot be read.
    pub(super) fn new(
        limit: usize,
        stored: &[NewestMessage],
        mut unreadable: impl FnMut(&str, StateError),
    ) -> NewestList {
        let mut list = NewestList { limit, ..NewestList::default() };
        for message in stored {
            match Newest::of(message) {
                Ok(one) => list.insert(one),
                Err(error) => unreadable(&message.id, error),
            }
        }
        list
    }

    /// Returns the updates that show the list.
    pub(super) fn show(&self, board: &Board) -> Vec<Update> {
        let newest = self.by_age.iter().rev().take(self.limit).map(|(key, values)| of(key, values));
        newest.flat_map(|one| one.samples(board)).map(Update::Set).collect()
    }

    /// Plans the list with `fresh` numbers, and without messages that have `ended`. The cost depends on the number of
    /// changes, not on the length of the list.
    pub(super) fn plan(&self, fresh: Vec<Newest>, ended: &[String]) -> Plan {
        let ended: HashSet<&str> = ended.iter().map(String::as_str).collect();
        let by_id: HashMap<&str, &Newest> = fresh.iter().map(|one| (one.id.as_str(), one)).collect();
        let mut set: Vec<&Newest> = by_id.values().copied().filter(|one| !ended.contains(one.id.as_str())).collect();
        set.sort_by(|a, b| a.compare(b));
        let mut gone: Vec<Newest> = ended.iter().filter_map(|id| self.get(id)).collect();
        let is_replaced = |id: &str| by_id.contains_key(id) || ended.contains(id);
        let new = set.iter().filter(|one| !self.sent.contains_key(&one.id)).count();
        let mut excess = (self.by_age.len() + new - gone.len()).saturating_sub(self.limit);
        // The oldest messages leave, whether they were in the list or would have been added.
        let mut old = self.by_age.iter().filter(|((_, id), _)| !is_replaced(id)).peekable();
        let (mut too_old, mut left) = (Vec::new(), 0);
        while excess > 0 {
            excess -= 1;
            let (first, there) = (set.get(left), old.peek().map(|(key, values)| of(key, values)));
            match (first, there) {
                (Some(first), Some(there)) if there.compare(first) == Ordering::Less => {
                    too_old.push(there);
                    old.next();
                }
                (Some(first), _) => {
                    too_old.extend(self.get(&first.id));
                    left += 1;
                }
                (None, Some(there)) => {
                    too_old.push(there);
                    old.next();
                }
                (None, None) => break,
            }
        }
        let is_new = |one: &&&Newest| self.get(&one.id).as_ref() != Some(**one);
        let set = set[left..].iter().filter(is_new).map(|one| (*one).clone()).collect();
        gone.extend(too_old);
        Plan { set, gone }
    }

    /// Applies a plan, and returns the updates of the exposition.
    pub(super) fn take(&mut self, plan: Plan, board: &Board) -> Vec<Update> {
        let Plan { set, gone } = plan;
        let mut updates = Vec::new();
        for one in gone {
            updates.extend(one.samples(board).into_iter().map(Update::remove));
            self.remove(&one.id);
        }
        for one in set {
            let before = self.get(&one.id).map(|before| before.samples(board)).unwrap_or_default();
            updates.extend(Update::replace(before, one.samples(board)));
            self.insert(one);
        }
        updates
    }

    fn get(&self, id: &str) -> Option<Newest> {
        let key = (*self.sent.get(id)?, id.to_owned());
        self.by_age.get(&key).map(|values| of(&key, values))
    }

    fn insert(&mut self, one: Newest) {
        self.remove(&one.id);
        self.sent.insert(one.id.clone(), one.sent_at);
        self.by_age.insert((one.sent_at, one.id), one.values);
    }

    fn remove(&mut self, id: &str) {
        if let Some((id, sent_at)) = self.sent.remove_entry(id) {
            self.by_age.remove(&(sent_at, id));
        }
    }
}

fn of((sent_at, id): &(Timestamp, String), values: &MessageValues) -> Newest {
    Newest { id: id.clone(), sent_at: *sent_at, values: *values }
}

impl Plan {
    /// Returns the rows that are written and deleted.
    pub(super) fn stored(&self) -> NewestMessages {
        NewestMessages {
            set: self.set.iter().map(Newest::stored).collect(),
            gone: self.gone.iter().map(|one| one.id.clone()).collect(),
        }
    }
}

/// Returns the numbers of one message by metric.
pub(super) fn sums(readings: &[Reading]) -> MessageValues {
    SHOWN.map(|metric| {
        let values = readings.iter().filter(|reading| reading.series.metric == metric).map(|reading| reading.value);
        values.reduce(i64::saturating_add)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(id: u8, sent: u8, sum: i64) -> Newest {
        let sent_at = Timestamp::from_second(i64::from(sent)).unwrap();
        Newest { id: id.to_string(), sent_at, values: [None, Some(sum), None, Some(0), None] }
    }

    /// Reference implementation, which sorts everything.
    fn naive(before: &[Newest], fresh: &[Newest], ended: &[String], limit: usize) -> Vec<Newest> {
        let is_over = |one: &Newest| ended.contains(&one.id);
        let is_fresh = |one: &Newest| fresh.iter().any(|fresh| fresh.id == one.id);
        let mut all: Vec<Newest> = before.iter().filter(|one| !is_over(one) && !is_fresh(one)).cloned().collect();
        all.extend(fresh.iter().filter(|one| !is_over(one)).cloned());
        all.sort_by(|a, b| b.compare(a));
        all.truncate(limit);
        all
    }

    fn apply(list: &mut NewestList, plan: Plan) {
        plan.gone.iter().for_each(|one| list.remove(&one.id));
        plan.set.into_iter().for_each(|one| list.insert(one));
    }

    fn all(list: &NewestList) -> Vec<Newest> {
        list.by_age.iter().rev().map(|(key, values)| of(key, values)).collect()
    }

    proptest! {
        #[test]
        fn the_newest_stay(
            commits in prop::collection::vec(
                (prop::collection::btree_map(0_u8..12, (0_u8..20, 0_i64..3), 0..6), prop::collection::vec(0_u8..12, 0..3)), 1..8,
            ),
            limit in 0_usize..6,
        ) {
            let mut list = NewestList { limit, ..NewestList::default() };
            for (fresh, ended) in commits {
                let fresh: Vec<Newest> = fresh.into_iter().map(|(id, (sent, sum))| message(id, sent, sum)).collect();
                let ended: Vec<String> = ended.into_iter().map(|id| id.to_string()).collect();
                let before = all(&list);
                let expected = naive(&before, &fresh, &ended, limit);
                let plan = list.plan(fresh, &ended);
                // Only changed messages are written.
                prop_assert!(plan.set.iter().all(|one| !before.contains(one)));
                prop_assert!(plan.gone.iter().all(|one| before.contains(one)));
                apply(&mut list, plan);
                prop_assert_eq!(all(&list), expected);
            }
        }
    }

    #[test]
    fn what_is_stored_is_read() {
        for values in [[None; 5], [Some(0), None, Some(i64::MAX), Some(3), None], [Some(1); 5]] {
            let one = Newest { values, ..message(7, 9, 0) };
            assert_eq!(Newest::of(&one.stored()).unwrap(), one);
        }
    }

    #[test]
    fn one_answer_of_a_thousand_writes_one() {
        let messages: Vec<NewestMessage> =
            (0..1000).map(|number| Newest { id: format!("m{number}"), ..message(0, 9, 1) }.stored()).collect();
        let list = NewestList::new(1000, &messages, |id, error| panic!("{id}: {error}"));
        let fresh = Newest { id: "m500".to_owned(), ..message(0, 9, 2) };
        assert_eq!(list.plan(vec![fresh.clone()], &[]), Plan { set: vec![fresh], gone: Vec::new() });
    }
}
