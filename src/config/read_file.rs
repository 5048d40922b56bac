//! Readers of the files that a configuration names, on separate threads from those that serve and poll: a file system
//! that does not answer (unreachable NFS or FUSE) delays the caller by one time limit per folder at most.

#![expect(clippy::disallowed_methods, reason = "these calls run on a reader thread of this file")]

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

/// Maximum file size, larger than any configuration, certificate bundle or secret.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Time limit for one operation on a file.
const LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of unresponsive folders, each of which blocks a thread; above it no file is read.
const MAX_STUCK: usize = 16;

/// Returns the contents of a regular file.
///
/// # Errors
/// Fails for a file that is missing, unreadable, not regular (a pipe may never end), longer than 8 MiB, or on a file
/// system that does not answer within five seconds ([`io::ErrorKind::TimedOut`]).
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let name = path.to_owned();
    within(path, move || {
        // With this flag, opening a pipe without a writer returns at once; it has no other effect here.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(name)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        read_limited(file)
    })
}

/// Returns the contents of a regular text file.
///
/// # Errors
/// Fails as [`read`] does, or if the text is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// Returns the text of a file of any type, since a configuration may come through a pipe.
///
/// # Errors
/// Fails as [`read_text`] does, except that pipes and devices are accepted.
pub(crate) fn read_stream(path: &Path) -> io::Result<String> {
    let name = path.to_owned();
    text(within(path, move || read_limited(File::open(name)?))?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

fn read_limited(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is longer than 8 MiB"));
    }
    Ok(bytes)
}

type ReadJob = Box<dyn FnOnce() + Send>;

/// Threads that wait for work, and folders in which a thread is blocked.
struct Readers {
    idle: Vec<Sender<ReadJob>>,
    stuck: Option<HashSet<PathBuf>>,
}

static READERS: Mutex<Readers> = Mutex::new(Readers { idle: Vec::new(), stuck: None });

/// Runs an operation on a file on a separate thread. Blocks the caller for at most the time limit.
///
/// # Errors
/// Returns the error of the operation, or [`io::ErrorKind::TimedOut`]. After a timeout the thread is abandoned until
/// its system call returns, and until then all operations in its folder fail at once.
pub(crate) fn within<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = path.parent().unwrap_or(path).to_owned();
    let silent =
        || io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer; check that it is mounted");
    let reader = {
        let mut readers = READERS.lock();
        let stuck = readers.stuck.get_or_insert_default();
        if stuck.contains(&folder) || stuck.len() >= MAX_STUCK {
            return Err(silent());
        }
        readers.idle.pop().map_or_else(start_reader, Ok)?
    };
    let (done, result) = std::sync::mpsc::sync_channel(1);
    let done_in = folder.clone();
    let work = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let mut readers = READERS.lock();
        if done.send(outcome).is_err()
            && let Some(stuck) = &mut readers.stuck
        {
            stuck.remove(&done_in);
        }
    });
    reader.send(work).map_err(|_| io::Error::other("the file reader thread has ended"))?;
    let outcome = result.recv_timeout(LIMIT);
    let mut readers = READERS.lock();
    let Some(outcome) = outcome.ok().or_else(|| result.try_recv().ok()) else {
        readers.stuck.get_or_insert_default().insert(folder);
        // Dropped under the lock, so that the operation sees on its return that nobody waits for it.
        drop(result);
        return Err(silent());
    };
    readers.idle.push(reader);
    drop(readers);
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

fn start_reader() -> io::Result<Sender<ReadJob>> {
    let (sender, works) = channel::<ReadJob>();
    let read = move || works.into_iter().for_each(|work| work());
    std::thread::Builder::new().name("file-reader".to_owned()).spawn(read)?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_never_ends_is_refused() {
        assert!(read_stream(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than 8 MiB"));
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().to_string(), "not a regular file");
        assert!(read_text(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let began = Instant::now();
        assert_eq!(read(&pipe).unwrap_err().to_string(), "not a regular file");
        assert!(began.elapsed() < LIMIT);
    }

    #[test]
    fn a_panic_is_the_callers() {
        let path = Path::new("/nowhere/file");
        let panicked = catch_unwind(|| within::<()>(path, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert!(within(path, || Ok(())).is_ok());
    }

    #[test]
    fn a_folder_that_does_not_answer_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "s").unwrap();
        let (release, hangs) = channel::<()>();
        let first = within(&path, move || Ok(hangs.recv().is_ok()));
        assert_eq!(first.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert!(began.elapsed() < LIMIT, "later reads do not wait");
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read(elsewhere.path()).unwrap(), b"", "other folders can still be read");
        drop(release);
        let deadline = Instant::now() + LIMIT;
        while read(&path).is_err() {
            assert!(Instant::now() < deadline, "the folder is read again once it answers");
            std::thread::yield_now();
        }
        assert_eq!(read(&path).unwrap(), b"s");
    }
}
