//! The series that the counts of OneSignal's simulator should come to, written from the document's table.

use std::collections::BTreeMap;

use push_exporter::simulator::onesignal::{OnesignalCounts, OnesignalOutcome};

/// Labels of the app in the configuration of [`config`].
pub const GAME: &str = r#"provider="onesignal",app="game""#;
/// App ID of the simulated app.
pub const APP_ID: &str = "5eb5a37e-b458-11e3-ac11-000c2940e62c";

/// A configuration with the simulated app, and more keys of its section.
pub fn config(address: std::net::SocketAddr, more: &str) -> String {
    format!(
        "new_series_hold: 0s\nonesignal:\n  - {{app: game, base_url: 'http://{address}', app_id: {APP_ID}, \
         api_key: os_v2_app_demo0000000000000001, {more}}}\n"
    )
}

/// The series of a delivery counter of the app.
pub fn series(metric: &str, platform: &str, channel: &str) -> String {
    format!(r#"push_messages_{metric}_total{{{GAME},platform="{platform}",channel="{channel}",kind="notification"}}"#)
}

fn labels(key: &str) -> (&'static str, &'static str) {
    match key {
        "ios" => ("ios", "apns"),
        "android" => ("android", "fcm"),
        "huawei" => ("android", "huawei"),
        "chrome_web_push" => ("web", "chrome"),
        "safari_web_push" => ("web", "safari"),
        "edge_web_push" => ("web", "edge"),
        "firefox_web_push" => ("web", "firefox"),
        other => panic!("{other} has no labels"),
    }
}

/// Adds the counts of a message, so many times.
pub fn add(totals: &mut BTreeMap<String, i64>, counts: &OnesignalCounts, times: i64) {
    for ((key, outcome), count) in counts {
        let metric = match outcome {
            OnesignalOutcome::Successful => "sent",
            OnesignalOutcome::Failed | OnesignalOutcome::Errored => "failed",
            OnesignalOutcome::Received => "received",
            OnesignalOutcome::Converted => "clicked",
        };
        let (platform, channel) = labels(key);
        *totals.entry(series(metric, platform, channel)).or_default() += times * count;
    }
}
