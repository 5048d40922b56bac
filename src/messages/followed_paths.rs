//! Paths of all followed files: none of them is a rotation of another one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// Set of the paths of all followed files.
#[derive(Clone, Default)]
pub struct Paths(Arc<Mutex<HashSet<PathBuf>>>);

impl Paths {
    /// Adds a path permanently: a file that was followed once is no rotation of another one.
    pub fn add(&self, path: &Path) {
        self.0.lock().insert(path.to_owned());
    }

    /// Returns true if a file at this path is or was followed.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.lock().contains(path)
    }
}
