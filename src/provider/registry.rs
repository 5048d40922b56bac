//! The list of providers.

use crate::provider::Providers;

/// All providers that can be configured, in the order of the status page.
pub const PROVIDERS: Providers = &[
    &super::jpush::Jpush,
    &super::easemob::Easemob,
    &super::feishu::Feishu,
    &super::engagelab::Engagelab,
    &super::getui::Getui,
    &super::onesignal::Onesignal,
    // Add a new provider here.
];
