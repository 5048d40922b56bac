//! What systemd is told, where it asks (`Type=notify`, `Type=notify-reload`, `WatchdogSec=`): that the exporter
//! serves, reads its configuration again, stops, and is alive.

use sd_notify::NotifyState;

use crate::page::Page;

/// It serves; `status` says how it came to that.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its configuration again; ready again when that is over.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]),
        Err(error) => tracing::debug!(error = error.to_string(), "the monotonic clock cannot be read"),
    }
}

/// It stops.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says that the exporter is alive as long as its page can be rendered: for ever, twice in the time that systemd
/// waits, or never if it does not ask.
pub(crate) async fn watchdog(page: Page) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        page.flush().await;
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(timeout / 2).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = error.to_string(), "systemd cannot be told how the exporter is");
    }
}
