//! Errors of a configuration file, each with its place.

use crate::config::yaml::Place;

/// One error, printed as `line:column: path: message` behind the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// The dotted path of the key, empty for the whole file.
    pub path: String,
    /// What is wrong and what to do; never a value, which may be a secret.
    pub message: String,
}

/// All that is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// All that is wrong with `file`.
    pub fn new(file: &str, errors: Vec<ConfigError>) -> ConfigErrors {
        ConfigErrors { file: file.to_owned(), errors }
    }

    /// One error that concerns the file as a whole.
    pub fn one(file: &str, place: Place, message: String) -> ConfigErrors {
        ConfigErrors::new(file, vec![ConfigError { place, path: String::new(), message }])
    }

    /// Each of them, in the order of the file, for tests and fuzzing.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, ConfigError { place, path, message }) in self.errors.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
            let text = printable(&format!("{path}{message}"));
            write!(f, "{newline}{}:{}:{}: {text}", printable(&self.file), place.line, place.column)?;
        }
        Ok(())
    }
}

/// Names of keys and files as they were written, but for what a terminal obeys.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}
