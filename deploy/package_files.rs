//! Files of the packages that are generated from the program: man pages, completions and the configuration.
//!
//!     cargo run --release --locked --example package-files -- target/package

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use push_exporter::commands::cli::{Cli, listing_what_is_read};
use push_exporter::commands::init::example;
use push_exporter::provider::registry::PROVIDERS;

#[cfg_attr(test, allow(dead_code))]
fn main() {
    let folder = std::env::args_os().nth(1).expect("the folder to write to is an argument");
    write(Path::new(&folder));
}

/// Writes all files into a folder; what was there is removed.
pub fn write(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    for (path, content) in files() {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The command line without the command `help`, which repeats the pages.
fn program() -> Command {
    let without = |command: Command| command.disable_help_subcommand(true);
    listing_what_is_read(without(Cli::command()).mut_subcommands(without))
}

/// A command with only what its help lists: clap_complete offers hidden flags, too.
fn listed(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).map(|flag| flag.clone().global(false));
    let name: &'static str = command.get_name().to_owned().leak();
    let about = command.get_about().cloned().unwrap_or_default();
    // Help and version are among the flags already.
    let made = Command::new(name).about(about).version(push_exporter::util::build_info::VERSION).args(flags);
    let made = made.disable_help_subcommand(true).disable_help_flag(true).disable_version_flag(true);
    made.subcommands(command.get_subcommands().map(listed))
}

/// All files, by path.
pub fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let example = example(PROVIDERS.iter().copied());
    files.insert("push-exporter.yml".into(), with_service_ledger(&example).into_bytes());
    files.insert("push-exporter.yml.example".into(), example.into_bytes());
    manual(&program(), &mut files);
    for (shell, name) in
        [(Shell::Bash, "push-exporter.bash"), (Shell::Zsh, "_push-exporter"), (Shell::Fish, "push-exporter.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut listed(&program()), "push-exporter", &mut script);
        let script = mended(shell, &String::from_utf8(script).unwrap());
        files.insert(Path::new("completions").join(name), script.into_bytes());
    }
    files
}

/// The example configuration with the ledger where the service may write.
fn with_service_ledger(example: &str) -> String {
    const LEDGER: &str = "\nledger: sqlite:push-exporter.db                #";
    assert!(example.contains(LEDGER), "the example has no line {LEDGER:?}");
    example.replace(LEDGER, "\nledger: sqlite:/var/lib/push-exporter/push-exporter.db    #")
}

/// The page of a command, and those of its commands.
fn manual(command: &Command, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let version = format!("push-exporter {}", push_exporter::util::build_info::VERSION);
    let page = clap_mangen::Man::new(command.clone()).source(version).manual("push-exporter");
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    files.insert(Path::new("man").join(page.get_filename()), text);
    command.get_subcommands().for_each(|command| manual(command, files));
}

/// Mends scripts that clap_complete gets wrong in two of the shells, for a name with a hyphen and for flags with dots.
fn mended(shell: Shell, script: &str) -> String {
    match shell {
        // It sets one name for a command and looks for the other.
        Shell::Bash => script.replace("push__subcmd__exporter", "push__exporter"),
        Shell::Fish => {
            let begins = script.find("# Print an optspec").unwrap();
            let ends = script.find("function __fish_push_exporter_using_subcommand").unwrap();
            format!("{}{}{}", &script[..begins], fish_command(), &script[ends..])
        }
        _ => script.to_owned(),
    }
}

/// The function of a fish script that finds out whether there is a command yet. fish's argparse knows no flags with dots.
fn fish_command() -> String {
    let program = program();
    let with_value = program.get_arguments().filter(|flag| flag.get_action().takes_values());
    let values: Vec<String> = with_value.filter_map(|flag| flag.get_long()).map(|flag| format!("--{flag}")).collect();
    format!(
        r#"# The command is the first word that is neither a flag nor a flag's value.
function __fish_push_exporter_needs_command
    set -l cmd (commandline -opc)
    set -e cmd[1]
    set -l values {}
    while set -q cmd[1]
        if contains -- $cmd[1] $values
            set -e cmd[1]
        else if not string match --quiet -- "-*" $cmd[1]
            echo $cmd[1]
            return 1
        end
        set -e cmd[1]
    end
    return 0
end

"#,
        values.join(" ")
    )
}
