//! The series that the counts of the simulated Getui come to, written from the document's tables.

use std::collections::BTreeMap;

use push_exporter::simulator::getui::{GetuiOutcome, GetuiSimulator};

/// Getui's keys and what the field map makes of them.
pub const CHANNELS: [(&str, &str, &str); 8] = [
    ("gt", "any", "getui"),
    ("ios", "ios", "apns"),
    ("hw", "android", "huawei"),
    ("xm", "android", "xiaomi"),
    ("op", "android", "oppo"),
    ("vv", "android", "vivo"),
    ("mz", "android", "meizu"),
    ("st", "android", "smartisan"),
];
pub const OUTCOMES: [(GetuiOutcome, &str); 4] = [
    (GetuiOutcome::Target, "sent"),
    (GetuiOutcome::Receive, "received"),
    (GetuiOutcome::Display, "displayed"),
    (GetuiOutcome::Click, "clicked"),
];

/// The series of a delivery counter of an app.
pub fn series(app: &str, metric: &str, platform: &str, channel: &str) -> String {
    let labels = format!(r#"provider="getui",app="{app}",platform="{platform}",channel="{channel}",kind="any""#);
    format!("push_messages_{metric}_total{{{labels}}}")
}

/// What all pushes of some days have come to, without zeros.
pub fn of_days(getui: &GetuiSimulator, app: &str, days: &[String]) -> BTreeMap<String, i64> {
    totals(app, |channel, outcome| days.iter().map(|day| getui.truth(day, channel, outcome)).sum())
}

/// What some tasks have come to, without zeros. Each was for so many devices.
pub fn of_tasks(getui: &GetuiSimulator, app: &str, tasks: &[String], devices: i64) -> BTreeMap<String, i64> {
    let mut totals =
        totals(app, |channel, outcome| tasks.iter().map(|id| getui.truth_of_task(id, channel, outcome)).sum());
    totals.insert(series(app, "targeted", "any", "any"), tasks.len() as i64 * devices);
    totals
}

fn totals(app: &str, count: impl Fn(&str, GetuiOutcome) -> i64) -> BTreeMap<String, i64> {
    let each = CHANNELS.into_iter().flat_map(|channel| OUTCOMES.map(|outcome| (channel, outcome)));
    let counts = each.map(|((key, platform, channel), (outcome, metric))| {
        (series(app, metric, platform, channel), count(key, outcome))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}
