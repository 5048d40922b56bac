-- Fields of an app whose series have labels that are in no document: limited for each app, so that a provider that
-- makes up names takes nothing from other apps, nor from documented fields.
CREATE TABLE unknown_field (
    app   INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    field INTEGER NOT NULL REFERENCES field (id),
    PRIMARY KEY (app, field)
) WITHOUT ROWID;

-- The newest messages of a report, each with its numbers: `numbers` is the poller's own.
CREATE TABLE newest_message (
    app     INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    report  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    sent    BIGINT  NOT NULL,
    numbers TEXT    NOT NULL,
    PRIMARY KEY (app, report, subject)
) WITHOUT ROWID;

-- They were a list in the memory of the report, written whole with every answer.
INSERT INTO newest_message (app, report, subject, sent, numbers)
SELECT app, report, json_extract(value, '$.id'),
       CAST(unixepoch(json_extract(value, '$.sent_at'), 'subsec') * 1000 AS INTEGER),
       coalesce(json_extract(value, '$.values[0]'), '') || ' ' || coalesce(json_extract(value, '$.values[1]'), '') || ' ' ||
       coalesce(json_extract(value, '$.values[2]'), '') || ' ' || coalesce(json_extract(value, '$.values[3]'), '') || ' ' ||
       coalesce(json_extract(value, '$.values[4]'), '')
FROM report, json_each(CASE WHEN json_valid(memory) THEN memory ELSE '{}' END, '$.newest')
WHERE json_extract(value, '$.id') IS NOT NULL AND unixepoch(json_extract(value, '$.sent_at')) IS NOT NULL;
UPDATE report SET memory = json_remove(memory, '$.newest')
WHERE CASE WHEN json_valid(memory) THEN json_type(memory, '$.newest') END = 'array';
