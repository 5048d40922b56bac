-- Times are Unix milliseconds. An applied migration is never edited; a change is a new file.

-- One row for each app that was ever configured; 90 days after it left, it goes.
CREATE TABLE app (
    id              INTEGER PRIMARY KEY,
    provider        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    first_known     BIGINT  NOT NULL,
    last_configured BIGINT  NOT NULL,
    -- Who may write for the app, where several replicas share a ledger.
    lease_owner     TEXT,
    lease_expires   BIGINT,
    fencing_token   BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (provider, name)
);

-- A counter. `labels` is the text of the exposition behind provider and app; `shown` is when it first
-- appeared (and OpenMetrics' _created), `held_until` when it first shows its total.
CREATE TABLE series (
    id         INTEGER PRIMARY KEY,
    app        INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    family     TEXT    NOT NULL,
    labels     TEXT    NOT NULL,
    total      BIGINT  NOT NULL,
    shown      BIGINT  NOT NULL,
    held_until BIGINT  NOT NULL,
    UNIQUE (app, family, labels)
);

-- The providers' field paths, which watermarks name by number.
CREATE TABLE field (
    id   INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE
);

-- The watermarks, one for each live subject.
CREATE TABLE subject (
    app       INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    report    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    watermark BLOB    NOT NULL,
    PRIMARY KEY (app, report, subject)
) WITHOUT ROWID;

-- Retired messages, so that registering one again counts nothing.
CREATE TABLE tombstone (
    app     INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    subject TEXT    NOT NULL,
    expires BIGINT  NOT NULL,
    PRIMARY KEY (app, subject)
) WITHOUT ROWID;

-- What each report remembers between polls; `memory` is the provider's own.
CREATE TABLE report (
    app          INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    report       TEXT    NOT NULL,
    due          BIGINT,
    last_success BIGINT,
    last_change  BIGINT,
    memory       TEXT    NOT NULL,
    PRIMARY KEY (app, report)
) WITHOUT ROWID;

-- The newest closed window of each unit, and its gauges.
CREATE TABLE window_gauge (
    app        INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    report     TEXT    NOT NULL,
    department TEXT    NOT NULL,
    unit       TEXT    NOT NULL,
    ends       BIGINT  NOT NULL,
    PRIMARY KEY (app, report, department, unit)
) WITHOUT ROWID;

CREATE TABLE window_gauge_value (
    app        INTEGER NOT NULL,
    report     TEXT    NOT NULL,
    department TEXT    NOT NULL,
    unit       TEXT    NOT NULL,
    family     TEXT    NOT NULL,
    labels     TEXT    NOT NULL,
    value      BIGINT  NOT NULL,
    PRIMARY KEY (app, report, department, unit, family, labels),
    FOREIGN KEY (app, report, department, unit)
        REFERENCES window_gauge (app, report, department, unit) ON DELETE CASCADE
) WITHOUT ROWID;

-- Names that a provider sent and the exporter did not know; those of them that became labels.
CREATE TABLE unknown_name (
    app    INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    report TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    PRIMARY KEY (app, report, name)
) WITHOUT ROWID;

CREATE TABLE unknown_label (
    app   INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    value TEXT    NOT NULL,
    PRIMARY KEY (app, value)
) WITHOUT ROWID;

-- Written only to see whether writing works.
CREATE TABLE probe (
    id     INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
);

-- How far each followed file of message ids has been read.
CREATE TABLE file_position (
    app      INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    path     TEXT    NOT NULL,
    device   BIGINT  NOT NULL,
    inode    BIGINT  NOT NULL,
    position BIGINT  NOT NULL,
    PRIMARY KEY (app, path)
) WITHOUT ROWID;
