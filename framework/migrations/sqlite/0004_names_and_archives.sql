-- Another name of a message, by which corrections name it.
ALTER TABLE message ADD COLUMN also TEXT;
CREATE INDEX message_by_also ON message (room_id, also) WHERE also IS NOT NULL;
