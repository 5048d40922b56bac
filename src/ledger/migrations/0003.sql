-- The newest messages of an app are asked what became of them on test devices.
CREATE INDEX message_sent ON message (app, sent);

-- How many lines of a followed file have been read, when it was last written to (in nanoseconds), and the
-- bytes just before the position: a file that has others there is another one, whatever its inode says.
ALTER TABLE file_position ADD COLUMN lines BIGINT NOT NULL DEFAULT 0;
ALTER TABLE file_position ADD COLUMN modified BIGINT NOT NULL DEFAULT 0;
ALTER TABLE file_position ADD COLUMN before BLOB NOT NULL DEFAULT x'';
