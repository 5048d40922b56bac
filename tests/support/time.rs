//! Time that passes for an exporter inside the runtime of a test.

use std::time::Duration;

use jiff::Timestamp;
use push_exporter::util::clock::Clock;

pub async fn seconds(seconds: impl Into<f64>) {
    tokio::time::sleep(Duration::from_secs_f64(seconds.into())).await;
}

pub async fn minutes(minutes: impl Into<f64>) {
    seconds(minutes.into() * 60.0).await;
}

pub async fn days(days: impl Into<f64>) {
    minutes(days.into() * 1440.0).await;
}

/// Lets time pass until an instant of a clock.
pub async fn until(clock: &Clock, at: Timestamp) {
    let left = Duration::try_from(at.duration_since(clock.now())).expect("time runs forward");
    tokio::time::sleep(left).await;
}
