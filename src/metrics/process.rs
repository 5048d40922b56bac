//! The standard `process_*` metrics from /proc/self. The `prometheus` crate's own collector counts CPU time in whole
//! seconds, which is too coarse for the rate of a light process.

#![expect(clippy::disallowed_methods, reason = "/proc is in memory")]

use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};

/// Ticks per second of the times in /proc; fixed on Linux.
const TICKS: f64 = 100.0;

pub(super) struct ProcessCollector {
    cpu: Counter,
    resident: IntGauge,
    virtual_: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start: Gauge,
}

impl ProcessCollector {
    /// Creates the metrics of a process that started at `now`.
    pub(super) fn new(now: Timestamp) -> Result<Self, prometheus::Error> {
        let start = Gauge::new("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")?;
        start.set(now.as_millisecond() as f64 / 1000.0);
        Ok(ProcessCollector {
            cpu: Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_: IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            max_fds: IntGauge::new("process_max_fds", "Maximum number of open file descriptors.")?,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
            start,
        })
    }

    /// Reads the current values; a value that cannot be read stays unchanged.
    fn refresh(&self) {
        if let Some(ticks) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_ticks) {
            let cpu = ticks as f64 / TICKS;
            self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (field, unit, gauge) in
            [("VmRSS:", 1024, &self.resident), ("VmSize:", 1024, &self.virtual_), ("Threads:", 1, &self.threads)]
        {
            if let Some(value) = number_behind(&status, field) {
                gauge.set(value.saturating_mul(unit));
            }
        }
        if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the folder being read.
            self.open_fds.set(i64::try_from(fds.count()).unwrap_or(i64::MAX) - 1);
        }
        if let Some(max) = max_open_files() {
            self.max_fds.set(i64::try_from(max).unwrap_or(i64::MAX));
        }
    }

    fn all(&self) -> [&dyn Collector; 7] {
        [&self.cpu, &self.resident, &self.virtual_, &self.open_fds, &self.max_fds, &self.threads, &self.start]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![]
            .into_iter()
            .chain(self.cpu.desc())
            .chain(self.resident.desc())
            .chain(self.virtual_.desc())
            .chain(self.open_fds.desc())
            .chain(self.max_fds.desc())
            .chain(self.threads.desc())
            .chain(self.start.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.all().iter().flat_map(|metric| metric.collect()).collect()
    }
}

/// Returns the maximum number of open files of the process.
pub(crate) fn max_open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    usize::try_from(number_behind(&limits, "Max open files")?).ok()
}

/// Returns the sum of user and system time in /proc/self/stat.
fn cpu_ticks(text: &str) -> Option<u64> {
    // The second field is the name in brackets and may hold anything, brackets too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some(user + system)
}

/// Returns the first number in the line that starts with `field`.
fn number_behind(text: &str, field: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_may_hold_brackets_and_spaces() {
        let text = "12 (a ) b) S 1 2 3 0 -1 4194560 10 0 0 0 150 25 0 0 20 0 7 0 99 1048576 256 0";
        assert_eq!(cpu_ticks(text), Some(175));
        assert_eq!(cpu_ticks("nonsense"), None);
        assert_eq!(number_behind("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
    }

    #[test]
    fn this_process_has_numbers() {
        let collector = ProcessCollector::new("2026-01-01T00:00:00.5Z".parse().unwrap()).unwrap();
        collector.refresh();
        assert!(collector.resident.get() > 100_000);
        assert!(collector.open_fds.get() > 2);
        assert!(collector.max_fds.get() > 2);
    }
}
