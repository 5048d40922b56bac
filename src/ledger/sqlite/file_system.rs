//! File systems that a ledger cannot rely on: those behind a network or another program, whose locks and shared memory
//! do not work as SQLite's write-ahead log requires.

#![expect(clippy::disallowed_methods, reason = "runs at the start")]

use std::path::Path;

/// Values of `f_type` of statfs(2), with the names of the file systems.
const NOT_LOCAL: [(u64, &str); 8] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "CIFS"),
    (0x517b, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
];

/// Returns the name of the file system that a file is or would be on, if it is not on a local disk.
pub(super) fn not_local(path: &Path) -> Option<&'static str> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statfs(existing).ok()?;
    // Its width depends on the architecture, and it is signed on some.
    named(stat.f_type as u64 & 0xffff_ffff)
}

fn named(kind: u64) -> Option<&'static str> {
    NOT_LOCAL.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_are_not_local_have_names() {
        // Values from statfs(2) of the Linux man-pages.
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE")] {
            assert_eq!(named(magic), Some(name));
        }
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(named(local), None, "ext4, XFS, Btrfs, tmpfs, overlay");
        }
        assert_eq!(not_local(Path::new("/proc/no/such/file")), None);
    }
}
