//! Man pages and completions, which the packages ship: those of the tree are what the command line says. To make them
//! again: `UPDATE=1 cargo test --test suite manual`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use push_exporter::commands::cli::{Cli, listing_what_is_read};

use crate::support::{said, tool};

/// The command line without `help`, which says what the pages say.
fn program() -> Command {
    let without = |command: Command| command.disable_help_subcommand(true);
    listing_what_is_read(without(Cli::command()).mut_subcommands(without))
}

/// A command with nothing but what its help lists: clap_complete offers what is hidden, too.
fn listed(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).map(|flag| flag.clone().global(false));
    let name: &'static str = command.get_name().to_owned().leak();
    let about = command.get_about().cloned().unwrap_or_default();
    // Help and version are among the flags already.
    let made = Command::new(name).about(about).version(push_exporter::util::build_info::VERSION).args(flags);
    let made = made.disable_help_subcommand(true).disable_help_flag(true).disable_version_flag(true);
    made.subcommands(command.get_subcommands().map(listed))
}

/// Every file, by its path in the tree.
fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    manual(&program(), &mut files);
    for (shell, name) in
        [(Shell::Bash, "push-exporter.bash"), (Shell::Zsh, "_push-exporter"), (Shell::Fish, "push-exporter.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut listed(&program()), "push-exporter", &mut script);
        let script = mended(shell, &String::from_utf8(script).unwrap());
        files.insert(Path::new("docs/completions").join(name), script.into_bytes());
    }
    files
}

/// The page of a command, and those of its commands.
fn manual(command: &Command, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let version = format!("push-exporter {}", push_exporter::util::build_info::VERSION);
    let page = clap_mangen::Man::new(command.clone()).source(version).manual("push-exporter");
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    files.insert(Path::new("docs/man").join(page.get_filename()), text);
    command.get_subcommands().for_each(|command| manual(command, files));
}

/// What clap_complete makes of a name with a hyphen and of flags with dots does not work in two of the shells.
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

/// The function by which a fish script tells whether there is a command yet. argparse of fish knows no flags with dots.
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

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> String {
    let script = format!(
        "source docs/completions/push-exporter.bash; COMP_WORDS=({}); COMP_CWORD={}; \
         _push__exporter push-exporter '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
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
    assert_eq!(offered(&["push-exporter", "che"]), "check");
    assert_eq!(offered(&["push-exporter", "check", "--off"]), "--offline");
    assert_eq!(offered(&["push-exporter", "messages", "add", "--tok"]), "--token-file");
    assert_eq!(offered(&["push-exporter", "--log.format", ""]), "logfmt json");
    assert_eq!(offered(&["push-exporter", "messages", "add", "--web"]), "");
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
