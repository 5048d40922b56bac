//! Feishu and Lark (飞书): push overview of a bot by day, week and month, for the tenant and for departments.
//!
//! Document: 获取消息推送概览 (`message_push_overview`).

mod client;
pub mod config;
mod errors;
pub mod fields;
pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::model::advice::Advice;
use crate::model::window::{Unit, Window};
use crate::provider::client::Client;
use crate::provider::error::ProviderError;
use crate::provider::message_schedule::spread;
use crate::provider::rate_limit::Limit;
use crate::provider::token::TokenCache;
use crate::provider::{
    Account, CounterSource, EarlierQueries, Example, PastWindows, Provider, ReportContext, ReportSpec, ReportState,
    WindowAnswer, WindowQuery, WindowReport, WindowUpdate,
};
use crate::util::clock_guard::ClockReading;
use crate::util::future::BoxFuture;
use config::FeishuSettings;
use schedule::Schedule;

/// The provider Feishu, which includes Lark.
pub struct Feishu;

/// Name of the only report, for all windows and departments.
pub const MESSAGE_PUSH_OVERVIEW: &str = "message_push_overview";

/// Documented rate limit: 100 requests a minute (接口频率限制).
const LIMIT: Limit = Limit { api: MESSAGE_PUSH_OVERVIEW, requests: 100, window: Duration::from_secs(60) };

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 11] = [
    (Family::Sent, "Feishu send_msg_count, where a message to a chat of five counts five"),
    (Family::ReadWithin1h, "Feishu read_in_1h_count"),
    (Family::ReadWithin12h, "Feishu read_in_12h_count"),
    (Family::WindowSent, "Feishu send_msg_count"),
    (Family::WindowReadWithin1h, "Feishu read_in_1h_count"),
    (Family::WindowReadWithin12h, "Feishu read_in_12h_count"),
    (Family::WindowUsersReached, "Feishu send_user_count"),
    (Family::DepartmentWindowSent, "Feishu send_msg_count"),
    (Family::DepartmentWindowReadWithin1h, "Feishu read_in_1h_count"),
    (Family::DepartmentWindowReadWithin12h, "Feishu read_in_12h_count"),
    (Family::DepartmentWindowUsersReached, "Feishu send_user_count"),
];

impl Provider for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    fn title(&self) -> &'static str {
        "Feishu 飞书"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[MESSAGE_PUSH_OVERVIEW]
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: false }
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        FeishuSettings::read(section).map(|settings| Box::new(FeishuAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct FeishuAccount(Arc<FeishuSettings>);

impl Account for FeishuAccount {
    fn id(&self) -> String {
        self.0.app_id.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.app_secret.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        let spec = context.spec(MESSAGE_PUSH_OVERVIEW, schedule::HOURLY, LIMIT);
        CounterSource::Windows(Box::new(MessagePushOverview {
            spec,
            settings: Arc::clone(&self.0),
            token: Arc::clone(&context.token),
            clock: context.clock.clone(),
            schedule: Schedule {
                zone: context.zone.clone(),
                interval: spec.is_explicit.then_some(spec.interval),
                units: self.0.windows.clone(),
                departments: self.0.departments.clone(),
                jitter: spread(&self.0.app_id, schedule::SPREAD),
            },
        }))
    }
}

struct MessagePushOverview {
    spec: ReportSpec,
    settings: Arc<FeishuSettings>,
    token: Arc<TokenCache>,
    clock: crate::util::clock::Clock,
    schedule: Schedule,
}

impl WindowReport for MessagePushOverview {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn scope_label(&self) -> &'static str {
        "department"
    }

    fn scope_advice(&self) -> Advice {
        Advice {
            en: "Check this id in departments, and department_id_type; the numbers of the tenant are not affected.",
            zh: "请检查 departments 中的这个 ID 以及 department_id_type；租户的数据不受影响。",
        }
    }

    fn shows(&self, scope: &str, unit: Unit) -> bool {
        let is_asked = scope.is_empty() || self.settings.departments.iter().any(|earlier| earlier == scope);
        is_asked && self.settings.windows.contains(&unit)
    }

    fn next(&self, now: Timestamp, state: &ReportState, earlier: &EarlierQueries) -> Option<WindowQuery> {
        self.schedule.next(now, state, earlier)
    }

    fn past_windows(&self) -> Vec<PastWindows> {
        self.schedule.past()
    }

    fn shown_from(&self, window: Window, has_numbers: bool) -> Option<Timestamp> {
        Some(self.schedule.shown_from(window, has_numbers))
    }

    fn query<'a>(
        &'a self,
        query: &'a WindowQuery,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<WindowAnswer, ProviderError>> {
        Box::pin(async move {
            let answer = client::fetch_message_push_overview(&self.settings, &self.token, query, client).await;
            match answer {
                Err(error) if errors::is_out_of_range(&error) && self.schedule.is_past(self.clock.now(), query) => {
                    tracing::warn!(app_id = self.settings.app_id, window = query.first.unit.name(), first = %query.first.first,
                        "Feishu no longer has data that old; settling the window as lost");
                    Ok(WindowAnswer::Lost)
                }
                answer => answer,
            }
        })
    }

    fn interpret(
        &self,
        reading: ClockReading,
        query: &WindowQuery,
        answer: WindowAnswer,
        state: &ReportState,
    ) -> WindowUpdate {
        self.schedule.interpret(reading, query, answer, state)
    }

    fn next_due(&self, now: Timestamp, state: &ReportState) -> Timestamp {
        self.schedule.next_due(now, state)
    }
}
