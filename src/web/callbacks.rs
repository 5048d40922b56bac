//! `/callback/PROVIDER/APP?token=…`: a provider's callbacks about pushes register the ids of their messages. Its
//! other fields, which only the provider's support documents (JPush: 回调), are ignored and never logged. A GET with
//! `?echostr=` is the provider's check of the address, and is answered with that text.

use std::collections::HashSet;
use std::net::IpAddr;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::messages::registry::{BadEntry, GivenMessage, MessageEntry, Registration};
use crate::model::message_source::MessageSource;
use crate::util::clock::Clock;
use crate::web::message_api::{MAX_ENTRIES, MessageApi, RequestRefusal, is_right, json};
use crate::web::response::{Body, RequestBody, TEXT, not_allowed, respond};

/// Keys under which a callback has a message id.
const ID_KEYS: [&str; 2] = ["msg_id", "msgid"];

/// Parameters of a callback's URL.
#[derive(Debug, Default)]
struct Parameters {
    token: String,
    echo: Option<String>,
    category: Option<String>,
}

impl MessageApi {
    /// Answers a callback; `path` is what follows `/callback/`.
    pub(super) async fn callback(
        &self,
        path: &str,
        head: &Parts,
        body: impl RequestBody,
        sender: Option<IpAddr>,
        clock: &Clock,
    ) -> Response<Body> {
        let admitted = self.admit(path, head.uri.query().unwrap_or_default());
        let outcome = match (admitted, &head.method) {
            (Err(refusal), _) => Err(refusal),
            (Ok((_, Parameters { echo: Some(echo), .. })), &Method::GET | &Method::HEAD) => {
                return respond(StatusCode::OK, TEXT, echo.into());
            }
            (Ok((app, _)), &Method::GET | &Method::HEAD) => {
                return respond(StatusCode::OK, TEXT, format!("This address takes the callbacks of {app}.\n").into());
            }
            (Ok((app, parameters)), &Method::POST) => {
                self.take_callback(&app, parameters.category.as_deref(), head, body).await
            }
            (Ok(_), _) => return not_allowed("Only GET and POST are allowed.\n", "GET, HEAD, POST"),
        };
        match outcome {
            Ok(registered) => json(StatusCode::OK, &registered),
            Err(refusal) => self.refuse_callback(&refusal, sender, clock),
        }
    }

    /// Returns the app of a callback's path and the parameters, if the token is right.
    fn admit(&self, path: &str, query: &str) -> Result<(String, Parameters), RequestRefusal> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).ok();
        let names = path.split_once('/').and_then(|(provider, app)| Some((decoded(provider)?, decoded(app)?)));
        let found = names.and_then(|(provider, app)| Some((self.callback_token(&provider, &app)?, app)));
        let Some((token, app)) = found else {
            let error = "no app takes callbacks here; set its callback_token, and check the name in the URL";
            return Err(RequestRefusal::new(StatusCode::NOT_FOUND, error));
        };
        let mut parameters = Parameters::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "token" => parameters.token = value.into_owned(),
                "echostr" => parameters.echo = Some(value.into_owned()),
                "category" => parameters.category = Some(value.into_owned()),
                _ => {}
            }
        }
        if !is_right(&parameters.token, &token) {
            let error = "missing or wrong token; end the address of the callback with ?token= and the callback_token";
            return Err(RequestRefusal::new(StatusCode::UNAUTHORIZED, error));
        }
        Ok((app, parameters))
    }

    async fn take_callback(
        &self,
        app: &str,
        category: Option<&str>,
        head: &Parts,
        body: impl RequestBody,
    ) -> Result<Registration, RequestRefusal> {
        let (_place, body) = self.receive(head, body).await?;
        let said: Value = serde_json::from_slice(&body)
            .map_err(|_| RequestRefusal::new(StatusCode::BAD_REQUEST, "the callback is not JSON"))?;
        drop(body);
        let mut ids = HashSet::new();
        find_ids(&said, &mut ids);
        drop(said);
        if ids.len() > MAX_ENTRIES {
            return Err(RequestRefusal::too_large());
        }
        let received = ids.len();
        let mut entries: Vec<MessageEntry> = Vec::new();
        for id in ids {
            if self.recent.contains(app, &id) {
                continue;
            }
            match self.registry.check(GivenMessage { app, id: &id, sent_at: None, category }) {
                Ok(entry) => entries.push(entry),
                // The id belongs to a kind of message that is not polled.
                Err(BadEntry::BadId(_)) => {}
                Err(error @ BadEntry::Changing) => {
                    return Err(RequestRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()));
                }
                Err(error) => return Err(RequestRefusal::new(StatusCode::BAD_REQUEST, error.to_string())),
            }
        }
        if entries.is_empty() {
            return Ok(Registration { received, ..Registration::default() });
        }
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let registration = self.store(MessageSource::Callback, entries).await?;
        self.recent.add(app, ids);
        Ok(Registration { received, ..registration })
    }
}

/// Collects the ids in a callback, at any depth.
fn find_ids(said: &Value, ids: &mut HashSet<String>) {
    match said {
        Value::Array(items) => items.iter().for_each(|item| find_ids(item, ids)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(id) if ID_KEYS.contains(&key.as_str()) => drop(ids.insert(id.clone())),
                    Value::Number(id) if ID_KEYS.contains(&key.as_str()) => drop(ids.insert(id.to_string())),
                    value => find_ids(value, ids),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_at_any_depth() {
        let said = serde_json::json!([{"msg_id": "1", "x": {"msgid": 18_100_287_008_546_331_u64}}, {"data": [{"msg_id": "1"}]}, 7]);
        let mut ids = HashSet::new();
        find_ids(&said, &mut ids);
        assert_eq!(ids, HashSet::from(["1".to_owned(), "18100287008546331".to_owned()]));
    }
}
