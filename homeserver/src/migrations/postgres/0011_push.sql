-- Where notifications of a user are sent to. Each pusher has its own place in the log: everything up to there was sent or is not for it.
CREATE TABLE pusher (
    user_id    TEXT   NOT NULL,
    app_id     TEXT   NOT NULL,
    pushkey    TEXT   NOT NULL,
    device_id  TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    pos        BIGINT NOT NULL,
    PRIMARY KEY (user_id, app_id, pushkey)
);
CREATE INDEX pusher_key ON pusher (app_id, pushkey);

-- What a user has not read in a room, counted as far as a place in the log. It can be counted anew at any time; this saves the counting.
CREATE TABLE unread (
    user_id TEXT   NOT NULL,
    room_id TEXT   NOT NULL,
    until   BIGINT NOT NULL,
    notes   TEXT   NOT NULL,
    PRIMARY KEY (user_id, room_id)
);

CREATE INDEX receipt_user ON receipt (user_id, room_id);
