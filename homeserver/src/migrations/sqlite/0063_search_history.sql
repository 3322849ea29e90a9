-- Down to which place the history of a room was read for the index of the search. A room that is not here was not read.
CREATE TABLE search_history (
    room BIGINT PRIMARY KEY,
    pos  BIGINT NOT NULL
) WITHOUT ROWID;
