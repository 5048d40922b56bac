//! `push-exporter backup`: a consistent copy of the ledger while it is in use, and what is in it.

use indicatif::{HumanBytes, HumanCount};

use crate::commands::cli::{Backup, Flags};
use crate::commands::{CommandFailure, serve};
use crate::config::postgres_address::LedgerAddress;
use crate::ledger::sqlite::backup::{Content, back_up, content};

/// Copies the ledger of the configuration.
///
/// # Errors
/// Fails if the configuration is invalid or its ledger is a database (exit code 2), or if the copy fails or is not sound (1).
#[expect(clippy::disallowed_methods, reason = "a command without anything beside it")]
pub(crate) fn run(flags: &Flags, options: &Backup) -> Result<(), CommandFailure> {
    let (_, config) = serve::load(flags)?;
    let Backup { file, verify } = options;
    let from = match &config.ledger {
        LedgerAddress::Sqlite(path) => path,
        LedgerAddress::Postgres(_) => {
            let text =
                "the ledger is a PostgreSQL database; back it up by pg_dump or as you back up your other databases";
            return Err(CommandFailure::Usage(text.to_owned()));
        }
    };
    let real = |path: &std::path::Path| std::fs::canonicalize(path).ok();
    if real(from).is_some() && real(from) == real(file) {
        return Err(CommandFailure::Usage(format!("{} is the ledger itself; name another file", file.display())));
    }
    let bar = super::progress_bar("pages");
    let copied = back_up(from, file, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied.map_err(anyhow::Error::from)?;
    let size = std::fs::metadata(file).map_or(0, |meta| meta.len());
    super::print(&format!("{}: {} of {}\n", file.display(), HumanBytes(size), from.display()))?;
    if *verify {
        let Content { schema, apps, series, total, messages, last_seen } =
            content(file).map_err(anyhow::Error::from)?;
        let count = |count: i64| HumanCount(u64::try_from(count).unwrap_or(0));
        let last = last_seen.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        super::print(&format!(
            "{}: sound; schema {schema}, {} apps, {} counters with a sum of {total}, {} tracked messages, last written {last}\n",
            file.display(),
            count(apps),
            count(series),
            count(messages)
        ))?;
    }
    Ok(())
}
