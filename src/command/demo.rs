//! `push-exporter demo`: the exporter against the built-in simulators, with nothing to configure.

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::cli::Flags;
use crate::clock::Clock;
use crate::config;
use crate::simulator::Simulator;
use crate::simulator::easemob::{EasemobApp, EasemobSimulator};
use crate::simulator::feishu::{FeishuApp, FeishuSimulator, Publishing};

/// Starts the simulators on ports of their own, and the exporter with a ledger in a temporary folder.
///
/// # Errors
/// `--config.file` (exit code 2), or an address that cannot be used (1).
pub fn run(flags: &Flags) -> Result<(), Failure> {
    if flags.config_file.is_some() {
        return Err(Failure::Usage(
            "the demo has nothing to configure; leave --config.file away, or use the command serve".to_owned(),
        ));
    }
    let folder =
        tempfile::Builder::new().prefix("push-exporter-demo-").tempdir().context("cannot make a temporary folder")?;
    let stop = CancellationToken::new();
    super::block_on(async {
        super::stop_on_signals(stop.clone())?;
        let clock = Clock::system();
        let easemob = EasemobApp::demo("acme", "chat");
        let feishu = FeishuApp { publishing: Publishing::PieceByPiece, ..FeishuApp::demo("cli_demo0000000001") };
        let text = format!(
            "ledger: sqlite:demo.db\nnew_series_hold: 5s\n\
             easemob:\n  - {{app: chat, base_url: \"http://{}\", org_name: acme, app_name: chat, client_id: {}, client_secret: {}, interval: 2s}}\n\
             feishu:\n  - {{app: office-bot, base_url: \"http://{}\", app_id: {}, app_secret: {}, departments: [{}], interval: 15s}}\n",
            start(EasemobSimulator::new(clock.clone(), easemob.clone())).await?,
            easemob.client_id,
            easemob.client_secret,
            start(FeishuSimulator::new(clock.clone(), feishu.clone())).await?,
            feishu.app_id,
            feishu.app_secret,
            feishu.departments.join(", "),
        );
        let config =
            config::parse("demo", &text, folder.path(), &Default::default()).context("the demo's own configuration")?;
        tracing::info!("this is a demo: the providers are simulated, the numbers are invented, nothing is kept");
        super::serve::serve(config, flags, clock, stop).await
    })?;
    Ok(())
}

/// Serves a simulator on a free port of this machine and returns its address.
async fn start(simulator: impl Simulator) -> anyhow::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for a simulator")?;
    let address = listener.local_addr().context("cannot listen for a simulator")?;
    tokio::spawn(crate::simulator::serve(listener, std::sync::Arc::new(simulator)));
    Ok(address)
}
