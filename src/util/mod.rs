//! Small parts that the rest stands on and that know nothing of it.

pub mod certificates;
pub mod log_writer;
pub mod server_trust;
