//! A file followed like `tail -F`: complete lines come out with the position behind them, over rotation by
//! rename and by truncation, also while nobody looked. Knows nothing of what the lines say. Blocking.
//!
//! A position names a file by device, inode and the bytes before it, since inodes are used again and a file
//! that was cut may have grown past the position. What has been rotated away is looked for in the same
//! folder, by inode under any name, by content under the names that rotation gives.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::MAX_LINE;
use crate::ledger::Position;

/// As much is read at once.
const CHUNK: usize = 1024 * 1024;
/// As many lines come out at once.
const MAX_LINES: usize = 10_000;
/// How many bytes before the position are remembered.
const BEFORE: u64 = 64;
/// Whoever wrote the file may go on for a while after it has been rotated.
const GRACE: Duration = Duration::from_secs(5);
/// How long a last line without an end is waited for then.
const LAST_LINE: Duration = Duration::from_secs(30);
/// One that was rotated before another is not written to any more, but may still be in the making as a copy.
const COPYING: Duration = Duration::from_secs(1);

/// Some lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Each with its number, from 1, and without its end; `None` for one that is too long.
    pub lines: Vec<(u64, Option<Vec<u8>>)>,
    /// The position behind them.
    pub position: Position,
}

/// What a look at the file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Lines. Look again at once when they are safe.
    Lines(Lines),
    /// Nothing new.
    Nothing,
    /// The file is not there.
    Missing,
    /// The file that was being read, or the rest of it, is gone. Look again at once.
    Lost,
}

/// Follows one file.
pub struct Follower {
    path: PathBuf,
    others: Arc<[PathBuf]>,
    /// The last position that is safe.
    position: Option<Position>,
    open: Option<Open>,
    /// The file that was read before, which may still be written to.
    previous: Option<Open>,
    /// Where the previous file has been read to, if the lines at hand are its.
    late: Option<Position>,
    /// Files that are not younger have been read.
    read_until: Age,
}

/// How files of one name follow each other: by when they were last written to, in Unix nanoseconds, and by
/// inode, so that each has a place of its own.
type Age = (i64, u64);

/// Nothing has been read.
const START: Age = (i64::MIN, 0);

/// The file that is being read.
struct Open {
    file: File,
    position: Position,
    /// No line ends between the position and here.
    scanned: u64,
    /// Since when nothing new has come, though the path names another file.
    rotated_since: Option<Instant>,
    /// Whether it had been rotated away when it was opened.
    is_rotated: bool,
}

impl Follower {
    /// From a position that was kept, or the start.
    /// `others` are files that are no rotation of this one, whatever their names.
    pub fn new(path: PathBuf, position: Option<Position>, others: Arc<[PathBuf]>) -> Follower {
        Follower { path, others, position, open: None, previous: None, late: None, read_until: START }
    }

    /// Looks for new lines.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn look(&mut self) -> io::Result<Look> {
        self.late = None;
        let Some(mut open) = self.open.take() else { return self.open() };
        if open.position.offset == 0 && !open.is_rotated && self.sibling_after(self.read_until)?.is_some() {
            // What was in it before it was read may have been copied and cut.
            return self.open_next();
        }
        let meta = open.file.metadata()?;
        if !open.position.is_in(&open.file, &meta)? {
            // Cut, and perhaps written anew. What was in it may have been copied before.
            self.position = Some(open.position);
            return self.open();
        }
        open.position.modified = modified(&meta);
        let lines = open.read(meta.len(), false)?;
        if !open.position.is_in(&open.file, &open.file.metadata()?)? {
            // Cut while it was read.
            self.position = Some(open.position);
            return self.open();
        }
        if let Some(lines) = lines {
            open.rotated_since = None;
            self.open = Some(open);
            return Ok(Look::Lines(lines));
        }
        if self.is_rotated(&meta)? {
            let quiet = open.rotated_since.get_or_insert_with(Instant::now).elapsed();
            let has_rest = open.position.offset < meta.len();
            if has_rest && quiet >= LAST_LINE {
                // Nobody will end the last line any more.
                let rest = open.read(meta.len(), true)?;
                self.open = Some(open);
                return Ok(rest.map_or(Look::Nothing, Look::Lines));
            }
            if !has_rest && quiet >= open.grace() {
                self.position = Some(open.position.clone());
                self.read_until = age_of(&meta);
                self.previous = Some(open);
                return self.open_next();
            }
        }
        let position = open.position.clone();
        self.open = Some(open);
        self.read_late(position)
    }

    /// What has been written to the file that was read before.
    fn read_late(&mut self, position: Position) -> io::Result<Look> {
        let Some(previous) = &mut self.previous else { return Ok(Look::Nothing) };
        let size = previous.file.metadata()?.len();
        let Some(lines) = previous.read(size, false)? else { return Ok(Look::Nothing) };
        self.late = Some(lines.position.clone());
        // Where nothing has been read yet, a restart must begin with this file.
        let position = if position.offset == 0 { lines.position } else { position };
        Ok(Look::Lines(Lines { lines: lines.lines, position }))
    }

    /// The lines up to here are safe.
    pub fn advance(&mut self, position: Position) {
        match (self.late.take(), &mut self.previous, &mut self.open) {
            (Some(late), Some(previous), _) => previous.position = late,
            (_, _, Some(open)) => open.position = position.clone(),
            _ => {}
        }
        self.position = Some(position);
    }

    /// Opens the file that the position is in, else the next.
    fn open(&mut self) -> io::Result<Look> {
        let Some(position) = self.position.clone() else {
            if self.read_until != START {
                return self.open_next();
            }
            // What was rotated before the first look is not ours; what is rotated from now on is.
            let newest = self.siblings()?.into_iter().map(|(_, age)| age).max().unwrap_or(START);
            let position = Position { modified: newest.0, ..Position::default() };
            return Ok(Look::Lines(Lines { lines: Vec::new(), position }));
        };
        if position.offset == 0 {
            self.read_until = (position.modified, u64::MAX);
            return self.open_next();
        }
        if let Some(file) = open_regular(&self.path)? {
            let meta = file.metadata()?;
            if position.is_of(&meta) && position.is_in(&file, &meta)? {
                return self.resume(file, position);
            }
        }
        // The path again, by content: devices are numbered anew by a reboot.
        for path in self.same(&position)?.into_iter().chain([self.path.clone()]).chain(self.copies()?) {
            let Ok(Some(file)) = open_regular(&path) else { continue };
            let meta = file.metadata()?;
            if position.is_in(&file, &meta)? {
                return self.resume(file, Position { device: meta.dev(), inode: meta.ino(), ..position });
            }
        }
        if std::fs::metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(Look::Missing);
        }
        self.position = None;
        self.read_until = (position.modified, 0);
        Ok(Look::Lost)
    }

    /// Goes on in a file.
    fn resume(&mut self, file: File, position: Position) -> io::Result<Look> {
        self.previous.take_if(|previous| previous.position.inode == position.inode);
        self.open = Some(Open::new(file, position));
        self.look()
    }

    /// Opens the next file that was rotated away after what has been read, or the one at the path.
    fn open_next(&mut self) -> io::Result<Look> {
        let next = self.sibling_after(self.read_until)?;
        let (path, age) = next.map_or_else(|| (self.path.clone(), None), |(path, age)| (path, Some(age)));
        let file = match (open_regular(&path), age) {
            (Ok(Some(file)), _) => file,
            (Ok(None), None) => return Ok(Look::Missing),
            (Err(error), None) => return Err(error),
            // One that cannot be read must not keep us from the others.
            (_, Some(age)) => {
                (self.position, self.read_until) = (None, age);
                return Ok(Look::Lost);
            }
        };
        let meta = file.metadata()?;
        let position = Position { device: meta.dev(), inode: meta.ino(), ..Position::default() };
        self.open = Some(Open { is_rotated: age.is_some(), ..Open::new(file, position) });
        self.look()
    }

    /// Whether there is another file at the path than the one being read.
    fn is_rotated(&self, reading: &Metadata) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(meta) => Ok((meta.dev(), meta.ino()) != (reading.dev(), reading.ino())),
            // There may be none, but one that was rotated away later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.sibling_after(age_of(reading))?.is_some()),
            Err(error) => Err(error),
        }
    }

    /// Where the file of a position may be now: by its inode, under any name.
    fn same(&self, position: &Position) -> io::Result<Vec<PathBuf>> {
        let found = self.neighbours(|_| true)?.into_iter().filter(|(_, meta)| position.is_of(meta));
        Ok(found.map(|(path, _)| path).collect())
    }

    /// Where it may be as a copy.
    fn copies(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.siblings()?.into_iter().map(|(path, _)| path).collect())
    }

    /// The oldest file that was rotated away after one of this age, besides the one that was read before.
    fn sibling_after(&self, age: Age) -> io::Result<Option<(PathBuf, Age)>> {
        let previous = self.previous.as_ref().map(|previous| previous.position.inode);
        let siblings = self.siblings()?.into_iter();
        let siblings = siblings.filter(|(_, other)| *other > age && Some(other.1) != previous);
        Ok(siblings.min_by_key(|(_, age)| *age))
    }

    /// The files that were rotated away.
    fn siblings(&self) -> io::Result<Vec<(PathBuf, Age)>> {
        let is_sibling =
            |path: &Path| is_rotation_of(&self.path, path) && !self.others.iter().any(|other| other == path);
        Ok(self.neighbours(is_sibling)?.into_iter().map(|(path, meta)| (path, age_of(&meta))).collect())
    }

    /// The other files in the folder that are wanted; none if it cannot be listed.
    fn neighbours(&self, is_wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<(PathBuf, Metadata)>> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind()) => {
                return Ok(found);
            }
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.file_name() == self.path.file_name() || !is_wanted(&path) {
                continue;
            }
            // One that goes away meanwhile is no neighbour.
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_file() {
                found.push((path, meta));
            }
        }
        Ok(found)
    }
}

impl Open {
    fn new(file: File, position: Position) -> Open {
        Open { file, scanned: position.offset, position, rotated_since: None, is_rotated: false }
    }

    /// How long it is waited for after it was rotated.
    fn grace(&self) -> Duration {
        if self.is_rotated { COPYING } else { GRACE }
    }

    /// The next complete lines of a file of this size; with `to_end` also one that has no end.
    fn read(&mut self, size: u64, to_end: bool) -> io::Result<Option<Lines>> {
        let mut start = self.position.offset;
        if size < self.scanned {
            // Cut before anything was taken from it.
            self.scanned = start;
        }
        if self.scanned >= size && !(to_end && start < size) {
            return Ok(None);
        }
        let mut chunk = read_at(&self.file, start, CHUNK)?;
        // Where a file was cut under a writer that goes on at its old place, zeros stand before the next line.
        while let Some(zeros) = Some(chunk.iter().take_while(|byte| **byte == 0).count()).filter(|zeros| *zeros > 0) {
            start += zeros as u64;
            chunk = read_at(&self.file, start, CHUNK)?;
        }
        let is_whole = (chunk.len() as u64) >= size.saturating_sub(start);
        let last = chunk.iter().rposition(|byte| *byte == b'\n');
        let used = match last {
            Some(last) => last + 1,
            None if to_end && is_whole => chunk.len(),
            None if is_whole => {
                self.scanned = start + chunk.len() as u64;
                return Ok(None);
            }
            None => return self.skip_long_line(start + chunk.len() as u64, to_end),
        };
        chunk.truncate(used);
        let mut lines = Vec::new();
        let mut taken = 0;
        for line in chunk.split_inclusive(|byte| *byte == b'\n').take(MAX_LINES) {
            taken += line.len();
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let number = self.position.lines + lines.len() as u64 + 1;
            lines.push((number, (text.len() <= MAX_LINE).then(|| text.to_vec())));
        }
        chunk.truncate(taken);
        let zeros = vec![0; start.saturating_sub(self.position.offset).min(BEFORE) as usize];
        Ok(Some(self.lines(lines, start + taken as u64, &[zeros, chunk].concat())))
    }

    /// A line that is longer than a chunk: looks for its end behind `from`.
    fn skip_long_line(&mut self, from: u64, to_end: bool) -> io::Result<Option<Lines>> {
        self.scanned = self.scanned.max(from);
        let end = loop {
            let chunk = read_at(&self.file, self.scanned, CHUNK)?;
            match chunk.iter().position(|byte| *byte == b'\n') {
                Some(index) => break self.scanned + index as u64 + 1,
                None if chunk.is_empty() && to_end => break self.scanned,
                None if chunk.is_empty() => return Ok(None),
                None => self.scanned += chunk.len() as u64,
            }
        };
        let last = read_at(&self.file, end.saturating_sub(BEFORE), end.min(BEFORE) as usize)?;
        Ok(Some(self.lines(vec![(self.position.lines + 1, None)], end, &last)))
    }

    /// These lines, with the position behind them. `last` are the last bytes there, or all that were taken.
    fn lines(&self, lines: Vec<(u64, Option<Vec<u8>>)>, offset: u64, last: &[u8]) -> Lines {
        let mut before = [&self.position.before, last].concat();
        before.drain(..before.len().saturating_sub(BEFORE as usize));
        let position =
            Position { offset, lines: self.position.lines + lines.len() as u64, before, ..self.position.clone() };
        Lines { lines, position }
    }
}

impl Position {
    /// Whether it is a position in the file of this device and inode.
    fn is_of(&self, meta: &Metadata) -> bool {
        (self.device, self.inode) == (meta.dev(), meta.ino())
    }

    /// Whether the file has the bytes before it that it had when it was read.
    fn is_in(&self, file: &File, meta: &Metadata) -> io::Result<bool> {
        let length = self.before.len();
        Ok(meta.len() >= self.offset && read_at(file, self.offset - length as u64, length)? == self.before)
    }
}

/// Opens a file, if there is one. Opening a pipe would wait for ever.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map(Some),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn modified(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

fn age_of(meta: &Metadata) -> Age {
    (modified(meta), meta.ino())
}

/// Up to `length` bytes from `offset`; fewer only at the end of the file.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether `other` is named as rotation names files: `ids.log.1`, `ids.log-20261122`, `ids-2026-11-22.log`.
/// Compressed ones are not read.
fn is_rotation_of(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, other) = (name(path), name(other));
    let dot = name.rfind('.').unwrap_or(name.len());
    [name.len(), dot].iter().any(|at| {
        let (stem, extension) = name.split_at(*at);
        let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
        middle.is_some_and(|middle| {
            let digits = middle.bytes().filter(u8::is_ascii_digit).count();
            // A number behind a hyphen may be part of another name; a date is not.
            let is_one = middle.starts_with('.') && digits > 0 || middle.starts_with(['-', '_']) && digits >= 6;
            is_one && middle.bytes().all(|byte| byte.is_ascii_digit() || b".-_:TZ".contains(&byte))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    struct Place {
        folder: tempfile::TempDir,
        follower: Follower,
        position: Option<Position>,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().unwrap();
            let follower = Follower::new(folder.path().join("ids.log"), None, Arc::new([]));
            Place { folder, follower, position: None }
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

        /// Starts anew from the last safe position.
        fn restart(&mut self) {
            self.follower = Follower::new(self.path("ids.log"), self.position.clone(), Arc::new([]));
        }

        /// Every new line with its number, until nothing is new even after the grace.
        async fn read(&mut self) -> Vec<String> {
            let mut found = Vec::new();
            let mut quiet = 0;
            while quiet < 20 {
                match self.follower.look().unwrap() {
                    Look::Lines(Lines { lines, position }) => {
                        quiet = 0;
                        found.extend(lines.into_iter().map(|(number, line)| match line {
                            Some(line) => format!("{number}:{}", String::from_utf8(line).unwrap()),
                            None => format!("{number} is too long"),
                        }));
                        self.position = Some(position.clone());
                        self.follower.advance(position);
                    }
                    Look::Lost => found.push("lost".to_owned()),
                    Look::Nothing | Look::Missing => {
                        quiet += 1;
                        tokio::time::advance(GRACE).await;
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
        place.follower.advance(start.position);
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
        assert_eq!(place.read().await, ["4:4", "5:5", "1:a"], "the old file to its end, then the new one");
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
        // Cut and grown past the position before anyone looked; the copy is there again.
        fs::copy(place.path("ids.log"), place.path("ids.log.2")).unwrap();
        // The clock of file systems is coarse.
        std::thread::sleep(Duration::from_millis(20));
        fs::write(place.path("ids.log"), "x\ny\nz\n").unwrap();
        assert_eq!(place.read().await, ["1:x", "2:y", "3:z"]);
        // Cut without a copy: what was not read is lost, and that is said.
        fs::write(place.path("ids.log"), "q\n").unwrap();
        assert_eq!(place.read().await, ["lost", "1:q"]);
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
        // The one it was in is removed: what was rotated since is still read.
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
        // Long after, and while the new file is empty; a restart in between.
        place.append("ids.log.1", "2\n");
        assert_eq!(place.read().await, ["2:2"]);
        place.restart();
        place.append("ids.log.1", "3\n");
        assert_eq!(place.read().await, ["3:3"]);
        // And while both are written to.
        place.append("ids.log", "a\n");
        place.append("ids.log.1", "4\n");
        assert_eq!(place.read().await, ["1:a", "4:4"]);
        place.append("ids.log.1", "5\n");
        place.append("ids.log", "b\n");
        assert_eq!(place.read().await, ["2:b", "5:5"]);
        place.restart();
        place.append("ids.log", "c\n");
        assert_eq!(place.read().await, ["3:c"]);
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
        let position = place.position.as_mut().unwrap();
        position.device += 1;
        place.append("ids.log", "3\n");
        place.restart();
        assert_eq!(place.read().await, ["3:3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_inode_that_is_used_again_is_another_file() {
        let mut place = Place::new();
        place.append("ids.log", "1\n2\n");
        assert_eq!(place.read().await, ["1:1", "2:2"]);
        let inode = fs::metadata(place.path("ids.log")).unwrap().ino();
        place.follower = Follower::new(place.path("ids.log"), None, Arc::new([]));
        fs::remove_file(place.path("ids.log")).unwrap();
        place.append("ids.log", "3\n4\n5\n");
        let position = Position { inode, ..place.position.clone().unwrap() };
        let same_inode = Position { inode: fs::metadata(place.path("ids.log")).unwrap().ino(), ..position };
        place.follower = Follower::new(place.path("ids.log"), Some(same_inode), Arc::new([]));
        assert_eq!(place.read().await, ["lost", "1:3", "2:4", "3:5"]);
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
    async fn whatever_happens_between_looks_every_line_comes_once() {
        let mut random = fastrand::Rng::new();
        println!("seed {}", random.get_seed());
        for _ in 0..8 {
            let mut place = Place::new();
            let (mut written, mut rotated) = (0, 0);
            let mut read = place.read().await;
            let mut story = Vec::new();
            for _ in 0..60 {
                let name = format!("ids.log.{}", rotated + 1);
                match random.u8(..10) {
                    0..4 => {
                        let lines: String = (written..written + 3).map(|line| format!("{line}\n")).collect();
                        place.append("ids.log", &lines);
                        story.push(format!("write {written}.."));
                        written += 3;
                    }
                    4 if place.path("ids.log").exists() => {
                        story.push(format!("rename to {name}"));
                        place.rename("ids.log", &name);
                        rotated += 1;
                    }
                    5 if place.path("ids.log").exists() => {
                        story.push(format!("copy to {name} and cut"));
                        fs::copy(place.path("ids.log"), place.path(&name)).unwrap();
                        File::create(place.path("ids.log")).unwrap();
                        rotated += 1;
                    }
                    6 => {
                        story.push("restart".to_owned());
                        place.restart();
                    }
                    _ => {
                        story.push("look".to_owned());
                        if let Look::Lines(Lines { lines, position }) = place.follower.look().unwrap()
                            && random.bool()
                        {
                            read.extend(lines.into_iter().map(|(_, line)| String::from_utf8(line.unwrap()).unwrap()));
                            story.push(format!("read up to {:?}", read.last()));
                            place.position = Some(position.clone());
                            place.follower.advance(position);
                        }
                        tokio::time::advance(Duration::from_millis(random.u64(..3000))).await;
                    }
                }
                // The clock of file systems is coarse; files that are written to in the same tick have no order.
                std::thread::sleep(Duration::from_millis(12));
            }
            place.append("ids.log", "");
            read.extend(place.read().await.into_iter().map(|line| line.split_once(':').unwrap().1.to_owned()));
            let expected: Vec<String> = (0..written).map(|line| line.to_string()).collect();
            assert_eq!(read, expected, "{story:#?}");
        }
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(folder.path().to_owned(), Some(Position::default()), Arc::new([]));
        assert_eq!(follower.look().unwrap_err().to_string(), "not a file");
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
}
