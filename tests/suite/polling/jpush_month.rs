//! Three weeks of what JPush tells beside messages, in one paused runtime: an app and a group with users of
//! every unit, test devices, quotas of vendors. At three points the page equals the truth, worked out here from
//! the simulator's events; the exporter is restarted and away for a day.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use push_exporter::simulator::jpush::{JpushApp, JpushOutcome, JpushSimulator, TimeUnit};
use push_exporter::util::clock::Clock;

use crate::support::{Exporter, Page, fast_dir, post, simulate};

const FOREIGN: &str = "ffffffffffff";

struct Weeks {
    clock: Clock,
    shop: Arc<JpushSimulator>,
    all: Arc<JpushSimulator>,
    text: String,
    folder: tempfile::TempDir,
    exporter: Option<Exporter>,
    /// Id and time of every push.
    messages: Vec<(u64, i64)>,
}

impl Weeks {
    async fn begin() -> Weeks {
        let clock = Clock::following_tokio(beijing("2026-03-10T09:30"));
        let app = JpushApp::demo("7d431e42dfa6a6d693ac2d04");
        let group = JpushApp { seed: 5, ..JpushApp::demo("group-9439ee12e91bd4c895d1b0f5") };
        let mut devices = app.devices.clone();
        devices.push(FOREIGN.to_owned());
        let secret = app.master_secret.clone();
        let (shop, shop_address) = simulate(JpushSimulator::new(clock.clone(), app)).await;
        let (all, all_address) = simulate(JpushSimulator::new(clock.clone(), group)).await;
        let text = format!(
            "message_api: {{token: t0ken}}
jpush:
  - app: shop
    base_url: http://{shop_address}/v3
    push_url: http://{shop_address}/v3
    app_key: 7d431e42dfa6a6d693ac2d04
    master_secret: {secret}
    users: [hour, day, month]
    vendor_quota: true
    test_devices: [{}]
  - app: all
    base_url: http://{all_address}/v3
    group_key: 9439ee12e91bd4c895d1b0f5
    group_master_secret: {secret}
    users: [month, day, hour]
",
            devices.join(", ")
        );
        Weeks { clock, shop, all, text, folder: fast_dir(), exporter: None, messages: Vec::new() }
    }

    async fn start(&mut self) {
        self.exporter = Some(Exporter::start(&self.text, self.folder.path(), &self.clock).await);
    }

    async fn stop(&mut self) {
        self.exporter.take().unwrap().stop().await;
    }

    /// Pushes three times a day until then.
    async fn until(&mut self, time: &str) {
        let end = beijing(time);
        while self.clock.now() < end {
            let left = Duration::try_from(end.duration_since(self.clock.now())).unwrap();
            let eight_hours = Duration::from_secs(8 * 3600);
            if left > eight_hours {
                let now = self.clock.now().as_second();
                let id = self.shop.push(10_000);
                self.messages.push((id, now));
                if let Some(exporter) = &self.exporter {
                    let headers = [("authorization", "Bearer t0ken"), ("content-type", "application/json")];
                    let body = format!(r#"{{"app":"shop","msg_id":{id}}}"#).into_bytes();
                    let (status, answer) = post(exporter.address, "/api/v1/messages", &headers, body).await;
                    assert_eq!(status, 200, "{answer}");
                }
            }
            tokio::time::sleep(left.min(eight_hours)).await;
        }
    }

    /// Test devices by status, from what became of each message of the last 24 h.
    fn devices(&self) -> BTreeMap<String, i64> {
        let names = ["delivered", "undelivered", "foreign", "not_targeted", "error", "unknown"];
        let mut counts: BTreeMap<&str, i64> = names.iter().map(|name| (*name, 0)).collect();
        let since = self.clock.now().as_second() - 86_400;
        for (id, _) in self.messages.iter().filter(|(_, sent_at)| *sent_at >= since) {
            for device in ["1506bfd3a7c568d4761", "02078f0f1b8", "0207870a9b8", FOREIGN] {
                let status = self.shop.status(*id, device).unwrap();
                *counts.get_mut(names[usize::try_from(status).unwrap()]).unwrap() += 1;
            }
        }
        let series = |status| format!(r#"push_test_devices{{provider="jpush",app="shop",status="{status}"}}"#);
        counts.into_iter().map(|(status, count)| (series(status), count)).collect()
    }

    /// What was sent today through the channels that have a quota.
    fn used(&self) -> BTreeMap<String, i64> {
        let now = self.clock.now().as_second();
        let midnight = (now + 8 * 3600).div_euclid(86_400) * 86_400 - 8 * 3600;
        let mut used = BTreeMap::from(["oppo", "vivo", "xiaomi"].map(|channel| (channel, 0)));
        for (id, _) in self.messages.iter().filter(|(_, sent_at)| *sent_at >= midnight) {
            for (((_, _, channel), outcome), count) in self.shop.truth(*id, now) {
                if let (JpushOutcome::Sent, Some(sum)) = (outcome, used.get_mut(channel)) {
                    *sum += count;
                }
            }
        }
        let series = |channel| {
            format!(r#"push_vendor_quota_used{{provider="jpush",app="shop",channel="{channel}",class="operation"}}"#)
        };
        used.into_iter().map(|(channel, sum)| (series(channel), sum)).collect()
    }
}

/// A time in Beijing.
fn beijing(time: &str) -> Timestamp {
    format!("{time}:00+08:00").parse().unwrap()
}

/// The users of an app in these windows, each as JPush writes it.
fn users(app: &str, simulator: &JpushSimulator, windows: &[(&str, &str)]) -> BTreeMap<String, i64> {
    let mut series = BTreeMap::new();
    for (window, start) in windows {
        let unit = match *window {
            "hour" => TimeUnit::Hour,
            "day" => TimeUnit::Day,
            _ => TimeUnit::Month,
        };
        for (platform, counts) in simulator.users(unit, start) {
            for (state, count) in counts {
                let labels =
                    format!(r#"provider="jpush",app="{app}",platform="{platform}",state="{state}",window="{window}""#);
                series.insert(format!("push_users{{{labels}}}"), count);
            }
        }
    }
    assert!(series.len() >= 9 * windows.len(), "{series:?}");
    series
}

fn of(page: &Page, prefix: &str) -> BTreeMap<String, i64> {
    page.starting(&[prefix])
}

#[tokio::test(start_paused = true)]
async fn everything_beside_messages_equals_the_truth() {
    let mut weeks = Weeks::begin().await;
    weeks.start().await;
    let both = |weeks: &Weeks, shop: &[(&str, &str)], all: &[(&str, &str)]| {
        let mut expected = users("shop", &weeks.shop, shop);
        expected.extend(users("all", &weeks.all, all));
        expected
    };

    // In the afternoon: one o'clock is the newest closed hour. A group is answered for 30 days, in which
    // February does not begin.
    weeks.until("2026-03-12T14:20").await;
    let page = weeks.exporter.as_ref().unwrap().scrape().await;
    let (hour, day) = (("hour", "2026-03-12 13"), ("day", "2026-03-11"));
    assert_eq!(of(&page, "push_users"), both(&weeks, &[hour, day, ("month", "2026-02")], &[hour, day]));
    assert_eq!(of(&page, "push_test_devices"), weeks.devices());
    assert_eq!(of(&page, "push_vendor_quota_used"), weeks.used());
    assert_eq!(of(&page, "push_vendor_quota{").len(), 4);

    // Away for a day; back with what it had.
    weeks.until("2026-03-20T22:00").await;
    weeks.stop().await;
    weeks.until("2026-03-21T21:50").await;
    weeks.start().await;

    // Just after a month has ended: none of today's hours is over, and yesterday's last could not be asked for.
    weeks.until("2026-04-01T00:40").await;
    let page = weeks.exporter.as_ref().unwrap().scrape().await;
    let (hour, day) = (("hour", "2026-03-31 22"), ("day", "2026-03-31"));
    assert_eq!(of(&page, "push_users"), both(&weeks, &[hour, day, ("month", "2026-03")], &[hour, day]));
    assert_eq!(of(&page, "push_test_devices"), weeks.devices());
    assert_eq!(of(&page, "push_vendor_quota_used"), weeks.used());
    let end = |window: &str| {
        page.get(&format!(
            r#"push_window_end_timestamp_seconds{{provider="jpush",app="shop",report="users",window="{window}"}}"#
        ))
    };
    // 2026-03-31 23:00, 2026-04-01 00:00 and the same in Beijing.
    assert_eq!([end("hour"), end("day"), end("month")], [1_774_969_200.0, 1_774_972_800.0, 1_774_972_800.0].map(Some));

    // The next morning, after another start.
    weeks.until("2026-04-01T07:00").await;
    weeks.stop().await;
    weeks.start().await;
    weeks.until("2026-04-02T08:30").await;
    let page = weeks.exporter.as_ref().unwrap().scrape().await;
    let (hour, day) = (("hour", "2026-04-02 07"), ("day", "2026-04-01"));
    assert_eq!(of(&page, "push_users"), both(&weeks, &[hour, day, ("month", "2026-03")], &[hour, day]));
    assert_eq!(of(&page, "push_test_devices"), weeks.devices());
    assert_eq!(of(&page, "push_vendor_quota_used"), weeks.used());

    // Nothing was asked too often, or out of what is answered.
    assert_eq!((weeks.shop.refused(), weeks.all.refused()), (0, 0));
    // Without a code are those that ran out of paused time, which jumps while a socket is slow.
    let refused = of(&page, "push_api_requests_total").into_iter();
    let refused = refused.filter(|(name, _)| !name.contains(r#"code="200""#) && !name.contains(r#"code="none""#));
    let refused: Vec<String> = refused.map(|(name, _)| name).collect();
    assert_eq!(refused, [""; 0]);
    assert_eq!(page.starting(&["push_poll_failing"]).len(), 0);
    for report in ["status_message", "users", "vendor_quota"] {
        let unknown = format!(r#"push_unknown_fields_total{{provider="jpush",report="{report}"}}"#);
        assert_eq!(page.get(&unknown), Some(0.0), "{report}");
    }
    weeks.stop().await;
}
