//! Signature of a request for a token.

use aws_lc_rs::digest::{Context, SHA256};

/// Returns the signature: SHA-256 of key, timestamp and secret one after the other, in lower-case hex. `timestamp` has the
/// digits that are sent, Unix time in milliseconds.
pub(super) fn sign(app_key: &str, timestamp: &str, master_secret: &str) -> String {
    let mut context = Context::new(&SHA256);
    for part in [app_key, timestamp, master_secret] {
        context.update(part.as_bytes());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_vector() {
        assert_eq!(
            sign("appkey0123456789", "1795910400000", "mastersecret9876"),
            "dd227defdaf4c6dbb2784516562f7f76bc862f3f7544c48a8d6b5b087f0df2fe"
        );
    }
}
