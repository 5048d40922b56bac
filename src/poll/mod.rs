//! Polling of the configured apps: the manager of all apps ([`manager`]), the path from the configuration to pollers
//! ([`app`]), the due times of failing reports ([`backoff`]), and the polling of one report ([`poller`]) by window
//! ([`window_poll`]), by message ([`message_poll`]), by list ([`list_poll`]), as a snapshot ([`snapshot_poll`]) or for
//! message ids ([`discovery_poll`]). Message ids are registered in [`crate::messages`]; [`crate::status`] holds the health of reports and starts polls out of turn.

mod answered_messages;
pub mod app;
pub(crate) mod backoff;
mod discovery_poll;
pub(crate) mod error;
mod list_poll;
mod list_walk;
pub mod manager;
mod message_calls;
pub(crate) mod message_poll;
mod newest_messages;
pub(crate) mod poller;
pub(crate) mod snapshot_poll;
pub(crate) mod window_gauges;
pub(crate) mod window_poll;
