//! Values of series over time, from the kept answers of a report. A counter steps at the end of the period that its numbers
//! are of; a gauge is there while its window was the newest closed one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::backfill::journal::{Answer, Asked, Number, Record, read};
use crate::backfill::plan::{Span, next, windows_of};
use crate::backfill::types::BackfillError;
use crate::exposition::text;
use crate::ledger::MAX_UNKNOWN_LABELS;
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::reading::Label;
use crate::model::window::{Unit, Window};
use crate::provider::{WindowQuery, WindowReport};
use crate::status::ReportId;

/// Answers of one report, and what they mean.
pub(super) struct Source {
    pub(super) id: ReportId,
    /// Journal with the answers.
    pub(super) path: PathBuf,
    pub(super) span: Span,
    pub(super) content: Content,
}

/// Meaning of the answers.
pub(super) enum Content {
    /// Answers about windows.
    Windows {
        report: Arc<dyn WindowReport>,
        /// True if the report is the source of the account's counters.
        counts: bool,
        zone: TimeZone,
        /// Time for which gauges stay without a newer window.
        max_age: Duration,
    },
    /// Answers about messages.
    Messages,
}

/// A value from a time on, until another one, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) value: i64,
}

/// Values over time of the series of a source, by metric and labels.
pub(super) type Timeline = BTreeMap<Family, BTreeMap<String, Vec<Piece>>>;

/// Metric, and labels as they are written.
type Series = (Family, String);

/// Counts of series by the time at which they count.
#[derive(Default)]
struct Counts {
    /// Begin of the earliest answered period.
    begin: Option<i64>,
    series: BTreeMap<Series, BTreeMap<i64, i64>>,
}

/// Gauges of a window.
struct ShownWindow {
    window: Window,
    from: i64,
    values: BTreeMap<Series, i64>,
}

/// Undocumented label values: the first few are kept, as in the ledger.
#[derive(Default)]
struct Admission(HashSet<String>);

impl Admission {
    /// Returns the labels of a number.
    fn labels(&mut self, number: &Number) -> Labels {
        let mut labels = Labels::default();
        for (name, value, is_known) in &number.labels {
            let is_admitted = *is_known || self.0.contains(value) || self.0.len() < MAX_UNKNOWN_LABELS;
            if !is_known && is_admitted {
                self.0.insert(value.clone());
            }
            let other = Label::OTHER;
            labels = labels.with(name, if is_admitted { value } else { other.as_str() });
        }
        labels
    }
}

impl Source {
    /// Reads the answers and returns the values over time.
    pub(super) fn timeline(&self) -> Result<Timeline, BackfillError> {
        let mut counts = Counts::default();
        let mut shown: BTreeMap<(String, Unit), Vec<ShownWindow>> = BTreeMap::new();
        let mut admission = Admission::default();
        read(&self.path, |record| match &self.content {
            Content::Windows { report, counts: is_source, zone, .. } => {
                let answers = Windows { report: &**report, is_source: *is_source, zone, span: self.span, id: &self.id };
                answers.take(record, &mut admission, &mut counts, &mut shown);
            }
            Content::Messages => take_messages(record, self.span, &mut admission, &mut counts),
        })?;
        let mut timeline = Timeline::new();
        self.add_counters(counts, &mut timeline);
        if let Content::Windows { report, max_age, .. } = &self.content {
            for windows in shown.into_values() {
                self.add_gauges(windows, &**report, *max_age, &mut timeline);
            }
        }
        Ok(timeline)
    }

    fn add_counters(&self, counts: Counts, timeline: &mut Timeline) {
        let Some(begin) = counts.begin else { return };
        let end = self.span.to.as_second().saturating_add(1);
        for ((family, labels), steps) in counts.series {
            let mut pieces = vec![Piece { from: begin, until: end, value: 0 }];
            for (at, count) in steps {
                let Some(last) = pieces.last_mut() else { continue };
                let value = last.value.saturating_add(count);
                last.until = at;
                pieces.push(Piece { from: at, until: end, value });
            }
            timeline.entry(family).or_default().insert(labels, pieces);
        }
    }

    fn add_gauges(
        &self,
        mut windows: Vec<ShownWindow>,
        report: &dyn WindowReport,
        max_age: Duration,
        timeline: &mut Timeline,
    ) {
        windows.sort_by_key(|shown| shown.window);
        let end = self.span.to.as_second().saturating_add(1);
        let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        let ends: Vec<i64> = windows.iter().skip(1).map(|shown| shown.from).chain([end]).collect();
        for (ShownWindow { window, from, values }, replaced) in windows.into_iter().zip(ends) {
            // A window that is missing would have been asked for until its gauges were too old.
            let due = report.shown_from(next(window), true).map_or(end, Timestamp::as_second);
            let until = replaced.min(due.saturating_add(max_age)).min(end);
            if from >= until {
                continue;
            }
            for ((family, labels), value) in values {
                let pieces = timeline.entry(family).or_default().entry(labels).or_default();
                pieces.push(Piece { from, until, value });
            }
        }
    }
}

/// Interpretation of answers about windows.
struct Windows<'a> {
    report: &'a dyn WindowReport,
    is_source: bool,
    zone: &'a TimeZone,
    span: Span,
    id: &'a ReportId,
}

impl Windows<'_> {
    fn take(
        &self,
        record: Record,
        admission: &mut Admission,
        counts: &mut Counts,
        shown: &mut BTreeMap<(String, Unit), Vec<ShownWindow>>,
    ) {
        let Asked::Windows { scope, first, last } = record.asked else { return };
        let numbers = match record.answer {
            Answer::Windows(numbers) => numbers,
            Answer::NoData => Vec::new(),
            Answer::Messages(..) | Answer::Refused | Answer::Divided => return,
        };
        let mut numbers: HashMap<Window, _> = numbers.into_iter().map(|numbers| (numbers.window, numbers)).collect();
        let query = WindowQuery { first, last, scope: scope.clone() };
        let is_past = |past: &crate::provider::PastWindows| (&past.scope, past.unit) == (&scope, first.unit);
        let feeds = self.is_source && self.report.past_windows().iter().any(|past| is_past(past) && past.counts);
        let scope = scope.unwrap_or_default();
        let is_shown = self.report.shows(&scope, first.unit);
        for window in windows_of(&query) {
            let numbers = numbers.remove(&window);
            if feeds && self.span.holds(window, self.zone) {
                let begin = window.begin(self.zone).as_second();
                counts.begin = Some(counts.begin.map_or(begin, |earlier| earlier.min(begin)));
                for number in numbers.iter().flat_map(|numbers| &numbers.counters) {
                    let labels = text::series_labels(&admission.labels(number));
                    counts.add(number, labels, window.end(self.zone).as_second());
                }
            }
            let gauges = numbers.as_ref().map(|numbers| numbers.gauges.as_slice()).unwrap_or_default();
            let from = self.report.shown_from(window, !gauges.is_empty()).filter(|_| is_shown);
            if let Some(from) = from {
                let values = self.gauges(window, &scope, gauges, admission);
                let shown = shown.entry((scope.clone(), window.unit)).or_default();
                shown.push(ShownWindow { window, from: from.as_second(), values });
            }
        }
    }

    /// Returns the gauges of a window: its end, and its values.
    fn gauges(
        &self,
        window: Window,
        scope: &str,
        gauges: &[Number],
        admission: &mut Admission,
    ) -> BTreeMap<Series, i64> {
        let mut values = BTreeMap::new();
        let unit = window.unit.name();
        if scope.is_empty() {
            let labels = Labels::new(&[("report", self.id.report), ("window", unit)]);
            let end = window.end(self.zone).as_millisecond();
            values.insert((Family::WindowEnd, text::series_labels(&labels)), end);
        }
        for number in gauges {
            let Some(family) = Family::from_name(&number.metric) else { continue };
            let mut labels = admission.labels(number).with("window", unit);
            if !scope.is_empty() {
                labels = labels.with(self.report.scope_label(), scope);
            }
            let value: &mut i64 = values.entry((family, text::series_labels(&labels))).or_default();
            *value = value.saturating_add(number.value);
        }
        values
    }
}

fn take_messages(record: Record, span: Span, admission: &mut Admission, counts: &mut Counts) {
    let Answer::Messages(hours, _) = record.answer else { return };
    counts.begin = Some(span.from.as_second());
    for hour in hours {
        for number in &hour.counters {
            let labels = text::series_labels(&admission.labels(number));
            counts.add(number, labels, hour.end);
        }
    }
}

impl Counts {
    fn add(&mut self, number: &Number, labels: String, at: i64) {
        let Some(family) = Family::from_name(&number.metric) else { return };
        let count = self.series.entry((family, labels)).or_default().entry(at).or_default();
        *count = count.saturating_add(number.value);
    }
}
