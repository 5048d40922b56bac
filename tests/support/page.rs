//! A parsed exposition.

use std::collections::BTreeMap;

/// A parsed exposition: series as written (`name{labels}`) to value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(pub BTreeMap<String, f64>);

impl Page {
    pub fn parse(text: &str) -> Page {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let earlier = series.insert(name.to_owned(), value.parse().unwrap());
            assert!(earlier.is_none(), "a duplicate series: {name}");
        }
        Page(series)
    }

    pub fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The series of which the name starts so, as whole numbers.
    pub fn starting(&self, prefixes: &[&str]) -> BTreeMap<String, i64> {
        self.0
            .iter()
            .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(|(name, value)| (name.clone(), *value as i64))
            .collect()
    }

    /// Asserts that no counter is lower than it was, and none is missing.
    #[track_caller]
    pub fn assert_not_below(&self, before: &BTreeMap<String, i64>, when: &str) {
        let now = self.counters();
        for (series, before) in before {
            let after = now.get(series);
            assert!(after.is_some_and(|after| after >= before), "{when}: {series} was {before} and is {after:?}");
        }
    }

    /// All delivery counters.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        self.starting(&["push_messages_"])
    }
}
