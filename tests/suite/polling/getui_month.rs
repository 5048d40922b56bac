//! A month of Getui by its default rhythm: days that appear at two o'clock, one of them late, and grow for three days; one
//! that is restated down; a restart. At the end every counter equals what the provider had when it was last asked, settled
//! days equal what became of them, and a token of a day was renewed once a day for all reports.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{Request, Response};
use jiff::Timestamp;
use push_exporter::simulator::Simulator;
use push_exporter::simulator::getui::{GetuiApp, GetuiOutcome, GetuiSimulator};
use push_exporter::util::clock::Clock;

use crate::support::getui_totals::{CHANNELS, OUTCOMES, series};
use crate::support::window_totals::{assert_same, beijing, days};
use crate::support::{Exporter, fast_dir, simulate, until};

/// First and highest number of a channel's outcome on a day, as it was when the day was asked for.
type Answered = BTreeMap<(String, &'static str, &'static str), (i64, i64)>;

/// The simulator, and the truth at the time of each answer.
struct Recorder {
    getui: GetuiSimulator,
    answered: Mutex<Answered>,
    /// Day and time of each question.
    asked: Mutex<Vec<(String, Timestamp)>>,
}

impl Simulator for Recorder {
    fn date(&self) -> Option<Timestamp> {
        self.getui.date()
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let response = self.getui.answer(request);
        if let Some((_, day)) = request.uri().path().split_once("/report/push/date/") {
            self.asked.lock().unwrap().push((day.to_owned(), self.getui.date().unwrap()));
            if String::from_utf8_lossy(response.body()).contains(day) {
                for (key, ..) in CHANNELS {
                    for (outcome, name) in OUTCOMES {
                        let now = self.getui.truth(day, key, outcome);
                        let mut answered = self.answered.lock().unwrap();
                        let (_, highest) = answered.entry((day.to_owned(), key, name)).or_insert((now, now));
                        *highest = now.max(*highest);
                    }
                }
            }
        }
        response
    }
}

impl Recorder {
    /// Every delivery counter of an exporter that was first started on `first`: days that began before are the baseline.
    fn counters(&self, first: &str) -> BTreeMap<String, i64> {
        let mut expected = BTreeMap::new();
        for ((day, key, name), (before, highest)) in &*self.answered.lock().unwrap() {
            let (_, os, channel) = CHANNELS.iter().find(|(known, ..)| known == key).unwrap();
            let counted = if day.as_str() <= first { highest - before } else { *highest };
            *expected.entry(series("shop", name, os, channel)).or_default() += counted;
        }
        expected
    }

    /// The questions about days of one date, by hour of the day and day asked for.
    fn asked_on(&self, date: &str) -> Vec<(i8, String)> {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        let asked = self.asked.lock().unwrap();
        let local = asked.iter().map(|(day, at)| (at.to_zoned(zone.clone()), day));
        local.filter(|(at, _)| at.date().to_string() == date).map(|(at, day)| (at.hour(), day.clone())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_counter_equals_the_truth() {
    let clock = Clock::following_tokio(beijing("2026-03-03", 9.0));
    let app = GetuiApp { step: 600, kept: 60, per_day: 20_000.0, ..GetuiApp::demo("month") };
    let (key, secret) = (app.app_key.clone(), app.master_secret.clone());
    let getui = GetuiSimulator::new(clock.clone(), app);
    let (recorder, address) = simulate(Recorder { getui, answered: Mutex::default(), asked: Mutex::default() }).await;
    let text = format!(
        "getui:\n  - {{app: shop, base_url: 'http://{address}/v2', app_id: month, app_key: {key}, master_secret: {secret}, users: [day], vendor_quota: true}}\n"
    );
    let folder = fast_dir();
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let names: Vec<String> = OUTCOMES.iter().map(|(_, name)| format!("push_messages_{name}_total{{")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();

    // At the first start everything is the baseline, and the newest closed day is shown at once.
    until(&clock, beijing("2026-03-03", 9.05)).await;
    let page = exporter.scrape().await;
    assert!(page.starting(&names).values().all(|count| *count == 0), "{page:#?}");
    let window = r#"provider="getui",app="shop",platform="android",channel="huawei",kind="any",window="day""#;
    let shown = page.get(&format!("push_window_messages_sent{{{window}}}")).unwrap();
    assert_eq!(shown as i64, recorder.getui.truth("2026-03-02", "hw", GetuiOutcome::Target));
    let users = recorder.getui.users("2026-03-02").unwrap();
    for (state, window, expected) in [
        ("new", "day", users.register_num),
        ("active", "day", users.active_num),
        ("online", "day", users.online_num),
        ("online", "now", recorder.getui.online(beijing("2026-03-03", 9.0).as_second())),
    ] {
        let labels = format!(r#"provider="getui",app="shop",platform="any",state="{state}",window="{window}""#);
        assert_eq!(page.get(&format!("push_users{{{labels}}}")), Some(expected as f64), "{labels}");
    }
    let vivo = r#"provider="getui",app="shop",channel="vivo",class="general""#;
    assert_eq!(page.get(&format!("push_vendor_quota{{{vivo}}}")), Some(6000.0));
    let oppo = r#"provider="getui",app="shop",channel="oppo",class="general""#;
    assert_eq!(page.get(&format!("push_vendor_quota{{{oppo}}}")), Some(70_000.0));

    // The rhythm of an ordinary day: yesterday hourly until it is there at two, then the last three every three hours.
    until(&clock, beijing("2026-03-08", 0.0)).await;
    let asked = recorder.asked_on("2026-03-07");
    let hours =
        |day: &str| -> Vec<i8> { asked.iter().filter(|(_, asked)| asked == day).map(|(hour, _)| *hour).collect() };
    assert_eq!(hours("2026-03-06"), [0, 1, 2, 5, 8, 11, 14, 17, 20, 23]);
    assert_eq!(hours("2026-03-03").len(), 1, "once more before it settles: {asked:?}");
    assert!((7..=9).contains(&hours("2026-03-05").len()) && (7..=9).contains(&hours("2026-03-04").len()), "{asked:?}");
    assert_eq!((hours("2026-03-07").len(), hours("2026-03-02").len()), (0, 0), "{asked:?}");

    assert_eq!(hours("2026-02-27").len(), 1, "a week after its end: {asked:?}");
    let unaccounted = |page: &crate::support::Page, metric: &str| {
        page.get(&format!(
            r#"push_window_unaccounted_messages{{provider="getui",app="shop",metric="{metric}",window="day"}}"#
        ))
    };
    let page = exporter.scrape().await;
    for (_, metric) in OUTCOMES {
        assert_eq!(unaccounted(&page, metric), Some(0.0), "{metric}");
    }

    // A day that comes in the afternoon, and a restart before.
    recorder.getui.delay("2026-03-09", beijing("2026-03-10", 15.5).as_second());
    until(&clock, beijing("2026-03-10", 12.0)).await;
    let end = |page: &crate::support::Page| {
        let labels = r#"provider="getui",app="shop",report="push_date",window="day""#;
        page.get(&format!("push_window_end_timestamp_seconds{{{labels}}}")).unwrap() as i64
    };
    let before = exporter.scrape().await;
    assert_eq!(end(&before), beijing("2026-03-09", 0.0).as_second());
    exporter.stop().await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    assert_same(exporter.scrape().await.starting(&names), before.starting(&names), "after a restart");
    until(&clock, beijing("2026-03-10", 17.0)).await;
    assert_eq!(end(&exporter.scrape().await), beijing("2026-03-10", 0.0).as_second());
    assert_same(exporter.scrape().await.starting(&names), recorder.counters("2026-03-03"), "after the late day");

    // A day is restated down, which counters do not follow.
    until(&clock, beijing("2026-03-12", 12.0)).await;
    recorder.getui.restate("2026-03-11", "hw", GetuiOutcome::Target, -40);
    until(&clock, beijing("2026-03-19", 12.0)).await;
    assert_eq!(unaccounted(&exporter.scrape().await, "sent"), Some(-40.0), "the 11th was read once more");
    // Five days of downtime are caught up.
    until(&clock, beijing("2026-03-20", 12.0)).await;
    exporter.stop().await;
    until(&clock, beijing("2026-03-25", 12.0)).await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    until(&clock, beijing("2026-04-03", 12.0)).await;
    let page = exporter.scrape().await;
    assert_same(page.starting(&names), recorder.counters("2026-03-03"), "after a month");
    assert_eq!(unaccounted(&page, "sent"), Some(0.0));
    let fallen = r#"push_messages_restated_total{provider="getui",app="shop",report="push_date",metric="sent"}"#;
    assert!(page.get(fallen).unwrap() > 0.0);
    // What settled is what became of it.
    for day in days("2026-03-04", "2026-03-29") {
        for (key, ..) in CHANNELS {
            for (outcome, name) in OUTCOMES {
                let (_, highest) = recorder.answered.lock().unwrap()[&(day.clone(), key, name)];
                let truth = recorder.getui.truth(&day, key, outcome);
                let is_restated = (day.as_str(), key, name) == ("2026-03-11", "hw", "sent");
                assert_eq!(highest, truth + if is_restated { 40 } else { 0 }, "{day} {key} {name}");
            }
        }
    }
    assert_eq!(recorder.getui.refused(), 0);
    let errors = page.starting(&["push_poll_errors_total"]);
    assert_eq!(errors.values().sum::<i64>(), 0, "{errors:?}");
    let tokens = recorder.getui.token_requests();
    assert!((27..=32).contains(&tokens), "{tokens} tokens of a day in 26 days");
    exporter.stop().await;
}
