//! Configuration keys of an app under `easemob`.

use reqwest::Url;

use crate::config::secret::Secret;
use crate::config::section::{Found, Section};

/// Settings of one Easemob app.
#[derive(Clone, Debug)]
pub struct EasemobSettings {
    /// URL of the REST host, which differs by data centre; may have a path in front of the org.
    pub base_url: Url,
    /// Organization (企业 ID).
    pub org_name: String,
    /// App name (应用名).
    pub app_name: String,
    /// Source of the app token.
    pub credentials: Credentials,
    /// Values of the parameter `platform`, with one request each.
    pub platforms: Vec<&'static str>,
}

/// Source of the app token.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Token fetched from the token endpoint.
    Client {
        /// Value of `client_id`.
        id: String,
        /// Value of `client_secret`.
        secret: Secret,
    },
    /// Token given in the configuration.
    AppToken(Secret),
}

impl Credentials {
    /// Returns the secret: the client secret or the token.
    pub fn secret(&self) -> &Secret {
        match self {
            Credentials::Client { secret, .. } => secret,
            Credentials::AppToken(token) => token,
        }
    }
}

/// Documented values of the parameter `platform`.
const PLATFORMS: [(&str, &str); 9] = [
    ("ALL", "ALL"),
    ("APNS", "APNS"),
    ("ANDROID", "ANDROID"),
    ("XIAOMIPUSH", "XIAOMIPUSH"),
    ("HUAWEIPUSH", "HUAWEIPUSH"),
    ("MEIZUPUSH", "MEIZUPUSH"),
    ("OPPOPUSH", "OPPOPUSH"),
    ("VIVOPUSH", "VIVOPUSH"),
    ("HONOR", "HONOR"),
];

impl EasemobSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<EasemobSettings> {
        let base_url = section.base_url("base_url");
        if base_url.is_none() {
            section.missing("base_url");
        }
        let (org_name, app_name) = names(section);
        let credentials = credentials(section);
        let chosen = section.find("platforms").is_some();
        let platforms = if chosen { section.choices("platforms", &PLATFORMS) } else { Some(vec!["ALL"]) };
        if let Some(platforms) = &platforms {
            let message = match platforms.as_slice() {
                [] => Some("must name at least one platform, or ALL"),
                [_] => None,
                many if many.contains(&"ALL") => {
                    Some("ALL cannot be combined with other platforms; they are part of it")
                }
                _ => None,
            };
            if let (Some(message), Some(found)) = (message, section.find("platforms")) {
                section.context().error(found.place, &found.path, message);
                return None;
            }
        }
        Some(EasemobSettings {
            base_url: base_url?,
            org_name: org_name?,
            app_name: app_name?,
            credentials: credentials?,
            platforms: platforms?,
        })
    }
}

/// Reads org and app: two keys, or the single one that the console shows, `org#app`.
fn names(section: &mut Section<'_>) -> (Option<String>, Option<String>) {
    let context = section.context();
    let key = section.identifier("app_key");
    if let Some((found, key)) = key {
        for name in ["org_name", "app_name"] {
            if let Some(found) = section.find(name) {
                context.error(found.place, &found.path, "cannot be combined with app_key, which contains it");
            }
        }
        return match key.split_once('#') {
            Some((org, app)) if !org.is_empty() && !app.is_empty() && !app.contains('#') => {
                (Some(org.to_owned()), Some(app.to_owned()))
            }
            _ => {
                context.error(found.place, &found.path, "must be org#app, as the console shows it");
                (None, None)
            }
        };
    }
    let (org_name, app_name) = (section.identifier("org_name"), section.identifier("app_name"));
    let name = |key: &str, given: Option<(Found<'_>, String)>| {
        let Some((found, name)) = given else {
            section.missing(key);
            return None;
        };
        if name.contains('#') {
            let message = "must not hold #; write app_key: org#app instead of org_name and app_name";
            context.error(found.place, &found.path, message);
            return None;
        }
        Some(name)
    };
    (name("org_name", org_name), name("app_name", app_name))
}

fn credentials(section: &mut Section<'_>) -> Option<Credentials> {
    if section.has_secret("app_token") {
        let token = section.secret("app_token");
        for key in ["client_id", "client_secret", "client_secret_file"] {
            if let Some(found) = section.find(key) {
                let message = "cannot be combined with app_token; keep the token or the client's id and secret";
                section.context().error(found.place, &found.path, message);
            }
        }
        return token.map(Credentials::AppToken);
    }
    // Makes the keys known, so that the error of a misspelt one suggests the right one.
    section.find("app_token");
    section.find("app_token_file");
    let id = section.required_identifier("client_id");
    let secret = section.secret("client_secret");
    Some(Credentials::Client { id: id?, secret: secret? })
}
