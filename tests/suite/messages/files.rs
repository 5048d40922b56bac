//! Message ids from files and from standard input, through the whole exporter.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::jpush_script::{OWNER, Scene, tracked};
use crate::support::{Log, Page, Program, eventually, minutes};

fn append(path: &Path, text: &str) {
    File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn registered(page: &Page, source: &str) -> Option<f64> {
    page.get(&format!(r#"push_messages_registered_total{{{OWNER},source="{source}"}}"#))
}

fn bad_lines(page: &Page) -> Option<f64> {
    page.get(&format!("push_message_file_bad_lines_total{{{OWNER}}}"))
}

#[tokio::test(start_paused = true)]
async fn ids_of_a_file_are_tracked_and_bad_lines_named() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("sub/ids.jsonl");
    let exporter = scene.start("messages: {files: [sub/ids.jsonl]}").await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "file"), bad_lines(&page)), (Some(0.0), Some(0.0)));
    minutes(0.1).await;
    let html = exporter.get("/").await.1;
    assert!(html.contains("The file is missing; it is read as soon as it exists"), "{html}");

    let log = Log::capture();
    // Ids as text and as numbers, of which one is beyond 2^53; too old for the report; and lines that are none.
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let sent = scene.now() - 7200;
    append(
        &file,
        &format!(
            "1613113584\r\n\n{{\"msg_id\":\"18446744073709551615\",\"sent_at\":\"2026-03-10T08:00:00+08:00\",\"app\":\"shop\"}}\n\
             seven\n{{\"msg_id\":7,\"sent_at\":{sent}}}\n{{\"msg_id\":8,\"sent_at\":1300000000}}\n{{\"id\":9}}\n{{\"msg_id\":9,\"sentAt\":1773104400}}\n{{\"msg_id\":9,\"sent_at\":0}}\n{{\"msg_id\":9,\"sent_at\":1773111600000}}\n{{\"msg_id\":7,\"sendno\":\"0\"}}\n{{\"app\":\"other\",\"msg_id\":10}}\n{{\"msg_id\":9,\"sent_at\":\"x\"}}\n161311"
        ),
    );
    scene.say(1_613_113_584, r#""jpush_received":2"#);
    scene.say(7, r#""jpush_received":5"#);
    minutes(0.2).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "file"), bad_lines(&page)), (Some(3.0), Some(6.0)));
    assert_eq!((registered(&page, "api"), registered(&page, "config")), (Some(0.0), Some(0.0)));
    assert_eq!(tracked(&page), (1.0, 2.0));
    assert_eq!(scene.calls(), [[7, 1_613_113_584, 18_446_744_073_709_551_615]]);
    let status: serde_json::Value = serde_json::from_str(&exporter.get("/api/v1/status").await.1).unwrap();
    let shown = &status["files"][0];
    assert!(shown["path"].as_str().unwrap().ends_with("/sub/ids.jsonl"), "{shown}");
    assert_eq!(
        (&shown["lines"], &shown["bad_lines"], &shown["trouble"]),
        (&13.into(), &6.into(), &serde_json::Value::Null)
    );
    assert_eq!(shown["last_bad_line"]["line"], 13);
    let named = log.take_lines("a line that is no message id");
    let reason = "unknown key; known are app, msg_id, sent_at and category";
    assert!(named.iter().any(|line| line.contains("line=8 ") && line.contains(reason)), "{named:#?}");
    assert_eq!(shown["last_bad_line"]["reason"], "sent_at must be RFC 3339, Unix seconds or Unix milliseconds");
    assert!(exporter.get("/").await.1.contains("line 13,"));

    // The last line waits until it is whole, also over a restart; nothing is read twice.
    exporter.stop().await;
    append(&file, "3585\n1613113584\n");
    let exporter = scene.start("messages: {files: [sub/ids.jsonl]}").await;
    minutes(0.2).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "file"), bad_lines(&page)), (Some(4.0), Some(6.0)));
    assert!(scene.calls().last().unwrap().contains(&1_613_113_585));
    exporter.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_waits_for_a_ledger_that_is_away_and_for_rotation() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("ids.log");
    append(&file, "1\n");
    let exporter = scene.start("messages: {files: [ids.log]}").await;
    minutes(0.2).await;
    let ledger = scene.folder.path().join("push-exporter.db");
    let away = scene.folder.path().join("away");
    std::fs::rename(&ledger, &away).unwrap();
    append(&file, "2\nbad\n");
    minutes(5.0).await;
    assert_eq!(registered(&exporter.scrape().await, "file"), Some(1.0));
    // Rotated meanwhile.
    std::fs::rename(&file, scene.folder.path().join("ids.log.1")).unwrap();
    append(&file, "3\n");
    std::fs::rename(&away, &ledger).unwrap();
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "file"), bad_lines(&page)), (Some(3.0), Some(1.0)));
    exporter.stop().await;

    // Rotated while the exporter was down, with lines that it has not read.
    append(&file, "4\n");
    std::fs::rename(&file, scene.folder.path().join("ids.log.2")).unwrap();
    append(&file, "5\nworse\n");
    let exporter = scene.start("messages: {files: [ids.log]}").await;
    minutes(1.0).await;
    let page = exporter.scrape().await;
    assert_eq!((registered(&page, "file"), bad_lines(&page)), (Some(5.0), Some(2.0)));
    exporter.stop().await;
}

/// A configuration whose provider is not there; ids are registered all the same.
fn configuration(folder: &Path, more: &str) -> String {
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://127.0.0.1:1', app_key: key, master_secret: m4ster, {more}}}\n"
    );
    let file = folder.join("push-exporter.yml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.join("token"), "t0ken\n").unwrap();
    file.to_str().unwrap().to_owned()
}

/// A file that is written, rotated in both ways and read by an exporter that is killed at any moment, also
/// just before and just after its commits: every id and every bad line counts once.
#[test]
fn nothing_is_read_twice_or_lost_over_kill_9_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "messages: {files: [ids.log]}");
    let file = folder.path().join("ids.log");
    let mut random = fastrand::Rng::new();
    let seed = random.get_seed();
    println!("seed {seed}");
    // What is rotated before the first look is not read.
    append(&file, "1\n");
    let mut program = Program::start(&["--config.file", &config]);
    eventually("the first id", 60, || (registered(&program.try_scrape()?, "file") == Some(1.0)).then_some(()));
    program.terminate();
    let (mut ids, mut bad, mut copies) = (1_u64, 0_u64, 0);
    let mut write = |random: &mut fastrand::Rng| {
        for _ in 0..random.u32(1..30) {
            if random.u8(..10) == 0 {
                bad += 1;
                append(&file, "no id\n");
            } else {
                ids += 1;
                append(&file, &format!("{ids}\n"));
            }
        }
        match random.u8(..6) {
            0 => {
                copies += 1;
                std::fs::rename(&file, folder.path().join(format!("ids.log.{copies}"))).unwrap();
            }
            1 if file.exists() => {
                copies += 1;
                std::fs::copy(&file, folder.path().join(format!("ids.log.{copies}"))).unwrap();
                File::create(&file).unwrap();
            }
            _ => {}
        }
    };
    for round in 0..12 {
        let point = ["before_register", "after_register"][round % 2];
        let wish = format!("{point}:{}", random.u32(1..4));
        let environment: &[(&str, &str)] = if round % 3 == 0 { &[] } else { &[("PUSH_EXPORTER_DIE", &wish)] };
        write(&mut random);
        let mut program = Program::try_start(&["--config.file", &config], environment);
        for _ in 0..random.u32(1..6) {
            write(&mut random);
            std::thread::sleep(std::time::Duration::from_millis(random.u64(50..700)));
        }
        if let Some(program) = &mut program {
            program.child.kill().unwrap();
            program.child.wait().unwrap();
        }
        write(&mut random);
    }
    write(&mut random);
    append(&file, "");
    let program = Program::start(&["--config.file", &config]);
    let expected = (Some(ids as f64), Some(bad as f64));
    let mut last = (None, None);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while last != expected && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let page = program.try_scrape().unwrap();
        last = (registered(&page, "file"), bad_lines(&page));
    }
    assert_eq!(last, expected, "seed {seed}; {}", program.log());
    assert_eq!(tracked(&program.try_scrape().unwrap()), (ids as f64, 0.0));
}

fn add(folder: &Path, address: &str, args: &[&str], input: &str) -> Output {
    let mut child = Program::binary()
        .args(["messages", "add", "--url", address, "--token-file"])
        .arg(folder.join("token"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that gives up closes its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn ids_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    let mut program = Program::start(&["--config.file", &config]);
    let url = format!("http://{}", program.address);
    let done = |registered: u64, new: u64| {
        (Some(0), format!("{registered} ids registered, {new} of them new\n"), String::new())
    };
    // Plain ids, objects, an empty line, and one that is there twice; more than fit in a request.
    let many: String = (1..=25_000).map(|id| format!("{id}\n")).collect();
    let input = format!(
        "{many}\n{{\"msg_id\":25001,\"sent_at\":{}}}\n{{\"app\":\"shop\",\"msg_id\":\"1\"}}",
        jiff::Timestamp::now().as_second() - 60
    );
    assert_eq!(said(&add(folder.path(), &url, &["--app", "shop"], &input)), done(25_002, 25_001));
    assert_eq!(
        said(&add(folder.path(), &(url.clone() + "/api/v1/messages"), &["--app", "shop"], &input)),
        done(25_002, 0)
    );
    assert_eq!(said(&add(folder.path(), &url, &[], "")), done(0, 0));
    eventually("all ids", 30, || (registered(&program.try_scrape()?, "api") == Some(25_001.0)).then_some(()));

    // Bad lines are named, the others registered.
    let input = "{\"app\":\"shop\",\"msg_id\":30001}\n5\n{\"app\":\"shop\",\"msg_id\":\"x\"}\n{\n{\"app\":\"other\",\"msg_id\":1}\n";
    let (code, out, error) = said(&add(folder.path(), &url, &[], input));
    assert_eq!((code, out.as_str()), (Some(1), "1 ids registered, 1 of them new\n"));
    for text in [
        "line 2: names no app; add \"app\" to each line, or give --app for all",
        "line 3: msg_id must be digits that fit 64 bits or, for a group, at most 64 characters of a-z and 0-9",
        "line 4: not JSON: ",
        "line 5: no app \"other\" is configured",
        "push-exporter: 4 of 5 lines could not be registered; correct them and send them again",
    ] {
        assert!(error.contains(text), "{text}: {error}");
    }

    // What cannot work is said at once.
    std::fs::write(folder.path().join("token"), "wrong").unwrap();
    let (code, _, error) = said(&add(folder.path(), &url, &["--app", "shop"], "1\n"));
    assert!(code == Some(1) && error.contains("the exporter refuses the token"), "{error}");
    assert!(!error.contains("wrong"));
    let (code, _, error) = said(&add(folder.path(), &format!("{url}/elsewhere"), &["--app", "shop"], "1\n"));
    assert!(code == Some(1) && error.contains("there is no message API"), "{error}");
    let (code, _, error) = said(&add(folder.path(), "localhost:10110", &[], ""));
    assert!(code == Some(2) && error.contains("--url should look like"), "{error}");
    std::fs::remove_file(folder.path().join("token")).unwrap();
    let (code, _, error) = said(&add(folder.path(), &url, &[], ""));
    assert!(code == Some(1) && error.contains("cannot read "), "{error}");
    program.terminate();
}

/// Ids that come slowly are registered while the input goes on; an exporter that restarts is waited for.
#[test]
fn ids_that_come_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    let mut program = Program::start(&["--config.file", &config]);
    let address = program.address.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_push-exporter"))
        .args(["messages", "add", "--app", "shop", "--url", &format!("http://{address}"), "--token-file"])
        .arg(folder.path().join("token"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"1\n2\n").unwrap();
    // Never a pause of half a second.
    for id in 10..16 {
        input.write_all(format!("{id}\n").as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(registered(&program.try_scrape().unwrap(), "api") >= Some(3.0));
    eventually("eight ids", 30, || (registered(&program.try_scrape()?, "api") == Some(8.0)).then_some(()));
    program.terminate();
    input.write_all(b"3\n").unwrap();
    drop(input);
    std::thread::sleep(std::time::Duration::from_millis(800));
    let mut program = Program::try_start(&["--config.file", &config, "--web.listen-address", &address], &[]).unwrap();
    let output = child.wait_with_output().unwrap();
    let (code, out, error) = said(&output);
    assert_eq!((code, out.as_str()), (Some(0), "9 ids registered, 9 of them new\n"), "{error}");
    assert!(error.contains("retrying in 1 s"), "{error}");
    eventually("nine ids", 30, || (registered(&program.try_scrape()?, "api") == Some(9.0)).then_some(()));
    program.terminate();
}
