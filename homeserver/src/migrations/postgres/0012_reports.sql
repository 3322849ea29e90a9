-- What users find wrong: an event, a room or a user.
CREATE TABLE report (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reporter    TEXT   NOT NULL,
    room_id     TEXT,
    event_id    TEXT,
    user_id     TEXT,
    reason      TEXT   NOT NULL,
    reported_at BIGINT NOT NULL
);
