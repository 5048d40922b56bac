//! Configuration keys of an app under `wren`. Reading a key makes it known: a key that is never read is an error.

use reqwest::Url;

use push_exporter::config::{secret::Secret, section::Section};

/// Settings of one Wren app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host of the app's region.
    pub base_url: Url,
    /// Id of the app: `wr-…`.
    pub app_id: String,
    /// Secret of the app. It may also be given as `api_secret_file`, or as `${ENV_NAME}`.
    pub api_secret: Secret,
}

impl Settings {
    /// Reads all keys before it returns `None` for a missing one, so that one run reports every error.
    pub fn read(section: &mut Section<'_>) -> Option<Settings> {
        let base_url = section.base_url_or("base_url", "https://api.wren.example");
        let app_id = section.required_identifier("app_id");
        let api_secret = section.secret("api_secret");
        Some(Settings { base_url: base_url?, app_id: app_id?, api_secret: api_secret? })
    }
}
