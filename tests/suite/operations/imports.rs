//! The direction of imports, as `docs/architecture.md` draws it: a folder imports only folders below it, and no files import
//! each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders of `src` from the top down. One may import those that are further down.
const ORDER: [&str; 15] = [
    "commands",
    "exporter",
    "web",
    "simulator",
    "backfill",
    "poll",
    "messages",
    "status",
    "ledger",
    "provider",
    "exposition",
    "model",
    "metrics",
    "config",
    "util",
];
/// Folders that do not know each other, although one of them is further down.
const STRANGERS: [(&str, &str); 5] = [
    ("web", "simulator"),
    ("ledger", "provider"),
    ("ledger", "exposition"),
    ("provider", "exposition"),
    ("metrics", "config"),
];

/// Modules by path (`poll::manager`), each with the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Reads every `crate::…` path of the sources, tests inside the files left out.
fn imports(root: &Path) -> Imports {
    let mut sources = BTreeMap::new();
    read_sources(root, root, &mut sources);
    let modules: BTreeSet<String> = sources.keys().cloned().collect();
    let of = |(module, text): (&String, &String)| {
        let imported = paths(text).into_iter().filter_map(|path| module_of(&path, &modules));
        (module.clone(), imported.filter(|imported| imported != module).collect())
    };
    sources.iter().map(of).collect()
}

fn read_sources(root: &Path, folder: &Path, sources: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            let name = path.strip_prefix(root).unwrap().with_extension("");
            let parts: Vec<&str> =
                name.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod").collect();
            sources.insert(parts.join("::"), text);
        }
    }
}

/// The paths from the crate's root in a text: those of `use`, groups taken apart, and those inside expressions.
fn paths(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        match rest[end..].strip_prefix('{') {
            Some(group) => {
                expand(&rest[..end], group, &mut found);
            }
            None => found.push(rest[..end].to_owned()),
        }
    }
    found
}

/// Takes a group apart whose opening brace is just before `group`. Returns what is behind its closing brace.
fn expand<'a>(prefix: &str, mut group: &'a str, found: &mut Vec<String>) -> &'a str {
    loop {
        group = group.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if let Some(behind) = group.strip_prefix('}') {
            return behind;
        }
        let end = group.find([',', '{', '}']).expect("a group ends");
        let name = format!("{prefix}{}", group[..end].trim());
        group = match group[end..].strip_prefix('{') {
            Some(inner) => expand(&name, inner, found),
            None => {
                found.push(name);
                &group[end..]
            }
        };
    }
}

/// The module that a path is of: the longest beginning that is one.
fn module_of(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len()).rev().map(|length| parts[..length].join("::")).find(|module| modules.contains(module))
}

/// Imports that go up, or between folders that do not know each other.
fn wrong_directions(imports: &Imports) -> Vec<String> {
    let folder = |module: &str| module.split_once("::").map_or(module, |(folder, _)| folder).to_owned();
    let rank = |folder: &str| match folder {
        // The root holds the program and the map of the crate.
        "main" | "lib" => 0,
        folder => 1 + ORDER.iter().position(|known| *known == folder).unwrap_or_else(|| panic!("where is {folder}?")),
    };
    let is_strange = |from: &str, to: &str| STRANGERS.iter().any(|(a, b)| [(*a, *b), (*b, *a)].contains(&(from, to)));
    let pairs = imports.iter().flat_map(|(from, imported)| imported.iter().map(move |to| (from, to)));
    let wrong = pairs.filter(|(from, to)| {
        let (from, to) = (folder(from), folder(to));
        from != to && (rank(&from) > rank(&to) || is_strange(&from, &to))
    });
    wrong.map(|(from, to)| format!("{from} imports {to}")).collect()
}

/// A circle of imports, if there is one.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

fn visit(
    module: &str,
    imports: &Imports,
    on_the_way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(at) = on_the_way.iter().position(|known| known == module) {
        return Some(on_the_way[at..].to_vec());
    }
    if !done.insert(module.to_owned()) {
        return None;
    }
    on_the_way.push(module.to_owned());
    let found = imports.get(module)?.iter().find_map(|next| visit(next, imports, on_the_way, done));
    on_the_way.pop();
    found
}

#[test]
fn folders_import_downwards_and_files_in_no_circle() {
    let imports = imports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(imports.len() > 100 && imports["poll::manager"].contains("ledger"), "{imports:#?}");
    assert_eq!(wrong_directions(&imports), Vec::<String>::new());
    assert_eq!(circle(&imports), None);
}

#[test]
fn what_is_wrong_is_seen() {
    let tree = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("util/clock.rs", "use crate::config::{Config, secret::{self, Secret}};\n");
    write("config/mod.rs", "//! crate::util::clock in a comment is no import.\n");
    write(
        "config/secret.rs",
        "fn f() { crate::util::clock::now() }\n#[cfg(test)]\nmod tests { use crate::web::serve; }\n",
    );
    write("provider/mod.rs", "use crate::ledger::Ledger;\n");
    write("ledger/mod.rs", "");
    write("web/mod.rs", "use crate::ledger::Ledger;\n");
    let imports = imports(tree.path());
    assert_eq!(
        wrong_directions(&imports),
        ["provider imports ledger", "util::clock imports config", "util::clock imports config::secret"]
    );
    assert_eq!(circle(&imports), Some(vec!["config::secret".to_owned(), "util::clock".to_owned()]));
}
