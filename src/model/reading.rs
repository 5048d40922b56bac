//! Output of the providers and input of the ledger: numbers with the series they feed. Provider folders and the ledger
//! have no other interface; this file knows neither.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::metrics::catalog::Family;
use crate::model::window::Window;

/// A label value: one of the documented values, or an unknown name that a provider sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    value: Cow<'static, str>,
    known: bool,
}

/// Maximum length of the label of an unknown name, in bytes.
const MAX_LABEL: usize = 32;

impl Label {
    /// Label value for numbers that the provider does not split by this label.
    pub const ANY: Label = Label::known("any");
    /// Label value of unknown names beyond the first few of an app.
    pub const OTHER: Label = Label::known("other");

    /// Creates a documented value.
    pub const fn known(value: &'static str) -> Label {
        Label { value: Cow::Borrowed(value), known: true }
    }

    /// Converts an unknown name into a label value: lower case, `[a-z0-9_]`, at most 32 characters. Letters of other
    /// scripts become their bytes in hex, and a long name ends in a hash of the whole name, so that two names remain
    /// different.
    pub fn unknown(name: &str) -> Label {
        let mut value = String::new();
        for c in name.chars() {
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => value.push(c),
                c if c.is_ascii() => value.push('_'),
                c => value.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("{byte:02x}"))),
            }
        }
        if value.is_empty() {
            value.push('_');
        }
        if value.len() > MAX_LABEL {
            // FNV-1a: the same in every release, since labels are kept in ledgers.
            let hash =
                name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            value.truncate(MAX_LABEL - 9);
            value.push_str(&format!("_{hash:08x}"));
        }
        Label { value: Cow::Owned(value), known: false }
    }

    /// Returns the text of the label.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Returns false for a name that a provider sent and that is not in the documentation.
    pub fn is_known(&self) -> bool {
        self.known
    }
}

/// A delivery counter. One event is counted in one series of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Devices left after the provider's filtering.
    Targeted,
    /// Accepted by the channel.
    Sent,
    /// Pushed to devices that were online.
    PushedOnline,
    /// Refused by the channel.
    Failed,
    /// Arrived on the device.
    Received,
    /// Shown.
    Displayed,
    /// Clicked.
    Clicked,
    /// Read within an hour of sending.
    ReadWithin1h,
    /// Read within twelve hours of sending.
    ReadWithin12h,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Metric; 9] = [
        Metric::Targeted,
        Metric::Sent,
        Metric::PushedOnline,
        Metric::Failed,
        Metric::Received,
        Metric::Displayed,
        Metric::Clicked,
        Metric::ReadWithin1h,
        Metric::ReadWithin12h,
    ];

    /// Returns the counter that readings of this metric add to.
    pub fn counter(self) -> Family {
        match self {
            Metric::Targeted => Family::Targeted,
            Metric::Sent => Family::Sent,
            Metric::PushedOnline => Family::PushedOnline,
            Metric::Failed => Family::Failed,
            Metric::Received => Family::Received,
            Metric::Displayed => Family::Displayed,
            Metric::Clicked => Family::Clicked,
            Metric::ReadWithin1h => Family::ReadWithin1h,
            Metric::ReadWithin12h => Family::ReadWithin12h,
        }
    }

    /// Returns the gauge of the newest closed window; `None` if no provider counts the metric by window.
    pub fn window_gauge(self) -> Option<Family> {
        match self {
            Metric::Sent => Some(Family::WindowSent),
            Metric::Failed => Some(Family::WindowFailed),
            Metric::Received => Some(Family::WindowReceived),
            Metric::ReadWithin1h => Some(Family::WindowReadWithin1h),
            Metric::ReadWithin12h => Some(Family::WindowReadWithin12h),
            Metric::Targeted | Metric::PushedOnline | Metric::Displayed | Metric::Clicked => None,
        }
    }

    /// Returns the same gauge for one department; `None` if no provider counts the metric by department.
    pub fn scope_gauge(self) -> Option<Family> {
        match self {
            Metric::Sent => Some(Family::DepartmentWindowSent),
            Metric::ReadWithin1h => Some(Family::DepartmentWindowReadWithin1h),
            Metric::ReadWithin12h => Some(Family::DepartmentWindowReadWithin12h),
            _ => None,
        }
    }

    /// Returns the counter of numbers that messages had ten minutes after sending.
    pub fn at_10m(self) -> Option<Family> {
        match self {
            Metric::Sent => Some(Family::SentAt10m),
            Metric::Received => Some(Family::ReceivedAt10m),
            _ => None,
        }
    }

    /// Returns the gauge of one of the newest messages.
    pub fn newest_gauge(self) -> Option<Family> {
        match self {
            Metric::Targeted => Some(Family::NewestTargeted),
            Metric::Sent => Some(Family::NewestSent),
            Metric::Received => Some(Family::NewestReceived),
            Metric::Displayed => Some(Family::NewestDisplayed),
            Metric::Clicked => Some(Family::NewestClicked),
            _ => None,
        }
    }

    /// Returns the value of the label `metric`.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Targeted => "targeted",
            Metric::Sent => "sent",
            Metric::PushedOnline => "pushed_online",
            Metric::Failed => "failed",
            Metric::Received => "received",
            Metric::Displayed => "displayed",
            Metric::Clicked => "clicked",
            Metric::ReadWithin1h => "read_within_1h",
            Metric::ReadWithin12h => "read_within_12h",
        }
    }
}

/// Key of the delivery series of an app that a number feeds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// Delivery counter.
    pub metric: Metric,
    /// Platform: android, ios, …, any.
    pub platform: Label,
    /// Vendor channel.
    pub channel: Label,
    /// Kind: notification, message, …, any.
    pub kind: Label,
}

impl SeriesKey {
    /// Returns false if one of its labels is a name that is not in the documentation.
    pub fn is_known(&self) -> bool {
        [&self.platform, &self.channel, &self.kind].iter().all(|label| label.is_known())
    }
}

/// Id of a series in the ledger.
pub type SeriesId = i64;

/// One cumulative number of one field of one subject, as the provider returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Path of the field in the provider's own naming, which is the key of the watermark.
    pub field: String,
    /// Series that it feeds.
    pub series: SeriesKey,
    /// Deliveries so far; at most 2^63−1.
    pub value: i64,
}

/// Content of one answer about one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowReadings {
    /// Window of the numbers.
    pub window: Window,
    /// Numbers of deliveries.
    pub readings: Vec<Reading>,
    /// Distinct users reached: a gauge only, since users of two windows cannot be added.
    pub users_reached: Option<i64>,
    /// Users of the app itself by platform and state: gauges only.
    pub users: Vec<UserCount>,
}

impl WindowReadings {
    /// Creates a window without numbers.
    pub fn empty(window: Window) -> WindowReadings {
        WindowReadings { window, readings: Vec::new(), users_reached: None, users: Vec::new() }
    }
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Message id.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
}

/// Number of users of a platform that were new, online or active in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCount {
    /// Platform: android, ios, …
    pub platform: Label,
    /// State: new, online or active.
    pub state: &'static str,
    /// Number of users.
    pub value: i64,
}

/// A number that is shown unchanged as a gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeReading {
    /// Metric family.
    pub family: Family,
    /// Labels without provider and app.
    pub labels: Vec<(&'static str, Label)>,
    /// Value of the gauge.
    pub value: i64,
}

/// Maximum number of readings of one subject, more than any document has; beyond it, only documented fields are read.
pub const MAX_READINGS: usize = 1000;

/// Notes that a subject has more readings than [`MAX_READINGS`], once in a row.
pub fn note_too_many(unknown: &mut Vec<String>) {
    const TOO_MANY: &str = "more than 1000 numbers of one message or window";
    if unknown.last().is_none_or(|last| last != TOO_MANY) {
        unknown.push(TOO_MANY.to_owned());
    }
}

/// Maximum length of the name of a block or a field, in bytes; no document has a longer one.
const MAX_NAME: usize = 64;

/// Returns the members of an object of an answer. A member whose name is longer than any documented one is noted
/// instead of read: in paths its name would be repeated for each field below it.
pub fn members<'a>(
    object: &'a Map<String, Value>,
    unknown: &mut Vec<String>,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    let is_read = |(name, _): &(&String, &Value)| name.len() <= MAX_NAME && !name.contains('\0');
    if !object.iter().all(|member| is_read(&member)) {
        unknown.push(format!("a name of more than {MAX_NAME} bytes, or with a NUL character"));
    }
    object.iter().filter(is_read)
}

/// Result of reading a field of an answer as a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Missing, or `null`: no reading.
    Absent,
    /// A whole number from 0 to 2^63−1, given as a number or a numeric string.
    Is(i64),
    /// Anything else: negative, fractional, too large, not a number.
    Odd,
}

/// Reads a count by the common rules of all providers.
pub fn count(value: Option<&Value>) -> Count {
    let parsed = match value {
        None | Some(Value::Null) => return Count::Absent,
        Some(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64())),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match parsed {
        Some(count) if count >= 0 => Count::Is(count),
        _ => Count::Odd,
    }
}

/// Converts a float that is a whole number small enough to be exact: `7.0` and `1e3` are counts too.
fn whole(number: Option<f64>) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_come_as_numbers_or_numeric_strings() {
        assert_eq!(count(None), Count::Absent);
        assert_eq!(count(Some(&Value::Null)), Count::Absent);
        assert_eq!(count(Some(&json!(0))), Count::Is(0));
        assert_eq!(count(Some(&json!("62"))), Count::Is(62));
        assert_eq!(count(Some(&json!(7.0))), Count::Is(7));
        assert_eq!(count(Some(&json!(i64::MAX))), Count::Is(i64::MAX));
        assert_eq!(count(Some(&json!("9223372036854775807"))), Count::Is(i64::MAX));
        for odd in [json!(-1), json!(1.5), json!(u64::MAX), json!("x"), json!("-3"), json!(true), json!({}), json!("")]
        {
            assert_eq!(count(Some(&odd)), Count::Odd, "{odd}");
        }
    }

    #[test]
    fn names_that_no_document_can_have_are_noted() {
        for bad in ["x".repeat(65), "a\0b".to_owned()] {
            let object = json!({ "a": 1, "x".repeat(64): 2, bad: 3 });
            let mut unknown = Vec::new();
            let values: Vec<&Value> =
                members(object.as_object().unwrap(), &mut unknown).map(|(_, value)| value).collect();
            assert_eq!(values, [&json!(1), &json!(2)]);
            assert_eq!(unknown, ["a name of more than 64 bytes, or with a NUL character"]);
        }
    }

    #[test]
    fn unknown_names_become_labels() {
        assert_eq!(Label::unknown("Harmony-Push 2").as_str(), "harmony_push_2");
        assert_eq!(Label::unknown(&"x".repeat(32)).as_str(), "x".repeat(32));
        // In UTF-8, 鸿 is e9 b8 bf, 蒙 e8 92 99, 推 e6 8e a8 and 送 e9 80 81.
        assert_eq!(Label::unknown("鸿蒙").as_str(), "e9b8bfe89299");
        assert_eq!(Label::unknown("推送2").as_str(), "e68ea8e980812");
        let long = ["一二三四五六甲", "一二三四五六乙"].map(Label::unknown);
        let long = [long[0].as_str(), long[1].as_str(), Label::unknown(&"x".repeat(33)).as_str()].map(str::to_owned);
        assert!(long.iter().all(|label| label.len() == 32), "{long:?}");
        assert!(long[0] != long[1] && long[0][..23] == long[1][..23], "{long:?}");
        assert_eq!(Label::unknown("").as_str(), "_");
    }
}
