//! The rows that a commit depends on: which they are, and what an engine has loaded of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::ledger::{Commit, CommitContent, MessageState, RECONCILED, StoredGauges, SubjectTotals};
use crate::metrics::catalog::Family;
use crate::model::reading::{GaugeReading, Reading};
use crate::model::window::Unit;

/// Maximum length of an unknown name that is remembered, in characters.
const MAX_NAME: usize = 128;

/// Keys of the rows that a commit depends on, each once. The app's own row is always needed.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    /// Paths of the documented fields of its readings.
    pub(crate) fields: HashSet<&'a str>,
    /// True if it has undocumented fields: then all that are known of the app are needed.
    pub(crate) has_unknown_fields: bool,
    /// True if it has undocumented labels: then all that the app has are needed.
    pub(crate) has_unknown_labels: bool,
    /// Keys of its windows.
    pub(crate) windows: BTreeSet<&'a str>,
    /// True if it has totals of windows: then the families of the app's series are needed.
    pub(crate) has_totals: bool,
    /// Scope and unit of its window gauges.
    pub(crate) gauges: BTreeSet<(&'a str, Unit)>,
    /// Rows of its messages.
    pub(crate) messages: BTreeSet<i64>,
    /// Unknown names in it, shortened.
    pub(crate) names: BTreeSet<String>,
}

impl<'a> Needs<'a> {
    /// Returns the needs of a commit.
    pub(crate) fn of(commit: &'a Commit) -> Needs<'a> {
        let mut needs = Needs { names: commit.unknown.iter().map(|name| shorten(name)).collect(), ..Needs::default() };
        match &commit.content {
            CommitContent::Windows { subjects, gauges, totals, .. } => {
                for subject in subjects {
                    needs.windows.insert(&subject.subject);
                    needs.readings(&subject.readings);
                }
                if let Some(SubjectTotals { unit, subjects, .. }) = totals {
                    needs.windows.extend(subjects.iter().map(String::as_str));
                    needs.gauges.insert((RECONCILED, *unit));
                    needs.has_totals = true;
                }
                for gauge in gauges {
                    needs.gauges.insert((&gauge.scope, gauge.unit));
                    needs.labels(&gauge.values);
                }
            }
            CommitContent::Moment { gauges, .. } => needs.labels(gauges),
            CommitContent::Messages { polled, failed, .. } => {
                needs.messages = polled.iter().map(|polled| polled.row).collect();
                needs.messages.extend(failed.iter().map(|failed| failed.row));
                let mut before: &[Reading] = &[];
                for message in polled {
                    needs.readings_besides(before, &message.readings);
                    before = &message.readings;
                }
            }
        }
        needs
    }

    fn readings(&mut self, readings: &'a [Reading]) {
        self.readings_besides(&[], readings);
    }

    /// Adds readings. Those of `before` are added already: the messages of a call mostly have the same fields in the same
    /// order, and looking each of them up would take longer than all else.
    fn readings_besides(&mut self, before: &[Reading], readings: &'a [Reading]) {
        for (index, reading) in readings.iter().enumerate() {
            let is_added = |before: &Reading| before.series.is_known() && before.field == reading.field;
            if reading.series.is_known() && before.get(index).is_some_and(is_added) {
                continue;
            }
            if reading.series.is_known() {
                self.fields.insert(&reading.field);
            } else {
                self.has_unknown_fields = true;
                self.has_unknown_labels = true;
            }
        }
    }

    fn labels(&mut self, gauges: &[GaugeReading]) {
        self.has_unknown_labels |= gauges.iter().flat_map(|gauge| &gauge.labels).any(|(_, label)| !label.is_known());
    }
}

/// Returns an unknown name as it is remembered.
pub(crate) fn shorten(name: &str) -> String {
    // A database cannot store a NUL character.
    name.chars().filter(|c| *c != '\0').take(MAX_NAME).collect()
}

/// Returns the families of series by number; those of names that are not known any more are left out.
pub(crate) fn families(series: impl IntoIterator<Item = (i64, String)>) -> HashMap<i64, Family> {
    series.into_iter().filter_map(|(id, name)| Some((id, Family::from_name(&name)?))).collect()
}

/// An app's own row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredAppRow {
    /// Time at which the app was first known, with its present account.
    pub(crate) first_known: Timestamp,
    /// True if a provider's clock has confirmed that time.
    pub(crate) is_confirmed: bool,
    /// Numbers of its messages.
    pub(crate) messages: MessageState,
}

/// A tracked message.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    /// Message id as the provider writes it.
    pub(crate) id: String,
    /// Send time.
    pub(crate) sent_at: Timestamp,
    /// Watermark in its stored form; `None` if the message has no number yet.
    pub(crate) watermark: Option<Vec<u8>>,
    /// True if it is set aside.
    pub(crate) is_aside: bool,
    /// Category with which it was first registered.
    pub(crate) category: Option<String>,
}

/// Rows loaded for a commit; a row that does not exist is missing.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The app's own row.
    pub(crate) app: StoredAppRow,
    /// Numbers of documented fields by path.
    pub(crate) fields: HashMap<String, i64>,
    /// Numbers of the app's undocumented fields by path.
    pub(crate) unknown_fields: HashMap<String, i64>,
    /// The app's undocumented labels.
    pub(crate) unknown_labels: HashSet<String>,
    /// Watermarks in their stored form by window.
    pub(crate) windows: HashMap<String, Vec<u8>>,
    /// Families of the app's series, by number.
    pub(crate) families: HashMap<i64, Family>,
    /// Window gauges by scope and unit.
    pub(crate) gauges: HashMap<(String, Unit), StoredGauges>,
    /// Messages by row.
    pub(crate) messages: HashMap<i64, StoredMessage>,
    /// Number of unknown names that are remembered of the report.
    pub(crate) name_count: i64,
    /// Those of the commit's names that are among them.
    pub(crate) names: HashSet<String>,
}

impl Loaded {
    /// Returns an app's own row and nothing else yet.
    pub(crate) fn of(app: StoredAppRow) -> Loaded {
        Loaded {
            app,
            fields: HashMap::new(),
            unknown_fields: HashMap::new(),
            unknown_labels: HashSet::new(),
            windows: HashMap::new(),
            families: HashMap::new(),
            gauges: HashMap::new(),
            messages: HashMap::new(),
            name_count: 0,
            names: HashSet::new(),
        }
    }
}
