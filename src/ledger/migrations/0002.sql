-- Messages that are still polled, each with its watermark once it has had a number. `pace` is how often
-- it is polled at its age, and `due` when next; `at_10m` whether its first ten minutes are counted;
-- `shape` is the provider's own: how its answers are read.
CREATE TABLE message (
    id        INTEGER PRIMARY KEY,
    app       INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    subject   TEXT    NOT NULL,
    report    TEXT    NOT NULL,
    sent      BIGINT  NOT NULL,
    pace      BIGINT  NOT NULL,
    due       BIGINT  NOT NULL,
    at_10m    BOOLEAN NOT NULL DEFAULT FALSE,
    shape     TEXT    NOT NULL DEFAULT '',
    watermark BLOB,
    UNIQUE (app, subject)
);

CREATE INDEX message_due ON message (app, report, pace, due);

-- The report that new messages are polled with, how many wait for a first number and how many have one,
-- and when the newest was sent: counted as they change, since a start must not count a million rows.
ALTER TABLE app ADD COLUMN delivery TEXT NOT NULL DEFAULT '';
ALTER TABLE app ADD COLUMN waiting BIGINT NOT NULL DEFAULT 0;
ALTER TABLE app ADD COLUMN live BIGINT NOT NULL DEFAULT 0;
ALTER TABLE app ADD COLUMN newest_message BIGINT;
