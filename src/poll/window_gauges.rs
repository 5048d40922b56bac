//! Window gauges of a report: those of the newest closed windows, shown as long as they are fresh.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::exposition::{Exposition, Sample, Update, text};
use crate::ledger::{GaugeReadings, RECONCILED, StoredGauges};
use crate::metrics::catalog::Family;
use crate::model::reading::{GaugeReading, Label, Reading, SeriesKey, UserCount, WindowReadings};
use crate::model::window::Unit;
use crate::poll::poller::Poller;
use crate::provider::WindowGauges;
use crate::status::{Reconciled, ReportId, Services, Status};

/// Window gauges of a report, shown or not.
pub(super) struct ShownWindows {
    id: ReportId,
    /// Label of the gauges that belong to a scope.
    scope_label: &'static str,
    exposition: Exposition,
    status: Status,
    max_age: Duration,
    windows: HashMap<(String, Unit), StoredGauges>,
    are_shown: bool,
    /// Time at which they were last confirmed.
    fresh: Option<Timestamp>,
}

impl ShownWindows {
    /// Creates the gauges from those in the ledger, last confirmed at `fresh` and not shown yet.
    pub(super) fn new(
        poller: &Poller,
        scope_label: &'static str,
        max_age: Duration,
        stored: impl Iterator<Item = StoredGauges>,
        fresh: Option<Timestamp>,
    ) -> ShownWindows {
        let windows = stored.map(|window| ((window.scope.clone(), window.unit), window)).collect();
        let Services { exposition, status, .. } = &poller.services;
        let (id, exposition, status) = (poller.id.clone(), exposition.clone(), status.clone());
        let shown = ShownWindows { id, scope_label, exposition, status, max_age, windows, are_shown: false, fresh };
        shown.windows.values().for_each(|window| shown.show_reconciled(window));
        shown
    }

    /// Shows the gauges unless they are too old, and removes them from the exposition once they are.
    pub(super) async fn expire(&mut self, now: Timestamp) {
        let is_too_old =
            self.fresh.is_none_or(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > self.max_age));
        if self.are_shown == is_too_old {
            self.are_shown = !is_too_old;
            let samples = self.windows.values().flat_map(|window| self.samples(window));
            let update = if is_too_old { Update::remove } else { Update::Set };
            let updates = samples.map(update).collect();
            self.exposition.update(updates).await;
        }
    }

    /// Records that a poll has confirmed the gauges.
    pub(super) async fn confirm(&mut self, now: Timestamp) {
        self.fresh = Some(now);
        self.expire(now).await;
    }

    /// Replaces the gauges of the preceding window; series that the new window lacks are removed.
    pub(super) async fn replace(&mut self, window: StoredGauges) {
        let key = (window.scope.clone(), window.unit);
        let new = self.samples(&window);
        self.show_reconciled(&window);
        let old = self.windows.insert(key, window).map(|old| self.samples(&old)).unwrap_or_default();
        if self.are_shown {
            self.exposition.update(Update::replace(old, new)).await;
        }
    }

    /// Shows on the status page what is unaccounted, if the gauges are those of a reconciliation.
    fn show_reconciled(&self, gauges: &StoredGauges) {
        if gauges.scope != RECONCILED {
            return;
        }
        let unaccounted = gauges.values.iter().filter_map(|(_, labels, value)| {
            let (_, metric) = labels.pairs().next()?;
            Some((metric.to_owned(), *value))
        });
        let reconciled = Reconciled { end: gauges.end, unaccounted: unaccounted.collect() };
        self.status.app(self.id.provider, &self.id.app, |status| {
            status.reconciled.insert(gauges.unit.name(), reconciled);
        });
    }

    /// Returns the series of a closed window: its end and its values.
    fn samples(&self, gauges: &StoredGauges) -> Vec<Sample> {
        let window = gauges.unit.name();
        let app_labels = self.id.app_labels();
        let mut samples = Vec::new();
        let is_scope = !gauges.scope.is_empty() && gauges.scope != RECONCILED;
        if gauges.scope.is_empty() {
            samples.push(self.id.sample(Family::WindowEnd, &[("window", window)], gauges.end.as_millisecond()));
        }
        for (family, labels, value) in &gauges.values {
            let mut labels = labels.with("window", window);
            if is_scope {
                labels = labels.with(self.scope_label, &gauges.scope);
            }
            samples.push(Sample {
                family: *family,
                app_labels: Arc::clone(&app_labels),
                labels: text::series_labels(&labels),
                value: *value,
                created: None,
            });
        }
        samples
    }
}

/// Converts the gauges of a closed window for the ledger.
pub(crate) fn gauge_readings(gauges: WindowGauges) -> GaugeReadings {
    let WindowGauges { scope, end, numbers } = gauges;
    let is_scope = scope.is_some();
    let WindowReadings { window, readings, users_reached, users } = numbers;
    let deliveries = readings.into_iter().filter_map(|Reading { series, value, .. }| {
        let SeriesKey { metric, platform, channel, kind } = series;
        let family = if is_scope { metric.scope_gauge() } else { metric.window_gauge() };
        let labels = vec![("platform", platform), ("channel", channel), ("kind", kind)];
        Some(GaugeReading { family: family?, labels, value })
    });
    let family = if is_scope { Family::DepartmentWindowUsersReached } else { Family::WindowUsersReached };
    let reached = users_reached.map(|value| GaugeReading { family, labels: Vec::new(), value });
    let users = users.into_iter().map(|UserCount { platform, state, value }| GaugeReading {
        family: Family::Users,
        labels: vec![("platform", platform), ("state", Label::known(state))],
        value,
    });
    let values = deliveries.chain(reached).chain(users).collect();
    GaugeReadings { scope: scope.unwrap_or_default(), unit: window.unit, end, values }
}
