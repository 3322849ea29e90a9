-- Rooms that nobody comes into, whether they are still there or not.
CREATE TABLE blocked_room (
    room_id    TEXT   PRIMARY KEY,
    blocked_at BIGINT NOT NULL
);

-- Rooms that are being deleted. A stop in between leaves the row, and it goes on after the next start.
CREATE TABLE room_deletion (
    room_id  TEXT   PRIMARY KEY,
    reason   TEXT,
    asked_at BIGINT NOT NULL,
    -- Whether all have left and the rows are being taken.
    going    BIGINT NOT NULL
);

-- Whose clients may still have to be told that they left a room that is gone: the place in the log where they did.
CREATE TABLE deleted_membership (
    user_id    TEXT   NOT NULL,
    room_id    TEXT   NOT NULL,
    position   BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX deleted_membership_at ON deleted_membership (deleted_at);
