//! Writes log lines to standard error on a separate thread, so that logging never waits for the reader. Lines are
//! dropped and counted while the queue is full.

#![expect(clippy::disallowed_methods, reason = "this thread exists to write to the terminal")]

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Maximum number of waiting lines.
const MAX_LINES: usize = 8192;
/// Maximum number of waiting bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Number of lines dropped by this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of log lines dropped since the process started.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum LogMessage {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// A queue of log lines in front of a writer that may block.
#[derive(Clone)]
pub struct LogWriter {
    queue: SyncSender<LogMessage>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl LogWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (queue, lines) = sync_channel(MAX_LINES);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&waiting_bytes);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(output, &lines, &waiting))?;
        Ok(LogWriter { queue, waiting_bytes })
    }

    /// Waits until all previous lines are written, for at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(LogMessage::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(limit);
        }
    }

    fn push(&self, line: &[u8]) {
        let waiting = self.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed);
        let fits = waiting.saturating_add(line.len()) <= MAX_BYTES;
        if !fits || self.queue.try_send(LogMessage::Line(line.to_vec())).is_err() {
            self.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(mut output: impl Write, lines: &Receiver<LogMessage>, waiting: &AtomicUsize) {
    for message in lines {
        match message {
            LogMessage::Line(line) => {
                if output.write_all(&line).and_then(|()| output.flush()).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            LogMessage::Flush(done) => drop(done.send(())),
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

/// Writes a last text to standard error, waiting for at most `limit` until it is read.
pub fn say_last(text: String, limit: Duration) {
    let (done, is_done) = sync_channel(1);
    let write = move || {
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = is_done.recv_timeout(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::mpsc;
    use std::sync::mpsc::channel;

    /// An output that blocks until it is released.
    struct Blocked(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (release, blocked) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut log = LogWriter::start(Blocked(blocked, Arc::clone(&written))).unwrap();
        let before = dropped_lines();
        let line = vec![b'x'; 1000];
        for _ in 0..MAX_LINES {
            log.write_all(&line).unwrap();
        }
        let dropped = dropped_lines() - before;
        // 1 MiB holds 1048 lines of a thousand bytes, including the one that is being written.
        assert!((7144..=7145).contains(&dropped), "{dropped}");
        drop(release);
        log.flush(Duration::from_secs(60));
        assert_eq!(written.lock().len(), (MAX_LINES - dropped as usize) * 1000);
        log.write_all(b"again").unwrap();
        log.flush(Duration::from_secs(60));
        assert!(written.lock().ends_with(b"again"));
    }
}
