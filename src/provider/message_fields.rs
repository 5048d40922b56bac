//! Common part of the field maps of all answers by message: items with an id, each read once. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::provider::field_map::FieldSink;
use crate::provider::{MessageNumbers, MessageQuery, MessageReadings};

/// Maximum number of items, more than a call can query; the rest is not read.
const MAX_ITEMS: usize = 1000;

/// Reads the items of an array that have an id, as the answer for that id. `read` takes the id and returns the shape.
pub fn read_array(
    items: &[Value],
    id_of: fn(&Map<String, Value>) -> Option<String>,
    read: impl FnMut(&str, &Map<String, Value>, &mut FieldSink<'_>) -> String,
) -> MessageNumbers {
    read_items(items.iter().map(|item| (item.as_object().and_then(id_of), item)), read)
}

/// Reads the members of an object whose keys are ids, as [`read_array`] does.
pub fn read_by_id(
    items: &Map<String, Value>,
    id_of: fn(&str) -> Option<String>,
    read: impl FnMut(&str, &Map<String, Value>, &mut FieldSink<'_>) -> String,
) -> MessageNumbers {
    read_items(items.iter().map(|(id, item)| (id_of(id), item)), read)
}

fn read_items<'a>(
    items: impl Iterator<Item = (Option<String>, &'a Value)>,
    mut read: impl FnMut(&str, &Map<String, Value>, &mut FieldSink<'_>) -> String,
) -> MessageNumbers {
    let mut numbers = MessageNumbers::default();
    let mut seen = HashSet::new();
    for (id, item) in items.take(MAX_ITEMS) {
        let Value::Object(item) = item else {
            numbers.unknown.push("an item that is no object".to_owned());
            continue;
        };
        let Some(id) = id else {
            numbers.unknown.push("an item without an id".to_owned());
            continue;
        };
        let mut sink = FieldSink::new(&mut numbers.unknown);
        let shape = read(&id, item, &mut sink);
        let FieldSink { readings, unaccounted, .. } = sink;
        // A repeated id is not a second message.
        if seen.insert(id.clone()) {
            numbers.messages.push(MessageReadings { id, readings, shape, unaccounted });
        }
    }
    numbers
}

/// Returns the queried messages by id.
pub fn shapes(earlier: &[MessageQuery]) -> HashMap<&str, &MessageQuery> {
    earlier.iter().map(|message| (message.id.as_str(), message)).collect()
}
