//! Duration of commits and registrations: commits of a hundred messages with ten channels each, beside messages that
//! are only stored. Prints its figures. `PUSH_EXPORTER_MESSAGES` is the number of stored messages: 2,000 unless told.
//! `tests/postgres.sh throughput` measures a PostgreSQL ledger.

use std::time::{Duration, Instant};

use crate::support::hundred_messages::{BATCH, answer, apps, hundred, now, register};
use crate::support::open_store;

const COMMITS: i64 = 200;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_hundred_messages_are_committed() {
    let stored: u64 = std::env::var("PUSH_EXPORTER_MESSAGES").map_or(2000, |count| count.parse().unwrap());
    // On a disk, since commits are synced to it.
    let folder = tempfile::tempdir_in("target").unwrap();
    let mut store = open_store(folder.path());
    let [polled, others] = apps(store.as_mut()).await;
    let mut registrations = Vec::new();
    for first in (0..stored).step_by(1000) {
        registrations.push(register(store.as_mut(), others, first..first + 1000, now()).await);
    }
    let due = hundred(store.as_mut(), polled).await;
    let mut commits = Vec::new();
    for round in 1..=COMMITS {
        let commit = answer(polled, &due, round);
        let started = Instant::now();
        let receipt = store.commit(commit).await.unwrap();
        commits.push(started.elapsed());
        let total = receipt.series.iter().map(|series| series.total).max();
        assert_eq!(total, Some(round * BATCH as i64), "each series counts every message once");
    }
    println!("{stored} messages stored: a thousand registered in {:?}", median(registrations));
    println!("a hundred messages of ten channels committed in {:?}, medians", median(commits));
}
