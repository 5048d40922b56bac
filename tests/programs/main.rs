//! Tests that need other programs, which `tests/run.sh` installs: Prometheus, Python, Chromium, openssl and others.

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

mod alerts;
mod attacks;
mod backfill;
mod callback_storm;
mod certificates;
mod dashboards;
mod databases;
mod failovers;
mod history;
mod official_sdks;
mod openmetrics;
mod packaging;
mod postgres;
mod real_programs;
mod replicas;
mod rules;
mod sender_examples;
mod small_disks;
mod status_page;
mod systemd;
mod tls;
mod web_config;
