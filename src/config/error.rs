//! Errors of a configuration file, each with its position.

use crate::config::yaml::Place;

/// An error was noted in the context of the file, so that there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorNoted;

/// An error, printed as `line:column: path: message` after the file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Position in the file.
    pub place: Place,
    /// Dotted path of the key; empty for the whole file.
    pub path: String,
    /// Description of the error and its remedy. Never quotes a value, which may be a secret.
    pub message: String,
}

/// All errors of a configuration file.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// Collects all errors of `file`.
    pub fn new(file: &str, errors: Vec<ConfigError>) -> ConfigErrors {
        ConfigErrors { file: file.to_owned(), errors }
    }

    /// Creates a single error that concerns the whole file.
    pub fn one(file: &str, place: Place, message: String) -> ConfigErrors {
        ConfigErrors::new(file, vec![ConfigError { place, path: String::new(), message }])
    }

    /// Returns the errors in file order, for tests and fuzzing.
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

/// Escapes control characters, so that names of keys and files cannot control a terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}
