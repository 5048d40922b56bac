//! The one list of providers. Configuration, documentation and tests walk it.

use super::{Provider, easemob::Easemob, feishu::Feishu};

/// Every provider there is.
pub const PROVIDERS: &[&dyn Provider] = &[&Easemob, &Feishu];
