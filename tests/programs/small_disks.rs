//! The ledger on disks that are full or read-only, each in a mount namespace of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::ledger_world::{World, assert_is_down, assert_recovers, counting, refused};
use crate::support::{Program, eventually};

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
