//! Answers of providers: field maps, error tables, rate limits, new providers.

mod documents;
mod engagelab_documents;
mod error_tables;
mod getui_documents;
mod jpush_documents;
mod jpush_reports;
mod new_provider;
mod onesignal_documents;
mod rate_limits;
mod refusals;
mod secrets;
mod unknown_names;
mod wren;
