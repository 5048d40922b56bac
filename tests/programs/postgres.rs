//! A ledger in PostgreSQL, as an operator meets it: errors that say what to do, and a server that goes away
//! and comes back. What is counted is tested by `tests/postgres.sh`, which runs the tests of SQLite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use push_exporter::config::postgres_address::PostgresAddress;
use push_exporter::ledger::postgres::Postgres;
use push_exporter::ledger::{Commit, Confirmation, Store};

use crate::support::hundred_messages::{BATCH, answer, apps, hundred};
use crate::support::ledger_world::{World, counting};
use crate::support::postgres::Server;
use crate::support::{Program, certificates, eventually, replica, said, sqlite};

const PASSWORD: [(&str, &str); 1] = [("PGPASSWORD", "hunter2")];

/// A configuration with this ledger, in the folder of a world.
fn config(world: &World, name: &str, ledger: &str) -> PathBuf {
    let file = world.folder.path().join(format!("{name}.yml"));
    let replica = format!("replica: {{name: {name}, lease: 5s}}\n");
    std::fs::write(&file, format!("ledger: {ledger}\n{replica}{}", world.text)).unwrap();
    file
}

fn start(world: &World, name: &str, ledger: &str) -> Option<Program> {
    let file = config(world, name, ledger);
    Program::try_start(&["--config.file", file.to_str().unwrap()], &PASSWORD)
}

/// Exit code and standard error of an exporter that is to end by itself.
fn refused(world: &World, ledger: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let file = config(world, "refused", ledger);
    let mut command = Program::binary();
    command.args(["--web.listen-address", "127.0.0.1:0", "--log.level", "error", "--config.file"]).arg(file);
    let output = command.env_remove("PGPASSWORD").envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("hunter2") && !said.contains("wr0ng"), "a password is in the output: {said}");
    (output.status.code(), said)
}

#[test]
fn errors_say_what_to_do() {
    let (server, world) = (Server::start(), World::new());
    server.sql("push", "CREATE ROLE guest LOGIN PASSWORD 'hunter2'");
    server.sql("postgres", "CREATE DATABASE careless");
    server.sql("postgres", "ALTER DATABASE careless SET synchronous_commit = off");
    let [url, guest, careless, nowhere] =
        [("push", "push"), ("guest", "push"), ("push", "careless"), ("push", "nowhere")]
            .map(|(user, database)| server.url(user, database));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = url.replace(&server.port.to_string(), &free.to_string());
    let tls = format!("{url}?sslmode=require");
    let ca = format!("{url}?sslmode=verify-full&sslrootcert={}/ca.pem", world.folder.path().display());
    for (ledger, environment, code, expected) in [
        (&nowhere, &PASSWORD[..], 1, "create it: CREATE DATABASE nowhere"),
        (
            &url,
            &[("PGPASSWORD", "wr0ng")],
            1,
            "password authentication failed for user \"push\"; set PGPASSWORD or a password file",
        ),
        (&url, &[], 1, "password missing; set PGPASSWORD or a password file"),
        (&away, &PASSWORD, 1, "Connection refused"),
        (&away, &PASSWORD, 1, "check host, port, network and that the server runs"),
        (&guest, &PASSWORD, 1, "GRANT USAGE, CREATE ON SCHEMA public TO guest"),
        (&careless, &PASSWORD, 1, "set it to on: ALTER DATABASE"),
        (&tls, &PASSWORD, 1, "server does not support TLS"),
        (&ca, &PASSWORD, 1, "ca.pem: "),
        (
            &format!("{url}?sslmode=strict"),
            &PASSWORD,
            2,
            "sslmode must be disable, prefer, require, verify-ca or verify-full",
        ),
        (&format!("{url}?pool=3"), &PASSWORD, 2, "is not a PostgreSQL URL: "),
        (&url.strip_suffix("/push").unwrap().to_owned(), &PASSWORD, 2, "names no database"),
    ] {
        let (found, said) = refused(&world, ledger, environment);
        assert_eq!(found, Some(code), "{ledger}: {said}");
        assert!(said.contains(expected), "{ledger}: {expected:?} is not in {said}");
    }
    // An earlier release, with the tables of schema 1, still writes.
    server.sql("postgres", "CREATE DATABASE earlier");
    server.sql("earlier", "CREATE TABLE push_exporter_schema (version INTEGER NOT NULL)");
    server.sql("earlier", "INSERT INTO push_exporter_schema VALUES (1)");
    server.sql("earlier", "CREATE TABLE writer (name TEXT NOT NULL, expires TIMESTAMPTZ NOT NULL)");
    server.sql("earlier", "INSERT INTO writer VALUES ('old-one', clock_timestamp() + interval '1 hour')");
    let (found, said) = refused(&world, &server.url("push", "earlier"), &PASSWORD);
    assert_eq!(found, Some(1), "{said}");
    assert!(said.contains("the replica old-one of an earlier release uses them; stop all replicas"), "{said}");
    assert_eq!(server.sql("earlier", "SELECT version FROM push_exporter_schema").trim(), "1");
    // Written by a release of the future.
    let mut program = start(&world, "first", &url).unwrap();
    assert_eq!(program.terminate().0, Some(0));
    server.sql("push", "UPDATE push_exporter_schema SET version = 99");
    let said = refused(&world, &url, &PASSWORD).1;
    assert!(said.contains("a newer push-exporter (schema 99, this one knows 4); use that release"), "{said}");
}

#[test]
fn a_password_file_is_read() {
    let (server, world) = (Server::start(), World::new());
    let passfile = world.folder.path().join("passfile");
    std::fs::write(&passfile, format!("127.0.0.1:{}:push:push:hunter2\n", server.port)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = |mode| std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(mode)).unwrap();
    let ledger = format!("{}?passfile={}", server.url("push", "push"), passfile.display());
    mode(0o644);
    let (_, said) = refused(&world, &ledger, &[]);
    assert!(said.contains("password missing"), "{said}");
    mode(0o600);
    let file = config(&world, "a", &ledger);
    assert!(Program::try_start(&["--config.file", file.to_str().unwrap()], &[]).is_some());
}

#[test]
fn a_server_that_goes_away_comes_back() {
    let (server, world) = (Server::start(), World::new());
    let mut program = start(&world, "a", &server.url("push", "push")).unwrap();
    let before = counting(&program, &BTreeMap::new()).counters();
    server.halt();
    // While the lease lasts the page stays; then another replica might show the apps.
    let away = std::time::Instant::now();
    let last = eventually("the apps to leave the page", 30, || {
        let page = program.try_scrape().expect("scrapes are answered");
        page.counters().is_empty().then_some(page)
    });
    let passed = away.elapsed().as_secs_f64();
    assert!((3.0..7.0).contains(&passed), "{passed} s, the lease is 5 s");
    assert_eq!(last.get("push_exporter_ledger_up"), Some(0.0));
    assert_eq!(program.get("/-/healthy").0, 200);
    server.resume();
    let page = counting(&program, &before);
    page.assert_not_below(&before, "after the server came back");
    counting(&program, &page.counters());
    for text in ["cannot renew the lease", "renewed the lease again", "the ledger can be written again"] {
        assert_eq!(program.log().matches(text).count(), 1, "{text}\n{}", program.log());
    }
    assert_eq!(program.terminate().0, Some(0));
}

#[test]
fn the_certificate_is_verified_as_sslmode_says() {
    let (server, world) = (Server::start(), World::new());
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    server.encrypt(&file("leaf.crt"), &file("leaf.key"));
    let address = |host: &str, parameters: &str| {
        format!("{}?{parameters}", server.url("push", "push").replace("127.0.0.1", host))
    };
    let root = |name: &str| format!("sslrootcert={}", file(name).display());
    let (own, other) = (root("client-ca.pem"), root("other.crt"));
    for (host, parameters) in [
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("localhost", format!("sslmode=verify-full&{own}")),
        ("localhost", format!("sslmode=verify-ca&{own}")),
        // The server's own certificate is as good as its CA, whatever host it names.
        ("localhost", format!("sslmode=verify-full&{}", root("leaf.crt"))),
        ("127.0.0.1", format!("sslmode=verify-ca&{}", root("leaf.crt"))),
    ] {
        let mut program = start(&world, "a", &address(host, &parameters)).unwrap_or_else(|| panic!("{parameters}"));
        let encrypted = server.sql("push", "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'push-exporter'");
        assert_eq!(encrypted, "t", "{parameters}");
        assert_eq!(program.terminate().0, Some(0));
    }
    for (host, parameters) in [
        ("localhost", format!("sslmode=verify-full&{other}")),
        ("localhost", format!("sslmode=verify-ca&{other}")),
        ("localhost", format!("sslmode=require&{other}")),
    ] {
        let (code, said) = refused(&world, &address(host, &parameters), &PASSWORD);
        let expected = "is not accepted: the server's certificate is not signed by a trusted CA; add its CA, or the certificate itself, to sslrootcert";
        assert!(code == Some(1) && said.contains(expected), "{parameters}: {said}");
    }
}

#[test]
fn the_host_is_verified_and_a_client_certificate_presented() {
    let (server, world) = (Server::start(), World::new());
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    // It names other.example, which is not where the server is.
    let make = "openssl req -new -key leaf.key -subj /CN=other.example -out other.csr && printf subjectAltName=DNS:other.example >ext \
         && openssl x509 -req -in other.csr -CA client-ca.pem -CAkey client-ca.key -CAcreateserial -extfile ext -out elsewhere.crt";
    let made = std::process::Command::new("sh").args(["-c", make]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    server.encrypt(&file("elsewhere.crt"), &file("leaf.key"));
    let ca = file("client-ca.pem");
    let path = |name: &str| file(name).display().to_string();
    let address = |mode: &str, more: &str| {
        let url = server.url("push", "push").replace("127.0.0.1", "localhost");
        format!("{url}?sslmode={mode}&sslrootcert={}{more}", ca.display())
    };
    let (code, said) = refused(&world, &address("verify-full", ""), &PASSWORD);
    assert!(code == Some(1) && said.contains("is not accepted") && said.contains("localhost"), "{said}");

    let more = format!("&sslcert={}&sslkey={}", path("client.crt"), path("client.key"));
    server.trust_clients_of(&ca);
    let shown = "SELECT DISTINCT client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'push-exporter'";
    for (more, client) in [("", ""), (more.as_str(), "/CN=client")] {
        let mut program = start(&world, "a", &address("verify-ca", more)).unwrap();
        assert_eq!(server.sql("push", shown), client);
        assert_eq!(program.terminate().0, Some(0));
    }
}

/// The statements between each BEGIN and its COMMIT, by the server's log.
fn transactions(log: &str) -> Vec<usize> {
    let (mut all, mut open) = (Vec::new(), None);
    for line in log.lines().filter(|line| line.contains("statement: ") || line.contains("execute <unnamed>: ")) {
        match &mut open {
            _ if line.ends_with("statement: START TRANSACTION") || line.ends_with("statement: BEGIN") => open = Some(0),
            Some(count) if line.ends_with("statement: COMMIT") => {
                all.push(*count);
                open = None;
            }
            Some(count) => *count += 1,
            None => {}
        }
    }
    all
}

#[tokio::test]
async fn a_commit_of_a_hundred_messages_takes_eight_statements() {
    let server = Server::start();
    server.sql("postgres", "ALTER SYSTEM SET log_statement = 'all'");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let password = |name: &str| (name == "PGPASSWORD").then(|| "hunter2".to_owned());
    let lease = std::time::Duration::from_secs(30);
    let address = PostgresAddress::parse(&server.url("push", "push"), replica("a", lease), password).unwrap();
    let mut store: Box<dyn Store> = Box::new(Postgres::open(&address).await.unwrap());
    let [app, _] = apps(store.as_mut()).await;
    let due = hundred(store.as_mut(), app).await;
    let before = transactions(&server.log()).len();
    for number in 1..=3 {
        let confirmation = Confirmation { correction: jiff::SignedDuration::from_secs(-5), first_known: None };
        let commit = answer(app, &due, number);
        let confirmation = (number == 1).then_some(confirmation);
        let unknown = vec![format!("name {number}")];
        let receipt = store.commit(Commit { confirmation, unknown, ..commit }).await.unwrap();
        assert_eq!(receipt.series.iter().map(|series| series.total).max(), Some(number * BATCH as i64));
    }
    let counts = &transactions(&server.log())[before..];
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.iter().all(|count| (1..=8).contains(count)), "{counts:?}");
}

/// Runs `ledger copy`; the exit code, and what it said.
fn copy(from: &str, to: &str) -> (Option<i32>, String) {
    let mut command = Program::binary();
    command.args(["ledger", "copy", "--from", from, "--to", to]).envs(PASSWORD);
    let output = command.output().unwrap();
    (output.status.code(), said(&output))
}

/// Every row of every table that both engines have, in an order that does not depend on the engine.
fn all_rows(file: &Path) -> BTreeMap<String, Vec<String>> {
    let database = rusqlite::Connection::open(file).unwrap();
    let query = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let values = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column).unwrap());
            Ok(format!("{:?}", values.collect::<Vec<_>>()))
        };
        let mut rows: Vec<String> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        rows.sort();
        rows
    };
    let tables = query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'probe'");
    let name = |table: &String| table.split('"').nth(1).unwrap().to_owned();
    tables.iter().map(|table| (name(table), query(&format!("SELECT * FROM {}", name(table))))).collect()
}

#[test]
fn a_ledger_is_copied_there_and_back() {
    let (server, world) = (Server::start(), World::new());
    let before = world.count().counters();
    let file = world.ledger();
    // What an Easemob app does not have: messages, with and without numbers, as large as they can be.
    sqlite(
        &file,
        "INSERT INTO message (app, subject, report, sent, pace, due, at_10m, shape, watermark, failures, aside, category) VALUES \
             (1, '9223372036854775807', 'received_detail', 1, 60000, 9223372036854775807, 1, 'a', x'00ff', 2, 0, 'sale'), \
             (1, 'é\"''', 'received_detail', -1, 0, 0, 0, '', NULL, 0, 1, NULL); \
         INSERT INTO category VALUES (1, 'sale'); INSERT INTO id_source VALUES (1, 'api', 9223372036854775807); \
         INSERT INTO tombstone VALUES (1, 'gone', 9223372036854775807); \
         INSERT INTO file_mark VALUES (1, '/var/log/ids', 1, -1, 5, 2, x'0a', 1, 0); \
         INSERT INTO unknown_name VALUES (1, 'offline_push', '鸿蒙'); INSERT INTO unknown_label VALUES (1, 'x'); \
         INSERT INTO unknown_field SELECT 1, max(id) FROM field; \
         INSERT INTO newest_message VALUES (1, 'received_detail', '7', 3, '[1]'); \
         INSERT INTO window_gauge VALUES (1, 'users', '', 'day', 9); \
         INSERT INTO window_gauge_value VALUES (1, 'users', '', 'day', 'push_users', '[]', 3); \
         UPDATE series SET total = 9007199254740993 WHERE id = (SELECT max(id) FROM series)",
    );
    let original = all_rows(&file);
    assert!(original.values().all(|rows| !rows.is_empty()), "a table has no row: {original:?}");
    let (here, there) = (format!("sqlite:{}", file.display()), server.url("push", "push"));
    let (code, text) = copy(&here, &there);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("copied 1 apps, ") && text.contains(", 2 tracked messages"), "{text}");
    assert!(!text.contains("baseline"), "{text}");
    // New rows get numbers of their own.
    for table in ["app", "series", "field", "message"] {
        let sql = format!("SELECT nextval(pg_get_serial_sequence('{table}', 'id')) > (SELECT max(id) FROM {table})");
        assert_eq!(server.sql("push", &sql), "t", "{table}");
    }
    let back = world.folder.path().join("back.db");
    assert_eq!(copy(&there, &format!("sqlite:{}", back.display())).0, Some(0));
    assert_eq!(all_rows(&back), original);
    // Nothing is added to a ledger that is in use, or that has apps.
    let (code, text) = copy(&here, &there);
    assert!(code == Some(1) && text.contains("already has apps"), "{text}");
    // Counters go on, with the label of replicas.
    let with_instance = |(series, total): (String, i64)| (series.replace('}', ",instance=\"push-exporter\"}"), total);
    let before: BTreeMap<String, i64> = before.into_iter().map(with_instance).collect();
    let program = start(&world, "a", &there).unwrap();
    counting(&program, &before).assert_not_below(&before, "after the copy");
    let (code, text) = copy(&there, &format!("sqlite:{}", world.folder.path().join("second.db").display()));
    assert!(code == Some(1) && text.contains("the replica a uses the database; stop all replicas"), "{text}");
    for (from, to, code, expected) in [
        ("sqlite:/nowhere.db", there.as_str(), 1, "/nowhere.db does not exist"),
        ("push-exporter.db", &there, 2, "--from must be sqlite:FILE or postgres://USER@HOST/DATABASE"),
        (&here, &here, 2, "are the same ledger"),
    ] {
        let (found, text) = copy(from, to);
        assert!(found == Some(code) && text.contains(expected), "{text}");
    }
}
