//! The series of the page in a table of small numbers: a family, two interned texts (the labels of the app, and the
//! other labels) and a value. Rows are grouped in blocks of one family; only changed blocks are written and compressed
//! again. Rows are found by their labels, so no two rows have the same labels.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::exposition::{ExpositionFormat, gzip, openmetrics, text};
use crate::metrics::catalog::{Family, FamilyKind};
use crate::metrics::help::HelpTexts;

/// Maximum number of rows in a block.
const ROWS: usize = 1000;

/// A change to the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Shows a value.
    Set(Sample),
    /// Removes a series from the page.
    Remove {
        /// Metric family.
        family: Family,
        /// The labels provider and app.
        app_labels: Arc<str>,
        /// The other labels.
        labels: String,
    },
    /// Removes all series with these labels provider and app from the page.
    Forget(Arc<str>),
}

impl Update {
    /// Shows a value if there is one; otherwise removes the series from the page.
    pub fn show(family: Family, app_labels: Arc<str>, labels: String, value: Option<i64>) -> Update {
        match value {
            Some(value) => Update::Set(Sample { family, app_labels, labels, value, created: None }),
            None => Update::Remove { family, app_labels, labels },
        }
    }

    /// Removes the series of a sample from the page.
    pub fn remove(sample: Sample) -> Update {
        let Sample { family, app_labels, labels, .. } = sample;
        Update::Remove { family, app_labels, labels }
    }

    /// Shows `new` instead of `old`: series that are only in `old` are removed.
    pub fn replace(old: impl IntoIterator<Item = Sample>, new: Vec<Sample>) -> Vec<Update> {
        let is_same =
            |a: &Sample, b: &Sample| (a.family, &a.app_labels, &a.labels) == (b.family, &b.app_labels, &b.labels);
        let gone = old.into_iter().filter(|old| !new.iter().any(|new| is_same(old, new)));
        let mut updates: Vec<Update> = gone.map(Update::remove).collect();
        updates.extend(new.into_iter().map(Update::Set));
        updates
    }
}

/// A series with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Metric family.
    pub family: Family,
    /// The labels provider and app.
    pub app_labels: Arc<str>,
    /// The other labels.
    pub labels: String,
    /// A number; milliseconds if the family is in seconds.
    pub value: i64,
    /// Time at which a counter began at 0; `None` for the start of the process. The first given time is kept.
    pub created: Option<Timestamp>,
}

type Key = (Family, u32, u32);

/// Texts by number, each kept as long as a row uses it: message ids never stop changing.
#[derive(Default)]
struct Interner {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<(Arc<str>, u32)>,
    free: Vec<u32>,
}

impl Interner {
    fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize).map(|(text, _)| &**text)
    }

    /// Returns the number of a text for one more user.
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            if let Some((_, users)) = self.texts.get_mut(number as usize) {
                *users += 1;
            }
            return number;
        }
        let text: Arc<str> = text.into();
        let number = match self.free.pop() {
            Some(number) => {
                self.texts[number as usize] = (Arc::clone(&text), 1);
                number
            }
            None => {
                self.texts.push((Arc::clone(&text), 1));
                (self.texts.len() - 1) as u32
            }
        };
        self.numbers.insert(text, number);
        number
    }

    /// Releases a text for one user.
    fn release(&mut self, number: u32) {
        let Some((text, users)) = self.texts.get_mut(number as usize) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.numbers.remove(text);
            *text = "".into();
            self.free.push(number);
        }
    }
}

/// All series of the page.
#[derive(Default)]
pub(super) struct Table {
    texts: Interner,
    places: HashMap<Key, (u32, u32)>,
    families: BTreeMap<Family, Series>,
    /// Start time of the process, in milliseconds.
    began: i64,
    help: Arc<HelpTexts>,
    /// Labels of every series of an app, as written.
    common_labels: String,
}

/// The series of one family.
#[derive(Default)]
struct Series {
    blocks: Vec<Block>,
    head: Forms,
}

/// Up to a thousand series of one family.
#[derive(Default)]
struct Block {
    rows: Vec<SeriesRow>,
    /// Rendered forms; empty after a change.
    forms: Forms,
}

#[derive(Clone, Copy)]
struct SeriesRow {
    app_labels: u32,
    labels: u32,
    value: i64,
    /// Creation time, in milliseconds.
    created: i64,
}

/// A value for each of the formats.
#[derive(Clone, Default)]
pub(super) struct ByForm<T> {
    text: T,
    openmetrics: T,
}

impl<T> ByForm<T> {
    pub(super) fn of(&self, form: Form) -> &T {
        match form {
            Form::Text => &self.text,
            Form::OpenMetrics => &self.openmetrics,
        }
    }

    pub(super) fn of_mut(&mut self, form: Form) -> &mut T {
        match form {
            Form::Text => &mut self.text,
            Form::OpenMetrics => &mut self.openmetrics,
        }
    }
}

/// A rendered text in the formats in use.
type Forms = ByForm<Option<Arc<RenderedBlock>>>;

impl Forms {
    /// Returns the text in this format, rendered by `write` if it is missing.
    fn get(&mut self, form: Form, write: impl FnOnce(&mut Vec<u8>)) -> Option<Arc<RenderedBlock>> {
        let place = self.of_mut(form);
        if place.is_none() {
            let mut text = Vec::new();
            write(&mut text);
            *place = RenderedBlock::new(&text).map(Arc::new);
        }
        place.clone()
    }
}

/// Notation of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    OpenMetrics,
}

impl From<ExpositionFormat> for Form {
    fn from(exposition: ExpositionFormat) -> Form {
        match exposition {
            ExpositionFormat::Text => Form::Text,
            ExpositionFormat::OpenMetrics | ExpositionFormat::OpenMetrics001 => Form::OpenMetrics,
        }
    }
}

/// A rendered block.
pub(super) struct RenderedBlock {
    pub(super) deflated: gzip::DeflatedBlock,
    /// The text, decompressed on the first request for it.
    plain: std::sync::OnceLock<Arc<[u8]>>,
}

impl RenderedBlock {
    pub(super) fn new(text: &[u8]) -> Option<RenderedBlock> {
        gzip::deflate(text).map(|deflated| RenderedBlock { deflated, plain: std::sync::OnceLock::new() })
    }

    pub(super) fn plain(&self) -> Arc<[u8]> {
        Arc::clone(self.plain.get_or_init(|| gzip::inflate(&self.deflated).unwrap_or_default().into()))
    }
}

impl Table {
    /// Creates the table of a process that started at `began`. `common_labels` are labels of every series of an app.
    pub(super) fn new(began: Timestamp, help: HelpTexts, common_labels: String) -> Table {
        Table { began: began.as_millisecond(), help: Arc::new(help), common_labels, ..Table::default() }
    }

    /// Applies a change. Returns true if anything has changed.
    pub(super) fn apply(&mut self, update: Update) -> bool {
        match update {
            Update::Set(sample) => self.set(sample),
            Update::Remove { family, app_labels, labels } => self.remove(family, &app_labels, &labels),
            Update::Forget(app_labels) => self.forget(&app_labels),
        }
    }

    /// Returns the value of a series, if it is on the page.
    pub(super) fn value(&self, family: Family, app_labels: &str, labels: &str) -> Option<i64> {
        let (block, row) = self.places.get(&self.key(family, app_labels, labels)?)?;
        let row = self.families.get(&family)?.blocks.get(*block as usize)?.rows.get(*row as usize)?;
        Some(row.value)
    }

    fn key(&self, family: Family, app_labels: &str, labels: &str) -> Option<Key> {
        Some((family, self.texts.find(app_labels)?, self.texts.find(labels)?))
    }

    fn set(&mut self, Sample { family, app_labels, labels, value, created }: Sample) -> bool {
        let place = self.key(family, &app_labels, &labels).and_then(|key| self.places.get(&key));
        let blocks = &mut self.families.entry(family).or_default().blocks;
        if let Some((block, row)) = place {
            let Some(block) = blocks.get_mut(*block as usize) else { return false };
            let Some(row) = block.rows.get_mut(*row as usize) else { return false };
            let changed = row.value != value;
            row.value = value;
            if changed {
                block.forms = Forms::default();
            }
            return changed;
        }
        let has_room = |block: &Block| block.rows.len() < ROWS;
        let free = match blocks.last() {
            Some(last) if has_room(last) => blocks.len() - 1,
            _ => blocks.iter().position(has_room).unwrap_or(blocks.len()),
        };
        if free == blocks.len() {
            blocks.push(Block::default());
        }
        let block = &mut blocks[free];
        let (app_labels, labels) = (self.texts.intern(&app_labels), self.texts.intern(&labels));
        self.places.insert((family, app_labels, labels), (free as u32, block.rows.len() as u32));
        let created = created.map_or(self.began, Timestamp::as_millisecond);
        block.rows.push(SeriesRow { app_labels, labels, value, created });
        block.forms = Forms::default();
        true
    }

    fn remove(&mut self, family: Family, app_labels: &str, labels: &str) -> bool {
        let Some(key) = self.key(family, app_labels, labels) else { return false };
        let Some((number, row)) = self.places.remove(&key) else { return false };
        self.texts.release(key.1);
        self.texts.release(key.2);
        let blocks = self.families.get_mut(&family).map(|series| &mut series.blocks);
        let Some(block) = blocks.and_then(|blocks| blocks.get_mut(number as usize)) else {
            return false;
        };
        block.rows.swap_remove(row as usize);
        if let Some(moved) = block.rows.get(row as usize) {
            self.places.insert((family, moved.app_labels, moved.labels), (number, row));
        }
        block.forms = Forms::default();
        true
    }

    fn forget(&mut self, app_labels: &str) -> bool {
        let Some(number) = self.texts.find(app_labels) else { return false };
        let keys: Vec<Key> = self.places.keys().filter(|(_, of, _)| *of == number).copied().collect();
        for (family, _, labels) in &keys {
            let labels = self.texts.text(*labels).unwrap_or_default().to_owned();
            self.remove(*family, app_labels, &labels);
        }
        !keys.is_empty()
    }

    /// Writes the blocks that changed and returns all of them in the order of the page.
    pub(super) fn render(&mut self, form: Form) -> Vec<Arc<RenderedBlock>> {
        let mut page = Vec::new();
        let help = Arc::clone(&self.help);
        for (family, Series { blocks, head }) in &mut self.families {
            if blocks.iter().all(|block| block.rows.is_empty()) {
                continue;
            }
            page.extend(head.get(form, |text| match form {
                Form::Text => text::head(text, *family, help.of(*family)),
                Form::OpenMetrics => openmetrics::head(text, *family, help.of(*family)),
            }));
            let common_labels = if family.is_of_apps() { self.common_labels.as_str() } else { "" };
            for Block { rows, forms } in blocks.iter_mut().filter(|block| !block.rows.is_empty()) {
                // Gauges are the same in every format.
                let form = if family.kind() == FamilyKind::Gauge { Form::Text } else { form };
                page.extend(forms.get(form, |text| {
                    for SeriesRow { app_labels, labels, value, created } in rows.iter() {
                        let [app_labels, labels] = [*app_labels, *labels].map(|number| self.texts.text(number));
                        let (Some(app_labels), Some(labels)) = (app_labels, labels) else { continue };
                        let series = text::SeriesText { app_labels, labels, common_labels };
                        match form {
                            Form::Text => text::sample(text, *family, &series, *value),
                            Form::OpenMetrics => openmetrics::counter(text, *family, &series, *value, *created),
                        }
                    }
                }));
            }
        }
        page
    }

    /// Drops the rendered texts of a format that is no longer in use.
    pub(super) fn drop_form(&mut self, form: Form) {
        for (family, Series { blocks, .. }) in &mut self.families {
            if family.kind() == FamilyKind::Counter {
                blocks.iter_mut().for_each(|block| *block.forms.of_mut(form) = None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(table: &mut Table, family: Family, labels: &str, value: i64) -> bool {
        let app_labels = "provider=\"p\",app=\"a\"".into();
        table.apply(Update::Set(Sample { family, app_labels, labels: labels.to_owned(), value, created: None }))
    }

    fn remove(table: &mut Table, family: Family, labels: &str) -> bool {
        let app_labels = "provider=\"p\",app=\"a\"".into();
        table.apply(Update::Remove { family, app_labels, labels: labels.to_owned() })
    }

    fn text(table: &mut Table) -> String {
        table.render(Form::Text).iter().map(|block| String::from_utf8(block.plain().to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_same_labels_are_one_series() {
        let mut table = Table::default();
        assert!(set(&mut table, Family::Up, "report=\"r\"", 1));
        assert!(!set(&mut table, Family::Up, "report=\"r\"", 1));
        assert!(set(&mut table, Family::Up, "report=\"r\"", 0));
        assert_eq!(text(&mut table).lines().last().unwrap(), "push_up{provider=\"p\",app=\"a\",report=\"r\"} 0");
        assert_eq!(text(&mut table).lines().count(), 3);
        assert!(remove(&mut table, Family::Up, "report=\"r\""));
        assert!(!remove(&mut table, Family::Up, "report=\"r\""));
        assert_eq!(text(&mut table), "");
    }

    #[test]
    fn only_changed_blocks_are_written_again() {
        let mut table = Table::default();
        for row in 0..2500 {
            set(&mut table, Family::Sent, &format!("channel=\"c{row}\""), row);
        }
        let before = table.render(Form::Text);
        assert_eq!(before.len(), 4, "a head and three blocks");
        set(&mut table, Family::Sent, "channel=\"c1700\"", 0);
        let after = table.render(Form::Text);
        let same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, true, false, true]);
    }

    #[test]
    fn removing_and_adding_keeps_every_series_and_one_head() {
        let mut table = Table::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut truth = BTreeMap::new();
        for step in 0..20_000_i64 {
            let labels = format!("channel=\"c{}\"", random.u32(..2600));
            if random.u32(..3) == 0 {
                assert_eq!(remove(&mut table, Family::Sent, &labels), truth.remove(&labels).is_some());
            } else {
                set(&mut table, Family::Sent, &labels, step);
                truth.insert(labels, step);
            }
            if step % 1000 == 999 {
                check(&mut table, &truth);
            }
        }
        // The first block empties while the others stay.
        let first: Vec<String> = table.families[&Family::Sent].blocks[0]
            .rows
            .iter()
            .map(|row| table.texts.text(row.labels).unwrap().to_owned())
            .collect();
        for labels in first {
            remove(&mut table, Family::Sent, &labels);
            truth.remove(&labels);
        }
        check(&mut table, &truth);
        for row in 0..1500 {
            set(&mut table, Family::Sent, &format!("channel=\"new{row}\""), row);
            truth.insert(format!("channel=\"new{row}\""), row);
        }
        check(&mut table, &truth);
    }

    #[test]
    fn texts_are_kept_no_longer_than_they_are_used() {
        let mut table = Table::default();
        for message in 0..10_000 {
            for family in [Family::NewestSent, Family::NewestReceived] {
                set(&mut table, family, &format!("msg_id=\"{message}\""), 1);
                if message >= 20 {
                    remove(&mut table, family, &format!("msg_id=\"{}\"", message - 20));
                }
            }
        }
        assert_eq!((table.texts.numbers.len(), table.places.len()), (21, 40));
        assert!(table.texts.texts.len() <= 23);
    }

    fn check(table: &mut Table, truth: &BTreeMap<String, i64>) {
        let text = text(table);
        assert!(text.starts_with("# HELP push_messages_sent_total "));
        assert_eq!(text.matches("# TYPE").count(), 1);
        let lines: BTreeMap<String, i64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (labels, value) = line.split_once("} ").unwrap();
                (labels.split_once("app=\"a\",").unwrap().1.to_owned(), value.parse().unwrap())
            })
            .collect();
        assert_eq!(&lines, truth);
    }
}
