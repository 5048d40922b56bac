//! The command line and the configuration.

mod backfill;
mod backup;
mod check;
mod command_line;
mod configuration;
mod init;
mod packaged_files;
