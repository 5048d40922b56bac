-- When the app was first known under this name, whatever account it has since had: OpenMetrics' _created of
-- what is counted for it from the beginning.
ALTER TABLE app ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
UPDATE app SET created = first_known;
