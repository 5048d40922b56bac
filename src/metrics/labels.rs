//! Labels of a series: names and values. The exposition decides how they are written.

use serde::{Deserialize, Serialize};

/// Label names and values of a series without those of its app, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// Returns the labels with these names and values.
    pub fn new(pairs: &[(&str, &str)]) -> Labels {
        Labels(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns the same labels followed by one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Labels {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
