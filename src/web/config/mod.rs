//! The file of `--web.config.file`, in the format of Prometheus' exporter-toolkit
//! (docs/web-configuration.md of prometheus/exporter-toolkit): TLS, client certificates, HTTP/2, headers,
//! users, rate limit. It is read strictly, and all errors are reported at once; the result is ready for use.

mod client_auth;
mod go_duration;
mod go_tls_names;
mod tls;
pub mod watch;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ServerConfig;

use crate::config::secret::Environment;
use crate::config::section::{self, Context, Section};
use crate::config::yaml::Place;
use crate::config::{ConfigErrors, ErrorNoted, read_file};
use crate::web::basic_auth::{Hash, UserTable};

/// Settings for every connection and request. The default, without a file, is plain HTTP without authentication.
#[derive(Clone, Default)]
pub struct WebConfig {
    /// TLS configuration; `None` for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// End of the server's certificate chain, in Unix seconds; `None` for plain HTTP.
    pub certificate_expiry: Option<i64>,
    /// Headers added to every answer.
    pub headers: HeaderMap,
    /// Users that may connect; if there are none, no authentication is required.
    pub users: UserTable,
    /// Rate limit of requests; `None` for no limit.
    pub rate_limit: Option<RateLimit>,
    /// True if the file is empty.
    is_nothing: bool,
}

/// Token bucket: one request per interval, and at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Interval between two requests, never zero.
    pub interval: Duration,
    /// Maximum number of requests at once after a pause; 0 refuses all.
    pub burst: u64,
}

/// Headers that may be set, with the values that each accepts; an empty list accepts any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-XSS-Protection", &[]),
    ("Strict-Transport-Security", &[]),
];

/// Contents of every file that was read, or the error of reading it.
type Contents = BTreeMap<PathBuf, Result<Vec<u8>, String>>;

/// Result of reading the web configuration, and the contents that it was made from.
pub struct ConfigReading {
    /// The settings, or all errors.
    pub result: Result<Arc<WebConfig>, ConfigErrors>,
    contents: Contents,
    /// File whose file system did not answer, so that its contents are unknown.
    hangs: Option<PathBuf>,
}

impl ConfigReading {
    /// Reads a web configuration file and the files that it names.
    pub fn of(file: &Path) -> ConfigReading {
        let mut sources = Sources::default();
        let name = file.display().to_string();
        let result =
            match sources.read(file).and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string())) {
                Ok(text) => read_all(&name, &text, file.parent().unwrap_or(Path::new("")), &mut sources),
                Err(error) => {
                    Err(ConfigErrors::one(&name, Place::START, format!("cannot read the web configuration: {error}")))
                }
            };
        ConfigReading { result: result.map(Arc::new), contents: sources.contents, hangs: sources.hangs }
    }

    /// Returns true if no file has changed since it was read.
    fn is_current(&self) -> bool {
        let read = |path| read_file::read(path).map_err(|error| error.to_string());
        self.contents.iter().all(|(path, contents)| *contents == read(path))
    }
}

/// Reads files and remembers their contents.
#[derive(Default)]
struct Sources {
    contents: Contents,
    hangs: Option<PathBuf>,
}

impl Sources {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        if let Some(known) = self.contents.get(path) {
            return known.clone();
        }
        let read = read_file::read(path);
        if matches!(&read, Err(error) if error.kind() == ErrorKind::TimedOut) {
            self.hangs = Some(path.to_owned());
        }
        let read = read.map_err(|error| error.to_string());
        self.contents.insert(path.to_owned(), read.clone());
        read
    }
}

/// Parses a web configuration. `file` is its name in errors; paths in it are relative to `folder`.
///
/// # Errors
/// Returns all errors in the text.
pub fn parse(file: &str, text: &str, folder: &Path) -> Result<WebConfig, ConfigErrors> {
    read_all(file, text, folder, &mut Sources::default())
}

fn read_all(file: &str, text: &str, folder: &Path, sources: &mut Sources) -> Result<WebConfig, ConfigErrors> {
    let environment = Environment::default();
    let context = Context::new(folder, &environment).ignoring_nothing();
    let settings = section::read_document(file, text, context, |section| settings(section, sources))?;
    // An empty file is one that sets nothing.
    Ok(settings.unwrap_or(WebConfig { is_nothing: true, ..WebConfig::default() }))
}

/// Reads the whole document; returns `None` only after an error was noted.
fn settings(mut file: Section<'_>, sources: &mut Sources) -> Option<WebConfig> {
    let tls = file.section("tls_server_config").map(|section| tls::TlsSection::read(section, sources));
    let mut http2 = true;
    let mut headers = HeaderMap::new();
    if let Some(mut section) = file.section("http_server_config") {
        http2 = boolean(&mut section, "http2").unwrap_or(true);
        if let Some(section) = section.section("headers") {
            headers = read_headers(section);
        }
        section.finish();
    }
    let users = file.section("basic_auth_users").map(read_users).unwrap_or_default();
    let rate_limit = file.section("rate_limit").and_then(read_rate_limit);
    let context = file.context();
    file.finish();
    let (tls, certificate_expiry) = match tls {
        None => None,
        Some(tls) => tls?.build(http2, context).ok()?,
    }
    .unzip();
    Some(WebConfig { tls, certificate_expiry, headers, users, rate_limit, is_nothing: false })
}

fn read_headers(mut section: Section<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let context = section.context();
    let names: Vec<_> = section.keys().collect();
    for (place, name, is_blank) in names {
        let path = format!("{}.{name}", section.path());
        let value = section.scalar(name).map(|(_, value)| value);
        let Some((known, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            context.error(place, &path, format!("HTTP header {name:?} can not be configured"));
            continue;
        };
        let value = value.unwrap_or_default();
        // A blank value leaves the header unset, unless only certain values are allowed.
        if is_blank && values.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&value.as_str()) {
            let message = format!("invalid value for {name}; expected one of {}", values.join(", "));
            context.error(place, &path, message);
            continue;
        }
        // A value of several lines becomes one line, as it would when it is sent.
        let line = value.split(['\r', '\n']).collect::<Vec<_>>().join(" ");
        match HeaderName::from_bytes(known.as_bytes()).ok().zip(HeaderValue::from_bytes(line.trim().as_bytes()).ok()) {
            Some((name, value)) => drop(headers.insert(name, value)),
            None => context.error(place, &path, "is not a valid header value"),
        }
    }
    section.finish();
    headers
}

fn read_users(mut section: Section<'_>) -> UserTable {
    let context = section.context();
    let mut users = UserTable::default();
    let names: Vec<_> = section.keys().collect();
    for (place, name, is_blank) in names {
        let hash = section.scalar(name).map(|(_, hash)| hash);
        match hash.or(is_blank.then(String::new)).map(|hash| Hash::parse(&hash)) {
            Some(Ok(hash)) => users.add(name, hash),
            Some(Err(error)) => context.error(place, &format!("{}.{name}", section.path()), error.to_string()),
            // The value is not a text; the error was already noted.
            None => {}
        }
    }
    section.finish();
    users
}

fn read_rate_limit(mut section: Section<'_>) -> Option<RateLimit> {
    let context = section.context();
    let interval = section.scalar("interval").and_then(|(found, text)| {
        let interval = go_duration::parse(&text, found.is_plain());
        if interval.is_none() {
            context.error(found.place, &found.path, "expected a duration such as 500ms, 1s or 1m30s");
        }
        interval
    });
    let burst = section.scalar("burst").and_then(|(found, text)| {
        let burst = text.parse::<i64>().ok().filter(|_| found.is_plain());
        if burst.is_none() {
            context.error(found.place, &found.path, "expected a whole number");
        }
        burst
    });
    section.finish();
    let interval = interval.filter(|interval| !interval.is_zero())?;
    let burst = u64::try_from(burst.unwrap_or(0)).unwrap_or(0);
    if burst == 0 {
        tracing::warn!("rate_limit has no burst, so every request is refused; set burst");
    }
    Some(RateLimit { interval, burst })
}

/// Reads a boolean in any spelling of YAML 1.1, as the Go exporters do.
fn boolean(section: &mut Section<'_>, key: &str) -> Option<bool> {
    let (found, text) = section.scalar(key)?;
    let word = match text.as_str() {
        _ if !found.is_plain() => String::new(),
        // Only lower case, upper case and capitalized spellings are valid.
        text if text.chars().skip(1).all(char::is_lowercase) || text.chars().all(char::is_uppercase) => {
            text.to_ascii_lowercase()
        }
        _ => String::new(),
    };
    match word.as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => {
            section.context().error(found.place, &found.path, "expected true or false");
            None
        }
    }
}

/// Contents of an inline text or a file, and the place to report errors at.
struct Material {
    place: Place,
    path: String,
    /// Name of the file, or "it".
    name: String,
    bytes: Vec<u8>,
}

impl Material {
    /// Reads the file named by `<key>_file`, or otherwise the text of `key`. `None` if neither
    /// is given.
    fn read(section: &mut Section<'_>, key: &str, sources: &mut Sources) -> Result<Option<Material>, ErrorNoted> {
        let mut given = |key: &str| section.scalar(key).filter(|(_, text)| !text.is_empty());
        let (file, inline) = (given(&format!("{key}_file")), given(key));
        if let Some((found, name)) = file {
            let path = section.context().resolve(found.place, &found.path, &name).ok_or(ErrorNoted)?;
            return match sources.read(&path) {
                Ok(bytes) => {
                    let name = path.display().to_string();
                    Ok(Some(Material { place: found.place, path: found.path, name, bytes }))
                }
                Err(error) => {
                    let message = format!("cannot read {}: {error}", path.display());
                    section.context().error(found.place, &found.path, message);
                    Err(ErrorNoted)
                }
            };
        }
        Ok(inline.map(|(found, text)| Material {
            place: found.place,
            path: found.path,
            name: "it".to_owned(),
            bytes: text.into_bytes(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<WebConfig, String> {
        parse("web.yml", text, Path::new("/nowhere")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn booleans_of_yaml_1_1() {
        for (word, expected) in [
            ("true", Some(true)),
            ("Yes", Some(true)),
            ("ON", Some(true)),
            ("y", Some(true)),
            ("off", Some(false)),
            ("No", Some(false)),
            ("FALSE", Some(false)),
            ("N", Some(false)),
            ("tRUE", None),
            ("1", None),
            ("yess", None),
            ("\"true\"", None),
        ] {
            let environment = Environment::default();
            let context = Context::new(Path::new(""), &environment);
            let read = section::read_document("web.yml", &format!("http2: {word}"), context, |mut section| {
                boolean(&mut section, "http2")
            });
            assert_eq!(read.ok().flatten(), expected, "{word}");
        }
    }

    #[test]
    fn every_error_has_its_place() {
        let Err(errors) = parse_text(
            "tls_server_config:\n  min_versoin: TLS12\n  curve_preferences: [CurveP999]\nhttp_server_config:\n  headers:\n    Server: x\n",
        ) else {
            panic!("invalid text was accepted");
        };
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!(
            lines,
            [
                "web.yml:2:3: tls_server_config.min_versoin: unknown key; did you mean min_version?",
                "web.yml:3:23: tls_server_config.curve_preferences[0]: unknown curve: CurveP999",
                "web.yml:6:5: http_server_config.headers.Server: HTTP header \"Server\" can not be configured",
            ]
        );
    }

    #[test]
    fn nothing_is_plain_http_for_everybody() {
        for text in
            ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n", "tls_server_config: {min_version: TLS13}"]
        {
            let settings = parse_text(text).unwrap();
            assert!(settings.tls.is_none() && settings.users.is_empty() && settings.rate_limit.is_none(), "{text}");
        }
    }
}
