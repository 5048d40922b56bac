use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ledger::rules::clock;
use crate::ledger::rules::commit::{Changes, apply};
use crate::ledger::rules::counters::{MAX_UNKNOWN_FIELDS, Numbers};
use crate::ledger::rules::messages::MessageChange;
use crate::ledger::rules::needs::{Loaded, Needs, StoredAppRow, StoredMessage};
use crate::ledger::rules::registration::{IdChange, KnownId, Registration};
use crate::ledger::watermark::Watermark;
use crate::ledger::{
    Commit, CommitContent, Confirmation, FailedMessage, GaugeReadings, MessageState, NewMessage, NewestMessages,
    PolledMessage, StoredGauges, SubjectReadings,
};
use crate::metrics::catalog::Family;
use crate::model::message_source::MessageSource;
use crate::model::reading::{GaugeReading, Label, Metric, Reading, SeriesKey};
use crate::model::window::Unit;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Time of the commits of these tests.
fn now() -> Timestamp {
    at("2026-03-10T04:00:00Z")
}

/// Time at which their app was first known.
fn first_known() -> Timestamp {
    at("2026-03-09T04:00:00Z")
}

fn commit(content: CommitContent) -> Commit {
    Commit {
        app: 1,
        report: "messages_detail",
        now: now(),
        sure: now(),
        confirmation: None,
        hold: Duration::from_secs(120),
        content,
        unknown: Vec::new(),
        state: None,
        succeeded: true,
        due: None,
    }
}

fn loaded() -> Loaded {
    let messages = MessageState { waiting: 5, live: 7, newest: None, version: 0 };
    Loaded::of(StoredAppRow { first_known: first_known(), is_confirmed: true, messages })
}

fn series(channel: Label) -> SeriesKey {
    SeriesKey { metric: Metric::Sent, platform: Label::known("android"), channel, kind: Label::known("notification") }
}

fn reading(field: &str, channel: Label, value: i64) -> Reading {
    Reading { field: field.to_owned(), series: series(channel), value }
}

fn sent(value: i64) -> Reading {
    reading("huawei.sent", Label::known("huawei"), value)
}

fn polled(row: i64, readings: Vec<Reading>) -> PolledMessage {
    let next = Some((at("2026-03-10T04:01:00Z"), Duration::from_secs(60)));
    PolledMessage { row, readings, shape: "details".to_owned(), is_at_10m: false, unaccounted: None, next }
}

fn failed(row: i64, is_aside: bool) -> FailedMessage {
    let next = Some((at("2026-03-10T05:00:00Z"), Duration::from_secs(60)));
    FailedMessage { row, failures: 1, call_limit: 1, refusals: 3, is_aside, next }
}

fn messages(polled: Vec<PolledMessage>, failed: Vec<FailedMessage>) -> Commit {
    commit(CommitContent::Messages { polled, failed, newest: NewestMessages::default() })
}

fn message(sent_at: &str) -> StoredMessage {
    StoredMessage { id: "7".to_owned(), sent_at: at(sent_at), watermark: None, is_aside: false, category: None }
}

/// The wanted fields and series with the numbers from 100 and 200 on, all of them new.
fn numbers(changes: &Changes) -> Numbers {
    Numbers {
        fields: (100..).take(changes.fields.len()).collect(),
        series: (200..).take(changes.series.len()).map(|number| (number, true)).collect(),
    }
}

/// Increases by family and channel or other last label.
fn increases(changes: &mut Changes) -> BTreeMap<(Family, String), i64> {
    let numbers = numbers(changes);
    let name = |number: i64| {
        let wanted = &changes.series[usize::try_from(number - 200).unwrap()];
        let labels: Vec<_> = wanted.labels.pairs().collect();
        let of = labels.iter().find(|(name, _)| *name == "channel").or(labels.last()).map_or("", |(_, value)| value);
        (wanted.family, of.to_owned())
    };
    let names: Vec<_> = (200..).take(changes.series.len()).map(name).collect();
    let increases = changes.increases(&numbers).into_iter();
    increases.map(|(number, sum)| (names[usize::try_from(number - 200).unwrap()].clone(), sum)).collect()
}

fn key(family: Family, of: &str) -> (Family, String) {
    (family, of.to_owned())
}

#[test]
fn a_first_number_counts_unless_it_is_from_before_the_app_was_known() {
    for (sent_at, counted) in [("2026-03-10T03:00:00Z", 40), ("2026-03-09T03:30:00Z", 40), ("2026-03-09T02:59:00Z", 0)]
    {
        let mut loaded = loaded();
        loaded.messages.insert(3, message(sent_at));
        let mut changes = apply(&messages(vec![polled(3, vec![sent(40)])], Vec::new()), loaded);
        assert_eq!(changes.receipt.messages.unwrap().waiting, 4, "{sent_at}");
        assert_eq!(changes.receipt.messages.unwrap().live, 8);
        assert!(changes.receipt.has_new_numbers);
        let expected = [
            (key(Family::Sent, "huawei"), counted),
            (key(Family::Restated, "sent"), 0),
            (key(Family::RejectedMessages, ""), 0),
        ];
        assert_eq!(increases(&mut changes), BTreeMap::from(expected), "{sent_at}");
    }
}

#[test]
fn a_later_number_counts_its_increase_and_a_lower_one_is_restated() {
    let mut first = loaded();
    first.messages.insert(3, message("2026-03-10T03:00:00Z"));
    let mut changes = apply(&messages(vec![polled(3, vec![sent(40)])], Vec::new()), first);
    let numbers = numbers(&changes);
    let Some((3, MessageChange::Update { watermark, shape, .. })) = changes.messages.rows.pop() else { panic!() };
    assert_eq!(shape, "details");
    let stored = numbers.resolve(watermark).encode();
    assert_eq!(Watermark::decode(&stored).unwrap().marks[&100].series, 200, "provisional numbers are replaced");
    for (value, sent_by, restated_by) in [(45, Some(5), None), (40, None, None), (38, None, Some(2))] {
        let mut second = loaded();
        second.fields.insert("huawei.sent".to_owned(), 100);
        second.messages.insert(3, StoredMessage { watermark: Some(stored.clone()), ..message("2026-03-10T03:00:00Z") });
        let mut changes = apply(&messages(vec![polled(3, vec![sent(value)])], Vec::new()), second);
        assert!(changes.fields.is_empty());
        assert_eq!(changes.receipt.messages.unwrap(), MessageState { waiting: 5, live: 7, newest: None, version: 0 });
        let is_new = sent_by.is_some() || restated_by.is_some();
        assert_eq!(changes.receipt.has_new_numbers, is_new, "{value}");
        assert_eq!(matches!(changes.messages.rows[0].1, MessageChange::Postpone { .. }), !is_new, "{value}");
        // The series of the mark has its number, the restatements are looked up.
        let looked_up = changes.series.iter().map(|_| (300, false)).collect();
        let increases = changes.increases(&Numbers { fields: Vec::new(), series: looked_up });
        let expected = [sent_by.map(|by| (200, by)), restated_by.map(|by| (300, by))];
        assert_eq!(increases, expected.into_iter().flatten().collect(), "{value}");
    }
}

#[test]
fn numbers_after_ten_minutes_are_counted_whole() {
    let mut loaded = loaded();
    loaded.messages.insert(3, message("2026-03-10T03:50:00Z"));
    let poll = PolledMessage { is_at_10m: true, ..polled(3, vec![sent(40)]) };
    let mut changes = apply(&messages(vec![poll], Vec::new()), loaded);
    assert_eq!(increases(&mut changes)[&key(Family::SentAt10m, "huawei")], 40);
}

#[test]
fn a_retired_message_is_remembered_and_no_longer_tracked() {
    let mut loaded = loaded();
    loaded.messages.insert(3, message("2026-03-10T03:00:00Z"));
    loaded.messages.insert(4, StoredMessage { is_aside: true, ..message("2026-03-10T03:00:00Z") });
    let retire = |row| PolledMessage { next: None, ..polled(row, vec![sent(1)]) };
    // The third is not tracked any more.
    let changes = apply(&messages(vec![retire(3), retire(4), retire(5)], Vec::new()), loaded);
    assert_eq!(changes.messages.rows.len(), 2);
    assert!(
        changes.messages.rows.iter().all(|(_, change)| matches!(change, MessageChange::Retire { id } if id == "7"))
    );
    assert_eq!(changes.receipt.messages.unwrap(), MessageState { waiting: 4, live: 7, newest: None, version: 0 });
}

#[test]
fn a_message_that_is_set_aside_is_not_tracked_until_it_answers() {
    let mut first = loaded();
    first.messages.insert(3, message("2026-03-10T03:00:00Z"));
    first.messages.insert(4, message("2026-03-10T03:00:00Z"));
    let mut changes = apply(&messages(Vec::new(), vec![failed(3, true), failed(4, false)]), first);
    assert_eq!(changes.receipt.messages.unwrap(), MessageState { waiting: 4, live: 7, newest: None, version: 0 });
    assert_eq!(increases(&mut changes), BTreeMap::from([(key(Family::RejectedMessages, ""), 1)]));
    let mut second = loaded();
    second.messages.insert(3, StoredMessage { is_aside: true, ..message("2026-03-10T03:00:00Z") });
    let changes = apply(&messages(vec![polled(3, Vec::new())], Vec::new()), second);
    assert_eq!(changes.receipt.messages.unwrap(), MessageState { waiting: 6, live: 7, newest: None, version: 0 });
}

#[test]
fn an_unreadable_watermark_becomes_a_baseline() {
    let mut loaded = loaded();
    loaded.messages.insert(3, StoredMessage { watermark: Some(vec![0]), ..message("2026-03-10T03:00:00Z") });
    let mut changes = apply(&messages(vec![polled(3, vec![sent(40)])], Vec::new()), loaded);
    assert_eq!(changes.receipt.unreadable, ["7"]);
    assert_eq!(increases(&mut changes)[&key(Family::Sent, "huawei")], 0);
}

#[test]
fn a_window_is_stored_when_it_changes() {
    let subject = |value| SubjectReadings {
        subject: "day 2026-03-10".to_owned(),
        began: at("2026-03-09T16:00:00Z"),
        readings: vec![sent(value)],
    };
    let answer = |value| {
        commit(CommitContent::Windows {
            subjects: vec![subject(value)],
            covers: Vec::new(),
            gauges: Vec::new(),
            totals: None,
        })
    };
    let first = answer(9);
    assert_eq!(Needs::of(&first).windows.into_iter().collect::<Vec<_>>(), ["day 2026-03-10"]);
    let mut changes = apply(&first, loaded());
    assert!(changes.has_new_window);
    assert_eq!(increases(&mut changes)[&key(Family::Sent, "huawei")], 9);
    let stored = Numbers { fields: vec![100], series: vec![(200, true), (201, true)] };
    let stored = stored.resolve(changes.windows.remove("day 2026-03-10").unwrap()).encode();
    for (value, is_written) in [(9, false), (11, true)] {
        let mut second = loaded();
        second.fields.insert("huawei.sent".to_owned(), 100);
        second.windows.insert("day 2026-03-10".to_owned(), stored.clone());
        let changes = apply(&answer(value), second);
        assert_eq!((changes.windows.len(), changes.has_new_window), (usize::from(is_written), false));
    }
}

#[test]
fn a_window_that_an_answer_has_twice_keeps_its_watermark() {
    let subject = || SubjectReadings {
        subject: "day 2026-03-10".to_owned(),
        began: at("2026-03-09T16:00:00Z"),
        readings: vec![sent(9)],
    };
    let subjects = vec![subject(), subject()];
    let content = CommitContent::Windows { subjects, covers: Vec::new(), gauges: Vec::new(), totals: None };
    let mut changes = apply(&commit(content), loaded());
    assert_eq!(increases(&mut changes)[&key(Family::Sent, "huawei")], 9);
    assert!(changes.windows.contains_key("day 2026-03-10"));
}

#[test]
fn gauges_of_an_older_window_do_not_replace_newer_ones() {
    let gauges = |end: &str, value| StoredGauges {
        report: "messages_detail".to_owned(),
        scope: String::new(),
        unit: Unit::Day,
        end: at(end),
        values: vec![(Family::WindowSent, crate::metrics::labels::Labels::new(&[("channel", "huawei")]), value)],
    };
    let answer = |value| {
        let labels = vec![("channel", Label::known("huawei"))];
        let values = vec![GaugeReading { family: Family::WindowSent, labels, value }];
        let gauges =
            vec![GaugeReadings { scope: String::new(), unit: Unit::Day, end: at("2026-03-08T16:00:00Z"), values }];
        commit(CommitContent::Windows { subjects: Vec::new(), covers: Vec::new(), gauges, totals: None })
    };
    for (stored, is_replaced, is_new) in [
        (None, true, true),
        (Some(gauges("2026-03-07T16:00:00Z", 5)), true, true),
        (Some(gauges("2026-03-08T16:00:00Z", 5)), true, false),
        (Some(gauges("2026-03-08T16:00:00Z", 4)), true, true),
        (Some(gauges("2026-03-09T16:00:00Z", 5)), false, false),
        // Of a clock that was ahead.
        (Some(gauges("2026-04-09T16:00:00Z", 5)), true, true),
    ] {
        let mut loaded = loaded();
        loaded.gauges.extend(stored.clone().map(|stored| ((String::new(), Unit::Day), stored)));
        let changes = apply(&answer(5), loaded);
        assert_eq!(changes.gauges.len(), usize::from(is_replaced), "{stored:?}");
        assert_eq!(changes.receipt.has_new_numbers, is_new, "{stored:?}");
        let shown = if is_replaced { gauges("2026-03-08T16:00:00Z", 5) } else { stored.unwrap() };
        assert_eq!(changes.receipt.gauges, [shown]);
    }
}

#[test]
fn the_first_sixteen_unknown_labels_of_an_app_are_kept() {
    let mut loaded = loaded();
    loaded.unknown_labels = (0..15).map(|number| format!("vendor{number}")).collect();
    loaded.messages.insert(3, message("2026-03-10T03:00:00Z"));
    let channels = ["vendor3", "vendor15", "vendor16"];
    let readings = channels.map(|channel| reading(&format!("{channel}.sent"), Label::unknown(channel), 1));
    let mut changes = apply(&messages(vec![polled(3, readings.to_vec())], Vec::new()), loaded);
    assert_eq!(changes.labels, ["vendor15"]);
    let counted = increases(&mut changes);
    let expected = ["vendor3", "vendor15", "other"].map(|channel| counted[&key(Family::Sent, channel)]);
    assert_eq!(expected, [1, 1, 1]);
}

#[test]
fn unknown_fields_and_names_have_limits() {
    let mut loaded = loaded();
    let fields = (0..i64::try_from(MAX_UNKNOWN_FIELDS).unwrap() - 1).map(|number| (format!("field{number}"), number));
    loaded.unknown_fields = fields.collect();
    loaded.messages.insert(3, message("2026-03-10T03:00:00Z"));
    loaded.name_count = 999;
    loaded.names.insert("old".to_owned());
    let unknown = |field: &str| reading(field, Label::unknown("vendor"), 1);
    let answer = Commit {
        unknown: ["old", "new", "newer"].map(str::to_owned).to_vec(),
        ..messages(vec![polled(3, vec![unknown("one"), unknown("two"), sent(4)])], Vec::new())
    };
    let mut changes = apply(&answer, loaded);
    assert!(changes.receipt.is_full);
    assert_eq!(changes.receipt.new_names, ["new"]);
    let paths: Vec<_> = changes.fields.iter().map(|field| (field.path.as_str(), field.is_unknown)).collect();
    assert_eq!(paths, [("one", true), ("huawei.sent", false)], "documented fields have no limit");
    assert_eq!(increases(&mut changes)[&key(Family::Sent, "huawei")], 4);
}

#[test]
fn registration_decides_by_what_is_known() {
    let newer = at("2026-03-10T04:00:00Z");
    let mut message = NewMessage {
        id: "1".to_owned(),
        sent_at: newer,
        is_guessed: false,
        due: newer,
        pace: Duration::ZERO,
        category: Some("sale".to_owned()),
    };
    for (known, source, change, added, live) in [
        (KnownId::New, MessageSource::Api, IdChange::Insert, 1, 0),
        (KnownId::Tracked { is_open: false }, MessageSource::Api, IdChange::None, 0, 0),
        (KnownId::Tracked { is_open: true }, MessageSource::Api, IdChange::Categorize, 0, 0),
        (KnownId::Retired, MessageSource::File, IdChange::Remember, 0, 0),
        (KnownId::SetAside { is_live: true }, MessageSource::Api, IdChange::TakeBack, 1, 1),
        (KnownId::SetAside { is_live: false }, MessageSource::File, IdChange::TakeBack, 1, 0),
        (KnownId::SetAside { is_live: true }, MessageSource::Config, IdChange::None, 0, 0),
    ] {
        let mut registration = Registration::default();
        assert_eq!(registration.decide(known, source, &message), change);
        assert_eq!((registration.added, registration.live), (added, live), "{known:?}");
        assert_eq!(registration.newest, (known == KnownId::New).then_some(newer));
    }
    message.category = None;
    let without = Registration::default().decide(KnownId::Tracked { is_open: true }, MessageSource::Api, &message);
    assert_eq!(without, IdChange::None);
}

#[test]
fn the_first_known_time_is_corrected_once() {
    let confirmation = |seconds, first_known: Option<&str>| Confirmation {
        correction: SignedDuration::from_secs(seconds),
        first_known: first_known.map(at),
    };
    let row =
        |first_known: &str, is_confirmed| StoredAppRow { first_known: at(first_known), is_confirmed, ..loaded().app };
    for (stored, is_confirmed, by, known, expected) in [
        ("2026-03-09T04:00:00Z", true, -60, None, None),
        ("2026-03-09T04:00:00Z", false, -60, None, Some("2026-03-09T03:59:00Z")),
        ("2026-03-09T04:00:00Z", false, -60, Some("2026-03-08T00:00:00Z"), Some("2026-03-08T00:00:00Z")),
        // A clock in 1970 says nothing; a time after the commit cannot be.
        ("1970-01-01T00:00:09Z", false, 60, None, Some("2026-03-10T04:00:00Z")),
        ("2026-03-10T03:59:30Z", false, 60, None, Some("2026-03-10T04:00:00Z")),
    ] {
        let corrected = clock::first_known(&row(stored, is_confirmed), now(), &confirmation(by, known));
        assert_eq!(corrected, expected.map(at), "{stored}");
    }
}
