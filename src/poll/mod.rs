//! Polling: the apps that are polled ([`fleet`]), from the configuration to pollers ([`open`]), when a report is due ([`schedule`]), one report
//! being polled ([`runner`]) by window ([`windows`]), by message ([`messages`]) or as it stands ([`moments`]),
//! where message ids come in ([`feed`], [`files`]), how reports are ([`status`]), and polls out of turn ([`hurry`]).

pub mod app;
pub mod backoff;
pub mod error;
pub mod manager;
mod message_calls;
pub mod message_poll;
mod newest_messages;
pub mod poller;
pub mod snapshot_poll;
mod window_gauges;
pub mod window_poll;
