-- What made a state of another: `key` became `event`, or lost it where that is null. `depth` counts the changes down to a state whose
-- nodes are stored.
CREATE TABLE state_step (
    root   BYTEA  PRIMARY KEY,
    parent BYTEA  NOT NULL,
    key    BIGINT NOT NULL,
    event  BIGINT,
    depth  BIGINT NOT NULL
);
