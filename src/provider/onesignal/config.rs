//! Configuration keys of an app under `onesignal`.

use reqwest::Url;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::provider::message_config::{read_newest, read_schedule};
use crate::provider::message_schedule::MessageSchedule;
use crate::provider::onesignal::fields::read_id;

/// Settings of one OneSignal app.
#[derive(Clone, Debug)]
pub struct OnesignalSettings {
    /// App ID, a UUID.
    pub app_id: String,
    /// App API Key.
    pub api_key: Secret,
    /// True if the counters come from the list of notifications; otherwise there are none.
    pub counts_notifications: bool,
    /// Condition under which `received` is read.
    pub confirmed_delivery: ConfirmedDelivery,
    /// Configured schedule by which messages are read again by age, if any.
    pub schedule: Option<MessageSchedule>,
    /// Number of newest messages that are shown individually.
    pub newest_messages: usize,
    /// URL of the API.
    pub base_url: Url,
}

/// Condition under which `received` is read: it is 0 on plans without confirmed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfirmedDelivery {
    /// As soon as any message of the app has had some.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

const BASE_URL: &str = "https://api.onesignal.com";
const CONFIRMED_DELIVERY: [(&str, ConfirmedDelivery); 3] =
    [("auto", ConfirmedDelivery::Auto), ("true", ConfirmedDelivery::On), ("false", ConfirmedDelivery::Off)];

impl OnesignalSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<OnesignalSettings> {
        let app_id = app_id(section);
        let api_key = section.secret("api_key");
        let counts_notifications = match section.find("delivery") {
            Some(_) => section.choice("delivery", &[("notifications", true), ("none", false)]),
            None => Some(true),
        };
        let confirmed_delivery = match section.find("confirmed_delivery") {
            Some(_) => section.choice("confirmed_delivery", &CONFIRMED_DELIVERY),
            None => Some(ConfirmedDelivery::Auto),
        };
        let schedule = read_schedule(section);
        let newest_messages = read_newest(section);
        let base_url = section.base_url_or("base_url", BASE_URL);
        Some(OnesignalSettings {
            app_id: app_id?,
            api_key: api_key?,
            counts_notifications: counts_notifications?,
            confirmed_delivery: confirmed_delivery?,
            schedule,
            newest_messages,
            base_url: base_url?,
        })
    }
}

fn app_id(section: &mut Section<'_>) -> Option<String> {
    let Some((found, text)) = section.identifier("app_id") else {
        section.missing("app_id");
        return None;
    };
    let id = read_id(&text);
    if id.is_none() {
        let message = "is not an App ID; use the UUID that OneSignal shows under Settings > Keys & IDs";
        section.context().error(found.place, &found.path, message);
    }
    id
}
