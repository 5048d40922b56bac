//! OneSignal: delivery counts of messages, by platform, from the list of the app's messages.
//!
//! Documents: View messages (`GET /notifications`), Rate limits, Push notification message reports.

mod client;
pub mod config;
mod errors;
pub mod fields;
mod notifications;

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::{secret::Secret, section::Section};
use crate::metrics::catalog::Family;
use crate::metrics::help::HelpFragment;
use crate::provider::{Account, CounterSource, Example, ListReport, Provider, ReportContext};
use config::OnesignalSettings;
use notifications::{NOTIFICATIONS, Notifications};

/// The provider OneSignal.
pub struct Onesignal;

/// Names of the metrics in the documents.
const HELP: [HelpFragment; 9] = [
    (Family::Sent, "OneSignal successful, without messages of Journeys, and for 30 days of those sent by API"),
    (Family::Failed, "OneSignal failed, which are unsubscribed devices, and errored"),
    (Family::Received, "OneSignal received, confirmed deliveries of paid plans"),
    (Family::Clicked, "OneSignal converted"),
    (Family::SentAt10m, "OneSignal successful, read once at an age of 10 to 20 minutes"),
    (Family::ReceivedAt10m, "OneSignal received, read once at an age of 10 to 20 minutes"),
    (Family::NewestSent, "OneSignal successful"),
    (Family::NewestReceived, "OneSignal received"),
    (Family::NewestClicked, "OneSignal converted"),
];

impl Provider for Onesignal {
    fn name(&self) -> &'static str {
        "onesignal"
    }

    fn title(&self) -> &'static str {
        "OneSignal"
    }

    fn reports(&self) -> &'static [&'static str] {
        &[NOTIFICATIONS]
    }

    /// Returns UTC: all times are Unix seconds, and there are no days.
    fn zone(&self) -> Option<TimeZone> {
        Some(TimeZone::UTC)
    }

    fn help(&self) -> &'static [HelpFragment] {
        &HELP
    }

    fn example(&self) -> Example {
        Example { text: include_str!("example.yml"), has_message_ids: false }
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Account>> {
        OnesignalSettings::read(section)
            .map(|settings| Box::new(OnesignalAccount(Arc::new(settings))) as Box<dyn Account>)
    }
}

struct OnesignalAccount(Arc<OnesignalSettings>);

impl Account for OnesignalAccount {
    fn id(&self) -> String {
        self.0.app_id.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.0.api_key.clone()]
    }

    fn counter_source(&self, context: &ReportContext) -> CounterSource {
        let report = || Box::new(Notifications::new(&self.0, context)) as Box<dyn ListReport>;
        CounterSource::List(self.0.counts_notifications.then(report))
    }
}
