//! A parsed history: OpenMetrics with timestamps, as `push-exporter backfill` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

/// Samples by series as written (`name{labels}`) and time in Unix seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(pub BTreeMap<String, BTreeMap<i64, f64>>);

impl History {
    pub fn read(file: &Path) -> History {
        History::parse(&std::fs::read_to_string(file).unwrap())
    }

    /// Parses a whole text. A metric must be in one piece, and the samples of a series in one piece and in order of time.
    pub fn parse(text: &str) -> History {
        assert!(text.ends_with("\n# EOF\n") || text == "# EOF\n", "there is no end");
        let mut history = BTreeMap::<String, BTreeMap<i64, f64>>::new();
        let (mut families, mut family, mut last) = (BTreeSet::new(), String::new(), (String::new(), 0));
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').unwrap();
                family = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                assert!(families.insert(family.clone()), "{family} is in two pieces");
            } else if !line.starts_with('#') {
                let (sample, time) = line.rsplit_once(' ').unwrap();
                let (series, value) = sample.rsplit_once(' ').unwrap();
                let time: i64 = time.parse().unwrap();
                assert_eq!(series.split_once('{').unwrap().0, family);
                let is_same = last.0 == series;
                assert!(if is_same { last.1 < time } else { !history.contains_key(series) }, "not in order: {line}");
                last = (series.to_owned(), time);
                history.entry(series.to_owned()).or_default().insert(time, value.parse().unwrap());
            }
        }
        History(history)
    }

    /// The value of a series at a time, if there is a sample at that very time.
    pub fn at(&self, series: &str, at: Timestamp) -> Option<i64> {
        self.0.get(series)?.get(&at.as_second()).map(|value| *value as i64)
    }

    /// Every series that starts so and has a sample at a time.
    pub fn all_at(&self, prefix: &str, at: Timestamp) -> BTreeMap<String, i64> {
        let value = |series: &String| Some((series.clone(), self.at(series, at)?));
        self.0.keys().filter(|series| series.starts_with(prefix)).filter_map(value).collect()
    }
}
