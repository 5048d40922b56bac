//! Apps of a ledger with the time at which it first knew them, and the messages that it tracks, read for a command. Nothing is
//! written.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::config::postgres_address::LedgerAddress;
use crate::ledger::LedgerError;
use crate::ledger::postgres::read_only as database;
use crate::ledger::rules::registration;
use crate::ledger::sqlite::read_only as file;
use crate::ledger::time::time;

/// An app as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownApp {
    /// Identity of the account at the provider.
    pub account: String,
    /// Time since which its events are counted.
    pub first_known: Timestamp,
}

/// A tracked message whose send time is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMessage {
    /// Message id.
    pub id: String,
    /// Send time.
    pub sent_at: Timestamp,
    /// Category, if it has one.
    pub category: Option<String>,
}

const APPS: &str = "SELECT provider, name, account, first_known FROM app";

const MESSAGES: &str = "SELECT subject, sent, message.category FROM message JOIN app ON app.id = message.app \
     WHERE provider = $1 AND name = $2 AND NOT guessed";

/// Reads the apps of a ledger, which may be in use, by provider and name; empty if there is no ledger yet.
///
/// # Errors
/// A ledger that cannot be read.
pub async fn known_apps(ledger: &LedgerAddress) -> Result<HashMap<(String, String), KnownApp>, LedgerError> {
    type AppRow = ((String, String), String, i64);
    let rows: Vec<AppRow> = match ledger {
        LedgerAddress::Sqlite(path) => {
            file::rows(path, "app", APPS, &[], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?))).await?
        }
        LedgerAddress::Postgres(address) => {
            database::rows(address, "app", APPS, &[], |row| ((row.get(0), row.get(1)), row.get(2), row.get(3))).await?
        }
    };
    let known = |(app, account, at)| (app, KnownApp { account, first_known: time(at) });
    Ok(rows.into_iter().map(known).collect())
}

/// Reads the tracked messages of an app whose send time is known; empty if the ledger is that of an earlier release.
///
/// # Errors
/// A ledger that cannot be read.
pub async fn known_messages(
    ledger: &LedgerAddress,
    provider: &str,
    app: &str,
) -> Result<Vec<KnownMessage>, LedgerError> {
    type MessageRow = (String, i64, Option<String>);
    let parameters = [provider, app];
    // The table of categories is as new as the column of messages.
    let rows: Vec<MessageRow> = match ledger {
        LedgerAddress::Sqlite(path) => {
            file::rows(path, "category", MESSAGES, &parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .await?
        }
        LedgerAddress::Postgres(address) => {
            database::rows(address, "category", MESSAGES, &parameters, |row| (row.get(0), row.get(1), row.get(2)))
                .await?
        }
    };
    Ok(rows
        .into_iter()
        .map(|(id, at, category)| KnownMessage { id, sent_at: time(at), category: registration::category(category) })
        .collect())
}
