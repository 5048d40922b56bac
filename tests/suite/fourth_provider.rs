//! "How to add a provider" of CONTRIBUTING, tried: the tree with `tests/fourth_provider/fourth.patch` is built, and the
//! program that comes out polls a provider that answers by `tests/fourth_provider/DOCUMENT.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::fake::Fake;
use crate::support::{Page, Program, eventually, said, simulate, tool};

const PATCH: &str = "tests/fourth_provider/fourth.patch";
const DOCUMENT: &str = include_str!("../fourth_provider/DOCUMENT.md");
const STATISTICS_DAILY: &str = include_str!("../fourth_provider/statistics_daily.json");
const REFUSED: &str = r#"{"code": 2001, "message": "app_id and api_secret do not match"}"#;

/// What a build needs of the tree, and what formats it.
const SOURCES: [&str; 5] = ["Cargo.toml", "Cargo.lock", "askama.toml", "rustfmt.toml", "src"];
/// Cargo keeps a package of the same name and version in another folder at the same place. With a name of its own, the
/// patched one takes the place of nothing that other tests run.
const NAME: &str = "push-exporter-fourth";

/// The tree as CONTRIBUTING says, in a folder that stays: cargo goes by the times of files, and compiles nothing again
/// where nothing has changed.
fn patched_tree() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tempfile::tempdir().unwrap();
    let copy = |from: PathBuf, to: &str| write(&made.path().join(to), &std::fs::read(from).unwrap());
    for file in SOURCES.iter().flat_map(|source| files(&root.join(source))) {
        copy(file.clone(), file.strip_prefix(root).unwrap().to_str().unwrap());
    }
    let patch = ["-d", made.path().to_str().unwrap(), "-p1", "--forward", "--fuzz=0", "--no-backup-if-mismatch"];
    let output = tool("patch", &patch, &std::fs::read(root.join(PATCH)).unwrap());
    assert!(output.status.success(), "{PATCH} does not fit the tree:\n{}", said(&output));
    copy(root.join("tests/fourth_provider/statistics_daily.json"), "tests/fixtures/wren/statistics_daily.json");
    copy(root.join("tests/fourth_provider/wren_documents.rs"), "tests/suite/wren_documents.rs");
    write(&made.path().join("tests/suite/main.rs"), b"//! Tests.\nmod wren_documents;\n");
    for file in ["Cargo.toml", "Cargo.lock"].map(|file| made.path().join(file)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let named = text.replacen("name = \"push-exporter\"\n", &format!("name = \"{NAME}\"\n"), 1);
        // The library keeps its name, which the program calls it by.
        let named = named.replacen("[dependencies]\n", "[lib]\nname = \"push_exporter\"\n\n[dependencies]\n", 1);
        std::fs::write(&file, named).unwrap();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fourth_provider");
    make_same(made.path(), &folder);
    folder
}

/// Every file below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Puts into `folder` what is in `model`, and leaves alone what is the same.
fn make_same(model: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in files(folder) {
        if !model.join(file.strip_prefix(folder).unwrap()).exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
    for file in files(model) {
        let (bytes, place) = (std::fs::read(&file).unwrap(), folder.join(file.strip_prefix(model).unwrap()));
        if std::fs::read(&place).ok().as_ref() != Some(&bytes) {
            write(&place, &bytes);
        }
    }
}

/// Builds the patched tree with the dependencies that are there already, and passes the test of its field map. Returns
/// the program.
fn build() -> PathBuf {
    let folder = patched_tree();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |arguments: &[&str]| {
        let output =
            Command::new(&cargo).current_dir(&folder).env("CARGO_TARGET_DIR", target).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}:\n{}", said(&output));
        said(&output)
    };
    let started = Instant::now();
    run(&["fmt", "--check"]);
    // As a test, since the features that tests add to dependencies would else be missing, and all compiled again.
    let said = run(&["test", "--locked", "--offline", "--test", "suite"]);
    assert!(said.contains("test result: ok. 2 passed"), "{said}");
    assert!(!said.contains("warning"), "{said}");
    println!("compiled and tested in {:.1} s", started.elapsed().as_secs_f64());
    target.join("debug").join(NAME)
}

/// A zone in which midnight is hours away.
fn zone(now: Timestamp) -> TimeZone {
    let hour = now.to_zoned(TimeZone::UTC).hour();
    TimeZone::get(if (6..18).contains(&hour) { "Etc/UTC" } else { "Etc/GMT+12" }).unwrap()
}

/// The example of the document, or an answer of its form, with these days in the place of its two.
fn on(body: &str, yesterday: Date, today: Date) -> String {
    body.replace("2026-03-09", &yesterday.to_string()).replace("2026-03-10", &today.to_string())
}

/// Ten minutes later: by hand. Mi Push says for the first time what was received, HMS is new, and FCM takes 5 of yesterday
/// back.
const LATER: &str = r#"{"app_id": "wr-4821", "days": [
    {"date": "2026-03-09", "channels": {
        "apns": {"sent": 5130, "failed": 37, "received": 4900},
        "fcm": {"sent": 2040, "failed": 11},
        "mipush": {"sent": 3310, "failed": 62, "received": 3001}}},
    {"date": "2026-03-10", "channels": {
        "apns": {"sent": 865, "failed": 4, "received": 830},
        "hms": {"sent": 7, "failed": 0},
        "mipush": {"sent": 600, "failed": 9, "received": 40}}}]}"#;

/// What is there at the first poll is the baseline.
const AT_FIRST: &str = r#"
push_messages_sent_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_received_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_received_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="sent"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="failed"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="received"} 0
push_window_messages_sent{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 5120
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 2045
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3310
push_window_messages_failed{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 37
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 11
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 62
push_window_messages_received{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 4890
push_window_messages_received{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3001
"#;

/// APNs has sent 10 of yesterday and 25 of today since, and so on. What is taken back is no less on a counter.
const THEN: &str = r#"
push_messages_sent_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 35
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="huawei",kind="notification"} 7
push_messages_sent_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 83
push_messages_failed_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="fcm",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="huawei",kind="notification"} 0
push_messages_failed_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 1
push_messages_received_total{provider="wren",app="shop",platform="ios",channel="apns",kind="notification"} 45
push_messages_received_total{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification"} 40
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="sent"} 5
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="failed"} 0
push_messages_restated_total{provider="wren",app="shop",report="statistics_daily",metric="received"} 0
push_window_messages_sent{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 5130
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 2040
push_window_messages_sent{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3310
push_window_messages_failed{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 37
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="fcm",kind="notification",window="day"} 11
push_window_messages_failed{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 62
push_window_messages_received{provider="wren",app="shop",platform="ios",channel="apns",kind="notification",window="day"} 4900
push_window_messages_received{provider="wren",app="shop",platform="android",channel="xiaomi",kind="notification",window="day"} 3001
"#;

/// Waits until the deliveries on the page are exactly these.
fn shows(program: &Program, expected: &str) -> Page {
    let deliveries = |page: &Page| page.starting(&["push_messages_", "push_window_messages_"]);
    let expected: BTreeMap<String, i64> = deliveries(&Page::parse(expected));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let page = program.try_scrape().expect("a scrape");
        if deliveries(&page) == expected {
            return page;
        }
        if Instant::now() > deadline {
            assert_eq!(deliveries(&page), expected, "{}", program.log());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_patch_is_a_folder_and_a_line_in_two_files() {
    let patch = std::fs::read_to_string(PATCH).unwrap();
    assert!(patch.lines().count() <= 350, "the example stays small");
    assert!(DOCUMENT.contains(STATISTICS_DAILY), "the fixture is the document's example, byte for byte");
    assert!(DOCUMENT.contains(REFUSED));
    let mut added: BTreeMap<&str, usize> = BTreeMap::new();
    let mut file = "";
    for line in patch.lines() {
        match line.strip_prefix("+++ b/") {
            Some(name) => file = name,
            None if line.starts_with('+') => *added.entry(file).or_default() += 1,
            None => {}
        }
    }
    added.retain(|file, _| !file.starts_with("src/provider/wren/"));
    assert_eq!(added, BTreeMap::from([("src/provider/mod.rs", 1), ("src/provider/registry.rs", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fourth_provider_is_polled() {
    let binary = build();
    let now = Timestamp::now();
    let zone = zone(now);
    let today = now.to_zoned(zone.clone()).date();
    let day = |before: i32| today.checked_sub(before.days()).unwrap();
    let path = "/v1/apps/wr-4821/statistics/daily";
    let (wren, address) = simulate(Fake::default()).await;
    wren.say(path, 200, &on(STATISTICS_DAILY, day(1), today));
    let folder = tempfile::tempdir().unwrap();
    let text = |more: &str| {
        let zone = zone.iana_name().unwrap();
        let text = format!(
            "timezone: {zone}\nnew_series_hold: 0s\nwren:\n  - app: shop\n    app_id: wr-4821\n    base_url: http://{address}\n    {more}\n    interval: 1s\n"
        );
        std::fs::write(folder.path().join("push-exporter.yml"), text).unwrap();
    };
    let program = || {
        let mut command = Command::new(&binary);
        command.current_dir(folder.path());
        command
    };

    // A key that nobody knows, and one that is missing for it.
    text("api_secert: w1n-s3cret");
    let output = program().output().unwrap();
    let errors = "push-exporter.yml:4:5: wren[0].api_secret: is required; give api_secret, api_secret_file or api_secret: ${ENV_NAME}\n\
        push-exporter.yml:7:5: wren[0].api_secert: unknown key; did you mean api_secret?\n";
    assert_eq!((said(&output).as_str(), output.status.code()), (errors, Some(2)));

    text("api_secret: w1n-s3cret");
    let output = program().arg("check").output().unwrap();
    let row = |words: &str| said(&output).lines().any(|line| line.split_whitespace().eq(words.split(' ')));
    assert!(row(&format!("wren shop statistics_daily works of this moment (day {today}) -")), "{}", said(&output));
    let question = format!("wr-4821:w1n-s3cret GET {path}?from={}&to={today}", day(3));
    assert_eq!(wren.take(), [question.as_str()]);

    let mut command = program();
    command.args(["--web.listen-address", "127.0.0.1:0"]);
    let running = Program::try_run(command).expect("it ended at once");
    shows(&running, AT_FIRST);
    assert!(wren.take().iter().all(|asked| *asked == question));
    wren.say(path, 200, &on(LATER, day(1), today));
    let page = shows(&running, THEN);
    let report = r#"provider="wren",app="shop",report="statistics_daily""#;
    let end = today.to_zoned(zone.clone()).unwrap().timestamp().as_second();
    for (series, value) in [
        (format!("push_up{{{report}}}"), 1),
        (format!(r#"push_window_end_timestamp_seconds{{{report},window="day"}}"#), end),
        (r#"push_unknown_fields_total{provider="wren",report="statistics_daily"}"#.to_owned(), 0),
    ] {
        assert_eq!(page.get(&series), Some(value as f64), "{series} of {page:#?}");
    }

    wren.say(path, 401, REFUSED);
    let failing = format!(r#"push_poll_failing{{{report},reason="auth"}}"#);
    let page = eventually("it fails", 30, || running.try_scrape().filter(|page| page.get(&failing) == Some(1.0)));
    assert_eq!(page.get(&format!("push_up{{{report}}}")), Some(0.0));
    assert_eq!(page.starting(&["push_messages_"]), Page::parse(THEN).starting(&["push_messages_"]), "numbers stay");
    let html = running.get("/").1.replace("&#39;", "'");
    for text in [
        "HTTP 401, code 2001: app_id and api_secret do not match",
        "Check app_id and api_secret against Wren's console (App, Keys).",
        "Wren Push",
    ] {
        assert!(html.contains(text), "{text:?} is not on the status page:\n{html}");
    }
    assert!(!html.contains("w1n-s3cret") && !running.log().contains("w1n-s3cret"));
}
