//! Man pages and completions, which are generated when packages are built: every command has a page, and bash completes
//! commands and flags.

use std::path::Path;

use crate::package_files;
use crate::support::{said, tool};

/// Returns bash's completions of the last of these words, with the scripts in `folder`.
fn offered(folder: &Path, words: &[&str]) -> String {
    let script = format!(
        "source {}/completions/push-exporter.bash; COMP_WORDS=({}); COMP_CWORD={}; \
         _push__exporter push-exporter '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
        folder.display(),
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = tool("bash", &["-uc", &script], b"");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn bash_completes_commands_and_their_flags() {
    let folder = tempfile::tempdir().unwrap();
    package_files::write(folder.path());
    let offered = |words: &[&str]| offered(folder.path(), words);
    assert_eq!(offered(&["push-exporter", "che"]), "check");
    assert_eq!(offered(&["push-exporter", "check", "--off"]), "--offline");
    assert_eq!(offered(&["push-exporter", "messages", "add", "--tok"]), "--token-file");
    assert_eq!(offered(&["push-exporter", "--log.format", ""]), "logfmt json");
    assert_eq!(offered(&["push-exporter", "messages", "add", "--web"]), "");
}

#[test]
fn every_command_has_a_page_and_three_shells_are_completed() {
    let folder = tempfile::tempdir().unwrap();
    package_files::write(folder.path());
    let files: Vec<String> = package_files::files().keys().map(|path| path.to_str().unwrap().to_owned()).collect();
    let expected = [
        "completions/_push-exporter",
        "completions/push-exporter.bash",
        "completions/push-exporter.fish",
        "man/push-exporter-backfill.1",
        "man/push-exporter-backup.1",
        "man/push-exporter-check.1",
        "man/push-exporter-demo.1",
        "man/push-exporter-health.1",
        "man/push-exporter-init.1",
        "man/push-exporter-ledger-copy.1",
        "man/push-exporter-ledger.1",
        "man/push-exporter-messages-add.1",
        "man/push-exporter-messages.1",
        "man/push-exporter-serve.1",
        "man/push-exporter.1",
        "push-exporter.yml",
        "push-exporter.yml.example",
    ];
    assert_eq!(files, expected);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    // A flag that a command reads is in its page, another is not.
    let check = read("man/push-exporter-check.1");
    assert!(check.contains(r"\-\-offline") && !check.contains(r"\-\-web.telemetry\-path"), "{check}");
    assert!(read("push-exporter.yml").contains("\nledger: sqlite:/var/lib/push-exporter/push-exporter.db "));
}
