//! What Prometheus, Alertmanager and Compose are given: rules that promtool takes and whose own tests pass, an alert with
//! tests and a runbook each, files that agree with each other.

use crate::support::{python, said, tool};

fn promtool(arguments: &[&str], folder: &str) {
    let files = files_of(folder);
    let arguments: Vec<&str> = arguments.iter().copied().chain(files.iter().map(String::as_str)).collect();
    let output = tool("promtool", &arguments, b"");
    assert!(output.status.success(), "{}", said(&output));
}

/// The YAML files of a folder.
fn files_of(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yml"));
    let mut files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {folder}");
    files
}

#[test]
fn promtool_takes_them() {
    promtool(&["check", "rules"], "prometheus/rules");
}

#[test]
fn the_mixin_makes_them_and_settings_change_them() {
    python(&["tests/rules/mixin.py"]);
}

#[test]
fn their_own_tests_pass() {
    promtool(&["test", "rules"], "prometheus/tests");
}

#[test]
fn every_alert_has_tests_links_and_a_runbook() {
    python(&["prometheus/tests/every_alert.py"]);
}

#[test]
fn the_files_of_the_compose_setup_agree() {
    python(&["tests/deploy/check.py"]);
}
