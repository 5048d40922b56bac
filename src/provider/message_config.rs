//! Keys `messages`, `newest_messages` and `schedule` of an app whose provider has statistics by message.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Section;
use crate::provider::message_id::IdFormat;
use crate::provider::message_schedule::{MessageSchedule, Step};

/// Maximum number of messages that are shown individually; more would make the page too large to read.
const MAX_NEWEST: usize = 1000;

/// Value of the key `messages`.
#[derive(Clone, Debug, Default)]
pub struct MessageKeys {
    /// Message ids to poll.
    pub ids: Vec<String>,
    /// Files of message ids to follow.
    pub files: Vec<PathBuf>,
}

/// Reads `messages: {ids: […], files: […]}`.
pub fn read_messages(section: &mut Section<'_>, format: &IdFormat) -> MessageKeys {
    let Some(mut messages) = section.section("messages") else { return MessageKeys::default() };
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for (place, path, word) in messages.words("ids").unwrap_or_default() {
        match (format.read)(&word) {
            Some(id) if seen.insert(id.clone()) => ids.push(id),
            Some(_) => messages.context().error(place, &path, "given twice"),
            None => messages.context().error(place, &path, format.config_error),
        }
    }
    let files = messages.paths("files");
    messages.finish();
    MessageKeys { ids, files }
}

/// Reads `newest_messages`, the number of messages that are shown individually.
pub fn read_newest(section: &mut Section<'_>) -> usize {
    section.number("newest_messages", 0, MAX_NEWEST).unwrap_or(0)
}

/// Reads `schedule: [{until: 10m, every: 1m}, …]`, in order of age.
pub fn read_schedule(section: &mut Section<'_>) -> Option<MessageSchedule> {
    let second = Duration::from_secs(1);
    let found = section.find("schedule")?;
    let mut steps: Vec<Step> = Vec::new();
    let given = section.sections("schedule");
    let is_empty = given.is_empty() && found.is_list();
    for mut step in given {
        let (place, path) = (step.place(), step.path().to_owned());
        let (until, every) = (step.duration("until", second), step.duration("every", second));
        if until.is_none() {
            step.missing("until");
        }
        if every.is_none() {
            step.missing("every");
        }
        step.finish();
        let (Some(until), Some(every)) = (until, every) else { continue };
        if steps.last().is_some_and(|last| last.until >= until) {
            section.context().error(place, &path, "until must be greater than that of the step before");
        }
        steps.push(Step { until, every });
    }
    if is_empty {
        section.context().error(found.place, &found.path, "needs at least one step, such as {until: 5d, every: 1h}");
    }
    (!steps.is_empty()).then(|| MessageSchedule::new(steps))
}
