//! Names, types and HELP of every metric, and the exporter's own metrics.

pub mod catalog;
pub mod help;
pub(crate) mod labels;
pub(crate) mod process;
pub mod self_metrics;
