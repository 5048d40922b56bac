//! Labels of a series: names and values. The exposition decides how they are written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// End of a name and of a value: no label contains it.
const END: char = '\0';

/// Label names and values of a series without those of its app, in the order in which they are written. They are one text,
/// since an exporter holds some dozens for each of thousands of apps.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<str>);

impl Labels {
    /// Returns the labels with these names and values.
    pub fn new(pairs: &[(&str, &str)]) -> Labels {
        Labels::of(pairs.iter().copied())
    }

    fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Labels {
        let length = pairs.clone().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(length);
        for part in pairs.flat_map(|(name, value)| [name, value]) {
            text.extend(part.chars().filter(|c| *c != END));
            text.push(END);
        }
        Labels(text.into_boxed_str())
    }

    /// Returns the same labels followed by one more.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Labels {
        Labels::of(self.pairs().chain([(name, value)]))
    }

    /// Returns names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut parts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(Labels::of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_were_made_of() {
        let pairs = [("platform", "android"), ("channel", ""), ("kind", "消息")];
        let labels = Labels::new(&pairs[..2]).with("kind", "消息");
        assert_eq!(labels.pairs().collect::<Vec<_>>(), pairs);
        assert_eq!(labels, Labels::new(&pairs));
        assert_eq!(Labels::new(&[]).pairs().count(), 0);
        let stored = r#"[["platform","android"],["channel",""],["kind","消息"]]"#;
        assert_eq!(serde_json::to_string(&labels).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Labels>(stored).unwrap(), labels);
        assert_eq!(Labels::new(&[("a\0b", "c\0")]).pairs().collect::<Vec<_>>(), [("ab", "c")]);
    }
}
