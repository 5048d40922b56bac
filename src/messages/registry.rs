//! Registration of message ids: from the configuration, from files and from the message API into the ledger, and from
//! there to the report that polls them. An id is registered once; registering it again in any way counts nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify, RwLock};
use tokio_util::task::TaskTracker;

use crate::exposition::{Exposition, Sample, Update, text};
use crate::ledger::{
    AddedMessages, AppId, FileMark, Ledger, LedgerError, MessageState, NewMessage, NewMessages, ReadFile,
};
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;
use crate::model::message_source::MessageSource;
use crate::provider::FoundMessage;
use crate::provider::error::shorten;
use crate::provider::message_id::IdFormat;
use crate::provider::message_schedule::{MessageSchedule, message_age};
use crate::status::counters;
use crate::status::{Activity, MessageCounts, Status, app_labels};
use crate::util::clock::Clock;
use crate::util::clock_guard::{ClockGuard, ClockReading};
use crate::util::supervise::restart_on_panic;

/// Wait before a message's first poll: a provider knows nothing of a message that it has only just accepted, and
/// messages come in bursts, so the first call waits a little for more of them.
const FIRST_POLL: Duration = Duration::from_secs(5);
/// Interval at which configured ids are registered again and expired memories of retired messages are dropped.
const UPKEEP: Duration = Duration::from_secs(86_400);

/// The messages of an app in the exposition and the status, with the signal that wakes the report that polls them.
pub struct Board {
    provider: &'static str,
    app: String,
    app_labels: Arc<str>,
    exposition: Exposition,
    status: Status,
    wake: Arc<Notify>,
    /// Version of the state that is shown.
    shown: Mutex<u64>,
}

impl Board {
    /// Creates the board of this app.
    pub fn new(provider: &'static str, app: &str, exposition: Exposition, status: Status) -> Board {
        let (app_labels, app) = (app_labels(provider, app), app.to_owned());
        Board { provider, app, app_labels, exposition, status, wake: Arc::default(), shown: Mutex::default() }
    }

    /// Returns the labels provider and app.
    pub fn app_labels(&self) -> Arc<str> {
        Arc::clone(&self.app_labels)
    }

    /// Returns the signal that wakes the report that polls new messages.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Shows what a registration has changed, and wakes the report that polls new messages.
    pub async fn registered(&self, added: AddedMessages) {
        self.exposition.count(counters(&self.app_labels, added.series, Duration::ZERO)).await;
        self.show_last_new_ids(&added.last_new_ids);
        self.show(added.state).await;
        if added.state.waiting > 0 {
            self.wake.notify_one();
        }
    }

    /// Shows when sources last brought a new id.
    pub fn show_last_new_ids(&self, last: &[(MessageSource, Timestamp)]) {
        self.status.app(self.provider, &self.app, |status| status.last_new_ids.extend(last.iter().copied()));
    }

    /// Shows how many messages are tracked, unless a later state has been shown.
    pub async fn show(&self, state: MessageState) {
        let sample =
            |family, labels, value| Sample { family, app_labels: self.app_labels(), labels, value, created: None };
        let tracked = |name, count| sample(Family::TrackedMessages, text::labels(&[("state", name)]), count);
        let mut samples = vec![tracked("waiting", state.waiting), tracked("live", state.live)];
        samples.extend(state.newest.map(|at| sample(Family::NewestMessage, String::new(), at.as_millisecond())));
        let mut shown = self.shown.lock().await;
        if state.version >= *shown {
            *shown = state.version;
            self.status.app(self.provider, &self.app, |status| {
                status.tracked = Some(MessageCounts { waiting: state.waiting, live: state.live });
                status.newest_message = state.newest;
            });
            self.exposition.update(samples.into_iter().map(Update::Set).collect()).await;
        }
    }
}

fn registered_counter(source: &MessageSource) -> (Family, Labels) {
    (Family::MessagesRegistered, Labels::new(&[("source", source.name())]))
}

/// Returns the counters of an app whose provider lists its messages, which start at 0.
pub fn list_counters() -> Vec<(Family, Labels)> {
    vec![registered_counter(&MessageSource::Discovery)]
}

/// Returns the counters of an app that takes messages, which start at 0. `finds_ids` are the sources of the provider's own
/// that it has.
pub fn message_counters(has_files: bool, finds_ids: &[MessageSource]) -> Vec<(Family, Labels)> {
    let always = [MessageSource::Config, MessageSource::File, MessageSource::Api];
    let mut counters: Vec<_> = always.iter().chain(finds_ids).map(registered_counter).collect();
    counters.push((Family::RejectedMessages, Labels::default()));
    if has_files {
        counters.push((Family::BadLines, Labels::default()));
    }
    counters
}

/// An app that takes messages.
pub struct Target {
    /// Id of the app in the ledger.
    pub app: AppId,
    /// Report that polls the messages.
    pub report: &'static str,
    /// Schedule of its messages.
    pub schedule: MessageSchedule,
    /// Format of its message ids.
    pub id_format: IdFormat,
    /// Ids of the configuration.
    pub ids: Vec<String>,
    /// Files of ids, each with the marks that record how far it has been read.
    pub files: Vec<(PathBuf, Vec<FileMark>)>,
    /// Board that shows the messages of the app, unless another replica does.
    pub board: Option<Arc<Board>>,
    /// Clock of the account, as far as the provider agrees with it.
    pub clock: Clock,
    /// Guard that checks the clock before ids are skipped for their age.
    pub guard: parking_lot::Mutex<ClockGuard>,
}

/// Registry through which message ids enter the ledger.
pub struct MessageRegistry {
    clock: Clock,
    ledger: Ledger,
    apps: parking_lot::Mutex<Apps>,
    /// Lock held for reading during a registration, so that registrations for an app end before the app is removed.
    registering: RwLock<()>,
    activity: Arc<Activity>,
}

/// Apps for which messages may be registered.
#[derive(Clone, Default)]
struct Apps {
    targets: Arc<BTreeMap<String, Arc<Target>>>,
    /// Apps that take no messages.
    others: Arc<[String]>,
    /// True while a reload is in progress: a missing app may be added in a moment.
    is_changing: bool,
}

/// A checked message that is to be registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageEntry {
    /// Name of the app.
    pub app: String,
    /// Id as the provider writes it.
    pub id: String,
    /// Send time, if it is known.
    pub sent_at: Option<Timestamp>,
    /// Category, if the sender gave one.
    pub category: Option<String>,
}

/// A message as a sender gave it, before it is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenMessage<'a> {
    /// Name of the app.
    pub app: &'a str,
    /// Id as the sender writes it.
    pub id: &'a str,
    /// Send time, if it is known.
    pub sent_at: Option<Timestamp>,
    /// Category, if the sender gave one.
    pub category: Option<&'a str>,
}

/// Result of a registration, as the message API returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Registration {
    /// Number of ids that were received.
    pub received: usize,
    /// Number of ids that were not known yet.
    pub new: i64,
    /// Number of ids that were sent so long ago that the provider does not report their numbers any more.
    #[serde(default)]
    pub too_old: usize,
}

/// Reason to refuse an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// No app has this name.
    #[error("no app {0:?} is configured")]
    UnknownApp(String),
    /// The provider or the configuration of the app has no polling by message.
    #[error(
        "this app takes no messages: its provider has no statistics by message or lists its messages itself, or its delivery is none"
    )]
    TakesNone,
    /// A reload is replacing apps.
    #[error("the configuration is being reloaded; send it again in a moment")]
    Changing,
    /// The send time lies in the future.
    #[error(
        "sent_at is more than an hour ahead of the exporter's clock ({0}); correct the clock, or send UTC or an offset"
    )]
    Ahead(Timestamp),
    /// The id is not an id of this provider.
    #[error("{0}")]
    BadId(&'static str),
    /// The category cannot be a label value.
    #[error("category must be 1 to 32 of a-z, 0-9 and _")]
    BadCategory,
}

impl MessageRegistry {
    /// Creates a registry without apps.
    pub fn new(clock: Clock, ledger: Ledger, activity: Arc<Activity>) -> MessageRegistry {
        MessageRegistry { clock, ledger, apps: parking_lot::Mutex::default(), registering: RwLock::default(), activity }
    }

    /// Replaces the apps that take messages, by name; `others` take none.
    pub async fn set_targets(&self, targets: BTreeMap<String, Arc<Target>>, others: Vec<String>) {
        let _nobody_registers = self.registering.write().await;
        *self.apps.lock() = Apps { targets: Arc::new(targets), others: others.into(), is_changing: false };
    }

    /// Restricts registration to these apps until others have been started.
    pub async fn keep_targets(&self, targets: BTreeMap<String, Arc<Target>>) {
        let _nobody_registers = self.registering.write().await;
        *self.apps.lock() = Apps { targets: Arc::new(targets), others: Arc::default(), is_changing: true };
    }

    /// Returns the format of an app's message ids.
    ///
    /// # Errors
    /// Returns the reason if the app takes no messages.
    pub fn id_format(&self, app: &str) -> Result<IdFormat, BadEntry> {
        Ok(self.target(app)?.id_format)
    }

    /// Returns an app that takes messages.
    fn target(&self, app: &str) -> Result<Arc<Target>, BadEntry> {
        let apps = self.apps();
        match apps.targets.get(app) {
            Some(target) => Ok(Arc::clone(target)),
            None if apps.is_changing => Err(BadEntry::Changing),
            None if apps.others.iter().any(|other| other == app) => Err(BadEntry::TakesNone),
            None => Err(BadEntry::UnknownApp(shorten(app))),
        }
    }

    fn apps(&self) -> Apps {
        self.apps.lock().clone()
    }

    /// Checks one entry.
    ///
    /// # Errors
    /// Returns the reason if the entry cannot be registered.
    pub fn check(&self, given: GivenMessage<'_>) -> Result<MessageEntry, BadEntry> {
        let GivenMessage { app, id, sent_at, category } = given;
        let target = self.target(app)?;
        let id = (target.id_format.read)(id).ok_or(BadEntry::BadId(target.id_format.rule))?;
        if category.is_some_and(|category| !is_category(category)) {
            return Err(BadEntry::BadCategory);
        }
        let now = target.clock.now();
        match sent_at {
            Some(said) if said.duration_since(now) > AHEAD && now.as_second() > BUILT_AFTER => {
                Err(BadEntry::Ahead(now))
            }
            _ => Ok(MessageEntry { app: app.to_owned(), id, sent_at, category: category.map(str::to_owned) }),
        }
    }

    /// Registers messages that were sent to the exporter: all of them or none, durably when this returns.
    ///
    /// # Errors
    /// Fails if the ledger does not take the messages; nothing is registered then.
    pub async fn register(
        self: &Arc<Self>,
        source: MessageSource,
        entries: Vec<MessageEntry>,
    ) -> Result<Registration, LedgerError> {
        let registry = Arc::clone(self);
        // Runs in a separate task: a sender that hangs up must not interrupt the steps between the ledger's commit
        // and waking those who wait for its messages.
        let registering = tokio::spawn(async move {
            let mut by_app: BTreeMap<&str, Vec<&MessageEntry>> = BTreeMap::new();
            for entry in &entries {
                by_app.entry(&entry.app).or_default().push(entry);
            }
            let _is_registering = registry.registering.read().await;
            let apps = registry.apps();
            let mut new = Vec::new();
            let mut in_time = 0;
            for (app, messages) in by_app {
                // The app existed when the entry was checked, and has been removed from the configuration since.
                let target = apps.targets.get(app).ok_or(LedgerError::Closed)?;
                let messages = target.messages(source, messages);
                in_time += messages.messages.len();
                new.push((&**target, messages));
            }
            let new = registry.add(new).await?;
            Ok(Registration { received: entries.len(), new, too_old: entries.len() - in_time })
        });
        registering.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Returns true if the ledger's last write succeeded.
    pub fn is_up(&self) -> bool {
        *self.ledger.watch().borrow()
    }

    /// Registers the ids of the configuration: new ones are tracked, and the memory of retired ones is renewed.
    ///
    /// # Errors
    /// Fails if the ledger does not take the ids; nothing is registered then.
    pub async fn register_configured(&self) -> Result<(), LedgerError> {
        let _is_registering = self.registering.read().await;
        let apps = self.apps();
        let targets = apps.targets.values().filter(|target| target.board.is_some() && !target.ids.is_empty());
        let entry = |id: &String| MessageEntry { id: id.clone(), ..MessageEntry::default() };
        let new = targets.map(|target| {
            let entries: Vec<MessageEntry> = target.ids.iter().map(entry).collect();
            (&**target, target.messages(MessageSource::Config, &entries))
        });
        self.add(new.collect()).await.map(drop)
    }

    /// Registers the entries that were read from a file of an app, together with the marks after them. Returns the
    /// number of new ids.
    ///
    /// # Errors
    /// Fails if the ledger does not take the entries; nothing is registered then, and the marks are unchanged.
    pub async fn register_read(&self, app: &str, entries: &[MessageEntry], read: ReadFile) -> Result<i64, LedgerError> {
        let _is_registering = self.registering.read().await;
        let apps = self.apps();
        let Some(target) = apps.targets.get(app) else { return Ok(0) };
        let new = target.messages(MessageSource::File, entries);
        self.add(vec![(&**target, NewMessages { read: Some(read), ..new })]).await
    }

    /// Registers the messages of an app that the provider listed. `earlier` were pushed before the exporter first listed
    /// them, at an unknown time: they are remembered and never counted. Ids that are none of the app's are skipped. Returns
    /// the number of new ids.
    ///
    /// # Errors
    /// Fails if the ledger does not take the messages; nothing is registered then.
    pub async fn register_discovered(
        &self,
        app: &str,
        messages: &[FoundMessage],
        earlier: &[FoundMessage],
    ) -> Result<i64, LedgerError> {
        let _is_registering = self.registering.read().await;
        let apps = self.apps();
        let Some(target) = apps.targets.get(app) else { return Ok(0) };
        let entry = |found: &FoundMessage| {
            let FoundMessage { id, sent_at, category } = found;
            let (sent_at, category) = (*sent_at, category.as_deref());
            self.check(GivenMessage { app, id, sent_at, category }).ok()
        };
        let entries: Vec<MessageEntry> = messages.iter().filter_map(entry).collect();
        let earlier = earlier.iter().filter_map(entry).map(|entry| entry.id).collect();
        let new = NewMessages { earlier, ..target.messages(MessageSource::Discovery, &entries) };
        self.add(vec![(&**target, new)]).await
    }

    /// Waits until the ledger can be written.
    pub async fn wait_for_ledger(&self) {
        // The ledger's task ends only with the exporter.
        if self.ledger.watch().wait_for(|up| *up).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn add(&self, apps: Vec<(&Target, NewMessages)>) -> Result<i64, LedgerError> {
        if apps.is_empty() {
            return Ok(0);
        }
        let (targets, new): (Vec<&Target>, Vec<NewMessages>) = apps.into_iter().unzip();
        let added = self.ledger.add_messages(new).await?;
        let mut count = 0;
        for (target, added) in targets.iter().zip(added) {
            count += added.new;
            if let Some(board) = &target.board {
                board.registered(added).await;
            }
        }
        self.activity.registered(count);
        Ok(count)
    }

    /// Shows and polls what other replicas have registered for these apps.
    pub async fn show_registered(&self, apps: &[AppId]) {
        let targets = self.apps().targets;
        for target in targets.values().filter(|target| apps.contains(&target.app)) {
            let Some(board) = &target.board else { continue };
            match self.ledger.registered(target.app).await {
                Ok(added) => board.registered(added).await,
                // The owner has changed, or the ledger is down: the messages are found when it opens the app again, and
                // when they are due.
                Err(error) => tracing::debug!(error = error.to_string(), "cannot read what was registered"),
            }
        }
    }

    /// Registers the configured ids again and drops expired memories of retired messages, once a day until it is
    /// cancelled. Panics are counted.
    pub async fn upkeep(self: Arc<Self>, tasks: TaskTracker, panics: IntCounter) {
        let begin = || {
            let registry = Arc::clone(&self);
            async move { registry.keep_up().await }
        };
        restart_on_panic(&tasks, &panics, "the upkeep of messages", begin).await;
    }

    async fn keep_up(&self) {
        let mut guard = ClockGuard::new(&self.clock, None);
        loop {
            // The sleeps are short, so that a change of the clock is noticed.
            for _ in 0..UPKEEP.as_secs() / 600 {
                tokio::time::sleep(Duration::from_secs(600)).await;
                guard.read(&self.clock);
            }
            let reading = guard.read(&self.clock);
            // Nothing is dropped if the clock was set within the last day.
            if reading.is_steady
                && let Err(error) = self.keep(reading.sure).await
            {
                tracing::debug!(error = error.to_string(), "upkeep of messages failed; retrying in a day");
            }
        }
    }

    async fn keep(&self, now: Timestamp) -> Result<(), LedgerError> {
        // Ids that must not be dropped come first.
        self.register_configured().await?;
        for target in self.apps().targets.values().filter(|target| target.board.is_some()) {
            while self.ledger.upkeep(target.app, now).await? {}
        }
        Ok(())
    }
}

impl Target {
    /// Returns the messages to register, without those that are too old for the report to have an answer.
    fn messages<'a>(&self, source: MessageSource, entries: impl IntoIterator<Item = &'a MessageEntry>) -> NewMessages {
        let ClockReading { now, sure, .. } = self.guard.lock().read(&self.clock);
        let is_confirmed = self.clock.is_confirmed();
        let message = |entry: &MessageEntry| {
            let said = entry.sent_at;
            // If a time is far ahead of an unconfirmed clock, it may be the clock that is wrong.
            let is_known = said.is_some_and(|said| said.duration_since(now) <= AHEAD);
            let sent_at = said.map_or(now, |said| said.min(now));
            let every = self.schedule.at(message_age(sent_at, now));
            let wait = if source == MessageSource::Config { Duration::ZERO } else { FIRST_POLL.min(every) };
            let due = now.saturating_add(wait).unwrap_or(now);
            let is_guessed = !is_known && !is_confirmed;
            let is_in_time = message_age(sent_at, sure) < self.schedule.end();
            let (id, category) = (entry.id.clone(), entry.category.clone());
            is_in_time.then_some(NewMessage { id, sent_at, is_guessed, due, pace: wait, category })
        };
        NewMessages {
            app: self.app,
            report: self.report,
            source,
            now,
            messages: entries.into_iter().filter_map(message).collect(),
            earlier: Vec::new(),
            read: None,
        }
    }
}

/// Returns true if a text can be the category of a message.
pub(crate) fn is_category(text: &str) -> bool {
    matches!(text.len(), 1..=32) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Lead that senders' clocks may have over the local one.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);
/// Unix time of 2026-01-01: a clock that is behind it is certainly wrong, and says nothing about a sender's time.
const BUILT_AFTER: i64 = 1_767_225_600;
