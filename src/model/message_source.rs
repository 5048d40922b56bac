//! Ways by which message ids arrive.

use serde::Serialize;

/// Source of a message id, which is the label `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageSource {
    /// The configuration file.
    Config,
    /// A followed file.
    File,
    /// `POST /api/v1/messages`.
    Api,
    /// A list of the provider's, such as that of its schedules.
    Discovery,
    /// A callback of the provider.
    Callback,
}

impl MessageSource {
    /// All sources.
    const ALL: [MessageSource; 5] = [
        MessageSource::Config,
        MessageSource::File,
        MessageSource::Api,
        MessageSource::Discovery,
        MessageSource::Callback,
    ];

    /// Returns the label value.
    pub fn name(self) -> &'static str {
        match self {
            MessageSource::Config => "config",
            MessageSource::File => "file",
            MessageSource::Api => "api",
            MessageSource::Discovery => "discovery",
            MessageSource::Callback => "callback",
        }
    }

    /// Returns the name shown to people.
    pub fn title(self) -> &'static str {
        match self {
            MessageSource::Config => "the configuration",
            MessageSource::File => "files",
            MessageSource::Api => "the message API",
            MessageSource::Discovery => "the provider's lists",
            MessageSource::Callback => "callbacks",
        }
    }

    /// Returns true if the ids come from the provider, which cannot know their category.
    pub fn is_provider(self) -> bool {
        matches!(self, MessageSource::Discovery | MessageSource::Callback)
    }

    /// Returns the source with this label value.
    pub fn from_name(name: &str) -> Option<MessageSource> {
        MessageSource::ALL.into_iter().find(|source| source.name() == name)
    }
}
