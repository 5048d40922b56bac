//! The keys of an app under `jpush`.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Url;

use super::{Delivery, RECEIVED_DETAIL, read_id};
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::provider::pace::{Pace, Step};

/// One JPush app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// AppKey, the user name.
    pub app_key: String,
    /// Master Secret, the password.
    pub master_secret: Secret,
    /// The report API with its path, which differs by data centre.
    pub base_url: Url,
    /// The one delivery report of new messages, if any.
    pub delivery: Option<Delivery>,
    /// How often messages are polled by age, if set.
    pub schedule: Option<Pace>,
    /// Message ids to track.
    pub ids: Vec<String>,
    /// How many of the newest messages are shown one by one.
    pub newest_messages: usize,
    /// The limit shared by all reports of the app.
    pub requests_per_minute: usize,
}

const BASE_URL: &str = "https://report.jpush.cn/v3";
/// Half of what the free plan allows, since others use the account too.
const REQUESTS_PER_MINUTE: usize = 1200;
/// More would make the page larger than anyone reads.
const MAX_NEWEST: usize = 1000;

impl Settings {
    /// Reads the keys; `None` after an error was noted.
    pub fn read(section: &mut Section<'_>) -> Option<Settings> {
        let app_key = app_key(section);
        let master_secret = section.secret("master_secret");
        let has_url = section.find("base_url").is_some();
        let base_url = if has_url { section.base_url("base_url") } else { Url::parse(BASE_URL).ok() };
        let choices = [
            (RECEIVED_DETAIL, Some(Delivery::Received)),
            (super::MESSAGES_DETAIL, Some(Delivery::Messages)),
            ("none", None),
        ];
        let has_delivery = section.find("delivery").is_some();
        let delivery = if has_delivery { section.choice("delivery", &choices) } else { Some(Some(Delivery::Received)) };
        let schedule = schedule(section);
        let ids = ids(section);
        if let (Some(None), false, Some(found)) = (delivery, ids.is_empty(), section.find("messages")) {
            let message = "delivery: none polls no messages; choose a report, or leave the ids away";
            section.context().error(found.place, &found.path, message);
        }
        let newest = section.number("newest_messages", 0, MAX_NEWEST).unwrap_or(0);
        let per_minute = section.number("requests_per_minute", 1, 1_000_000).unwrap_or(REQUESTS_PER_MINUTE);
        Some(Settings {
            app_key: app_key?,
            master_secret: master_secret?,
            base_url: base_url?,
            delivery: delivery?,
            schedule,
            ids,
            newest_messages: newest,
            requests_per_minute: per_minute,
        })
    }
}

fn app_key(section: &mut Section<'_>) -> Option<String> {
    let key = section.required_identifier("app_key")?;
    // Basic authentication ends the name there.
    if key.contains(':') || key.chars().any(|c| !c.is_ascii_graphic()) {
        let found = section.find("app_key")?;
        section.context().error(found.place, &found.path, "is no AppKey: letters and digits, no colon or space");
        return None;
    }
    Some(key)
}

/// `schedule: [{until: 10m, every: 1m}, …]`, in the order of the ages.
fn schedule(section: &mut Section<'_>) -> Option<Pace> {
    let second = Duration::from_secs(1);
    let found = section.find("schedule")?;
    let mut steps: Vec<Step> = Vec::new();
    for mut step in section.sections("schedule") {
        let (place, path) = (step.place(), step.path().to_owned());
        let (until, every) = (step.duration("until", second), step.duration("every", second));
        if until.is_none() {
            step.missing("until");
        }
        if every.is_none() {
            step.missing("every");
        }
        step.finish();
        let (Some(until), Some(every)) = (until, every) else { continue };
        if steps.last().is_some_and(|last| last.until >= until) {
            section.context().error(place, &path, "until must be greater than that of the step before");
        }
        steps.push(Step { until, every });
    }
    if steps.is_empty() {
        section.context().error(found.place, &found.path, "needs at least one step, such as {until: 5d, every: 1h}");
        return None;
    }
    Some(Pace::new(steps))
}

fn ids(section: &mut Section<'_>) -> Vec<String> {
    let Some(mut messages) = section.section("messages") else { return Vec::new() };
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for (place, path, word) in messages.words("ids").unwrap_or_default() {
        match read_id(&word) {
            Some(id) if seen.insert(id.clone()) => ids.push(id),
            Some(_) => messages.context().error(place, &path, "given twice"),
            None => messages.context().error(place, &path, "is no msg_id: digits that fit 64 bits"),
        }
    }
    messages.finish();
    ids
}
