//! push-exporter: a Prometheus exporter for push-notification delivery.
//!
//! # The map
//!
//! ```text
//! config ─▶ poll::schedule ─▶ provider client ─▶ readings ─▶ ledger ─▶ page ─▶ web
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | YAML → typed settings, every error at once |
//! | [`provider`] | what a provider is; one folder each: wire types, field map, rhythm, errors |
//! | [`reading`] | numbers with the series they feed: where providers and ledger meet |
//! | [`window`] | days, weeks and months of a calendar |
//! | [`poll`] | when a report is due, one poll of it, its health |
//! | [`ledger`] | watermarks and totals on disk: readings in, counters out |
//! | [`page`] | the exposition, rendered in blocks before anyone asks |
//! | [`web`] | connections, who is let in, routes, status page |
//! | [`reload`] | reading the configuration again |
//! | `contain`, `notify` | panics that stay where they are; what systemd is told |
//! | [`simulator`] | the providers with true numbers, for the demo and the tests |
//! | [`clock`] | the one source of time |
//! | [`util`] | small parts that know nothing of the rest |
//!
//! # One poll, from timer to page
//!
//! [`poll::runner::Poller`] sleeps until its report is due. By window ([`poll::windows`]), it asks the
//! report ([`provider::Report::next`]) what to ask, and for each question: sends it within the budget
//! ([`provider::quota`]) with a cached token ([`provider::token`]), parses the answer into readings (the
//! provider's `readings.rs`), lets the report say what it means ([`provider::Report::digest`]: what
//! counts, what has closed, what is settled), and commits all of that in one transaction
//! ([`ledger::Ledger::commit`]). In the transaction, [`ledger::account`] turns each reading into what it
//! adds. Only what was committed goes to the [`page`], whose task renders the blocks that changed; a
//! scrape is served from those. Then [`poll::health`] notes how it went, and the report says when it is
//! due again.
//!
//! By message ([`poll::messages`]) the same happens with what the ledger says is due
//! ([`ledger::Ledger::due_messages`]): ids come in through [`poll::feed`], and each has its own due time
//! beside its watermark.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::print_stdout))]

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
