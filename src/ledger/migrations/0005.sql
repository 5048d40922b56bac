-- A series is held at 0 until `held_until` is 0, which is written before its total is shown: a process that ends
-- within the hold begins the hold again. What was written before this release told the time.
UPDATE series SET held_until = 0 WHERE held_until <= CAST(strftime('%s', 'now') AS INTEGER) * 1000;

-- Messages that a call failed for: how often in a row, how many a call may name with it (0: as many as the provider
-- takes), how many polls refused it alone while others passed, and whether it is set aside for that: then it is
-- asked for once a day, and not counted as tracked.
ALTER TABLE message ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN call_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN aside BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX message_failing ON message (app, report) WHERE failures > 0 AND NOT aside;

-- Whether `sent` was told by our clock, before a provider had confirmed it.
ALTER TABLE message ADD COLUMN guessed BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX message_guessed ON message (app) WHERE guessed;

-- Whether `first_known` has been held against a provider's clock; and the last time that is known for sure.
ALTER TABLE app ADD COLUMN clock_confirmed BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE app ADD COLUMN last_seen BIGINT NOT NULL DEFAULT 0;
UPDATE app SET last_seen = last_configured;
