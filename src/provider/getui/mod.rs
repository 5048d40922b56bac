//! Getui (个推), which uni-push 1.0 is too: statistics by day or by task, users, and quotas of vendors.
//!
//! Document: 推送结果统计 of RestAPI v2: 获取单日推送数据 (`report/push/date`), 获取推送结果 (`report/push/task`),
//! 获取单日用户数据 (`report/user/date`), 获取24小时在线用户数 (`report/online_user`), 查询推送量 (`report/push/count`).

mod client;
pub mod config;
mod errors;
pub mod fields;
mod push_date;
mod push_task;
mod schedule;
mod sign;
mod snapshots;
mod user_date;

use std::sync::Arc;

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::provider::message_id::IdFormat;
use crate::provider::{
    Account, CounterSource, Example, GaugeReport, MessageReport, MessageReports, Provider, ReportContext,
};
use client::GetuiApi;
use config::{Delivery, GetuiSettings};
use fields::TASK_ID;
use push_date::{PUSH_DATE, PushDate};
use push_task::{PUSH_TASK, PushTask};
use snapshots::{ONLINE_USER, PUSH_COUNT, Snapshot};
use user_date::USER_DATE;

/// The provider Getui.
pub struct Getui;

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 17] = [
    (Family::Targeted, "Getui push/task msg_num"),
    (Family::Sent, "Getui target_num, which counts what was sent in spite of its name"),
    (Family::Failed, "Getui failed_detail.rs, where the account is told it"),
    (Family::Received, "Getui receive_num, 0 for vendors without receipts"),
    (Family::Displayed, "Getui display_num, 0 for vendors without receipts"),
    (Family::Clicked, "Getui click_num"),
    (Family::SentAt10m, "Getui push/task target_num, read once at an age of 10 to 20 minutes"),
    (Family::ReceivedAt10m, "Getui push/task receive_num, read once at an age of 10 to 20 minutes"),
    (Family::WindowSent, "Getui push/date target_num of a day"),
    (Family::WindowReceived, "Getui push/date receive_num of a day"),
    (Family::Users, "Getui user/date register_num, active_num and online_num, and online_user with window now"),
    (Family::VendorQuota, "Getui push/count total_num"),
    (Family::VendorQuotaUsed, "Getui push/count push_num, or total_num without remain_num"),
    (Family::NewestTargeted, "Getui msg_num"),
    (Family::NewestSent, "Getui target_num"),
    (Family::NewestReceived, "Getui receive_num"),
    (Family::NewestClicked, "Getui click_num"),
];

impl Provider for Getui {
    fn name(&self) -> &'static str {
        "getui"
    }

    fn title(&self) -> &'static str {
        "Getui 个推"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[PUSH_DATE, PUSH_TASK, USER_DATE, ONLINE_USER, PUSH_COUNT]
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: false }
    }

    fn id_formats(&self) -> &'static [IdFormat] {
        const FORMATS: [IdFormat; 1] = [TASK_ID];
        &FORMATS
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        let settings = GetuiSettings::read(section)?;
        Some(Box::new(GetuiAccount(Arc::new(settings))))
    }
}

struct GetuiAccount(Arc<GetuiSettings>);

impl GetuiAccount {
    fn api(&self, context: &ReportContext) -> GetuiApi {
        GetuiApi { settings: Arc::clone(&self.0), token: Arc::clone(&context.token) }
    }
}

impl Account for GetuiAccount {
    fn id(&self) -> String {
        self.0.app_id.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.master_secret.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        let delivery = match self.0.delivery {
            Some(Delivery::PushDate) => {
                return CounterSource::Windows(Box::new(PushDate::new(self.api(context), context)));
            }
            Some(Delivery::PushTask) => Some(PUSH_TASK),
            None => None,
        };
        let report = PushTask::new(self.api(context), context);
        CounterSource::Messages(MessageReports {
            delivery,
            reports: vec![Box::new(report) as Box<dyn MessageReport>],
            ids: self.0.ids.clone(),
            files: self.0.files.clone(),
            newest: self.0.newest_messages,
            id_format: TASK_ID,
        })
    }

    fn gauge_reports(&self, context: &ReportContext) -> Vec<GaugeReport> {
        let mut reports = Vec::new();
        if !self.0.users.is_empty() {
            reports.push(GaugeReport::Windows(user_date::report(self.api(context), context)));
            reports.push(GaugeReport::Snapshot(Box::new(Snapshot::online_user(self.api(context), context))));
        }
        if self.0.vendor_quota {
            reports.push(GaugeReport::Snapshot(Box::new(Snapshot::push_count(self.api(context), context))));
        }
        reports
    }
}
