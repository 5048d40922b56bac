//! Configuration keys of an app under `jpush`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::ErrorNoted;
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::model::window::Unit;
use crate::provider::basic_auth;
use crate::provider::jpush::delivery::{Delivery, Holder};
use crate::provider::message_config::{MessageKeys, read_messages, read_newest, read_schedule};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::rate_limit::Limit;

/// Settings of one JPush app or group.
#[derive(Clone, Debug)]
pub struct JpushSettings {
    /// Kind of account: app or group.
    pub holder: Holder,
    /// User name: the AppKey, or `group-` and the group key.
    pub user: String,
    /// Password: the Master Secret or Group Master Secret.
    pub master_secret: Secret,
    /// URL of the report API with its path, which differs by data centre.
    pub base_url: Url,
    /// URL of the push API with its path, which has the vendors' quotas.
    pub push_url: Url,
    /// The only delivery report of new messages, if any.
    pub delivery: Option<Delivery>,
    /// Configured polling schedule of messages by age, if any.
    pub schedule: Option<MessageSchedule>,
    /// Message ids to poll.
    pub ids: Vec<String>,
    /// Files of message ids to follow.
    pub files: Vec<PathBuf>,
    /// Windows whose users are shown.
    pub users: Vec<Unit>,
    /// Registration ids of test devices.
    pub test_devices: Vec<String>,
    /// True if the vendors' quotas are shown.
    pub vendor_quota: bool,
    /// True if the ids of scheduled pushes are found by listing the schedules.
    pub discovers_schedules: bool,
    /// True if the name of a schedule is the category of its messages.
    pub schedule_name_as_category: bool,
    /// Token that JPush's callbacks carry in their URL; they are refused without one.
    pub callback_token: Option<Secret>,
    /// Number of newest messages that are shown individually.
    pub newest_messages: usize,
    /// Rate limit shared by all reports of the app.
    pub requests_per_minute: usize,
}

const BASE_URL: &str = "https://report.jpush.cn/v3";
const PUSH_URL: &str = "https://api.jpush.cn/v3";
/// Windows that `time_unit` supports.
const USERS: [(&str, Unit); 3] = [("hour", Unit::Hour), ("day", Unit::Day), ("month", Unit::Month)];
/// Maximum number of test devices, since more of them take more calls for every message of a day.
const MAX_TEST_DEVICES: usize = 10_000;
/// Default rate limit, half of what the free plan allows, since others use the account too.
const REQUESTS_PER_MINUTE: usize = 1200;

impl JpushSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<JpushSettings> {
        let (holder, user, master_secret) = credentials(section);
        let base_url = section.base_url_or("base_url", BASE_URL);
        let delivery = delivery(section, holder);
        let schedule = read_schedule(section);
        let MessageKeys { ids, files } = read_messages(section, holder.id_format());
        let is_elsewhere = base_url.as_ref().is_some_and(|url| url.as_str().trim_end_matches('/') != BASE_URL);
        let has_push_url = section.find("push_url").is_some();
        let push_url = section.base_url_or("push_url", PUSH_URL);
        let users = section.choices("users", &USERS).unwrap_or_default();
        let test_devices = test_devices(section);
        let vendor_quota = section.boolean("vendor_quota").unwrap_or(false);
        let discovers_schedules = !section.choices("discover", &[("schedules", ())]).unwrap_or_default().is_empty();
        let has_categories = section.boolean("schedule_name_as_category").unwrap_or(false);
        let callback_token = callback_token(section);
        let mut impossible = |is_given: bool, key: &str, message: &str| {
            if is_given && let Some(found) = section.find(key) {
                section.context().error(found.place, &found.path, message);
            }
        };
        let is_none = delivery == Ok(None);
        let has_messages = !ids.is_empty() || !files.is_empty();
        let message = "delivery: none polls no messages; choose a report, or remove the ids and files";
        impossible(is_none && has_messages, "messages", message);
        let message = "delivery: none has no messages to query; choose a report, or remove test_devices";
        impossible(is_none && !test_devices.is_empty(), "test_devices", message);
        let is_group = holder == Holder::Group;
        let message = "a group has no device status; put test_devices under its apps";
        impossible(is_group && !test_devices.is_empty(), "test_devices", message);
        let message = "a group has no vendor quotas; put vendor_quota under its apps";
        impossible(is_group && vendor_quota, "vendor_quota", message);
        let lacks_push_url = !is_group && is_elsewhere && !has_push_url;
        let message = "needs push_url if base_url is not the default (Beijing: https://bjapi.push.jiguang.cn/v3)";
        impossible(lacks_push_url && vendor_quota, "vendor_quota", message);
        impossible(lacks_push_url && discovers_schedules, "discover", message);
        let message = "a group has no schedules; put discover under its apps";
        impossible(is_group && discovers_schedules, "discover", message);
        let message = "delivery: none polls no messages; choose a report, or remove discover";
        impossible(is_none && discovers_schedules, "discover", message);
        for key in ["callback_token", "callback_token_file"] {
            let message = "JPush calls back for an app; put callback_token under the apps of the group";
            impossible(is_group && callback_token.is_some(), key, message);
            let message = "delivery: none polls no messages; choose a report, or remove callback_token";
            impossible(is_none && callback_token.is_some(), key, message);
        }
        let newest = read_newest(section);
        let per_minute = section.number("requests_per_minute", 1, 1_000_000).unwrap_or(REQUESTS_PER_MINUTE);
        Some(JpushSettings {
            holder,
            user: user?,
            master_secret: master_secret?,
            base_url: base_url?,
            push_url: push_url?,
            delivery: delivery.ok()?,
            schedule,
            ids,
            files,
            users,
            test_devices,
            vendor_quota,
            discovers_schedules,
            schedule_name_as_category: has_categories,
            callback_token,
            newest_messages: newest,
            requests_per_minute: per_minute,
        })
    }

    /// Returns the rate limit that all reports of the report API share.
    pub fn limit(&self) -> Limit {
        Limit { api: "report", requests: self.requests_per_minute, window: Duration::from_secs(60) }
    }
}

fn credentials(section: &mut Section<'_>) -> (Holder, Option<String>, Option<Secret>) {
    if section.find("group_key").is_some() {
        for key in ["app_key", "master_secret", "master_secret_file"] {
            if let Some(found) = section.find(key) {
                let message = "cannot be combined with group_key; a group has group_key and group_master_secret";
                section.context().error(found.place, &found.path, message);
            }
        }
        let key = basic_auth::read_user(section, "group_key");
        // 使用的时候前面要加上 “group-” 前缀; some configurations already contain it.
        let user = key.map(|key| format!("group-{}", key.strip_prefix("group-").unwrap_or(&key)));
        return (Holder::Group, user, section.secret("group_master_secret"));
    }
    // Makes the keys known, so that the error of a misspelt one suggests the right one.
    section.find("group_master_secret");
    section.find("group_master_secret_file");
    (Holder::App, basic_auth::read_user(section, "app_key"), section.secret("master_secret"))
}

fn delivery(section: &mut Section<'_>, holder: Holder) -> Result<Option<Delivery>, ErrorNoted> {
    let Some(found) = section.find("delivery") else {
        let default = if holder == Holder::Group { Delivery::GroupMessagesDetail } else { Delivery::ReceivedDetail };
        return Ok(Some(default));
    };
    if holder == Holder::Group {
        let message = "a group has one delivery report, group_messages_detail; remove delivery";
        section.context().error(found.place, &found.path, message);
        return Err(ErrorNoted);
    }
    let of_apps = Delivery::ALL.into_iter().filter(|kind| kind.holder() == Holder::App);
    let mut choices: Vec<(&str, Option<Delivery>)> = of_apps.map(|kind| (kind.name(), Some(kind))).collect();
    choices.push(("none", None));
    section.choice("delivery", &choices).ok_or(ErrorNoted)
}

fn callback_token(section: &mut Section<'_>) -> Option<Secret> {
    if section.has_secret("callback_token") {
        return section.secret("callback_token");
    }
    // Makes the keys known, so that the error of a misspelt one suggests the right one.
    section.find("callback_token");
    section.find("callback_token_file");
    None
}

fn test_devices(section: &mut Section<'_>) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for (place, path, device) in section.words("test_devices").unwrap_or_default() {
        let message = if device.len() > 128 || !device.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            "is not a registration id; use letters and digits"
        } else if !seen.insert(device.clone()) {
            "given twice"
        } else if seen.len() > MAX_TEST_DEVICES {
            "more than 10000 test devices"
        } else {
            devices.push(device);
            continue;
        };
        section.context().error(place, &path, message);
    }
    devices
}
