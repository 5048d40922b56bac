//! The ledger in trouble: in use, cut, overwritten, newer, read-only, on a full disk, locked, removed and replaced
//! while running. A clear message and exit code 1 at the start, `push_exporter_ledger_up 0` and recovery
//! later, and no counter that goes back. And backups taken with SQLite's own program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;
use tokio::runtime::Runtime;

use crate::support::{Page, Program, eventually, fast_dir, simulate, tool};

/// An Easemob whose numbers grow every second, and an exporter's configuration.
struct World {
    _runtime: Runtime,
    _easemob: Arc<EasemobSimulator>,
    folder: tempfile::TempDir,
    text: String,
}

const REPORT: &str = r#"provider="easemob",app="chat",report="offline_push""#;

impl World {
    fn new() -> World {
        let runtime = Runtime::new().unwrap();
        let app = EasemobApp { step: 1, history: 0, per_day: 1_000_000.0, ..EasemobApp::demo("acme", "chat") };
        let (easemob, address) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
        let text = format!(
            "new_series_hold: 0s\neasemob:\n  - {{app: chat, base_url: 'http://{address}', org_name: acme, app_name: chat, client_id: YXA6-demo-client, client_secret: YXA6-demo-secret, interval: 1s}}\n"
        );
        let world = World { _runtime: runtime, _easemob: easemob, folder: fast_dir(), text };
        std::fs::write(world.config(), &world.text).unwrap();
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("push-exporter.yml")
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("push-exporter.db")
    }

    fn start(&self) -> Program {
        Program::start(&["--config.file", self.config().to_str().unwrap()])
    }

    /// Lets an exporter count for a while, and stops it. Returns what it showed last.
    fn count(&self) -> Page {
        let mut program = self.start();
        program.logged("created a new ledger; counters start from a baseline");
        let page = counting(&program, &BTreeMap::new());
        assert_eq!(program.terminate().0, Some(0));
        page
    }

    /// Starts an exporter that is to end by itself with exit code 1, and returns what it said.
    fn refused(&self) -> String {
        let mut command = Program::binary();
        command.args(["--web.listen-address", "127.0.0.1:0", "--log.level", "error", "--config.file"]);
        refused(command.arg(self.config()))
    }
}

/// Runs a program that is to end with exit code 1 by itself.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let output = tool_with_deadline(command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// A program that goes on must not hold up the test.
fn tool_with_deadline(command: &mut Command) -> std::process::Output {
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    Command::new("timeout").arg("20").arg(program).args(args).output().unwrap()
}

/// Waits until counters have grown beyond these.
fn counting(program: &Program, before: &BTreeMap<String, i64>) -> Page {
    eventually("counters that grow", 60, || {
        let page = program.try_scrape()?;
        let sum = |counters: &BTreeMap<String, i64>| counters.values().sum::<i64>();
        (sum(&page.counters()) > sum(before)).then_some(page)
    })
}

/// Waits until the ledger is said to be down, and sees that the page stays as it is.
fn assert_is_down(program: &Program) -> Page {
    let down = eventually("the ledger to be down", 60, || {
        let page = program.try_scrape()?;
        let is_failing = page.get(&format!(r#"push_poll_failing{{{REPORT},reason="ledger"}}"#)) == Some(1.0);
        (page.get("push_exporter_ledger_up") == Some(0.0) && is_failing).then_some(page)
    });
    assert_eq!(down.get(&format!("push_up{{{REPORT}}}")), Some(0.0));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let still = program.try_scrape().expect("scrapes are answered");
    assert_eq!(still.counters(), down.counters(), "the last page stays");
    let requests = |page: &Page| page.starting(&["push_api_requests_total"]).values().sum::<i64>();
    assert!(requests(&still) <= requests(&down) + 1, "polling pauses");
    down
}

/// Waits until it works again, and counts on.
fn assert_recovers(program: &Program, down: &Page) -> Page {
    let page = eventually("the ledger to be up", 60, || {
        let page = program.try_scrape()?;
        let is_up = page.get("push_exporter_ledger_up") == Some(1.0);
        (is_up && page.get(&format!("push_up{{{REPORT}}}")) == Some(1.0)).then_some(page)
    });
    page.assert_not_below(&down.counters(), "after the trouble");
    let page = counting(program, &down.counters());
    assert!(page.starting(&["push_poll_failing"]).is_empty());
    let log = program.logged("the ledger can be written again");
    for (text, times) in [("the ledger cannot be written", 1), ("the ledger can be written again", 1)] {
        assert_eq!(log.matches(text).count(), times, "{text}\n{log}");
    }
    page
}

fn sqlite(ledger: &Path, sql: &str) -> String {
    let output = tool("sqlite3", &[ledger.to_str().unwrap(), sql], b"");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

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
        "push-exporter: {name} was written by a newer push-exporter (schema 99, this one knows 7); use that release\n"
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

/// Containers may forbid what the tests of small disks need; then that is what must be told.
fn assert_may_mount() {
    let probe =
        Command::new("unshare").args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"]).output();
    assert!(
        probe.as_ref().is_ok_and(|probe| probe.status.success()),
        "this test needs a mount namespace of its own (unshare --map-root-user --mount), which is not allowed here: {probe:?}"
    );
}

/// A program in a mount namespace of its own, where `folder` is a small disk with a copy of the configuration.
fn on_a_small_disk(world: &World, size: &str, options: &str) -> Command {
    assert_may_mount();
    let folder = world.folder.path().join("disk");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec"]);
    command.arg(
        "mount -t tmpfs -o size=$2 tmpfs \"$1\"; cp \"$1\"/../push-exporter.yml \"$1\"; \
         if [ -e \"$1\"/../push-exporter.db ]; then cp \"$1\"/../push-exporter.db \"$1\"; fi; \
         [ -z \"$3\" ] || mount -o remount,$3 \"$1\"; shift 3; exec \"$@\"",
    );
    command.arg("sh").arg(&folder).args([size, options]).arg(Program::binary().get_program());
    command.args(["--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(folder.join("push-exporter.yml"));
    command
}

#[test]
fn a_read_only_disk_is_refused() {
    let world = World::new();
    world.count();
    let mut command = on_a_small_disk(&world, "8m", "ro");
    let said = refused(command.args(["--log.level", "error"]));
    assert!(said.starts_with("push-exporter: cannot lock ") && said.contains("Read-only file system"), "{said}");
    // A file that only others may write, in a folder where anybody may; and a folder that only others may.
    use std::os::unix::fs::PermissionsExt;
    let mode = |file: &Path, mode| std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    let binary = world.folder.path().join("push-exporter");
    std::fs::copy(Program::binary().get_program(), &binary).unwrap();
    mode(&world.config(), 0o444);
    mode(&world.folder.path().join("push-exporter.db.lock"), 0o666);
    for (folder_mode, ledger_mode) in [(0o777, 0o444), (0o555, 0o666)] {
        mode(&world.ledger(), ledger_mode);
        mode(world.folder.path(), folder_mode);
        let mut command = Command::new("setpriv");
        if are_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.arg(&binary).args(["--web.listen-address", "127.0.0.1:0", "--log.level", "error"]);
        let said = refused(command.arg("--config.file").arg(world.config()));
        let name = world.ledger();
        let expected = format!(
            "push-exporter: {} cannot be written; check the permissions of the file and of its folder\n",
            name.display()
        );
        assert_eq!(said, expected);
    }
    mode(world.folder.path(), 0o777);
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
fn are_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.split_whitespace().take(3).eq(["Uid:", "0", "0"]))
}

#[test]
fn a_full_disk_pauses_polling_until_there_is_room() {
    let world = World::new();
    let mut program = Program::try_run(on_a_small_disk(&world, "4m", "")).expect("it starts");
    let before = counting(&program, &BTreeMap::new());
    // The disk as the program sees it.
    let disk = format!("/proc/{}/root{}/disk", program.child.id(), world.folder.path().display());
    let filler = Path::new(&disk).join("filler");
    let fill = || {
        let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
        let mut piece = vec![0_u8; 65_536];
        while !piece.is_empty() {
            if std::io::Write::write_all(&mut file, &piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    };
    fill();
    let down = assert_is_down(&program);
    down.assert_not_below(&before.counters(), "after the trouble");
    std::fs::remove_file(&filler).unwrap();
    let after = assert_recovers(&program, &down);
    // Full again, and stopped there: it stops, and nothing is lost.
    fill();
    let down = eventually("the ledger to be down again", 60, || {
        let page = program.try_scrape()?;
        (page.get("push_exporter_ledger_up") == Some(0.0)).then_some(page)
    });
    down.assert_not_below(&after.counters(), "after the trouble");
    std::fs::copy(Path::new(&disk).join("push-exporter.db"), world.ledger()).unwrap();
    let log = Path::new(&disk).join("push-exporter.db-wal");
    if log.exists() {
        std::fs::copy(log, world.folder.path().join("push-exporter.db-wal")).unwrap();
    }
    assert_eq!(program.terminate().0, Some(0));
    let program = world.start();
    program.try_scrape().unwrap().assert_not_below(&down.counters(), "after the trouble");
}

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
    let mut other = Command::new("python3")
        .args(["-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"])
        .arg(world.ledger())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 6];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut said).unwrap();
    let down = assert_is_down(&program);
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_recovers(&program, &down);
}

#[test]
fn backups_by_sqlites_own_program_restore() {
    let world = World::new();
    let mut program = world.start();
    let mut page = counting(&program, &BTreeMap::new());
    let ledger = world.ledger();
    for (name, sql) in [("copy.db", ".backup '{}'"), ("vacuumed.db", "VACUUM INTO '{}'")] {
        let copied = world.folder.path().join(name);
        let before = counting(&program, &page.counters());
        sqlite(&ledger, &sql.replace("{}", copied.to_str().unwrap()));
        page = counting(&program, &before.counters());
        assert_eq!(sqlite(&copied, "PRAGMA integrity_check"), "ok");
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
