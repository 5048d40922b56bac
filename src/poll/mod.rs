//! Polling: when a report is due, one poll of it from the first question to the commit, and its health.
//! A walkthrough stands in the crate's documentation.

mod gauges;
pub mod health;
pub mod runner;
pub mod schedule;
