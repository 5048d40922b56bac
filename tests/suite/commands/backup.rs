//! `push-exporter backup`: a whole copy at any moment while the ledger is written, from which an exporter goes on.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;

use crate::support::{Page, Program, eventually, fast_dir, simulate, sqlite, try_talk};

fn back_up(config: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["backup", "--config.file", config], more].concat();
    let Output { status, stdout, stderr } = Program::binary().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn deliveries(page: &Page) -> std::collections::BTreeMap<String, i64> {
    page.starting(&["push_messages_sent_total", "push_messages_registered_total"])
}

#[test]
fn a_copy_of_a_ledger_in_use_is_whole_and_an_exporter_goes_on_from_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = EasemobApp { step: 1, ..EasemobApp::demo("acme", "chat") };
    let (client, secret) = (app.client_id.clone(), app.client_secret.clone());
    let (_, address) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
    let folder = fast_dir();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, ledger: &str| {
        let text = format!(
            "ledger: sqlite:{ledger}\nnew_series_hold: 0s\nmessage_api: {{token: t0ken}}\n\
             jpush: [{{app: shop, base_url: 'http://127.0.0.1:1', app_key: k, master_secret: s}}]\n\
             easemob: [{{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: {client}, client_secret: {secret}, interval: 1s}}]\n"
        );
        std::fs::write(at(name), text).unwrap();
        at(name)
    };
    let config = write("push-exporter.yml", "push-exporter.db");
    let mut program = Program::start(&["--config.file", &config]);
    let exporter = program.address;
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let writing = std::thread::spawn(move || {
        let mut id = 0_u64;
        while !over.load(Ordering::Relaxed) {
            let lines: Vec<String> = (0..50).map(|one| format!("{{\"msg_id\":\"{}\"}}", id + one)).collect();
            let body = lines.join("\n");
            let request = format!(
                "POST /api/v1/messages?app=shop HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            assert_eq!(try_talk(exporter, &request).unwrap().0, 200);
            id += 50;
        }
        id
    });
    let mut before = 0;
    for _ in 0..10 {
        let (code, said, errors) = back_up(&config, &["--verify", &at("copy.db")]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(said.contains("copy.db: sound; schema 9, 2 apps, "), "{said}");
        // What was registered together is there together.
        let tracked: u64 = sqlite(&folder.path().join("copy.db"), "SELECT count(*) FROM message")[0].parse().unwrap();
        assert!(tracked.is_multiple_of(50) && tracked >= before, "{tracked} after {before}");
        before = tracked;
    }
    assert!(before > 50, "{before}");
    is_over.store(true, Ordering::Relaxed);
    let registered = writing.join().unwrap();
    // Quiet: the copy has what the page has.
    eventually("all on the page", 10, || {
        let page = program.try_scrape()?;
        let series = r#"push_messages_registered_total{provider="jpush",app="shop",source="api"}"#;
        (page.get(series)? == registered as f64).then_some(())
    });
    program.terminate();
    let page_before = {
        let (code, said, errors) = back_up(&config, &["--verify", &at("last.db")]);
        assert_eq!(code, Some(0), "{errors}");
        // What it says is in the file, counted by another program.
        let last = folder.path().join("last.db");
        let total: i64 = sqlite(&last, "SELECT sum(total) FROM series")[0].parse().unwrap();
        assert!(total >= registered as i64 && said.contains(&format!(" counters with a sum of {total}, ")), "{said}");
        let copied = write("copied.yml", "last.db");
        let exporter = Program::start(&["--config.file", &copied]);
        deliveries(&exporter.try_scrape().unwrap())
    };
    let again = Program::start(&["--config.file", &config]);
    for (series, count) in deliveries(&again.try_scrape().unwrap()) {
        if series.contains("registered") {
            assert_eq!(page_before.get(&series), Some(&count), "{series}");
        }
    }
    assert!(page_before.len() >= 3, "{page_before:?}");
    assert!(!folder.path().join("copy.db-wal").exists() && !folder.path().join("copy.db.new").exists());
}

#[test]
fn what_cannot_be_copied_or_is_not_sound() {
    let folder = fast_dir();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let app = "jpush: [{app: shop, app_key: k, master_secret: s}]\n";
    std::fs::write(at("push-exporter.yml"), app).unwrap();
    let config = at("push-exporter.yml");
    let (code, said, errors) = back_up(&config, &[&at("copy.db")]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(errors.contains("push-exporter.db") && errors.contains("No such file"), "{errors}");
    drop(Program::start(&["--config.file", &config]));
    assert_eq!(back_up(&config, &[&at("copy.db")]).0, Some(0));
    let (code, _, errors) = back_up(&config, &[&at("push-exporter.db")]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("is the ledger itself"), "{errors}");
    let (code, _, errors) = back_up(&config, &[&at("missing/copy.db")]);
    assert!(code == Some(1) && errors.contains("missing/copy.db"), "{errors}");
    // A copy that cannot begin, since something is in its way, and one of a later release.
    std::fs::create_dir(at("blocked.db.new")).unwrap();
    let (code, _, errors) = back_up(&config, &[&at("blocked.db")]);
    assert!(code == Some(1) && errors.contains("blocked.db.new"), "{errors}");
    sqlite(&folder.path().join("push-exporter.db"), "PRAGMA user_version = 1000");
    let (code, _, errors) = back_up(&config, &["--verify", &at("newer.db")]);
    assert!(code == Some(1) && errors.contains("schema 1000"), "{errors}");
    // What fails leaves the earlier copy.
    let earlier = std::fs::read(at("copy.db")).unwrap();
    std::fs::write(at("push-exporter.db"), vec![7; 100_000]).unwrap();
    let (code, _, errors) = back_up(&config, &["--verify", &at("copy.db")]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(std::fs::read(at("copy.db")).unwrap(), earlier);
    std::fs::write(at("postgres.yml"), format!("ledger: postgres://push@127.0.0.1:1/push\n{app}")).unwrap();
    let (code, _, errors) = back_up(&at("postgres.yml"), &[&at("copy.db")]);
    assert!(code == Some(2) && errors.contains("pg_dump"), "{errors}");
}
