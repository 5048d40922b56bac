//! Snapshot of the vendors' quotas (`push/quota` of the Push API).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::metrics::catalog::Family;
use crate::model::reading::{Count, GaugeReading, Label, SentMessage, count, members};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::jpush::client;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::rate_limit::Limit;
use crate::provider::{ReportContext, ReportSpec, SnapshotNumbers, SnapshotQuery, SnapshotReport};
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const VENDOR_QUOTA: &str = "vendor_quota";
/// Default interval.
const INTERVAL: Duration = Duration::from_secs(600);

/// Report of the vendors' quotas of one app.
pub(super) struct VendorQuota {
    spec: ReportSpec,
    settings: Arc<JpushSettings>,
}

/// Rate limit for the Push API, most of whose own limit is needed for sending.
pub(super) const PUSH_LIMIT: Limit = Limit { api: "push", requests: 60, window: Duration::from_secs(60) };

impl VendorQuota {
    pub(super) fn new(settings: &Arc<JpushSettings>, context: &ReportContext) -> VendorQuota {
        let spec = context.spec(VENDOR_QUOTA, INTERVAL, PUSH_LIMIT);
        VendorQuota { spec, settings: Arc::clone(settings) }
    }
}

impl SnapshotReport for VendorQuota {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn queries(&self, _messages: &[SentMessage]) -> Vec<SnapshotQuery> {
        vec![SnapshotQuery { message: None, part: 0 }]
    }

    fn query<'a>(
        &'a self,
        _ask: &'a SnapshotQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SnapshotNumbers, ProviderError>> {
        Box::pin(async move { client::fetch_vendor_quota(&self.settings, client).await.map(|answer| quotas(&answer)) })
    }
}

/// Documented vendors.
const VENDORS: [&str; 9] = ["xiaomi", "huawei", "oppo", "vivo", "meizu", "honor", "fcm", "asus", "nio"];
const CLASSES: [&str; 2] = ["system", "operation"];

fn is_minus_one(value: &Value) -> bool {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()) == Some(-1)
}

/// Reads `{"data":{"xiaomi_quota":{"operation":{"total":N,"used":N}},…}}`. Each level may be missing; −1 means that
/// there is no limit.
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
                    // −1: there is no limit.
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
