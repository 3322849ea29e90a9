-- What made a state of another: `key` became `event`, or lost it where that is null. `depth` counts the changes down to a state whose
-- nodes are stored.
CREATE TABLE state_step (
    root   BLOB   PRIMARY KEY,
    parent BLOB   NOT NULL,
    key    BIGINT NOT NULL,
    event  BIGINT,
    depth  BIGINT NOT NULL
) WITHOUT ROWID;
