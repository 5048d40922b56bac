//! Version and source revision of this build.

/// Version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Source commit of this build, from the environment variable `PUSH_EXPORTER_REVISION` at compile time.
pub const REVISION: &str = match option_env!("PUSH_EXPORTER_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};
