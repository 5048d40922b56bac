//! PostgreSQL as it is run: a primary whose standby is promoted, PgBouncer in front of it, connections that break in the
//! middle of a COMMIT.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use push_exporter::config::postgres_address::PostgresAddress;
use push_exporter::ledger::Store;
use push_exporter::ledger::postgres::Postgres;

use crate::support::commit_cutter::{ANSWER, CommitCutter, Cut, REQUEST};
use crate::support::fleet::{Fleet, counters, shared};
use crate::support::growing_apps::GrowingApps;
use crate::support::hundred_messages::{BATCH, answer, apps, hundred};
use crate::support::postgres::Server;
use crate::support::{Page, Program, Running, eventually, fast_dir, replica};

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_commit_is_found_out_wherever_its_connection_breaks() {
    let server = Server::start();
    let cutter = CommitCutter::to(([127, 0, 0, 1], server.port).into());
    let url = server.url("push", "push").replace(&server.port.to_string(), &cutter.port.to_string());
    let password = |name: &str| (name == "PGPASSWORD").then(|| "hunter2".to_owned());
    let address = PostgresAddress::parse(&url, replica("a", Duration::from_secs(30)), password).unwrap();
    let mut store: Box<dyn Store> = Box::new(Postgres::open(&address).await.unwrap());
    let [app, _] = apps(store.as_mut()).await;
    let due = hundred(store.as_mut(), app).await;
    let requests = (0..REQUEST).map(Cut::Request);
    for (number, cut) in requests.chain((0..ANSWER).map(Cut::Answer)).enumerate() {
        let number = number as i64 + 1;
        cutter.cut(cut);
        let receipt = store.commit(answer(app, &due, number)).await.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        assert!(cutter.is_done(), "{cut:?}");
        let total = number * BATCH as i64;
        let highest = receipt.series.iter().map(|series| series.total).max();
        assert!(receipt.has_new_numbers && highest == Some(total), "{cut:?}: {highest:?} in place of {total}");
        let stored = server.sql("push", "SELECT DISTINCT total FROM series WHERE family LIKE 'push_messages_sent%'");
        assert_eq!(stored, total.to_string(), "{cut:?}");
    }
}

/// Waits until the last numbers are shown, and compares all of them with the truth.
#[track_caller]
fn assert_true(world: &GrowingApps, replicas: &[&Program], before: &BTreeMap<String, i64>) {
    world.end();
    let totals = world.totals();
    eventually("the last numbers", 60, || {
        let page = Page(counters(replicas).into_iter().map(|(series, total)| (series, total as f64)).collect());
        page.assert_not_below(&shown(before, &page), "at any time");
        let sent = page.starting(&["push_messages_sent_total"]);
        let of = |app: &String| {
            sent.iter().find(|(series, _)| series.contains(&format!("app=\"{app}\""))).map(|(_, total)| *total)
        };
        totals.iter().all(|(app, total)| of(app) == Some(*total)).then_some(())
    });
}

/// Those of the counters that are on a page: each app leaves it for a moment in a handover.
fn shown(counters: &BTreeMap<String, i64>, page: &Page) -> BTreeMap<String, i64> {
    counters
        .iter()
        .filter(|(series, _)| page.get(series).is_some())
        .map(|(series, total)| (series.clone(), *total))
        .collect()
}

#[test]
fn a_standby_that_is_promoted_goes_on_without_loss() {
    const APPS: usize = 6;
    let primary = Server::start();
    let standby = primary.standby();
    let (world, apps) = GrowingApps::start(APPS);
    let fleet = Fleet::on(primary);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", fleet.server.port, standby.port);
    let ledger = format!("postgres://push@{hosts}/push?target_session_attrs=read-write");
    let [first, second] = ["first", "second"].map(|name| fleet.start_with(name, &apps, &ledger));
    world.begin();
    shared(&[&first, &second], APPS, 1);
    let counted = eventually("counters", 30, || {
        let counted = counters(&[&first, &second]);
        (counted.values().filter(|total| **total > 0).count() >= APPS).then_some(counted)
    });
    fleet.server.halt();
    std::thread::sleep(Duration::from_secs(2));
    let before = [&first, &second].map(|replica| replica.try_scrape().unwrap().counters());
    standby.promote();
    shared(&[&first, &second], APPS, 0);
    let before = before.into_iter().flatten().chain(counted).fold(BTreeMap::new(), |mut all, (series, total)| {
        let highest: &mut i64 = all.entry(series).or_default();
        *highest = total.max(*highest);
        all
    });
    assert_true(&world, &[&first, &second], &before);
    assert_eq!(standby.sql("push", "SELECT count(*) FROM replica"), "2");
}

#[test]
fn replicas_share_apps_behind_pgbouncer() {
    const APPS: usize = 6;
    let (world, apps) = GrowingApps::start(APPS);
    let (server, folder) = (Server::start(), fast_dir());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [settings, users] = ["pgbouncer.ini", "users"].map(|name| folder.path().join(name));
    std::fs::write(&users, "\"push\" \"hunter2\"\n").unwrap();
    let text = format!(
        "[databases]\npush = host=127.0.0.1 port={} dbname=push\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n",
        server.port,
        users.display()
    );
    std::fs::write(&settings, text).unwrap();
    // It refuses to be run by root.
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if is_root { "setpriv" } else { "pgbouncer" });
    if is_root {
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "pgbouncer"]);
    }
    let bouncer = command.arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _bouncer = Running(bouncer.expect("pgbouncer is missing; tests/run.sh installs it"));
    eventually("pgbouncer", 20, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let fleet = Fleet::on(server);
    let ledger = format!("postgres://push@127.0.0.1:{port}/push");
    let [mut first, second] = ["first", "second"].map(|name| fleet.start_with(name, &apps, &ledger));
    world.begin();
    shared(&[&first, &second], APPS, 1);
    let before = counters(&[&first, &second]);
    first.child.kill().unwrap();
    first.exit_code();
    shared(&[&second], APPS, APPS);
    let first = fleet.start_with("first", &apps, &ledger);
    shared(&[&first, &second], APPS, 1);
    assert_true(&world, &[&first, &second], &before);
    let log = first.log() + &second.log();
    assert!(!log.contains("prepared statement") && !log.contains("level=error"), "{log}");
}
