//! Ledgers of earlier releases: opened, migrated, and counted on, with everything on the page as it was.

use std::path::Path;
use std::time::Duration;

use push_exporter::util::clock::Clock;

use crate::support::{Exporter, Log, Page, fast_dir, sqlite};

const LEDGER: &str = include_str!("../../fixtures/ledgers/schema6.sql");
/// What the release that wrote the ledger showed before it was killed.
const PAGE: &str = include_str!("../../fixtures/ledgers/schema6.prom");

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:9";

/// The series of deliveries, windows and messages.
const PREFIXES: [&str; 6] = [
    "push_messages_",
    "push_window_",
    "push_department_window_",
    "push_tracked_messages",
    "push_newest_message_timestamp",
    "push_poll_last_success",
];

/// A minute after the ledger's exporter was killed.
fn clock() -> Clock {
    Clock::following_tokio("2026-11-30T12:27:10Z".parse().unwrap())
}

/// The ledger with changes, and a configuration for it.
fn restore(folder: &Path, changes: &str) -> String {
    let ledger = folder.join("push-exporter.db");
    sqlite(&ledger, &format!("{LEDGER}\n{changes}"));
    format!(
        "new_series_hold: 5s\nmessage_api: {{token: t}}\n\
         jpush:\n  - {{app: shop-free, base_url: '{DEAD}', app_key: dd1066407b044738b6479275, master_secret: s}}\n\
         easemob:\n  - {{app: chat, base_url: '{DEAD}', org_name: acme, app_name: chat, client_id: c, client_secret: s}}\n\
         feishu:\n  - {{app: office-bot, base_url: '{DEAD}', app_id: cli_demo0000000001, app_secret: s, \
         departments: [od-sales, od-sales-east]}}\n"
    )
}

fn assert_shows_the_same(page: &Page) {
    let (shown, expected) = (page.starting(&PREFIXES), Page::parse(PAGE).starting(&PREFIXES));
    let differ: Vec<_> = shown.iter().filter(|(name, value)| expected.get(*name) != Some(value)).collect();
    let missing: Vec<_> = expected.keys().filter(|name| !shown.contains_key(*name)).collect();
    assert!(differ.is_empty() && missing.is_empty(), "{differ:#?} {missing:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_of_schema_6_goes_on() {
    let (folder, clock, log) = (fast_dir(), clock(), Log::capture());
    let text = restore(folder.path(), "");
    for _ in 0..2 {
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        // Series that were held when it was killed have shown their totals since.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_shows_the_same(&exporter.scrape().await);
        exporter.stop().await;
    }
    let lines = log.take_lines("ERROR");
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_is_logged_and_counted() {
    for damage in ["{\"settled_before\":7}", "{\"settled_before\":"] {
        let (folder, clock, log) = (fast_dir(), clock(), Log::capture());
        let text =
            restore(folder.path(), &format!("UPDATE report SET memory = '{damage}' WHERE report = 'offline_push';"));
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let page = exporter.scrape().await;
        assert_shows_the_same(&page);
        let lines = log.take_lines("ERROR");
        let is_json = damage.ends_with('}');
        // What is no JSON at all was dropped by the migration, as lines of text were.
        assert_eq!(lines.len(), usize::from(is_json), "{lines:#?}");
        assert_eq!(page.get("push_exporter_ledger_errors_total"), Some(f64::from(u8::from(is_json))));
        if is_json {
            let said = "cannot read the stored state of the report; starting without it";
            assert!(lines[0].contains(said) && lines[0].contains("report=\"offline_push\""), "{lines:#?}");
        }
        exporter.stop().await;
    }
}
