//! Secrets given by value, from the environment or from a file that is watched in the background. A secret has no
//! `Display`, its `Debug` reveals nothing, and errors about a secret never quote it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::read_file;

/// Environment variables that a configuration may name.
pub type Environment = HashMap<String, String>;

/// A credential, by value or from a file. Clones share the value that was last read.
#[derive(Clone, Debug)]
pub struct Secret(Arc<SecretSource>);

#[derive(Debug)]
enum SecretSource {
    Value(SecretString),
    File { path: PathBuf, last: Mutex<Last> },
}

/// The last value that was read from a file.
#[derive(Debug)]
struct Last {
    secret: SecretString,
    /// Error of the last attempt, kept so that it is logged only once.
    trouble: Option<String>,
}

/// Error of a secret that cannot be read or is not valid.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// `${NAME}` names a variable that is not set.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// The file is missing or unreadable.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Path of the secret file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// The variable, file or value is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// `$NAME` without braces; not quoted in the error, since it may be a secret.
    #[error("looks like the name of an environment variable; write it as ${{NAME}}")]
    NoBraces,
    /// A variable that is only a part of the value: `x-${NAME}`.
    #[error("a variable must be the whole value; set one that holds all of it, and write ${{NAME}}")]
    PartlyVariable,
    /// A template that was not rendered: `{{ .Values.secret }}`.
    #[error("is a template that was not rendered; write the value, or ${{NAME}}, or name a file")]
    Template,
}

impl Secret {
    /// Creates a secret from the text in the configuration: the value itself or `${ENV_NAME}`.
    ///
    /// # Errors
    /// Fails if the variable is not set or is empty, and if the text looks like a variable but is not a valid one.
    pub fn written(text: &str, environment: &Environment) -> Result<Secret, SecretError> {
        let text = trimmed(text);
        let is_name = |text: &str| {
            let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            is_word && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
        };
        let value = match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if is_name(name) => {
                let value = environment.get(name).ok_or_else(|| SecretError::NoVariable(name.to_owned()))?;
                match trimmed(value) {
                    "" => return Err(SecretError::Empty(format!("the environment variable {name}"))),
                    value => value,
                }
            }
            _ if text.contains("${") => return Err(SecretError::PartlyVariable),
            _ if text.strip_prefix('$').is_some_and(is_name) => return Err(SecretError::NoBraces),
            _ if text.contains("{{") => return Err(SecretError::Template),
            _ if text.is_empty() => return Err(SecretError::Empty("the value".to_owned())),
            _ => text,
        };
        Ok(Secret(Arc::new(SecretSource::Value(value.into()))))
    }

    /// Reads a secret from a file, without surrounding line ends and byte order mark.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is empty.
    pub fn in_file(path: PathBuf) -> Result<Secret, SecretError> {
        let last = Mutex::new(Last { secret: read(&path)?, trouble: None });
        Ok(Secret(Arc::new(SecretSource::File { path, last })))
    }

    /// Returns the last value that was read, from memory.
    pub fn current(&self) -> SecretString {
        match &*self.0 {
            SecretSource::Value(value) => value.clone(),
            SecretSource::File { last, .. } => last.lock().secret.clone(),
        }
    }

    /// Reads the file again, if there is one. If the file is missing or broken or does not answer, the last value is
    /// kept, since secret stores replace files by removing them first; the failure is logged once. Blocks.
    pub fn refresh(&self) {
        let SecretSource::File { path, last } = &*self.0 else { return };
        let fresh = read(path);
        let mut last = last.lock();
        match fresh {
            Ok(secret) => {
                if last.trouble.take().is_some() {
                    tracing::info!(file = path.display().to_string(), "the secret file can be read again");
                }
                last.secret = secret;
            }
            Err(error) => {
                let trouble = crate::util::error::error_chain(&error);
                if last.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(error = trouble, "cannot read a secret file; using its last value");
                    last.trouble = Some(trouble);
                }
            }
        }
    }

    /// Returns true if the secret can change while the exporter runs.
    pub fn can_change(&self) -> bool {
        matches!(&*self.0, SecretSource::File { .. })
    }
}

/// Removes the line ends and the byte order mark that editors and shells put around a secret.
fn trimmed(text: &str) -> &str {
    text.trim_matches(['\n', '\r', '\u{feff}'])
}

fn read(path: &Path) -> Result<SecretString, SecretError> {
    let text =
        read_file::read_text(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    let text = trimmed(&text);
    if text.is_empty() {
        return Err(SecretError::Empty(path.display().to_string()));
    }
    Ok(text.into())
}

/// Minimum interval between two reads of the secret files.
const LOOK: Duration = Duration::from_secs(1);
/// Inverse of the share of a thread's time that reading may take, however many files there are …
const SHARE: u32 = 20;
/// … but a file that hangs does not delay the next read by more than this.
const LONGEST: Duration = Duration::from_secs(10);

/// Reads the secret files periodically in the background, until the sender of the list is dropped.
pub async fn watch(mut secrets: watch::Receiver<Vec<Secret>>) {
    loop {
        let files: Vec<Secret> = secrets.borrow_and_update().iter().filter(|one| one.can_change()).cloned().collect();
        if files.is_empty() {
            if secrets.changed().await.is_err() {
                return;
            }
            continue;
        }
        let began = Instant::now();
        // A panic would be a bug; the next read tries again.
        let _ = tokio::task::spawn_blocking(move || files.iter().for_each(Secret::refresh)).await;
        tokio::time::sleep((began.elapsed() * SHARE).clamp(LOOK, LONGEST)).await;
        if secrets.has_changed().is_err() {
            return;
        }
    }
}

/// Remover of known secrets from texts of other programs: a provider may repeat what it refused.
#[derive(Clone, Debug, Default)]
pub struct Scrubber(Arc<Mutex<Vec<SecretString>>>);

/// Maximum number of remembered secrets; tokens are replaced every hour or two, and old ones have expired.
const MAX_REMEMBERED: usize = 64;
/// Minimum length of a secret to remove: removing shorter texts would make every message unreadable.
const SHORTEST: usize = 4;

impl Scrubber {
    /// Remembers a secret or token to remove.
    pub fn learn(&self, secret: &SecretString) {
        let mut known = self.0.lock();
        if !known.iter().any(|old| old.expose_secret() == secret.expose_secret()) {
            if known.len() >= MAX_REMEMBERED {
                known.remove(0);
            }
            known.push(secret.clone());
        }
    }

    /// Returns the text with every known secret replaced by `***`.
    pub fn scrub(&self, text: &str) -> String {
        let known = self.0.lock();
        known.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= SHORTEST).fold(
            text.to_owned(),
            |text, secret| if text.contains(secret) { text.replace(secret, "***") } else { text },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_read_again_and_survives_its_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "one\n").unwrap();
        let secret = Secret::in_file(path.clone()).unwrap();
        assert_eq!(secret.current().expose_secret(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(secret.current().expose_secret(), "one", "from memory");
        secret.refresh();
        assert_eq!(secret.current().expose_secret(), "two");
        std::fs::remove_file(&path).unwrap();
        secret.refresh();
        assert_eq!(secret.current().expose_secret(), "two");
        std::fs::create_dir(&path).unwrap();
        secret.refresh();
        assert_eq!(secret.current().expose_secret(), "two");
        assert!(!format!("{secret:?}").contains("two"));
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_watched_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "one").unwrap();
        let secret = Secret::in_file(path.clone()).unwrap();
        let (list, watched) = watch::channel(Vec::new());
        let task = tokio::spawn(super::watch(watched));
        list.send_replace(vec![secret.clone()]);
        std::fs::write(&path, "two").unwrap();
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!(secret.current().expose_secret(), "two");
        drop(list);
        task.await.unwrap();
    }

    #[test]
    fn what_stands_around_a_secret_is_no_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "\u{feff}s3cret\r\n\n").unwrap();
        assert_eq!(Secret::in_file(path.clone()).unwrap().current().expose_secret(), "s3cret");
        let environment =
            Environment::from([("A".to_owned(), "\u{feff}s3 cret\n".to_owned()), ("B".to_owned(), "\n".to_owned())]);
        let written = |text: &str| Secret::written(text, &environment);
        assert_eq!(written("${A}").unwrap().current().expose_secret(), "s3 cret");
        assert_eq!(written("s3cret\n").unwrap().current().expose_secret(), "s3cret");
        for (text, told) in [
            ("${B}", "the environment variable B is empty"),
            ("${C}", "the environment variable C is not set"),
            ("\n", "the value is empty"),
            ("$A", "looks like the name of an environment variable; write it as ${NAME}"),
            ("x-${A}", "a variable must be the whole value; set one that holds all of it, and write ${NAME}"),
            ("${A}${A}", "a variable must be the whole value; set one that holds all of it, and write ${NAME}"),
            (
                "{{ .Values.secret }}",
                "is a template that was not rendered; write the value, or ${NAME}, or name a file",
            ),
        ] {
            assert_eq!(written(text).unwrap_err().to_string(), told, "{text}");
        }
        for secret in ["pa$$word", "$ 5", "$5.00", "a$b", "{x}"] {
            assert_eq!(written(secret).unwrap().current().expose_secret(), secret);
        }
    }

    #[test]
    fn scrubbing() {
        let scrubber = Scrubber::default();
        scrubber.learn(&"s3cret".into());
        assert_eq!(scrubber.scrub("client_secret s3cret does not match"), "client_secret *** does not match");
    }
}
