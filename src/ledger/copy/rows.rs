//! The tables of a ledger, and their rows on the way from one engine to the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::LedgerError;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum ColumnType {
    Integer,
    Boolean,
    Text,
    Bytes,
}

use ColumnType::{Boolean, Bytes, Integer, Text};

/// A table of a ledger.
pub(in crate::ledger) struct Table {
    pub(in crate::ledger) name: &'static str,
    pub(in crate::ledger) columns: &'static [(&'static str, ColumnType)],
}

impl Table {
    /// Returns the names of the columns, separated by commas.
    pub(in crate::ledger) fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Returns true if its rows are numbered by the database.
    pub(in crate::ledger) fn is_numbered(&self) -> bool {
        self.columns.first().is_some_and(|(name, _)| *name == "id")
    }
}

/// All tables; one that refers to another comes after it.
pub(in crate::ledger) const TABLES: [Table; 17] = [
    Table {
        name: "app",
        columns: &[
            ("id", Integer),
            ("provider", Text),
            ("name", Text),
            ("account", Text),
            ("first_known", Integer),
            ("last_configured", Integer),
            ("created", Integer),
            ("clock_confirmed", Boolean),
            ("last_seen", Integer),
            ("delivery", Text),
            ("waiting", Integer),
            ("live", Integer),
            ("newest_message", Integer),
        ],
    },
    Table {
        name: SERIES,
        columns: &[
            ("id", Integer),
            ("app", Integer),
            ("family", Text),
            ("label_pairs", Text),
            ("total", Integer),
            ("shown", Integer),
            ("held_until", Integer),
        ],
    },
    Table { name: "field", columns: &[("id", Integer), ("path", Text)] },
    Table { name: "unknown_field", columns: &[("app", Integer), ("field", Integer)] },
    Table { name: "subject", columns: &[("app", Integer), ("report", Text), ("subject", Text), ("watermark", Bytes)] },
    Table { name: "tombstone", columns: &[("app", Integer), ("subject", Text), ("expires", Integer)] },
    Table {
        name: "report",
        columns: &[
            ("app", Integer),
            ("report", Text),
            ("due", Integer),
            ("last_success", Integer),
            ("last_change", Integer),
            ("state", Text),
        ],
    },
    Table {
        name: "window_gauge",
        columns: &[("app", Integer), ("report", Text), ("scope", Text), ("unit", Text), ("ends", Integer)],
    },
    Table {
        name: "window_gauge_value",
        columns: &[
            ("app", Integer),
            ("report", Text),
            ("scope", Text),
            ("unit", Text),
            ("family", Text),
            ("label_pairs", Text),
            ("value", Integer),
        ],
    },
    Table { name: "delivery_hour", columns: &[("app", Integer), ("hour", Integer), ("totals", Bytes)] },
    Table { name: "unknown_name", columns: &[("app", Integer), ("report", Text), ("name", Text)] },
    Table { name: "unknown_label", columns: &[("app", Integer), ("value", Text)] },
    Table {
        name: "message",
        columns: &[
            ("id", Integer),
            ("app", Integer),
            ("subject", Text),
            ("report", Text),
            ("sent", Integer),
            ("pace", Integer),
            ("due", Integer),
            ("at_10m", Boolean),
            ("shape", Text),
            ("watermark", Bytes),
            ("failures", Integer),
            ("call_limit", Integer),
            ("refusals", Integer),
            ("aside", Boolean),
            ("guessed", Boolean),
            ("category", Text),
        ],
    },
    Table { name: "category", columns: &[("app", Integer), ("name", Text)] },
    Table { name: "id_source", columns: &[("app", Integer), ("source", Text), ("newest", Integer)] },
    Table {
        name: "newest_message",
        columns: &[("app", Integer), ("report", Text), ("subject", Text), ("sent", Integer), ("numbers", Text)],
    },
    Table {
        name: FILE_MARKS,
        columns: &[
            ("app", Integer),
            ("path", Text),
            ("device", Integer),
            ("inode", Integer),
            ("position", Integer),
            ("lines", Integer),
            ("before", Bytes),
            ("at_path", Boolean),
            ("awaited", Boolean),
        ],
    },
];
/// Name of the table of counters.
const SERIES: &str = "series";
/// Name of the table of read positions, of which each replica has its own.
pub(in crate::ledger) const FILE_MARKS: &str = "file_mark";

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Value {
    Null,
    Integer(i64),
    Boolean(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// Rows of one table.
pub(in crate::ledger) struct Rows {
    /// Index in [`TABLES`].
    pub(in crate::ledger) table: usize,
    pub(in crate::ledger) rows: Vec<Vec<Value>>,
}

/// Maximum number of rows in a message.
pub(in crate::ledger) const ROWS_PER_MESSAGE: usize = 1000;

/// Message from the source to the target.
pub(in crate::ledger) enum CopyMessage {
    Rows(Rows),
    /// Everything was read: the sums that the target must have.
    End(Copied),
}

/// Numbers of what was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Number of apps.
    pub apps: u64,
    /// Number of counters.
    pub series: u64,
    /// Sum of all counters.
    pub total: i128,
    /// Number of tracked messages.
    pub messages: u64,
    /// Number of all rows.
    pub rows: u64,
}

impl Copied {
    /// Adds the rows of a table.
    pub(in crate::ledger) fn add(&mut self, Rows { table, rows }: &Rows) {
        let Some(table) = TABLES.get(*table) else { return };
        self.rows += rows.len() as u64;
        match table.name {
            "app" => self.apps += rows.len() as u64,
            "message" => self.messages += rows.len() as u64,
            SERIES => {
                self.series += rows.len() as u64;
                let place = table.columns.iter().position(|(name, _)| *name == "total").unwrap_or_default();
                let totals = rows.iter().filter_map(|row| match row.get(place) {
                    Some(Value::Integer(total)) => Some(i128::from(*total)),
                    _ => None,
                });
                self.total += totals.sum::<i128>();
            }
            _ => {}
        }
    }
}

/// Progress of a copy.
#[derive(Debug, Default)]
pub struct Progress {
    /// Number of all rows of the source.
    pub all: AtomicU64,
    /// Number of rows that the target has.
    pub done: AtomicU64,
}

impl Progress {
    pub(in crate::ledger) fn expect(&self, rows: u64) {
        self.all.store(rows, Ordering::Relaxed);
    }

    pub(in crate::ledger) fn wrote(&self, rows: usize) {
        self.done.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// Error of a copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be used.
    #[error("cannot read the ledger to copy from: {0}")]
    Source(LedgerError),
    /// The target cannot be used.
    #[error("cannot write the ledger to copy to: {0}; nothing was copied")]
    Target(LedgerError),
    /// The source is not there.
    #[error(
        "{0} does not exist; name the ledger of an exporter, for example sqlite:/var/lib/push-exporter/push-exporter.db"
    )]
    Missing(String),
    /// The target has apps.
    #[error("the ledger to copy to already has apps; copy to an empty database, or to a file that does not exist")]
    NotEmpty,
    /// Replicas use the database.
    #[error("the replica {0} uses the database; stop all replicas, or wait until the lease of a killed one ends")]
    InUse(String),
    /// The target does not have what was sent.
    #[error("the copy differs from its source; nothing was copied; please report this as a bug")]
    Differs,
    /// One side ended before the other.
    #[error("the copy was interrupted; nothing was copied")]
    Interrupted,
}
