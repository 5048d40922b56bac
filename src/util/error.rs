//! Errors as text.

/// Returns an error with its causes, each once, separated by colons.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text, or their own text in the cause.
        let said = text.rsplit(": ").next().is_some_and(|last| cause_text.ends_with(last));
        if !said && !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
