//! Message ids and times as senders write them: in bodies of the message API and in lines of files.

use jiff::Timestamp;
use serde::Deserialize;

/// A longer line is no message id.
pub const MAX_LINE: usize = 64 * 1024;

/// The text of a line, given without its end or with it, `None` if it is too long; nothing if it is empty.
///
/// # Errors
/// What is wrong with it.
pub fn text_of(line: Option<&[u8]>) -> Result<Option<&str>, String> {
    let line = line.ok_or_else(|| format!("longer than {MAX_LINE} bytes"))?;
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let text = text.trim_start_matches('\u{feff}').trim();
    Ok((!text.is_empty()).then_some(text))
}

/// What is said of a time that is none.
pub const BAD_TIME: &str = "sent_at must be RFC 3339 or Unix seconds";

/// The name of an app as senders write it. Not a text itself, or the error would quote what stands in its place.
#[derive(Deserialize)]
#[serde(untagged, expecting = "app must be a string")]
pub enum WireApp {
    /// `"shop"`
    Text(String),
}

/// A message id as senders write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "msg_id must be a string or an unsigned 64-bit number")]
pub enum WireId {
    /// `1613113584`
    Number(u64),
    /// `"1613113584"`
    Text(String),
}

/// When a message was sent, as senders write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "sent_at must be RFC 3339 or Unix seconds")]
pub enum WireTime {
    /// Unix seconds.
    Whole(i64),
    /// Unix seconds and a fraction, which is left away.
    Fraction(f64),
    /// RFC 3339.
    Text(String),
}

/// A line of a file that is an object.
#[derive(Deserialize)]
pub struct WireLine {
    /// The app, where a file holds messages of several.
    pub app: Option<WireApp>,
    /// The id.
    pub msg_id: WireId,
    /// When it was sent.
    pub sent_at: Option<WireTime>,
}

impl WireId {
    /// The id as text.
    pub fn into_text(self) -> String {
        match self {
            WireId::Number(number) => number.to_string(),
            WireId::Text(text) => text,
        }
    }
}

impl WireTime {
    /// The time, if it is one.
    pub fn read(&self) -> Option<Timestamp> {
        match self {
            // Later than the calendar is the future, which is clamped to now anyway.
            WireTime::Whole(seconds) => Some(Timestamp::from_second(*seconds).unwrap_or(if *seconds > 0 {
                Timestamp::MAX
            } else {
                Timestamp::MIN
            })),
            WireTime::Fraction(seconds) => WireTime::Whole(*seconds as i64).read(),
            WireTime::Text(text) => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let read = |json: &str| serde_json::from_str::<WireTime>(json).unwrap().read().map(|time| time.to_string());
        assert_eq!(read("1773104400").as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read("1773104400.75").as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read(r#""2026-03-10T09:00:00+08:00""#).as_deref(), Some("2026-03-10T01:00:00Z"));
        assert_eq!(read("1e300"), Some(Timestamp::MAX.to_string()));
        assert_eq!(read(r#""yesterday""#), None);
    }
}
