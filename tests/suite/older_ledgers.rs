//! Ledgers of earlier releases: opened, migrated, and counted on, with everything on the page as it was.

use std::time::Duration;

use push_exporter::util::clock::Clock;

use crate::support::{Exporter, Log, Page, fast_dir, tool};

const LEDGER: &str = include_str!("../fixtures/ledgers/schema6.sql");
/// What the release that wrote the ledger showed before it was killed.
const PAGE: &str = include_str!("../fixtures/ledgers/schema6.prom");

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:9";

#[tokio::test(start_paused = true)]
async fn a_ledger_of_schema_6_goes_on() {
    let folder = fast_dir();
    let ledger = folder.path().join("push-exporter.db");
    let restored = tool("sqlite3", &[ledger.to_str().unwrap()], LEDGER.as_bytes());
    assert!(restored.status.success(), "{restored:?}");
    let text = format!(
        "new_series_hold: 5s\nmessage_api: {{token: t}}\n\
         jpush:\n  - {{app: shop-free, base_url: '{DEAD}', app_key: dd1066407b044738b6479275, master_secret: s}}\n\
         easemob:\n  - {{app: chat, base_url: '{DEAD}', org_name: acme, app_name: chat, client_id: c, client_secret: s}}\n\
         feishu:\n  - {{app: office-bot, base_url: '{DEAD}', app_id: cli_demo0000000001, app_secret: s, \
         departments: [od-sales, od-sales-east]}}\n"
    );
    // A minute after it was killed.
    let clock = Clock::following_tokio("2026-11-30T12:27:10Z".parse().unwrap());
    let log = Log::capture();
    let expected = Page::parse(PAGE);
    let prefixes: Vec<&str> = vec![
        "push_messages_",
        "push_window_",
        "push_department_window_",
        "push_tracked_messages",
        "push_newest_message_timestamp",
        "push_poll_last_success",
    ];
    for _ in 0..2 {
        let exporter = Exporter::start(&text, folder.path(), &clock).await;
        // Series that were held when it was killed have shown their totals since.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let page = exporter.scrape().await;
        let (shown, expected) = (page.starting(&prefixes), expected.starting(&prefixes));
        let differ: Vec<_> = shown.iter().filter(|(name, value)| expected.get(*name) != Some(value)).collect();
        let missing: Vec<_> = expected.keys().filter(|name| !shown.contains_key(*name)).collect();
        assert!(differ.is_empty() && missing.is_empty(), "{differ:#?} {missing:#?}");
        exporter.stop().await;
    }
    let lines = log.take_lines("ERROR");
    assert!(lines.is_empty(), "{lines:#?}");
}
