//! Configuration keys of an app under `engagelab`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::model::window::Unit;
use crate::provider::basic_auth;
use crate::provider::engagelab::message_id::MESSAGE_ID;
use crate::provider::message_config::{MessageKeys, read_messages, read_newest, read_schedule};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::rate_limit::Limit;

/// Settings of one EngageLab app.
#[derive(Clone, Debug)]
pub struct EngagelabSettings {
    /// URL of the API of the app's data centre.
    pub base_url: Url,
    /// User name: the AppKey.
    pub app_key: String,
    /// Password: the Master Secret.
    pub master_secret: Secret,
    /// True if new messages are polled.
    pub has_delivery: bool,
    /// True if the ids of pushes are found by listing the push plans.
    pub discovers_plans: bool,
    /// Configured polling schedule of messages by age, if any.
    pub schedule: Option<MessageSchedule>,
    /// Message ids to poll.
    pub ids: Vec<String>,
    /// Files of message ids to follow.
    pub files: Vec<PathBuf>,
    /// Number of newest messages that are shown individually.
    pub newest_messages: usize,
    /// Windows whose users are shown.
    pub users: Vec<Unit>,
}

/// Name of the report of messages, which is also a value of `delivery`.
pub(super) const STATUS_DETAIL: &str = "status_detail";
/// Hosts by data centre, for the error about a missing `base_url`.
const DATA_CENTRES: &str = "is required, since it differs by data centre, which the console shows: https://pushapi-sgp.engagelab.com (Singapore), pushapi-hk (Hong Kong), pushapi-usva (Virginia), pushapi-defra (Frankfurt), pushapi-jpn (Japan), pushapi-bra (Brazil)";
/// Windows of users that the document describes.
const USERS: [(&str, Unit); 1] = [("day", Unit::Day)];
/// Rate limit of all reports: a fifth of the 500 requests in a second that an AppKey has, since its pushes share them.
const LIMIT: Limit = Limit { api: "push", requests: 100, window: Duration::from_secs(1) };

impl EngagelabSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<EngagelabSettings> {
        let base_url = base_url(section);
        let app_key = basic_auth::read_user(section, "app_key");
        let master_secret = section.secret("master_secret");
        let has_delivery = match section.find("delivery") {
            Some(_) => section.choice("delivery", &[(STATUS_DETAIL, true), ("none", false)]),
            None => Some(true),
        };
        let discovers_plans = !section.choices("discover", &[("plans", ())]).unwrap_or_default().is_empty();
        let schedule = read_schedule(section);
        let MessageKeys { ids, files } = read_messages(section, &MESSAGE_ID);
        let newest_messages = read_newest(section);
        let users = section.choices("users", &USERS).unwrap_or_default();
        let is_none = has_delivery == Some(false);
        for (key, is_given) in [("messages", !ids.is_empty() || !files.is_empty()), ("discover", discovers_plans)] {
            if let Some(found) = section.find(key).filter(|_| is_none && is_given) {
                let message = format!("delivery: none polls no messages; choose {STATUS_DETAIL}, or remove {key}");
                section.context().error(found.place, &found.path, message);
            }
        }
        Some(EngagelabSettings {
            base_url: base_url?,
            app_key: app_key?,
            master_secret: master_secret?,
            has_delivery: has_delivery?,
            discovers_plans,
            schedule,
            ids,
            files,
            newest_messages,
            users,
        })
    }

    /// Returns the rate limit that all reports share.
    pub fn limit(&self) -> Limit {
        LIMIT
    }
}

/// Reads `base_url`, without the version that the paths of the document begin with.
fn base_url(section: &mut Section<'_>) -> Option<Url> {
    let Some(found) = section.find("base_url") else {
        section.missing_with("base_url", DATA_CENTRES);
        return None;
    };
    let url = section.base_url("base_url")?;
    if url.path().trim_end_matches('/').ends_with("/v4") {
        let message = "must not end in /v4, which belongs to the paths of the API";
        section.context().error(found.place, &found.path, message);
        return None;
    }
    Some(url)
}
