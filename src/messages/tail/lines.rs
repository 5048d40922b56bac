//! Lines of a file from a mark on: complete lines come out with the mark after them. The functions block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::ledger::FileMark;
use crate::messages::input::MAX_LINE;
use crate::messages::tail::BEFORE;

/// Number of bytes that are read at once.
pub(super) const CHUNK: usize = 1024 * 1024;
/// Number of bytes for which memory is allocated at a time. Mostly there is nothing to read: a whole chunk, every
/// second, on any thread, would cost a MiB per thread.
const PIECE: usize = 16 * 1024;
/// Maximum number of lines that are returned at once.
const MAX_LINES: usize = 10_000;
/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the line, from 1.
    pub number: u64,
    /// Text without the line end; `None` if it is too long.
    pub text: Option<Vec<u8>>,
    /// True if the line has an end: the last line of a file that was rotated away may have none.
    pub is_ended: bool,
}

/// A file being read from a mark.
pub(super) struct LineReading<'a> {
    pub(super) file: &'a File,
    pub(super) mark: &'a FileMark,
    pub(super) size: u64,
    /// True if nobody will complete its last line any more.
    pub(super) is_over: bool,
}

impl LineReading<'_> {
    /// Returns the next lines and the mark after them, or else the offset before which no line ends.
    pub(super) fn next(&self, scanned: u64) -> io::Result<Result<(Vec<Line>, FileMark), u64>> {
        let mut start = self.mark.offset;
        let mut chunk = read_at(self.file, start, CHUNK)?;
        // If a file was truncated under a writer that continues at its old offset, zeros precede the next line.
        while chunk.first() == Some(&0) {
            let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
            start += zeros as u64;
            chunk = read_at(self.file, start, CHUNK)?;
        }
        let is_whole = start + chunk.len() as u64 >= self.size;
        let last = chunk.iter().rposition(|byte| *byte == b'\n');
        let used = match last {
            Some(last) => last + 1,
            None if is_whole && self.is_over => chunk.len(),
            None if is_whole => return Ok(Err(self.size)),
            None => return self.skip_long_line(scanned.max(start + chunk.len() as u64)),
        };
        chunk.truncate(used);
        let (lines, taken) = split(&chunk, self.mark.lines + 1);
        chunk.truncate(taken);
        let zeros = vec![0; (start - self.mark.offset).min(BEFORE) as usize];
        let mark = self.mark_behind(&lines, start + taken as u64, &[zeros, chunk].concat());
        Ok(Ok((lines, mark)))
    }

    /// Skips a line that is longer than a chunk, by looking for its end.
    fn skip_long_line(&self, mut scanned: u64) -> io::Result<Result<(Vec<Line>, FileMark), u64>> {
        let end = loop {
            let chunk = read_at(self.file, scanned, CHUNK)?;
            match chunk.iter().position(|byte| *byte == b'\n') {
                Some(index) => break scanned + index as u64 + 1,
                None if chunk.is_empty() && self.is_over => break scanned,
                None if chunk.is_empty() => return Ok(Err(scanned)),
                None => scanned += chunk.len() as u64,
            }
        };
        let lines = vec![Line { number: self.mark.lines + 1, text: None, is_ended: true }];
        let last = read_at(self.file, end.saturating_sub(BEFORE), end.min(BEFORE) as usize)?;
        let mark = self.mark_behind(&lines, end, &last);
        Ok(Ok((lines, mark)))
    }

    /// Returns the mark after some lines; `last` are the last bytes there, or all that were consumed.
    fn mark_behind(&self, lines: &[Line], offset: u64, last: &[u8]) -> FileMark {
        let mut before = [&self.mark.before, last].concat();
        before.drain(..before.len().saturating_sub(BEFORE as usize));
        FileMark { offset, lines: self.mark.lines + lines.len() as u64, before, ..self.mark.clone() }
    }
}

/// Splits a chunk in which no line is cut off into lines, at most [`MAX_LINES`], of which the first has this number.
/// Returns them with the number of bytes that they take. Separate from the files for tests and fuzzing.
pub fn split(chunk: &[u8], first: u64) -> (Vec<Line>, usize) {
    let mut lines = Vec::new();
    let mut taken = 0;
    for line in chunk.split_inclusive(|byte| *byte == b'\n').take(MAX_LINES) {
        taken += line.len();
        let text = line.strip_suffix(b"\n");
        let is_ended = text.is_some();
        let text = text.unwrap_or(line);
        let text = &text[text.iter().take_while(|byte| **byte == 0).count()..];
        let text = Some(text).filter(|text| text.len() <= MAX_LINE).map(<[u8]>::to_vec);
        lines.push(Line { number: first + lines.len() as u64, text, is_ended });
    }
    (lines, taken)
}

/// Reads up to `length` bytes from `offset`; fewer only at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let read = bytes.len();
        bytes.resize(length.min(read + PIECE), 0);
        let more = match file.read_at(&mut bytes[read..], offset + read as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                bytes.truncate(read);
                continue;
            }
            more => more?,
        };
        bytes.truncate(read + more);
        if more == 0 {
            break;
        }
    }
    Ok(bytes)
}
