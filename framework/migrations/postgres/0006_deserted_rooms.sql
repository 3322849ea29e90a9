-- Private conversations that their owner has left: the next word invites them again.
ALTER TABLE room_mapping ADD COLUMN deserted BIGINT NOT NULL DEFAULT 0;
