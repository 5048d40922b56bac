//! Message ids and times as senders write them: in bodies of the message API and in lines of files.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::provider::message_id::IdFormat;
use crate::util::unix_time;

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

/// A category as senders write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "category must be a string")]
pub(crate) enum WireCategory {
    /// A string: `"spring_sale"`.
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
    /// Category, if the sender tells campaigns apart.
    pub category: Option<WireCategory>,
    /// A field that JPush's push API returns beside the id.
    #[serde(rename = "sendno")]
    _sendno: Option<IgnoredAny>,
}

/// Reason to refuse what may be a provider's answer to a push call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadMessage {
    /// Neither of the message API's form nor a provider's answer.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A provider's answer without a message id.
    #[error("no msg_id; if this is the provider's answer, it did not accept the push")]
    NoId,
}

/// Keys of the message API's form that no provider's answer has.
const OWN_KEYS: [&str; 3] = ["app", "sent_at", "category"];

/// Reads an object of a sender for an app that is known from elsewhere, with message ids of this format: of the message API's
/// form, or the provider's own answer to a push call, in which everything but the ids is ignored.
///
/// # Errors
/// Returns the reason if it is neither.
pub(crate) fn read_messages(object: Value, format: &IdFormat) -> Result<Vec<WireMessage>, BadMessage> {
    let Some(ids) = answered_ids(&object, format) else { return Ok(vec![serde_json::from_value(object)?]) };
    let message = |msg_id| WireMessage { app: None, msg_id, sent_at: None, category: None, _sendno: None };
    Ok(ids?.into_iter().map(message).collect())
}

/// Returns the ids of a provider's answer to a push call; `None` if the object is none.
pub(crate) fn answered_ids(object: &Value, format: &IdFormat) -> Option<Result<Vec<WireId>, BadMessage>> {
    let fields = object.as_object()?;
    let has = |keys: &[&str]| keys.iter().any(|key| fields.contains_key(*key));
    let is_answer = !has(&OWN_KEYS) && (has(format.answer_keys) || !has(&["msg_id"]));
    if !is_answer {
        return None;
    }
    let ids = (format.answered)(fields);
    if ids.is_empty() {
        return Some(Err(BadMessage::NoId));
    }
    Some(ids.into_iter().map(|id| Ok(serde_json::from_value(id)?)).collect())
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
            WireTime::Whole(number) => unix_time::at(*number),
            WireTime::Fraction(number) => unix_time::at(*number as i64),
            WireTime::Text(text) => text.parse().map_err(|_| BadTime::NoTime)?,
        };
        if unix_time::is_unset(at) { Err(BadTime::TooEarly) } else { Ok(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::registry::PROVIDERS;

    /// Reads an object for an app of a provider.
    fn ids_of(provider: &str, json: &str) -> Result<Vec<String>, String> {
        let provider = PROVIDERS.iter().find(|known| known.name() == provider).unwrap();
        let object = serde_json::from_str(json).unwrap();
        let messages = read_messages(object, &provider.id_formats()[0]).map_err(|error| error.to_string())?;
        Ok(messages.into_iter().map(|message| message.msg_id.into_text()).collect())
    }

    #[test]
    fn answers_of_getuis_push_calls() {
        let ids = |json: &str| ids_of("getui", json);
        // As push/list/message and push/all answer, and as push/list/cid and push/single do.
        let list = r#"{"code":0,"msg":"success","data":{"taskid":"RASL_1128_a1"}}"#;
        assert_eq!(ids(list).unwrap(), ["RASL_1128_a1"]);
        let receivers = r#"{"code":"0","data":{"RASL_1128_a1":{"c1":"successed_online","c2":"successed_ignore"},"RASS_b2":{"c3":"successed_offline"}}}"#;
        assert_eq!(ids(receivers).unwrap(), ["RASL_1128_a1", "RASS_b2"]);
        for refused in [
            r#"{"code":20001,"msg":"target user is invalid"}"#,
            r#"{"code":30009,"msg":"x","data":{"RASL_1128_a1":{}}}"#,
            r#"{"code":0,"data":{}}"#,
        ] {
            assert!(ids(refused).unwrap_err().contains("did not accept the push"), "{refused}");
        }
        assert_eq!(ids(r#"{"msg_id":"RASL_1128_a1","category":"sale"}"#).unwrap(), ["RASL_1128_a1"]);
        assert!(ids(r#"{"msg_id":"RASL_1128_a1","sentat":1}"#).unwrap_err().contains("unknown field `sentat`"));
    }

    #[test]
    fn answers_of_push_calls() {
        let ids = |json: &str| ids_of("jpush", json);
        // As the REST API of JPush answers a push, a push to a group, and several pushes in one call.
        assert_eq!(ids(r#"{"sendno":"0","msg_id":"18100287008546331"}"#).unwrap(), ["18100287008546331"]);
        assert_eq!(ids(r#"{"msg_id":18446744073709551615,"sendno":"7","x":[1]}"#).unwrap(), ["18446744073709551615"]);
        // And as EngageLab's answers a push.
        assert_eq!(ids_of("engagelab", r#"{"request_id":"1d9c7a","msg_id":"8000000001"}"#).unwrap(), ["8000000001"]);
        assert_eq!(ids(r#"{"group_msgid":"bsp54sn8bpn8hc3etq40","k1":{}}"#).unwrap(), ["bsp54sn8bpn8hc3etq40"]);
        let several =
            r#"{"cid-1":{"msg_id":"1"},"cid-2":{"error":{"code":1011,"message":"x"}},"cid-3":{"msg_id":"3"}}"#;
        assert_eq!(ids(several).unwrap(), ["1", "3"]);
        let refused = ids(r#"{"error":{"code":1011,"message":"cannot find user by this audience"}}"#).unwrap_err();
        assert!(refused.contains("did not accept the push"), "{refused}");
        // Our own form stays strict.
        assert!(ids(r#"{"msg_id":"1","app":"shop","apps":1}"#).unwrap_err().contains("unknown field `apps`"));
        assert!(
            ids(r#"{"msg_id":"1","sent_at":1773104400,"sentat":1}"#).unwrap_err().contains("unknown field `sentat`")
        );
        assert!(ids(r#"{"msg_id":"1","sentat":1}"#).unwrap_err().contains("unknown field `sentat`"));
        assert!(ids(r#"{"msg_id":1.5,"sendno":1}"#).unwrap_err().contains("unsigned 64-bit"));
        assert!(ids("7").is_err());
    }

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
