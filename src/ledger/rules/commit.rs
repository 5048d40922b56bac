//! Applies an answer to the rows that it depends on.

use std::collections::BTreeMap;

use crate::ledger::rules::counters::{Counters, KnownNames, Numbers, Sums, WantedField, WantedSeries};
use crate::ledger::rules::messages::MessageChanges;
use crate::ledger::rules::needs::{Loaded, shorten};
use crate::ledger::rules::{window_gauges, windows};
use crate::ledger::watermark::Watermark;
use crate::ledger::{Commit, CommitContent, MessageState, Receipt, StoredGauges};

/// Maximum number of unknown names that are remembered for each app and report.
const MAX_UNKNOWN_NAMES: i64 = 1000;

/// Returns true if a report has reached the limit of unknown names. `unknown` contains their number by report.
pub(crate) fn names_are_full(unknown: &[(String, i64)]) -> bool {
    unknown.iter().any(|(_, count)| *count >= MAX_UNKNOWN_NAMES)
}

/// Changes of a commit, to be written once the engine has numbered the wanted fields and series.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Fields to look up or create, before everything else.
    pub(crate) fields: Vec<WantedField>,
    /// Series to look up or create, before everything else.
    pub(crate) series: Vec<WantedSeries>,
    /// Increases of series.
    pub(crate) sums: Sums,
    /// Undocumented labels to remember.
    pub(crate) labels: Vec<String>,
    /// Watermarks by window; their numbers may be provisional.
    pub(crate) windows: BTreeMap<String, Watermark>,
    /// True if a window is new, so that the oldest ones may be forgotten.
    pub(crate) has_new_window: bool,
    /// Window gauges that replace the stored ones.
    pub(crate) gauges: Vec<StoredGauges>,
    /// Changes of messages; their watermarks may have provisional numbers.
    pub(crate) messages: MessageChanges,
    /// Unknown names to remember.
    pub(crate) names: Vec<String>,
    /// The receipt, without totals and without what only the engine knows after the write.
    pub(crate) receipt: Receipt,
}

impl Changes {
    /// Returns the increases by series number.
    pub(crate) fn increases(&mut self, numbers: &Numbers) -> BTreeMap<i64, i64> {
        std::mem::take(&mut self.sums).resolve(numbers)
    }
}

/// Applies an answer.
pub(crate) fn apply(commit: &Commit, loaded: Loaded) -> Changes {
    let Loaded {
        app,
        fields,
        unknown_fields,
        unknown_labels,
        windows,
        families,
        mut gauges,
        mut messages,
        name_count,
        names,
    } = loaded;
    let known = KnownNames { fields, unknown_fields, unknown_labels };
    let mut counters = Counters::new(commit.report, app.first_known, known);
    let mut changes = Changes::default();
    let receipt = &mut changes.receipt;
    match &commit.content {
        CommitContent::Windows { subjects, covers, gauges: readings, totals } => {
            (changes.windows, changes.has_new_window) = windows::apply(subjects, covers, &windows, &mut counters);
            let compared = totals.as_ref().and_then(|totals| windows::compare(totals, &windows, &families));
            for gauge in readings.iter().chain(&compared) {
                let outcome = window_gauges::apply(gauge, commit.report, commit.now, &mut gauges, &mut counters);
                // For a report without counters, only the gauges show the age of its data.
                receipt.has_new_numbers |= outcome.are_new && gauge.scope.is_empty() && subjects.is_empty();
                changes.gauges.extend(outcome.is_replaced.then(|| outcome.gauges.clone()));
                receipt.gauges.push(outcome.gauges);
            }
        }
        CommitContent::Moment { gauges, is_new } => {
            receipt.moment = counters.gauges(gauges);
            receipt.has_new_numbers = *is_new;
        }
        CommitContent::Messages { polled, failed, .. } => {
            changes.messages.polled(polled, &mut messages, &mut counters);
            changes.messages.failed(failed, &mut messages, &mut counters);
            let MessageState { waiting, live, .. } = app.messages;
            let MessageChanges { waiting: more_waiting, live: more_live, .. } = changes.messages;
            receipt.messages =
                Some(MessageState { waiting: waiting + more_waiting, live: live + more_live, ..app.messages });
        }
    }
    receipt.has_new_numbers |= counters.has_new_numbers;
    receipt.is_full = counters.is_full;
    receipt.unreadable = counters.unreadable;
    let mut count = name_count;
    for name in commit.unknown.iter().map(|name| shorten(name)) {
        if count >= MAX_UNKNOWN_NAMES {
            receipt.is_full = true;
            break;
        }
        if !names.contains(&name) && !changes.names.contains(&name) {
            count += 1;
            changes.names.push(name);
        }
    }
    receipt.new_names = changes.names.clone();
    (changes.fields, changes.series, changes.labels) = (counters.fields, counters.series, counters.labels);
    changes.sums = counters.sums;
    changes
}
