-- The newest messages of an app are asked what became of them on test devices.
CREATE INDEX message_sent ON message (app, sent);

-- How far each file of message ids has been read that is or was at a followed path, instead of one position
-- for the path: `before` are the bytes just before the position, for a file that has others there is another
-- one, whatever its inode says.
DROP TABLE file_position;
CREATE TABLE file_mark (
    app      INTEGER NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    path     TEXT    NOT NULL,
    device   BIGINT  NOT NULL,
    inode    BIGINT  NOT NULL,
    position BIGINT  NOT NULL,
    lines    BIGINT  NOT NULL,
    before   BLOB    NOT NULL,
    at_path  BOOLEAN NOT NULL,
    -- Whether it is there, or has left it with something unread.
    awaited  BOOLEAN NOT NULL,
    PRIMARY KEY (app, path, device, inode)
) WITHOUT ROWID;
