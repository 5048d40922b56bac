//! What systemd is told, where it asks (`Type=notify`, `Type=notify-reload`, `WatchdogSec=`): that the exporter
//! serves, reads its configuration again, stops, and is alive.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::exposition::Exposition;

/// Time limit for one notification.
const LIMIT: Duration = Duration::from_secs(1);

/// It serves; `status` says how it came to that.
pub(crate) async fn ready(status: &'static str) {
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]).await;
}

/// It reads its configuration again; ready again when that is over.
pub(crate) async fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => {
            tell(vec![NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]).await
        }
        Err(error) => tracing::debug!(error = error.to_string(), "the monotonic clock cannot be read"),
    }
}

/// It stops.
pub(crate) async fn stopping() {
    tell(vec![NotifyState::Stopping, NotifyState::Status("stopping")]).await;
}

/// Says that the exporter is alive as long as its page can be rendered: for ever, twice in the time that systemd
/// waits, or never if it does not ask.
pub(crate) async fn watchdog(exposition: Exposition) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        exposition.flush().await;
        tell(vec![NotifyState::Watchdog]).await;
        tokio::time::sleep(timeout / 2).await;
    }
}

/// Sends to systemd, which may take its time.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
async fn tell(states: Vec<NotifyState<'static>>) {
    let sending = tokio::task::spawn_blocking(move || sd_notify::notify(&states));
    match tokio::time::timeout(LIMIT, sending).await {
        Ok(Ok(Err(error))) => tracing::warn!(error = error.to_string(), "cannot notify systemd"),
        Ok(_) => {}
        Err(_) => tracing::warn!("systemd does not take notifications"),
    }
}
