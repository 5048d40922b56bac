//! Tests that need Rust alone: `cargo test`. They drive the library's `run` in a runtime of its own, or the program as a
//! user would. Tests that need other programs are in `tests/programs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "../../deploy/package_files.rs"]
mod package_files;
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod exposition;
mod ledger;
mod messages;
mod operations;
mod polling;
mod provider;
mod web;
