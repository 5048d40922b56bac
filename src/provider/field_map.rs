//! Field maps: tables that map fields of blocks to series, and the common rules for taking a count or noting it as
//! unknown. Pure.

use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, MAX_READINGS, Metric, Reading, SeriesKey, count, members, note_too_many};

/// Number of unknown names that are kept, more than anyone looks at; up to twice as many are noted before the rest is dropped.
const MAX_UNKNOWN: usize = 1000;

/// A field of an answer and the series that it feeds.
pub struct FieldRow {
    /// Object that contains the field; empty for the item itself.
    block: &'static str,
    field: &'static str,
    /// Metric, platform, channel and kind; `None` for a field that is part of another.
    feeds: Option<(Metric, &'static str, &'static str, &'static str)>,
    /// True if 0 means nothing, since the provider sends it when it has no count.
    zero_says_nothing: bool,
}

/// Returns the row of a field that feeds a series.
pub const fn row(
    block: &'static str,
    field: &'static str,
    metric: Metric,
    [platform, channel, kind]: [&'static str; 3],
) -> FieldRow {
    FieldRow { block, field, feeds: Some((metric, platform, channel, kind)), zero_says_nothing: false }
}

/// Returns the row of a known field that feeds no series.
pub const fn nothing(block: &'static str, field: &'static str) -> FieldRow {
    FieldRow { block, field, feeds: None, zero_says_nothing: false }
}

impl FieldRow {
    /// Returns the row of the same field for which 0 is no reading.
    pub const fn unless_zero(self) -> FieldRow {
        FieldRow { zero_says_nothing: true, ..self }
    }
}

/// Reads the fields of tables, and notes fields that are in none of them. `others` are known fields and blocks of the
/// item that are read elsewhere.
pub fn read(tables: &[&[FieldRow]], others: &[&str], item: &Map<String, Value>, sink: &mut FieldSink<'_>) {
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

/// Collector of the readings of one subject, and of the unknown names in an answer.
pub struct FieldSink<'a> {
    /// Readings so far.
    pub readings: Vec<Reading>,
    /// Unknown names and values so far.
    pub unknown: &'a mut Vec<String>,
    /// Totals that differ from the sum of their parts; `None` if there are none to compare.
    pub unaccounted: Option<Vec<(Metric, i64)>>,
}

impl FieldSink<'_> {
    /// Creates a collector without readings.
    pub fn new(unknown: &mut Vec<String>) -> FieldSink<'_> {
        FieldSink { readings: Vec::new(), unknown, unaccounted: None }
    }

    /// Takes a field as a count; notes it as unknown if it is anything else.
    pub fn take(&mut self, path: &str, value: Option<&Value>, series: SeriesKey) {
        match count(value) {
            Count::Absent => {}
            Count::Odd => self.note(path.to_owned()),
            Count::Is(value) if self.readings.len() < MAX_READINGS || series.is_known() => {
                self.readings.push(Reading { field: path.to_owned(), series, value });
            }
            Count::Is(_) => note_too_many(self.unknown),
        }
    }

    /// Takes a field as a count, unless it is 0: the provider sends 0 for counts that it does not have.
    pub fn take_unless_zero(&mut self, path: &str, value: Option<&Value>, series: SeriesKey) {
        if count(value) != Count::Is(0) {
            self.take(path, value, series);
        }
    }

    /// Takes the counts of a leaf or a block, each for the series that `of` returns for its metric. `path` is the path
    /// of the object, `prefix` the common prefix of its fields' names.
    pub fn take_counts(
        &mut self,
        path: &str,
        prefix: &str,
        object: &Map<String, Value>,
        counts: &[(&str, Metric)],
        of: impl Fn(Metric) -> SeriesKey,
    ) {
        for (name, metric) in counts {
            let field = format!("{prefix}{name}");
            self.take(&format!("{path}.{field}"), object.get(&field), of(*metric));
        }
    }

    /// Compares totals with the sum of their parts, which are the readings from `first` on.
    pub fn compare_totals<'v>(&mut self, totals: impl IntoIterator<Item = (Metric, Option<&'v Value>)>, first: usize) {
        for (metric, total) in totals {
            let parts = self.readings.iter().skip(first).filter(|reading| reading.series.metric == metric);
            let (mut count_of_parts, mut sum) = (0, 0_i64);
            for part in parts {
                (count_of_parts, sum) = (count_of_parts + 1, sum.saturating_add(part.value));
            }
            let Count::Is(total) = count(total) else { continue };
            if count_of_parts > 0 {
                let differing = self.unaccounted.get_or_insert_default();
                differing.extend((total != sum).then(|| (metric, total.saturating_sub(sum).saturating_abs())));
            }
        }
    }

    /// Notes an unknown name or value.
    pub fn note(&mut self, path: String) {
        if self.unknown.len() >= 2 * MAX_UNKNOWN {
            // A hundred messages repeat the same names.
            self.unknown.sort_unstable();
            self.unknown.dedup();
            self.unknown.truncate(MAX_UNKNOWN);
        }
        self.unknown.push(path);
    }

    /// Notes the unknown numbers and blocks of an object. `prefix` is its path.
    pub fn note_unknown(&mut self, prefix: &str, object: &Map<String, Value>, is_known: impl Fn(&str) -> bool) {
        let may_matter = |value: &Value| value.is_object() || matches!(count(Some(value)), Count::Is(_));
        let is_new = |(name, value): &(&String, &Value)| *name != "msg_id" && !is_known(name) && may_matter(value);
        for (name, _) in members(object, self.unknown).filter(is_new) {
            self.note(format!("{prefix}{name}"));
        }
    }
}

/// Returns the series of a metric with these labels.
pub fn series(metric: Metric, platform: Label, channel: Label, kind: Label) -> SeriesKey {
    SeriesKey { metric, platform, channel, kind }
}

/// Returns a documented name as a known label, and any other as an unknown one.
pub fn known(words: &'static [&'static str], name: &str) -> Label {
    words.iter().find(|word| **word == name).map_or_else(|| Label::unknown(name), |word| Label::known(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_noted_up_to_a_limit_and_repeated_ones_leave_room() {
        let mut unknown = Vec::new();
        let mut sink = FieldSink::new(&mut unknown);
        for number in 0..100_000 {
            sink.note(format!("repeated {}", number % 3));
        }
        sink.note("new".to_owned());
        assert!(sink.unknown.iter().any(|name| name == "new"));
        for number in 0..100_000 {
            sink.note(format!("name {number}"));
        }
        assert!((1000..=2000).contains(&unknown.len()), "{}", unknown.len());
    }
}
