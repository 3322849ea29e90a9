-- Links to files can be taken back, one by one: with the message that brought the file, or by an admin.
ALTER TABLE message ADD COLUMN media TEXT;
CREATE INDEX message_by_media ON message (media) WHERE media IS NOT NULL;
CREATE TABLE revoked_media (mxc TEXT PRIMARY KEY, at BIGINT NOT NULL);
