//! The dashboards: as their source makes them, by the rules of Grafana's linter, and with something to show for each query
//! against the demo. With nine days of history behind them: `history.rs`.

use std::path::Path;
use std::time::Duration;

use crate::support::prometheus::Prometheus;
use crate::support::{Program, fast_dir, python, said, tool};

#[test]
fn making_them_again_changes_nothing() {
    let python = std::env::current_dir().unwrap().join("target/python/bin/python").display().to_string();
    let output = tool("env", &["--chdir=grafana/source", &python, "-m", "dashboards", "--check"], b"");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn they_pass_the_rules_of_grafanas_linter() {
    python(&["tests/grafana/lint.py"]);
}

#[test]
fn they_fit_the_types_of_grafana_11_12_and_13() {
    let boards = ["overview", "channel", "app", "exporter"].map(|name| format!("grafana/dashboards/push-{name}.json"));
    let arguments: Vec<&str> =
        std::iter::once("tests/browser/schema.mjs").chain(boards.iter().map(String::as_str)).collect();
    let output = tool("node", &arguments, b"");
    assert!(output.status.success(), "{}", said(&output));
}

/// Writes the rules into a folder with evaluations every ten seconds instead of every few minutes, and returns their files.
fn quick_rules(folder: &Path) -> String {
    let quick = folder.join("rules");
    std::fs::create_dir(&quick).unwrap();
    for file in std::fs::read_dir("prometheus/rules").unwrap() {
        let path = file.unwrap().path();
        let mut rules = std::fs::read_to_string(&path).unwrap();
        for minutes in [1, 2, 4] {
            rules = rules.replace(&format!("    interval: {minutes}m\n"), "    interval: 10s\n");
        }
        std::fs::write(quick.join(path.file_name().unwrap()), rules).unwrap();
    }
    quick.join("*.yml").display().to_string()
}

#[test]
fn every_query_and_rule_finds_something_in_the_demo() {
    let program = Program::start(&["demo"]);
    let folder = fast_dir();
    let job = format!("    static_configs: [{{targets: [\"{}\"]}}]\n", program.address);
    let prometheus = Prometheus::with_rules(folder.path(), &job, &quick_rules(folder.path()));
    let url = prometheus.url();
    let mut last = String::new();
    for _ in 0..50 {
        let output = tool("target/python/bin/python", &["tests/grafana/queries.py", "--prometheus", &url], b"");
        last = said(&output);
        if output.status.success() {
            break;
        }
        std::thread::sleep(Duration::from_secs(10));
    }
    assert!(last.ends_with("\n0 problems\n"), "{last}");
    eprintln!("{last}");
    // So does every query that stands beside a metric in the documents.
    python(&["tests/docs/metrics.py", "--prometheus", &url]);
    // And they can be drawn.
    let out = folder.path().display().to_string();
    let boards = ["overview", "channel", "app", "exporter"].map(|name| format!("grafana/dashboards/push-{name}.json"));
    let arguments =
        ["tests/browser/dashboards.mjs", "--strict", "--prometheus", &url, "--scrape-interval", "2s", "--out", &out];
    let arguments: Vec<&str> = arguments.into_iter().chain(boards.iter().map(String::as_str)).collect();
    let output = tool("node", &arguments, b"");
    assert!(output.status.success(), "{}", said(&output));
}
