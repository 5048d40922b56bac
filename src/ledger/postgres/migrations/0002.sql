-- Replicas share the apps. Expiry is by the server's clock. A replica whose lease has ended is deleted by the others; until
-- then it may still renew. An app belongs to the replica whose token it has, as long as that replica is there.

DROP TABLE writer;

CREATE TABLE replica (
    token   BIGINT      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name    TEXT        COLLATE "C" NOT NULL UNIQUE,
    version TEXT        NOT NULL,
    began   TIMESTAMPTZ NOT NULL,
    expires TIMESTAMPTZ NOT NULL
);

-- The number of a replica's last transaction tells the outcome of a COMMIT whose answer was lost. Its row is locked while a
-- transaction is open, so that nobody takes the replica for dead in the middle of one.
CREATE TABLE replica_commit (
    token  BIGINT PRIMARY KEY REFERENCES replica (token) ON DELETE CASCADE,
    number BIGINT NOT NULL
);

-- The apps that each replica has configured.
CREATE TABLE replica_app (
    token    BIGINT NOT NULL REFERENCES replica (token) ON DELETE CASCADE,
    provider TEXT   COLLATE "C" NOT NULL,
    name     TEXT   COLLATE "C" NOT NULL,
    account  TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (token, provider, name)
);
CREATE INDEX replica_app_by_name ON replica_app (provider, name);

-- arrived: another replica has registered messages that the owner does not know of yet.
ALTER TABLE app
    ADD owner      BIGINT,
    ADD owner_name TEXT    COLLATE "C" NOT NULL DEFAULT '',
    ADD claims     BIGINT  NOT NULL DEFAULT 1,
    ADD arrived    BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE app ALTER claims SET DEFAULT 0;
CREATE INDEX app_arrived ON app (owner) WHERE arrived;

-- Each replica has files of its own. Marks without a name are those of a ledger that one exporter used alone.
ALTER TABLE file_mark
    ADD replica TEXT COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT file_mark_pkey,
    ADD PRIMARY KEY (app, replica, path, device, inode);
