//! `push-exporter init`: a commented example configuration with every key, made of the parts of the providers.

use std::fs::File;
use std::io::{ErrorKind, Write};

use crate::commands::CommandFailure;
use crate::commands::cli::{Flags, Init};
use crate::provider::registry::PROVIDERS;
use crate::provider::{Example, Provider};

/// Settings of the whole file.
const HEAD: &str = include_str!("../config/example/head.yml");
/// Settings of the message API.
const MESSAGE_API: &str = include_str!("../config/example/message_api.yml");

/// Returns an example configuration with an app of each provider; optional keys are commented out.
pub fn example<'a>(providers: impl IntoIterator<Item = &'a dyn Provider>) -> String {
    let parts: Vec<Example> = providers.into_iter().map(Provider::example).collect();
    let message_api = parts.iter().any(|part| part.has_message_ids).then_some(MESSAGE_API);
    let sections: Vec<&str> = [HEAD].into_iter().chain(message_api).chain(parts.iter().map(|part| part.text)).collect();
    sections.join("\n")
}

/// Prints the example, or writes it to `--config.file`.
///
/// # Errors
/// Fails if the file already exists or cannot be written (exit code 1).
pub fn run(flags: &Flags, options: &Init) -> Result<(), CommandFailure> {
    let is_chosen = |name| options.provider.is_empty() || options.provider.iter().any(|chosen| chosen == name);
    let text = example(PROVIDERS.iter().copied().filter(|provider| is_chosen(provider.name())));
    let Some(path) = &flags.config_file else { return Ok(super::print(&text)?) };
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AlreadyExists => "; it is left unchanged",
            _ => "",
        };
        anyhow::Error::new(error).context(format!("cannot create {}{advice}", path.display()))
    })?;
    let done = format!(
        "created {}; add your apps and secrets, then run: push-exporter check --config.file {0}\n",
        path.display()
    );
    Ok(super::print(&done)?)
}
