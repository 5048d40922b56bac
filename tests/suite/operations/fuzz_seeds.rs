//! Input of every kind that is wrong in every way. Each fuzz target is given its seeds and finds as they are, the
//! same cut, mixed, repeated and nested by chance, and bytes of any kind.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use push_exporter::messages::followed_paths::Paths;
use push_exporter::messages::tail::{Follower, Line, Look, split};

use crate::support::fast_dir;
use targets::{TARGETS, Target};

#[path = "../../../fuzz/targets.rs"]
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
fn engagelab_answers() {
    replay("engagelab_answers");
    change_by_chance("engagelab_answers", 3000);
}

#[test]
fn feishu_answers() {
    replay("feishu_answers");
    change_by_chance("feishu_answers", 3000);
}

#[test]
fn getui_answers() {
    replay("getui_answers");
    change_by_chance("getui_answers", 3000);
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
fn onesignal_answers() {
    replay("onesignal_answers");
    change_by_chance("onesignal_answers", 3000);
}

#[test]
fn request_headers() {
    replay("request_headers");
    change_by_chance("request_headers", 3000);
}

/// All lines of a file that is written piece by piece, as they are read in between.
fn followed(pieces: &[&[u8]]) -> Vec<Line> {
    let folder = fast_dir();
    let path = folder.path().join("ids.log");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut follower = Follower::new(path, Vec::new(), Paths::default());
    let mut read = Vec::new();
    for piece in pieces {
        file.write_all(piece).unwrap();
        while let Look::Lines(lines) = follower.look().unwrap() {
            read.extend(lines.lines.clone());
            follower.advance(lines);
        }
    }
    read
}

#[test]
fn however_a_file_is_written_its_lines_are_the_same() {
    let byte = prop_oneof![3 => any::<u8>(), 2 => Just(b'\n'), 1 => Just(0), 1 => Just(b'7')];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let bytes = prop::collection::vec(byte, 0..200).prop_map(Input);
    proptest!(config, |(bytes in bytes, first: Index, second: Index)| {
        let (front, back) = bytes.0.split_at(first.index(bytes.0.len() + 1));
        let (middle, back) = back.split_at(second.index(back.len() + 1));
        let whole = bytes.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        prop_assert_eq!(followed(&[front, middle, back]), split(&bytes.0[..whole], 1).0);
    });
}

/// So many things, each with its number.
fn many(count: usize, between: &str, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(between)
}

/// So many that an answer has some MiB, of the 8 that are read.
const MANY: usize = 200_000;

/// Gives a target answers that are nearly as large as they may be, so that anything that grows with the square of what
/// comes in would take hours, or all memory.
fn full(name: &str, reports: &[&str], bodies: &[String]) {
    let token = r#"{"access_token":"t","tenant_access_token":"t","expire":7200,"code":0,"data":{"token":"t"}}"#;
    let has_token = !["jpush_answers", "engagelab_answers", "onesignal_answers"].contains(&name);
    let token = if has_token { format!("200\n\n{token}\n----\n") } else { String::new() };
    for (report, body) in reports.iter().flat_map(|report| bodies.iter().map(move |body| (report, body))) {
        println!("{report}: {:.100}", body);
        target(name)(format!("{report}\n{token}200\n\n{body}").as_bytes());
    }
}

#[test]
fn jpush_answers_that_are_full() {
    let long = "x".repeat(2_000_000);
    let fields = many(MANY, ",", |n| format!(r#""a{n}":1"#));
    full(
        "jpush_answers",
        &["shop messages_detail"],
        &[
            format!(r#"[{{"msg_id":1,"details":{{"{long}":{{"sub_android":{{"huawei":{{{fields}}}}}}}}}}}]"#),
            format!(r#"[{{"msg_id":1,"details":{{"{long}":{{{fields}}}}}}}]"#),
            format!(r#"[{{"msg_id":1,"details":{{"message":{{"sub_{long}":{{{fields}}}}}}}}}]"#),
            format!(r#"[{{"msg_id":1,"android_pns":{{"{long}_detail":{{{fields}}}}}}}]"#),
            format!(r#"[{{"msg_id":1,{fields}}}]"#),
            format!("[{}]", many(MANY, ",", |n| format!(r#"{{"msg_id":{n}}}"#))),
            "[".repeat(8_000_000),
        ],
    );
    full("jpush_answers", &["shop received_detail", "shop messages"], &[format!(r#"[{{"msg_id":1,{fields}}}]"#)]);
    let devices = many(MANY, ",", |n| format!(r#""a{n}":{{"status":9}}"#));
    full("jpush_answers", &["shop status_message"], &[format!("{{{devices}}}")]);
    let users = |platforms: &str| format!(r#"{{"items":[{{"time":"2024-04-02 01",{platforms}}}]}}"#);
    let platforms = many(MANY, ",", |n| format!(r#""a{n}":{{"new":1}}"#));
    full("jpush_answers", &["group group_users"], &[users(&platforms), users(&format!(r#""{long}":{{{fields}}}"#))]);
    let quotas = |classes: &str| format!(r#"{{"data":{{"xiaomi_quota":{{{classes}}}}}}}"#);
    let classes = many(MANY, ",", |n| format!(r#""a{n}":{{"used":1}}"#));
    full("jpush_answers", &["shop vendor_quota"], &[quotas(&classes), quotas(&format!(r#""{long}":{{{fields}}}"#))]);
}

#[test]
fn engagelab_answers_that_are_full() {
    let long = "x".repeat(2_000_000);
    let fields = many(MANY, ",", |n| format!(r#""a{n}":1"#));
    let channels = many(MANY, ",", |n| format!(r#""a{n}":{{"sent":1}}"#));
    let platforms = many(MANY, ",", |n| format!(r#""sub_{n}":{{"sent":1}}"#));
    full(
        "engagelab_answers",
        &["abroad status_detail"],
        &[
            format!(r#"{{"1":{{"sub":{{"{long}":{{"sub_android":{{"huawei":{{{fields}}}}}}}}}}}}}"#),
            format!(r#"{{"1":{{"sub":{{"message":{{"sub_android":{{{channels}}}}}}}}}}}"#),
            format!(r#"{{"1":{{"sub":{{"live_activity":{{{platforms}}}}}}}}}"#),
            format!(r#"{{"1":{{{fields}}}}}"#),
            format!("{{{}}}", many(MANY, ",", |n| format!(r#""{n}":{{"targets":{n}}}"#))),
            "[".repeat(8_000_000),
        ],
    );
    let plans = many(MANY, ",", |n| format!(r#"{{"plan_id":"p{n}"}}"#));
    let ids = many(MANY, ",", |n| format!("\"{n}\""));
    let bodies = [
        format!(r#"{{"push_plan_info":[{plans}],"total":18446744073709551615}}"#),
        format!(r#"{{"autumn_sale":{{"msg_ids":[{ids}]}}}}"#),
    ];
    full("engagelab_answers", &["abroad push_plans"], &bodies);
}

#[test]
fn easemob_answers_that_are_full() {
    let platforms = many(MANY / 2, ",", |n| format!(r#""a{n}":{{"failCount":1}}"#));
    let long = "x".repeat(8_000_000);
    full(
        "easemob_answers",
        &["chat offline_push"],
        &[
            format!(r#"{{"status":"OK","data":{{"2024-04-01":{{{platforms}}},"2024-04-01T00:00":{{{platforms}}}}}}}"#),
            format!(r#"{{"status":"OK","data":{{"2024-04-01":{{"{long}":{{"failCount":1}}}}}}}}"#),
            format!(r#"{{"status":"OK","data":{{{}}}}}"#, many(MANY, ",", |n| format!(r#""a{n}":1"#))),
        ],
    );
}

#[test]
fn getui_answers_that_are_full() {
    let long = "x".repeat(2_000_000);
    let day = "2024-04-01";
    let data = |data: &str| format!(r#"{{"code":0,"data":{{{data}}}}}"#);
    let channels = many(MANY, ",", |n| format!(r#""a{n}":{{"target_num":1}}"#));
    let fields = many(MANY, ",", |n| format!(r#""a{n}":1"#));
    let blocks = [channels.clone(), format!(r#""gt":{{{fields}}}"#), format!(r#""{long}":{{"target_num":1}}"#)];
    full("getui_answers", &["days push_date"], &blocks.clone().map(|blocks| data(&format!(r#""{day}":{{{blocks}}}"#))));
    let refusals = format!(r#""failed_detail":{{"rs":{{"gt":{{{}}}}}}}"#, channels.replace("target_num", "total"));
    let tasks = blocks.into_iter().chain([refusals]).map(|blocks| data(&format!(r#""RASL_1128_a1":{{{blocks}}}"#)));
    full("getui_answers", &["tasks push_task"], &tasks.collect::<Vec<_>>());
    let points = many(MANY, ",", |n| format!(r#""{n}":{n}"#));
    full("getui_answers", &["days online_user"], &[data(&format!(r#""online_statics":{{{points}}}"#))]);
    full("getui_answers", &["days user_date"], &[data(&format!(r#""{day}":{{{fields}}}"#))]);
    let classes = channels.replace("target_num", "total_num");
    full("getui_answers", &["days push_count"], &[data(&format!(r#""vv":{{{classes}}}"#)), data(&classes)]);
}

#[test]
fn feishu_answers_that_are_full() {
    let items = |one: fn(usize) -> String| format!(r#"{{"code":0,"data":{{"items":[{}]}}}}"#, many(MANY / 4, ",", one));
    full(
        "feishu_answers",
        &["bot message_push_overview"],
        &[
            items(|n| format!(r#"{{"metric_name":"a{n}","metric_value":1}}"#)),
            items(|n| format!(r#"{{"metric_name":"send_msg_count","metric_value":{n}}}"#)),
        ],
    );
}

#[test]
fn onesignal_answers_that_are_full() {
    let list = |parts: &str| {
        let id = "7f2d1c5e-0000-4000-8000-000000000001";
        format!(
            r#"{{"notifications":[{{"id":"{id}","send_after":1795910400,"platform_delivery_stats":{{{parts}}}}}]}}"#
        )
    };
    let long = "x".repeat(2_000_000);
    let fields = many(MANY, ",", |n| format!(r#""a{n}":1"#));
    let notification = |n| format!(r#"{{"id":"7f2d1c5e-0000-4000-8000-{n:012}","send_after":1795910400}}"#);
    full(
        "onesignal_answers",
        &["paid notifications"],
        &[
            list(&many(MANY / 2, ",", |n| format!(r#""a{n}":{{"failed":1}}"#))),
            list(&format!(r#""ios":{{{fields}}}"#)),
            list(&format!(r#""{long}":{{{fields}}}"#)),
            format!(r#"{{"notifications":[{}]}}"#, many(MANY / 4, ",", notification)),
            format!(r#"{{"notifications":[{}]}}"#, many(MANY, ",", |n| n.to_string())),
            format!(r#"{{"notifications":[],"next_time_offset":"{long}"}}"#),
            format!(r#"{{"errors":["{long}"]}}"#),
        ],
    );
}

#[test]
fn requests_and_files_that_are_full() {
    let head = |kind| {
        format!("POST /api/v1/messages\nauthorization: Bearer pLanted-s3cret\ncontent-type: application/{kind}\n\n")
    };
    let long = "x".repeat(1_000_000);
    let entry = |n: usize| format!(r#"{{"app":"shop","msg_id":{n}}}"#);
    for body in [
        format!("[{}]", many(10_000, ",", entry)),
        format!("[{}]", many(10_001, ",", entry)),
        format!(r#"["{long}"]"#),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"app":"{long}","msg_id":1}}"#),
        format!(r#"{{"app":"shop","msg_id":"{long}"}}"#),
        format!(r#"{{"app":"shop","msg_id":{}}}"#, "9".repeat(1_000_000)),
        "[".repeat(1_000_000),
    ] {
        target("message_api")((head("json") + &body).as_bytes());
    }
    for body in [many(10_000, "\n", entry), many(10_001, "\n", entry), "\n".repeat(1_000_000), long] {
        target("message_api")((head("x-ndjson") + &body).as_bytes());
        target("message_files")(body.as_bytes());
    }
    target("message_files")(&[0; 1_000_000]);
    target("message_files")(format!("{}\n1\n", "7".repeat(65_537)).as_bytes());
    target("message_files")(format!("{{\"msg_id\":\"{}\"}}\n1\n", "7".repeat(65_500)).as_bytes());
}

#[test]
fn configurations_that_are_long() {
    for text in [
        many(100_000, "\n", |n| format!("a{n}: 1")),
        format!("jpush: [{}]", many(20_000, ",", |n| format!("{{app: a{n}, app_key: k{n}, master_secret: s}}"))),
        format!("feishu: [{{departments: [{}]}}]", many(100_000, ",", |n| format!("od-{n}"))),
        format!("jpush: [{{messages: {{files: [{}]}}}}]", many(100_000, ",", |n| format!("f{n}"))),
        format!("{}: 1", "x".repeat(1_000_000)),
        "[".repeat(1_000_000),
        "- ".repeat(500_000),
        format!("a: >\n{}", " x\n".repeat(300_000)),
    ] {
        target("configuration")(text.as_bytes());
    }
}
