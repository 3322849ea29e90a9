ALTER TABLE account ADD COLUMN guest BIGINT NOT NULL DEFAULT 0;

-- The one room in which a user is told what the server has to say.
CREATE TABLE notice_room (
    user_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL
) WITHOUT ROWID;
