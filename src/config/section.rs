//! Reads typed values out of the tree and collects every error on the way. The calls that ask for
//! keys are the table of keys: what nobody asked for is unknown, with the nearest asked-for name.

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

/// What all sections of one file share.
pub struct Context<'a> {
    errors: RefCell<Vec<ConfigError>>,
    folder: &'a Path,
    environment: &'a Environment,
    ignores_nothing: bool,
}

impl<'a> Context<'a> {
    /// `folder` is what relative paths are relative to.
    pub fn new(folder: &'a Path, environment: &'a Environment) -> Self {
        Context { errors: RefCell::default(), folder, environment, ignores_nothing: false }
    }

    /// Takes keys with nothing behind them as if they were not there, and an empty text as a text.
    pub fn ignoring_nothing(self) -> Self {
        Context { ignores_nothing: true, ..self }
    }

    /// Notes an error and goes on.
    pub fn error(&self, place: Place, path: &str, message: impl Into<String>) {
        self.errors.borrow_mut().push(ConfigError { place, path: path.to_owned(), message: message.into() });
    }

    /// All errors in the order of the file.
    pub fn into_errors(self) -> Vec<ConfigError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.place);
        errors
    }

    /// A path as written at this place, which may be relative to the folder of the file; `None` after an error was
    /// noted.
    pub fn resolve(&self, place: Place, at: &str, path: &str) -> Option<PathBuf> {
        let message = match path {
            "~" => "~ is the shell's; write the whole path",
            path if path.starts_with("~/") => "~ is the shell's; write the whole path",
            path if path.contains("${") || path.starts_with('$') => {
                "takes no variable; only secrets can be given as ${ENV_NAME}"
            }
            path => return Some(self.folder.join(path)),
        };
        self.error(place, at, message);
        None
    }
}

/// Reads a whole file; `None` if there is nothing in it.
///
/// # Errors
/// All that is wrong in it.
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

/// A mapping being read. Ask for every key it may have, then call [`Section::finish`].
pub struct Section<'a> {
    context: &'a Context<'a>,
    place: Place,
    path: String,
    pairs: &'a [(Place, String, Node)],
    asked: Vec<String>,
}

/// A value with its place and path, to say more about it later.
pub struct Found<'a> {
    /// Where the value stands.
    pub place: Place,
    /// Its dotted path.
    pub path: String,
    node: &'a Node,
}

impl Found<'_> {
    /// Whether it is written without quotes.
    pub fn is_plain(&self) -> bool {
        matches!(self.node.value, Value::Text { plain: true, .. })
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }
}

impl<'a> Section<'a> {
    /// Opens `node` as a mapping; an error and `None` if it is something else.
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

    /// Where the section starts.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The dotted path of the section.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All that is written in it, wherever it stands in the file.
    pub fn written(&self) -> String {
        let mut text = String::new();
        yaml::write_pairs(self.pairs, &mut text);
        text
    }

    /// The file this section is part of.
    pub fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// The value of a key, if it is there and not empty.
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

    /// Notes that a key which must be there is not.
    pub fn missing(&self, key: &str) {
        if !self.pairs.iter().any(|(_, name, _)| name == key) {
            self.context.error(self.place, &join(&self.path, key), "is required");
        }
    }

    /// A text.
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

    /// An identifier: any scalar as written, since ids made of digits are ids all the same.
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

    /// The keys of a section that may have any, each with its place and whether nothing or an empty text is behind
    /// it.
    pub fn keys(&self) -> impl Iterator<Item = (Place, &'a str, bool)> + use<'a> {
        self.pairs.iter().map(|(place, name, node)| (*place, name.as_str(), node.value.is_blank()))
    }

    /// Any scalar as written.
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

    /// An identifier that must be there.
    pub fn required_identifier(&mut self, key: &str) -> Option<String> {
        let value = self.identifier(key);
        if value.is_none() {
            self.missing(key);
        }
        value.map(|(_, text)| text)
    }

    /// A duration such as `0s`, `30s`, `5m`, `1h`, `4d`, at least `min`.
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

    /// One word out of `choices`.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let (found, word) = self.identifier(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.context.error(found.place, &found.path, format!("must be one of {}", names.join(", ")));
        }
        chosen
    }

    /// `true` or `false`.
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

    /// A whole number from `min` to `max`.
    pub fn number(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let (found, text) = self.identifier(key)?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_number && (min..=max).contains(number));
        if number.is_none() {
            self.context.error(found.place, &found.path, format!("expected a whole number from {min} to {max}"));
        }
        number
    }

    /// A list of words out of `choices`, without repetition and not empty.
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

    /// A list of scalars as written, each with its place and path.
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

    /// A list of mappings, each opened as a section named `key[index]`.
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

    /// A nested mapping.
    pub fn section(&mut self, key: &str) -> Option<Section<'a>> {
        let found = self.find(key)?;
        Section::open(self.context, found.node, found.path)
    }

    /// The root of an API: http or https, perhaps with a path, no user, query or fragment.
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

    /// The same with a default.
    pub fn base_url_or(&mut self, key: &str, default: &str) -> Option<Url> {
        if self.find(key).is_some() { self.base_url(key) } else { Url::parse(default).ok() }
    }

    /// A time zone by its IANA name.
    pub fn timezone(&mut self, key: &str) -> Option<TimeZone> {
        let (found, text) = self.text(key)?;
        let zone = TimeZone::get(&text).ok();
        if zone.is_none() {
            self.context.error(found.place, &found.path, "is not a time zone such as Asia/Shanghai");
        }
        zone
    }

    /// A list of files, relative to the configuration, none of them twice, as absolute paths. They need not be
    /// there.
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

    /// A list of words, if there is one, each as it is read and none of them twice.
    pub fn distinct<T: Clone + Eq + Hash>(&mut self, key: &str, read: impl Fn(String) -> T) -> Vec<T> {
        self.distinct_that(key, |_, _, word| Some(read(word)))
    }

    /// The same of words that may be wrong, which `read` notes.
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

    /// The contents of a file named by `key`, relative to the configuration.
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

    /// Which of `key` and `key_file` is given.
    pub fn has_secret(&self, key: &str) -> bool {
        let file = format!("{key}_file");
        self.pairs.iter().any(|(_, name, _)| name == key || *name == file)
    }

    /// A secret given as `key`, as `key: ${ENV_NAME}` or as `key_file`.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let value = self.scalar(key);
        let file = self.text(&file_key);
        match (value, file) {
            (Some(_), Some((found, _))) => {
                self.context.error(found.place, &found.path, format!("cannot stand beside {key}; keep one of them"));
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

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        self.finish_with("unknown key");
    }

    /// The same where the keys are a choice: names all of them.
    pub fn finish_choice(self) {
        let known = self.asked.join(", ");
        self.finish_with(&format!("unknown key; known are {known}"));
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
