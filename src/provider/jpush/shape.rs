//! Shape of a message: how its answers are read. It is fixed by the first answer that holds a number and stored as a
//! text: `d` (details) or `o` (older blocks), then `+notification` for a kind that is read by its leaves and
//! `-notification` for one that is read by its totals.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::reading::{Count, Label, count};
use crate::provider::MessageQuery;

/// A kind of another shape than the others: `sub_ios` holds the counts themselves.
pub(super) const LIVE_ACTIVITY: &str = "live_activity";
/// Kinds of `details`.
pub(super) const KINDS: [&str; 4] = ["notification", "message", "inapp", LIVE_ACTIVITY];
/// Block of the vendors in the older scheme.
pub(super) const VENDOR_BLOCK: &str = "android_pns";

/// More unknown kinds than any message has.
const MAX_THINGS: usize = 32;

/// How a message is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// `details` or the older blocks; `None` before the first number.
    pub(super) is_details: Option<bool>,
    /// What is read by its leaves.
    leaves: BTreeSet<String>,
    /// What is read by its totals.
    totals: BTreeSet<String>,
    /// True while totals without parts fix nothing, since parts may still come.
    is_young: bool,
}

impl Shape {
    /// As it was remembered of a message; of one that was not asked for nothing is.
    pub(super) fn of(earlier: Option<&MessageQuery>) -> Shape {
        let Some(MessageQuery { shape: text, is_young, .. }) = earlier else { return Shape::default() };
        let mut shape = Shape { is_young: *is_young, ..Shape::default() };
        for word in text.split(' ') {
            match (word, word.split_at_checked(1)) {
                ("d", _) => shape.is_details = Some(true),
                ("o", _) => shape.is_details = Some(false),
                (_, Some(("+", thing))) => drop(shape.leaves.insert(thing.to_owned())),
                (_, Some(("-", thing))) => drop(shape.totals.insert(thing.to_owned())),
                _ => {}
            }
        }
        shape
    }

    pub(super) fn write(&self) -> String {
        let mut words: Vec<String> = self.is_details.iter().map(|is| if *is { "d" } else { "o" }.to_owned()).collect();
        words.extend(self.leaves.iter().map(|thing| format!("+{thing}")));
        words.extend(self.totals.iter().map(|thing| format!("-{thing}")));
        words.join(" ")
    }

    /// Whether a thing that now has leaves or not is read by its leaves.
    pub(super) fn reads_leaves(&self, thing: &str, has_leaves: bool) -> bool {
        if self.leaves.contains(thing) {
            return true;
        }
        has_leaves && !self.totals.contains(thing)
    }

    /// Returns true if the totals of a thing without parts are read.
    pub(super) fn reads_totals(&self, thing: &str) -> bool {
        !self.is_young || self.totals.contains(thing)
    }

    /// Remembers how a thing that gave numbers was read.
    pub(super) fn fix(&mut self, thing: &str, by_leaves: bool) {
        let things = if by_leaves { &mut self.leaves } else { &mut self.totals };
        let is_documented = KINDS.contains(&thing) || thing == VENDOR_BLOCK;
        if is_documented || things.len() < MAX_THINGS {
            things.insert(thing.to_owned());
        }
    }
}

/// Returns true if there is a count anywhere in a value: an object without one is as good as absent.
pub(super) fn holds_numbers(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(holds_numbers),
        value => matches!(count(Some(value)), Count::Is(_)),
    }
}

/// One of the documented words, or a label that is not known.
pub(super) fn known(words: &'static [&'static str], name: &str) -> Label {
    words.iter().find(|word| **word == name).map_or_else(|| Label::unknown(name), |word| Label::known(word))
}
