//! Deliveries of a simulated message as events over time: most within minutes, then a long tail of days. Channels differ in
//! speed and loss.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::simulator::{Trouble, beijing};

/// Outcome of a number of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The device remained after filtering.
    Target,
    /// The sending task was created.
    Sent,
    /// The push arrived on the device.
    Received,
    /// The push was displayed.
    Display,
    /// The push was clicked.
    Click,
}

/// A leaf of the statistics: kind, platform and channel as the document writes them.
pub type Leaf = (&'static str, &'static str, &'static str);

/// Numbers of deliveries by leaf and outcome.
pub(super) type Counts = BTreeMap<(Leaf, Outcome), i64>;

/// A number of deliveries with the same outcome at the same time. Small, since a message has hundreds of them and a
/// demo pushes many messages.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Index of its channel among those of the provider.
    channel: u8,
    /// Seconds after the push; events in the future are not reported yet.
    after: i32,
    outcome: Outcome,
    /// Number of deliveries; may be negative in a correction.
    count: i32,
}

/// A channel: its leaf, its share of a push, the seconds until half of it has arrived, and the shares that are sent,
/// that arrive, and that are clicked.
pub(super) struct Channel {
    leaf: Leaf,
    share: f64,
    speed: f64,
    sent: f64,
    arrives: f64,
    clicked: f64,
}

pub(super) const fn channel(leaf: Leaf, share: f64, speed: f64, sent: f64, arrives: f64, clicked: f64) -> Channel {
    Channel { leaf, share, speed, sent, arrives, clicked }
}

/// Arrival times and their shares of the deliveries: in multiples of the speed of the channel, then a tail in seconds.
const SOON: [(f64, f64); 5] = [(0.5, 0.30), (1.0, 0.25), (2.0, 0.18), (5.0, 0.12), (12.0, 0.07)];
const TAIL: [(i64, f64); 5] =
    [(1_800, 0.03), (7_200, 0.02), (6 * 3_600, 0.015), (30 * 3_600, 0.01), (4 * beijing::DAY, 0.005)];

/// A message, and what becomes of its deliveries.
pub(super) struct Message {
    /// Time of sending in Unix seconds.
    pub(super) sent_at: i64,
    events: Vec<Event>,
    /// True if answers have no numbers of it.
    has_vanished: bool,
}

impl Message {
    /// Returns true if an answer has numbers of the message, at this range of its age.
    fn has_data(&self, now: i64, ages: Range<i64>) -> bool {
        !self.has_vanished && ages.contains(&(now - self.sent_at))
    }

    fn counts(&self, channels: &[Channel], now: i64) -> Counts {
        let mut counts = BTreeMap::new();
        for event in self.events.iter().filter(|event| self.sent_at + i64::from(event.after) <= now) {
            *counts.entry((channels[usize::from(event.channel)].leaf, event.outcome)).or_default() +=
                i64::from(event.count);
        }
        counts
    }
}

/// Messages of an account and their deliveries.
pub(super) struct Deliveries {
    channels: &'static [Channel],
    random: fastrand::Rng,
    last_id: u64,
    pub(super) messages: BTreeMap<u64, Message>,
    troubles: HashMap<&'static str, Trouble>,
    /// Time after which events are not reported, in Unix seconds.
    frozen_at: Option<i64>,
}

impl Deliveries {
    /// Creates an account without any message. Ids begin after `last_id`.
    pub(super) fn new(channels: &'static [Channel], last_id: u64, seed: u64) -> Deliveries {
        let (random, messages) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
        Deliveries { channels, random, last_id, messages, troubles: HashMap::new(), frozen_at: None }
    }

    /// Pushes to a number of devices by the channels with these indexes, and returns the id. Messages and events of more than
    /// `kept` seconds are forgotten.
    pub(super) fn push(&mut self, devices: i64, places: Range<usize>, now: i64, kept: i64) -> u64 {
        self.last_id += self.random.u64(1..5_000);
        self.messages.retain(|_, message| message.sent_at + kept > now);
        let mut events = Vec::new();
        for place in places {
            let trouble = self.troubles.get(self.channels[place].leaf.2).copied().unwrap_or(Trouble::NONE);
            course(self.channels, place, trouble, devices, &mut self.random, &mut events);
        }
        // Later events would never be reported.
        events.retain(|event| i64::from(event.after) <= kept);
        events.shrink_to_fit();
        self.messages.insert(self.last_id, Message { sent_at: now, events, has_vanished: false });
        self.last_id
    }

    /// Returns the counts of a message that are reported at a time in Unix seconds.
    pub(super) fn counts(&self, id: u64, by: i64) -> Option<Counts> {
        Some(self.messages.get(&id)?.counts(self.channels, self.happened(by)))
    }

    /// Returns the counts of a message in an answer, at this range of its age.
    pub(super) fn answered(&self, id: u64, now: i64, ages: Range<i64>) -> Option<Counts> {
        let message = self.messages.get(&id)?;
        let is_told = message.sent_at <= self.happened(now) && message.has_data(now, ages);
        is_told.then(|| message.counts(self.channels, self.happened(now)))
    }

    /// Returns the channels and counts of what a message has sent, by seconds after the push.
    pub(super) fn sent(&self, id: u64) -> impl Iterator<Item = (i32, &'static str, i32)> {
        let events = self.messages.get(&id).into_iter().flat_map(|message| &message.events);
        let sent = events.filter(|event| event.outcome == Outcome::Sent);
        sent.map(|event| (event.after, self.channels[usize::from(event.channel)].leaf.2, event.count))
    }

    /// Sets the trouble of a channel from the next push on.
    pub(super) fn trouble(&mut self, channel: &'static str, trouble: Trouble) {
        self.troubles.insert(channel, trouble);
    }

    /// Hides all events after a time in Unix seconds; `None` shows them again.
    pub(super) fn freeze(&mut self, at: Option<i64>) {
        self.frozen_at = at;
    }

    /// Adds a correction to a number of a message at a time in Unix seconds.
    pub(super) fn restate(&mut self, id: u64, leaf: Leaf, outcome: Outcome, by: i64, at: i64) {
        let place = self.channels.iter().position(|channel| channel.leaf == leaf).unwrap_or(self.channels.len());
        assert!(place < self.channels.len(), "no channel has the leaf {leaf:?}");
        if let Some(message) = self.messages.get_mut(&id) {
            let after = (at - message.sent_at) as i32;
            message.events.push(Event { channel: place as u8, after, outcome, count: by as i32 });
        }
    }

    /// Removes the numbers of a message from all answers.
    pub(super) fn vanish(&mut self, id: u64) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.has_vanished = true;
        }
    }

    /// Returns the time until which events are reported.
    pub(super) fn happened(&self, now: i64) -> i64 {
        self.frozen_at.map_or(now, |frozen| frozen.min(now))
    }
}

/// Adds the events of a push to `devices` on the channel with this index.
fn course(
    channels: &[Channel],
    place: usize,
    trouble: Trouble,
    devices: i64,
    random: &mut fastrand::Rng,
    events: &mut Vec<Event>,
) {
    let channel = &channels[place];
    let mut share = |of: i64, share: f64| {
        let expected = of as f64 * (share * (0.9 + 0.2 * random.f64())).min(1.0);
        ((expected + random.f64()).floor() as i64).min(of)
    };
    let mut event = |after: i64, outcome, count: i64| {
        if count > 0 {
            events.push(Event { channel: place as u8, after: after as i32 + 1, outcome, count: count as i32 });
        }
    };
    let target = share(devices, channel.share);
    let sent = share(target, channel.sent * (1.0 - trouble.refused));
    event(0, Outcome::Target, target);
    event(0, Outcome::Sent, sent);
    let arriving = share(sent, channel.arrives * (1.0 - trouble.lost));
    let speed = channel.speed * trouble.slower;
    let soon = SOON.map(|(speeds, share)| ((speeds * speed).ceil() as i64, share));
    let mut left = arriving;
    for (after, part) in soon.into_iter().chain(TAIL) {
        let received = share(arriving, part).min(left);
        left -= received;
        event(after, Outcome::Received, received);
        let displayed = share(received, 0.95);
        event(after + 2, Outcome::Display, displayed);
        event(after + 60, Outcome::Click, share(displayed, channel.clicked * (1.0 - trouble.unclicked)));
    }
}
