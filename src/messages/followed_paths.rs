//! Paths of all files that are followed: none of them is a rotation of another one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// Every file that is followed.
#[derive(Clone, Default)]
pub struct Paths(Arc<Mutex<HashSet<PathBuf>>>);

impl Paths {
    /// One more, for good: a file that was followed is no rotation of another one.
    pub fn add(&self, path: &Path) {
        self.0.lock().insert(path.to_owned());
    }

    /// Whether this one is.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.lock().contains(path)
    }
}
