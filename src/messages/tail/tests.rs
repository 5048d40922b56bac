//! Tests of files that are written, rotated, truncated, copied and removed, with and without a follower.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::*;
use crate::messages::input::MAX_LINE;
use crate::messages::tail::lines::CHUNK;

struct Place {
    folder: tempfile::TempDir,
    follower: Follower,
    /// Marks that are stored.
    marks: Vec<FileMark>,
}

fn follower(path: PathBuf, marks: Vec<FileMark>) -> Follower {
    Follower::new(path, marks, Paths::default())
}

/// Formats a line as `number:text`.
fn written(line: Line) -> String {
    let end = if line.is_ended { "" } else { " without an end" };
    match line.text {
        Some(text) => format!("{}:{}{end}", line.number, String::from_utf8(text).unwrap()),
        None => format!("{} is too long", line.number),
    }
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let follower = follower(folder.path().join("ids.log"), Vec::new());
        Place { folder, follower, marks: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Restarts from the stored marks.
    fn restart(&mut self) {
        self.follower = follower(self.path("ids.log"), self.marks.clone());
    }

    /// Stores what the ledger would store.
    fn keep(&mut self, lines: Lines) {
        for mark in &lines.marks {
            self.marks.retain(|known| known.file != mark.file);
            self.marks.push(mark.clone());
        }
        self.marks.retain(|mark| !lines.gone.contains(&mark.file));
        self.follower.advance(lines);
    }

    /// Reads every new line, until nothing new comes, however long it waits.
    async fn read(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut quiet = 0;
        while quiet < 8 {
            match self.follower.look().unwrap() {
                Look::Lines(lines) => {
                    quiet = 0;
                    found.extend(lines.lines.iter().cloned().map(written));
                    self.keep(lines);
                }
                Look::Lost => found.push("lost".to_owned()),
                Look::Nothing | Look::Missing => {
                    quiet += 1;
                    tokio::time::advance(Duration::from_secs(5)).await;
                }
            }
        }
        found
    }
}

#[tokio::test(start_paused = true)]
async fn lines_come_when_they_are_complete() {
    let mut place = Place::new();
    assert_eq!(place.read().await, [""; 0]);
    assert_eq!(place.follower.look().unwrap(), Look::Missing);
    place.append("ids.log", "1\n2\n3");
    assert_eq!(place.read().await, ["1:1", "2:2"]);
    place.append("ids.log", "3");
    assert_eq!(place.read().await, [""; 0], "a half-written last line waits");
    place.append("ids.log", "\r\n\n5\n");
    assert_eq!(place.read().await, ["3:33\r", "4:", "5:5"]);
    place.restart();
    place.append("ids.log", "6\n");
    assert_eq!(place.read().await, ["6:6"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_safe_is_read_again() {
    let mut place = Place::new();
    place.append("ids.log", "1\n2\n");
    let Look::Lines(start) = place.follower.look().unwrap() else { panic!() };
    assert_eq!(start.lines, []);
    place.keep(start);
    let first = place.follower.look().unwrap();
    assert_eq!(place.follower.look().unwrap(), first);
    assert_eq!(place.read().await, ["1:1", "2:2"]);
    assert_eq!(place.read().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn rotation_by_rename() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    place.append("ids.log", "2\n");
    place.rename("ids.log", "ids.log.1");
    // The writer has not noticed yet; there is no new file.
    place.append("ids.log.1", "3\n");
    assert_eq!(place.read().await, ["2:2", "3:3"]);
    place.append("ids.log", "a\n");
    place.append("ids.log.1", "4\n5");
    assert_eq!(place.read().await, ["4:4", "1:a", "5:5 without an end"], "an end is waited for");
    place.append("ids.log", "b\n");
    assert_eq!(place.read().await, ["2:b"]);
}

#[tokio::test(start_paused = true)]
async fn rotation_by_truncation() {
    let mut place = Place::new();
    place.append("ids.log", "1\n2\n");
    assert_eq!(place.read().await, ["1:1", "2:2"]);
    // copytruncate, with a line that was not read yet.
    place.append("ids.log", "3\n");
    fs::copy(place.path("ids.log"), place.path("ids.log.1")).unwrap();
    File::create(place.path("ids.log")).unwrap();
    place.append("ids.log", "a\n");
    assert_eq!(place.read().await, ["3:3", "1:a"]);
    // Truncated and grown past the position before a look; the copy is there again.
    fs::copy(place.path("ids.log"), place.path("ids.log.2")).unwrap();
    // The timestamps of file systems are coarse.
    std::thread::sleep(Duration::from_millis(20));
    fs::write(place.path("ids.log"), "x\ny\nz\n").unwrap();
    assert_eq!(place.read().await, ["1:x", "2:y", "3:z"]);
    // Truncated without a copy: unread lines are lost, and that is reported.
    fs::write(place.path("ids.log"), "q\n").unwrap();
    assert_eq!(place.read().await, ["lost", "1:q"]);
}

#[tokio::test(start_paused = true)]
async fn a_last_line_has_time_after_a_rename() {
    let mut place = Place::new();
    place.append("ids.log", "1\n22");
    // Read long before the rename.
    assert_eq!(place.read().await, ["1:1"]);
    place.rename("ids.log", "ids.log.1");
    place.append("ids.log", "a\n");
    let Look::Lines(lines) = place.follower.look().unwrap() else { panic!() };
    assert_eq!(lines.lines.iter().cloned().map(written).collect::<Vec<_>>(), ["1:a"]);
    place.keep(lines);
    place.append("ids.log.1", "33\n");
    assert_eq!(place.read().await, ["2:2233"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_away_for_a_while_is_not_read_again() {
    let mut place = Place::new();
    fs::create_dir(place.path("sub")).unwrap();
    place.append("sub/ids.log.1", "of long ago\n");
    place.append("sub/ids.log", "1\n");
    place.follower = follower(place.path("sub/ids.log"), Vec::new());
    assert_eq!(place.read().await, ["1:1"]);
    place.rename("sub", "away");
    assert_eq!(place.read().await, [""; 0]);
    place.follower = follower(place.path("sub/ids.log"), place.marks.clone());
    assert_eq!(place.read().await, [""; 0]);
    place.rename("away", "sub");
    place.append("sub/ids.log", "2\n");
    assert_eq!(place.read().await, ["2:2"]);
}

#[tokio::test(start_paused = true)]
async fn put_away_with_a_backlog_and_killed() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    place.append("ids.log", "2\n");
    place.rename("ids.log", "put away");
    place.append("ids.log", "a\n");
    // The first lines after that are stored, the others are not.
    let Look::Lines(lines) = place.follower.look().unwrap() else { panic!() };
    let kept = lines.lines.iter().cloned().map(written).collect::<Vec<_>>();
    place.keep(lines);
    place.restart();
    let rest = place.read().await;
    assert_eq!([kept, rest].concat(), ["2:2", "1:a"]);
    assert!(place.marks.iter().all(|mark| mark.is_at_path == mark.is_awaited));
}

#[tokio::test(start_paused = true)]
async fn marks_of_files_that_are_gone_are_few() {
    let mut place = Place::new();
    for turn in 0..600 {
        place.append("ids.log", &format!("{turn}\n"));
        assert_eq!(place.read().await, [format!("1:{turn}")]);
        // The file is kept, so that no inode is used twice.
        place.rename("ids.log", &format!("put away {turn}"));
    }
    assert!((200..300).contains(&place.marks.len()), "{}", place.marks.len());
}

#[tokio::test(start_paused = true)]
async fn many_rotated_files_are_not_read_again() {
    let mut place = Place::new();
    place.append("ids.log", "0\n");
    assert_eq!(place.read().await, ["1:0"]);
    for turn in 1..600 {
        place.rename("ids.log", &format!("ids.log.{turn}"));
        place.append("ids.log", &format!("{turn}\n"));
    }
    assert_eq!(place.read().await.len(), 599);
    assert_eq!(place.read().await, [""; 0]);
    place.restart();
    assert_eq!(place.read().await, [""; 0]);
    place.append("ids.log.77", "late\n");
    assert_eq!(place.read().await, ["2:late"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_in_the_making_is_not_read() {
    let mut place = Place::new();
    let text: String = (1..1000).map(|line| format!("{line}\n")).collect();
    place.append("ids.log", &text);
    assert_eq!(place.read().await.len(), 999);
    place.append("ids.log", "1000\n");
    place.append("ids.log.1", &text[..2000]);
    assert_eq!(place.read().await, ["1000:1000"]);
    place.append("ids.log.1", &text[2000..]);
    place.append("ids.log.1", "1000\n1001\n");
    File::create(place.path("ids.log")).unwrap();
    place.append("ids.log", "a\n");
    assert_eq!(place.read().await, ["1001:1001", "1:a"]);
}

#[tokio::test(start_paused = true)]
async fn rotated_several_times_while_nobody_looked() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    place.append("ids.log.7", "of long ago\n");
    fs::File::options()
        .append(true)
        .open(place.path("ids.log.7"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(place.read().await, ["1:1"]);
    place.append("ids.log", "2\n");
    let tick = || std::thread::sleep(Duration::from_millis(20));
    tick();
    place.rename("ids.log", "ids.log.1");
    place.append("ids.log", "a\n");
    tick();
    place.rename("ids.log.1", "ids.log.2");
    place.rename("ids.log", "ids.log.1");
    place.append("ids.log", "x\n");
    place.append("ids.log.gz", "no line of ours");
    place.append("ids.log.bak", "not of rotation\n");
    place.restart();
    assert_eq!(place.read().await, ["2:2", "1:a", "1:x"]);
    // The file that was being read is removed: files that were rotated since are still read.
    place.append("ids.log", "lost\n");
    tick();
    place.rename("ids.log", "gone");
    place.append("ids.log.3", "b\n");
    tick();
    place.append("ids.log", "y\n");
    fs::remove_file(place.path("gone")).unwrap();
    place.restart();
    assert_eq!(place.read().await, ["lost", "1:b", "1:y"]);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_goes_on_with_the_rotated_file() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    place.rename("ids.log", "ids.log.1");
    place.append("ids.log", "");
    assert_eq!(place.read().await, [""; 0]);
    // The writer continues long after the rename, while the new file is empty; a restart comes in between.
    place.append("ids.log.1", "2\n");
    assert_eq!(place.read().await, ["2:2"]);
    place.restart();
    place.append("ids.log.1", "3\n");
    assert_eq!(place.read().await, ["3:3"]);
    // Both files are written to.
    place.append("ids.log", "a\n");
    place.append("ids.log.1", "4\n");
    assert_eq!(place.read().await, ["4:4", "1:a"]);
    place.append("ids.log.1", "5\n");
    place.append("ids.log", "b\n");
    assert_eq!(place.read().await, ["5:5", "2:b"]);
    place.restart();
    place.append("ids.log", "c\n");
    place.append("ids.log.1", "6\n");
    assert_eq!(place.read().await, ["6:6", "3:c"]);
}

#[tokio::test(start_paused = true)]
async fn rotated_while_there_is_no_new_file() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    for name in ["ids.log.1", "ids.log.2"] {
        std::thread::sleep(Duration::from_millis(20));
        place.append("ids.log", &format!("{name}\n"));
        place.rename("ids.log", name);
    }
    assert_eq!(place.read().await, ["2:ids.log.1", "1:ids.log.2"]);
    place.restart();
    place.append("ids.log", "x\n");
    assert_eq!(place.read().await, ["1:x"]);
}

#[tokio::test(start_paused = true)]
async fn cut_under_a_writer_that_goes_on_at_its_old_place() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    for hole in [10, 3 * CHUNK as u64 + 5] {
        fs::copy(place.path("ids.log"), place.path("ids.log.1")).unwrap();
        File::create(place.path("ids.log")).unwrap().write_at(b"777001\n777002\n", hole).unwrap();
        let read = place.read().await;
        assert_eq!(read[read.len() - 2..], ["1:777001", "2:777002"], "{hole}");
        place.append("ids.log", "777003\n");
        place.restart();
        assert_eq!(place.read().await, ["3:777003"]);
    }
}

#[tokio::test(start_paused = true)]
async fn cut_before_a_line_was_complete() {
    let mut place = Place::new();
    place.append("ids.log", "a line that is never completed");
    assert_eq!(place.read().await, [""; 0]);
    fs::write(place.path("ids.log"), "700\n").unwrap();
    assert_eq!(place.read().await, ["1:700"]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_numbered_anew() {
    let mut place = Place::new();
    place.append("ids.log", "1\n2\n");
    assert_eq!(place.read().await, ["1:1", "2:2"]);
    place.marks.iter_mut().for_each(|mark| mark.file.device += 1);
    place.append("ids.log", "3\n");
    place.restart();
    assert_eq!(place.read().await, ["3:3"]);
}

#[tokio::test(start_paused = true)]
async fn an_inode_that_is_used_again_is_another_file() {
    let mut place = Place::new();
    place.append("ids.log", "1\n2\n");
    assert_eq!(place.read().await, ["1:1", "2:2"]);
    fs::remove_file(place.path("ids.log")).unwrap();
    place.append("ids.log", "3\n4\n5\n");
    let inode = fs::metadata(place.path("ids.log")).unwrap().ino();
    place.marks.iter_mut().filter(|mark| mark.offset > 0).for_each(|mark| mark.file.inode = inode);
    place.restart();
    assert_eq!(place.read().await, ["lost", "1:3", "2:4", "3:5"]);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_files_does_not_matter() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    place.append("ids.log", "2\n");
    for (from, to) in [("3\n", "ids.log.3"), ("4\n", "ids.log.2"), ("5\n", "ids.log.1")] {
        place.rename("ids.log", to);
        place.append("ids.log", from);
    }
    // The oldest looks like the newest, and two have the same age.
    let times = [("ids.log.3", 30), ("ids.log.2", 10), ("ids.log.1", 10)];
    for (name, seconds) in times {
        let file = File::options().append(true).open(place.path(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    place.restart();
    let mut read = place.read().await;
    read.sort();
    assert_eq!(read, ["1:3", "1:4", "1:5", "2:2"]);
    place.restart();
    assert_eq!(place.read().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_renamed_to_anything_or_removed_is_read_to_its_end() {
    let mut place = Place::new();
    place.append("ids.log", "1\n");
    assert_eq!(place.read().await, ["1:1"]);
    place.append("ids.log", "2\n");
    place.rename("ids.log", "put away");
    place.restart();
    assert_eq!(place.read().await, ["2:2"]);
    place.append("ids.log", "a\n");
    assert_eq!(place.read().await, ["1:a"]);
    place.append("ids.log", "b\n");
    fs::remove_file(place.path("ids.log")).unwrap();
    place.append("ids.log", "x\n");
    assert_eq!(place.read().await, ["2:b", "1:x"], "as long as it is held open");
}

/// A backlog of several reads, of a file that is found under its new name only because it has unread lines: it is looked for
/// until its last line.
#[tokio::test(start_paused = true)]
async fn a_backlog_that_was_renamed_to_anything_is_read_over_many_restarts() {
    let mut place = Place::new();
    place.append("ids.log", "0\n");
    assert_eq!(place.read().await, ["1:0"]);
    let line = "x".repeat(CHUNK / 4);
    (1..=20).for_each(|number| place.append("ids.log", &format!("{number}{line}\n")));
    place.rename("ids.log", "put away");
    place.append("ids.log", "a\n");
    let mut found = 0;
    for _ in 0..20 {
        place.restart();
        if let Look::Lines(lines) = place.follower.look().unwrap() {
            found += lines.lines.len();
            place.keep(lines);
        }
    }
    assert_eq!(found, 21, "twenty, and the first of the new file");
}

#[tokio::test(start_paused = true)]
async fn long_lines_and_many() {
    let mut place = Place::new();
    place.append("ids.log", &format!("1\n{}\n{}", "x".repeat(MAX_LINE + 1), "y".repeat(3 * CHUNK)));
    assert_eq!(place.read().await, ["1:1", "2 is too long"]);
    place.append("ids.log", "y");
    assert_eq!(place.read().await, [""; 0]);
    place.append("ids.log", "\n4\n");
    assert_eq!(place.read().await, ["3 is too long", "4:4"]);
    let many: String = (5..=25_000).map(|number| format!("{number}\n")).collect();
    place.append("ids.log", &many);
    let read = place.read().await;
    assert_eq!((read.len(), read.last().map(String::as_str)), (24_996, Some("25000:25000")));
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_between_looks_every_line_comes() {
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    for _ in 0..400 {
        let mut place = Place::new();
        let (mut count, mut rotated) = (0, 0);
        let mut read = place.read().await;
        let mut story = Vec::new();
        for _ in 0..60 {
            let name = format!("ids.log.{}", rotated + 1);
            match random.u8(..12) {
                0..4 => {
                    // Some lines are identical.
                    let same = random.usize(..4);
                    let lines: String = (count..count + 3).map(|line| format!("{line}\n")).collect();
                    let lines = "x\n".repeat(same) + &lines;
                    place.append("ids.log", &lines);
                    story.push(format!("write {count}.."));
                    count += 3;
                }
                4 if place.path("ids.log").exists() => {
                    story.push(format!("rename to {name}"));
                    place.rename("ids.log", &name);
                    rotated += 1;
                }
                5 if place.path("ids.log").exists() => {
                    story.push(format!("copy to {name} and cut"));
                    // The copy is made in two pieces, with looks between them and before the truncation.
                    let bytes = fs::read(place.path("ids.log")).unwrap();
                    let half = random.usize(..=bytes.len());
                    fs::write(place.path(&name), &bytes[..half]).unwrap();
                    for end in [half, bytes.len()] {
                        fs::write(place.path(&name), &bytes[..end]).unwrap();
                        if random.bool()
                            && let Look::Lines(lines) = place.follower.look().unwrap()
                        {
                            read.extend(lines.lines.iter().cloned().map(written));
                            story.push(format!("read up to {:?}", read.last()));
                            place.keep(lines);
                        }
                    }
                    File::create(place.path("ids.log")).unwrap();
                    rotated += 1;
                }
                6 if rotated > 0 && place.path(&format!("ids.log.{rotated}")).exists() => {
                    story.push(format!("write {count} to ids.log.{rotated}"));
                    place.append(&format!("ids.log.{rotated}"), &format!("{count}\n"));
                    count += 1;
                }
                7 => {
                    story.push("restart".to_owned());
                    place.restart();
                }
                _ => {
                    story.push("look".to_owned());
                    if let Look::Lines(lines) = place.follower.look().unwrap()
                        && random.bool()
                    {
                        read.extend(lines.lines.iter().cloned().map(written));
                        story.push(format!("read up to {:?}", read.last()));
                        place.keep(lines);
                    }
                    tokio::time::advance(Duration::from_millis(random.u64(..3000))).await;
                }
            }
        }
        place.append("ids.log", "");
        read.extend(place.read().await);
        let texts = read.iter().filter_map(|line| Some(line.split_once(':')?.1));
        let numbers: std::collections::BTreeSet<u32> = texts.filter_map(|text| text.parse().ok()).collect();
        assert_eq!(numbers, (0..count).collect(), "{story:#?}");
    }
}

#[test]
fn what_is_no_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut follower = follower(folder.path().to_owned(), vec![FileMark::default()]);
    assert_eq!(follower.look().unwrap_err().to_string(), "not a file");
}

/// Only what does not exist is missing; a path that leads through a file is an error.
#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    assert!(open_regular(&file.join("ids.log")).is_err());
    assert!(open_regular(&folder.path().join("ids.log")).unwrap().is_none());
    assert!(follower(file.join("ids.log"), Vec::new()).siblings(&[]).is_err());
    assert!(follower(folder.path().join("gone/ids.log"), Vec::new()).siblings(&[]).unwrap().is_empty());
}

#[test]
fn names_that_rotation_gives() {
    let is = |other: &str| is_rotation_of(Path::new("/x/ids.jsonl"), Path::new(other));
    for name in [
        "/x/ids.jsonl.1",
        "ids.jsonl-20261122",
        "ids-2026-11-22.jsonl",
        "ids.jsonl.2026-11-22T10:00:00Z",
        "ids.1.jsonl",
    ] {
        assert!(is(name), "{name}");
    }
    for name in [
        "ids.jsonl",
        "ids.jsonl.gz",
        "ids.jsonl.1.gz",
        "ids.jsonl.bak",
        "other.jsonl.1",
        "ids-2.jsonl",
        "ids_12.jsonl",
        "ids.jsonl-1",
        "ids2.jsonl",
        "ids.jsonl.",
    ] {
        assert!(!is(name), "{name}");
    }
}

/// Returns a line of JSON that ends like any other, and is long enough to hold the 64 bytes that earlier releases
/// remembered before a mark.
fn alike(number: u32) -> String {
    format!("{{\"msg_id\":{number:06},\"app\":\"shop\",\"text\":\"{}\"}}\n", "x".repeat(80))
}

fn numbers(read: &[String]) -> Vec<u32> {
    read.iter().map(|line| line.split_once("msg_id\":").unwrap().1[..6].parse().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_file_whose_lines_end_alike_is_another_file() {
    for restarts in [false, true] {
        let mut place = Place::new();
        place.append("ids.log", &(0..300).map(alike).collect::<String>());
        assert_eq!(numbers(&place.read().await), Vec::from_iter(0..300));
        place.rename("ids.log", "ids.log.1");
        place.append("ids.log", &(300..800).map(alike).collect::<String>());
        if restarts {
            // Marks as an earlier release stored them.
            place
                .marks
                .iter_mut()
                .for_each(|mark| mark.before.drain(..mark.before.len().saturating_sub(64)).for_each(drop));
            place.restart();
        }
        assert_eq!(numbers(&place.read().await), Vec::from_iter(300..800), "{restarts}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_line_an_hour_and_then_a_burst() {
    let mut place = Place::new();
    let mut count = 0;
    for burst in [1, 1, 1, 5, 1, 1, 5, 20] {
        let lines = count..count + burst;
        place.append("ids.log", &lines.clone().map(alike).collect::<String>());
        assert_eq!(numbers(&place.read().await), Vec::from_iter(lines));
        count += burst;
        place.rename("ids.log", &format!("ids.log.{count}"));
    }
}

#[tokio::test(start_paused = true)]
async fn cut_and_grown_again_with_lines_that_end_alike() {
    let mut place = Place::new();
    place.append("ids.log", &(0..30).map(alike).collect::<String>());
    assert_eq!(place.read().await.len(), 30);
    fs::write(place.path("ids.log"), (100..150).map(alike).collect::<String>()).unwrap();
    let read = place.read().await;
    assert_eq!((read[0].as_str(), numbers(&read[1..])), ("lost", Vec::from_iter(100..150)));
}

#[tokio::test(start_paused = true)]
async fn moved_to_another_machine() {
    let mut place = Place::new();
    place.append("ids.log.1", &(0..30).map(alike).collect::<String>());
    place.append("ids.log", &(30..60).map(alike).collect::<String>());
    assert_eq!(numbers(&place.read().await), Vec::from_iter(30..60), "files rotated before are not read");
    // The files have other inodes on another device.
    for name in ["ids.log.1", "ids.log"] {
        fs::copy(place.path(name), place.path("moved")).unwrap();
        place.rename("moved", name);
    }
    place.marks.iter_mut().for_each(|mark| mark.file.device += 1);
    place.append("ids.log", &alike(60));
    place.restart();
    assert_eq!(numbers(&place.read().await), [60]);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_of_the_same_size_under_a_used_inode_is_read() {
    let mut place = Place::new();
    place.append("ids.log", &(0..10).map(alike).collect::<String>());
    place.read().await;
    place.rename("ids.log", "ids.log.1");
    place.append("ids.log", "");
    place.read().await;
    let text: String = (10..20).map(alike).collect();
    File::options().write(true).open(place.path("ids.log.1")).unwrap().write_at(text.as_bytes(), 0).unwrap();
    place.restart();
    assert_eq!(numbers(&place.read().await), Vec::from_iter(10..20));
}
