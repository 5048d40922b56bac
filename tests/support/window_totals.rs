//! What counters and gauges must show of the simulated Easemob and Feishu: the field maps of the providers' documents once
//! more, by hand, from the lists of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use push_exporter::simulator::easemob::{EasemobOutcome, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuSimulator, Overview};

use crate::support::Page;

/// Easemob's keys and what the field map makes of them, by hand.
const CHANNELS: [(&str, &str, &str); 8] = [
    ("APNS", "ios", "apns"),
    ("ANDROID", "android", "fcm"),
    ("XIAOMIPUSH", "android", "xiaomi"),
    ("HUAWEIPUSH", "android", "huawei"),
    ("MEIZUPUSH", "android", "meizu"),
    ("OPPOPUSH", "android", "oppo"),
    ("VIVOPUSH", "android", "vivo"),
    ("HONOR", "android", "honor"),
];
const OUTCOMES: [(EasemobOutcome, &str); 3] =
    [(EasemobOutcome::Success, "sent"), (EasemobOutcome::Fail, "failed"), (EasemobOutcome::Arrive, "received")];
pub const DEPARTMENTS: [&str; 2] = ["od-sales", "od-sales-east"];

/// The app `chat` at Easemob and the app `office-bot` at Feishu, of which an exporter has counted since a day.
pub struct WindowTruth {
    pub easemob: Arc<EasemobSimulator>,
    pub feishu: Arc<FeishuSimulator>,
    /// By how much Easemob's and Feishu's sent counters stay above numbers that were taken back.
    pub taken_back: [i64; 2],
    /// What Easemob had already when the exporter first asked, from this day on.
    before: BTreeMap<(&'static str, &'static str), i64>,
    first_asked: String,
    /// The first day that began when the exporter was there.
    first_whole: String,
}

/// Midnight in Beijing, and hours after it.
pub fn beijing(day: &str, hours: f64) -> Timestamp {
    let midnight: Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
    midnight + SignedDuration::from_secs((hours * 3600.0) as i64)
}

/// The days from `first` to `last`.
pub fn days(first: &str, last: &str) -> Vec<String> {
    let (first, last): (jiff::civil::Date, jiff::civil::Date) = (first.parse().unwrap(), last.parse().unwrap());
    first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).map(|day| day.to_string()).collect()
}

impl WindowTruth {
    /// For an exporter that is started now, on the day `today`.
    pub fn new(easemob: Arc<EasemobSimulator>, feishu: Arc<FeishuSimulator>, today: &str) -> WindowTruth {
        let today: jiff::civil::Date = today.parse().unwrap();
        // An Easemob day settles three days after its end.
        let first_asked = today.checked_sub(jiff::Span::new().days(3)).unwrap().to_string();
        let first_whole = today.tomorrow().unwrap().to_string();
        let (before, taken_back) = (BTreeMap::new(), [0, 0]);
        let mut truth = WindowTruth { easemob, feishu, taken_back, before, first_asked, first_whole };
        let of_days = days(&truth.first_asked, &today.to_string());
        for (platform, ..) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let total = truth.easemob_total(&of_days, platform, outcome);
                truth.before.insert((platform, name), total);
            }
        }
        truth
    }

    fn easemob_total(&self, days: &[String], platform: &str, outcome: EasemobOutcome) -> i64 {
        days.iter().map(|day| self.easemob.truth(day, platform, outcome)).sum()
    }

    /// Every counter that must be on the page. `today` is a date; Feishu has published up to `published`.
    pub fn counters(&self, today: &str, published: &str) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for (platform, os, channel) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let total = self.easemob_total(&days(&self.first_asked, today), platform, outcome);
                if total == 0 {
                    continue;
                }
                let corrected = if (platform, name) == ("HUAWEIPUSH", "sent") { self.taken_back[0] } else { 0 };
                let labels =
                    format!(r#"provider="easemob",app="chat",platform="{os}",channel="{channel}",kind="notification""#);
                let before = self.before[&(platform, name)];
                expected.insert(format!("push_messages_{name}_total{{{labels}}}"), total - before + corrected);
            }
        }
        // Days that began before the exporter was first started are the baseline.
        let counted: Vec<Overview> =
            days(&self.first_whole, published).iter().map(|day| self.feishu.truth(day, day, None)).collect();
        let labels = r#"provider="feishu",app="office-bot",platform="any",channel="bot",kind="message""#;
        let sums = [
            ("sent", counted.iter().map(|day| day.send_msg_count).sum::<i64>() + self.taken_back[1]),
            ("read_within_1h", counted.iter().map(|day| day.read_in_1h_count).sum()),
            ("read_within_12h", counted.iter().map(|day| day.read_in_12h_count).sum()),
        ];
        for (name, sum) in sums {
            expected.insert(format!("push_messages_{name}_total{{{labels}}}"), sum);
        }
        for (provider, app, report, metrics, sent) in [
            ("easemob", "chat", "offline_push", ["sent", "failed", "received"], self.taken_back[0]),
            (
                "feishu",
                "office-bot",
                "message_push_overview",
                ["sent", "read_within_1h", "read_within_12h"],
                self.taken_back[1],
            ),
        ] {
            for metric in metrics {
                let labels = format!(r#"provider="{provider}",app="{app}",report="{report}",metric="{metric}""#);
                let fallen = if metric == "sent" { sent } else { 0 };
                expected.insert(format!("push_messages_restated_total{{{labels}}}"), fallen);
            }
        }
        expected
    }

    /// Every window gauge that must be on the page, for these newest closed windows.
    pub fn gauges(&self, yesterday: &str, closed: [(&str, &str, &str); 3]) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for (platform, os, channel) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let count = self.easemob.truth(yesterday, platform, outcome);
                if count > 0 {
                    let labels = format!(
                        r#"provider="easemob",app="chat",platform="{os}",channel="{channel}",kind="notification",window="day""#
                    );
                    expected.insert(format!("push_window_messages_{name}{{{labels}}}"), count);
                }
            }
        }
        let end = |day: &str| beijing(day, 24.0).as_second();
        let labels = r#"provider="easemob",app="chat",report="offline_push",window="day""#;
        expected.insert(format!("push_window_end_timestamp_seconds{{{labels}}}"), end(yesterday));
        for (window, first, last) in closed {
            let owner = r#"provider="feishu",app="office-bot""#;
            for department in [None, Some(DEPARTMENTS[0]), Some(DEPARTMENTS[1])] {
                let truth = self.feishu.truth(first, last, department);
                let (name, more) = match department {
                    None => ("push_window", String::new()),
                    Some(department) => ("push_department_window", format!(r#",department="{department}""#)),
                };
                let split = r#"platform="any",channel="bot",kind="message""#;
                let mut messages = |metric: &str, value| {
                    expected.insert(
                        format!(r#"{name}_messages_{metric}{{{owner},{split},window="{window}"{more}}}"#),
                        value,
                    );
                };
                messages("sent", truth.send_msg_count);
                messages("read_within_1h", truth.read_in_1h_count);
                messages("read_within_12h", truth.read_in_12h_count);
                expected.insert(
                    format!(r#"{name}_users_reached{{{owner},window="{window}"{more}}}"#),
                    truth.send_user_count,
                );
            }
            let labels = format!(r#"{owner},report="message_push_overview",window="{window}""#);
            expected.insert(format!("push_window_end_timestamp_seconds{{{labels}}}"), end(last));
        }
        expected
    }
}

pub fn gauges_of(page: &Page) -> BTreeMap<String, i64> {
    let mut gauges = page.starting(&["push_window_", "push_department_"]);
    gauges.retain(|series, _| !series.starts_with(UNACCOUNTED));
    gauges
}

const UNACCOUNTED: &str = "push_window_unaccounted_messages";

/// What differs from the providers' own totals, and the number of totals that were compared.
pub fn unaccounted(page: &Page) -> (BTreeMap<String, i64>, usize) {
    let mut all = page.starting(&[UNACCOUNTED]);
    let compared = all.len();
    all.retain(|_, value| *value != 0);
    (all, compared)
}

pub fn feishu_end(page: &Page, window: &str) -> i64 {
    let labels = format!(r#"provider="feishu",app="office-bot",report="message_push_overview",window="{window}""#);
    page.get(&format!("push_window_end_timestamp_seconds{{{labels}}}")).map_or(0, |end| end as i64)
}

/// Compares series by series, to say which one differs.
pub fn assert_same(page: BTreeMap<String, i64>, truth: BTreeMap<String, i64>, when: &str) {
    for (series, value) in &truth {
        assert_eq!(page.get(series), Some(value), "{when}: {series}");
    }
    let more: Vec<_> = page.keys().filter(|series| !truth.contains_key(*series)).collect();
    assert!(more.is_empty(), "{when}: these series should not be there: {more:?}");
}
