//! push-exporter: a Prometheus exporter for push-notification delivery.
//!
//! # The map
//!
//! ```text
//! config ─▶ poll ─▶ provider client ─▶ fields ─▶ ledger ─▶ exposition ─▶ web
//! ```
//!
//! A module imports only modules that stand below it in this table.
//!
//! | module | content |
//! |---|---|
//! | [`commands`] | the command line: one file per command |
//! | [`exporter`] | starts all parts, runs them and stops them; reloads; systemd |
//! | [`web`], [`simulator`] | the web server; the providers with true numbers, for the demo and the tests |
//! | [`backfill`] | the history before the first start, for a command |
//! | [`poll`] | when a report is due, one poll of it, the apps that are polled |
//! | [`messages`] | message ids on their way in |
//! | [`status`] | what is known of each report |
//! | [`ledger`], [`provider`] | watermarks and totals on disk; what a provider is, and each of them |
//! | [`exposition`] | the series table and its formats, rendered before anyone scrapes |
//! | [`model`], [`metrics`], [`config`] | readings and windows; names, HELP and labels; YAML and secrets |
//! | [`util`] | clock, errors, supervision |
//!
//! `docs/architecture.md` has the words and three walkthroughs: a poll, a reload and a scrape.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::print_stdout))]

pub mod backfill;
pub mod commands;
pub mod config;
pub mod exporter;
pub mod exposition;
pub mod ledger;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod poll;
pub mod provider;
pub mod simulator;
pub mod status;
pub mod util;
pub mod web;
