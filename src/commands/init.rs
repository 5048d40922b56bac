//! `push-exporter init`: a commented example configuration. docs/configuration.md shows the same text.

use std::fs::File;
use std::io::{ErrorKind, Write};

use crate::commands::CommandFailure;
use crate::commands::cli::Flags;

/// Example configuration with every key; optional keys are commented out.
pub const EXAMPLE: &str = include_str!("../config/example.yml");

/// Prints the example, or writes it to `--config.file`.
///
/// # Errors
/// Fails if the file already exists or cannot be written (exit code 1).
pub fn run(flags: &Flags) -> Result<(), CommandFailure> {
    let Some(path) = &flags.config_file else { return Ok(super::print(EXAMPLE)?) };
    let written = File::create_new(path).and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
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
