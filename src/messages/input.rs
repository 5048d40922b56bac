//! Message ids and times as senders write them: in bodies of the message API and in lines of files.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Maximum length of a line in bytes: a longer line is no message id.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Returns the text of a line with or without its line end, or `None` if it is empty. A `line` of `None` is one that
/// is too long.
///
/// # Errors
/// Returns the reason if the line is too long or not UTF-8.
pub(crate) fn text_of(line: Option<&[u8]>) -> Result<Option<&str>, String> {
    let line = line.ok_or_else(|| format!("longer than {MAX_LINE} bytes"))?;
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let text = text.trim_start_matches('\u{feff}').trim();
    Ok((!text.is_empty()).then_some(text))
}

/// Reason to refuse a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTime {
    /// The value is not a time.
    #[error("sent_at must be RFC 3339, Unix seconds or Unix milliseconds")]
    NoTime,
    /// A time that was never set, such as the zero value of a programming language.
    #[error("sent_at lies before 2010; omit it if it is unknown")]
    TooEarly,
}

/// An app name as senders write it. It is not a plain string, or the error would quote the value in its place.
#[derive(Deserialize)]
#[serde(untagged, expecting = "app must be a string")]
pub(crate) enum WireApp {
    /// A string: `"shop"`.
    Text(String),
}

/// A message id as senders write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "msg_id must be a string or an unsigned 64-bit number")]
pub(crate) enum WireId {
    /// A number: `1613113584`.
    Number(u64),
    /// A string: `"1613113584"`.
    Text(String),
}

/// Send time of a message as senders write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "sent_at must be RFC 3339, Unix seconds or Unix milliseconds")]
pub(crate) enum WireTime {
    /// Unix seconds or milliseconds.
    Whole(i64),
    /// Unix seconds or milliseconds with a fraction, which is dropped.
    Fraction(f64),
    /// RFC 3339.
    Text(String),
}

/// A message as senders write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with app and msg_id")]
pub(crate) struct WireMessage {
    /// Name of the app; optional, since a file may belong to a single app.
    pub app: Option<WireApp>,
    /// Message id.
    pub msg_id: WireId,
    /// Send time, if known.
    pub sent_at: Option<WireTime>,
    /// A field that JPush's push API returns beside the id.
    #[serde(rename = "sendno")]
    _sendno: Option<IgnoredAny>,
}

impl WireId {
    /// Returns the id as text.
    pub(crate) fn into_text(self) -> String {
        match self {
            WireId::Number(number) => number.to_string(),
            WireId::Text(text) => text,
        }
    }
}

impl WireTime {
    /// Returns the time.
    ///
    /// # Errors
    /// Returns the reason if a text is not a time, or if a time lies before anybody pushed.
    pub(crate) fn read(&self) -> Result<Timestamp, BadTime> {
        let at = match self {
            WireTime::Whole(number) => at(*number),
            WireTime::Fraction(number) => at(*number as i64),
            WireTime::Text(text) => text.parse().map_err(|_| BadTime::NoTime)?,
        };
        if at.as_second() < EARLIEST { Err(BadTime::TooEarly) } else { Ok(at) }
    }
}

/// Smallest number that is read as milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;
/// Earliest send time, 2010-01-01: nobody pushed before.
const EARLIEST: i64 = 1_262_304_000;

/// Returns the time of a number of seconds or milliseconds; the end of the calendar if it lies beyond.
fn at(number: i64) -> Timestamp {
    let at = if number >= MILLISECONDS { Timestamp::from_millisecond(number) } else { Timestamp::from_second(number) };
    at.unwrap_or(if number > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = |json: &str| serde_json::from_str::<WireTime>(json).unwrap().read();
        let read = |json: &str| time(json).ok().map(|time| time.to_string());
        assert_eq!(read("1773104400").as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read("1773104400.75").as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read(r#""2026-03-10T09:00:00+08:00""#).as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read("1e300"), Some(Timestamp::MAX.to_string()));
        for milliseconds in ["1773104400123", "1773104400123.5", "1.773104400123e12"] {
            assert_eq!(read(milliseconds).as_deref(), Some("2026-03-10T01:00:00.123Z"));
        }
        assert_eq!(read("99999999999").as_deref(), Some("5138-11-16T09:46:39Z"));
        assert_eq!(read("100000000000"), None, "milliseconds of 1973");
        assert_eq!(read("1262304000000").as_deref(), Some("2010-01-01T00:00:00Z"));
        assert_eq!(time(r#""yesterday""#), Err(BadTime::NoTime));
        for early in ["0", "-1", "1262303999", "-1e300", r#""0001-01-01T00:00:00Z""#, r#""1970-01-01T08:00:00+08:00""#]
        {
            assert_eq!(time(early), Err(BadTime::TooEarly), "{early}");
        }
    }
}
