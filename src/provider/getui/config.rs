//! Configuration keys of an app under `getui`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::model::window::Unit;
use crate::provider::getui::fields::TASK_ID;
use crate::provider::message_config::{MessageKeys, read_messages, read_newest, read_schedule};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::rate_limit::Limit;

/// Report that feeds an app's delivery counters. Both count the same deliveries, so an app has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Days of the whole app, pushes to single users included; needs no ids.
    PushDate,
    /// Tasks whose ids senders register.
    PushTask,
}

/// Settings of one Getui app.
#[derive(Clone, Debug)]
pub struct GetuiSettings {
    /// Id of the app, part of every URL.
    pub app_id: String,
    /// Key of the app, part of what a request for a token signs.
    pub app_key: String,
    /// Secret that signs requests for a token.
    pub master_secret: Secret,
    /// URL of the room that the app lives in, without the app id.
    pub base_url: Url,
    /// The only delivery report, if any.
    pub delivery: Option<Delivery>,
    /// Configured polling schedule of tasks by age, if any.
    pub schedule: Option<MessageSchedule>,
    /// Task ids to poll.
    pub ids: Vec<String>,
    /// Files of task ids to follow.
    pub files: Vec<PathBuf>,
    /// Number of newest tasks that are shown individually.
    pub newest_messages: usize,
    /// Windows whose users are shown; only days have statistics.
    pub users: Vec<Unit>,
    /// True if the vendors' quotas are shown.
    pub vendor_quota: bool,
    /// Rate limit shared by all reports of the app.
    pub requests_per_minute: usize,
}

const BASE_URL: &str = "https://restapi.getui.com/v2";
/// Windows that have statistics of users.
const USERS: [(&str, Unit); 1] = [("day", Unit::Day)];
const DELIVERIES: [(&str, Option<Delivery>); 3] =
    [("push_date", Some(Delivery::PushDate)), ("push_task", Some(Delivery::PushTask)), ("none", None)];
/// Default rate limit; the document gives no number for the reports.
const REQUESTS_PER_MINUTE: usize = 60;
/// Keys that only polling by task has.
const MESSAGE_KEYS: [&str; 3] = ["messages", "schedule", "newest_messages"];

impl GetuiSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<GetuiSettings> {
        let app_id = section.required_identifier("app_id");
        let app_key = section.required_identifier("app_key");
        let master_secret = section.secret("master_secret");
        let base_url = section.base_url_or("base_url", BASE_URL);
        let base_url = match (&base_url, &app_id, section.find("base_url")) {
            (Some(url), Some(app_id), Some(found)) if url.path().trim_end_matches('/').ends_with(app_id.as_str()) => {
                let message = "must not hold app_id, which is added to it; end it with /v2";
                section.context().error(found.place, &found.path, message);
                None
            }
            _ => base_url,
        };
        let delivery = match section.find("delivery") {
            Some(_) => section.choice("delivery", &DELIVERIES),
            None => Some(Some(Delivery::PushDate)),
        };
        let schedule = read_schedule(section);
        let MessageKeys { ids, files } = read_messages(section, &TASK_ID);
        let newest = read_newest(section);
        if delivery.is_some_and(|delivery| delivery != Some(Delivery::PushTask)) {
            for key in MESSAGE_KEYS {
                if let Some(found) = section.find(key) {
                    let message = "needs delivery: push_task, which polls by task; choose it, or remove this key";
                    section.context().error(found.place, &found.path, message);
                }
            }
        }
        let users = section.choices("users", &USERS).unwrap_or_default();
        let vendor_quota = section.boolean("vendor_quota").unwrap_or(false);
        let per_minute = section.number("requests_per_minute", 1, 1_000_000).unwrap_or(REQUESTS_PER_MINUTE);
        Some(GetuiSettings {
            app_id: app_id?,
            app_key: app_key?,
            master_secret: master_secret?,
            base_url: base_url?,
            delivery: delivery?,
            schedule,
            ids,
            files,
            newest_messages: newest,
            users,
            vendor_quota,
            requests_per_minute: per_minute,
        })
    }

    /// Returns the rate limit that all reports share.
    pub fn limit(&self) -> Limit {
        Limit { api: "report", requests: self.requests_per_minute, window: Duration::from_secs(60) }
    }
}
