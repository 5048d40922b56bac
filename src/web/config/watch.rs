//! Follows the web configuration and the files that it names: they are read again when one has changed, with
//! no restart. Requests and connections take what was read last, from memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::ConfigErrors;
use crate::config::yaml::Place;
use crate::web::config::{ConfigReading, WebConfig};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The settings in use.
#[derive(Clone, Default)]
pub struct Current {
    /// The last that were right.
    pub settings: Arc<WebConfig>,
    /// Whether the file is wrong now: nothing but health is answered then, since nobody knows what to protect.
    pub is_broken: bool,
}

/// The way to the settings in use.
#[derive(Clone)]
pub struct Watched(watch::Receiver<Current>);

impl Watched {
    /// No file: plain HTTP for everybody.
    pub fn nothing() -> Watched {
        Watched(watch::channel(Current::default()).1)
    }

    /// The settings in use now.
    pub(in crate::web) fn now(&self) -> Current {
        self.0.borrow().clone()
    }

    /// Waits until they are as asked for, perhaps for ever.
    pub(in crate::web) async fn wait_for(&mut self, is_so: impl FnMut(&Current) -> bool) {
        if self.0.wait_for(is_so).await.is_err() {
            // Nobody follows the file any more, or there is none.
            std::future::pending::<()>().await;
        }
    }
}

/// A web configuration file that is followed.
pub struct Followed {
    file: PathBuf,
    reading: Arc<ConfigReading>,
    publish: watch::Sender<Current>,
    /// True once it is logged that a file does not answer.
    is_told: bool,
}

impl Followed {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// All that is wrong in it.
    pub fn open(file: PathBuf) -> Result<(Followed, Watched), ConfigErrors> {
        let ConfigReading { result, contents, hangs } = ConfigReading::of(&file);
        let settings = result?;
        let (publish, watched) = watch::channel(Current { settings: Arc::clone(&settings), is_broken: false });
        let reading = Arc::new(ConfigReading { result: Ok(settings), contents, hangs });
        Ok((Followed { file, reading, publish, is_told: false }, Watched(watched)))
    }

    /// Reads it again whenever it changes, for ever.
    pub async fn follow(mut self) {
        let mut is_published = true;
        loop {
            tokio::time::sleep(LOOK).await;
            let has_changed = self.look().await;
            is_published &= !has_changed;
            // A file is emptied before it is written, and a certificate replaced before its key: what is seen is
            // believed when it is seen a second time.
            if !is_published && !has_changed {
                self.publish();
                is_published = true;
            }
        }
    }

    /// Reads the files again if one has changed; whether one has.
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

    /// What looks like an edit that went wrong: what is encrypted must not become plain by it, and what has users not
    /// open to everybody.
    fn slip(&self, fresh: &ConfigReading) -> Option<&'static str> {
        let settings = fresh.result.as_ref().ok()?;
        let before = Arc::clone(&self.publish.borrow().settings);
        if settings.is_nothing && (before.tls.is_some() || !before.users.is_empty()) {
            Some("the file is empty; restart the exporter if everybody is to be let in")
        } else if before.tls.is_some() && settings.tls.is_none() {
            Some("TLS cannot be turned off while the exporter runs; restart it if that is meant")
        } else {
            None
        }
    }

    fn publish(&self) {
        match &self.reading.result {
            Ok(settings) => {
                tracing::info!(file = self.file.display().to_string(), "the web configuration was read again");
                self.publish.send_replace(Current { settings: Arc::clone(settings), is_broken: false });
            }
            Err(errors) => {
                for error in errors.to_string().lines() {
                    tracing::error!(
                        error,
                        "the web configuration is wrong; requests are answered by 500 until it is mended"
                    );
                }
                self.publish.send_modify(|current| current.is_broken = true);
            }
        }
    }
}
