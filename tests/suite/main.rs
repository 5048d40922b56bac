//! Integration tests, one module a theme. They drive the library's `run` in a runtime of their own, or
//! the program as a user would.

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

mod fake;
mod faulty;
mod fragile;
mod jpush_script;
mod jpush_truth;
mod prometheus;
mod support;
mod truth;
mod window_scripts;
mod wren;

mod alerts;
mod attacks;
mod baseline;
mod blocking;
mod budgets;
mod check;
mod cli;
mod clocks;
mod config;
mod crash;
mod dashboards;
mod documents;
mod error_tables;
mod failures;
mod faults;
mod fourth_provider;
mod growth;
mod history;
mod holds;
mod imports;
mod init;
mod jpush_documents;
mod jpush_reports;
mod jpush_reports_month;
mod late_numbers;
mod ledger_faults;
mod made_up_names;
mod manual;
mod message_api;
mod message_blame;
mod message_faults;
mod message_files;
mod message_life;
mod message_month;
mod messages;
mod month;
mod official_sdks;
mod older_ledgers;
mod openmetrics;
mod packaging;
mod panics;
mod parts;
mod poll_now;
mod readme;
mod real_programs;
mod reload;
mod robust;
mod rules;
mod scale;
mod schedule_scale;
mod secrets;
mod sizing;
mod stall;
mod status_page;
mod storm;
mod surroundings;
mod systemd;
mod tls;
mod web;
mod web_config;
