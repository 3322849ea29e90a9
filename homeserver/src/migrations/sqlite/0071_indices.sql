-- Events without an index of their ids that is written with each of them, nor one of their times.
CREATE TABLE event_now (
    nid         INTEGER PRIMARY KEY,
    event_id    TEXT   NOT NULL,
    room        BIGINT NOT NULL,
    -- The place in the log; null for what is not in the timeline.
    position    BIGINT,
    flags       BIGINT NOT NULL,
    -- The state before the event.
    root        BLOB   NOT NULL,
    -- The room's current state once the event was worked, where that is not simply the state after it.
    resolved    BLOB,
    key_idx     BIGINT,
    replaces    BIGINT,
    redacted_by BIGINT,
    device      TEXT,
    txn_id      TEXT,
    json        TEXT   NOT NULL,
    -- When its sender says that it was sent.
    ts          BIGINT
);
INSERT INTO event_now (nid, event_id, room, position, flags, root, resolved, key_idx, replaces, redacted_by, device, txn_id, json, ts)
SELECT nid, event_id, room, position, flags, root, resolved, key_idx, replaces, redacted_by, device, txn_id, json, ts FROM event ORDER BY nid;
DROP TABLE event;
ALTER TABLE event_now RENAME TO event;
CREATE UNIQUE INDEX event_position ON event (position) WHERE position IS NOT NULL;
CREATE INDEX event_room_position ON event (room, position);

-- Events by the second to thirteenth character of their ids.
CREATE TABLE event_ref (
    prefix TEXT   NOT NULL,
    nid    BIGINT NOT NULL,
    PRIMARY KEY (prefix, nid)
) WITHOUT ROWID;
INSERT INTO event_ref (prefix, nid) SELECT substr(event_id, 2, 12), nid FROM event ORDER BY 1, 2;

-- Events of timelines by their times.
CREATE TABLE event_time (
    room BIGINT NOT NULL,
    ts   BIGINT NOT NULL,
    nid  BIGINT NOT NULL,
    PRIMARY KEY (room, ts, nid)
) WITHOUT ROWID;
INSERT INTO event_time (room, ts, nid) SELECT room, ts, nid FROM event WHERE position IS NOT NULL AND ts IS NOT NULL ORDER BY 1, 2, 3;

-- The place in the log up to which event_ref, event_time and txn hold everything.
CREATE TABLE indexed (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
);
INSERT INTO indexed (one, position) SELECT 1, COALESCE(MAX(position), 0) FROM event;
