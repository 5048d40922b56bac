//! Field maps as tables: which field of which block feeds which series. Pure.

use serde_json::{Map, Value};

use crate::model::reading::{Label, Metric};
use crate::provider::jpush::received_fields::{Sink, series};

/// A field of an answer and what it feeds.
pub(super) struct FieldRow {
    /// The object it stands in; empty for the item itself.
    block: &'static str,
    field: &'static str,
    /// Metric, platform, channel, kind; nothing for a field that is part of another.
    feeds: Option<(Metric, &'static str, &'static str, &'static str)>,
    /// Whether a 0 says nothing, since the provider sends it for want of a count.
    zero_says_nothing: bool,
}

/// A field that feeds a series.
pub(super) const fn row(
    block: &'static str,
    field: &'static str,
    metric: Metric,
    [platform, channel, kind]: [&'static str; 3],
) -> FieldRow {
    FieldRow { block, field, feeds: Some((metric, platform, channel, kind)), zero_says_nothing: false }
}

/// A known field that feeds none.
pub(super) const fn nothing(block: &'static str, field: &'static str) -> FieldRow {
    FieldRow { block, field, feeds: None, zero_says_nothing: false }
}

impl FieldRow {
    /// The same field where a 0 is no reading.
    pub(super) const fn unless_zero(self) -> FieldRow {
        FieldRow { zero_says_nothing: true, ..self }
    }
}

/// Reads the fields of tables, and notes what is in none of them. `others` are known fields and blocks of the
/// item that are read elsewhere.
pub(super) fn read(tables: &[&[FieldRow]], others: &[&str], item: &Map<String, Value>, sink: &mut Sink<'_>) {
    let rows = || tables.iter().copied().flatten();
    let mut blocks: Vec<&str> = rows().map(|row| row.block).chain([""]).collect();
    blocks.sort_unstable();
    blocks.dedup();
    for block in &blocks {
        let (fields, prefix) = match (*block, item.get(*block)) {
            ("", _) => (item, String::new()),
            (block, Some(Value::Object(fields))) => (fields, format!("{block}.")),
            (_, None | Some(Value::Null)) => continue,
            (block, Some(_)) => {
                sink.unknown.push(block.to_owned());
                continue;
            }
        };
        for row in rows().filter(|row| row.block == *block) {
            let Some((metric, platform, channel, kind)) = row.feeds else { continue };
            let key = series(metric, Label::known(platform), Label::known(channel), Label::known(kind));
            let path = format!("{prefix}{}", row.field);
            if row.zero_says_nothing {
                sink.take_unless_zero(&path, fields.get(row.field), key);
            } else {
                sink.take(&path, fields.get(row.field), key);
            }
        }
        let is_block = |name: &str| block.is_empty() && (blocks.contains(&name) || others.contains(&name));
        let is_field = |name: &str| rows().any(|row| (row.block, row.field) == (*block, name));
        sink.note_unknown(&prefix, fields, |name| is_field(name) || is_block(name));
    }
}
