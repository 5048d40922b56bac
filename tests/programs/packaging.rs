//! What operators install: chart, units, release files, and the documents that go with them. Images and packages are
//! built by tests/long.sh.

use crate::package_files;
use crate::support::python;

const PROGRAM: &str = env!("CARGO_BIN_EXE_push-exporter");

#[test]
fn the_chart_is_rendered_and_its_pods_start() {
    python(&["tests/helm/check.py"]);
}

#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().unwrap();
    package_files::write(folder.path());
    python(&["tests/package/units.py", "--package-files", folder.path().to_str().unwrap()]);
}

#[test]
fn release_files_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    package_files::write(folder.path());
    python(&["tests/release/check.py", "--binary", PROGRAM, "--package-files", folder.path().to_str().unwrap()]);
}

#[test]
fn documents_say_what_is_there() {
    python(&["tests/docs/check.py"]);
}

#[test]
fn what_operators_are_told_to_do_works() {
    python(&["tests/docs/operations.py", "--exporter", PROGRAM]);
}
