//! Version and source revision of this build.

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this build was made from, as the environment variable `PUSH_EXPORTER_REVISION` told the compiler.
pub const REVISION: &str = match option_env!("PUSH_EXPORTER_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};
