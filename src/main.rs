//! The `push-exporter` program: parses the command line, runs the command, and maps its failure to an exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use push_exporter::commands::cli::Cli;
use push_exporter::commands::{CommandFailure, LAST_LINES, dispatch};
use push_exporter::util::log_writer::say_last;

fn main() -> ExitCode {
    // The dependency tree has exactly one crypto provider, so a second installation cannot happen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match dispatch(&Cli::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandFailure::Usage(text)) => {
            say_last(format!("{text}\n"), LAST_LINES);
            ExitCode::from(2)
        }
        Err(CommandFailure::Failed(error)) => {
            say_last(
                format!("push-exporter: {}\n", push_exporter::util::error::error_chain(error.as_ref())),
                LAST_LINES,
            );
            ExitCode::FAILURE
        }
    }
}
