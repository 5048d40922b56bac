-- Fields of an app whose series have labels that are in no document: limited for each app, so that a provider that
-- makes up names takes nothing from other apps, nor from documented fields.
CREATE TABLE unknown_field (
    app   INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    field INTEGER NOT NULL REFERENCES field (id),
    PRIMARY KEY (app, field)
) WITHOUT ROWID;
