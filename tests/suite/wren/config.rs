//! The keys of an app under `wren`. Asking for a key makes it known: what nobody asks for is an error.

use reqwest::Url;

use push_exporter::config::{secret::Secret, section::Section};

/// One Wren app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region's host.
    pub base_url: Url,
    /// `wr-…`
    pub app_id: String,
    /// May also be given as `api_secret_file`, or as `${ENV_NAME}`.
    pub api_secret: Secret,
}

impl Settings {
    /// Reads all keys before it misses any, so that one run names every error.
    pub fn read(section: &mut Section<'_>) -> Option<Settings> {
        let base_url = section.base_url_or("base_url", "https://api.wren.example");
        let app_id = section.required_identifier("app_id");
        let api_secret = section.secret("api_secret");
        Some(Settings { base_url: base_url?, app_id: app_id?, api_secret: api_secret? })
    }
}
