//! Ids of scheduled pushes (`schedules` of the Push API, free): schedules that have not ended, and the ids of the messages that
//! each has pushed. Texts of pushes are in the answers, and are neither kept nor named in errors.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::reading::Label;
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::jpush::config::JpushSettings;
use crate::provider::jpush::vendor_quota::PUSH_LIMIT;
use crate::provider::jpush::{client, errors};
use crate::provider::{DiscoveryReport, FoundMessage, FoundMessages, Listing, Origin, ReportContext, ReportSpec};
use crate::util::future::BoxFuture;
use crate::util::unix_time;

/// Name of the report.
pub(super) const SCHEDULES: &str = "schedules";
/// Default interval.
const INTERVAL: Duration = Duration::from_secs(600);

/// The schedules of one app.
pub(super) struct Schedules {
    spec: ReportSpec,
    settings: Arc<JpushSettings>,
}

impl Schedules {
    pub(super) fn new(settings: &Arc<JpushSettings>, context: &ReportContext) -> Schedules {
        let spec = context.spec(SCHEDULES, INTERVAL, PUSH_LIMIT);
        Schedules { spec, settings: Arc::clone(settings) }
    }
}

impl DiscoveryReport for Schedules {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn list<'a>(&'a self, page: u32, client: &'a Client) -> BoxFuture<'a, Result<Listing, ProviderError>> {
        Box::pin(async move {
            let answer = client::fetch_schedules(&self.settings, page, client).await?;
            listing(&answer, self.settings.schedule_name_as_category)
        })
    }

    fn messages<'a>(
        &'a self,
        origin: &'a Origin,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<FoundMessages, ProviderError>> {
        Box::pin(async move {
            let answer = client::fetch_schedule_messages(&self.settings, &origin.id, client).await?;
            messages(&answer, origin.category.as_deref())
        })
    }

    fn is_gone(&self, error: &ProviderError) -> bool {
        errors::is_unknown_schedule(error)
    }
}

fn not_of_the_shape(what: &str) -> ProviderError {
    ProviderError::Decode(format!("{what} is not of the documented shape"))
}

/// Returns the elements of a list, which is missing or `null` only if the answer's own count is 0.
fn elements<'a>(
    answer: &'a Map<String, Value>,
    names: &[&str],
    count: &str,
    what: &str,
) -> Result<&'a [Value], ProviderError> {
    match names.iter().find_map(|name| answer.get(*name)) {
        Some(Value::Array(elements)) => Ok(elements),
        None | Some(Value::Null) if answer.get(count).and_then(Value::as_u64) == Some(0) => Ok(&[]),
        _ => Err(not_of_the_shape(what)),
    }
}

/// Reads `{"total_count":2,"total_pages":1,"page":1,"schedules":[{"schedule_id":"…","name":"…",…}]}`.
pub(super) fn listing(answer: &Map<String, Value>, has_categories: bool) -> Result<Listing, ProviderError> {
    let schedules = elements(answer, &["schedules"], "total_count", "the list of schedules")?;
    let origin = |schedule: &Value| {
        let id = schedule["schedule_id"].as_str().filter(|id| !id.is_empty())?.to_owned();
        let name = schedule["name"].as_str().filter(|name| has_categories && !name.is_empty());
        Some(Origin { id, category: name.map(|name| Label::unknown(name).as_str().to_owned()) })
    };
    let origins: Option<Vec<Origin>> = schedules.iter().map(origin).collect();
    let pages = answer.get("total_pages").and_then(Value::as_u64).and_then(|pages| u32::try_from(pages).ok());
    Ok(Listing { origins: origins.ok_or_else(|| not_of_the_shape("a schedule"))?, pages: pages.unwrap_or(1) })
}

/// Reads `{"count":2,"msgids":["8000000001","{\"msg_id\":\"8000000002\",\"needRetry\":false,\"ts\":1795744931000}"]}`: an
/// element is an id, or the text of a JSON object with one, or with the error of a push that failed.
pub(super) fn messages(answer: &Map<String, Value>, category: Option<&str>) -> Result<FoundMessages, ProviderError> {
    let mut found = FoundMessages::default();
    for element in elements(answer, &["msgids", "msg_ids"], "count", "the list of message ids")? {
        match message(element) {
            Some(Push::Message(id, sent_at)) => {
                found.messages.push(FoundMessage { id, sent_at, category: category.map(str::to_owned) });
            }
            Some(Push::Failed) => {}
            None if found.unknown.is_empty() => found.unknown.push("msgids".to_owned()),
            None => {}
        }
    }
    Ok(found)
}

/// A push of a schedule.
enum Push {
    /// Id of its message, and the time of the push, if it is told.
    Message(String, Option<Timestamp>),
    /// It failed, so there is no message.
    Failed,
}

fn message(element: &Value) -> Option<Push> {
    let written = element.as_str().filter(|text| text.trim_start().starts_with('{'));
    let object: Option<Value> = written.map(serde_json::from_str).transpose().ok()?;
    let object = object.as_ref().unwrap_or(element);
    let id = match object {
        Value::Object(fields) => match (fields.get("msg_id"), fields.get("error")) {
            (Some(id), _) => id,
            (None, Some(_)) => return Some(Push::Failed),
            (None, None) => return None,
        },
        id => id,
    };
    let id = match id {
        Value::String(id) if !id.is_empty() => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    Some(Push::Message(id, object.get("ts").and_then(Value::as_i64).and_then(unix_time::read)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn schedules_and_their_pages() {
        let answer = object(
            r#"{"total_count":101,"total_pages":3,"page":1,"schedules":[
                {"schedule_id":"0eac1b80-c2ac-4b69-948b-c65b34b96512","name":"Spring Sale 春","enabled":true,
                 "trigger":{"single":{"time":"2026-12-01 12:00:00"}},"push":{"notification":{"alert":"secret text"}}},
                {"schedule_id":"3ee02340-1f23-11e9-8f67-fa163e44bcc3","enabled":false}]}"#,
        );
        let origin = |id: &str, category: Option<&str>| Origin { id: id.into(), category: category.map(Into::into) };
        let [first, second] = ["0eac1b80-c2ac-4b69-948b-c65b34b96512", "3ee02340-1f23-11e9-8f67-fa163e44bcc3"];
        let listed = |has_categories| listing(&answer, has_categories).unwrap();
        assert_eq!(listed(false), Listing { origins: vec![origin(first, None), origin(second, None)], pages: 3 });
        // 春 is e6 98 a5 in UTF-8.
        assert_eq!(listed(true).origins, [origin(first, Some("spring_sale_e698a5")), origin(second, None)]);
        let none = listing(&object(r#"{"total_count":0,"total_pages":0,"page":1,"schedules":null}"#), false).unwrap();
        assert_eq!(none, Listing { origins: Vec::new(), pages: 0 });
        for other in ["{}", r#"{"total_count":3}"#, r#"{"total_count":3,"schedules":null}"#, r#"{"schedules":{}}"#] {
            assert!(listing(&object(other), false).is_err(), "{other}");
        }
        let wrong = listing(&object(r#"{"schedules":[{"push":{"notification":{"alert":"secret text"}}}]}"#), false);
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.contains("shape") && !wrong.contains("secret"), "{wrong}");
    }

    #[test]
    fn both_spellings_of_a_message() {
        let answer = object(
            r#"{"count":4,"msgids":["8000000001",
                "{\"msg_id\":\"8000000002\",\"needRetry\":false,\"ts\":1795744931000}",
                "{\"error\":{\"code\":1011,\"message\":\"cannot find user by this audience\"},\"needRetry\":false,\"ts\":1795744931000}",
                18100287008546331]}"#,
        );
        let FoundMessages { messages: found, unknown } = messages(&answer, Some("sale")).unwrap();
        let ids: Vec<(&str, Option<i64>)> =
            found.iter().map(|one| (one.id.as_str(), one.sent_at.map(Timestamp::as_second))).collect();
        assert_eq!(ids, [("8000000001", None), ("8000000002", Some(1_795_744_931)), ("18100287008546331", None)]);
        assert!(found.iter().all(|one| one.category.as_deref() == Some("sale")));
        assert_eq!(unknown, Vec::<String>::new(), "a push that failed is known");
        assert_eq!(messages(&object(r#"{"count":0,"msgids":null}"#), None).unwrap(), FoundMessages::default());
        assert_eq!(messages(&object(r#"{"count":0}"#), None).unwrap(), FoundMessages::default());
        for other in [r#"{"msgids":"x"}"#, r#"{"count":2}"#, "{}", r#"{"data":{"msgids":[]}}"#] {
            assert!(messages(&object(other), None).is_err(), "{other}");
        }
    }

    #[test]
    fn elements_of_another_shape_are_noted_and_seconds_are_a_time() {
        let answer = object(
            r#"{"count":6,"msgids":["{\"msg_id\":\"7\",\"ts\":1795744931}","{cut","{\"id\":\"8\"}",true,"","{\"msg_id\":\"9\",\"ts\":12}"]}"#,
        );
        let found = messages(&answer, None).unwrap();
        let of = |id: &str, second: Option<i64>| FoundMessage {
            id: id.to_owned(),
            sent_at: second.and_then(|second| Timestamp::from_second(second).ok()),
            category: None,
        };
        assert_eq!(found.messages, [of("7", Some(1_795_744_931)), of("9", None)]);
        assert_eq!(found.unknown, ["msgids"]);
    }
}
