-- Events without an index of their ids that is written with each of them, nor one of their times.
ALTER TABLE event DROP CONSTRAINT event_event_id_key;
DROP INDEX event_room_ts;

-- Events by the second to thirteenth character of their ids.
CREATE TABLE event_ref (
    prefix TEXT   COLLATE "C" NOT NULL,
    nid    BIGINT NOT NULL,
    PRIMARY KEY (prefix, nid)
);
INSERT INTO event_ref (prefix, nid) SELECT substr(event_id, 2, 12), nid FROM event;

-- Events of timelines by their times.
CREATE TABLE event_time (
    room BIGINT NOT NULL,
    ts   BIGINT NOT NULL,
    nid  BIGINT NOT NULL,
    PRIMARY KEY (room, ts, nid)
);
INSERT INTO event_time (room, ts, nid) SELECT room, ts, nid FROM event WHERE position IS NOT NULL AND ts IS NOT NULL;

-- The place in the log up to which event_ref, event_time and txn hold everything.
CREATE TABLE indexed (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
);
INSERT INTO indexed (one, position) SELECT 1, COALESCE(MAX(position), 0) FROM event;
