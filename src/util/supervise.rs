//! Isolation of panics: a panic ends only the work that it happens in. It is counted and logged once, and the caller
//! decides when to restart the work.

use std::time::Duration;

use prometheus::IntCounter;
use tokio::task::JoinError;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Delay between a panic and the restart of work that never ends.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Runs work that never ends, and restarts it after a delay if it panics.
pub(crate) async fn restart_on_panic<F: Future<Output = ()> + Send + 'static>(
    tasks: &TaskTracker,
    panics: &IntCounter,
    what: &str,
    begin: impl Fn() -> F,
) {
    loop {
        spawn_isolated(tasks, panics, what, begin()).await;
        tokio::time::sleep(AFTER_PANIC).await;
    }
}

/// Runs work in a separate task, one of `tasks`; `None` after a panic in it, or if the runtime stops. Dropping the
/// future aborts the work.
pub(crate) async fn spawn_isolated<T: Send + 'static>(
    tasks: &TaskTracker,
    panics: &IntCounter,
    what: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    match AbortOnDropHandle::new(tasks.spawn(work)).await {
        Ok(result) => Some(result),
        Err(error) => {
            if error.is_panic() {
                panics.inc();
                tracing::error!(what, "a panic ended this task");
            }
            None
        }
    }
}

/// Returns the result of a task; `None` if it was cancelled. A panic of the task continues in the caller.
pub(crate) fn joined<T>(task: Result<T, JoinError>) -> Option<T> {
    match task.map_err(JoinError::try_into_panic) {
        Ok(result) => Some(result),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_stays_where_it_is() {
        let panics = IntCounter::new("panics", "Panics.").unwrap();
        assert_eq!(spawn_isolated(&TaskTracker::new(), &panics, "a sum", async { 1 + 1 }).await, Some(2));
        assert_eq!(
            spawn_isolated::<()>(&TaskTracker::new(), &panics, "a bug", async { panic!("on purpose") }).await,
            None
        );
        assert_eq!(panics.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_for_ever_is_begun_anew() {
        let panics = IntCounter::new("panics", "Panics.").unwrap();
        let tasks = TaskTracker::new();
        let bugs = restart_on_panic(&tasks, &panics, "a bug", || async { panic!("on purpose") });
        assert!(tokio::time::timeout(Duration::from_secs(150), bugs).await.is_err());
        assert_eq!(panics.get(), 3, "now, after one minute and after two");
    }
}
