//! EngageLab App Push (Aurora's international product): statistics of messages by platform and channel, statistics of users,
//! and the ids of the messages of push plans.
//!
//! Document: REST API v4, Statistics API (`status/detail`, `status/users`, `status/plan/msg/`) and Push Plan API
//! (`push_plan/list`). It is JPush's API under other names, with a host for each data centre.

mod client;
pub mod config;
mod delivery;
mod errors;
mod fields;
mod message_id;
mod plans;
mod users;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::provider::error::ProviderError;
use crate::provider::message_id::IdFormat;
use crate::provider::{
    Account, CounterSource, DiscoveryReport, Example, FoundMessages, GaugeReport, Listing, MessageNumbers,
    MessageQuery, MessageReport, MessageReports, Provider, ReportContext, WindowNumbers, WindowQuery,
};
use config::{EngagelabSettings, STATUS_DETAIL};
use delivery::StatusDetail;
use message_id::MESSAGE_ID;
use plans::{PUSH_PLANS, PushPlans};
use users::STATUS_USERS;

/// The provider EngageLab.
pub struct Engagelab;

/// Parses the body of an answer of `status/detail` to a query for `earlier` as the client does, for tests and fuzzing.
///
/// # Errors
/// Fails if the body is not an object.
pub fn parse_detail(body: &[u8], earlier: &[MessageQuery]) -> Result<MessageNumbers, ProviderError> {
    Ok(fields::read_detail(&object(body)?, earlier))
}

/// Parses the body of an answer of `status/users` to `query`, as [`parse_detail`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_users(body: &[u8], query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    fields::read_users(&object(body)?, query)
}

/// Parses the body of an answer of `push_plan/list`, as [`parse_detail`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_plans(body: &[u8]) -> Result<Listing, ProviderError> {
    plans::listing(&object(body)?)
}

/// Parses the body of an answer of `status/plan/msg/` about one plan, as [`parse_detail`] does.
///
/// # Errors
/// Fails if the body is not of the documented shape.
pub fn parse_plan_messages(body: &[u8], plan: &str) -> Result<FoundMessages, ProviderError> {
    plans::messages(&object(body)?, plan)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ProviderError> {
    serde_json::from_slice(body).map_err(|error| ProviderError::Decode(error.to_string()))
}

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 13] = [
    (Family::Targeted, "EngageLab status/detail targets"),
    (Family::Sent, "EngageLab status/detail sent, the task to send was created"),
    (Family::Received, "EngageLab status/detail delivered"),
    (Family::Displayed, "EngageLab status/detail impressions"),
    (Family::Clicked, "EngageLab status/detail clicks"),
    (Family::SentAt10m, "EngageLab sent, read once at an age of 10 to 20 minutes"),
    (Family::ReceivedAt10m, "EngageLab delivered, read once at an age of 10 to 20 minutes"),
    (Family::Users, "EngageLab status/users"),
    (Family::NewestTargeted, "EngageLab targets"),
    (Family::NewestSent, "EngageLab sent"),
    (Family::NewestReceived, "EngageLab delivered"),
    (Family::NewestDisplayed, "EngageLab impressions"),
    (Family::NewestClicked, "EngageLab clicks"),
];

impl Provider for Engagelab {
    fn name(&self) -> &'static str {
        "engagelab"
    }

    fn title(&self) -> &'static str {
        "EngageLab"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[STATUS_DETAIL, STATUS_USERS, PUSH_PLANS]
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: true }
    }

    fn id_formats(&self) -> &'static [IdFormat] {
        const FORMATS: [IdFormat; 1] = [MESSAGE_ID];
        &FORMATS
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        let settings = EngagelabSettings::read(section)?;
        Some(Box::new(EngagelabAccount(Arc::new(settings))))
    }
}

struct EngagelabAccount(Arc<EngagelabSettings>);

impl Account for EngagelabAccount {
    fn id(&self) -> String {
        self.0.app_key.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.master_secret.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        let report = Box::new(StatusDetail::new(&self.0, context)) as Box<dyn MessageReport>;
        CounterSource::Messages(MessageReports {
            delivery: self.0.has_delivery.then_some(STATUS_DETAIL),
            reports: vec![report],
            ids: self.0.ids.clone(),
            files: self.0.files.clone(),
            newest: self.0.newest_messages,
            id_format: MESSAGE_ID,
        })
    }

    fn discovery_reports(&self, context: &ReportContext) -> Vec<Box<dyn DiscoveryReport>> {
        let plans = self.0.discovers_plans.then(|| PushPlans::new(&self.0, context));
        plans.into_iter().map(|report| Box::new(report) as Box<dyn DiscoveryReport>).collect()
    }

    fn gauge_reports(&self, context: &ReportContext) -> Vec<GaugeReport> {
        let users = (!self.0.users.is_empty()).then(|| GaugeReport::Windows(users::report(&self.0, context)));
        users.into_iter().collect()
    }
}
