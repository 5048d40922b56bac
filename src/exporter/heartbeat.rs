//! An hourly line in the log, which shows that the exporter works and what it did.

use std::time::Duration;

use crate::status::{Health, Status};

/// Interval between two lines.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Logs the work of each hour until it is cancelled.
pub(super) async fn log(status: Status) {
    let mut hours = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    hours.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        let work = status.activity().take();
        let reports = status.reports();
        let failing = reports.iter().filter(|(_, report)| report.state == Health::Failing).count();
        tracing::info!(
            polls = work.polls,
            failed_polls = work.failed,
            new_message_ids = work.ids,
            reports = reports.len(),
            failing_reports = failing,
            "work of the last hour"
        );
    }
}
