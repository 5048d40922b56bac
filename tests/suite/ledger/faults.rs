//! The ledger in trouble: in use, cut, overwritten, newer, locked, removed and replaced while running. A clear message and
//! exit code 1 at the start, `push_exporter_ledger_up 0` and recovery later, and no counter that goes back. And backups.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::ledger_world::{REPORT, World, assert_is_down, assert_recovers, counting, refused};
use crate::support::{Program, eventually, fast_dir, sqlite};

/// Copies a ledger without its log, which a clean stop has emptied.
fn copy(from: &Path, to: &Path) {
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", to.display()));
    }
    std::fs::copy(from, to).unwrap();
}

#[test]
fn another_exporter_has_it() {
    let world = World::new();
    let first = world.start();
    let said = world.refused();
    let name = world.ledger();
    let name = name.display();
    let expected = format!("push-exporter: another push-exporter uses {name}; stop it, or configure another ledger\n");
    assert_eq!(said, expected);
    counting(&first, &BTreeMap::new());
}

#[test]
fn damaged_newer_and_foreign_files_are_refused() {
    let world = World::new();
    let page = world.count();
    let (ledger, whole) = (world.ledger(), world.folder.path().join("whole"));
    std::fs::copy(&ledger, &whole).unwrap();
    let name = ledger.display().to_string();
    let advice =
        "restore a backup without the old -wal and -shm files, or move all three away to start from a new baseline";
    let size = std::fs::metadata(&whole).unwrap().len();
    assert!(size > 40_000, "{size}");

    // Cut anywhere, to nothing too: never a silent fresh start.
    for keep in [0, 1, 100, 511, 4095, 4096, 8192, size / 2, size / 2 + 7, size - 4096, size - 1] {
        copy(&whole, &ledger);
        std::fs::File::options().write(true).open(&ledger).unwrap().set_len(keep).unwrap();
        println!("cut to {keep}");
        let said = world.refused();
        assert!(said.contains(&format!("{name} is damaged or not a ledger: ")), "{keep}: {said}");
        assert!(said.contains(advice), "{keep}: {said}");
    }

    // Random bytes, everywhere and in one page.
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = std::fs::read(&whole).unwrap();
    random.fill(&mut bytes);
    copy(&whole, &ledger);
    std::fs::write(&ledger, &bytes).unwrap();
    let said = world.refused();
    assert!(said.contains(&format!("{name} is damaged or not a ledger: file is not a database")), "{said}");
    for page in 1..size / 4096 {
        use std::os::unix::fs::FileExt;
        copy(&whole, &ledger);
        let file = std::fs::File::options().write(true).open(&ledger).unwrap();
        file.write_all_at(&bytes[..4096], page * 4096).unwrap();
        println!("page {page}");
        let said = world.refused();
        assert!(said.contains(&format!("{name} is damaged or not a ledger: ")), "page {page}: {said}");
    }

    // Of a newer release, and of another program.
    copy(&whole, &ledger);
    sqlite(&ledger, "PRAGMA user_version = 99");
    let said = world.refused();
    let expected = format!(
        "push-exporter: {name} was written by a newer push-exporter (schema 99, this one knows 9); use that release\n"
    );
    assert_eq!(said, expected);
    copy(&whole, &ledger);
    sqlite(&ledger, "PRAGMA application_id = 7");
    assert!(world.refused().contains("is damaged or not a ledger: it is a database of another program"));

    // Cut after a crash, when some of it is in its log: refused, or whole again by the log.
    let crashed = world.folder.path().join("crashed");
    copy(&whole, &ledger);
    let mut program = world.start();
    let last = counting(&program, &page.counters());
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let log = world.folder.path().join("push-exporter.db-wal");
    std::fs::copy(&ledger, &crashed).unwrap();
    std::fs::copy(&log, world.folder.path().join("crashed-wal")).unwrap();
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    let size = std::fs::metadata(&crashed).unwrap().len();
    for keep in [0, 100, 4096, 8192, size / 2, size / 2 + 7, size - 4096, size - 1, size] {
        copy(&crashed, &ledger);
        std::fs::copy(world.folder.path().join("crashed-wal"), &log).unwrap();
        std::fs::File::options().write(true).open(&ledger).unwrap().set_len(keep).unwrap();
        let mut program = Program::try_start(&["--config.file", world.config().to_str().unwrap()], &[]);
        let first = program.as_ref().and_then(Program::try_scrape);
        if let Some(page) = &first {
            page.assert_not_below(&last.counters(), &format!("cut to {keep}"));
        }
        if keep == size {
            assert!(first.is_some(), "it is whole");
        }
        if let Some(program) = &mut program {
            program.terminate();
        }
    }

    // Its log alone.
    copy(&whole, &ledger);
    let mut program = world.start();
    counting(&program, &page.counters());
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    std::fs::remove_file(&ledger).unwrap();
    assert!(world.refused().contains("the file is missing, but its write-ahead log (-wal) exists"));
    assert!(!ledger.exists());

    // And whole again, it goes on.
    copy(&whole, &ledger);
    let mut program = world.start();
    program.try_scrape().unwrap().assert_not_below(&page.counters(), "after the trouble");
    assert_eq!(program.terminate().0, Some(0));
    assert!(!program.log().contains("created a new ledger"));
}

#[test]
fn a_link_leads_to_the_ledger_or_nowhere() {
    let world = World::new();
    let page = world.count();
    let (ledger, volume) = (world.ledger(), world.folder.path().join("volume"));
    std::fs::create_dir(&volume).unwrap();
    let file = volume.join("ledger.db");
    std::fs::rename(&ledger, &file).unwrap();
    std::os::unix::fs::symlink(&file, &ledger).unwrap();
    let mut program = world.start();
    program.try_scrape().unwrap().assert_not_below(&page.counters(), "through a link");
    assert!(volume.join("ledger.db-wal").exists() && volume.join("ledger.db.lock").exists());
    // Whoever comes by the file itself meets it.
    let direct = world.folder.path().join("direct.yml");
    std::fs::write(&direct, format!("ledger: sqlite:volume/ledger.db\n{}", world.text)).unwrap();
    let mut command = Program::binary();
    command.args(["--web.listen-address", "127.0.0.1:0", "--log.level", "error", "--config.file"]).arg(&direct);
    assert!(refused(&mut command).contains("another push-exporter uses"));
    assert_eq!(program.terminate().0, Some(0));
    // The volume is not there: no fresh ledger in the place of the link.
    std::fs::rename(&volume, world.folder.path().join("away")).unwrap();
    let said = world.refused();
    assert!(said.contains("cannot use ") && said.contains("No such file"), "{said}");
    assert!(std::fs::symlink_metadata(&ledger).unwrap().is_symlink());
}

/// Whether the tests run as root, for whom rights are no obstacle.
#[test]
fn removed_or_replaced_while_running() {
    let world = World::new();
    let mut program = world.start();
    let before = counting(&program, &BTreeMap::new());
    let (ledger, away) = (world.ledger(), world.folder.path().join("away"));
    std::fs::rename(&ledger, &away).unwrap();
    let down = assert_is_down(&program);
    down.assert_not_below(&before.counters(), "after the trouble");
    program.logged("was removed or replaced while in use; restore it: a restart without it");
    assert!(!ledger.exists(), "no fresh ledger in its place");
    // Another file in its place is not written either.
    std::fs::write(&ledger, "something else").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(program.try_scrape().unwrap().get("push_exporter_ledger_up"), Some(0.0));
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "something else");
    std::fs::remove_file(&ledger).unwrap();
    std::fs::rename(&away, &ledger).unwrap();
    let after = assert_recovers(&program, &down);
    assert_eq!(program.terminate().0, Some(0));
    let program = world.start();
    program.try_scrape().unwrap().assert_not_below(&after.counters(), "after the trouble");
}

#[test]
fn written_over_while_running() {
    for what in ["emptied", "random bytes", "cut short"] {
        let world = World::new();
        let whole = world.count();
        // Its pages are in the file, not in the log alone.
        let mut program = world.start();
        counting(&program, &whole.counters());
        let ledger = world.ledger();
        let length = std::fs::metadata(&ledger).unwrap().len();
        let file = std::fs::File::options().write(true).open(&ledger).unwrap();
        match what {
            "emptied" => file.set_len(0).unwrap(),
            "cut short" => file.set_len(length - 4096).unwrap(),
            _ => {
                let mut bytes = vec![0; usize::try_from(length).unwrap()];
                fastrand::Rng::with_seed(1).fill(&mut bytes);
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
            }
        }
        let down = eventually("the ledger to be down", 60, || {
            let page = program.try_scrape()?;
            let is_failing = page.get(&format!(r#"push_poll_failing{{{REPORT},reason="ledger"}}"#)) == Some(1.0);
            (page.get("push_exporter_ledger_up") == Some(0.0) && is_failing).then_some(page)
        });
        down.assert_not_below(&whole.counters(), what);
        let (_, status) = program.get("/");
        assert!(status.contains("The ledger cannot be written"), "{what}");
        let log = program.logged("it was overwritten while in use");
        assert_eq!(log.matches("the ledger is damaged; polling pauses until a restart").count(), 1, "{what}: {log}");
        assert_eq!(program.terminate().0, Some(0), "{what}");
        assert!(world.refused().contains("is damaged or not a ledger"), "{what}");
    }
}

#[test]
fn locked_by_somebody_else_for_a_while() {
    let world = World::new();
    let program = world.start();
    counting(&program, &BTreeMap::new());
    // A long transaction in another program, longer than the 5 s that are waited for.
    let other = rusqlite::Connection::open(world.ledger()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let down = assert_is_down(&program);
    drop(other);
    assert_recovers(&program, &down);
}

#[test]
fn a_backup_beside_a_running_exporter_restores() {
    let world = World::new();
    let mut program = world.start();
    let mut page = counting(&program, &BTreeMap::new());
    let ledger = world.ledger();
    // Twice: the second backup holds what was counted after the first.
    for name in ["first.db", "second.db"] {
        let copied = world.folder.path().join(name);
        let before = counting(&program, &page.counters());
        sqlite(&ledger, &format!("VACUUM INTO '{}'", copied.display()));
        page = counting(&program, &before.counters());
        assert_eq!(sqlite(&copied, "PRAGMA integrity_check"), ["ok"]);
        // Restored beside: what had been counted at the time of the backup, and from there on.
        let other = fast_dir();
        std::fs::write(other.path().join("push-exporter.yml"), &world.text).unwrap();
        copy(&copied, &other.path().join("push-exporter.db"));
        let config = other.path().join("push-exporter.yml");
        let restored = Program::start(&["--config.file", config.to_str().unwrap()]);
        let first = restored.try_scrape().unwrap();
        first.assert_not_below(&before.counters(), "after the trouble");
        // Whatever happened since the backup is caught up: the same readings, the same totals.
        let now = program.try_scrape().unwrap();
        eventually("the same counters", 60, || {
            let (here, there) = (program.try_scrape()?.counters(), restored.try_scrape()?.counters());
            (here == there).then_some(())
        });
        restored.try_scrape().unwrap().assert_not_below(&now.counters(), "after the trouble");
    }
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    assert_eq!(program.terminate().0, Some(0));
}
