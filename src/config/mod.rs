//! Generic handling of configuration files: YAML, typed sections, secrets and errors with their positions. The keys of
//! the exporter are in [`crate::provider::config`], those of the web server in [`crate::web::config`].

pub(crate) mod duration;
mod error;
pub mod postgres_address;
pub(crate) mod read_file;
pub mod secret;
pub mod section;
pub mod yaml;

pub use error::{ConfigError, ConfigErrors, ErrorNoted};
