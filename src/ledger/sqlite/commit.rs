//! Writes an answer, inside one transaction that the caller commits: [`crate::ledger::rules`] decides what changes.

use std::collections::HashSet;

use rusqlite::{Transaction, params};

use crate::ledger::rules::commit::{Changes, apply};
use crate::ledger::rules::counters::Numbers;
use crate::ledger::rules::needs::Needs;
use crate::ledger::rules::retention;
use crate::ledger::sqlite::load::load;
use crate::ledger::sqlite::stored_labels::StoredLabels;
use crate::ledger::sqlite::{messages, series};
use crate::ledger::time::ms;
use crate::ledger::{Commit, CommitContent, LedgerError, Receipt, StoredGauges};

/// Writes a whole answer.
pub(super) fn write(transaction: &Transaction<'_>, commit: &Commit) -> Result<Receipt, LedgerError> {
    let Commit { app, report, now, hold, .. } = *commit;
    if let Some(confirmation) = &commit.confirmation {
        messages::confirm(transaction, app, now, confirmation)?;
    }
    let loaded = load(transaction, app, report, &Needs::of(commit))?;
    let mut changes = apply(commit, loaded);
    let numbers = Numbers {
        fields: series::number_fields(transaction, app, &changes.fields)?,
        series: series::number(transaction, app, now, hold, &changes.series)?,
    };
    let mut receipt = std::mem::take(&mut changes.receipt);
    receipt.series = series::increase(transaction, &changes.increases(&numbers))?;
    Writer { transaction, commit }.write(changes, &numbers)?;
    if let CommitContent::Messages { newest, .. } = &commit.content {
        messages::write_newest(transaction, app, report, newest)?;
        receipt.next_due = messages::next_due(transaction, app, report, &HashSet::new())?;
        receipt.failing = messages::failing(transaction, app, report)?;
    }
    write_report(transaction, commit, &receipt)?;
    Ok(receipt)
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    commit: &'a Commit,
}

impl Writer<'_> {
    fn write(&self, changes: Changes, numbers: &Numbers) -> Result<(), LedgerError> {
        let Commit { app, report, now, .. } = *self.commit;
        for label in &changes.labels {
            self.transaction
                .prepare_cached("INSERT INTO unknown_label (app, value) VALUES (?1, ?2)")?
                .execute(params![app, label])?;
        }
        for name in &changes.names {
            self.transaction
                .prepare_cached("INSERT INTO unknown_name (app, report, name) VALUES (?1, ?2, ?3)")?
                .execute(params![app, report, name])?;
        }
        for (subject, watermark) in changes.windows {
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO subject (app, report, subject, watermark) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![app, report, subject, numbers.resolve(watermark).encode()])?;
        }
        if changes.has_new_window {
            self.forget_old_windows()?;
        }
        for gauges in &changes.gauges {
            self.gauges(gauges)?;
        }
        messages::write(self.transaction, app, now, changes.messages, numbers)
    }

    fn forget_old_windows(&self) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "DELETE FROM subject WHERE app = ?1 AND report = ?2 AND subject < (SELECT subject FROM subject \
                 WHERE app = ?1 AND report = ?2 ORDER BY subject DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![self.commit.app, self.commit.report, retention::WINDOWS])?;
        Ok(())
    }

    fn gauges(&self, gauges: &StoredGauges) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let StoredGauges { scope, unit, end, values, .. } = gauges;
        self.transaction
            .prepare_cached("DELETE FROM window_gauge WHERE app = ?1 AND report = ?2 AND scope = ?3 AND unit = ?4")?
            .execute(params![app, report, scope, unit.name()])?;
        self.transaction
            .prepare_cached("INSERT INTO window_gauge (app, report, scope, unit, ends) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![app, report, scope, unit.name(), ms(*end)])?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO window_gauge_value (app, report, scope, unit, family, label_pairs, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (family, labels, value) in values {
            let labels = StoredLabels(labels.clone());
            insert.execute(params![app, report, scope, unit.name(), family.name(), labels, value])?;
        }
        Ok(())
    }
}

fn write_report(transaction: &Transaction<'_>, commit: &Commit, receipt: &Receipt) -> Result<(), LedgerError> {
    let Commit { app, report, now, sure, due, ref state, .. } = *commit;
    let last_success = (commit.succeeded && receipt.failing == 0).then_some(ms(now));
    let last_change = receipt.has_new_numbers.then_some(ms(now));
    transaction
        .prepare_cached(
            "INSERT INTO report (app, report, due, last_success, last_change, state) VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, '')) \
             ON CONFLICT (app, report) DO UPDATE SET due = coalesce(excluded.due, report.due), \
             last_success = coalesce(excluded.last_success, report.last_success), \
             last_change = coalesce(excluded.last_change, report.last_change), state = coalesce(?6, report.state)",
        )?
        .execute(params![app, report, due.map(ms), last_success, last_change, state])?;
    // The 90 days of an app start at its last poll, regardless of how long the process ran.
    transaction
        .prepare_cached("UPDATE app SET last_configured = ?2, last_seen = ?3 WHERE id = ?1")?
        .execute(params![app, ms(now), ms(sure)])?;
    Ok(())
}
