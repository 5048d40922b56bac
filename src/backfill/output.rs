//! Writes a history as OpenMetrics with timestamps: a metric after the other, a series after the other, each in order of
//! time. One report of one app is in memory at a time.

#![expect(clippy::disallowed_methods, reason = "runs on blocking threads")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio_util::sync::CancellationToken;

use crate::backfill::timeline::{Piece, Source};
use crate::backfill::types::{BackfillError, Written, file_error};
use crate::exposition::openmetrics;
use crate::exposition::text::{self, SeriesText};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpTexts;

/// Number of bytes that are written at once.
const CHUNK: usize = 256 * 1024;

/// Everything that the output depends on.
pub(super) struct Writer {
    pub(super) file: PathBuf,
    /// Folder of the output until it is complete.
    pub(super) work: PathBuf,
    pub(super) sources: Vec<Source>,
    pub(super) help: HelpTexts,
    /// Labels of all series.
    pub(super) labels: Vec<(String, String)>,
    /// Interval between samples, in seconds.
    pub(super) step: i64,
    pub(super) stop: CancellationToken,
}

/// Output so far.
struct Sink<'a> {
    out: &'a mut dyn Write,
    path: &'a Path,
    buffer: Vec<u8>,
    written: Written,
}

impl Sink<'_> {
    fn flush_from(&mut self, length: usize) -> Result<(), BackfillError> {
        if self.buffer.len() > length {
            self.out.write_all(&self.buffer).map_err(file_error(self.path))?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Writer {
    /// Writes the file, which replaces an earlier one when it is complete. Returns its size.
    pub(super) fn write(&self) -> Result<Written, BackfillError> {
        let path = self.work.join("output");
        let error = file_error(&path);
        let file = BufWriter::with_capacity(CHUNK, File::create(&path).map_err(&error)?);
        let is_compressed = self.file.extension().is_some_and(|extension| extension == "gz");
        let (file, written) = if is_compressed {
            let mut out = GzEncoder::new(file, Compression::fast());
            let written = self.write_to(&mut out, &path)?;
            (out.finish().map_err(&error)?, written)
        } else {
            let mut file = file;
            let written = self.write_to(&mut file, &path)?;
            (file, written)
        };
        let file = file.into_inner().map_err(|failed| error(failed.into_error()))?;
        file.sync_all().map_err(&error)?;
        let bytes = file.metadata().map_err(&error)?.len();
        std::fs::rename(&path, &self.file).map_err(file_error(&self.file))?;
        Ok(Written { bytes, ..written })
    }

    fn write_to(&self, out: &mut dyn Write, path: &Path) -> Result<Written, BackfillError> {
        let mut sink = Sink { out, path, buffer: Vec::with_capacity(2 * CHUNK), written: Written::default() };
        let pairs: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let common_labels = text::labels(&pairs);
        // Each metric must be written in one piece, so a journal is read once for each.
        let mut families: BTreeMap<Family, BTreeSet<usize>> = BTreeMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            for family in source.timeline()?.into_keys() {
                families.entry(family).or_default().insert(index);
            }
        }
        for (family, sources) in families {
            openmetrics::head(&mut sink.buffer, family, self.help.of(family));
            for source in sources.iter().filter_map(|index| self.sources.get(*index)) {
                let app_labels = source.id.app_labels();
                for (labels, pieces) in source.timeline()?.remove(&family).unwrap_or_default() {
                    if self.stop.is_cancelled() {
                        return Err(BackfillError::Stopped);
                    }
                    let series = SeriesText { app_labels: &app_labels, labels: &labels, common_labels: &common_labels };
                    let before = sink.written.samples;
                    for piece in pieces {
                        self.write_piece(&mut sink, family, &series, source, piece)?;
                    }
                    sink.written.series += u64::from(sink.written.samples > before);
                }
            }
        }
        sink.buffer.extend_from_slice(openmetrics::END);
        sink.flush_from(0)?;
        Ok(sink.written)
    }

    fn write_piece(
        &self,
        sink: &mut Sink<'_>,
        family: Family,
        series: &SeriesText<'_>,
        source: &Source,
        piece: Piece,
    ) -> Result<(), BackfillError> {
        let mut line = Vec::new();
        openmetrics::untimed_sample(&mut line, family, series, piece.value);
        // Samples are after the begin of the history, up to its end.
        let first = piece.from.max(source.span.from.as_second().saturating_add(1));
        let last = piece.until.saturating_sub(1).min(source.span.to.as_second());
        let mut at = first.saturating_add(self.step - 1).div_euclid(self.step).saturating_mul(self.step);
        while at <= last {
            sink.buffer.extend_from_slice(&line);
            openmetrics::write_time(&mut sink.buffer, at);
            sink.written.samples += 1;
            sink.flush_from(CHUNK)?;
            at = at.saturating_add(self.step);
        }
        Ok(())
    }
}
