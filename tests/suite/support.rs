//! What the tests share: the exporter in a runtime, the exporter as a program, scrapes and pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use push_exporter::exporter::reload::Reload;
use push_exporter::exporter::{Parts, RunError};
use push_exporter::ledger::Store;
use push_exporter::ledger::sqlite::Sqlite;
use push_exporter::poll::manager::Changes;
use push_exporter::provider::Providers;
use push_exporter::provider::config;
use push_exporter::provider::error::TransportError;
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::provider::transport::{Reply, Reqwest, Transport, Way};
use push_exporter::simulator::{self, Simulator};
use push_exporter::util::clock::Clock;
use push_exporter::util::future::BoxFuture;
use push_exporter::web::config::watch::WatchedConfig;
use push_exporter::web::lifecycle::{ReloadError, Reloader};
use push_exporter::web::{ListenerRole, Options, Setup};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A folder in memory where there is one: a simulated month makes thousands of synced commits.
pub fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A simulator on a port of its own.
pub async fn simulate<S: Simulator>(simulator: S) -> (Arc<S>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = Arc::new(simulator);
    tokio::spawn(simulator::serve(listener, Arc::clone(&simulator)));
    (simulator, address)
}

/// The real way to the providers.
pub fn network() -> Arc<dyn Transport> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Arc::new(Network(Reqwest::new(Way::Direct, &[]).unwrap()))
}

struct Network(Reqwest);

impl Transport for Network {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async {
            let _still = stand_still();
            self.0.send(request).await
        })
    }
}

/// Keeps simulated time from moving on by itself while real bytes travel, until it is dropped: time that jumps to the
/// next timer whenever everything waits would run out on a busy machine. An answer that is held back on purpose gets a
/// tenth of a second.
fn stand_still() -> std::sync::mpsc::Sender<()> {
    let (answered, answer) = std::sync::mpsc::channel();
    // tokio's paused clock stands still while anything blocks.
    tokio::task::spawn_blocking(move || answer.recv_timeout(Duration::from_millis(100)));
    answered
}

/// The exporter inside this runtime.
pub struct Exporter {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    /// The configuration that a reload reads.
    text: Arc<Mutex<String>>,
    reloader: Reloader,
}

impl Exporter {
    pub async fn start(text: &str, folder: &Path, clock: &Clock) -> Exporter {
        Exporter::start_through(network(), text, folder, clock).await
    }

    /// With a way to the providers of the test's own.
    pub async fn start_through(transport: Arc<dyn Transport>, text: &str, folder: &Path, clock: &Clock) -> Exporter {
        let store = Sqlite::open(&folder.join("push-exporter.db")).unwrap();
        Exporter::start_on(Box::new(store), transport, text, folder, clock).await
    }

    /// With providers of the test's own.
    pub async fn start_of(providers: Providers, text: &str, folder: &Path, clock: &Clock) -> Exporter {
        let store = Sqlite::open(&folder.join("push-exporter.db")).unwrap();
        Exporter::start_whole(providers, Box::new(store), network(), text, folder, clock).await
    }

    /// With a ledger of the test's own too.
    pub async fn start_on(
        store: Box<dyn Store>,
        transport: Arc<dyn Transport>,
        text: &str,
        folder: &Path,
        clock: &Clock,
    ) -> Exporter {
        Exporter::start_whole(PROVIDERS, store, transport, text, folder, clock).await
    }

    async fn start_whole(
        providers: Providers,
        store: Box<dyn Store>,
        transport: Arc<dyn Transport>,
        text: &str,
        folder: &Path,
        clock: &Clock,
    ) -> Exporter {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let text = Arc::new(Mutex::new(text.to_owned()));
        let read = {
            let (text, folder) = (Arc::clone(&text), folder.to_owned());
            move || config::parse("test.yml", &text.lock().unwrap(), &folder, &Default::default(), providers)
        };
        let config = read().unwrap_or_else(|errors| panic!("{errors}"));
        let connect = {
            let transport = Arc::clone(&transport);
            move |_: &config::Config| Ok(Arc::clone(&transport))
        };
        let reload = Reload::new(read, connect);
        let reloader = reload.reloader();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let parts = Parts {
            providers,
            clock: clock.clone(),
            web: Setup {
                listeners: vec![(listener, ListenerRole::Main)],
                options: Options { lifecycle: true, ..Options::default() },
                settings: WatchedConfig::nothing(),
            },
            transport,
            store,
            reload,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(push_exporter::exporter::run(config, parts, stop.clone()));
        Exporter { address, stop, task, text, reloader }
    }

    /// Reads another configuration in the place of the one it has.
    pub async fn reload(&self, text: &str) -> Result<Changes, ReloadError> {
        text.clone_into(&mut self.text.lock().unwrap());
        self.reloader.reload().await
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.address, path).await
    }

    pub async fn get_as(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        get_as(self.address, path, headers).await
    }

    pub async fn scrape(&self) -> Page {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        Page::parse(&text)
    }
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_as(address, path, &[]).await
}

/// Gets a path with these headers.
pub async fn get_as(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let _still = stand_still();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{address}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Posts a body; status and answer.
pub async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let _still = stand_still();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{address}{path}")).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A parsed exposition: series as written (`name{labels}`) to value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(pub BTreeMap<String, f64>);

impl Page {
    pub fn parse(text: &str) -> Page {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let earlier = series.insert(name.to_owned(), value.parse().unwrap());
            assert!(earlier.is_none(), "a duplicate series: {name}");
        }
        Page(series)
    }

    pub fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The series of which the name starts so, as whole numbers.
    pub fn starting(&self, prefixes: &[&str]) -> BTreeMap<String, i64> {
        self.0
            .iter()
            .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(|(name, value)| (name.clone(), *value as i64))
            .collect()
    }

    /// Asserts that no counter is lower than it was, and none is missing.
    #[track_caller]
    pub fn assert_not_below(&self, before: &BTreeMap<String, i64>, when: &str) {
        let now = self.counters();
        for (series, before) in before {
            let after = now.get(series);
            assert!(after.is_some_and(|after| after >= before), "{when}: {series} was {before} and is {after:?}");
        }
    }

    /// All delivery counters.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        self.starting(&["push_messages_"])
    }
}

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
        self.try_get("/metrics").map(|(_, text)| Page::parse(&text))
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
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
    }
}

/// JPush's `details` of a message with ten channels, each with these numbers.
pub fn ten_channels(leaf: &str) -> String {
    let channels = ["jg_android", "huawei", "xiaomi", "oppo", "vivo", "honor", "meizu", "fcm"];
    let android = channels.map(|channel| format!(r#""{channel}":{leaf}"#)).join(",");
    format!(
        r#"{{"notification":{{"target":10000,"sub_android":{{{android}}},"sub_ios":{{"apns":{leaf}}},"sub_hmos":{{"hmpns":{leaf}}}}}}}"#
    )
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

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user for a web configuration, with the password "secret".
pub const USERS: &str = "basic_auth_users: {alice: $2b$04$kx17C6e32qgTFAP1WpiS8ukR1QFUe4YR79QS4hx3zuWblJUXDpNBC}\n";

/// Makes certificates and keys of every kind in a folder.
pub fn certificates(folder: &Path) {
    let made = Command::new("sh").arg("tests/web/certs.sh").arg(folder).status().unwrap();
    assert!(made.success(), "certificates cannot be made");
}

/// Asks for a path in a connection of its own; `None` if the answer is not whole.
pub fn try_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    try_talk(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
}

/// Ends a process with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
