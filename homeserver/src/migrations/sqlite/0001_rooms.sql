-- Where the log may go without asking again. Positions up to `reserved` may have been shown to someone.
CREATE TABLE log_head (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    reserved BIGINT NOT NULL
);

CREATE TABLE room (
    nid         INTEGER PRIMARY KEY,
    room_id     TEXT   NOT NULL UNIQUE,
    version     TEXT   NOT NULL,
    -- The state after all forward extremities.
    root        BLOB   NOT NULL,
    -- The forward extremities, event nids as a JSON array.
    extremities TEXT   NOT NULL
);

-- The dense index of the (type, state_key) pairs of a room.
CREATE TABLE room_key (
    room      BIGINT NOT NULL,
    idx       BIGINT NOT NULL,
    type      TEXT   NOT NULL,
    state_key TEXT   NOT NULL,
    PRIMARY KEY (room, idx),
    UNIQUE (room, type, state_key)
) WITHOUT ROWID;

CREATE TABLE event (
    nid         INTEGER PRIMARY KEY,
    event_id    TEXT   NOT NULL UNIQUE,
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
    json        TEXT   NOT NULL
);
CREATE UNIQUE INDEX event_position ON event (position) WHERE position IS NOT NULL;
CREATE INDEX event_room_position ON event (room, position);

CREATE TABLE event_edge (
    child  BIGINT NOT NULL,
    parent BIGINT NOT NULL,
    PRIMARY KEY (parent, child)
) WITHOUT ROWID;

-- The answer to a repeated request. The key is a hash of sender, device, room, type and transaction id.
CREATE TABLE txn (
    key   BLOB   PRIMARY KEY,
    event BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE state_node (
    hash BLOB PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE membership (
    room       BIGINT NOT NULL,
    user_id    TEXT   NOT NULL,
    membership TEXT   NOT NULL,
    sender     TEXT   NOT NULL,
    event      BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    forgotten  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (room, user_id)
) WITHOUT ROWID;
CREATE INDEX membership_user ON membership (user_id, membership);

CREATE TABLE room_alias (
    alias   TEXT   PRIMARY KEY,
    room    BIGINT NOT NULL,
    creator TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX room_alias_room ON room_alias (room);

-- The published directory: network '' is the server's own list.
CREATE TABLE published_room (
    network TEXT   NOT NULL,
    room    BIGINT NOT NULL,
    PRIMARY KEY (network, room)
) WITHOUT ROWID;

CREATE TABLE server_key (
    key_id     TEXT   PRIMARY KEY,
    der        BLOB   NOT NULL,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;
