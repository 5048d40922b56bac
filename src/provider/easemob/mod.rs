//! Easemob (环信): offline push results by day and vendor platform.
//!
//! Document: 查询离线推送结果统计数据 (`offline-push` under `/push/data`).

mod client;
pub mod config;
mod errors;
pub mod fields;
pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{secret::Secret, section::Section};
use crate::model::window::Unit;
use crate::provider::rate_limit::Limit;
use crate::provider::token::TokenCache;
use crate::provider::{Account, Answer, Ask, Asked, Digest, Memory, Provider, Report, Surroundings};
use crate::provider::{error::PollError, http::Client};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;
use config::Settings;
use schedule::Rhythm;

/// The provider.
pub struct Easemob;

/// The one report.
pub const OFFLINE_PUSH: &str = "offline_push";

/// 10 requests in 10 seconds for each App Key (调用频率上限).
const LIMIT: Limit = Limit { api: OFFLINE_PUSH, requests: 10, window: Duration::from_secs(10) };

impl Provider for Easemob {
    fn name(&self) -> &'static str {
        "easemob"
    }

    fn title(&self) -> &'static str {
        "Easemob 环信"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[OFFLINE_PUSH]
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        Settings::read(section).map(|settings| Box::new(EasemobAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct EasemobAccount(Arc<Settings>);

impl Account for EasemobAccount {
    fn id(&self) -> String {
        format!("{}#{}", self.0.org_name, self.0.app_name)
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.credentials.secret().clone()]
    }

    fn open(&self, surroundings: &Surroundings) -> Vec<Box<dyn Report>> {
        vec![Box::new(OfflinePush {
            settings: Arc::clone(&self.0),
            token: TokenCache::new(surroundings.clock.clone()),
            clock: surroundings.clock.clone(),
            rhythm: Rhythm {
                zone: surroundings.zone.clone(),
                interval: surroundings.intervals.get(OFFLINE_PUSH).copied().unwrap_or(schedule::INTERVAL),
            },
        })]
    }
}

struct OfflinePush {
    settings: Arc<Settings>,
    token: TokenCache,
    clock: crate::util::clock::Clock,
    rhythm: Rhythm,
}

impl Report for OfflinePush {
    fn name(&self) -> &'static str {
        OFFLINE_PUSH
    }

    fn interval(&self) -> Duration {
        self.rhythm.interval
    }

    fn limit(&self) -> Limit {
        LIMIT
    }

    fn shows(&self, department: &str, unit: Unit) -> bool {
        department.is_empty() && unit == Unit::Day
    }

    fn next(&self, now: Timestamp, memory: &Memory, asked: &Asked) -> Option<Ask> {
        self.rhythm.next(now, memory, asked)
    }

    /// The document does not say how far back it answers.
    fn may_be_out_of_reach(&self, now: Timestamp, ask: &Ask) -> bool {
        self.rhythm.is_past(now, ask)
    }

    fn ask<'a>(&'a self, ask: &'a Ask, client: &'a Client) -> BoxFuture<'a, Result<Answer, PollError>> {
        Box::pin(client::offline_push(&self.settings, &self.token, &self.clock, ask, client))
    }

    fn digest(&self, reading: ClockReading, ask: &Ask, answer: Answer, memory: &Memory) -> Digest {
        self.rhythm.digest(reading, ask, answer, memory)
    }

    fn next_due(&self, now: Timestamp, _memory: &Memory) -> Timestamp {
        now.saturating_add(self.rhythm.interval).unwrap_or(now)
    }
}
