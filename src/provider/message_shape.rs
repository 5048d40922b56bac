//! Shape of a message: the way in which its answers are read. It is fixed by the first answer that contains a number
//! and stored as text: `d` (by its details) or `o` (by what its answers have instead), then `+notification` for a kind that is
//! read by its leaves and `-notification` for one that is read by its totals.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::reading::{Count, count};
use crate::provider::MessageQuery;

/// Maximum number of remembered kinds, more than any message has.
const MAX_THINGS: usize = 32;

/// Way in which a message is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// True if the details are read, false for older blocks or the message's totals; `None` before the first number.
    pub is_details: Option<bool>,
    /// Kinds and blocks that are read by their leaves.
    leaves: BTreeSet<String>,
    /// Kinds and blocks that are read by their totals.
    totals: BTreeSet<String>,
    /// True while totals without parts fix nothing, since parts may still appear.
    pub is_young: bool,
    /// Kinds and blocks that are always remembered.
    documented: &'static [&'static str],
}

impl Shape {
    /// Returns the stored shape of a message; the default for one that was not queried. What cannot be read of it is noted,
    /// so that it is logged and counted. `documented` are the kinds and blocks that are always remembered.
    pub fn of(earlier: Option<&MessageQuery>, documented: &'static [&'static str], unknown: &mut Vec<String>) -> Shape {
        let mut shape = Shape { documented, ..Shape::default() };
        let Some(MessageQuery { shape: text, is_young, .. }) = earlier else { return shape };
        shape.is_young = *is_young;
        for word in text.split_ascii_whitespace() {
            match (word, word.split_at_checked(1)) {
                ("d", _) => shape.is_details = Some(true),
                ("o", _) => shape.is_details = Some(false),
                (_, Some(("+", thing))) => drop(shape.leaves.insert(thing.to_owned())),
                (_, Some(("-", thing))) => drop(shape.totals.insert(thing.to_owned())),
                _ => unknown.push("the stored shape of a message, which is read without it".to_owned()),
            }
        }
        shape
    }

    /// Returns the text to store.
    pub fn write(&self) -> String {
        let mut words: Vec<String> = self.is_details.iter().map(|is| if *is { "d" } else { "o" }.to_owned()).collect();
        words.extend(self.leaves.iter().map(|thing| format!("+{thing}")));
        words.extend(self.totals.iter().map(|thing| format!("-{thing}")));
        words.join(" ")
    }

    /// Returns true if a kind or block is read by its leaves, given whether it now has any.
    pub fn reads_leaves(&self, thing: &str, has_leaves: bool) -> bool {
        if self.leaves.contains(thing) {
            return true;
        }
        has_leaves && !self.totals.contains(thing)
    }

    /// Returns true if the totals of a kind or block without parts are read.
    pub fn reads_totals(&self, thing: &str) -> bool {
        !self.is_young || self.totals.contains(thing)
    }

    /// Remembers the way in which a kind or block with numbers was read.
    pub fn fix(&mut self, thing: &str, by_leaves: bool) {
        let things = if by_leaves { &mut self.leaves } else { &mut self.totals };
        if self.documented.contains(&thing) || things.len() < MAX_THINGS {
            things.insert(thing.to_owned());
        }
    }
}

/// Returns true if a value contains a count at any depth: an object without one is treated as absent.
pub fn holds_numbers(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(holds_numbers),
        value => matches!(count(Some(value)), Count::Is(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_kinds_are_remembered_up_to_a_limit_and_documented_ones_always() {
        let mut shape = Shape::of(None, &["notification", "android_pns"], &mut Vec::new());
        for number in 0..100 {
            shape.fix(&format!("invented{number}"), true);
        }
        shape.fix("notification", true);
        shape.fix("android_pns", true);
        let written = shape.write();
        assert_eq!(written.split(' ').filter(|word| word.starts_with("+invented")).count(), 32);
        assert!(written.contains("+notification") && written.contains("+android_pns"), "{written}");
    }

    #[test]
    fn what_cannot_be_read_of_a_stored_shape_is_noted() {
        for (stored, notes) in [("", 0), ("o", 0), ("d +notification -message", 0), ("d ?", 1), ("{\"v\":2}", 1)] {
            let mut unknown = Vec::new();
            let query = MessageQuery { id: "1".to_owned(), shape: stored.to_owned(), is_young: false };
            let shape = Shape::of(Some(&query), &[], &mut unknown);
            assert_eq!(unknown.len(), notes, "{stored}");
            assert!(notes > 0 || shape.write() == stored, "{stored}");
        }
    }
}
