//! Reloads the configuration when its file changes, for `--config.watch`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::read_file;
use crate::web::lifecycle::Reloader;

/// Interval between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);

/// Reloads when the file has other contents than before. Never returns. The reload logs its own result; a file that is missing
/// or does not answer changes nothing.
pub(super) async fn reload_on_change(file: PathBuf, reloader: Reloader) {
    let mut used = look(&file).await.ok();
    let mut seen = used.clone();
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(contents) = look(&file).await else { continue };
        let is_whole = seen.as_ref() == Some(&contents);
        // A file is emptied before it is written: a change counts once the file has stayed the same for a look.
        if is_whole && used.as_ref() != Some(&contents) {
            tracing::info!(file = file.display().to_string(), "the configuration has changed; reloading it");
            let _ = reloader.reload().await;
            used = Some(contents.clone());
        }
        seen = Some(contents);
    }
}

async fn look(file: &std::path::Path) -> io::Result<Vec<u8>> {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || read_file::read(&file)).await.map_err(io::Error::other)?
}
