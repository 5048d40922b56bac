//! Intake of message ids: from the configuration, from followed files and from the message API, through [`registry`]
//! into the ledger.

pub mod file_source;
pub mod followed_paths;
pub(crate) mod input;
pub mod registry;
pub mod tail;
