//! Follower of a file like `tail -F`: complete lines come out with the mark after them, across rotation by rename and
//! by truncation, even if nobody looked meanwhile. It knows nothing of the content of the lines. Its functions block.
//!
//! Every file that was ever at the path has a mark: the position up to which it has been read. A mark names its file
//! by inode, and the bytes before it must be the same, since inodes are reused and a truncated file may have grown
//! past its mark. If the file of a mark is gone or was truncated, a file with the same bytes before that position
//! takes the mark over: it is a copy, or was moved here. Any other file is read from its start, since registering an
//! id again counts nothing. Files that have bytes after their marks are read, the oldest first, so neither the order
//! of rotations nor a late writer matters.

#![expect(clippy::disallowed_methods, reason = "runs on blocking threads")]

mod lines;

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

pub use self::lines::{Line, split};
use self::lines::{LineReading, read_at};
use crate::ledger::{FileId, FileMark};
use crate::messages::followed_paths::Paths;

/// Number of bytes before a mark that are remembered: enough for several lines, since lines may end alike.
const BEFORE: u64 = 1024;
/// Number of first bytes that are compared: files that begin with the same bytes, up to this many, are copies.
const HEAD: u64 = 4096;
/// Time for which a file that has left its path is held open after its last line, whatever its new name.
const HELD: Duration = Duration::from_secs(60);
/// Minimum number of marks that are kept, including those of files that are gone.
const MARKS: usize = 256;
/// Time to wait for the end of a last line in a file that was rotated away.
const LAST_LINE: Duration = Duration::from_secs(30);

/// Lines of a file, with the changes of marks that belong to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// New lines, in the order of the file.
    pub lines: Vec<Line>,
    /// Marks that differ from before; the last one is the mark after the lines.
    pub marks: Vec<FileMark>,
    /// Files whose marks are to be forgotten.
    pub gone: Vec<FileId>,
}

/// Result of a look at the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// New lines. Look again at once when they are stored.
    Lines(Lines),
    /// There is nothing new.
    Nothing,
    /// The file is missing.
    Missing,
    /// The file that was being read is gone or was truncated. Look again at once.
    Lost,
}

/// Follower of one file, which keeps the marks between looks.
pub struct Follower {
    path: PathBuf,
    others: Paths,
    marks: Vec<FileMark>,
    /// Files whose mark differs from the stored one; `gone` are those whose mark is to be forgotten.
    changed: HashSet<FileId>,
    gone: Vec<FileId>,
    /// Open files that have left their path, each with the time of its last new line.
    held: Vec<(FileId, File, Instant)>,
    /// File that was at the path at the last look.
    at_path: Option<(FileId, File)>,
    /// Files that were rotated away, have been read to their end and were verified to be unchanged.
    done: HashSet<FileId>,
    /// Last lines without an end, by file.
    tails: HashMap<FileId, Tail>,
}

/// State of a last line without an end.
struct Tail {
    /// Offset before which no line ends.
    scanned: u64,
    /// Time at which the file was last written to.
    modified: (i64, i64),
    /// Time since which nobody continues the line, after the file has left the path.
    since: Instant,
}

/// A file to be read.
struct Member {
    file: File,
    meta: Metadata,
    is_at_path: bool,
}

impl Follower {
    /// Creates a follower that continues from stored marks, or from the start of the file if there are none. `others`
    /// are files that are no rotation of this one, whatever their names.
    pub fn new(path: PathBuf, marks: Vec<FileMark>, others: Paths) -> Follower {
        Follower {
            path,
            others,
            marks,
            changed: HashSet::new(),
            gone: Vec::new(),
            held: Vec::new(),
            at_path: None,
            done: HashSet::new(),
            tails: HashMap::new(),
        }
    }

    /// Returns the current marks.
    pub fn marks(&self) -> &[FileMark] {
        &self.marks
    }

    /// Looks for new lines.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn look(&mut self) -> io::Result<Look> {
        if self.marks.is_empty() && !self.folder().exists() {
            // The content of the folder is unknown until it exists.
            return Ok(Look::Missing);
        }
        let members = self.members()?;
        if self.marks.is_empty() {
            return self.begin(&members).map(Look::Lines);
        }
        let marks = self.match_marks(&members);
        if self.take_up(&marks) {
            return Ok(Look::Lost);
        }
        for (member, mark) in members.iter().zip(marks) {
            if let Some(lines) = self.read(member, mark)? {
                return Ok(Look::Lines(lines));
            }
        }
        if !self.changed.is_empty() || !self.gone.is_empty() {
            return Ok(Look::Lines(self.lines(Vec::new(), None)));
        }
        let is_there = members.iter().any(|member| member.is_at_path);
        Ok(if is_there { Look::Nothing } else { Look::Missing })
    }

    /// Takes over marks once the lines that were found are stored.
    pub fn advance(&mut self, lines: Lines) {
        for mark in lines.marks {
            self.tails.remove(&mark.file);
            self.changed.remove(&mark.file);
            match self.marks.iter_mut().find(|known| known.file == mark.file) {
                Some(known) => *known = mark,
                None => self.marks.push(mark),
            }
        }
        self.gone.retain(|file| !lines.gone.contains(file));
    }

    /// Returns lines together with all marks that have changed.
    fn lines(&self, lines: Vec<Line>, behind: Option<FileMark>) -> Lines {
        let is_other = |mark: &&FileMark| behind.as_ref().is_none_or(|behind| behind.file != mark.file);
        let marks = self.marks.iter().filter(|mark| self.changed.contains(&mark.file)).filter(is_other);
        Lines { lines, marks: marks.cloned().chain(behind.clone()).collect(), gone: self.gone.clone() }
    }

    /// Makes the first look: files that were rotated away before it are not read.
    fn begin(&self, members: &[Member]) -> io::Result<Lines> {
        // The default mark records the look itself, for when there is no file yet.
        let mut marks = vec![FileMark::default()];
        for Member { file, meta, is_at_path } in members {
            let offset = if *is_at_path { 0 } else { meta.len() };
            let before = read_at(file, offset.saturating_sub(BEFORE), offset.min(BEFORE) as usize)?;
            let is_at_path = *is_at_path;
            marks.push(FileMark { file: id(meta), offset, lines: 0, before, is_at_path, is_awaited: is_at_path });
        }
        Ok(Lines { marks, ..Lines::default() })
    }

    /// Returns every file to read: those that were rotated away, the oldest first, then the one at the path.
    fn members(&mut self) -> io::Result<Vec<Member>> {
        let at_path = open_regular(&self.path)?.map(|file| Ok::<_, io::Error>((file.metadata()?, file))).transpose()?;
        let path_id = at_path.as_ref().map(|(meta, _)| id(meta));
        let left = self.at_path.take_if(|(file_id, _)| path_id != Some(*file_id));
        self.held.extend(left.map(|(file_id, file)| (file_id, file, Instant::now())));
        self.held.retain(|(.., since)| since.elapsed() < HELD);
        let mut members: Vec<Member> = Vec::new();
        for (_, file, _) in &self.held {
            members.push(Member { meta: file.metadata()?, file: file.try_clone()?, is_at_path: false });
        }
        let is_here = |file: FileId| Some(file) == path_id || members.iter().any(|member| id(&member.meta) == file);
        let away = self.marks.iter().filter(|mark| mark.is_awaited && !is_here(mark.file)).map(|mark| mark.file);
        let before = std::mem::take(&mut self.done);
        for path in self.siblings(&away.collect::<Vec<_>>())? {
            // A file that disappears meanwhile, or may not be read, must not keep the others from being read.
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            let is_read = |mark: &&FileMark| mark.file == id(&meta) && mark.offset == meta.len() && !mark.is_awaited;
            let read = self.marks.iter().find(is_read);
            if read.is_some() && before.contains(&id(&meta)) {
                self.done.insert(id(&meta));
                continue;
            }
            let Ok(Some(file)) = open_regular(&path) else { continue };
            let member = Member { meta: file.metadata()?, file, is_at_path: false };
            if read.is_some_and(|mark| is_in(mark, &member.file, &member.meta)) {
                self.done.insert(id(&meta));
                continue;
            }
            let is_known = self.marks.iter().any(|mark| mark.file == id(&member.meta));
            // A copy that may not be complete yet is recognized by its marks once the original has been truncated.
            if is_known || !at_path.as_ref().is_some_and(|(meta, file)| is_prefix(&member, file, meta)) {
                members.push(member);
            }
        }
        // A file that is held, or at the path, may also be found under another name.
        let mut seen: HashSet<FileId> = path_id.into_iter().collect();
        members.retain(|member| seen.insert(id(&member.meta)));
        members.sort_by_key(|member| (member.meta.mtime(), member.meta.mtime_nsec()));
        if let Some((meta, file)) = at_path {
            self.at_path = Some((id(&meta), file.try_clone()?));
            members.push(Member { meta, file, is_at_path: true });
        }
        Ok(members)
    }

    /// Returns the mark of each of these files: its own, that of a file which is gone or has changed, or its start.
    fn match_marks(&self, members: &[Member]) -> Vec<FileMark> {
        let orphans: Vec<&FileMark> = self.marks.iter().filter(|mark| is_orphan(mark, members)).collect();
        let mark_of = |Member { file, meta, is_at_path }: &Member| {
            let own = self.marks.iter().find(|mark| mark.file == id(meta) && is_in(mark, file, meta));
            let taken_over = || orphans.iter().filter(|mark| is_in(mark, file, meta)).max_by_key(|mark| mark.offset);
            let best = own.or_else(|| taken_over().copied());
            // A file that has left the path with unread bytes is looked for under any name.
            let is_awaited = own.is_some_and(|mark| mark.is_awaited && meta.len() > mark.offset);
            let mark = best.cloned().unwrap_or_default();
            FileMark { file: id(meta), is_at_path: *is_at_path, is_awaited: *is_at_path || is_awaited, ..mark }
        };
        members.iter().map(mark_of).collect()
    }

    /// Updates the marks of files that are there. Returns true if the file that was at the path is gone or was
    /// truncated, and its content is nowhere else.
    fn take_up(&mut self, matched: &[FileMark]) -> bool {
        let has_path = matched.iter().any(|found| found.is_at_path);
        let mut is_lost = false;
        self.tails.retain(|file, _| matched.iter().any(|found| found.file == *file));
        for mark in &mut self.marks {
            let found = matched.iter().find(|found| found.file == mark.file);
            let is_taken_over =
                || matched.iter().any(|found| (found.offset, &found.before) == (mark.offset, &mark.before));
            let new = match found {
                Some(found) => found.clone(),
                // The file is elsewhere or gone. While there is nothing at the path, it may come back.
                None if mark.is_awaited && has_path => {
                    FileMark { is_at_path: false, is_awaited: false, ..mark.clone() }
                }
                None => continue,
            };
            let is_cut = (new.offset, &new.before) != (mark.offset, &mark.before);
            is_lost |= mark.is_awaited && (is_cut || found.is_none()) && !is_taken_over();
            if *mark != new {
                self.changed.insert(mark.file);
                *mark = new;
            }
        }
        // New files, copies, and files with new inode or device numbers.
        for mark in matched {
            if !self.marks.iter().any(|known| known.file == mark.file) {
                self.gone.retain(|file| *file != mark.file);
                self.changed.insert(mark.file);
                self.marks.push(mark.clone());
            }
        }
        self.forget(matched);
        is_lost
    }

    /// Forgets the oldest marks of files that are gone, if there are many. Some files come back: from a volume that
    /// was not mounted, or from an archive.
    fn forget(&mut self, matched: &[FileMark]) {
        let mut seen: HashSet<FileId> = matched.iter().map(|found| found.file).collect();
        seen.extend(&self.done);
        seen.insert(FileId::default());
        let mut excess = self.marks.len().saturating_sub(MARKS);
        let (gone, changed) = (&mut self.gone, &mut self.changed);
        self.marks.retain(|mark| {
            if excess == 0 || mark.is_awaited || seen.contains(&mark.file) {
                return true;
            }
            excess -= 1;
            changed.remove(&mark.file);
            gone.push(mark.file);
            false
        });
    }

    /// Reads the next lines of a file.
    fn read(&mut self, member: &Member, mark: FileMark) -> io::Result<Option<Lines>> {
        let Member { file, meta, is_at_path } = member;
        let (size, file_id) = (meta.len(), id(meta));
        if size <= mark.offset {
            return Ok(None);
        }
        let modified = (meta.mtime(), meta.mtime_nsec());
        if let Some(tail) = self.tails.get_mut(&file_id).filter(|_| *is_at_path) {
            tail.since = Instant::now();
        }
        let tail = self.tails.get(&file_id);
        let is_over = !is_at_path && tail.is_some_and(|tail| tail.since.elapsed() >= LAST_LINE);
        let scanned = tail.map_or(0, |tail| tail.scanned).max(mark.offset);
        // The file was rewritten over what it held.
        let is_other = size < scanned || size == scanned && tail.is_some_and(|tail| tail.modified != modified);
        let from = if is_other { mark.offset } else { scanned };
        if from >= size && !is_over {
            return Ok(None);
        }
        let read = LineReading { file, mark: &mark, size, is_over }.next(from)?;
        // The file was truncated while it was read.
        if !is_in(&mark, file, &file.metadata()?) {
            return Ok(None);
        }
        match read {
            Ok((lines, mark)) => {
                if let Some((.., since)) = self.held.iter_mut().find(|(held, ..)| *held == file_id) {
                    *since = Instant::now();
                }
                Ok(Some(self.lines(lines, Some(mark))))
            }
            Err(scanned) => {
                let since =
                    self.tails.get(&file_id).filter(|_| from == scanned).map_or_else(Instant::now, |tail| tail.since);
                self.tails.insert(file_id, Tail { scanned, modified, since });
                Ok(None)
            }
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Returns the files that were rotated away, by their names, and those that are `away` from the path under any
    /// name.
    fn siblings(&self, away: &[FileId]) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(self.folder()) {
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind()) => {
                return Ok(found);
            }
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if path.file_name() == self.path.file_name() || self.others.contains(&path) {
                continue;
            }
            let is_wanted = || !away.is_empty() && entry.metadata().is_ok_and(|meta| away.contains(&id(&meta)));
            if is_rotation_of(&self.path, &path) || is_wanted() {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// Returns true if the bytes before a mark are still those that were there when the file was read.
fn is_in(mark: &FileMark, file: &File, meta: &Metadata) -> bool {
    let length = mark.before.len();
    let before = || read_at(file, mark.offset.saturating_sub(length as u64), length);
    meta.len() >= mark.offset && before().is_ok_and(|before| before == mark.before)
}

/// Returns true if another file begins with the content of a copy, as far as the copy's first and last bytes show.
fn is_prefix(copy: &Member, whole: &File, meta: &Metadata) -> bool {
    let size = copy.meta.len();
    let length = size.min(HEAD) as usize;
    let is_same = |offset| matches!((read_at(&copy.file, offset, length), read_at(whole, offset, length)), (Ok(a), Ok(b)) if a == b);
    size <= meta.len() && is_same(0) && is_same(size - length as u64)
}

/// Returns true if the file of a mark is none of these or has changed, and the bytes before the mark distinguish it
/// from any other file: they are as many as are remembered, or all that it had.
fn is_orphan(mark: &FileMark, members: &[Member]) -> bool {
    let known = mark.before.len() as u64;
    let is_telling = mark.offset > 0 && (known >= BEFORE || known == mark.offset);
    let member = members.iter().find(|member| id(&member.meta) == mark.file);
    is_telling && member.is_none_or(|member| !is_in(mark, &member.file, &member.meta))
}

fn id(meta: &Metadata) -> FileId {
    FileId { device: meta.dev(), inode: meta.ino() }
}

/// Opens a file, if it exists. Opening a pipe would block indefinitely.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map(Some),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns true if `other` has a name that rotation gives: `ids.log.1`, `ids.log-20261122`, `ids-2026-11-22.log`.
/// Compressed files are not read.
fn is_rotation_of(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, other) = (name(path), name(other));
    let dot = name.rfind('.').unwrap_or(name.len());
    [name.len(), dot].iter().any(|at| {
        let (stem, extension) = name.split_at(*at);
        let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
        middle.is_some_and(|middle| {
            let digits = middle.bytes().filter(u8::is_ascii_digit).count();
            // A number after a hyphen may be part of another name; a date is not.
            let is_one = middle.starts_with('.') && digits > 0 || middle.starts_with(['-', '_']) && digits >= 6;
            is_one && middle.bytes().all(|byte| byte.is_ascii_digit() || b".-_:TZ".contains(&byte))
        })
    })
}

#[cfg(test)]
mod tests;
