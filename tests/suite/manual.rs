//! Man pages and completions, which the packages ship: those of the tree are what the command line says. To make them
//! again: `UPDATE=1 cargo test --test suite manual`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use push_exporter::cli::{Cli, listing_what_is_read};

/// The command line without `help`, which says what the pages say.
fn program() -> clap::Command {
    let without = |command: clap::Command| command.disable_help_subcommand(true);
    listing_what_is_read(without(Cli::command()).mut_subcommands(without))
}

/// Every file, by its path in the tree.
fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(program(), &folder).unwrap();
    for page in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        files.insert(Path::new("docs/man").join(page.file_name().unwrap()), std::fs::read(page).unwrap());
    }
    for (shell, name) in
        [(Shell::Bash, "push-exporter.bash"), (Shell::Zsh, "_push-exporter"), (Shell::Fish, "push-exporter.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut program(), "push-exporter", &mut script);
        files.insert(Path::new("docs/completions").join(name), script);
    }
    files
}

#[test]
fn man_pages_and_completions_are_those_of_the_command_line() {
    let files = files();
    if std::env::var_os("UPDATE").is_some() {
        for folder in ["docs/man", "docs/completions"] {
            let _ = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder).unwrap();
        }
        files.iter().for_each(|(path, made)| std::fs::write(path, made).unwrap());
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in ["docs/man", "docs/completions"] {
        found.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    found.sort();
    assert_eq!(found, files.keys().cloned().collect::<Vec<_>>());
    for (path, made) in &files {
        let there = std::fs::read(path).unwrap();
        assert!(there == *made, "{} is not up to date: UPDATE=1 cargo test --test suite manual", path.display());
    }
}
