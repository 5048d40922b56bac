//! Readers of typed values from the YAML tree, which collect every error on the way. The calls that look up keys also
//! define the known keys: a key that no call looked up is reported as unknown, with the nearest known name.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use reqwest::Url;

use crate::config::read_file;
use crate::config::secret::{Environment, Secret};
use crate::config::yaml::{self, Node, Place, Value};
use crate::config::{ConfigError, ConfigErrors, duration};

/// State that all sections of one file share.
pub struct Context<'a> {
    errors: RefCell<Vec<ConfigError>>,
    folder: &'a Path,
    environment: &'a Environment,
    ignores_nothing: bool,
}

impl<'a> Context<'a> {
    /// Creates the state of one file; relative paths are resolved against `folder`.
    pub fn new(folder: &'a Path, environment: &'a Environment) -> Self {
        Context { errors: RefCell::default(), folder, environment, ignores_nothing: false }
    }

    /// Treats keys without a value as absent, and accepts empty strings.
    pub fn ignoring_nothing(self) -> Self {
        Context { ignores_nothing: true, ..self }
    }

    /// Records an error, so that reading can continue.
    pub fn error(&self, place: Place, path: &str, message: impl Into<String>) {
        self.errors.borrow_mut().push(ConfigError { place, path: path.to_owned(), message: message.into() });
    }

    /// Returns the value of a variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    /// Returns all errors in file order.
    pub fn into_errors(self) -> Vec<ConfigError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.place);
        errors
    }

    /// Resolves a path that is written at this position and may be relative to the folder of the file; records an
    /// error and returns `None` if it is invalid.
    pub fn resolve(&self, place: Place, at: &str, path: &str) -> Option<PathBuf> {
        let message = match path {
            "~" => "~ is not expanded; write the whole path",
            path if path.starts_with("~/") => "~ is not expanded; write the whole path",
            path if path.contains("${") || path.starts_with('$') => {
                "takes no variable; only secrets can be given as ${ENV_NAME}"
            }
            path => return Some(self.folder.join(path)),
        };
        self.error(place, at, message);
        None
    }
}

/// Reads a whole file; returns `None` if it is empty.
///
/// # Errors
/// Returns all errors of the file.
pub fn read_document<T>(
    file: &str,
    text: &str,
    context: Context<'_>,
    read: impl FnOnce(Section<'_>) -> Option<T>,
) -> Result<Option<T>, ConfigErrors> {
    let root = yaml::parse(text).map_err(|error| ConfigErrors::one(file, error.place, error.message))?;
    let Some(root) = root else { return Ok(None) };
    let read = Section::open(&context, &root, String::new()).and_then(read);
    let errors = context.into_errors();
    match read {
        Some(read) if errors.is_empty() => Ok(Some(read)),
        _ => Err(ConfigErrors::new(file, errors)),
    }
}

/// A mapping that is being read. Look up every key it may have, then call [`Section::finish`].
pub struct Section<'a> {
    context: &'a Context<'a>,
    place: Place,
    path: String,
    pairs: &'a [(Place, String, Node)],
    asked: Vec<String>,
}

/// A value with its position and path, for later error messages.
pub struct Found<'a> {
    /// Position of the value.
    pub place: Place,
    /// Dotted path of the value.
    pub path: String,
    node: &'a Node,
}

impl Found<'_> {
    /// Returns true if the value is a scalar without quotes.
    pub fn is_plain(&self) -> bool {
        matches!(self.node.value, Value::Text { plain: true, .. })
    }

    /// Returns true if the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }
}

impl<'a> Section<'a> {
    /// Opens `node` as a mapping; records an error and returns `None` if it is something else.
    pub fn open(context: &'a Context<'a>, node: &'a Node, path: String) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            context.error(node.place, &path, format!("expected a mapping, found {}", node.value.kind()));
            return None;
        };
        let mut seen = HashSet::new();
        for (place, name, _) in pairs {
            if !seen.insert(name) {
                context.error(*place, &join(&path, name), "given twice");
            }
        }
        Some(Section { context, place: node.place, path, pairs, asked: Vec::new() })
    }

    /// Returns the position at which the section starts.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns the dotted path of the section.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns a canonical text of the section's contents, independent of positions in the file.
    pub fn written(&self) -> String {
        let mut text = String::new();
        yaml::write_pairs(self.pairs, &mut text);
        text
    }

    /// Returns the shared state of the file.
    pub fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// Returns the value of a key, if the key exists and has a value.
    pub fn find(&mut self, key: &str) -> Option<Found<'a>> {
        self.asked.push(key.to_owned());
        let (_, _, node) = self.pairs.iter().find(|(_, name, _)| name == key)?;
        if matches!(node.value, Value::Nothing) {
            if self.context.ignores_nothing {
                return None;
            }
            self.context.error(node.place, &join(&self.path, key), "has no value");
            return None;
        }
        Some(Found { place: node.place, path: join(&self.path, key), node })
    }

    /// Records an error if a required key does not exist.
    pub fn missing(&self, key: &str) {
        self.missing_with(key, "is required");
    }

    /// Records this error if a required key does not exist.
    pub fn missing_with(&self, key: &str, message: &str) {
        if !self.pairs.iter().any(|(_, name, _)| name == key) {
            self.context.error(self.place, &join(&self.path, key), message);
        }
    }

    /// Reads a non-empty string.
    pub fn text(&mut self, key: &str) -> Option<(Found<'a>, String)> {
        let found = self.find(key)?;
        match &found.node.value {
            Value::Text { text, .. } if found.node.value.kind() == "a text" && !text.is_empty() => {
                let text = text.clone();
                Some((found, text))
            }
            value => {
                let message = match value {
                    Value::Text { text, .. } if text.is_empty() => "must not be empty".to_owned(),
                    value => format!("expected a text, found {}; put it in quotes if it is one", value.kind()),
                };
                self.context.error(found.place, &found.path, message);
                None
            }
        }
    }

    /// Reads an identifier: any scalar as written, since ids may consist of digits only.
    pub fn identifier(&mut self, key: &str) -> Option<(Found<'a>, String)> {
        let (found, text) = self.scalar(key)?;
        let message = if text.starts_with("${") {
            "takes no variable; only secrets can be given as ${ENV_NAME}"
        } else if text.trim() != text {
            "must not begin or end with a space"
        } else {
            return Some((found, text));
        };
        self.context.error(found.place, &found.path, message);
        None
    }

    /// Returns the keys of a section with arbitrary keys, each with its position and a flag that is true if its value
    /// is missing or an empty string.
    pub fn keys(&self) -> impl Iterator<Item = (Place, &'a str, bool)> + use<'a> {
        self.pairs.iter().map(|(place, name, node)| (*place, name.as_str(), node.value.is_blank()))
    }

    /// Reads any scalar as written.
    pub fn scalar(&mut self, key: &str) -> Option<(Found<'a>, String)> {
        let found = self.find(key)?;
        match &found.node.value {
            Value::Text { text, .. } if !text.is_empty() || self.context.ignores_nothing => {
                let text = text.clone();
                Some((found, text))
            }
            value => {
                let message = match value {
                    Value::Text { .. } => "must not be empty".to_owned(),
                    value => format!("expected a text, found {}", value.kind()),
                };
                self.context.error(found.place, &found.path, message);
                None
            }
        }
    }

    /// Reads a required identifier.
    pub fn required_identifier(&mut self, key: &str) -> Option<String> {
        let value = self.identifier(key);
        if value.is_none() {
            self.missing(key);
        }
        value.map(|(_, text)| text)
    }

    /// Reads a duration such as `0s`, `30s`, `5m`, `1h`, `4d`, at least `min`.
    pub fn duration(&mut self, key: &str, min: Duration) -> Option<Duration> {
        let (found, text) = self.identifier(key)?;
        match duration::parse(&text) {
            Some(duration) if duration >= min => Some(duration),
            Some(_) => {
                self.context.error(found.place, &found.path, format!("must be at least {}s", min.as_secs()));
                None
            }
            None => {
                let message = "expected a duration such as 30s, 5m, 1h or 7d";
                self.context.error(found.place, &found.path, message);
                None
            }
        }
    }

    /// Reads one of the values in `choices`.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let (found, word) = self.identifier(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.context.error(found.place, &found.path, format!("must be one of {}", names.join(", ")));
        }
        chosen
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let found = self.find(key)?;
        match &found.node.value {
            Value::Text { text, plain: true } if text == "true" => Some(true),
            Value::Text { text, plain: true } if text == "false" => Some(false),
            value => {
                let message = format!("expected true or false, found {}", value.kind());
                self.context.error(found.place, &found.path, message);
                None
            }
        }
    }

    /// Reads a whole number from `min` to `max`.
    pub fn number(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let (found, text) = self.identifier(key)?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_number && (min..=max).contains(number));
        if number.is_none() {
            self.context.error(found.place, &found.path, format!("expected a whole number from {min} to {max}"));
        }
        number
    }

    /// Reads a ratio between 0 and 1, both excluded, and returns it in millionths.
    pub fn ratio(&mut self, key: &str) -> Option<i64> {
        let (found, text) = self.identifier(key)?;
        let millionths = text.parse::<f64>().ok().map(|ratio| (ratio * 1e6).round() as i64);
        let ratio = millionths.filter(|millionths| (1..1_000_000).contains(millionths));
        if ratio.is_none() {
            self.context.error(found.place, &found.path, "expected a ratio between 0 and 1, such as 0.95");
        }
        ratio
    }

    /// Reads a list of values in `choices`, without repetition.
    pub fn choices<T: Copy + PartialEq>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let mut chosen = Vec::new();
        let mut sound = true;
        for (place, path, word) in self.words(key)? {
            match choices.iter().find(|(name, _)| *name == word) {
                Some((_, value)) if chosen.contains(value) => {
                    self.context.error(place, &path, "given twice");
                    sound = false;
                }
                Some((_, value)) => chosen.push(*value),
                None => {
                    self.context.error(place, &path, format!("must be one of {}", names.join(", ")));
                    sound = false;
                }
            }
        }
        sound.then_some(chosen)
    }

    /// Reads a list of non-empty scalars as written, each with its position and path.
    pub fn words(&mut self, key: &str) -> Option<Vec<(Place, String, String)>> {
        let found = self.find(key)?;
        let Value::List(items) = &found.node.value else {
            let message = format!("expected a list, found {}", found.node.value.kind());
            self.context.error(found.place, &found.path, message);
            return None;
        };
        let mut words = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", found.path);
            match &item.value {
                Value::Text { text, .. } if !text.is_empty() => words.push((item.place, path, text.clone())),
                Value::Text { .. } => self.context.error(item.place, &path, "must not be empty"),
                value => self.context.error(item.place, &path, format!("expected a text, found {}", value.kind())),
            }
        }
        Some(words)
    }

    /// Reads a list of mappings, each opened as a section named `key[index]`.
    pub fn sections(&mut self, key: &str) -> Vec<Section<'a>> {
        let Some(found) = self.find(key) else { return Vec::new() };
        let Value::List(items) = &found.node.value else {
            let message = format!("expected a list, found {}", found.node.value.kind());
            self.context.error(found.place, &found.path, message);
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Section::open(self.context, item, format!("{}[{index}]", found.path)))
            .collect()
    }

    /// Opens a nested mapping as a section.
    pub fn section(&mut self, key: &str) -> Option<Section<'a>> {
        let found = self.find(key)?;
        Section::open(self.context, found.node, found.path)
    }

    /// Reads the root URL of an API: http or https, optionally with a path, without user, query and fragment.
    pub fn base_url(&mut self, key: &str) -> Option<Url> {
        let (found, text) = self.text(key)?;
        let message = match Url::parse(&text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                "must start with https:// or http:// and a host"
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must not hold a user or password",
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "must not hold a query or fragment",
            Ok(url) => return Some(url),
            Err(_) => "is not a URL; it should look like https://host or https://host/path",
        };
        self.context.error(found.place, &found.path, message);
        None
    }

    /// Reads the root URL of an API, with a default.
    pub fn base_url_or(&mut self, key: &str, default: &str) -> Option<Url> {
        if self.find(key).is_some() { self.base_url(key) } else { Url::parse(default).ok() }
    }

    /// Reads a time zone by its IANA name.
    pub fn timezone(&mut self, key: &str) -> Option<TimeZone> {
        let (found, text) = self.text(key)?;
        let zone = TimeZone::get(&text).ok();
        if zone.is_none() {
            self.context.error(found.place, &found.path, "is not a time zone such as Asia/Shanghai");
        }
        zone
    }

    /// Reads a list of distinct files, relative to the configuration, and returns absolute paths. The files need not
    /// exist.
    pub fn paths(&mut self, key: &str) -> Vec<PathBuf> {
        let context = self.context;
        let read = |place, path: &str, word: String| {
            let file = context.resolve(place, path, &word)?;
            if word.contains(['*', '?']) {
                context.error(place, path, "is a pattern, which is not expanded; name each file");
                return None;
            }
            Some(std::path::absolute(&file).unwrap_or(file))
        };
        self.distinct_that(key, read)
    }

    /// Reads an optional list of distinct scalars, each converted by `read`.
    pub fn distinct<T: Clone + Eq + Hash>(&mut self, key: &str, read: impl Fn(String) -> T) -> Vec<T> {
        self.distinct_that(key, |_, _, word| Some(read(word)))
    }

    /// Works like [`Self::distinct`], but `read` may reject a scalar after recording an error.
    fn distinct_that<T: Clone + Eq + Hash>(
        &mut self,
        key: &str,
        read: impl Fn(Place, &str, String) -> Option<T>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        for (place, path, word) in self.words(key).unwrap_or_default() {
            let Some(item) = read(place, &path, word) else { continue };
            if seen.insert(item.clone()) {
                items.push(item);
            } else {
                self.context.error(place, &path, "given twice");
            }
        }
        items
    }

    /// Reads the file that `key` names, relative to the configuration, and returns its path and contents.
    pub fn file(&mut self, key: &str) -> Option<(PathBuf, Vec<u8>)> {
        let (found, text) = self.text(key)?;
        let path = self.context.resolve(found.place, &found.path, &text)?;
        match read_file::read(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                self.context.error(found.place, &found.path, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    /// Returns true if `key` or `key_file` is given.
    pub fn has_secret(&self, key: &str) -> bool {
        let file = format!("{key}_file");
        self.pairs.iter().any(|(_, name, _)| name == key || *name == file)
    }

    /// Reads a secret given as `key`, as `key: ${ENV_NAME}` or as `key_file`.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let value = self.scalar(key);
        let file = self.text(&file_key);
        match (value, file) {
            (Some(_), Some((found, _))) => {
                self.context.error(
                    found.place,
                    &found.path,
                    format!("cannot be combined with {key}; keep one of them"),
                );
                None
            }
            (Some((found, text)), None) => match Secret::written(&text, self.context.environment) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    self.context.error(found.place, &found.path, error.to_string());
                    None
                }
            },
            (None, Some((found, path))) => {
                match Secret::in_file(self.context.resolve(found.place, &found.path, &path)?) {
                    Ok(secret) => Some(secret),
                    Err(error) => {
                        self.context.error(found.place, &found.path, error.to_string());
                        None
                    }
                }
            }
            (None, None) => {
                if !self.has_secret(key) {
                    let message = format!("is required; give {key}, {file_key} or {key}: ${{ENV_NAME}}");
                    self.context.error(self.place, &join(&self.path, key), message);
                }
                None
            }
        }
    }

    /// Records an error for every key that was not looked up.
    pub fn finish(self) {
        self.finish_with("unknown key");
    }

    /// Works like [`Self::finish`] for keys that are a choice: the errors list all known keys.
    pub fn finish_choice(self) {
        let known = self.asked.join(", ");
        self.finish_with(&format!("unknown key; known keys are {known}"));
    }

    fn finish_with(self, unknown: &str) {
        for (place, name, _) in self.pairs {
            if self.asked.contains(name) {
                continue;
            }
            let nearest = self
                .asked
                .iter()
                .map(|known| (strsim::osa_distance(known, name), known))
                .filter(|(distance, known)| *distance <= 2.max(known.len() / 4))
                .min_by_key(|(distance, _)| *distance);
            let message = match nearest {
                Some((_, known)) => format!("unknown key; did you mean {known}?"),
                None => unknown.to_owned(),
            };
            self.context.error(*place, &join(&self.path, name), message);
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
