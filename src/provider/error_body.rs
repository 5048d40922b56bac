//! Error bodies of Aurora's APIs (JPush, EngageLab): `{"error":{"code":3001,"message":"…"}}`, or code and message without the
//! envelope.

use serde_json::Value;

/// Code and message of a body; empty if it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Error code of the provider.
    pub code: String,
    /// Message of the provider.
    pub message: String,
}

impl ErrorBody {
    /// Reads a body, which may be HTML or cut short; then it has neither.
    pub fn read(body: &[u8]) -> ErrorBody {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = if body["error"].is_object() { &body["error"] } else { &body };
        let code = match &error["code"] {
            Value::Number(code) => code.to_string(),
            Value::String(code) => code.clone(),
            _ => String::new(),
        };
        let message = error["message"].as_str().or(error["msg"].as_str()).unwrap_or_default().to_owned();
        ErrorBody { code, message }
    }
}
