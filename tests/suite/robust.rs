//! Input of every kind that is wrong in every way. Each fuzz target is given its seeds and finds as they are, the
//! same cut, mixed, repeated and nested by chance, and bytes of any kind.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use targets::{TARGETS, Target};

#[path = "../../fuzz/targets.rs"]
mod targets;

fn target(name: &str) -> Target {
    TARGETS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The seeds of a target, and what fuzzing has found in it.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut inputs = files(&folder("seeds", target));
    inputs.extend(Some(folder("finds", target)).filter(|finds| finds.exists()).iter().flat_map(|finds| files(finds)));
    inputs
}

fn replay(name: &str) {
    for (path, input) in inputs(name) {
        // What a failed assertion prints does not name the file.
        println!("{}", path.display());
        target(name)(&input);
    }
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Change {
    Truncate(Index),
    Flip(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    /// Puts a piece of another input into this one.
    Splice(Index, Index, usize),
    /// Puts a piece many times behind itself.
    Repeat(Index, usize, usize),
    /// Puts brackets around the rest.
    Nest(Index, usize, (&'static str, &'static str)),
    /// Writes one byte many times.
    Stretch(Index, usize, u8),
}

/// Numbers and words that parsers stumble over.
const WORDS: [&str; 16] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "-0.0",
    "1.5",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "\"\\ud800\"",
    "{}",
    "[]",
    "\u{feff}",
    "鸿蒙",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let brackets = select(&[("[", "]"), ("{\"a\":", "}"), ("[{\"msg_id\":", "}]"), ("? ", ""), ("- ", "")]);
    let words = select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        at().prop_map(Change::Truncate),
        (at(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (at(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at(), prop_oneof![words, prop::collection::vec(any::<u8>(), 1..9)])
            .prop_map(|(at, new)| Change::Insert(at, new)),
        (at(), at(), 1..200_usize).prop_map(|(at, from, length)| Change::Splice(at, from, length)),
        (at(), 1..60_usize, 1..40_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        (at(), 1..300_usize, brackets).prop_map(|(at, depth, brackets)| Change::Nest(at, depth, brackets)),
        (at(), 1..2000_usize, any::<u8>()).prop_map(|(at, length, byte)| Change::Stretch(at, length, byte)),
    ]
}

fn changed(mut input: Vec<u8>, other: &[u8], changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: &Index| at.index(input.len() + 1);
        let piece = |of: &[u8], at: usize, length: usize| of[at..(at + length).min(of.len())].to_vec();
        let (at, removed, new) = match change {
            Change::Truncate(at) => (place(at), usize::MAX, Vec::new()),
            Change::Flip(at, bits) => {
                let at = place(at);
                (at, 1, input.get(at).map(|byte| byte ^ bits).into_iter().collect())
            }
            Change::Remove(at, length) => (place(at), *length, Vec::new()),
            Change::Insert(at, new) => (place(at), 0, new.clone()),
            Change::Splice(at, from, length) => (place(at), 0, piece(other, from.index(other.len() + 1), *length)),
            Change::Repeat(at, length, times) => (place(at), 0, piece(&input, place(at), *length).repeat(*times)),
            Change::Nest(at, depth, (open, close)) => {
                let at = place(at);
                let inner = &input[at..];
                (at, usize::MAX, [open.repeat(*depth).as_bytes(), inner, close.repeat(*depth).as_bytes()].concat())
            }
            Change::Stretch(at, length, byte) => (place(at), 0, vec![*byte; *length]),
        };
        let end = at.saturating_add(removed).min(input.len());
        input.splice(at..end, new);
    }
    input
}

/// Bytes that a failure prints as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Gives a target its inputs after so many changes by chance, and as many times any bytes.
fn change_by_chance(name: &str, cases: u32) {
    let seeds: Vec<Input> = inputs(name).into_iter().map(|(_, input)| Input(input)).collect();
    let changes = prop::collection::vec(change(), 1..6);
    let parts = (select(seeds.clone()), select(seeds), changes);
    let changed = parts.prop_map(|(seed, other, changes)| Input(changed(seed.0, &other.0, &changes)));
    let bytes = prop::collection::vec(any::<u8>(), 0..300).prop_map(Input);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    proptest!(config, |(changed in changed, bytes in bytes)| {
        target(name)(&changed.0);
        target(name)(&bytes.0);
    });
}

#[test]
fn configuration() {
    replay("configuration");
    change_by_chance("configuration", 3000);
}

#[test]
fn easemob_answers() {
    replay("easemob_answers");
    change_by_chance("easemob_answers", 3000);
}

#[test]
fn feishu_answers() {
    replay("feishu_answers");
    change_by_chance("feishu_answers", 3000);
}

#[test]
fn jpush_answers() {
    replay("jpush_answers");
    change_by_chance("jpush_answers", 3000);
}

#[test]
fn message_api() {
    replay("message_api");
    change_by_chance("message_api", 3000);
}

#[test]
fn message_files() {
    replay("message_files");
    change_by_chance("message_files", 3000);
}

#[test]
fn request_headers() {
    replay("request_headers");
    change_by_chance("request_headers", 3000);
}
