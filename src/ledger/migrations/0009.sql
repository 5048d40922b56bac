-- The category with which a message was first registered: a label of its counters.
ALTER TABLE message ADD COLUMN category TEXT;

-- The categories of an app, of which there are few.
CREATE TABLE category (
    app  INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name TEXT    NOT NULL,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;

-- When each way (source) last brought a new message id.
CREATE TABLE id_source (
    app    INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    source TEXT    NOT NULL,
    newest BIGINT  NOT NULL,
    PRIMARY KEY (app, source)
) WITHOUT ROWID;
