//! Polling: the apps that are polled ([`fleet`]), from the configuration to pollers ([`open`]), when a report is due ([`schedule`]), one report
//! being polled ([`runner`]) by window ([`windows`]), by message ([`messages`]) or as it stands ([`moments`]),
//! where message ids come in ([`feed`], [`files`]), how reports are ([`health`]), and polls out of turn ([`hurry`]).

pub mod feed;
pub mod files;
pub mod fleet;
pub mod follow;
mod gauges;
mod message_calls;
pub mod messages;
pub mod moments;
mod newest;
pub mod open;
pub mod runner;
pub mod schedule;
pub mod windows;
pub mod wire;
