-- The category with which a message was first registered: a label of its counters.
ALTER TABLE message ADD category TEXT COLLATE "C";

-- The categories of an app, of which there are few.
CREATE TABLE category (
    app  BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (app, name)
);

-- When each way (source) last brought a new message id.
CREATE TABLE id_source (
    app    BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    source TEXT   COLLATE "C" NOT NULL,
    newest BIGINT NOT NULL,
    PRIMARY KEY (app, source)
);
