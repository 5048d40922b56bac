//! The exporter's own metrics, from the registry of the `prometheus` crate: the last, small block of the page, written
//! for each scrape. These counters start at 0 with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::metrics::process::ProcessCollector;
use crate::util::log_writer::dropped_lines;

/// The registry and the metrics that the rest of the exporter writes to.
#[derive(Clone)]
pub struct SelfMetrics {
    registry: Registry,
    /// Start time of the process, in milliseconds.
    began: i64,
    /// Requests answered, by handler and status code.
    pub http_requests: IntCounterVec,
    /// Durations of answers, by handler.
    pub http_duration: HistogramVec,
    /// Connections open now.
    pub http_connections: IntGauge,
    /// Panics that were contained.
    pub task_panics: IntCounter,
    log_lines_dropped: IntCounter,
    /// Time at which the configuration in use was read.
    config_loaded: Gauge,
    /// 1 if the configuration was valid when it was last read.
    pub config_ok: IntGauge,
    /// End of the web server's certificate chain; without one it has no sample.
    web_certificate: IntGaugeVec,
    /// Metrics that the ledger's task writes to.
    pub ledger: LedgerMetrics,
    /// Metrics of the share of this replica.
    pub replica: ReplicaMetrics,
}

/// The metrics of this replica among those that share the ledger.
#[derive(Clone)]
pub struct ReplicaMetrics {
    owned: IntGauge,
    /// Number of apps that this process polls and shows while its lease is held.
    pub share: Arc<AtomicI64>,
    /// Configured apps that no live replica owns.
    pub unowned: IntGauge,
    /// Renewals of the lease of this replica.
    pub renewals: IntCounter,
    /// Apps that this replica took over from another one.
    pub takeovers: IntCounter,
}

impl ReplicaMetrics {
    fn register(registry: &Registry) -> Result<ReplicaMetrics, prometheus::Error> {
        Ok(ReplicaMetrics {
            owned: keep(
                registry,
                IntGauge::new("push_exporter_apps_owned", "Apps that this exporter polls and shows."),
            )?,
            share: Arc::default(),
            unowned: keep(
                registry,
                IntGauge::new("push_exporter_apps_unowned", "Configured apps that no live replica owns."),
            )?,
            renewals: keep(
                registry,
                IntCounter::new(
                    "push_exporter_lease_renewals_total",
                    "Renewals of this replica's lease, about one a second; 0 with a SQLite ledger.",
                ),
            )?,
            takeovers: keep(
                registry,
                IntCounter::new(
                    "push_exporter_takeovers_total",
                    "Apps that this replica has taken over from another one.",
                ),
            )?,
        })
    }
}

/// The metrics of the ledger.
#[derive(Clone)]
pub struct LedgerMetrics {
    /// 1 if the last write succeeded.
    pub up: IntGauge,
    /// Bytes on disk.
    pub size: IntGauge,
    /// Durations of commits.
    pub commit_duration: Histogram,
    /// Time of the last commit.
    pub last_commit: Gauge,
    /// Requests that failed.
    pub errors: IntCounter,
    /// Requests that panicked, counted together with all other panics.
    pub panics: IntCounter,
}

impl SelfMetrics {
    /// Creates a registry with all metrics of a process that started at `began`.
    ///
    /// # Errors
    /// A duplicate name, which a test would have found.
    pub fn new(began: Timestamp) -> Result<SelfMetrics, prometheus::Error> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("push_exporter_build_info", "1, labelled by version and source revision of the exporter."),
            &["version", "revision"],
        )?;
        build.with_label_values(&[crate::util::build_info::VERSION, crate::util::build_info::REVISION]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(ProcessCollector::new(began)?))?;
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let task_panics = keep(
            &registry,
            IntCounter::new(
                "push_exporter_task_panics_total",
                "Panics that were contained: in polls, in followed files, in the ledger's work, in web connections.",
            ),
        )?;
        let ledger = LedgerMetrics {
            panics: task_panics.clone(),
            up: keep(&registry, IntGauge::new("push_exporter_ledger_up", "1 if the last write to the ledger worked."))?,
            size: keep(&registry, IntGauge::new("push_exporter_ledger_size_bytes", "Size of the ledger on disk."))?,
            commit_duration: keep(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "push_exporter_ledger_commit_duration_seconds",
                        "Duration of committing an answer.",
                    )
                    .buckets(buckets.clone()),
                ),
            )?,
            last_commit: keep(
                &registry,
                Gauge::new("push_exporter_ledger_last_commit_timestamp_seconds", "Time of the last committed answer."),
            )?,
            errors: keep(
                &registry,
                IntCounter::new("push_exporter_ledger_errors_total", "Requests to the ledger that failed."),
            )?,
        };
        Ok(SelfMetrics {
            http_requests: keep(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "push_exporter_http_requests_total",
                        "HTTP requests answered, by handler and status code.",
                    ),
                    &["handler", "code"],
                ),
            )?,
            http_duration: keep(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "push_exporter_http_request_duration_seconds",
                        "Duration of making an answer, by handler.",
                    )
                    .buckets(buckets),
                    &["handler"],
                ),
            )?,
            http_connections: keep(
                &registry,
                IntGauge::new("push_exporter_http_connections", "HTTP connections open now."),
            )?,
            task_panics,
            log_lines_dropped: keep(
                &registry,
                IntCounter::new(
                    "push_exporter_log_lines_dropped_total",
                    "Log lines that were dropped because nobody reads standard error.",
                ),
            )?,
            web_certificate: keep(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "push_exporter_web_certificate_expiry_timestamp_seconds",
                        "Earliest end of the certificates that the web server presents; absent without TLS.",
                    ),
                    &[],
                ),
            )?,
            config_loaded: keep(
                &registry,
                Gauge::new(
                    "push_exporter_config_last_reload_success_timestamp_seconds",
                    "Time at which the configuration in use was read.",
                ),
            )?,
            config_ok: keep(
                &registry,
                IntGauge::new(
                    "push_exporter_config_last_reload_successful",
                    "1 if the configuration was valid when it was last read.",
                ),
            )?,
            ledger,
            replica: ReplicaMetrics::register(&registry)?,
            began: began.as_millisecond(),
            registry,
        })
    }

    /// Records that the configuration in use was read at `at`.
    pub fn config_read(&self, at: Timestamp) {
        self.config_loaded.set(at.as_millisecond() as f64 / 1000.0);
        self.config_ok.set(1);
    }

    /// Shows when the web server's certificates end, in Unix seconds; `None` without TLS.
    pub fn set_web_certificate_expiry(&self, expiry: Option<i64>) {
        match expiry {
            Some(expiry) => self.web_certificate.with_label_values::<&str>(&[]).set(expiry),
            None => self.web_certificate.reset(),
        }
    }

    /// Returns the families that have samples. Without a lease no app is owned.
    pub fn gather(&self, has_lease: bool) -> Vec<MetricFamily> {
        let share = self.replica.share.load(Ordering::Relaxed);
        self.replica.owned.set(if has_lease { share } else { 0 });
        self.log_lines_dropped.inc_by(dropped_lines().saturating_sub(self.log_lines_dropped.get()));
        // An empty family would fail the whole exposition.
        self.registry.gather().into_iter().filter(|family| !family.get_metric().is_empty()).collect()
    }

    /// Returns the start time of the process, in milliseconds: all of its counters were created then.
    pub fn created_ms(&self) -> i64 {
        self.began
    }
}

fn keep<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
