//! Small helpers that the other modules use and that do not depend on them.

pub mod build_info;
pub(crate) mod certificates;
pub mod clock;
pub mod clock_guard;
pub mod error;
pub mod future;
pub mod host;
pub mod lease;
pub mod log_format;
pub mod log_writer;
pub(crate) mod server_trust;
pub(crate) mod supervise;
pub mod unix_time;
pub(crate) mod versioned;
