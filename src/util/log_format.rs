//! Formats log events as one line of logfmt or JSON, with the keys of Prometheus and its exporters: `ts` in UTC with
//! milliseconds, `level`, `msg`, and the fields of the event.

use std::fmt;

use jiff::{Timestamp, Unit};
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::util::clock::Clock;

/// A format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// `ts=… level=info msg="…" key=value`
    Logfmt,
    /// `{"ts":"…","level":"info","msg":"…","key":"value"}`
    Json,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.write(&mut writer, Clock::system().now(), event.metadata().level(), &fields)
    }
}

impl LineFormat {
    fn write(self, writer: &mut impl fmt::Write, now: Timestamp, level: &Level, fields: &Fields) -> fmt::Result {
        let ts = format!("{:.3}", now.round(Unit::Millisecond).unwrap_or(now));
        let level = match *level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let message = Value::from(fields.message.as_str());
        let (ts, level) = (Value::from(ts), Value::from(level));
        let known = [("ts", &ts), ("level", &level), ("msg", &message)];
        let pairs = known.into_iter().chain(fields.others.iter().map(|(name, value)| (*name, value)));
        match self {
            LineFormat::Logfmt => {
                for (index, (name, value)) in pairs.enumerate() {
                    let separator = if index == 0 { "" } else { " " };
                    write!(writer, "{separator}{name}={}", LogfmtValue(value))?;
                }
            }
            LineFormat::Json => {
                let mut line = Vec::new();
                let mut serializer = serde_json::Serializer::new(&mut line);
                let mut map = serializer.serialize_map(None).map_err(|_| fmt::Error)?;
                for (name, value) in pairs {
                    map.serialize_entry(name, value).map_err(|_| fmt::Error)?;
                }
                map.end().map_err(|_| fmt::Error)?;
                writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)?;
            }
        }
        writer.write_char('\n')
    }
}

/// The message and the other fields of an event, in the order in which the event names them.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}").into());
    }
}

/// A value in logfmt: quoted if it is empty or contains a space, a quote, `=` or a control character.
struct LogfmtValue<'a>(&'a Value);

impl fmt::Display for LogfmtValue<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value::String(text) = self.0 else { return write!(formatter, "{}", self.0) };
        let is_special =
            |character: char| character <= ' ' || matches!(character, '=' | '"' | '\\' | '\u{7f}'..='\u{9f}');
        if text.is_empty() || text.contains(is_special) {
            // A JSON string is what parsers of logfmt accept between quotes.
            write!(formatter, "{}", self.0)
        } else {
            formatter.write_str(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LineFormat) -> String {
        let fields = Fields {
            message: "cannot poll \"users\"\nyet".to_owned(),
            others: vec![
                ("app", "shop".into()),
                ("reason", "".into()),
                ("path", "a=b".into()),
                ("polls", 3.into()),
                ("advice", "检查密钥".into()),
            ],
        };
        let mut line = String::new();
        let now = "2026-09-01T02:03:04.0567Z".parse().unwrap();
        format.write(&mut line, now, &Level::WARN, &fields).unwrap();
        line
    }

    #[test]
    fn logfmt_quotes_what_needs_quotes_and_stays_on_one_line() {
        assert_eq!(
            line(LineFormat::Logfmt),
            "ts=2026-09-01T02:03:04.057Z level=warn msg=\"cannot poll \\\"users\\\"\\nyet\" app=shop reason=\"\" \
             path=\"a=b\" polls=3 advice=检查密钥\n"
        );
    }

    #[test]
    fn json_has_the_same_keys_in_the_same_order() {
        assert_eq!(
            line(LineFormat::Json),
            "{\"ts\":\"2026-09-01T02:03:04.057Z\",\"level\":\"warn\",\"msg\":\"cannot poll \\\"users\\\"\\nyet\",\
             \"app\":\"shop\",\"reason\":\"\",\"path\":\"a=b\",\"polls\":3,\"advice\":\"检查密钥\"}\n"
        );
    }
}
