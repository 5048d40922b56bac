//! Writes one answer of a provider into SQLite, inside one transaction: watermarks, totals, window gauges, unknown
//! names and the state of the report.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::ledger::counters::CounterUpdate;
use crate::ledger::stored_labels::StoredLabels;
use crate::ledger::time::{ms, time};
use crate::ledger::window_gauges::{GaugeKey, stored_gauges};
use crate::ledger::{
    Commit, CommitContent, GaugeReadings, LedgerError, Receipt, StoredGauges, SubjectReadings, messages,
};
use crate::model::window::Unit;

/// Number of settled windows whose watermarks are kept for each report, so that a wrong clock does not count anything
/// twice.
const WINDOWS_KEPT: i64 = 400;
/// Maximum number of unknown names that are remembered for each app and report.
const MAX_UNKNOWN_NAMES: i64 = 1000;

/// Returns true if a report has reached the limit of unknown names. `unknown` contains their number by report.
pub(super) fn names_are_full(unknown: &[(String, i64)]) -> bool {
    unknown.iter().any(|(_, count)| *count >= MAX_UNKNOWN_NAMES)
}

/// Returns the minimum time in milliseconds between the ends of two windows of a unit. A shorter time means the same
/// window in another time zone, after a change of the configuration.
fn apart(unit: Unit) -> i64 {
    const HOUR: i64 = 3_600_000;
    match unit {
        Unit::Hour => HOUR,
        // A day has 23 hours when summer time begins.
        Unit::Day => 20 * HOUR,
        Unit::Week | Unit::Month => 48 * HOUR,
    }
}

/// Writer of one answer.
pub(super) struct CommitWriter<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) commit: &'a Commit,
}

impl CommitWriter<'_> {
    /// Writes the whole answer; the caller commits.
    pub(super) fn write(self) -> Result<Receipt, LedgerError> {
        let Commit { app, report, now, hold, .. } = *self.commit;
        let mut receipt = Receipt::default();
        if let Some(confirmation) = &self.commit.confirmation {
            messages::confirm(self.transaction, app, now, confirmation)?;
        }
        let mut counters = CounterUpdate::open(self.transaction, app, report, now, hold)?;
        match &self.commit.content {
            CommitContent::Windows { subjects, covers, gauges } => {
                let everything = [String::new()];
                let covers = if covers.is_empty() { &everything[..] } else { covers };
                for subject in subjects {
                    self.window(subject, covers, &mut counters)?;
                }
                for gauge in gauges {
                    let (gauges, are_new) = self.gauges(gauge, &counters)?;
                    receipt.gauges.push(gauges);
                    // For a report without counters, only the gauges show the age of its data.
                    receipt.has_new_numbers |= are_new && gauge.scope.is_empty() && subjects.is_empty();
                }
            }
            CommitContent::Moment { gauges, is_new } => {
                receipt.moment = counters.gauges(gauges)?;
                receipt.has_new_numbers = *is_new;
            }
            CommitContent::Messages { polled, failed, newest } => {
                messages::polled(self.transaction, app, now, polled, &mut counters)?;
                messages::failed(self.transaction, app, now, failed, &mut counters)?;
                messages::write_newest(self.transaction, app, report, newest)?;
                receipt.messages = Some(messages::state(self.transaction, app)?);
                receipt.next_due = messages::next_due(self.transaction, app, report, &HashSet::new())?;
                receipt.failing = messages::failing(self.transaction, app, report)?;
            }
        }
        receipt.has_new_numbers |= counters.has_new_numbers;
        receipt.is_full = counters.is_full;
        receipt.unreadable = std::mem::take(&mut counters.unreadable);
        receipt.series = counters.close()?;
        self.unknown_names(&mut receipt)?;
        self.report(receipt.has_new_numbers, self.commit.succeeded && receipt.failing == 0)?;
        Ok(receipt)
    }

    /// Applies the readings of one window.
    fn window(
        &self,
        subject: &SubjectReadings,
        covers: &[String],
        counters: &mut CounterUpdate<'_>,
    ) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let stored: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT watermark FROM subject WHERE app = ?1 AND report = ?2 AND subject = ?3")?
            .query_row(params![app, report, subject.subject], |row| row.get(0))
            .optional()?;
        let (mut watermark, began) =
            counters.watermark(stored.as_deref(), subject.began, &subject.subject, &subject.readings);
        if counters.take(&mut watermark, began, &subject.readings, covers)? {
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO subject (app, report, subject, watermark) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![app, report, subject.subject, watermark.encode()])?;
            if stored.is_none() {
                self.forget_old_windows()?;
            }
        }
        Ok(())
    }

    fn forget_old_windows(&self) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "DELETE FROM subject WHERE app = ?1 AND report = ?2 AND subject < (SELECT subject FROM subject \
                 WHERE app = ?1 AND report = ?2 ORDER BY subject DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![self.commit.app, self.commit.report, WINDOWS_KEPT])?;
        Ok(())
    }

    /// Replaces the stored gauges of a unit, unless they are of a later window. Returns the gauges that are stored now,
    /// and true if they contain new numbers.
    fn gauges(&self, gauge: &GaugeReadings, counters: &CounterUpdate<'_>) -> Result<(StoredGauges, bool), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        let key = params![app, report, gauge.scope, gauge.unit.name()];
        let stored: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT ends FROM window_gauge WHERE app = ?1 AND report = ?2 AND scope = ?3 AND unit = ?4",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        let gauge_key = GaugeKey { app, report, scope: &gauge.scope, unit: gauge.unit };
        let read = |end| stored_gauges(self.transaction, &gauge_key, end);
        let before = stored.map(|ends| read(time(ends))).transpose()?;
        let now = ms(self.commit.now);
        let later = ms(gauge.end).saturating_add(apart(gauge.unit));
        if let Some(later) = before.as_ref().filter(|before| (later..=now).contains(&ms(before.end))) {
            return Ok((later.clone(), false));
        }
        self.transaction
            .prepare_cached("DELETE FROM window_gauge WHERE app = ?1 AND report = ?2 AND scope = ?3 AND unit = ?4")?
            .execute(key)?;
        self.transaction
            .prepare_cached("INSERT INTO window_gauge (app, report, scope, unit, ends) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![app, report, gauge.scope, gauge.unit.name(), ms(gauge.end)])?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO window_gauge_value (app, report, scope, unit, family, label_pairs, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (family, labels, value) in counters.gauges(&gauge.values)? {
            insert.execute(params![
                app,
                report,
                gauge.scope,
                gauge.unit.name(),
                family.name(),
                StoredLabels(labels),
                value
            ])?;
        }
        let after = read(gauge.end)?;
        let are_new = !after.values.is_empty() && before.is_none_or(|before| before != after);
        Ok((after, are_new))
    }

    /// Stores unknown names, and adds the new ones to the receipt.
    fn unknown_names(&self, receipt: &mut Receipt) -> Result<(), LedgerError> {
        let Commit { app, report, .. } = *self.commit;
        for name in &self.commit.unknown {
            let name: String = name.chars().take(128).collect();
            let count: i64 = self
                .transaction
                .prepare_cached("SELECT count(*) FROM unknown_name WHERE app = ?1 AND report = ?2")?
                .query_row(params![app, report], |row| row.get(0))?;
            if count >= MAX_UNKNOWN_NAMES {
                receipt.is_full = true;
                break;
            }
            let new = self
                .transaction
                .prepare_cached(
                    "INSERT INTO unknown_name (app, report, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![app, report, name])?;
            if new > 0 {
                receipt.new_names.push(name);
            }
        }
        Ok(())
    }

    fn report(&self, has_new_numbers: bool, succeeded: bool) -> Result<(), LedgerError> {
        let Commit { app, report, now, sure, due, ref state, .. } = *self.commit;
        let last_success = succeeded.then_some(ms(now));
        let last_change = has_new_numbers.then_some(ms(now));
        self.transaction
            .prepare_cached(
                "INSERT INTO report (app, report, due, last_success, last_change, state) VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, '')) \
                 ON CONFLICT (app, report) DO UPDATE SET due = coalesce(excluded.due, report.due), \
                 last_success = coalesce(excluded.last_success, report.last_success), \
                 last_change = coalesce(excluded.last_change, report.last_change), state = coalesce(?6, report.state)",
            )?
            .execute(params![app, report, due.map(ms), last_success, last_change, state])?;
        // The 90 days of an app start at its last poll, regardless of how long the process ran.
        self.transaction
            .prepare_cached("UPDATE app SET last_configured = ?2, last_seen = ?3 WHERE id = ?1")?
            .execute(params![app, ms(now), ms(sure)])?;
        Ok(())
    }
}
