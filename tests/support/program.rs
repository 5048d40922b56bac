//! The exporter as a program, and plain requests to it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::any_ledger::without_instance;
use crate::support::{Page, signal};

/// The exporter as a program.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    /// Holds the log.
    folder: tempfile::TempDir,
}

impl Program {
    /// The program of this build, or another one to be measured.
    pub fn binary() -> Command {
        let other = std::env::var_os("PUSH_EXPORTER_BINARY");
        Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_push-exporter").into()))
    }

    /// Starts it with these arguments on a free port, and waits until it says which; `None` if it ended
    /// before.
    pub fn try_start(args: &[&str], environment: &[(&str, &str)]) -> Option<Program> {
        let mut command = Program::binary();
        command.args(["--web.listen-address", "127.0.0.1:0"]).args(args).envs(environment.iter().copied());
        Program::try_run(command)
    }

    /// The same by a command that ends in the program, and lets it say its port.
    pub fn try_run(mut command: Command) -> Option<Program> {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let out = std::fs::File::create(folder.path().join("out")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let address = loop {
            let out = std::fs::read_to_string(folder.path().join("out")).unwrap();
            let first = out.lines().next().filter(|_| out.contains('\n'));
            if let Some(address) = first.and_then(|line| line.strip_prefix("listening on ")) {
                break address.parse().unwrap();
            }
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        };
        Some(Program { child, address, folder })
    }

    pub fn start(args: &[&str]) -> Program {
        Program::try_start(args, &[]).expect("it ended at once")
    }

    /// The log once it holds this: lines are written beside what they tell, and may come later.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "not logged: {text}\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The log as it is.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What it has written to standard output.
    pub fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    /// A whole scrape; `None` if the program died meanwhile.
    pub fn try_scrape(&self) -> Option<Page> {
        self.try_get("/metrics").map(|(_, text)| Page::parse(&without_instance(&text)))
    }

    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        try_get(self.address, path)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).expect("no answer")
    }

    /// Sends SIGTERM and returns the exit code and how long it took.
    pub fn terminate(&mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        self.tell_to_stop();
        (self.exit_code(), started.elapsed())
    }

    /// Waits for the end.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends SIGTERM.
    pub fn tell_to_stop(&self) {
        signal(&self.child, "TERM");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and reads the answer; `None` if it is not whole.
pub fn try_talk(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok())?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() == length).then(|| (status, body.to_owned()))
}

/// Asks for a path in a connection of its own; `None` if the answer is not whole.
pub fn try_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    try_talk(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
}
