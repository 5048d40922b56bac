//! Replicas that share the apps of one PostgreSQL ledger: each app is on one page, and on another one within a lease of the
//! loss of its owner.

use std::time::{Duration, Instant};

use crate::support::fleet::{Fleet, LEASE, all_apps, apps_of, counters, shared};
use crate::support::growing_apps::GrowingApps;
use crate::support::postgres::Server;
use crate::support::{Page, Program, eventually, signal, try_talk};

const APPS: usize = 12;

/// Waits for all apps on these pages with counters that are not below these.
#[track_caller]
fn count_on(replicas: &[&Program], before: &std::collections::BTreeMap<String, i64>, when: &str) {
    let mut page = Page::default();
    eventually(when, 60, || {
        shared(replicas, APPS, 0);
        page = Page(counters(replicas).into_iter().map(|(name, value)| (name, value as f64)).collect());
        let has_grown = page.counters().values().sum::<i64>() > before.values().sum::<i64>();
        (has_grown && before.keys().all(|series| page.get(series).is_some())).then_some(())
    });
    page.assert_not_below(before, when);
}

#[test]
fn apps_are_shared_and_the_loss_of_a_replica_costs_a_lease() {
    let fleet = Fleet::of(APPS);
    let mut first = fleet.start("first");
    shared(&[&first], APPS, APPS);
    let page = first.try_scrape().unwrap();
    assert!(page.counters().keys().all(|series| series.contains(r#"instance="fleet""#)), "{page:?}");
    assert_eq!(page.get("push_exporter_apps_owned"), Some(APPS as f64));
    let mut second = fleet.start("second");
    assert_eq!(apps_of(&second.try_scrape().unwrap()).len(), 0, "all are owned, and the second has only just joined");
    let before = counters(&[&first]);
    let shares = shared(&[&first, &second], APPS, 2);
    count_on(&[&first, &second], &before, "after a handover");
    assert_eq!(
        second.try_scrape().unwrap().get("push_exporter_takeovers_total"),
        Some(shares.values().sum::<usize>() as f64)
    );

    // Nobody needs a page to see it.
    let config = fleet.folder.path().join("first.yml");
    let mut check = Program::binary();
    check.args(["check", "--config.file", config.to_str().unwrap()]).env("PGPASSWORD", "hunter2");
    let text = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(text.contains("\nReplicas: first, second\nPROVIDER  APP    OWNER\n"), "{text}");
    for (app, owner) in &shares {
        let owner = ["first", "second"][*owner];
        assert!(text.contains(&format!("\neasemob   {app:5}  {owner}\n")), "{app} of {owner}: {text}");
    }

    // A replica that is killed is missed for a lease.
    let before = counters(&[&first, &second]);
    let killed = Instant::now();
    first.child.kill().unwrap();
    first.exit_code();
    count_on(&[&second], &before, "after a kill");
    assert!(killed.elapsed() > Duration::from_secs(LEASE / 2), "{:?}", killed.elapsed());

    // Back again, it gets its share again; a clean stop gives all of it up at once.
    let mut first = fleet.start("first");
    assert_eq!(shared(&[&first, &second], APPS, 2), shares, "the same as before");
    let before = counters(&[&first, &second]);
    let second_page = second.try_scrape().unwrap();
    assert_eq!(second.terminate().0, Some(0));
    let stopped = Instant::now();
    shared(&[&first], APPS, APPS);
    assert!(stopped.elapsed() < Duration::from_secs(LEASE), "{:?}", stopped.elapsed());
    count_on(&[&first], &before, "after a clean stop");
    drop(second_page);
    assert_eq!(first.terminate().0, Some(0));
}

#[test]
fn one_that_was_stopped_shows_nothing_of_what_others_have_taken_over() {
    let fleet = Fleet::of(APPS);
    let (first, second) = (fleet.start("first"), fleet.start("second"));
    shared(&[&first, &second], APPS, 2);
    for round in 0..3 {
        let before = counters(&[&first, &second]);
        signal(&first.child, "STOP");
        shared(&[&second], APPS, APPS);
        // A scrape waits at its door, and is the first thing that it sees.
        let address = first.address;
        let waiting: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || crate::support::try_get(address, "/metrics").unwrap().1))
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        signal(&first.child, "CONT");
        for page in waiting {
            let page = Page::parse(&page.join().unwrap());
            assert_eq!(page.counters().len() + apps_of(&page).len(), 0, "round {round}: {page:?}");
        }
        shared(&[&first, &second], APPS, 2);
        count_on(&[&first, &second], &before, "after it went on");
        assert_eq!(first.log().matches("lost the lease; rejoining").count(), round + 1);
    }
}

#[test]
fn the_name_of_a_replica_is_used_once() {
    let fleet = Fleet::of(1);
    let mut first = fleet.start("same");
    shared(&[&first], 1, 1);
    let before = counters(&[&first]);
    // One that cannot listen takes nothing from it.
    let (address, config) = (first.address.to_string(), fleet.folder.path().join("same.yml"));
    let mut busy = Program::binary();
    busy.args(["--web.listen-address", &address, "--config.file"]).arg(config).env("PGPASSWORD", "hunter2");
    let output = busy.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen on"));
    count_on_one(&first, &before);
    let again = fleet.start("same");
    assert_eq!(first.exit_code(), Some(1));
    assert!(first.log().contains("give each replica its own replica.name"), "{}", first.log());
    count_on_one(&again, &before);
}

fn count_on_one(replica: &Program, before: &std::collections::BTreeMap<String, i64>) {
    eventually("counters that go on", 60, || {
        let now = counters(&[replica]);
        (now.len() >= before.len() && now.values().sum::<i64>() > before.values().sum::<i64>()).then_some(())
    });
}

/// Posts a request with a body.
fn post(replica: &Program, path: &str, body: &str) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\n");
    let length = body.len();
    try_talk(
        replica.address,
        &format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
    .unwrap()
}

/// Apps of JPush, of which nobody answers, that take message ids.
fn message_apps(count: usize) -> String {
    let app = |number| {
        format!("  - {{app: app{number}, app_key: {number:024x}, master_secret: m, base_url: 'http://127.0.0.1:1'}}\n")
    };
    format!("message_api: {{token: t0ken}}\njpush:\n{}", (0..count).map(app).collect::<String>())
}

#[test]
fn message_ids_are_taken_by_any_replica() {
    let fleet = Fleet::of(0);
    let (apps, ledger) = (message_apps(6), fleet.server.url("push", "push"));
    let [first, second] = ["first", "second"].map(|name| fleet.start_with(name, &apps, &ledger));
    // Without a message nothing is due.
    let replicas = [&first, &second];
    let owners = eventually("both to own some", 60, || {
        let owned = replicas.map(|replica| replica.try_scrape().unwrap().starting(&["push_tracked_messages"]));
        let is_of = |app: usize, owner: &usize| {
            owned[*owner].keys().any(|series| series.contains(&format!("app=\"app{app}\"")))
        };
        let owners: Vec<usize> = (0..6).filter_map(|app| (0..2).find(|owner| is_of(app, owner))).collect();
        (owners.len() == 6 && owners.contains(&0) && owners.contains(&1)).then_some(owners)
    });
    for (app, owner) in owners.iter().enumerate() {
        // Both are asked, and both know what the other was told.
        for (replica, new) in [(1 - owner, 1), (*owner, 0)] {
            let said = post(
                replicas[replica],
                "/api/v1/messages",
                &format!(r#"{{"app":"app{app}","msg_id":"{}"}}"#, 1000 + app),
            );
            assert_eq!(said, (200, format!(r#"{{"received":1,"new":{new},"too_old":0}}"#)), "app{app}");
        }
        let labels = format!(r#"provider="jpush",app="app{app}""#);
        let (registered, tracked) = (
            format!(r#"push_messages_registered_total{{{labels},source="api",instance="fleet"}}"#),
            format!(r#"push_tracked_messages{{{labels},state="waiting",instance="fleet"}}"#),
        );
        eventually("the owner to know", 5, || {
            let page = replicas[*owner].try_scrape()?;
            (page.get(&registered) == Some(1.0) && page.get(&tracked) == Some(1.0)).then_some(())
        });
        let other = replicas[1 - owner].try_scrape().unwrap();
        assert_eq!(other.get(&registered), None, "only the owner shows it");
    }
    // Each status page names the owners of the others' apps.
    let mine = owners.iter().filter(|owner| **owner == 0).count();
    let others = eventually("the status of the others", 10, || {
        let status: serde_json::Value = serde_json::from_str(&first.get("/api/v1/status").1).unwrap();
        let others = status["other_apps"].as_array().unwrap().clone();
        (others.len() == 6 - mine && others.iter().all(|app| app["owner"] == "second")).then_some(others)
    });
    assert!(first.get("/").1.contains("polled by second"));
    let app = others[0]["app"].as_str().unwrap();
    let polled = post(&first, &format!("/-/poll?app={app}&all"), "");
    assert_eq!(polled, (404, format!("The replica second polls {app}; send the request there.\n")));
}

/// How many apps a large fleet has; `tests/long.sh` asks for a thousand.
fn many() -> usize {
    std::env::var("PUSH_EXPORTER_FLEET").map_or(300, |count| count.parse().expect("a number of apps"))
}

#[test]
fn many_apps_are_spread_evenly_and_few_of_them_move() {
    let (fleet, count) = (Fleet::on(Server::start()), many());
    let (_world, apps) = GrowingApps::start(count);
    let apps = apps.replace("interval: 2s", "interval: 30s");
    let ledger = fleet.server.url("push", "push");
    let mut replicas: Vec<Program> =
        ["first", "second", "third"].map(|name| fleet.start_with(name, &apps, &ledger)).into();
    // A fifth more or less than even is allowed, of a thousand apps; of fewer, chance moves more.
    let slack = if count < 1000 { 2 } else { 5 };
    let settle = |replicas: &[Program]| {
        let even = count / replicas.len();
        let all: Vec<&Program> = replicas.iter().collect();
        let shares = eventually("even shares", 120, || {
            let owners = all_apps(&all);
            let of = |index: usize| owners.values().filter(|owner| **owner == index).count();
            let is_even = |share: usize| share.abs_diff(even) <= even / slack;
            (owners.len() == count && (0..all.len()).map(of).all(is_even)).then_some(owners)
        });
        // Until nothing has moved for two leases.
        let mut before = shares;
        loop {
            std::thread::sleep(Duration::from_secs(2 * LEASE));
            let owners = shared(&all, count, 1);
            if owners == before {
                return owners;
            }
            before = owners;
        }
    };
    let three = settle(&replicas);
    for replica in &replicas {
        let page = replica.try_scrape().unwrap();
        let requests: i64 = page.starting(&["push_api_requests_total"]).values().sum();
        let [cpu, owned] =
            ["process_cpu_seconds_total", "push_exporter_apps_owned"].map(|name| page.get(name).unwrap());
        println!("{owned} of {count} apps: {requests} requests and {cpu:.1} s of CPU since the start");
    }
    // A fourth gets its share from each, and the others keep what they have.
    replicas.push(fleet.start_with("fourth", &apps, &ledger));
    let four = settle(&replicas);
    let moved: Vec<_> = three.iter().filter(|(app, owner)| four[*app] != **owner).collect();
    assert!(moved.iter().all(|(app, _)| four[*app] == 3), "only to the fourth");
    // It leaves, and all is as before.
    assert_eq!(replicas.pop().unwrap().terminate().0, Some(0));
    assert_eq!(settle(&replicas), three);
}

#[test]
fn an_app_belongs_to_who_has_it_configured_with_the_same_account() {
    let fleet = Fleet::of(6);
    let ledger = fleet.server.url("push", "push");
    // The second has half of the apps, and of them all with another account.
    let lines: Vec<&str> = fleet.apps.lines().collect();
    let few = lines[..4].join("\n").replace("org_name: acme", "org_name: other") + "\n";
    let mut first = fleet.start("first");
    shared(&[&first], 6, 6);
    let mut second = fleet.start_with("second", &few, &ledger);
    std::thread::sleep(Duration::from_secs(2 * LEASE));
    assert_eq!(shared(&[&first, &second], 6, 0).values().filter(|owner| **owner == 0).count(), 6);
    let status: serde_json::Value = serde_json::from_str(&second.get("/api/v1/status").1).unwrap();
    assert_eq!(status["other_apps"].as_array().unwrap().len(), 3);
    assert_eq!(status["summary"], "Other replicas poll all apps.");
    // When no replica has the old account any more, the new one begins with a baseline.
    let before = counters(&[&first]);
    assert_eq!(first.terminate().0, Some(0));
    eventually("the second to have its apps", 30, || (apps_of(&second.try_scrape()?).len() == 3).then_some(()));
    assert_eq!(second.log().matches("the account has changed; its counters continue from a new baseline").count(), 3);
    let now = second.try_scrape().unwrap();
    let theirs = before.into_iter().filter(|(series, _)| now.get(series).is_some()).collect();
    now.assert_not_below(&theirs, "with the other account");
    assert_eq!(second.terminate().0, Some(0));
}

#[test]
fn a_reload_with_another_account_hands_the_app_to_a_replica_with_the_old_one() {
    let fleet = Fleet::of(4);
    let first = fleet.start("first");
    shared(&[&first], 4, 4);
    let second = fleet.start("second");
    let owners = shared(&[&first, &second], 4, 1);
    let before = counters(&[&first, &second]);
    // A canary: only the first has the new account.
    let file = fleet.folder.path().join("first.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("org_name: acme", "org_name: other")).unwrap();
    signal(&first.child, "HUP");
    first.logged("reloaded the configuration");
    eventually("the second to have all apps", 30, || (apps_of(&second.try_scrape()?).len() == 4).then_some(()));
    assert!(owners.values().any(|owner| *owner == 0));
    let page = second.try_scrape().unwrap();
    page.assert_not_below(&before, "with the old account");
    assert!(!second.log().contains("the account has changed"));
}

#[test]
fn a_replica_whose_clock_is_two_hours_ahead_counts_nothing_twice() {
    const APPS: usize = 3;
    let fleet = Fleet::on(Server::start());
    let (world, apps) = GrowingApps::start(APPS);
    let ledger = fleet.server.url("push", "push");
    let mut first = fleet.start_with("first", &apps, &ledger);
    world.begin();
    shared(&[&first], APPS, APPS);
    let file = fleet.folder.path().join("second.yml");
    let text = std::fs::read_to_string(fleet.folder.path().join("first.yml")).unwrap();
    std::fs::write(&file, text.replace("name: first", "name: second")).unwrap();
    // faketime itself would remain beside the program, as its parent.
    let library = eventually("libfaketime, which tests/run.sh installs", 1, || {
        let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
        folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists())
    });
    let mut command = Program::binary();
    command.args(["--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(&file);
    command.envs([("PGPASSWORD", "hunter2"), ("FAKETIME", "+2h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    command.env("LD_PRELOAD", library);
    let second = Program::try_run(command).expect("it ended at once");
    let counted = |replica: &Program, before: &std::collections::BTreeMap<String, i64>| {
        eventually("counters that go on", 60, || {
            let now = counters(&[replica]);
            let is_above = |(series, total): (&String, &i64)| now.get(series).is_some_and(|now| now > total);
            let sent = before.iter().filter(|(series, _)| series.starts_with("push_messages_sent_total"));
            (now.len() >= before.len() && sent.clone().count() > 0 && sent.clone().all(is_above)).then_some(now)
        })
    };
    // From the right clock to the wrong one, and back.
    let before =
        eventually("counters", 30, || Some(counters(&[&first])).filter(|all| all.values().any(|total| *total > 0)));
    let before = counted(&first, &before);
    assert_eq!(first.terminate().0, Some(0));
    let ahead = counted(&second, &before);
    let first = fleet.start_with("first", &apps, &ledger);
    signal(&second.child, "KILL");
    let last = counted(&first, &ahead);
    world.end();
    let totals = world.totals();
    eventually("the truth", 60, || {
        let now = counters(&[&first]);
        let sent: i64 = now
            .iter()
            .filter(|(series, _)| series.starts_with("push_messages_sent_total"))
            .map(|(_, total)| total)
            .sum();
        assert!(last.iter().all(|(series, total)| now.get(series).is_none_or(|now| now >= total)));
        (sent == totals.values().sum::<i64>()).then_some(())
    });
}
