//! The one list of providers.

use crate::provider::Provider;

/// Every provider that can be configured, in the order of the status page.
pub const PROVIDERS: &[&dyn Provider] = &[
    &super::jpush::Jpush,
    &super::easemob::Easemob,
    &super::feishu::Feishu,
    // The next one stands here.
];
