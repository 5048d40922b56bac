//! Polling: from the configuration to pollers ([`open`]), when a report is due ([`schedule`]), one report
//! being polled ([`runner`]) by window ([`windows`]) or by message ([`messages`]), where message ids come in
//! ([`feed`]), how reports are ([`health`]).

pub mod feed;
mod gauges;
pub mod health;
pub mod messages;
pub mod open;
pub mod runner;
pub mod schedule;
pub mod windows;
