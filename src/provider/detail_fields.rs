//! Field map of statistics by kind, platform and channel, from an item of an answer to readings: the `details` of JPush and
//! the `sub` of EngageLab, which differ in names. Only leaves count, or the counts of a kind without any. Pure.

use serde_json::{Map, Value};

use crate::model::reading::{Count, Label, Metric, SeriesKey, count, members};
use crate::provider::field_map::{FieldSink, known, series};
use crate::provider::message_shape::{Shape, holds_numbers};

/// A kind with a different shape: its platforms may contain the counts themselves.
pub const LIVE_ACTIVITY: &str = "live_activity";

/// A count of a leaf and of a kind.
pub struct CountField {
    /// Name of the field, which is the key of its watermark in every spelling.
    pub name: &'static str,
    /// Other spellings, which are read if the first is absent.
    pub others: &'static [&'static str],
    /// Metric that it feeds.
    pub metric: Metric,
}

impl CountField {
    /// Returns its value in an object, in any spelling.
    fn value<'a>(&self, object: &'a Map<String, Value>) -> Option<&'a Value> {
        let mut spellings = [self.name].into_iter().chain(self.others.iter().copied());
        spellings.find_map(|name| object.get(name).filter(|value| !value.is_null()))
    }
}

/// Contents of the platforms of live activities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveActivityForm {
    /// The counts themselves.
    Counts,
    /// The counts themselves, or channels as for other kinds: the document does not say.
    CountsOrChannels,
}

/// Names in the details of a provider.
pub struct DetailFields {
    /// Field of an item that contains the kinds.
    pub field: &'static str,
    /// Counts of a leaf and of a kind.
    pub counts: &'static [CountField],
    /// Label of a kind.
    pub kind: fn(&str) -> Label,
    /// Documented platforms.
    pub platforms: &'static [&'static str],
    /// Label of a channel.
    pub channel: fn(&str) -> Label,
    /// Contents of the platforms of live activities.
    pub live_activity: LiveActivityForm,
    /// Returns true if 0 is no reading of a metric, by kind and platform: the provider has no such count.
    pub zero_says_nothing: fn(&str, &str, Metric) -> bool,
}

impl DetailFields {
    /// Reads all kinds of an item.
    pub fn read(&self, item: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
        let kinds = match item.get(self.field) {
            Some(Value::Object(kinds)) => members(kinds, sink.unknown),
            _ => return,
        };
        for (kind, value) in kinds {
            match value {
                Value::Object(object) => self.read_kind(kind, object, shape, sink),
                Value::Null => {}
                _ => sink.note(format!("{}.{kind}", self.field)),
            }
        }
    }

    /// Reads the counts of an object, each for the series that `of` returns for its metric. `prefix` is the path of the
    /// object with a dot.
    pub fn read_counts(
        &self,
        prefix: &str,
        object: &Map<String, Value>,
        of: impl Fn(Metric) -> SeriesKey,
        sink: &mut FieldSink<'_>,
    ) {
        for field in self.counts {
            let CountField { name, metric, .. } = field;
            let value = field.value(object);
            let series = of(*metric);
            let (kind, platform) = (series.kind.as_str(), series.platform.as_str());
            if count(value) != Count::Is(0) || !(self.zero_says_nothing)(kind, platform, *metric) {
                sink.take(&format!("{prefix}{name}"), value, series);
            }
        }
    }

    /// Returns true for the names of counts.
    pub fn is_count(&self, name: &str) -> bool {
        self.counts.iter().any(|field| field.name == name || field.others.contains(&name))
    }

    /// Reads one kind: its leaves, or its own counts if it has no platforms.
    fn read_kind(&self, name: &str, object: &Map<String, Value>, shape: &mut Shape, sink: &mut FieldSink<'_>) {
        let path = format!("{}.{name}", self.field);
        let kind = (self.kind)(name);
        if !kind.is_known() {
            sink.note(path.clone());
        }
        let subs = members(object, sink.unknown).filter(|(key, value)| key.starts_with("sub_") && !value.is_null());
        let has_leaves = object.iter().any(|(key, value)| key.starts_with("sub_") && holds_numbers(value));
        let by_leaves = shape.reads_leaves(kind.as_str(), has_leaves);
        let before = sink.readings.len();
        if by_leaves {
            for (sub, value) in subs {
                match value {
                    Value::Object(channels) => self.read_platform(&path, sub, channels, &kind, shape, sink),
                    _ => sink.note(format!("{path}.{sub}")),
                }
            }
            let totals = self.counts.iter().map(|field| (field.metric, field.value(object)));
            sink.compare_totals(totals, before);
        } else if shape.reads_totals(kind.as_str()) {
            let of = |metric| series(metric, Label::ANY, Label::ANY, kind.clone());
            self.read_counts(&format!("{path}."), object, of, sink);
        }
        if sink.readings.len() > before {
            shape.fix(kind.as_str(), by_leaves);
        }
        sink.note_unknown(&format!("{path}."), object, |name| self.is_count(name) || name.starts_with("sub_"));
    }

    /// Reads `sub_<platform>`: a map of channels, or for live activities the counts themselves.
    fn read_platform(
        &self,
        path: &str,
        sub: &str,
        channels: &Map<String, Value>,
        kind: &Label,
        shape: &mut Shape,
        sink: &mut FieldSink<'_>,
    ) {
        let name = sub.trim_start_matches("sub_");
        let prefix = format!("{path}.{sub}.");
        let platform = known(self.platforms, name);
        if !platform.is_known() {
            sink.note(format!("{path}.{sub}"));
        }
        if kind.as_str() != LIVE_ACTIVITY {
            return self.read_channels(&prefix, channels, &platform, kind, sink);
        }
        let may_be_channels = self.live_activity == LiveActivityForm::CountsOrChannels;
        let thing = format!("{LIVE_ACTIVITY}.{}", platform.as_str());
        let has_channels = channels.values().any(|value| value.is_object() && holds_numbers(value));
        let by_channels = may_be_channels && shape.reads_leaves(&thing, has_channels);
        let before = sink.readings.len();
        if by_channels {
            self.read_channels(&prefix, channels, &platform, kind, sink);
        } else {
            let channel = if name == "ios" { Label::known("apns") } else { Label::ANY };
            let of = |metric| series(metric, platform.clone(), channel.clone(), kind.clone());
            self.read_counts(&prefix, channels, of, sink);
            let is_channel = |name: &str| may_be_channels && channels.get(name).is_some_and(Value::is_object);
            sink.note_unknown(&prefix, channels, |name| self.is_count(name) || is_channel(name));
        }
        if may_be_channels && sink.readings.len() > before {
            shape.fix(&thing, by_channels);
        }
    }

    fn read_channels(
        &self,
        prefix: &str,
        channels: &Map<String, Value>,
        platform: &Label,
        kind: &Label,
        sink: &mut FieldSink<'_>,
    ) {
        for (name, value) in members(channels, sink.unknown) {
            let path = format!("{prefix}{name}");
            let Value::Object(counts) = value else {
                // The totals of a live activity may stand beside its channels.
                let is_total = kind.as_str() == LIVE_ACTIVITY && self.is_count(name);
                if !value.is_null() && !is_total {
                    sink.note(path);
                }
                continue;
            };
            let channel = (self.channel)(name);
            if !channel.is_known() {
                sink.note(path.clone());
            }
            let of = |metric| series(metric, platform.clone(), channel.clone(), kind.clone());
            self.read_counts(&format!("{path}."), counts, of, sink);
            sink.note_unknown(&format!("{path}."), counts, |name| self.is_count(name));
        }
    }
}
