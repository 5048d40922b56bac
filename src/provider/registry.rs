//! The one list of providers.

use crate::provider::Providers;

/// Every provider that can be configured, in the order of the status page.
pub const PROVIDERS: Providers = &[
    &super::jpush::Jpush,
    &super::easemob::Easemob,
    &super::feishu::Feishu,
    // The next one stands here.
];
