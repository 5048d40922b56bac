//! `push-exporter serve`: the exporter with the user's configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::commands::cli::Flags;
use crate::commands::{CommandFailure, watch};
use crate::config::postgres_address::LedgerAddress;
use crate::config::secret::Environment;
use crate::exporter::reload::Reload;
use crate::exporter::{Parts, run as run_exporter};
use crate::ledger::Store;
use crate::ledger::postgres::Postgres;
use crate::ledger::sqlite::Sqlite;
use crate::provider::config::{self, Config};
use crate::provider::registry::PROVIDERS;
use crate::provider::transport::{Reqwest, SetupError, Transport, Way};
use crate::util::clock::Clock;
use crate::web;

const DEFAULT_FILE: &str = "push-exporter.yml";

/// Reads the configuration and serves until a signal.
///
/// # Errors
/// Fails if the configuration is invalid (exit code 2), or if an address or the ledger cannot be used (1).
pub(crate) fn run(flags: &Flags) -> Result<(), CommandFailure> {
    let (file, config) = load(flags)?;
    let transport = connect(&config)?;
    tracing::info!(
        version = crate::util::build_info::VERSION,
        revision = crate::util::build_info::REVISION,
        config = file.display().to_string(),
        apps = config.apps.len(),
        "starting"
    );
    let (stop, shown_file) = (CancellationToken::new(), file.clone());
    super::block_on(async {
        super::stop_on_signals(stop.clone())?;
        let reload = Reload::new(move || config::load(&file, &environment(), PROVIDERS), connect);
        super::reload_on_signals(reload.reloader())?;
        if flags.config_watch {
            tokio::spawn(watch::reload_on_change(shown_file.clone(), reload.reloader()));
        }
        let settings = super::web_settings(flags)?;
        // First, so that a second exporter on this machine takes nothing from the first.
        let bound = super::bind(flags).await?;
        let store = open_ledger(&config.ledger).await?;
        let options = web::Options { about: super::about(&config, shown_file.display()), ..super::web_options(flags) };
        let web = web::Setup { listeners: super::announce(bound)?, options, settings };
        let clock = Clock::system();
        let parts = Parts { providers: PROVIDERS, clock, web, transport, store, reload };
        serve(config, parts, stop).await?;
        Ok(())
    })
}

/// Reads the configuration that the flags name.
pub(super) fn load(flags: &Flags) -> Result<(PathBuf, Config), CommandFailure> {
    let file = flags.config_file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let config =
        config::load(&file, &environment(), PROVIDERS).map_err(|errors| CommandFailure::Usage(errors.to_string()))?;
    Ok((file, config))
}

fn environment() -> Environment {
    // Variables that are not UTF-8 are ignored.
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// Runs the exporter until `stop` is cancelled.
pub(super) async fn serve(config: Config, parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    run_exporter(config, parts, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Creates the HTTP client for the providers.
pub(super) fn connect(config: &Config) -> Result<Arc<dyn Transport>, SetupError> {
    Ok(Arc::new(Reqwest::new(Way::Proxied, &config.ca)?))
}

pub(super) async fn open_ledger(address: &LedgerAddress) -> anyhow::Result<Box<dyn Store>> {
    let store: Box<dyn Store> = match address {
        LedgerAddress::Sqlite(path) => Box::new(Sqlite::open(path)?),
        LedgerAddress::Postgres(address) => Box::new(Postgres::open(address).await?),
    };
    tracing::info!(ledger = address.to_string(), "ledger opened");
    Ok(store)
}
