//! The log of an exporter inside the runtime of a test.

use std::sync::Arc;

/// What the exporter inside this thread's runtime logs.
pub struct Log {
    lines: Arc<std::sync::Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    /// From now on, until dropped.
    pub fn capture() -> Log {
        let lines: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
        let writer = {
            let lines = Arc::clone(&lines);
            move || Sink(Arc::clone(&lines))
        };
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter("push_exporter=info")
            .with_writer(writer)
            .finish();
        Log { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Takes all lines so far and returns those with this text.
    pub fn take_lines(&self, text: &str) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
