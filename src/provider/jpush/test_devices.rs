//! Snapshot of test devices (`status/message`): the number of devices that the newest messages have reached.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::metrics::catalog::Family;
use crate::model::reading::{Count, GaugeReading, Label, SentMessage, count};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::jpush::client;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::{Choice, ReportContext, ReportSpec, SnapshotNumbers, SnapshotQuery, SnapshotReport};
use crate::util::future::BoxFuture;

/// Name of the report, 送达状态查询 (VIP).
pub(super) const STATUS_MESSAGE: &str = "status_message";
/// Default interval.
const INTERVAL: Duration = Duration::from_secs(600);
/// Maximum number of devices in a call: 一次调用最多支持 1000个.
const DEVICES_A_CALL: usize = 1000;
/// Messages for which the status of test devices is queried.
const NEWEST: Choice = Choice { count: 20, max_age: Duration::from_secs(86_400) };
/// Label values of `status`, by its number.
const STATUSES: [&str; 5] = ["delivered", "undelivered", "foreign", "not_targeted", "error"];
const UNKNOWN: &str = "unknown";

/// Report of the test devices of one app.
pub(super) struct TestDevices {
    spec: ReportSpec,
    settings: Arc<JpushSettings>,
    zone: TimeZone,
}

impl SnapshotReport for TestDevices {
    fn spec(&self) -> &ReportSpec {
        &self.spec
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
            client::fetch_status_message(&self.settings, &message.id, date, devices, client)
                .await
                .map(|answer| self::devices(&answer, devices.len()))
        })
    }
}

impl TestDevices {
    pub(super) fn new(settings: &Arc<JpushSettings>, context: &ReportContext) -> TestDevices {
        let spec = context.spec(STATUS_MESSAGE, INTERVAL, settings.limit());
        TestDevices { spec, settings: Arc::clone(settings), zone: context.zone.clone() }
    }

    fn part(&self, query: &SnapshotQuery) -> &[String] {
        self.settings.test_devices.chunks(DEVICES_A_CALL).nth(query.part).unwrap_or_default()
    }
}

/// Reads `{"02078f0f1b8":{"status":2},…}` and returns the number of queried devices in each status. The status of
/// devices that are missing in the answer is unknown.
pub(super) fn devices(answer: &Map<String, Value>, asked: usize) -> SnapshotNumbers {
    let mut unknown = Vec::new();
    let mut counts = [0_i64; STATUSES.len()];
    let mut others = i64::try_from(asked.saturating_sub(answer.len())).unwrap_or(i64::MAX);
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
