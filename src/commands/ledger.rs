//! `push-exporter ledger copy`: moves a ledger from a SQLite file to a PostgreSQL database, or back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::HumanCount;

use crate::commands::CommandFailure;
use crate::commands::cli::CopyLedger;
use crate::config::postgres_address::{LedgerAddress, PostgresAddress, ReplicaKeys};
use crate::ledger::copy::{Copied, Progress, copy as copy_ledger};

/// Interval at which the progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// Copies a ledger.
///
/// # Errors
/// Fails if one of the addresses is invalid (exit code 2), or if the ledger cannot be copied (1).
pub(crate) fn copy(options: &CopyLedger) -> Result<(), CommandFailure> {
    let (from, to) = (address("--from", &options.from)?, address("--to", &options.to)?);
    if from == to {
        return Err(CommandFailure::Usage("--from and --to are the same ledger".to_owned()));
    }
    if let (LedgerAddress::Postgres(_), LedgerAddress::Postgres(_)) = (&from, &to) {
        let text =
            "--from and --to are both PostgreSQL databases; use pg_dump and pg_restore, with the exporters stopped";
        return Err(CommandFailure::Usage(text.to_owned()));
    }
    super::block_on(async {
        let progress = Arc::new(Progress::default());
        let bar = super::progress_bar("rows");
        let copying = copy_ledger(&from, &to, Arc::clone(&progress));
        tokio::pin!(copying);
        let copied = loop {
            tokio::select! {
                copied = &mut copying => break copied,
                () = tokio::time::sleep(TICK) => {
                    bar.set_length(progress.all.load(Ordering::Relaxed));
                    bar.set_position(progress.done.load(Ordering::Relaxed));
                }
            }
        };
        bar.finish_and_clear();
        let Copied { apps, series, total, messages, .. } = copied.map_err(anyhow::Error::from)?;
        let text = format!(
            "copied {} apps, {} counters with a sum of {total}, {} tracked messages; set ledger in the configuration to the new address\n",
            HumanCount(apps),
            HumanCount(series),
            HumanCount(messages)
        );
        Ok(super::print(&text)?)
    })
}

/// Parses the address of a ledger.
fn address(flag: &str, text: &str) -> Result<LedgerAddress, CommandFailure> {
    let usage = |message: String| CommandFailure::Usage(format!("{flag} {message}"));
    match text.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => return Ok(LedgerAddress::Sqlite(PathBuf::from(path))),
        None if text.starts_with("postgres:") || text.starts_with("postgresql:") => {}
        _ => return Err(usage("must be sqlite:FILE or postgres://USER@HOST/DATABASE".to_owned())),
    }
    // It joins no fleet, so these keys mean nothing.
    let replica = ReplicaKeys { name: "ledger copy".to_owned(), lease: Duration::ZERO, instance: String::new() };
    let parsed = PostgresAddress::parse(text, replica, |name| std::env::var(name).ok());
    parsed.map(|address| LedgerAddress::Postgres(Box::new(address))).map_err(|error| usage(error.to_string()))
}
