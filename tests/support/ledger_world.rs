//! An exporter as a program on a ledger that a test damages, in front of an Easemob whose numbers grow every second.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;
use tokio::runtime::Runtime;

use crate::support::{Page, Program, eventually, fast_dir, simulate};

/// An Easemob whose numbers grow every second, and an exporter's configuration.
pub struct World {
    _runtime: Runtime,
    _easemob: Arc<EasemobSimulator>,
    pub folder: tempfile::TempDir,
    pub text: String,
}

pub const REPORT: &str = r#"provider="easemob",app="chat",report="offline_push""#;

impl World {
    pub fn new() -> World {
        let runtime = Runtime::new().unwrap();
        let app = EasemobApp { step: 1, history: 0, per_day: 1_000_000.0, ..EasemobApp::demo("acme", "chat") };
        let (easemob, address) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
        let text = format!(
            "new_series_hold: 0s\neasemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret, interval: 1s}}\n"
        );
        let world = World { _runtime: runtime, _easemob: easemob, folder: fast_dir(), text };
        std::fs::write(world.config(), &world.text).unwrap();
        world
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("push-exporter.yml")
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("push-exporter.db")
    }

    pub fn start(&self) -> Program {
        Program::start(&["--config.file", self.config().to_str().unwrap()])
    }

    /// Lets an exporter count for a while, and stops it. Returns what it showed last.
    pub fn count(&self) -> Page {
        let mut program = self.start();
        program.logged("created a new ledger; counters start from a baseline");
        let page = counting(&program, &BTreeMap::new());
        assert_eq!(program.terminate().0, Some(0));
        page
    }

    /// Starts an exporter that is to end by itself with exit code 1, and returns what it said.
    pub fn refused(&self) -> String {
        let mut command = Program::binary();
        command.args(["--web.listen-address", "127.0.0.1:0", "--log.level", "error", "--config.file"]);
        refused(command.arg(self.config()))
    }
}

/// Runs a program that is to end with exit code 1 by itself.
#[track_caller]
pub fn refused(command: &mut Command) -> String {
    let output = tool_with_deadline(command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// A program that goes on must not hold up the test.
fn tool_with_deadline(command: &mut Command) -> std::process::Output {
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    Command::new("timeout").arg("20").arg(program).args(args).output().unwrap()
}

/// Waits until counters have grown beyond these.
pub fn counting(program: &Program, before: &BTreeMap<String, i64>) -> Page {
    eventually("counters that grow", 60, || {
        let page = program.try_scrape()?;
        let sum = |counters: &BTreeMap<String, i64>| counters.values().sum::<i64>();
        (sum(&page.counters()) > sum(before)).then_some(page)
    })
}

/// Waits until the ledger is said to be down, and sees that the page stays as it is.
pub fn assert_is_down(program: &Program) -> Page {
    let down = eventually("the ledger to be down", 60, || {
        let page = program.try_scrape()?;
        let is_failing = page.get(&format!(r#"push_poll_failing{{{REPORT},reason="ledger"}}"#)) == Some(1.0);
        (page.get("push_exporter_ledger_up") == Some(0.0) && is_failing).then_some(page)
    });
    assert_eq!(down.get(&format!("push_up{{{REPORT}}}")), Some(0.0));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let still = program.try_scrape().expect("scrapes are answered");
    assert_eq!(still.counters(), down.counters(), "the last page stays");
    let requests = |page: &Page| page.starting(&["push_api_requests_total"]).values().sum::<i64>();
    assert!(requests(&still) <= requests(&down) + 1, "polling pauses");
    down
}

/// Waits until it works again, and counts on.
pub fn assert_recovers(program: &Program, down: &Page) -> Page {
    let page = eventually("the ledger to be up", 60, || {
        let page = program.try_scrape()?;
        let is_up = page.get("push_exporter_ledger_up") == Some(1.0);
        (is_up && page.get(&format!("push_up{{{REPORT}}}")) == Some(1.0)).then_some(page)
    });
    page.assert_not_below(&down.counters(), "after the trouble");
    let page = counting(program, &down.counters());
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    let log = program.logged("the ledger can be written again");
    for (text, times) in [("the ledger cannot be written", 1), ("the ledger can be written again", 1)] {
        assert_eq!(log.matches(text).count(), times, "{text}\n{log}");
    }
    page
}
