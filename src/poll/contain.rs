//! A panic ends the work that it happens in and nothing else: it is counted, said once, and whoever started
//! the work decides when it is begun anew.

use prometheus::IntCounter;
use tokio_util::task::AbortOnDropHandle;

/// Runs work in a task of its own; `None` after a panic in it, or if the runtime stops. Dropped, it aborts
/// the work.
pub(super) async fn contained<T: Send + 'static>(
    panics: &IntCounter,
    what: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    match AbortOnDropHandle::new(tokio::spawn(work)).await {
        Ok(result) => Some(result),
        Err(error) => {
            if error.is_panic() {
                panics.inc();
                tracing::error!(what, error = error.to_string(), "a panic; please report this as a bug");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_stays_where_it_is() {
        let panics = IntCounter::new("panics", "Panics.").unwrap();
        assert_eq!(contained(&panics, "a sum", async { 1 + 1 }).await, Some(2));
        assert_eq!(contained::<()>(&panics, "a bug", async { panic!("on purpose") }).await, None);
        assert_eq!(panics.get(), 1);
    }
}
