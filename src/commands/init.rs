//! `push-exporter init`: a commented configuration to begin with. The README shows the same text.

use std::fs::File;
use std::io::{ErrorKind, Write};

use crate::commands::CommandFailure;
use crate::commands::cli::Flags;

/// Every key, with those that are not needed commented out.
pub const EXAMPLE: &str = include_str!("../config/example.yml");

/// Prints the example, or writes it to `--config.file`.
///
/// # Errors
/// A file that is there already, or cannot be written (exit code 1).
pub fn run(flags: &Flags) -> Result<(), CommandFailure> {
    let Some(path) = &flags.config_file else { return Ok(super::print(EXAMPLE)?) };
    let written = File::create_new(path).and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    written.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AlreadyExists => "; it is left as it is",
            _ => "",
        };
        anyhow::Error::new(error).context(format!("cannot make {}{advice}", path.display()))
    })?;
    let done = format!(
        "{} is made; put in your apps and secrets, then: push-exporter check --config.file {0}\n",
        path.display()
    );
    Ok(super::print(&done)?)
}
