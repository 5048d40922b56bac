//! Small parts that the rest stands on and that know nothing of it.

pub mod log_writer;
