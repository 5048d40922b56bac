//! The newest messages of an app, one by one on the page (`newest_messages`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::feed::Board;
use crate::page::{Sample, Update, text};
use crate::reading::{Metric, Reading};

/// One of the newest messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newest {
    pub(super) id: String,
    pub(super) sent_at: Timestamp,
    /// By the metrics of [`SHOWN`].
    pub(super) values: [Option<i64>; SHOWN.len()],
}

/// Metrics that are shown of each of the newest messages.
const SHOWN: [Metric; 5] = [Metric::Targeted, Metric::Sent, Metric::Received, Metric::Displayed, Metric::Clicked];

/// Replaces what was known of messages by their new numbers, and leaves out those that have `ended`. Returns the newest
/// messages and what changes on the page.
pub(super) fn replace(
    board: &Board,
    before: &[Newest],
    fresh: Vec<Newest>,
    ended: &[String],
    limit: usize,
) -> (Vec<Newest>, Vec<Update>) {
    let is_over = |one: &Newest| ended.contains(&one.id) || fresh.iter().any(|fresh| fresh.id == one.id);
    let mut newest: Vec<Newest> = before.iter().filter(|one| !is_over(one)).cloned().collect();
    newest.extend(fresh);
    newest.sort_by(|a, b| (b.sent_at, &b.id).cmp(&(a.sent_at, &a.id)));
    newest.truncate(limit);
    let of = |newest: &[Newest]| newest.iter().flat_map(|one| samples(board, one)).collect::<Vec<Sample>>();
    let updates = Update::replace(of(before), of(&newest));
    (newest, updates)
}

/// The numbers of one message by metric.
pub(super) fn sums(readings: &[Reading]) -> [Option<i64>; SHOWN.len()] {
    SHOWN.map(|metric| {
        let values = readings.iter().filter(|reading| reading.series.metric == metric).map(|reading| reading.value);
        values.reduce(i64::saturating_add)
    })
}

pub(super) fn samples(board: &Board, newest: &Newest) -> Vec<Sample> {
    let rest = text::labels(&[("msg_id", &newest.id)]);
    SHOWN
        .iter()
        .zip(newest.values)
        .filter_map(|(metric, value)| {
            Some(Sample {
                family: metric.newest_gauge()?,
                owner: board.owner(),
                rest: rest.clone(),
                value: value?,
                created: None,
            })
        })
        .collect()
}
