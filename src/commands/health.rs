//! `push-exporter health`: a check that an exporter with the same flags is alive, for the health check of a container,
//! which has no curl.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};

use crate::commands::CommandFailure;
use crate::commands::cli::{Flags, ListenAddress};

/// Time limit of the check, below the usual timeout of container engines.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Queries `/-/healthy` at `--web.probe-address`, or at the first `--web.listen-address` if there is none.
///
/// # Errors
/// Fails if there is no answer, or an answer other than 200 (exit code 1).
pub(crate) fn run(flags: &Flags) -> Result<(), CommandFailure> {
    let url = url(flags)?;
    let client =
        Client::builder().tls_certs_only([]).timeout(TIMEOUT).no_proxy().build().context("cannot set up HTTP")?;
    super::block_on(async {
        let answer = client.get(&url).send().await.map_err(reqwest::Error::without_url);
        let status = answer.with_context(|| format!("no answer from {url}"))?.status();
        if status != StatusCode::OK {
            return Err(anyhow::anyhow!("{url} answers {status}").into());
        }
        Ok(())
    })
}

fn url(flags: &Flags) -> anyhow::Result<String> {
    if let Some(probe) = &flags.probe_address {
        return Ok(format!("http://{}/-/healthy", reachable(probe)));
    }
    if flags.systemd_socket || flags.web_config_file.is_some() {
        // The port is unknown here, or the listener may require TLS and a certificate.
        bail!(
            "cannot query an exporter with --web.config.file or --web.systemd-socket; give both a --web.probe-address"
        );
    }
    let address = flags.listen_addresses.first().context("there is no --web.listen-address")?;
    Ok(format!("http://{}{}/-/healthy", reachable(address), super::web_options(flags).route_prefix))
}

/// Returns the host and port by which a listener on this address is reached from this machine.
fn reachable(address: &ListenAddress) -> String {
    match address {
        ListenAddress::AnyAddress(port) => format!("localhost:{port}"),
        ListenAddress::Socket(socket) if socket.ip().is_unspecified() => format!("localhost:{}", socket.port()),
        ListenAddress::Socket(socket) => socket.to_string(),
        ListenAddress::Host(host) => host.clone(),
    }
}
