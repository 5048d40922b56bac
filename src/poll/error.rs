//! Failure of a poll, caused by the provider or by the ledger.

use std::time::Duration;

use crate::ledger::LedgerError;
use crate::model::advice::Advice;
use crate::provider::error::{ProviderError, Reason};

/// Cause of a failed poll.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PollError {
    /// The provider did not answer, or its answer was not as expected.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The ledger could not commit the answer.
    #[error("the answer could not be committed")]
    Ledger(#[from] LedgerError),
}

impl PollError {
    /// Returns the value of the label `reason`.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            PollError::Provider(error) => error.reason(),
            PollError::Ledger(_) => Reason::Ledger,
        }
    }

    /// Returns one sentence of advice.
    pub(crate) fn advice(&self) -> Advice {
        match self {
            PollError::Provider(error) => error.advice(),
            PollError::Ledger(_) => Advice {
                en: "Check the ledger: the disk, its free space and permissions, and that the file still exists; or the database.",
                zh: "请检查账本：磁盘的剩余空间、权限，以及文件是否仍然存在；或数据库。",
            },
        }
    }

    /// Returns the wait that the provider demands.
    pub(crate) fn reset(&self) -> Option<Duration> {
        match self {
            PollError::Provider(error) => error.reset(),
            PollError::Ledger(_) => None,
        }
    }

    /// Returns the code that distinguishes this failure from others with the same reason: see
    /// [`ProviderError::code`].
    pub(crate) fn code(&self) -> String {
        match self {
            PollError::Provider(error) => error.code(),
            PollError::Ledger(_) => String::new(),
        }
    }

    /// Returns the provider's id of the request.
    pub(crate) fn log_id(&self) -> Option<&str> {
        match self {
            PollError::Provider(error) => error.log_id(),
            PollError::Ledger(_) => None,
        }
    }
}
