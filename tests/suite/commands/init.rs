//! `push-exporter init`: the example loads as it stands and with everything in it that is commented out, as a whole and
//! for each provider, and what it calls defaults are the defaults.

use std::path::Path;
use std::process::Output;

use push_exporter::commands::init::example;
use push_exporter::config::section::{Context, read_document};
use push_exporter::provider::config::{self, Config};
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::provider::{easemob, engagelab, feishu, getui, jpush, onesignal};

use crate::support::{Program, certificates};

fn whole() -> String {
    example(PROVIDERS.iter().copied())
}

fn run(args: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Program::binary().args(args).current_dir(folder).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A folder with the files that the example names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for name in [
        "message-api",
        "jpush-shop",
        "jpush-callback",
        "jpush-group",
        "easemob",
        "feishu",
        "engagelab",
        "getui",
        "onesignal",
    ] {
        std::fs::write(folder.path().join("secrets").join(name), "a secret\n").unwrap();
    }
    certificates(&folder.path().join("certificates"));
    std::fs::copy(folder.path().join("certificates/server.crt"), folder.path().join("ca.pem")).unwrap();
    folder
}

/// Whether a line is a setting that is commented out.
fn is_off(line: &str) -> bool {
    line.trim_start().strip_prefix('#').is_some_and(|rest| !rest.starts_with(' ') && !rest.is_empty())
}

/// The example with the chosen settings that it has commented out.
fn with(choose: impl Fn(&str) -> bool) -> String {
    let on = |line: &str| if is_off(line) && choose(line) { line.replacen('#', "", 1) } else { line.to_owned() };
    whole().lines().map(|line| on(line) + "\n").collect()
}

fn load(text: &str, folder: &Path) -> Config {
    config::parse("example", text, folder, &Default::default(), PROVIDERS)
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// All that a configuration comes to.
fn meaning(text: &str, folder: &Path) -> String {
    let config = load(text, folder);
    let zones: Vec<_> = config.apps.iter().map(|app| app.zone.iana_name()).collect();
    let intervals: Vec<_> = config.apps.iter().map(|app| &app.intervals).collect();
    let all = format!("{:?} {:?} {:?} {zones:?} {intervals:?}", config.ledger, config.new_series_hold, config.max_age);
    let environment = Default::default();
    let providers = read_document("example", text, Context::new(folder, &environment), |mut file| {
        let jpush = file.sections("jpush").into_iter().map(|mut app| jpush::config::JpushSettings::read(&mut app));
        let jpush: Vec<_> = jpush.collect();
        let easemob =
            file.sections("easemob").into_iter().map(|mut app| easemob::config::EasemobSettings::read(&mut app));
        let easemob: Vec<_> = easemob.collect();
        let feishu = file.sections("feishu").into_iter().map(|mut app| feishu::config::FeishuSettings::read(&mut app));
        let feishu: Vec<_> = feishu.collect();
        let engagelab =
            file.sections("engagelab").into_iter().map(|mut app| engagelab::config::EngagelabSettings::read(&mut app));
        let engagelab: Vec<_> = engagelab.collect();
        let getui = file.sections("getui").into_iter().map(|mut app| getui::config::GetuiSettings::read(&mut app));
        let getui: Vec<_> = getui.collect();
        let onesignal = file.sections("onesignal");
        let onesignal = onesignal.into_iter().map(|mut app| onesignal::config::OnesignalSettings::read(&mut app));
        let onesignal: Vec<_> = onesignal.collect();
        Some(format!("{jpush:?} {easemob:?} {feishu:?} {engagelab:?} {getui:?} {onesignal:?}"))
    });
    all + &providers.unwrap().unwrap()
}

#[test]
fn the_example_loads() {
    let folder = folder();
    let home = folder.path();
    assert_eq!(run(&["init"], home), (Some(0), whole(), String::new()));
    // It goes where it is told to, and writes over nothing.
    let made = "created push-exporter.yml; add your apps and secrets, then run: push-exporter check --config.file push-exporter.yml\n";
    assert_eq!(run(&["init", "--config.file", "push-exporter.yml"], home), (Some(0), made.to_owned(), String::new()));
    assert_eq!(std::fs::read_to_string(home.join("push-exporter.yml")).unwrap(), whole());
    let (code, _, stderr) = run(&["check", "--offline"], home);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    std::fs::write(home.join("push-exporter.yml"), "mine").unwrap();
    let there = "push-exporter: cannot create push-exporter.yml; it is left unchanged: File exists (os error 17)\n";
    assert_eq!(run(&["init", "--config.file", "push-exporter.yml"], home), (Some(1), String::new(), there.to_owned()));
    assert_eq!(std::fs::read_to_string(home.join("push-exporter.yml")).unwrap(), "mine");
    assert_eq!(load(&whole(), home).apps.len(), 6);
}

#[test]
fn everything_in_it_loads() {
    let folder = folder();
    assert_eq!(load(&with(|_| true), folder.path()).apps.len(), 7);
    // Each by itself too, but for lines that only stand below another.
    let belongs = |line: &str| line.starts_with("      #") || line.starts_with("    #group_");
    for off in whole().lines().filter(|line| is_off(line) && !belongs(line)) {
        let is_group = off.contains("- app: shop-everywhere");
        load(&with(|line| line == off || (is_group && line.contains("#group_"))), folder.path());
    }
}

#[test]
fn its_defaults_are_the_defaults() {
    let folder = folder();
    let plain = meaning(&whole(), folder.path());
    let mut same = 0;
    for off in whole().lines().filter(|line| is_off(line)) {
        if off.contains("# default;") {
            assert_eq!(meaning(&with(|line| line == off), folder.path()), plain, "{off}");
            same += 1;
        }
    }
    assert_eq!(same, 15);
    // A setting that is no default is seen to differ.
    assert_ne!(meaning(&with(|line| line.contains("#newest_messages")), folder.path()), plain);
}

#[test]
fn a_provider_has_its_part() {
    let folder = folder();
    let home = folder.path();
    let sections = |text: &str| -> Vec<String> {
        let keys = text.lines().filter(|line| line.starts_with(char::is_alphabetic));
        keys.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    for (names, expected) in [
        (&["jpush"][..], &["ledger", "message_api", "jpush"][..]),
        (&["easemob"], &["ledger", "easemob"]),
        (&["feishu"], &["ledger", "feishu"]),
        (&["engagelab"], &["ledger", "message_api", "engagelab"]),
        (&["getui"], &["ledger", "getui"]),
        (&["onesignal"], &["ledger", "onesignal"]),
        (&["feishu", "jpush"], &["ledger", "message_api", "jpush", "feishu"]),
    ] {
        let args: Vec<&str> = ["init"].into_iter().chain(names.iter().flat_map(|name| ["--provider", name])).collect();
        let (code, text, stderr) = run(&args, home);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(sections(&text), expected);
        assert_eq!(load(&text, home).apps.len(), names.len());
        // Each line of it is a line of the whole.
        let whole = whole();
        assert!(text.lines().all(|line| whole.lines().any(|other| other == line)));
    }
    let (code, _, stderr) = run(&["init", "--provider", "getui2"], home);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("[possible values: jpush, easemob, feishu, engagelab, getui, onesignal]"), "{stderr}");
}
