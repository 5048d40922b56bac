//! The web configuration: a table of cases for each key (`tests/web/config`), and what `promtool check web-config` says of
//! each case.
//!
//! A table holds whole files, each after a line `=== name`. The first lines of a case state its result: `# error:` with a
//! part of the error, or nothing if it is valid; `# ours:` where exporter-toolkit decides otherwise, and why;
//! `# promtool: unknown` where Debian's promtool does not know a key yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use push_exporter::web::config::ConfigReading;

use crate::support::{certificates, tool};

struct Case {
    name: String,
    file: PathBuf,
    error: Option<String>,
    is_ours: bool,
    is_unknown_to_promtool: bool,
}

/// Writes all cases into a folder, with the certificates that they name.
fn cases(folder: &Path) -> Vec<Case> {
    certificates(folder);
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir("tests/web/config").unwrap() {
        let table = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut text = &mut String::new();
        for line in table.split_inclusive('\n') {
            match line.strip_prefix("=== ") {
                Some(name) => text = texts.entry(name.trim_end().to_owned()).or_default(),
                None => text.push_str(line),
            }
        }
    }
    assert_eq!(texts.len(), 427);
    texts.into_iter().map(|(name, text)| case(name, &text, folder)).collect()
}

fn case(name: String, text: &str, folder: &Path) -> Case {
    let says = |key: &str| {
        let found = text.lines().take_while(|line| line.starts_with('#')).find_map(|line| line.strip_prefix(key));
        found.map(|rest| rest.trim().to_owned())
    };
    let file = folder.join(format!("{name}.yml"));
    std::fs::write(&file, expand(text, folder)).unwrap();
    Case {
        error: says("# error:"),
        is_ours: says("# ours:").is_some(),
        is_unknown_to_promtool: says("# promtool:").is_some(),
        name,
        file,
    }
}

/// A line of only `@@NAME@@` becomes that file, indented like the line; `@@DIR@@` the folder.
fn expand(text: &str, folder: &Path) -> String {
    let line = |line: &str| {
        let name = line.trim().strip_prefix("@@").and_then(|rest| rest.strip_suffix("@@"));
        match name.filter(|name| *name != "DIR") {
            Some(name) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                let pem = std::fs::read_to_string(folder.join(name)).unwrap();
                pem.lines().map(|line| format!("{indent}{line}\n")).collect()
            }
            None => line.replace("@@DIR@@", folder.to_str().unwrap()),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

#[test]
fn every_file_is_read_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in cases(folder.path()) {
        let said = ConfigReading::of(&case.file).result.err().map(|errors| errors.to_string());
        let is_right = match (&case.error, &said) {
            (None, None) => true,
            (Some(expected), Some(said)) => said.to_lowercase().contains(&expected.to_lowercase()),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{}: expected {:?}, got {said:?}", case.name, case.error));
        }
        let said = said.unwrap_or_default();
        let text = std::fs::read(&case.file).unwrap();
        let text = String::from_utf8_lossy(&text);
        let mut secrets = text.split_whitespace().filter(|word| word.len() > 20 && !word.contains('/'));
        let told = secrets.find(|secret| said.contains(secret.trim_matches(['"', '\''])));
        assert!(told.is_none() || !case.name.starts_with("users"), "{}: a secret is told: {said}", case.name);
        assert!(!said.contains("PRIVATE KEY-"), "{}: a key is told: {said}", case.name);
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn promtool_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases(folder.path());
    let known: Vec<&Case> = cases.iter().filter(|case| !case.is_ours && !case.is_unknown_to_promtool).collect();
    assert!(known.len() > 300, "{} files", known.len());
    let files = known.iter().map(|case| case.file.to_str().unwrap());
    let args: Vec<&str> = ["check", "web-config"].into_iter().chain(files).collect();
    let output = tool("promtool", &args, b"");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let verdicts: BTreeMap<&str, bool> = said
        .lines()
        .filter_map(|line| {
            let (file, verdict) = line.rsplit_once(' ').filter(|(_, verdict)| *verdict == "SUCCESS").or_else(|| {
                let (file, _) = line.split_once(" FAILED: ")?;
                Some((file, "FAILED"))
            })?;
            Some((file.trim(), verdict == "SUCCESS"))
        })
        .collect();
    let wrong: Vec<String> = known
        .iter()
        .filter(|case| verdicts.get(case.file.to_str().unwrap()) != Some(&case.error.is_none()))
        .map(|case| format!("{}: we say {:?}", case.name, case.error))
        .collect();
    assert!(wrong.is_empty(), "promtool does not agree on\n{}\n{said}", wrong.join("\n"));
}
