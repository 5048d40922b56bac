//! The exporter inside the runtime of a test, with a clock that the test moves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use push_exporter::exporter::reload::Reload;
use push_exporter::exporter::{Parts, RunError};
use push_exporter::ledger::Store;
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

use crate::support::{Page, open_store};

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
        Exporter::start_on(open_store(folder), transport, text, folder, clock).await
    }

    /// With providers of the test's own.
    pub async fn start_of(providers: Providers, text: &str, folder: &Path, clock: &Clock) -> Exporter {
        Exporter::start_whole(providers, open_store(folder), network(), text, folder, clock).await
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

    /// Replaces the configuration and reloads it.
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
