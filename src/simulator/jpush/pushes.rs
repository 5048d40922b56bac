//! Pushes and schedules that a sender creates by the Push API. Every push goes to the same number of devices.

use http::{Request, Response};
use serde_json::{Value, json};

use super::{JpushSimulator, error};

/// Number of devices of a push.
const DEVICES: i64 = 5_000;

impl JpushSimulator {
    /// Answers `POST push` and `POST schedules`.
    pub(super) fn take_push(&self, request: &Request<Vec<u8>>, path: &str) -> Response<Vec<u8>> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let push = if path == "push" { &body } else { &body["push"] };
        let has_content = push["notification"].is_object() || push["message"].is_object();
        if push["platform"].is_null() || push["audience"].is_null() || !has_content {
            return error(400, 1002, "Missing parameter");
        }
        let answer = match (path, body["name"].as_str()) {
            ("push", _) => {
                let is_notification = push["notification"].is_object();
                let id = if is_notification { self.push(DEVICES) } else { self.push_message(DEVICES) };
                json!({ "sendno": "0", "msg_id": id.to_string() })
            }
            (_, Some(name)) => json!({ "schedule_id": self.schedule(name), "name": name }),
            _ => return error(400, 8100, "Missing parameter"),
        };
        crate::simulator::json(200, &answer)
    }
}
