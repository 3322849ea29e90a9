-- What an application service calls an event that it named itself. Of several names of one event, that with the greatest number is
-- told.
CREATE TABLE event_name (
    appservice_id TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    event_id      TEXT   NOT NULL,
    room          BIGINT NOT NULL,
    number        BIGINT NOT NULL,
    PRIMARY KEY (appservice_id, name)
) WITHOUT ROWID;
CREATE INDEX event_name_event ON event_name (appservice_id, event_id);

-- Where in the log a room's history stands: the events of the room with negative positions come after this place, before all that
-- follows it.
CREATE TABLE room_history (
    room  BIGINT PRIMARY KEY,
    place BIGINT NOT NULL
) WITHOUT ROWID;
