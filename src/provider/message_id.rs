//! Formats of message ids, as senders and providers write them.

/// Format of a provider's message ids.
#[derive(Clone, Copy, Debug)]
pub struct IdFormat {
    /// Reads an id; returns it as the provider writes it, or `None` if it is invalid.
    pub read: fn(&str) -> Option<String>,
    /// Rule for valid ids: `msg_id must be …`.
    pub rule: &'static str,
    /// Error of the configuration for an invalid id.
    pub config_error: &'static str,
}
