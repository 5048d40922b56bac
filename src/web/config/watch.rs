//! Watches the web configuration and the files that it names, and reads them again when one has changed, without a
//! restart. Requests and connections use the settings in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::ConfigErrors;
use crate::config::yaml::Place;
use crate::web::config::{ConfigReading, WebConfig};

/// Interval between two checks of the files.
const LOOK: Duration = Duration::from_millis(250);

/// Current settings and their validity.
#[derive(Clone, Default)]
pub struct Current {
    /// Last valid settings.
    pub settings: Arc<WebConfig>,
    /// True if the file is invalid now. Only health paths are answered then, since it is unknown what to protect.
    pub is_broken: bool,
}

/// Handle to the settings in use.
#[derive(Clone)]
pub struct WatchedConfig(watch::Receiver<Current>);

impl WatchedConfig {
    /// Returns the settings without a file: plain HTTP without authentication.
    pub fn nothing() -> WatchedConfig {
        WatchedConfig(watch::channel(Current::default()).1)
    }

    /// Returns the settings in use now.
    pub(in crate::web) fn now(&self) -> Current {
        self.0.borrow().clone()
    }

    /// Waits until the settings meet a condition, possibly forever.
    pub(in crate::web) async fn wait_for(&mut self, is_so: impl FnMut(&Current) -> bool) {
        if self.0.wait_for(is_so).await.is_err() {
            // The file is no longer watched, or there is none.
            std::future::pending::<()>().await;
        }
    }
}

/// A web configuration file that is watched for changes.
pub struct ConfigFollower {
    file: PathBuf,
    reading: Arc<ConfigReading>,
    publish: watch::Sender<Current>,
    /// True once a file system that does not answer has been logged.
    is_told: bool,
}

impl ConfigFollower {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Returns all errors in the file.
    pub fn open(file: PathBuf) -> Result<(ConfigFollower, WatchedConfig), ConfigErrors> {
        let ConfigReading { result, contents, hangs } = ConfigReading::of(&file);
        let settings = result?;
        let (publish, watched) = watch::channel(Current { settings: Arc::clone(&settings), is_broken: false });
        let reading = Arc::new(ConfigReading { result: Ok(settings), contents, hangs });
        Ok((ConfigFollower { file, reading, publish, is_told: false }, WatchedConfig(watched)))
    }

    /// Reads the file again whenever it changes. Never returns.
    pub async fn follow(mut self) {
        let mut is_published = true;
        loop {
            tokio::time::sleep(LOOK).await;
            let has_changed = self.look().await;
            is_published &= !has_changed;
            // A file is emptied before it is written, and a certificate replaced before its key: a change is applied
            // only once the files have stayed the same for one check.
            if !is_published && !has_changed {
                self.publish();
                is_published = true;
            }
        }
    }

    /// Reads the files again if one has changed, and returns true then.
    async fn look(&mut self) -> bool {
        let (reading, file) = (Arc::clone(&self.reading), self.file.clone());
        let fresh =
            tokio::task::spawn_blocking(move || (!reading.is_current()).then(|| ConfigReading::of(&file))).await;
        match fresh {
            Ok(Some(ConfigReading { hangs: Some(silent), .. })) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    let file = silent.display().to_string();
                    tracing::warn!(file, "the file system does not answer; using the last web configuration");
                }
                false
            }
            Ok(Some(mut fresh)) => {
                self.is_told = false;
                if let Some(slip) = self.slip(&fresh) {
                    let name = self.file.display().to_string();
                    fresh.result = Err(ConfigErrors::one(&name, Place::START, slip.to_owned()));
                }
                self.reading = Arc::new(fresh);
                true
            }
            _ => false,
        }
    }

    /// Returns an error for a change that looks like a failed edit: it must neither turn off encryption nor, by an
    /// empty file, remove authentication.
    fn slip(&self, fresh: &ConfigReading) -> Option<&'static str> {
        let settings = fresh.result.as_ref().ok()?;
        let before = Arc::clone(&self.publish.borrow().settings);
        if settings.is_nothing && (before.tls.is_some() || !before.users.is_empty()) {
            Some("the file is empty; restart the exporter to serve plain HTTP without authentication")
        } else if before.tls.is_some() && settings.tls.is_none() {
            Some("TLS cannot be turned off while the exporter runs; restart the exporter to turn it off")
        } else {
            None
        }
    }

    fn publish(&self) {
        match &self.reading.result {
            Ok(settings) => {
                tracing::info!(file = self.file.display().to_string(), "reloaded the web configuration");
                self.publish.send_replace(Current { settings: Arc::clone(settings), is_broken: false });
            }
            Err(errors) => {
                for error in errors.to_string().lines() {
                    tracing::error!(error, "invalid web configuration; answering requests with 500 until it is fixed");
                }
                self.publish.send_modify(|current| current.is_broken = true);
            }
        }
    }
}
