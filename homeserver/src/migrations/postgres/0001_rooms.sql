-- Where the log may go without asking again. Positions up to `reserved` may have been shown to someone.
CREATE TABLE log_head (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    reserved BIGINT NOT NULL
);

CREATE TABLE room (
    nid         BIGINT PRIMARY KEY,
    room_id     TEXT   NOT NULL UNIQUE,
    version     TEXT   NOT NULL,
    -- The state after all forward extremities.
    root        BYTEA   NOT NULL,
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
);

CREATE TABLE event (
    nid         BIGINT PRIMARY KEY,
    event_id    TEXT   NOT NULL UNIQUE,
    room        BIGINT NOT NULL,
    -- The place in the log; null for what is not in the timeline.
    position    BIGINT,
    flags       BIGINT NOT NULL,
    -- The state before the event.
    root        BYTEA   NOT NULL,
    -- The room's current state once the event was worked, where that is not simply the state after it.
    resolved    BYTEA,
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
);

-- The answer to a repeated request. The key is a hash of sender, device, room, type and transaction id.
CREATE TABLE txn (
    key   BYTEA   PRIMARY KEY,
    event BIGINT NOT NULL
);

CREATE TABLE state_node (
    hash BYTEA PRIMARY KEY,
    data BYTEA NOT NULL
);

CREATE TABLE membership (
    room       BIGINT NOT NULL,
    user_id    TEXT   NOT NULL,
    membership TEXT   NOT NULL,
    sender     TEXT   NOT NULL,
    event      BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    forgotten  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (room, user_id)
);
CREATE INDEX membership_user ON membership (user_id, membership);

CREATE TABLE room_alias (
    alias   TEXT   PRIMARY KEY,
    room    BIGINT NOT NULL,
    creator TEXT   NOT NULL
);
CREATE INDEX room_alias_room ON room_alias (room);

-- The published directory: network '' is the server's own list.
CREATE TABLE published_room (
    network TEXT   NOT NULL,
    room    BIGINT NOT NULL,
    PRIMARY KEY (network, room)
);

CREATE TABLE server_key (
    key_id     TEXT   PRIMARY KEY,
    der        BYTEA   NOT NULL,
    created_at BIGINT NOT NULL
);
