//! Other programs, files and waiting.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends a process with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal, such as `HUP`, by the shell, since `kill` is not everywhere a program.
pub fn signal(process: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", process.id())]).status().unwrap();
    assert!(status.success(), "cannot send {name}");
}

/// Looks again and again in real time until something is there.
pub fn eventually<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs statements on a database; returns the values of the first row, if there is one, as text.
pub fn sqlite(file: &Path, sql: &str) -> Vec<String> {
    use rusqlite::fallible_iterator::FallibleIterator;
    let database = rusqlite::Connection::open(file).unwrap();
    let mut first = Vec::new();
    let mut batch = rusqlite::Batch::new(&database, sql);
    while let Some(mut statement) = batch.next().unwrap() {
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            if first.is_empty() {
                let text = |column| match row.get::<_, rusqlite::types::Value>(column).unwrap() {
                    rusqlite::types::Value::Null => String::new(),
                    rusqlite::types::Value::Integer(value) => value.to_string(),
                    rusqlite::types::Value::Real(value) => value.to_string(),
                    rusqlite::types::Value::Text(value) => value,
                    rusqlite::types::Value::Blob(value) => format!("{value:?}"),
                };
                first = (0..columns).map(text).collect();
            }
        }
    }
    first
}

/// Runs a program of another package and returns its output. A missing program is a failure: `tests/run.sh`
/// installs it.
pub fn tool(name: &str, args: &[&str], input: &[u8]) -> std::process::Output {
    use std::io::Write;
    let mut child = Command::new(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be run ({error}); tests/run.sh installs what the tests need"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// What a Python program of the tests says; fails if it does.
pub fn python(arguments: &[&str]) -> String {
    let output = tool("target/python/bin/python", arguments, b"");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// What a program has written, errors last.
pub fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A user for a web configuration, with the password "secret".
pub const USERS: &str = "basic_auth_users: {alice: $2b$04$kx17C6e32qgTFAP1WpiS8ukR1QFUe4YR79QS4hx3zuWblJUXDpNBC}\n";

/// Makes certificates and keys of every kind in a folder.
pub fn certificates(folder: &Path) {
    let made = Command::new("sh").arg("tests/web/certs.sh").arg(folder).status().unwrap();
    assert!(made.success(), "certificates cannot be made");
}
