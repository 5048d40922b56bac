//! Polling schedule of messages by age, and spreading of accounts over time. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Step of a schedule: a message is polled every `every` until it is `until` old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Age at which the step ends.
    pub until: Duration,
    /// Polling interval.
    pub every: Duration,
}

/// Polling schedule of a report's messages: steps of increasing age. After the last step a message is polled once more,
/// and retired if that poll succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSchedule(Vec<Step>);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: u64 = 24 * HOUR;

/// Steps of the first five days: every 1 min until 10 min, 5 min until 2 h, 30 min until 24 h, 3 h until 5 days.
const FIRST_FIVE_DAYS: [(u64, u64); 4] =
    [(10 * MINUTE, MINUTE), (2 * HOUR, 5 * MINUTE), (DAY, 30 * MINUTE), (5 * DAY, 3 * HOUR)];

impl MessageSchedule {
    /// Returns the schedule for numbers that are final five days after sending.
    pub fn five_days() -> MessageSchedule {
        MessageSchedule::new(FIRST_FIVE_DAYS.map(step).to_vec())
    }

    /// Returns the schedule for numbers that grow as long as the provider keeps them: daily until `end`.
    pub fn until(end: Duration) -> MessageSchedule {
        let mut steps = FIRST_FIVE_DAYS.map(step).to_vec();
        steps.push(Step { until: end, every: Duration::from_secs(DAY) });
        MessageSchedule::new(steps)
    }

    /// Returns a schedule with one interval at any age and the same end.
    pub fn always(&self, every: Duration) -> MessageSchedule {
        MessageSchedule::new(vec![Step { until: self.end(), every }])
    }

    /// Creates a schedule of one or more steps, in order of age.
    pub fn new(steps: Vec<Step>) -> MessageSchedule {
        MessageSchedule(steps)
    }

    /// Returns the steps, in order of age.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Returns the age at which a message is polled for the last time.
    pub fn end(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |step| step.until)
    }

    /// Returns the shortest interval between two polls of a message.
    pub fn fastest(&self) -> Duration {
        self.0.iter().map(|step| step.every).min().unwrap_or(Duration::from_secs(MINUTE))
    }

    /// Returns the polling interval of a message of this age.
    pub fn at(&self, age: Duration) -> Duration {
        let step = self.0.iter().find(|step| age < step.until).or(self.0.last());
        step.map_or(Duration::from_secs(MINUTE), |step| step.every)
    }

    /// Returns the time of the next poll after one at `now`, and the interval; `None` if that poll was the last. Only
    /// the confirmed time `sure` decides that, so that a clock that is ahead retires nothing.
    pub fn next(&self, sent_at: Timestamp, now: Timestamp, sure: Timestamp) -> Option<(Timestamp, Duration)> {
        if message_age(sent_at, sure) >= self.end() {
            return None;
        }
        let every = self.at(message_age(sent_at, now));
        let due = now.saturating_add(every).unwrap_or(now);
        let end = sent_at.saturating_add(self.end()).unwrap_or(due);
        Some((if end > now { due.min(end) } else { due }, every))
    }
}

fn step((until, every): (u64, u64)) -> Step {
    Step { until: Duration::from_secs(until), every: Duration::from_secs(every) }
}

/// Returns the age of a message that was sent at `sent_at`; zero if that is in the future.
pub fn message_age(sent_at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(sent_at)).unwrap_or_default()
}

/// Returns the offset of an account within a period, so that not all exporters query at once. It is always the same for
/// an account.
pub fn spread(account: &str, over: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    account.hash(&mut hasher);
    Duration::from_secs(hasher.finish() % over.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns the ages in seconds at which a message is polled, starting at an age of 5 s.
    fn polls(pace: &MessageSchedule) -> Vec<u64> {
        let sent: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut at = sent.saturating_add(secs(5)).unwrap();
        let mut ages = vec![5];
        while let Some((due, _)) = pace.next(sent, at, at) {
            at = due;
            ages.push(message_age(sent, at).as_secs());
        }
        ages
    }

    #[test]
    fn the_documented_pace() {
        let ages = polls(&MessageSchedule::five_days());
        let between = |from: u64, to: u64| ages.iter().filter(|age| (from..to).contains(*age)).count();
        assert_eq!(between(0, 600), 10, "every minute until ten minutes");
        assert_eq!(between(600, 1200), 2);
        assert_eq!(between(600, 7200), 22, "every 5 minutes until two hours");
        assert_eq!(between(7200, DAY), 44, "every half hour until a day");
        assert_eq!(between(DAY, 5 * DAY), 32, "every 3 hours until five days");
        assert_eq!(*ages.last().unwrap(), 5 * DAY, "one last poll at the end");
        let ages = polls(&MessageSchedule::until(secs(28 * DAY)));
        let between = |from: u64, to: u64| ages.iter().filter(|age| (from..to).contains(*age)).count();
        assert_eq!((between(5 * DAY, 28 * DAY), *ages.last().unwrap()), (23, 28 * DAY));
        let steady = MessageSchedule::five_days().always(secs(3600));
        assert_eq!((polls(&steady).len(), steady.end()), (121, secs(5 * DAY)));
    }

    #[test]
    fn a_step_lasts_until_its_age() {
        let pace = MessageSchedule::five_days();
        assert_eq!((pace.fastest(), pace.steps().len()), (secs(60), 4));
        for (age, every) in [(0, 60), (599, 60), (600, 300), (7200, 1800), (DAY, 3 * HOUR), (9 * DAY, 3 * HOUR)] {
            assert_eq!(pace.at(secs(age)), secs(every), "{age}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_retires_nothing() {
        let pace = MessageSchedule::five_days();
        let sent: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let [sure, ahead] = [secs(3600), secs(30 * DAY)].map(|age| sent.saturating_add(age).unwrap());
        let (due, every) = pace.next(sent, ahead, sure).unwrap();
        assert_eq!((message_age(ahead, due), every), (secs(3 * HOUR), secs(3 * HOUR)));
        assert_eq!(pace.next(sent, ahead, ahead), None);
        // A clock that is behind the time of sending polls at the interval of a new message.
        let behind = sent.saturating_sub(secs(3600)).unwrap();
        assert_eq!(pace.next(sent, behind, behind).unwrap().1, secs(60));
    }
}
