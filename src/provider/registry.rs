//! The one list of providers.

use super::{Provider, easemob::Easemob, feishu::Feishu, jpush::Jpush};

/// Every provider that can be configured.
pub const PROVIDERS: &[&dyn Provider] = &[&Jpush, &Easemob, &Feishu];
