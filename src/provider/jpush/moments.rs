//! What is asked how it stands at this moment: test devices (`status/message`) and the quotas of vendors
//! (`push/quota`).

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::metrics::catalog::Family;
use crate::model::reading::{Count, GaugeReading, Label, SentMessage, count, members};
use crate::provider::error::ProviderError;
use crate::provider::http::Client;
use crate::provider::jpush::client;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::rate_limit::Limit;
use crate::provider::{Choice, SnapshotNumbers, SnapshotQuery, SnapshotReport};
use crate::util::future::BoxFuture;

/// 送达状态查询 (VIP).
pub(super) const STATUS_MESSAGE: &str = "status_message";
/// The vendors' quotas, of the Push API.
pub(super) const VENDOR_QUOTA: &str = "vendor_quota";
/// How often both are asked unless the configuration says otherwise.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);

/// 一次调用最多支持 1000个
const DEVICES_A_CALL: usize = 1000;
/// The messages that test devices are asked about.
const NEWEST: Choice = Choice { count: 20, max_age: Duration::from_secs(86_400) };
/// What `status` says, by its number.
const STATUSES: [&str; 5] = ["delivered", "undelivered", "foreign", "not_targeted", "error"];
const UNKNOWN: &str = "unknown";

/// The test devices of one app.
pub(super) struct TestDevices {
    pub(super) settings: Arc<JpushSettings>,
    pub(super) zone: TimeZone,
    pub(super) interval: Duration,
}

impl SnapshotReport for TestDevices {
    fn name(&self) -> &'static str {
        STATUS_MESSAGE
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn limit(&self) -> Limit {
        self.settings.limit()
    }

    fn choice(&self) -> Option<Choice> {
        Some(NEWEST)
    }

    fn queries(&self, messages: &[SentMessage]) -> Vec<SnapshotQuery> {
        let parts = self.settings.test_devices.len().div_ceil(DEVICES_A_CALL);
        let of = |message: &SentMessage| {
            let message = message.clone();
            (0..parts).map(move |part| SnapshotQuery { message: Some(message.clone()), part })
        };
        messages.iter().flat_map(of).collect()
    }

    fn if_refused(&self, query: &SnapshotQuery) -> Option<SnapshotNumbers> {
        Some(devices(&Map::new(), self.part(query).len()))
    }

    fn query<'a>(
        &'a self,
        query: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>> {
        Box::pin(async move {
            let Some(message) = &query.message else { return Ok(SnapshotNumbers::default()) };
            let date = self.zone.to_datetime(message.sent_at).date();
            let devices = self.part(query);
            client::status_message(&self.settings, &message.id, date, devices, client)
                .await
                .map(|answer| self::devices(&answer, devices.len()))
        })
    }
}

impl TestDevices {
    fn part(&self, query: &SnapshotQuery) -> &[String] {
        self.settings.test_devices.chunks(DEVICES_A_CALL).nth(query.part).unwrap_or_default()
    }
}

/// Reads `{"02078f0f1b8":{"status":2},…}`: how many of the devices that were asked for are in each status.
/// Those that the answer does not name are in none that is known.
pub(super) fn devices(answer: &Map<String, Value>, earlier: usize) -> SnapshotNumbers {
    let mut unknown = Vec::new();
    let mut counts = [0_i64; STATUSES.len()];
    let mut others = i64::try_from(earlier.saturating_sub(answer.len())).unwrap_or(i64::MAX);
    for device in answer.values() {
        match count(device.get("status")) {
            Count::Is(status) if (0..STATUSES.len() as i64).contains(&status) => counts[status as usize] += 1,
            status => {
                others += 1;
                unknown.push(match status {
                    Count::Is(status) => format!("status {status}"),
                    Count::Absent | Count::Odd => "a device without a status".to_owned(),
                });
            }
        }
    }
    let counts = STATUSES.into_iter().zip(counts).chain([(UNKNOWN, others)]);
    let gauge = |(status, value)| {
        let labels = vec![("status", Label::known(status))];
        GaugeReading { family: Family::TestDevices, labels, value }
    };
    SnapshotNumbers { gauges: counts.map(gauge).collect(), unknown }
}

/// The vendors' quotas of one app.
pub(super) struct VendorQuota {
    pub(super) settings: Arc<JpushSettings>,
    pub(super) interval: Duration,
}

impl SnapshotReport for VendorQuota {
    fn name(&self) -> &'static str {
        VENDOR_QUOTA
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    /// The Push API's own, of which pushing needs most.
    fn limit(&self) -> Limit {
        Limit { api: "push", requests: 60, window: Duration::from_secs(60) }
    }

    fn queries(&self, _messages: &[SentMessage]) -> Vec<SnapshotQuery> {
        vec![SnapshotQuery { message: None, part: 0 }]
    }

    fn query<'a>(
        &'a self,
        _ask: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>> {
        Box::pin(async move { client::vendor_quota(&self.settings, client).await.map(|answer| quotas(&answer)) })
    }
}

/// Vendors and classes that are known.
const VENDORS: [&str; 9] = ["xiaomi", "huawei", "oppo", "vivo", "meizu", "honor", "fcm", "asus", "nio"];
const CLASSES: [&str; 2] = ["system", "operation"];

fn is_minus_one(value: &Value) -> bool {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()) == Some(-1)
}

/// Reads `{"data":{"xiaomi_quota":{"operation":{"total":N,"used":N}},…}}`, of which each level may be missing;
/// −1 stands where there is no limit.
pub(super) fn quotas(answer: &Map<String, Value>) -> SnapshotNumbers {
    let mut numbers = SnapshotNumbers::default();
    let no_data = Map::new();
    let data = answer.get("data").and_then(Value::as_object).unwrap_or(&no_data);
    for (name, classes) in members(data, &mut numbers.unknown).filter(|(_, classes)| !classes.is_null()) {
        let vendor = name.strip_suffix("_quota").unwrap_or(name);
        let known = VENDORS.iter().find(|known| **known == vendor).filter(|_| vendor != name);
        let Value::Object(classes) = classes else {
            numbers.unknown.push(name.clone());
            continue;
        };
        if known.is_none() {
            numbers.unknown.push(name.clone());
        }
        let channel = known.map_or_else(|| Label::unknown(vendor), |known| Label::known(known));
        for (class, fields) in members(classes, &mut numbers.unknown).filter(|(_, fields)| !fields.is_null()) {
            let known = CLASSES.iter().find(|known| *known == class);
            let Value::Object(fields) = fields else {
                numbers.unknown.push(format!("{name}.{class}"));
                continue;
            };
            if known.is_none() {
                numbers.unknown.push(format!("{name}.{class}"));
            }
            let class_label = known.map_or_else(|| Label::unknown(class), |known| Label::known(known));
            for (field, value) in members(fields, &mut numbers.unknown) {
                let family = match field.as_str() {
                    "total" => Some(Family::VendorQuota),
                    "used" => Some(Family::VendorQuotaUsed),
                    _ => None,
                };
                match (family, count(Some(value))) {
                    (_, Count::Absent) => {}
                    // Without a limit.
                    (Some(_), Count::Odd) if is_minus_one(value) => {}
                    (Some(family), Count::Is(value)) => {
                        let labels = vec![("channel", channel.clone()), ("class", class_label.clone())];
                        numbers.gauges.push(GaugeReading { family, labels, value });
                    }
                    _ => numbers.unknown.push(format!("{name}.{class}.{field}")),
                }
            }
        }
    }
    numbers
}
