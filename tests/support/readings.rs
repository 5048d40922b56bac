//! Readings of messages as rows that a test can write by hand.

use push_exporter::model::reading::Metric;
use push_exporter::provider::MessageNumbers;

/// Field path, metric, platform, channel, kind, value.
pub type Row = (String, Metric, String, String, String, i64);

pub fn row(field: &str, metric: Metric, platform: &str, channel: &str, kind: &str, value: i64) -> Row {
    (field.to_owned(), metric, platform.to_owned(), channel.to_owned(), kind.to_owned(), value)
}

/// What was read of a message, sorted by path.
pub fn written(numbers: &MessageNumbers, id: &str) -> Vec<Row> {
    let message = numbers.messages.iter().find(|message| message.id == id).expect("the message is in the answer");
    let rows = message.readings.iter().map(|reading| {
        let series = &reading.series;
        let [platform, channel, kind] = [&series.platform, &series.channel, &series.kind].map(|label| label.as_str());
        row(&reading.field, series.metric, platform, channel, kind, reading.value)
    });
    sorted(rows.collect())
}

pub fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}
