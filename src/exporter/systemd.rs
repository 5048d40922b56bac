//! Notifications to systemd, if it requests them (`Type=notify`, `Type=notify-reload`, `WatchdogSec=`): the exporter
//! serves, reloads its configuration, stops, or is alive.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::exposition::Exposition;

/// Time limit for one notification.
const LIMIT: Duration = Duration::from_secs(1);

/// Notifies systemd that the exporter serves, with `status` as the status text.
pub(crate) async fn ready(status: &'static str) {
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]).await;
}

/// Notifies systemd that a reload has begun; [`ready`] ends it.
pub(crate) async fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(vec![NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]).await,
        Err(error) => tracing::debug!(error = error.to_string(), "cannot read the monotonic clock"),
    }
}

/// Notifies systemd that the exporter is stopping.
pub(crate) async fn stopping() {
    tell(vec![NotifyState::Stopping, NotifyState::Status("stopping")]).await;
}

/// Notifies systemd that the exporter is alive, as long as its page can be rendered: twice per watchdog timeout, or
/// not at all if systemd has set none. Never returns.
pub(crate) async fn watchdog(exposition: Exposition) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        exposition.flush().await;
        tell(vec![NotifyState::Watchdog]).await;
        tokio::time::sleep(timeout / 2).await;
    }
}

/// Sends a notification to systemd, which may be slow to accept it.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
async fn tell(states: Vec<NotifyState<'static>>) {
    let sending = tokio::task::spawn_blocking(move || sd_notify::notify(&states));
    match tokio::time::timeout(LIMIT, sending).await {
        Ok(Ok(Err(error))) => tracing::warn!(error = error.to_string(), "cannot notify systemd"),
        Ok(_) => {}
        Err(_) => tracing::warn!("systemd does not accept notifications"),
    }
}
